// Stands for CUDA's header: copies to shared memory that arrive when they are waited for.
#pragma once

#include <cstddef>

#include "device.hpp"

inline void __pipeline_memcpy_async(void* to, const void* from, std::size_t size,
                                    std::size_t zeros = 0) {
  emulator::copy_later(to, from, size, zeros);
}
inline void __pipeline_commit() { emulator::commit_copies(); }
inline void __pipeline_wait_prior(std::size_t batches) { emulator::wait_for_copies(batches); }
