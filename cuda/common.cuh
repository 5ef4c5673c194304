// What the kernels share. g++ compiles the same files for tests/emulator, which has a
// cuda_runtime.h of its own: only a launch and dynamic shared memory are no C++.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define NASCORE_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  kernel<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)
#define NASCORE_DYNAMIC_SHARED(type, name) extern __shared__ type name[]
#endif

namespace nascore::cuda {

constexpr int kWarp = 32;
constexpr std::size_t kMaxGrid = 0x7fffffff;  // blocks in x
constexpr std::size_t kMaxGridY = 65535;
constexpr std::size_t kFreeShared = 48 * 1024;  // bytes that need no opting in

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <class T>
__device__ T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline __half from_float<__half>(float x) {
  return __float2half_rn(x);
}
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

template <class T>
constexpr int kLanes = 16 / static_cast<int>(sizeof(T));  // elements of a 16-byte access

template <class T>
struct alignas(16) Vector {
  T lane[kLanes<T>];
};

// `from` is a multiple of 16.
template <class T>
__device__ inline Vector<T> load16(const T* from) {
  const uint4 bits = *reinterpret_cast<const uint4*>(from);
  Vector<T> vector;
  memcpy(&vector, &bits, sizeof bits);
  return vector;
}

// __stwb is one instruction, where nvcc makes four of an assignment that it cannot see through.
template <class T>
__device__ inline void store16(T* to, const Vector<T>& vector) {
  uint4 bits;
  memcpy(&bits, &vector, sizeof bits);
  __stwb(reinterpret_cast<uint4*>(to), bits);
}

inline bool is_aligned(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) % 16 == 0;
}

__host__ __device__ inline std::size_t divide_up(std::size_t a, std::size_t b) {
  return (a + b - 1) / b;
}

}  // namespace nascore::cuda
