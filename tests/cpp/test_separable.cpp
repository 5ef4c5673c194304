// A separable convolution with its batch norm in training beside plain loops, at ragged shapes.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "check.hpp"
#include "instruction_sets.hpp"
#include "instructions.hpp"
#include "nascore/kernels/separable.hpp"

using namespace nascore;
using kernels::Separable;

namespace {

constexpr float kEpsilon = 1e-3f;
using Doubles = std::vector<double>;

std::int64_t inputs_of(const Separable& s) { return s.samples * s.height * s.width * s.channels; }
std::int64_t pixels_of(const Separable& s) { return s.samples * s.out_height() * s.out_width(); }

struct Given {
  Floats x, depthwise, pointwise, scale, shift, grad;

  Given(const Separable& s, std::uint64_t seed)
      : x(noise(inputs_of(s), seed)),
        depthwise(noise(s.channels * s.kernel * s.kernel, seed + 1)),
        pointwise(noise(s.out_channels * s.channels, seed + 2)),
        scale(noise(s.out_channels, seed + 3)),
        shift(noise(s.out_channels, seed + 4)),
        grad(noise(pixels_of(s) * s.out_channels, seed + 5)) {}
};

struct Found {
  Floats raw, out, mean, variance, of_x, of_depthwise, of_pointwise, of_scale, of_shift;

  explicit Found(const Separable& s)
      : raw(static_cast<std::size_t>(pixels_of(s) * s.out_channels)),
        out(raw),
        mean(static_cast<std::size_t>(s.out_channels)),
        variance(mean),
        of_x(static_cast<std::size_t>(inputs_of(s))),
        of_depthwise(static_cast<std::size_t>(s.channels * s.kernel * s.kernel)),
        of_pointwise(static_cast<std::size_t>(s.out_channels * s.channels)),
        of_scale(mean),
        of_shift(mean) {}
};

Found run(const Separable& s, const Given& given) {
  Found found(s);
  const kernels::SeparableWeights weights{given.depthwise.data(), given.pointwise.data(),
                                          given.scale.data(), given.shift.data()};
  kernels::separable_forward(s, weights, kEpsilon, given.x.data(), found.raw.data(),
                             found.out.data(), found.mean.data(), found.variance.data());
  kernels::separable_backward(
      s, weights, kEpsilon, given.grad.data(), given.x.data(), found.raw.data(), found.mean.data(),
      found.variance.data(),
      {found.of_x.data(), found.of_depthwise.data(), found.of_pointwise.data(),
       found.of_scale.data(), found.of_shift.data()});
  return found;
}

// Calls visit(index of x, index of the depthwise output, index of the weight) for what is read.
template <class Visit>
void under_kernels(const Separable& s, Visit visit) {
  const int pad = s.dilation * (s.kernel / 2);
  std::int64_t pixel = 0;
  for (std::int64_t n = 0; n < s.samples; ++n) {
    for (int y = 0; y < s.out_height(); ++y) {
      for (int x = 0; x < s.out_width(); ++x, ++pixel) {
        for (int u = 0; u < s.kernel; ++u) {
          for (int v = 0; v < s.kernel; ++v) {
            const int row = y * s.stride + u * s.dilation - pad;
            const int column = x * s.stride + v * s.dilation - pad;
            if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
            for (int c = 0; c < s.channels; ++c) {
              visit(((n * s.height + row) * s.width + column) * s.channels + c,
                    pixel * s.channels + c, (c * s.kernel + u) * s.kernel + v);
            }
          }
        }
      }
    }
  }
}

void near(const Floats& got, const Doubles& wanted) {
  CHECK_EQ(got.size(), wanted.size());
  double largest = 0;
  for (const double w : wanted) largest = std::max(largest, std::abs(w));
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK(std::abs(double(got[i]) - wanted[i]) <= 2e-4 * (1 + largest));
  }
}

