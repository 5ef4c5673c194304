// A program in double precision, one instruction after the other: exactly, or with what each hands
// on rounded, as a framework does that keeps its images in 16 bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "nascore/kernels/packing.hpp"
#include "nascore/kernels/stages.hpp"
#include "nascore/program.hpp"

namespace emulator {

using nascore::Instruction;
using nascore::Kernel;
using Doubles = std::vector<double>;

// Of one sample: round(value) is what is kept of a value.
template <class Round>
class Stepped {
 public:
  Stepped(const std::vector<Instruction>& program, const std::vector<float>& weights,
          const Round& round)
      : program_(program), weights_(weights), round_(round) {}

  // `outputs` hold what is added to.
  void run(const std::vector<Doubles>& inputs, std::vector<Doubles>& outputs) const {
    const auto count = static_cast<int>(program_.size());
    Doubles buffers(static_cast<std::size_t>(nascore::buffers_of(program_.data(), count)));
    for (const Instruction& at : program_) {
      const double* from = at.input < 0 ? buffers.data() + at.from : inputs[at.input].data();
      double* to = at.output < 0 ? buffers.data() + at.to : outputs[at.output].data();
      const Doubles value = results(at, from + at.from_channel);
      for (int pixel = 0; pixel < at.out_height * at.out_width; ++pixel) {
        for (int c = 0; c < at.out_channels; ++c) {
          double& kept = to[pixel * at.to_stride + at.to_channel + c];
          double next = round_(value[std::size_t(pixel * at.out_channels + c)]);
          if (at.accumulate) next = round_(next + kept);
          kept = at.relu_after && next < 0 ? 0 : next;
        }
      }
    }
  }

