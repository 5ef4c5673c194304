// Stands for CUDA's header of that name, so that g++ compiles the kernels in cuda/. What is missing
// here does not compile: __activemask (depends on timing), cudaMalloc and synchronisation (kernels'
// launchers must do without). __launch_bounds__ and fences say nothing here.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>

#include "device.hpp"
#include "runtime_api.h"
#include "vector_types.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(bytes) alignas(bytes)
#define __launch_bounds__(...)
// Shared arrays are the only thread-local variables of the program: that is how they are found.
#define __shared__ static thread_local

#define NASCORE_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  emulator::launch_kernel(kernel, grid, block, shared_bytes, stream, __VA_ARGS__)
#define NASCORE_DYNAMIC_SHARED(type, name) \
  type* name = static_cast<type*>(emulator::dynamic_shared())

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace emulator {

template <class... Parameters, class... Arguments>
void launch_kernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared,
                   cudaStream_t, Arguments&&... arguments) {
  const std::tuple<std::remove_const_t<Parameters>...> values(
      std::forward<Arguments>(arguments)...);
  launch({reinterpret_cast<const void*>(kernel), grid, block, shared},
         [&] { std::apply(kernel, values); });
}

// The segment of `width` lanes that a shuffle stays in; beyond it a lane reads itself.
inline int segment(int lane, int width) { return lane & ~(width - 1); }

template <class T>
T shuffle(unsigned mask, T value, int source, Site site) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t));
  std::uint64_t bits = 0;
  std::memcpy(&bits, static_cast<const void*>(&value), sizeof(T));
  bits = exchange(WarpOp::kShuffle, mask, bits, source, site);
  std::memcpy(static_cast<void*>(&value), &bits, sizeof(T));
  return value;
}

}  // namespace emulator

using emulator_site = emulator::Site;

inline void __syncthreads(emulator_site site = emulator_site::here()) { emulator::barrier(site); }
inline void __syncwarp(unsigned mask = ~0u, emulator_site site = emulator_site::here()) {
  emulator::exchange(emulator::WarpOp::kSync, mask, 0, emulator::lane(), site);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize,
              emulator_site site = emulator_site::here()) {
  const int first = emulator::segment(emulator::lane(), width);
  return emulator::shuffle(mask, value, first + (source & (width - 1)), site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                 emulator_site site = emulator_site::here()) {
  const int lane = emulator::lane();
  const int source = lane - static_cast<int>(delta);
  const bool inside = source >= emulator::segment(lane, width);
  return emulator::shuffle(mask, value, inside ? source : lane, site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                   emulator_site site = emulator_site::here()) {
  const int lane = emulator::lane();
  const int source = lane + static_cast<int>(delta);
  const bool inside = source < emulator::segment(lane, width) + width;
  return emulator::shuffle(mask, value, inside ? source : lane, site);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize,
                  emulator_site site = emulator_site::here()) {
  const int lane = emulator::lane();
  const int source = lane ^ bits;
  const bool inside = source < emulator::segment(lane, width) + width;
  return emulator::shuffle(mask, value, inside ? source : lane, site);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              emulator_site site = emulator_site::here()) {
  return static_cast<unsigned>(
      emulator::exchange(emulator::WarpOp::kBallot, mask, predicate != 0, emulator::lane(), site));
}
inline int __any_sync(unsigned mask, int predicate, emulator_site site = emulator_site::here()) {
  return __ballot_sync(mask, predicate, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, emulator_site site = emulator_site::here()) {
  return __ballot_sync(mask, predicate, site) == mask;
}

template <class T>
T atomicAdd(T* address, std::common_type_t<T> value) {
  return emulator::atomic_add(address, value);
}
inline int atomicExch(int* address, int value) { return emulator::atomic_exchange(address, value); }
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldcs(const T* address) {
  return *address;
}
template <class T>
void __stwb(T* address, T value) {
  *address = value;
}
template <class T>
void __stcs(T* address, T value) {
  *address = value;
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return bits == 0 ? 32 : __builtin_clz(static_cast<unsigned>(bits)); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline unsigned __float_as_uint(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float __uint_as_float(unsigned bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

template <class T>
constexpr T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
constexpr T max(T a, T b) {
  return a < b ? b : a;
}
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