void check(const Separable& s, const Given& given, const Found& found) {
  const std::int64_t pixels = pixels_of(s), channels = s.channels, outs = s.out_channels;
  Doubles middle(static_cast<std::size_t>(pixels * channels));
  under_kernels(s, [&](std::int64_t x, std::int64_t to, std::int64_t w) {
    middle[to] += std::max(given.x[x], 0.0f) * double(given.depthwise[w]);
  });
  Doubles raw(static_cast<std::size_t>(pixels * outs)), out(raw), of_raw(raw);
  Doubles mean(static_cast<std::size_t>(outs)), variance(mean), of_scale(mean), of_shift(mean);
  Doubles of_pointwise(static_cast<std::size_t>(outs * channels)), of_middle(middle.size());
  for (std::int64_t o = 0; o < outs; ++o) {
    for (std::int64_t i = 0; i < pixels; ++i) {
      for (std::int64_t c = 0; c < channels; ++c) {
        raw[i * outs + o] += middle[i * channels + c] * given.pointwise[o * channels + c];
      }
      mean[o] += raw[i * outs + o] / double(pixels);
    }
    for (std::int64_t i = 0; i < pixels; ++i) {
      variance[o] += std::pow(raw[i * outs + o] - mean[o], 2) / double(pixels);
    }
    const double inverse = 1 / std::sqrt(variance[o] + kEpsilon);
    for (std::int64_t i = 0; i < pixels; ++i) {
      const double normal = (raw[i * outs + o] - mean[o]) * inverse;
      out[i * outs + o] = normal * given.scale[o] + given.shift[o];
      of_scale[o] += given.grad[i * outs + o] * normal;
      of_shift[o] += given.grad[i * outs + o];
    }
    for (std::int64_t i = 0; i < pixels; ++i) {
      const double normal = (raw[i * outs + o] - mean[o]) * inverse;
      of_raw[i * outs + o] =
          given.scale[o] * inverse *
          (given.grad[i * outs + o] - (of_shift[o] + normal * of_scale[o]) / double(pixels));
      for (std::int64_t c = 0; c < channels; ++c) {
        of_pointwise[o * channels + c] += of_raw[i * outs + o] * middle[i * channels + c];
        of_middle[i * channels + c] += of_raw[i * outs + o] * given.pointwise[o * channels + c];
      }
    }
  }
  Doubles of_x(given.x.size()), of_depthwise(given.depthwise.size());
  under_kernels(s, [&](std::int64_t x, std::int64_t to, std::int64_t w) {
    if (given.x[x] <= 0) return;
    of_x[x] += of_middle[to] * given.depthwise[w];
    of_depthwise[w] += of_middle[to] * given.x[x];
  });
  near(found.raw, raw);
  near(found.out, out);
  near(found.mean, mean);
  near(found.variance, variance);
  near(found.of_x, of_x);
  near(found.of_depthwise, of_depthwise);
  near(found.of_pointwise, of_pointwise);
  near(found.of_scale, of_scale);
  near(found.of_shift, of_shift);
}

void values_and_gradients_are_those_of_the_definition() {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    std::uint64_t draws = 0;
    const auto below = [&](std::uint32_t bound) {
      return static_cast<std::int32_t>(Draw(seed, 3, draws++).below(bound));
    };
    const Separable s{1 + below(3),  1 + below(60),    2 + below(9), 2 + below(19),
                      1 + below(60), 1 + 2 * below(5), 1 + below(2), 1 + below(2)};
    const Given given(s, seed);
    check(s, given, run(s, given));
  }
}

void any_number_of_threads_gives_the_same() {
  const Separable s{11, 20, 12, 12, 28, 5, 1, 1};
  const Given given(s, 7);
  omp_set_num_threads(1);
  const Found one = run(s, given);
  omp_set_num_threads(3);
  const Found three = run(s, given);
  CHECK(one.out == three.out && one.mean == three.mean && one.variance == three.variance);
  CHECK(one.of_x == three.of_x && one.of_depthwise == three.of_depthwise);
  CHECK(one.of_pointwise == three.of_pointwise);
  CHECK(one.of_scale == three.of_scale && one.of_shift == three.of_shift);
}

}  // namespace

int main(int arguments, char** argument) {
  if (const int status = take_instruction_set(arguments, argument)) return status;
  values_and_gradients_are_those_of_the_definition();
  any_number_of_threads_gives_the_same();
}