 private:
  // Of an instruction, [pixels, channels].
  Doubles results(const Instruction& at, const double* from) const {
    const float* weights = at.weights < 0 ? nullptr : weights_.data() + at.weights;
    const bool is_pool = at.kernel == Kernel::kMaxPool || at.kernel == Kernel::kAvgPool;
    const bool reads_relu = at.relu && !is_pool;
    const auto value = [&](int pixel, int channel) {
      const double x = from[pixel * at.from_stride + channel];
      return reads_relu && x < 0 ? 0 : x;
    };
    const int pixels = at.in_height * at.in_width;
    Doubles out;
    const auto for_outputs = [&](const auto& compute) {
      for (int i = 0; i < at.out_height * at.out_width; ++i) {
        for (int c = 0; c < at.out_channels; ++c) {
          out.push_back(compute(i / at.out_width, i % at.out_width, c));
        }
      }
    };
    switch (at.kernel) {
      case Kernel::kConv:
        for_outputs([&](int y, int x, int c) {
          double sum = bias(at, weights, depth(at), c);
          for_taps(at, y, x, [&](int tap, int pixel) {
            for (int k = 0; k < at.in_channels; ++k) {
              const int row = tap * at.in_channels + k;
              sum += value(pixel, k) * weight(at, weights, depth(at), row, c);
            }
          });
          return sum;
        });
        break;
      case Kernel::kSepConv: {
        const int channels = static_cast<int>(nascore::kernels::padded(at.in_channels));
        const float* dense = weights + at.kernel_height * at.kernel_width * channels;
        Doubles mixed(std::size_t(at.out_height * at.out_width * at.in_channels));
        for (std::size_t i = 0; i < mixed.size(); ++i) {
          const int pixel = int(i) / at.in_channels, c = int(i) % at.in_channels;
          double sum = 0;
          for_taps(at, pixel / at.out_width, pixel % at.out_width,
                   [&](int tap, int from) { sum += value(from, c) * weights[tap * channels + c]; });
          mixed[i] = round_(sum);
        }
        for_outputs([&](int y, int x, int c) {
          double sum = bias(at, dense, at.in_channels, c);
          const double* pixel = mixed.data() + (y * at.out_width + x) * at.in_channels;
          for (int k = 0; k < at.in_channels; ++k) {
            sum += pixel[k] * weight(at, dense, at.in_channels, k, c);
          }
          return sum;
        });
        break;
      }
      case Kernel::kMaxPool:
      case Kernel::kAvgPool:
        for_outputs([&](int y, int x, int c) {
          const bool max = at.kernel == Kernel::kMaxPool;
          double sum = max ? -std::numeric_limits<double>::infinity() : 0;
          int count = 0;
          for_taps(at, y, x, [&](int, int pixel) {
            const double next = value(pixel, c);
            sum = !max ? sum + next : sum > next || std::isnan(sum) ? sum : next;
            ++count;
          });
          return max ? sum : sum / count;
        });
        break;
      case Kernel::kCopy:
        for_outputs([&](int y, int x, int c) {
          const double next = value(nearest(y, at.in_height, at.out_height) * at.in_width +
                                        nearest(x, at.in_width, at.out_width),
                                    c);
          return weights
                     ? next * weights[c] + weights[nascore::kernels::padded(at.out_channels) + c]
                     : next;
        });
        break;
      case Kernel::kPad:
        for_outputs([&](int y, int x, int c) {
          const int row = y - at.pad_top, column = x - at.pad_left;
          const bool inside = row >= 0 && row < at.in_height && column >= 0 && column < at.in_width;
          return inside ? value(row * at.in_width + column, c) : 0;
        });
        break;
      case Kernel::kFlatten:
        for_outputs([&](int, int, int c) { return value(c % pixels, c / pixels); });
        break;
      case Kernel::kGlobalPool:
        for_outputs([&](int, int, int c) {
          double sum = 0;
          for (int pixel = 0; pixel < pixels; ++pixel) sum += value(pixel, c);
          return sum / pixels;
        });
        break;
      default:  // kNorm
        for_outputs([&](int y, int x, int c) {
          const int first = at.together ? 0 : c, last = at.together ? at.in_channels : c + 1;
          double mean = 0, spread = 0;
          for (int i = 0; i < pixels * (last - first); ++i) {
            mean += value(i % pixels, first + i / pixels) / (pixels * (last - first));
          }
          for (int i = 0; i < pixels * (last - first); ++i) {
            const double off = value(i % pixels, first + i / pixels) - mean;
            spread += off * off / (pixels * (last - first));
          }
          const double scale = weights[c] / std::sqrt(spread + double{nascore::kernels::kEpsilon});
          return (value(y * at.in_width + x, c) - mean) * scale +
                 weights[nascore::kernels::padded(at.in_channels) + c];
        });
    }
    return out;
  }

  // Calls term(tap, pixel) for what lies in the image.
  template <class Term>
  static void for_taps(const Instruction& at, int y, int x, const Term& term) {
    for (int tap = 0; tap < at.kernel_height * at.kernel_width; ++tap) {
      const int row = y * at.stride - at.pad_top + tap / at.kernel_width * at.dilation;
      const int column = x * at.stride - at.pad_left + tap % at.kernel_width * at.dilation;
      if (row < 0 || row >= at.in_height || column < 0 || column >= at.in_width) continue;
      term(tap, row * at.in_width + column);
    }
  }

  static int nearest(int i, int in, int out) {
    const float scale = static_cast<float>(in) / static_cast<float>(out);
    return std::min(static_cast<int>(static_cast<float>(i) * scale), in - 1);
  }

  static int depth(const Instruction& at) {
    return at.kernel_height * at.kernel_width * at.in_channels;
  }

  // As packing.hpp lays them.
  static double weight(const Instruction& at, const float* weights, int depth, int row, int c) {
    using namespace nascore::kernels;
    const auto panel = c / kPanel * kPanel;
    const auto width = std::min<std::int64_t>(kPanel, padded(at.out_channels) - panel);
    return weights[panel * std::int64_t{depth} + row * width + c - panel];
  }
  static double bias(const Instruction& at, const float* weights, int depth, int c) {
    return weights[depth * nascore::kernels::padded(at.out_channels) + c];
  }

  const std::vector<Instruction>& program_;
  const std::vector<float>& weights_;
  const Round& round_;
};

}  // namespace emulator
