// What has no kernel of weights over space: pooling, copies, norms; and the table of all stages.
#include <algorithm>
#include <cmath>
#include <limits>

#include "nascore/kernels/convolutions.hpp"
#include "nascore/kernels/vectors.hpp"

namespace nascore::kernels::NASCORE_ISA {
namespace {

// Writes `value` to channel c and after as the instruction says.
inline void write(const Instruction& at, float* pixel, std::int64_t c, Vector value) {
  const std::int64_t wanted = at.out_channels - c;
  if (at.accumulate) value += load(pixel + c, wanted);
  if (at.relu_after) value = relu(value);
  store(pixel + c, value, wanted);
}

inline float* pixel_of(const Work& work, std::int64_t y, std::int64_t x) {
  const Instruction& at = *work.instruction;
  return work.to + (y * at.out_width + x) * at.to_stride;
}

// A window's part of the input.
struct Pixels {
  const float* first;
  std::int64_t row, stride;  // floats from a pixel to the one below, and to the next
  int height, width;
};

// The largest or the sum of channels c and after, of which `wanted` are read where kTail.
template <bool kMax, bool kTail>
inline Vector pooled(const Pixels& under, std::int64_t c, std::int64_t wanted) {
  const auto read = [&](const float* x) { return kTail ? load(x, wanted) : load(x); };
  Vector value = all(kMax ? -std::numeric_limits<float>::infinity() : 0);
  const float* row = under.first + c;
  for (int i = 0; i < under.height; ++i, row += under.row) {
    const float* from = row;
    for (int j = 0; j < under.width; ++j, from += under.stride) {
      value = kMax ? larger(read(from), value) : value + read(from);
    }
  }
  return value;
}

template <bool kMax>
void pool(const Work& work) {
  const Instruction& at = *work.instruction;
  const std::int64_t row = std::int64_t{at.in_width} * at.from_stride;
  const std::int64_t whole = at.out_channels / kLanes * kLanes;
  for (int y = work.first; y < work.last; ++y) {
    const int top = std::max(y * at.stride - at.pad_top, 0);
    const int bottom = std::min(y * at.stride - at.pad_top + at.kernel_height, at.in_height);
    for (int x = 0; x < at.out_width; ++x) {
      const int left = std::max(x * at.stride - at.pad_left, 0);
      const int right = std::min(x * at.stride - at.pad_left + at.kernel_width, at.in_width);
      const float* const first = work.from + top * row + left * at.from_stride;
      const Pixels under{first, row, at.from_stride, bottom - top, right - left};
      const Vector share = all(kMax ? 1 : 1.0f / static_cast<float>(under.height * under.width));
      float* const to = pixel_of(work, y, x);
      std::int64_t c = 0;
      for (; c < whole; c += kLanes) write(at, to, c, pooled<kMax, false>(under, c, 0) * share);
      if (c < at.out_channels) {
        write(at, to, c, pooled<kMax, true>(under, c, at.out_channels - c) * share);
      }
    }
  }
}

void copy(const Work& work) {
  const Instruction& at = *work.instruction;
  const float* const scale = at.weights < 0 ? nullptr : work.weights;
  const float* const shift = scale + padded(at.out_channels);
  for (std::int64_t y = work.first; y < work.last; ++y) {
    const std::int64_t row = y * at.in_height / at.out_height;
    for (std::int64_t x = 0; x < at.out_width; ++x) {
      const std::int64_t column = x * at.in_width / at.out_width;
      const float* const from = work.from + (row * at.in_width + column) * at.from_stride;
      float* const to = pixel_of(work, y, x);
      for (std::int64_t c = 0; c < at.out_channels; c += kLanes) {
        Vector value = load(from + c, at.out_channels - c);
        if (at.relu) value = relu(value);
        if (scale != nullptr) value = value * load(scale + c) + load(shift + c);
        write(at, to, c, value);
      }
    }
  }
}

void pad(const Work& work) {
  const Instruction& at = *work.instruction;
  for (int y = work.first; y < work.last; ++y) {
    const int row = y - at.pad_top;
    for (int x = 0; x < at.out_width; ++x) {
      const int column = x - at.pad_left;
      const bool inside = 0 <= row && row < at.in_height && 0 <= column && column < at.in_width;
      const float* const from =
          work.from + (std::int64_t{row} * at.in_width + column) * at.from_stride;
      float* const to = pixel_of(work, y, x);
      for (std::int64_t c = 0; c < at.out_channels; c += kLanes) {
        write(at, to, c, inside ? load(from + c, at.out_channels - c) : Vector{});
      }
    }
  }
}

void flatten(const Work& work) {
  const Instruction& at = *work.instruction;
  const std::int64_t pixels = std::int64_t{at.in_height} * at.in_width;
  for (std::int64_t c = 0; c < at.in_channels; ++c) {
    for (std::int64_t i = 0; i < pixels; ++i) {
      work.to[c * pixels + i] = work.from[i * at.from_stride + c];
    }
  }
}

// A sum over all pixels by channel, in an order that no vector width changes.
void sum_pixels(const Work& work, std::int64_t c, Vector& sum) {
  const Instruction& at = *work.instruction;
  const std::int64_t pixels = std::int64_t{at.in_height} * at.in_width;
  for (std::int64_t i = 0; i < pixels; ++i) {
    const Vector value = load(work.from + i * at.from_stride + c, at.in_channels - c);
    sum += at.relu ? relu(value) : value;
  }
}

void global_pool(const Work& work) {
  const Instruction& at = *work.instruction;
  const float share = 1.0f / (static_cast<float>(at.in_height) * static_cast<float>(at.in_width));
  for (std::int64_t c = 0; c < at.out_channels; c += kLanes) {
    Vector sum{};
    sum_pixels(work, c, sum);
    write(at, work.to, c, sum * share);
  }
}

void statistics(const Work& work, double* sums) {
  const Instruction& at = *work.instruction;
  double* const squares = sums + at.in_channels;
  for (int y = 0; y < at.in_height; ++y) {
    const float* const row = work.from + std::int64_t{y} * at.in_width * at.from_stride;
    for (std::int64_t c = 0; c < at.in_channels; c += kLanes) {
      Vector sum{}, square{};  // of a row: so few that floats will do
      for (int x = 0; x < at.in_width; ++x) {
        const Vector value = load(row + x * at.from_stride + c, at.in_channels - c);
        sum += value;
        square += value * value;
      }
      for (int lane = 0; lane < kLanes && c + lane < at.in_channels; ++lane) {
        sums[c + lane] += double(sum[lane]);
        squares[c + lane] += double(square[lane]);
      }
    }
  }
}

// Scale and shift of channel c by its mean and mean square.
void norm(const Work& work) {
  const Instruction& at = *work.instruction;
  double* const sums = reinterpret_cast<double*>(work.scratch);  // [2, channels]
  std::fill(sums, sums + 2 * at.in_channels, 0.0);
  statistics(work, sums);
  double* const squares = sums + at.in_channels;
  const double pixels = double(at.in_height) * at.in_width;
  double mean = 0, square = 0;
  for (std::int64_t c = 0; c < at.in_channels; ++c) {
    sums[c] /= pixels;
    squares[c] /= pixels;
    mean += sums[c] / at.in_channels;
    square += squares[c] / at.in_channels;
  }
  float* const own = work.scratch + 4 * at.in_channels;  // [2, padded], as `copy` takes them
  const std::int64_t width = padded(at.out_channels);
  for (std::int64_t c = 0; c < at.in_channels; ++c) {
    const double centre = at.together ? mean : sums[c];
    const double spread = (at.together ? square : squares[c]) - centre * centre;
    const double scale = work.weights[c] / std::sqrt(std::max(spread, 0.0) + kEpsilon);
    own[c] = static_cast<float>(scale);
    own[width + c] = static_cast<float>(work.weights[width + c] - centre * scale);
  }
  Work scaled = work;
  scaled.weights = own;
  copy(scaled);
}

}  // namespace

Stages stages() {
  return {{&convolve, &separable, &pool<true>, &pool<false>, &copy, &pad, &flatten, &global_pool,
           &norm, &copy},
          &statistics};
}

}  // namespace nascore::kernels::NASCORE_ISA
