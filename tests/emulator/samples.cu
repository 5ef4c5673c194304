#include <cuda_fp16.h>
#include <cuda_pipeline.h>
#include <cuda_runtime.h>

#include "samples.hpp"

namespace emulator {
namespace {

constexpr unsigned kAll = 0xFFFFFFFF;
constexpr cudaStream_t kStream{};

__global__ void indices_and_shuffles_kernel(int* out) {
  const unsigned in_block = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * blockIdx.y;
  const int lane = static_cast<int>(in_block) % warpSize;
  int* mine = out + 9 * (block * (blockDim.x * blockDim.y * blockDim.z) + in_block);
  mine[0] = static_cast<int>(threadIdx.x);
  mine[1] = static_cast<int>(threadIdx.y);
  mine[2] = static_cast<int>(threadIdx.z);
  mine[3] = static_cast<int>(blockIdx.x);
  mine[4] = static_cast<int>(blockIdx.y);
  mine[5] = __shfl_down_sync(kAll, lane, 3);
  mine[6] = __shfl_up_sync(kAll, lane, 5);
  mine[7] = __shfl_xor_sync(kAll, lane, 9, 8);
  mine[8] = __shfl_sync(kAll, lane, 2, 8);
}

__global__ void count_positive_kernel(const float* x, unsigned* ballot, int* number) {
  const bool positive = x[threadIdx.x] > 0;
  const unsigned all = __ballot_sync(kAll, positive);
  if (threadIdx.x == 0) *ballot = all;
  if (positive) atomicAdd(number, 1);
}

__global__ void nan_at_start_kernel(int elements, int* out) {
  __shared__ float fixed[40];
  NASCORE_DYNAMIC_SHARED(float, dynamic);
  int count = 0;
  for (int i = 0; i < 40; ++i) count += fixed[i] != fixed[i];
  for (int i = 0; i < elements; ++i) count += dynamic[i] != dynamic[i];
  atomicAdd(out, count);
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int i = 0; i < 40; ++i) fixed[i] = 1;
    for (int i = 0; i < elements; ++i) dynamic[i] = 1;
  }
}

__global__ void meet_kernel(Meeting how, float* x) {
  const unsigned t = threadIdx.x;
  float value = x[t];
  if (how == Meeting::kInWarp) {  // ordered by __syncwarp alone
    __syncwarp();
    x[t ^ 1] = value;
    __syncwarp();
    value = x[t];
    value = __shfl_xor_sync(t < 16 ? 0x0000FFFFu : 0xFFFF0000u, value, 2);
    __syncwarp();
    x[t] = value;
  } else if (how == Meeting::kLanesApart) {
    if (t < 16) {
      value = __shfl_sync(kAll, value, 0);
    } else {
      value = __shfl_sync(kAll, value, 1);
    }
    x[t] = value;
  } else if (how == Meeting::kDeadlock) {
    if (t == 3) {
      __syncthreads();
    } else {
      __syncwarp();
    }
  } else {
    if (t < 16) x[t] = __shfl_sync(0x0000FFFFu, value, 20);
  }
}

__global__ void copy_kernel(const float* x, float* y, int stride) {
  const int i = static_cast<int>(threadIdx.x) * stride;
  y[i] = x[i];
}

__global__ void copy4_kernel(const float4* x, float4* y) {
  const float4 value = __ldg(x + threadIdx.x);
  y[threadIdx.x] = value;
}

__global__ void through_shared_kernel(float* x, int stride) {
  NASCORE_DYNAMIC_SHARED(float, tile);
  const int t = static_cast<int>(threadIdx.x);
  tile[t * stride] = x[t];
  __syncthreads();
  x[t] = tile[(31 - t) * stride];
}

