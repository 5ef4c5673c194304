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

inline float* pixel_of(const Instruction& at, float* to, std::int64_t y, std::int64_t x) {
  return to + (y * at.out_width + x) * at.to_stride;
}

template <bool kMax>
Vector none() {
  return all(kMax ? -std::numeric_limits<float>::infinity() : 0);
}

template <bool kMax>
Vector join(Vector a, Vector b) {
  return kMax ? larger(a, b) : a + b;
}

// Rows [top, bottom) of the input, from channel c on; `read` takes an address.
template <bool kMax, class Read>
inline Vector column(const float* from, std::int64_t row, int rows, const Read& read) {
  if (rows == 3) {  // most are
    return join<kMax>(join<kMax>(read(from), read(from + row)), read(from + 2 * row));
  }
  Vector value = none<kMax>();
  for (int i = 0; i < rows; ++i, from += row) value = join<kMax>(value, read(from));
  return value;
}

// A row of 3-wide windows at stride 1: each column of the input is joined once, for three of them.
template <bool kMax, class Read>
void pool_row(const Instruction& at, const float* from, int rows, std::int64_t c, float* to,
              const Read& read) {
  const std::int64_t row = std::int64_t{at.in_width} * at.from_stride;
  const auto share = [&](int width) {
    return all(kMax ? 1 : 1.0f / static_cast<float>(rows * width));
  };
  const Vector whole = share(3), edge = share(std::min(at.in_width, 2));
  Vector before = none<kMax>(), here = column<kMax>(from, row, rows, read);
  for (int x = 0; x < at.out_width; ++x, to += at.to_stride) {
    from += at.from_stride;
    const bool last = x + 1 == at.in_width;
    const Vector after = last ? none<kMax>() : column<kMax>(from, row, rows, read);
    const Vector value = join<kMax>(join<kMax>(before, here), after);
    write(at, to, c, value * (last || x == 0 ? edge : whole));
    before = here;
    here = after;
  }
}

// A row of any windows.
template <bool kMax, class Read>
void pool_any(const Instruction& at, const float* from, int rows, std::int64_t c, float* to,
              const Read& read) {
  const std::int64_t row = std::int64_t{at.in_width} * at.from_stride;
  for (int x = 0; x < at.out_width; ++x, to += at.to_stride) {
    const int left = std::max(x * at.stride - at.pad_left, 0);
    const int right = std::min(x * at.stride - at.pad_left + at.kernel_width, at.in_width);
    Vector value = none<kMax>();
    for (int i = left; i < right; ++i) {
      value = join<kMax>(value, column<kMax>(from + i * at.from_stride, row, rows, read));
    }
    const int pixels = rows * (right - left);
    write(at, to, c, kMax ? value : value * all(1.0f / static_cast<float>(pixels)));
  }
}

template <bool kMax>
void pool(const Work& work) {
  const Instruction at = *work.instruction;  // a copy, which no vector that is stored can change
  const std::int64_t row = std::int64_t{at.in_width} * at.from_stride;
  const bool slides =
      at.kernel_width == 3 && at.stride == 1 && at.pad_left == 1 && at.out_width <= at.in_width;
  for (int y = work.first; y < work.last; ++y) {
    const int top = std::max(y * at.stride - at.pad_top, 0);
    const int bottom = std::min(y * at.stride - at.pad_top + at.kernel_height, at.in_height);
    for (std::int64_t c = 0; c < at.out_channels; c += kVector) {
      const std::int64_t wanted = at.out_channels - c;
      const float* const from = work.from + top * row + c;
      const auto some = [&](const auto& read) {
        float* const to = pixel_of(at, work.to, y, 0);
        const int rows = bottom - top;
        slides ? pool_row<kMax>(at, from, rows, c, to, read)
               : pool_any<kMax>(at, from, rows, c, to, read);
      };
      if (wanted >= kVector) {
        some([](const float* x) { return load(x); });
      } else {
        some([=](const float* x) { return load(x, wanted); });
      }
    }
  }
}

// As torch rounds it.
std::int64_t nearest(std::int64_t i, int in, int out) {
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  return std::min<std::int64_t>(static_cast<std::int64_t>(static_cast<float>(i) * scale), in - 1);
}

void copy(const Work& work) {
  const Instruction at = *work.instruction;  // a copy, which no vector that is stored can change
  const float* const scale = at.weights < 0 ? nullptr : work.weights;
  const float* const shift = scale + padded(at.out_channels);
  const bool same = at.in_height == at.out_height && at.in_width == at.out_width;
  for (std::int64_t y = work.first; y < work.last; ++y) {
    const std::int64_t row = same ? y : nearest(y, at.in_height, at.out_height);
    for (std::int64_t x = 0; x < at.out_width; ++x) {
      const std::int64_t column = same ? x : nearest(x, at.in_width, at.out_width);
      const float* const from = work.from + (row * at.in_width + column) * at.from_stride;
      float* const to = pixel_of(at, work.to, y, x);
      for (std::int64_t c = 0; c < at.out_channels; c += kVector) {
        Vector value = load(from + c, at.out_channels - c);
        if (at.relu) value = relu(value);
        if (scale != nullptr) {
          const std::int64_t left = at.out_channels - c;
          value = value * load_padded(scale + c, left) + load_padded(shift + c, left);
        }
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
      float* const to = pixel_of(at, work.to, y, x);
      for (std::int64_t c = 0; c < at.out_channels; c += kVector) {
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

void global_pool(const Work& work) {
  const Instruction& at = *work.instruction;
  const std::int64_t pixels = std::int64_t{at.in_height} * at.in_width;
  const float share = 1.0f / static_cast<float>(pixels);
  for (std::int64_t c = 0; c < at.out_channels; c += kVector) {
    Vector sum{};
    for (std::int64_t i = 0; i < pixels; ++i) {
      const Vector value = load(work.from + i * at.from_stride + c, at.in_channels - c);
      sum += at.relu ? relu(value) : value;
    }
    write(at, work.to, c, sum * share);
  }
}

void statistics(const Work& work, double* sums) {
  const Instruction& at = *work.instruction;
  double* const squares = sums + at.in_channels;
  for (int y = 0; y < at.in_height; ++y) {
    const float* const row = work.from + std::int64_t{y} * at.in_width * at.from_stride;
    for (std::int64_t c = 0; c < at.in_channels; c += kVector) {
      // Of a row's distances from its first pixel: floats will do, and a large mean cancels
      // nothing.
      const Vector pivot = load(row + c, at.in_channels - c);
      Vector sum{}, square{};
      for (int x = 0; x < at.in_width; ++x) {
        const Vector value = load(row + x * at.from_stride + c, at.in_channels - c) - pivot;
        sum += value;
        square += value * value;
      }
      for (int lane = 0; lane < kVector && c + lane < at.in_channels; ++lane) {
        const double first = double(pivot[lane]), total = double(sum[lane]) + at.in_width * first;
        sums[c + lane] += total;
        squares[c + lane] += double(square[lane]) + first * (double(sum[lane]) + total);
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
