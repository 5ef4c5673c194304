// Every kernel beside plain loops, at ragged shapes, and whole blocks beside their rows one by one.
#include <algorithm>
#include <cmath>
#include <vector>

#include "check.hpp"
#include "instruction_sets.hpp"
#include "instructions.hpp"
#include "nascore/kernels/cell.hpp"
#include "nascore/kernels/packing.hpp"
#include "nascore/program.hpp"

using namespace nascore;

namespace {

// Weights as torch has them, and packed.
struct Weights {
  Floats depthwise, dense, scale, shift, packed;

  Weights(const Instruction& at, std::uint64_t seed)
      : scale(noise(at.out_channels, seed)), shift(noise(at.out_channels, seed + 1)) {
    packed.resize(static_cast<std::size_t>(weights_of(at)));
    const std::int64_t taps = std::int64_t{at.kernel_height} * at.kernel_width;
    const bool separable = at.kernel == Kernel::kSepConv;
    if (at.kernel != Kernel::kConv && !separable) {
      if (packed.empty()) return;
      kernels::pack_channels(scale.data(), at.out_channels, packed.data());
      kernels::pack_channels(shift.data(), at.out_channels,
                             packed.data() + kernels::padded(at.out_channels));
      return;
    }
    float* to = packed.data();
    if (separable) {
      depthwise = noise(at.in_channels * taps, seed + 2);
      kernels::pack_depthwise(depthwise.data(), at.in_channels, taps, to);
      to += taps * kernels::padded(at.in_channels);
    }
    const std::int64_t own = separable ? 1 : taps;
    dense = noise(at.out_channels * at.in_channels * own, seed + 3);
    kernels::pack_convolution(dense.data(), scale.data(), shift.data(), at.out_channels,
                              at.in_channels, separable ? 1 : at.kernel_height,
                              separable ? 1 : at.kernel_width, to);
  }
};

// As torch rounds it.
int nearest(int i, int in, int out) {
  const float scale = float(in) / float(out);
  return std::min(static_cast<int>(float(i) * scale), in - 1);
}

// What the instruction makes of one sample, at (y, x, c), by its definition.
double expected(const Instruction& at, const float* from, const Weights& w, int y, int x, int c) {
  const auto pixel = [&](std::int64_t row, std::int64_t column, std::int64_t channel) {
    const double value = from[(row * at.in_width + column) * at.from_stride + channel];
    return at.relu && value < 0 ? 0.0 : value;
  };
  const auto under = [&](auto&& visit) {
    for (int i = 0; i < at.kernel_height; ++i) {
      for (int j = 0; j < at.kernel_width; ++j) {
        const int row = y * at.stride - at.pad_top + i * at.dilation;
        const int column = x * at.stride - at.pad_left + j * at.dilation;
        const bool inside = 0 <= row && row < at.in_height && 0 <= column && column < at.in_width;
        if (inside) visit(row, column, i * at.kernel_width + j);
      }
    }
  };
  const int taps = at.kernel_height * at.kernel_width;
  double value = 0, count = 0;
  switch (at.kernel) {
    case Kernel::kConv:
      under([&](int row, int column, int tap) {
        for (int i = 0; i < at.in_channels; ++i) {
          value += double(w.dense[(c * at.in_channels + i) * taps + tap]) * pixel(row, column, i);
        }
      });
      return value * w.scale[c] + w.shift[c];
    case Kernel::kSepConv:
      under([&](int row, int column, int tap) {
        for (int i = 0; i < at.in_channels; ++i) {
          value += double(w.dense[c * at.in_channels + i]) * w.depthwise[i * taps + tap] *
                   pixel(row, column, i);
        }
      });
      return value * w.scale[c] + w.shift[c];
    case Kernel::kMaxPool:
      value = -1e30;
      under([&](int row, int column, int) { value = std::max(value, pixel(row, column, c)); });
      return value;
    case Kernel::kAvgPool:
      under([&](int row, int column, int) { value += pixel(row, column, c), ++count; });
      return value / count;
    case Kernel::kCopy:
      value =
          pixel(nearest(y, at.in_height, at.out_height), nearest(x, at.in_width, at.out_width), c);
      return at.weights < 0 ? value : value * w.scale[c] + w.shift[c];
    case Kernel::kPad:
      under([&](int row, int column, int) { value = pixel(row, column, c); });
      return value;
    case Kernel::kFlatten: {
      const int pixels = at.in_height * at.in_width;
      return pixel(c % pixels / at.in_width, c % pixels % at.in_width, c / pixels);
    }
    case Kernel::kGlobalPool:
      for (int i = 0; i < at.in_height * at.in_width; ++i) value += pixel(0, i, c);
      return value / (at.in_height * at.in_width);
    default: {
      double sum = 0, square = 0;
      for (int i = 0; i < at.in_height * at.in_width; ++i) {
        for (int k = at.together ? 0 : c; k < (at.together ? at.in_channels : c + 1); ++k) {
          sum += pixel(0, i, k), square += pixel(0, i, k) * pixel(0, i, k), ++count;
        }
      }
      const double mean = sum / count, variance = square / count - mean * mean;
      return (pixel(y, x, c) - mean) / std::sqrt(variance + 1e-5) * w.scale[c] + w.shift[c];
    }
  }
}

void compare(const Instruction& at, const Weights& w, const float* from, const Floats& before,
             const Floats& after) {
  for (int y = 0; y < at.out_height; ++y) {
    for (int x = 0; x < at.out_width; ++x) {
      for (int c = 0; c < at.to_stride; ++c) {
        const std::size_t i = (y * at.out_width + x) * at.to_stride + c;
        const int channel = c - at.to_channel;
        if (channel < 0 || channel >= at.out_channels) {
          CHECK_EQ(after[i], before[i]);
          continue;
        }
        double want = expected(at, from + at.from_channel, w, y, x, channel);
        if (at.accumulate) want += before[i];
        if (at.relu_after) want = std::max(want, 0.0);
        CHECK(std::abs(after[i] - want) <= 2e-4 * (1 + std::abs(want)));
      }
    }
  }
}

void kernels_do_what_their_definitions_say() {
  for (int kernel = 0; kernel < kKernels; ++kernel) {
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
      const Instruction at = ragged(static_cast<Kernel>(kernel), seed);
      const Weights w(at, seed);
      const std::int64_t in = std::int64_t{at.in_height} * at.in_width * at.from_stride;
      const std::int64_t out = std::int64_t{at.out_height} * at.out_width * at.to_stride;
      const Floats from = noise(in, seed + 9), before = noise(out, seed + 10);
      Floats after = before;
      validate(&at, 1, static_cast<std::int64_t>(w.packed.size()), {in}, {out});
      const float* const inputs[] = {from.data()};
      float* const outputs[] = {after.data()};
      kernels::run({&at, 1, w.packed.data(), 1, inputs, outputs});
      compare(at, w, from.data(), before, after);
    }
  }
}

