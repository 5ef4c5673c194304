// What the two 16-bit types share: bits, conversion to and from float with rounding to even, and
// the pair. Exponent and Mantissa are their widths in bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "vector_types.h"

namespace emulator {

template <int Exponent, int Mantissa>
struct Float16 {
  std::uint16_t bits;

  Float16() = default;
  Float16(float value) : bits(rounded(value)) {}
  operator float() const {
    constexpr int kBias = (1 << (Exponent - 1)) - 1;
    const int exponent = (bits >> Mantissa) & ((1 << Exponent) - 1);
    const float fraction = static_cast<float>(bits & ((1 << Mantissa) - 1));
    float size = 0;
    if (exponent == (1 << Exponent) - 1) {
      size = fraction == 0 ? INFINITY : NAN;
    } else if (exponent == 0) {
      size = std::ldexp(fraction, 1 - kBias - Mantissa);
    } else {
      size = std::ldexp(fraction + (1 << Mantissa), exponent - kBias - Mantissa);
    }
    return std::copysign(size, bits & 0x8000 ? -1.0f : 1.0f);
  }

 private:
  static std::uint16_t rounded(float value) {
    constexpr int kBias = (1 << (Exponent - 1)) - 1;
    constexpr int kLargest = (1 << Exponent) - 1;
    const int sign = std::signbit(value) ? 0x8000 : 0;
    if (std::isnan(value)) return 0x7FFF;
    int exponent = 1 - kBias;
    if (value != 0 && !std::isinf(value)) exponent = std::max(exponent, std::ilogb(value));
    // In units of the last place: exact in float, and nearbyint rounds ties to even. A carry moves
    // into the exponent by itself.
    const float units = std::nearbyint(std::ldexp(std::fabs(value), Mantissa - exponent));
    if (std::isinf(value) || exponent > kBias) {
      return static_cast<std::uint16_t>(sign | (kLargest << Mantissa));
    }
    const int size = static_cast<int>(units) + ((exponent + kBias - 1) << Mantissa);
    return static_cast<std::uint16_t>(sign | std::min(size, kLargest << Mantissa));
  }
};

template <class T>
struct alignas(4) Pair16 {
  T x, y;
};

}  // namespace emulator
