// Memory in whole cache lines: vectors that lie across two of them are slow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace nascore::kernels {

inline constexpr std::size_t kLine = 64;  // bytes
inline constexpr std::int64_t kLineFloats = kLine / sizeof(float);

constexpr std::int64_t whole_lines(std::int64_t floats) {
  return (floats + kLineFloats - 1) / kLineFloats * kLineFloats;
}

struct FreeLines {
  void operator()(float* memory) const { ::operator delete[](memory, std::align_val_t{kLine}); }
};
using Lines = std::unique_ptr<float[], FreeLines>;

// Without values. Throws bad_alloc.
inline Lines lines(std::int64_t floats) {
  const auto bytes = static_cast<std::size_t>(floats) * sizeof(float);
  return Lines(static_cast<float*>(::operator new[](bytes, std::align_val_t{kLine})));
}

}  // namespace nascore::kernels
