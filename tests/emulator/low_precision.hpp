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
  EMULATOR_COPIES(Float16)
  operator float() const {
    // The float of the same fraction and exponent field is off by a power of 2.
    const std::uint32_t shifted = static_cast<std::uint32_t>(bits & 0x7FFF) << (23 - Mantissa);
    float size;
    std::memcpy(&size, &shifted, sizeof size);
    size *= kScale;
    if ((bits >> Mantissa & kLargest) == kLargest)
      size = bits << (16 - Mantissa) & 0xFFFF ? NAN : INFINITY;
    return bits & 0x8000 ? -size : size;
  }

 private:
  static constexpr int kBias = (1 << (Exponent - 1)) - 1;
  static constexpr int kLargest = (1 << Exponent) - 1;  // the exponent field of what is not finite
  static constexpr float kScale = Exponent == 8 ? 1.0f : 0x1p112f;  // 2^(127 - kBias)
  static_assert(Exponent == 8 || Exponent == 5);

  static std::uint16_t rounded(float value) {
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
