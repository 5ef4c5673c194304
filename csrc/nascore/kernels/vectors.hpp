// Vectors of floats, by the compiler's own extension: one source for every instruction set.
// Included only by what is compiled per instruction set, so all of it has internal linkage.
#pragma once

#include <cstdint>
#include <cstring>

#include "nascore/kernels/packing.hpp"

namespace nascore::kernels {
namespace {

typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));
typedef float Loose __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));
typedef std::int32_t Bits __attribute__((vector_size(kLanes * sizeof(float))));

inline Vector load(const float* x) { return *reinterpret_cast<const Loose*>(x); }
inline void store(float* x, Vector value) { *reinterpret_cast<Loose*>(x) = value; }

// Of the first `count` floats, at most kLanes; the others are 0, or stay.
inline Vector load(const float* x, std::int64_t count) {
  if (count >= kLanes) return load(x);
  float all[kLanes] = {};
  std::memcpy(all, x, static_cast<std::size_t>(count) * sizeof(float));
  return load(all);
}
inline void store(float* x, Vector value, std::int64_t count) {
  if (count >= kLanes) return store(x, value);
  float all[kLanes];
  store(all, value);
  std::memcpy(x, all, static_cast<std::size_t>(count) * sizeof(float));
}

inline Vector all(float value) { return Vector{} + value; }
// As torch's: not a number stays so.
inline Vector larger(Vector a, Vector b) { return (a > b) | (a != a) ? a : b; }
inline Vector relu(Vector x) { return x < 0 ? Vector{} : x; }

}  // namespace
}  // namespace nascore::kernels