// A sum of two convolutions beside the image, a concat that holds the sum, more samples than one.
Net small_net() {
  Net net;
  const auto row = [&](Op op, int kernel, Shape out, std::vector<std::int32_t> inputs) {
    return append(net, square(op, kernel), out, inputs.data(), static_cast<int>(inputs.size()));
  };
  row(Op::kInput, 0, {5, 6, 7}, {});
  row(Op::kConv, 3, {5, 6, 7}, {0});
  row(Op::kIdentity, 0, {5, 6, 7}, {1});
  row(Op::kSepConv, 5, {5, 6, 7}, {0});
  row(Op::kAdd, 0, {5, 6, 7}, {2, 3, 0});
  row(Op::kMaxPool, 3, {5, 6, 7}, {1});
  row(Op::kConcat, 0, {15, 6, 7}, {4, 5, 4});
  return net;
}

void a_sum_and_a_concat_are_written_in_place() {
  const Program program = compile(small_net(), {0}, {6, 1}, false);
  // The convolution is read twice and is an output too; the sum is in the concat twice.
  std::vector<Kernel> found;
  for (const Instruction& at : program.instructions) found.push_back(at.kernel);
  CHECK_EQ(std::count(found.begin(), found.end(), Kernel::kCopy), 5);
  CHECK_EQ(found.size(), std::size_t{8});
  CHECK_EQ(program.outputs[0].channels, 15);
  const std::int64_t pixels = 6 * 7;
  validate(program.instructions.data(), static_cast<int>(program.instructions.size()),
           program.weights, {5 * pixels}, {15 * pixels, 5 * pixels});
}

void any_number_of_samples_gives_the_same() {
  const Program program = compile(small_net(), {0}, {6}, false);
  const Floats weights = noise(program.weights, 3), image = noise(3 * 5 * 42, 4);
  const auto run = [&](std::int64_t first, std::int64_t samples) {
    Floats out(static_cast<std::size_t>(samples * 15 * 42));
    const float* const inputs[] = {image.data() + first * 5 * 42};
    float* const outputs[] = {out.data()};
    kernels::run({program.instructions.data(), static_cast<int>(program.instructions.size()),
                  weights.data(), samples, inputs, outputs});
    return out;
  };
  const Floats all = run(0, 3);
  for (std::int64_t sample = 0; sample < 3; ++sample) {
    const Floats one = run(sample, 1);
    CHECK(std::equal(one.begin(), one.end(), all.begin() + sample * 15 * 42));
  }
  CHECK(run(0, 0).empty());
}

void what_leaves_its_bounds_is_refused() {
  Instruction at = ragged(Kernel::kConv, 1);
  const std::int64_t in = std::int64_t{at.in_height} * at.in_width * at.from_stride;
  const std::int64_t out = std::int64_t{at.out_height} * at.out_width * at.to_stride;
  const auto complaint = [&](std::int64_t weights, std::int64_t floats) {
    return complaint_of([&] { validate(&at, 1, weights, {floats}, {out}); });
  };
  const std::int64_t weights = weights_of(at);
  CHECK_EQ(complaint(weights, in), "");
  CHECK_EQ(complaint(weights - 1, in), "program: instruction 0: its weights lie beyond the " +
                                           std::to_string(weights - 1) + " that there are");
  CHECK_EQ(complaint(weights, in - 1), "program: instruction 0: it reads " + std::to_string(in) +
                                           " numbers where there are " + std::to_string(in - 1));
  at.input = -1;
  CHECK_EQ(complaint(weights, in), "program: instruction 0: it reads beyond the buffers");
  at.input = 1;
  CHECK_EQ(complaint(weights, in), "program: instruction 0: it reads number 1 of 1");
  at.kernel = static_cast<Kernel>(kKernels);
  CHECK_EQ(complaint(weights, in), "program: instruction 0: its kernel is none of 0 to 9");
}

}  // namespace

int main(int arguments, char** argument) {
  if (const int status = take_instruction_set(arguments, argument)) return status;
  kernels_do_what_their_definitions_say();
  a_sum_and_a_concat_are_written_in_place();
  any_number_of_samples_gives_the_same();
  what_leaves_its_bounds_is_refused();
}
