// What a test asks of the emulator, which runs CUDA kernels on the CPU: in which order threads run,
// on which device, what went wrong, what the memory traffic was; and memory for the kernels.
// It cannot show time, registers, an order of memory that is finer than barriers, or blocks that
// wait for each other: they run one after the other.
#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <string>
#include <vector>

namespace emulator {

// How the threads that could run are chosen from: 0 the first, 1 the last, from 2 on by shuffled
// priorities of that seed, new ones after each barrier. Blocks run one after the other in the same
// kind of order.
void set_order(int order);
inline constexpr int kOrders = 8;  // both fixed ones and six shuffled

// Of compute capability 8.0 or 9.0, that is, 80 (at first) or 90.
void set_device(int architecture);

// Whether the kernels are compiled so that every access is seen.
bool sees_accesses();

// What is wrong with the launches so far, each once; AddressSanitizer's reports among them.
const std::vector<std::string>& problems();
void forget_problems();

// Over all launches since reset_traffic(), where accesses are seen. A request is what a warp does
// at one place at a time.
struct Global {
  long requests = 0;
  long sectors = 0;  // of 32 bytes that were touched
  long fewest = 0;   // sectors, had the same bytes been dense
};
struct Shared {
  long passes = 0;     // at least one per 128 bytes asked for: 32 banks of 4 bytes
  long conflicts = 0;  // more passes, for words of one bank
};
struct Traffic {
  Global loads, stores;
  Shared shared;
};
const Traffic& traffic();
void reset_traffic();

// Device memory is what is named here; a kernel that leaves it is found where accesses are seen.
void add_memory(const void* memory, std::size_t bytes);
void remove_memory(const void* memory);

inline constexpr std::size_t kGuard = 256;  // bytes

// Memory of a device, exactly as long as its contents, and NaN (or -1) before it is written.
template <class T>
class Array {
 public:
  explicit Array(std::size_t size) : size_(size) {
    memory_ = static_cast<char*>(::operator new(bytes() + 2 * guard(), kAlignment));
    std::memset(memory_, 0xFF, bytes() + 2 * guard());
    data_ = reinterpret_cast<T*>(memory_ + guard());
    add_memory(data_, bytes());
  }
  explicit Array(const std::vector<T>& values) : Array(values.size()) {
    for (std::size_t i = 0; i < size_; ++i) data_[i] = values[i];
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() {
    remove_memory(data_);
    ::operator delete(memory_, kAlignment);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }

 private:
  static constexpr std::align_val_t kAlignment{256};  // cudaMalloc's
  // What nothing may touch, before and after; AddressSanitizer has its own way.
  static std::size_t guard() { return sees_accesses() ? kGuard : 0; }
  std::size_t bytes() const { return size_ * sizeof(T); }

  std::size_t size_;
  char* memory_;
  T* data_;
};

}  // namespace emulator
