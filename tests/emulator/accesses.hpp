// Every access of a kernel to device or shared memory, where kernels are compiled with
// -fsanitize=thread: the compiler then calls a function at each, which libtsan would supply and
// accesses.cpp supplies instead. From these come races, accesses outside, and the traffic.
// Where a static shared array ends another one may begin, so leaving it is UBSan's to find, which
// needs the array's own index.
#pragma once

#include <cstddef>

#include "races.hpp"

namespace emulator {

// The scheduler says what happens next.
void see_launch();
void see_block(int block, const void* dynamic_shared);
void see_thread(int thread, int warp_steps);  // runs now; -1: none
void see_barrier();

void see_access(const void* address, std::size_t size, Access access, const void* code);

// The requests of a block since the last barrier (traffic.cpp).
enum class Space { kOutside, kGlobal, kShared };
void count_access(int thread, Space space, std::uintptr_t address, std::size_t size, bool write,
                  std::uint64_t place);
void end_requests();

}  // namespace emulator
