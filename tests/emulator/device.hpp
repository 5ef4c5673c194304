// What the emulator's own parts, and the header that kernels include, know of each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "vector_types.h"

namespace emulator {

// A place in a kernel's source; two calls of a barrier are one if they stand on one line.
struct Site {
  const char* file = "";
  int line = 0;
  bool operator==(const Site& other) const;
  static Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

inline constexpr int kWarp = 32;
inline constexpr unsigned kMaxThreads = 1024;
inline constexpr std::size_t kSharedByDefault = 48 << 10;  // bytes, of a block

// Called by the threads of a kernel (block.cpp).
void barrier(Site site);
enum class WarpOp { kSync, kShuffle, kBallot };
// Waits for the lanes of `mask`; then the value of lane `source`, or which lanes' value is not 0.
std::uint64_t exchange(WarpOp op, unsigned mask, std::uint64_t value, int source, Site site);
int current_thread();  // of the block
int lane();
float atomic_add(float* address, float value);
int atomic_add(int* address, int value);
unsigned atomic_add(unsigned* address, unsigned value);
unsigned long long atomic_add(unsigned long long* address, unsigned long long value);
int atomic_exchange(int* address, int value);
void* dynamic_shared();
void copy_later(void* to, const void* from, std::size_t size, std::size_t zeros);
void commit_copies();
void wait_for_copies(std::size_t but_for);  // the last so many batches
void forget_copies();                       // of all threads

// Runs one block to its end (block.cpp); false where it came to no good end.
bool run_block(dim3 block, int order);
void set_kernel(std::function<void()> body);

// Launches (launch.cpp).
struct Launch {
  const void* kernel;
  dim3 grid, block;
  std::size_t shared;  // dynamic, bytes
};
void launch(const Launch& launch, std::function<void()> body);
void add_problem(const std::string& problem);

// The program's own symbols (symbols.cpp).
std::string name_of(const void* kernel);
const std::string& line_of(const void* code);            // FILE:LINE
std::size_t static_shared(const void* kernel);           // bytes, of the kernel's own arrays
bool in_static_shared(const void* p, std::size_t size);  // within one array
void spoil_static_shared();                              // NaN everywhere

}  // namespace emulator
