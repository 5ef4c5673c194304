// Vectors of floats, by the compiler's own extension: one source for every instruction set.
// Included only by what is compiled per instruction set, so all of it has internal linkage.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__AVX__)
#include <immintrin.h>
#endif

#include "nascore/kernels/packing.hpp"

namespace nascore::kernels {
namespace {

typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));
typedef float Loose __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));

inline Vector load(const float* x) { return *reinterpret_cast<const Loose*>(x); }
inline void store(float* x, Vector value) { *reinterpret_cast<Loose*>(x) = value; }

// Of the first `count` floats, at most kLanes; the others are 0, or stay.
inline Vector load(const float* x, std::int64_t count) {
  if (count >= kLanes) return load(x);
#if defined(__AVX__)
  alignas(32) static constexpr std::int32_t kMask[2 * kLanes] = {-1, -1, -1, -1, -1, -1, -1, -1};
  const auto mask = reinterpret_cast<const __m256i_u*>(kMask + kLanes - count);
  return _mm256_maskload_ps(x, _mm256_loadu_si256(mask));
#else
  float some[kLanes] = {};
  for (std::int64_t i = 0; i < count; ++i) some[i] = x[i];
  return load(some);
#endif
}
inline void store(float* x, Vector value, std::int64_t count) {
  if (count >= kLanes) return store(x, value);
  float some[kLanes];
  store(some, value);
  if (count >= kLanes / 2) std::memcpy(x, some, kLanes / 2 * sizeof(float));
  for (std::int64_t i = count / (kLanes / 2) * (kLanes / 2); i < count; ++i) x[i] = some[i];
}

inline Vector all(float x) { return Vector{x, x, x, x, x, x, x, x}; }
// As torch's: not a number stays so.
inline Vector larger(Vector a, Vector b) { return (a > b) | (a != a) ? a : b; }
inline Vector relu(Vector x) { return x < 0 ? Vector{} : x; }

}  // namespace
}  // namespace nascore::kernels
