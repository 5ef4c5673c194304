// Atomic operations: threads run one at a time, so plain ones, but seen as atomic.
#include <utility>

#include "accesses.hpp"
#include "device.hpp"

namespace emulator {
namespace {

template <class T>
T add(T* address, T value, const void* code) {
  see_access(address, sizeof(T), Access::kAtomic, code);
  const T before = *address;
  *address = before + value;
  return before;
}

}  // namespace

float atomic_add(float* address, float value) {
  return add(address, value, __builtin_return_address(0));
}
int atomic_add(int* address, int value) { return add(address, value, __builtin_return_address(0)); }
unsigned atomic_add(unsigned* address, unsigned value) {
  return add(address, value, __builtin_return_address(0));
}
unsigned long long atomic_add(unsigned long long* address, unsigned long long value) {
  return add(address, value, __builtin_return_address(0));
}

int atomic_exchange(int* address, int value) {
  see_access(address, sizeof value, Access::kAtomic, __builtin_return_address(0));
  return std::exchange(*address, value);
}

}  // namespace emulator
