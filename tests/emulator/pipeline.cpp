// Asynchronous copies of a thread to shared memory, as late as they may come: where they are waited
// for. Until then NaN stands there; for races, both ends are writes.
#include <array>
#include <cstring>
#include <deque>
#include <vector>

#include "accesses.hpp"
#include "device.hpp"

namespace emulator {
namespace {

struct Copy {
  char* to;
  const char* from;
  std::size_t size, zeros;  // bytes; the last `zeros` are not read
  const void* code;
};

struct Copies {
  std::vector<Copy> open;
  std::deque<std::vector<Copy>> batches;
};
std::array<Copies, kMaxThreads> copies;

Copies& own() { return copies[static_cast<std::size_t>(current_thread())]; }

bool aligned(const void* address, std::size_t size) {
  return reinterpret_cast<std::uintptr_t>(address) % size == 0;
}

}  // namespace

void copy_later(void* to, const void* from, std::size_t size, std::size_t zeros) {
  if ((size != 4 && size != 8 && size != 16) || zeros > size || !aligned(to, size) ||
      !aligned(from, size)) {
    return add_problem("asynchronous copy of other than 4, 8 or 16 bytes, or not aligned to them");
  }
  const void* code = __builtin_return_address(0);
  if (zeros < size) see_access(from, size - zeros, Access::kRead, code);
  see_access(to, size, Access::kWrite, code);
  std::memset(to, 0xFF, size);
  own().open.push_back({static_cast<char*>(to), static_cast<const char*>(from), size, zeros, code});
}

void commit_copies() {
  own().batches.push_back(std::move(own().open));
  own().open.clear();
}

void wait_for_copies(std::size_t but_for) {
  auto& batches = own().batches;
  for (; batches.size() > but_for; batches.pop_front()) {
    for (const Copy& copy : batches.front()) {
      see_access(copy.to, copy.size, Access::kWrite, copy.code);
      std::memcpy(copy.to, copy.from, copy.size - copy.zeros);
      std::memset(copy.to + copy.size - copy.zeros, 0, copy.zeros);
    }
  }
}

void forget_copies() { copies.fill({}); }

}  // namespace emulator
