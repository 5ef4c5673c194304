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

// Floats of a vector. Packed weights and padded channels come in kLanes whatever it is, so that
// they are the same everywhere.
#if defined(__AVX512F__)
constexpr int kVector = 16;
#else
constexpr int kVector = kLanes;
#endif

typedef float Vector __attribute__((vector_size(kVector * sizeof(float))));
typedef float Loose __attribute__((vector_size(kVector * sizeof(float)), aligned(4), may_alias));

inline Vector load(const float* x) { return *reinterpret_cast<const Loose*>(x); }
inline void store(float* x, Vector value) { *reinterpret_cast<Loose*>(x) = value; }

#if defined(__AVX512F__)

constexpr __mmask16 kEvery = 0xffff;
inline __mmask16 first(std::int64_t count) {
  return static_cast<__mmask16>((1U << static_cast<unsigned>(count)) - 1);
}

// Of the first `count` floats, at most kVector; the others are 0, or stay.
inline Vector load(const float* x, std::int64_t count) {
  return count >= kVector ? load(x) : _mm512_maskz_loadu_ps(first(count), x);
}
inline void store(float* x, Vector value, std::int64_t count) {
  count >= kVector ? store(x, value) : _mm512_mask_storeu_ps(x, first(count), value);
}

// The same of `count` rounded up to whole kLanes: of padded channels.
inline Vector load_padded(const float* x, std::int64_t count) {
  return count > kLanes ? load(x) : _mm512_maskz_loadu_ps(first(kLanes), x);
}
inline void store_padded(float* x, Vector value, std::int64_t count) {
  count > kLanes ? store(x, value) : _mm512_mask_storeu_ps(x, first(kLanes), value);
}

inline Vector all(float x) { return _mm512_set1_ps(x); }
// Which is b where one of them is not a number. With a mask, since GCC 12 takes what the intrinsic
// without one leaves open for a variable without a value.
inline Vector max_or_second(Vector a, Vector b) { return _mm512_maskz_max_ps(kEvery, a, b); }
// As torch's: not a number stays so.
inline Vector larger(Vector a, Vector b) {
  return _mm512_mask_mov_ps(max_or_second(a, b), _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), a);
}
inline Vector relu(Vector x) { return max_or_second(Vector{}, x); }

#else

inline Vector load(const float* x, std::int64_t count) {
  if (count >= kVector) return load(x);
#if defined(__AVX__)
  alignas(32) static constexpr std::int32_t kMask[2 * kVector] = {-1, -1, -1, -1, -1, -1, -1, -1};
  const auto mask = reinterpret_cast<const __m256i_u*>(kMask + kVector - count);
  return _mm256_maskload_ps(x, _mm256_loadu_si256(mask));
#else
  float some[kVector] = {};
  for (std::int64_t i = 0; i < count; ++i) some[i] = x[i];
  return load(some);
#endif
}
inline void store(float* x, Vector value, std::int64_t count) {
  if (count >= kVector) return store(x, value);
  float some[kVector];
  store(some, value);
  if (count >= kVector / 2) std::memcpy(x, some, kVector / 2 * sizeof(float));
  for (std::int64_t i = count / (kVector / 2) * (kVector / 2); i < count; ++i) x[i] = some[i];
}

inline Vector load_padded(const float* x, std::int64_t) { return load(x); }
inline void store_padded(float* x, Vector value, std::int64_t) { store(x, value); }

inline Vector all(float x) { return Vector{x, x, x, x, x, x, x, x}; }
inline Vector larger(Vector a, Vector b) { return (a > b) | (a != a) ? a : b; }
inline Vector relu(Vector x) { return x < 0 ? Vector{} : x; }

#endif

}  // namespace
}  // namespace nascore::kernels
