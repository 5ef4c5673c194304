// Stands for CUDA's header: half precision as far as kernels that compute in float need it.
#pragma once

#include "low_precision.hpp"

using __half = emulator::Float16<5, 10>;
using __half2 = emulator::Pair16<__half>;
using half = __half;
using half2 = __half2;

inline __half __float2half(float value) { return value; }
inline __half __float2half_rn(float value) { return value; }
inline float __half2float(__half value) { return value; }
inline __half2 __floats2half2_rn(float x, float y) { return {x, y}; }
inline __half2 __float22half2_rn(float2 pair) { return {pair.x, pair.y}; }
inline float2 __half22float2(__half2 pair) { return {pair.x, pair.y}; }
inline __half2 __halves2half2(__half x, __half y) { return {x, y}; }
