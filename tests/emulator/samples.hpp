// The kernels of samples.cu: what CUDA defines, for the emulator's own test.
#pragma once

#include "runtime_api.h"
#include "vector_types.h"

namespace emulator {

// Of each thread of the grid, [threads, 8]: x of threadIdx, y, z, x of blockIdx, y, and what
// shuffles of its lane give: down by 3, up by 5, xor 9 in segments of 8, lane 2 of each segment.
cudaError_t indices_and_shuffles(int* out, dim3 grid, dim3 block);

// ballot [1] of the threads whose element is positive, and their number [1] by an atomic sum.
cudaError_t count_positive(const float* x, int threads, unsigned* ballot, int* number);

// out [1] = how many of a block's shared elements are NaN before any is written; both kinds.
cudaError_t nan_at_start(int elements, int* out);

enum class Meeting { kInWarp, kLanesApart, kDeadlock, kForeignLane };
cudaError_t meet(Meeting how, float* x);

// Reads x and writes y [32 * stride], float or float4 at a time, each lane its own `stride`th.
cudaError_t copy(const float* x, float* y, int stride);
cudaError_t copy4(const float* x, float* y);

// Through shared memory [32 * stride], lane l at element l * stride.
cudaError_t through_shared(float* x, int stride);
cudaError_t through_shared4(float* x);

// x [32] reversed by way of asynchronous copies of `floats` each, all but the first `zeros_from` 0;
// without waiting for them, it is NaN.
cudaError_t reverse_later(const float* x, float* y, int floats, int zeros_from, bool wait);

// Reads one element beyond dynamic shared memory.
cudaError_t leave_shared(float* out);

// Threads that race for the first float4 of x [32 * 4], or for the half y.
enum class Sharing { kStoreFour, kStoreHalf, kPassFour, kPassHalf };
cudaError_t share_structs(Sharing how, float* x, void* y);

// Neighbouring threads write neighbouring bytes of a word.
cudaError_t write_bytes(bool* out);

cudaError_t with_threads(dim3 grid, dim3 block, float* out);
cudaError_t with_static_shared_beyond_limit(float* out);
cudaError_t with_dynamic_shared(std::size_t bytes, bool ask, float* out);

}  // namespace emulator
