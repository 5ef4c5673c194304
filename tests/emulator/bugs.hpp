// The kernel of bugs.cu, right and with each of seven bugs.
#pragma once

#include "runtime_api.h"

namespace emulator {

enum class Bug {
  kNone,
  kNoBarrierAfterLoad,
  kNoBarrierAtLoopEnd,
  kShuffleStartsLow,
  kReadsOneTooMany,
  kBarrierInBranch,
  kReturnsBeforeShuffle,
  kAddsWithoutAtomic,
};

inline constexpr int kBugThreads = 64;

// *total += sum of x_i x_(i+1), x_n = 0, by `blocks` blocks.
cudaError_t sum_of_products(Bug bug, const float* x, int n, float* total, int blocks);

}  // namespace emulator
