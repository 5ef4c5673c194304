// The code of a chain of layers (MetaQNN): rows (kind, a, b), the last one a way to end.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace nascore::layer {

enum class Kind : std::int16_t {
  kNone = 0,
  kConv = 1,        // a channels, b x b; stride 1, the size stays
  kPool = 2,        // max, a x a at stride b, not padded
  kDense = 3,       // a units
  kGlobalPool = 4,  // global average pooling, then the classifier: ends the code
  kSoftmax = 5,     // the classifier: ends the code
};

using Row = std::array<std::int16_t, 3>;

inline Kind kind(const Row& row) { return static_cast<Kind>(row[0]); }

inline bool ends(const Row& row) {
  return kind(row) == Kind::kGlobalPool || kind(row) == Kind::kSoftmax;
}

// As the paper writes it: C(64,3), P(2,2), FC(128), GAP, SM.
inline std::string text(const Row& row) {
  const std::string a = std::to_string(row[1]), b = std::to_string(row[2]);
  switch (kind(row)) {
    case Kind::kConv:
      return "C(" + a + "," + b + ")";
    case Kind::kPool:
      return "P(" + a + "," + b + ")";
    case Kind::kDense:
      return "FC(" + a + ")";
    case Kind::kGlobalPool:
      return "GAP";
    case Kind::kSoftmax:
      return "SM";
    default:
      return "kind " + std::to_string(row[0]);
  }
}

// The side of what a pooling gives: ceil((side - kernel + 1) / stride); 0 where none fits.
inline std::int64_t pooled(std::int64_t side, int kernel, int stride) {
  return side < kernel || stride < 1 ? 0 : (side - kernel) / stride + 1;
}

}  // namespace nascore::layer
