// One kernel with what most have, a tile in shared memory with a neighbour's element, a loop over
// tiles, shuffles, a sum over blocks; and seven ways to get it wrong.
#include <cuda_runtime.h>

#include "bugs.hpp"

namespace emulator {
namespace {

template <Bug bug>
__global__ void sum_of_products_kernel(const float* x, int n, float* total) {
  __shared__ float tile[kBugThreads + 1];
  __shared__ float of_warps[kBugThreads / warpSize];
  const int t = static_cast<int>(threadIdx.x);
  const int first = static_cast<int>(blockIdx.x) * kBugThreads;

  float sum = 0;
  for (int start = first; start < n; start += static_cast<int>(gridDim.x) * kBugThreads) {
    const int i = start + t;
    const int next = start + kBugThreads;
    tile[t] = i < (bug == Bug::kReadsOneTooMany ? n + 1 : n) ? x[i] : 0;
    if (t == 0) tile[kBugThreads] = next < n ? x[next] : 0;
    if (bug == Bug::kBarrierInBranch) {
      if (i < n) __syncthreads();
    } else if (bug != Bug::kNoBarrierAfterLoad) {
      __syncthreads();
    }
    sum = fmaf(tile[t], tile[t + 1], sum);
    if (bug != Bug::kNoBarrierAtLoopEnd) __syncthreads();
  }

  if (bug == Bug::kReturnsBeforeShuffle && first + t >= n) return;
  for (int delta = bug == Bug::kShuffleStartsLow ? 8 : 16; delta > 0; delta /= 2) {
    sum += __shfl_down_sync(0xFFFFFFFF, sum, static_cast<unsigned>(delta));
  }
  if (t % warpSize == 0) of_warps[t / warpSize] = sum;
  __syncthreads();
  if (t != 0) return;
  sum = of_warps[0] + of_warps[1];
  if (bug == Bug::kAddsWithoutAtomic) {
    *total += sum;
  } else {
    atomicAdd(total, sum);
  }
}

template <Bug bug>
cudaError_t start(const float* x, int n, float* total, int blocks) {
  NASCORE_LAUNCH((sum_of_products_kernel<bug>), blocks, kBugThreads, 0, cudaStream_t{}, x, n,
                 total);
  return cudaGetLastError();
}

}  // namespace

cudaError_t sum_of_products(Bug bug, const float* x, int n, float* total, int blocks) {
  constexpr decltype(&start<Bug::kNone>) kStart[] = {
      start<Bug::kNone>,
      start<Bug::kNoBarrierAfterLoad>,
      start<Bug::kNoBarrierAtLoopEnd>,
      start<Bug::kShuffleStartsLow>,
      start<Bug::kReadsOneTooMany>,
      start<Bug::kBarrierInBranch>,
      start<Bug::kReturnsBeforeShuffle>,
      start<Bug::kAddsWithoutAtomic>,
  };
  return kStart[static_cast<int>(bug)](x, n, total, blocks);
}

}  // namespace emulator