__global__ void through_shared4_kernel(float4* x) {
  __shared__ float4 tile[32];
  tile[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = tile[31 - threadIdx.x];
}

__global__ void reverse_later_kernel(const float* x, float* y, int floats, int zeros_from,
                                     bool wait) {
  __shared__ float4 memory[8];
  float* const tile = reinterpret_cast<float*>(memory);
  const int t = static_cast<int>(threadIdx.x);
  if (t * floats < 32) {
    const int left = zeros_from - t * floats;
    const int zeros = left >= floats ? 0 : left > 0 ? floats - left : floats;
    __pipeline_memcpy_async(tile + t * floats, x + t * floats, floats * sizeof(float),
                            zeros * sizeof(float));
    __pipeline_commit();
  }
  if (wait) __pipeline_wait_prior(0);
  __syncthreads();
  y[t] = tile[31 - t];
}

__global__ void leave_shared_kernel(float* out) {
  NASCORE_DYNAMIC_SHARED(float, tile);
  tile[threadIdx.x] = 1;
  *out = tile[threadIdx.x + 1];
}

__device__ float4 alike(float x) { return make_float4(x, x, x, x); }
__device__ float first_of(float4 quad) { return quad.x; }

// The block's threads meet at x[0]: each stores there what a call returns, or passes what is there
// to one, unless it is the one that writes to it.
__global__ void share_structs_kernel(Sharing how, float4* x, __half* y) {
  const unsigned t = threadIdx.x;
  const float value = static_cast<float>(t);
  if (how == Sharing::kStoreFour) {
    x[0] = alike(value);
  } else if (how == Sharing::kStoreHalf) {
    y[0] = __float2half_rn(value);
  } else if (how == Sharing::kPassFour) {
    if (t == 0) {
      x[0].x = 1;
    } else {
      x[t].x = first_of(x[0]);
    }
  } else if (t == 0) {
    const __half one = __float2half_rn(1);
    y[0] = one;
  } else {
    x[t].x = __half2float(y[0]);
  }
}

__global__ void write_bytes_kernel(bool* out) { out[threadIdx.x] = threadIdx.x % 3 == 0; }

__global__ void write_kernel(float* out) {
  NASCORE_DYNAMIC_SHARED(float, scratch);
  static_cast<void>(scratch);
  *out = 1;
}

__global__ void large_kernel(float* out) {
  __shared__ float tile[(48 << 10) / sizeof(float) + 1];
  tile[gridDim.x] = 1;
  *out = tile[blockDim.x];
}

}  // namespace

cudaError_t indices_and_shuffles(int* out, dim3 grid, dim3 block) {
  NASCORE_LAUNCH(indices_and_shuffles_kernel, grid, block, 0, kStream, out);
  return cudaGetLastError();
}

cudaError_t count_positive(const float* x, int threads, unsigned* ballot, int* number) {
  NASCORE_LAUNCH(count_positive_kernel, 1, threads, 0, kStream, x, ballot, number);
  return cudaGetLastError();
}

cudaError_t nan_at_start(int elements, int* out) {
  NASCORE_LAUNCH(nan_at_start_kernel, 2, 2, elements * sizeof(float), kStream, elements, out);
  return cudaGetLastError();
}

cudaError_t meet(Meeting how, float* x) {
  NASCORE_LAUNCH(meet_kernel, 1, 32, 0, kStream, how, x);
  return cudaGetLastError();
}

cudaError_t copy(const float* x, float* y, int stride) {
  NASCORE_LAUNCH(copy_kernel, 1, 32, 0, kStream, x, y, stride);
  return cudaGetLastError();
}

cudaError_t copy4(const float* x, float* y) {
  NASCORE_LAUNCH(copy4_kernel, 1, 32, 0, kStream, reinterpret_cast<const float4*>(x),
                 reinterpret_cast<float4*>(y));
  return cudaGetLastError();
}

cudaError_t through_shared(float* x, int stride) {
  NASCORE_LAUNCH(through_shared_kernel, 1, 32, 32 * stride * sizeof(float), kStream, x, stride);
  return cudaGetLastError();
}

cudaError_t through_shared4(float* x) {
  NASCORE_LAUNCH(through_shared4_kernel, 1, 32, 0, kStream, reinterpret_cast<float4*>(x));
  return cudaGetLastError();
}

cudaError_t reverse_later(const float* x, float* y, int floats, int zeros_from, bool wait) {
  NASCORE_LAUNCH(reverse_later_kernel, 1, 32, 0, kStream, x, y, floats, zeros_from, wait);
  return cudaGetLastError();
}

cudaError_t leave_shared(float* out) {
  NASCORE_LAUNCH(leave_shared_kernel, 1, 1, sizeof(float), kStream, out);
  return cudaGetLastError();
}

cudaError_t share_structs(Sharing how, float* x, void* y) {
  NASCORE_LAUNCH(share_structs_kernel, 1, 32, 0, kStream, how, reinterpret_cast<float4*>(x),
                 static_cast<__half*>(y));
  return cudaGetLastError();
}

cudaError_t write_bytes(bool* out) {
  NASCORE_LAUNCH(write_bytes_kernel, 1, 64, 0, kStream, out);
  return cudaGetLastError();
}

cudaError_t with_threads(dim3 grid, dim3 block, float* out) {
  NASCORE_LAUNCH(write_kernel, grid, block, 0, kStream, out);
  return cudaGetLastError();
}

cudaError_t with_static_shared_beyond_limit(float* out) {
  NASCORE_LAUNCH(large_kernel, 1, 1, 0, kStream, out);
  return cudaGetLastError();
}

cudaError_t with_dynamic_shared(std::size_t bytes, bool ask, float* out) {
  if (ask) {
    const cudaError_t error = cudaFuncSetAttribute(
        write_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
    if (error != cudaSuccess) return error;
  }
  NASCORE_LAUNCH(write_kernel, 1, 1, bytes, kStream, out);
  return cudaGetLastError();
}

}  // namespace emulator
