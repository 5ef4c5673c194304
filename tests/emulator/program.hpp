// What the test of programs asks: instructions with weights and images, on the emulated device and
// on the CPU.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>

#include "../cpp/instructions.hpp"
#include "kernel_test.hpp"
#include "kernels.hpp"
#include "nascore/kernels/cell.hpp"
#include "stepped.hpp"

namespace emulator {

using nascore::Floats;
using nascore::noise;

inline constexpr cudaStream_t kNoStream{};

inline std::size_t floats_of(const nascore::Shape& shape) {
  return static_cast<std::size_t>(shape.channels * shape.height * shape.width);
}

// Images of T, which are kept as the floats of the same values.
template <class T>
class Problem {
 public:
  Problem(std::vector<Instruction> program, Floats weights, std::size_t samples,
          const std::vector<std::size_t>& inputs, const std::vector<std::size_t>& outputs)
      : program_(std::move(program)), weights_(std::move(weights)), samples_(samples) {
    std::uint64_t seed = 100;
    for (const std::size_t size : inputs) inputs_.push_back(image(size, seed++));
    for (const std::size_t size : outputs) before_.push_back(image(size, seed++));
  }

  // Of a network: images in, logits out; weights that neither vanish nor grow without end.
  static Problem of(const nascore::Net& net, std::size_t samples) {
    const auto last = static_cast<std::int32_t>(net.rows.size()) - 1;
    nascore::Program program = nascore::compile(net, {0}, {last - 2, last}, false);
    Floats weights = noise(program.weights, 7);
    for (float& weight : weights) weight /= 4;
    std::vector<std::size_t> outputs;
    for (const nascore::Shape& shape : program.outputs) outputs.push_back(floats_of(shape));
    return Problem(std::move(program.instructions), std::move(weights), samples,
                   {floats_of(net.rows[0].out)}, outputs);
  }

  std::vector<Instruction>& program() { return program_; }
  Floats& input() { return inputs_[0]; }
  int count() const { return static_cast<int>(program_.size()); }

  // Buffers that are too large for shared memory.
  void move_buffers() {
    for (Instruction& at : program_) {
      if (at.input < 0) at.from += 128 * 1024;
      if (at.output < 0) at.to += 128 * 1024;
    }
  }

  // Of floats beside the CPU. A norm of what hardly differs magnifies rounding: an allowance is
  // what the CPU's own results move by when each input moves to the next float. Of 16 bits beside
  // the same steps in double precision: the error is at most twice that of rounding after each.
  void check(bool in_shared) const {
    if constexpr (std::is_same_v<T, float>) {
      const std::vector<Floats> wanted = on_cpu(inputs_);
      std::vector<Floats> inputs = inputs_;
      for (Floats& image : inputs) {
        for (std::size_t i = 0; i < image.size(); ++i) {
          image[i] = std::nextafter(image[i], i % 2 ? 1e9f : -1e9f);
        }
      }
      const std::vector<Floats> moved = on_cpu(inputs);
      in_orders([&] {
        const std::vector<Floats> found = run(in_shared);
        for (std::size_t i = 0; i < found.size(); ++i) compare(found[i], wanted[i], moved[i]);
      });
    } else {
      const std::vector<Doubles> exact = in_steps([](double value) { return value; });
      const std::vector<Doubles> steps =
          in_steps([](double value) { return double{T(static_cast<float>(value))}; });
      in_orders([&] {
        const std::vector<Floats> found = run(in_shared);
        for (std::size_t i = 0; i < found.size(); ++i) compare(found[i], exact[i], steps[i]);
      });
    }
  }

  // On the emulated device.
  std::vector<Floats> run(bool in_shared) const {
    const Array<Instruction> on_device(program_);
    const Array<float> weights(weights_);
    std::vector<std::unique_ptr<Array<T>>> from, to;
    nascore::cuda::CellRun<T> run{on_device.data(), count(), weights.data(), samples_, {}, {}};
    for (const Floats& image : inputs_) {
      from.push_back(std::make_unique<Array<T>>(std::vector<T>(image.begin(), image.end())));
      run.inputs[from.size() - 1] = from.back()->data();
    }
    for (const Floats& image : before_) {
      to.push_back(std::make_unique<Array<T>>(std::vector<T>(image.begin(), image.end())));
      run.outputs[to.size() - 1] = to.back()->data();
    }
    std::size_t elements = 1;
    CHECK_EQ(nascore::cuda::cell_workspace<T>(program_.data(), count(), samples_, &elements),
             cudaSuccess);
    CHECK_EQ(elements == 0, in_shared || samples_ == 0);
    Array<T> workspace(elements);
    CHECK_EQ(nascore::cuda::cell(program_.data(), run, workspace.data(), elements, kNoStream),
             cudaSuccess);
    std::vector<Floats> found;
    for (const auto& image : to) found.emplace_back(image->data(), image->data() + image->size());
    return found;
  }

 private:
  Floats image(std::size_t size, std::uint64_t seed) const {
    Floats values = noise(static_cast<std::int64_t>(samples_ * size), seed);
    for (float& value : values) value = static_cast<float>(T(value));
    return values;
  }

  template <class Round>
  std::vector<Doubles> in_steps(const Round& round) const {
    const Stepped<Round> stepped(program_, weights_, round);
    const auto part = [&](const Floats& image, std::size_t sample) {
      const auto size = static_cast<std::ptrdiff_t>(image.size() / samples_);
      const auto first = image.begin() + static_cast<std::ptrdiff_t>(sample) * size;
      return Doubles(first, first + size);
    };
    std::vector<Doubles> found(before_.size());
    for (std::size_t sample = 0; sample < samples_; ++sample) {
      std::vector<Doubles> inputs, outputs;
      for (const Floats& image : inputs_) inputs.push_back(part(image, sample));
      for (const Floats& image : before_) outputs.push_back(part(image, sample));
      stepped.run(inputs, outputs);
      for (std::size_t i = 0; i < found.size(); ++i) {
        found[i].insert(found[i].end(), outputs[i].begin(), outputs[i].end());
      }
    }
    return found;
  }

  std::vector<Floats> on_cpu(const std::vector<Floats>& images) const {
    std::vector<Floats> wanted = before_;
    std::vector<const float*> from;
    std::vector<float*> to;
    std::vector<std::int64_t> inputs, outputs;
    for (const Floats& image : images) {
      from.push_back(image.data());
      inputs.push_back(
          static_cast<std::int64_t>(image.size() / std::max(samples_, std::size_t{1})));
    }
    for (Floats& image : wanted) {
      to.push_back(image.data());
      outputs.push_back(
          static_cast<std::int64_t>(image.size() / std::max(samples_, std::size_t{1})));
    }
    if (samples_ > 0) {
      nascore::validate(program_.data(), count(), static_cast<std::int64_t>(weights_.size()),
                        inputs, outputs);
    }
    nascore::kernels::run({program_.data(), count(), weights_.data(),
                           static_cast<std::int64_t>(samples_), from.data(), to.data()});
    return wanted;
  }

  static void compare(const Floats& found, const Floats& wanted, const Floats& moved) {
    float largest = 1, allowed = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (!std::isfinite(wanted[i])) continue;
      largest = std::max(largest, std::fabs(wanted[i]));
      allowed = std::max(allowed, std::fabs(moved[i] - wanted[i]));
    }
    allowed += 2e-5f * largest;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      CHECK_EQ(std::isnan(found[i]), std::isnan(wanted[i]));
      if (found[i] == wanted[i] || std::isnan(wanted[i])) continue;
      CHECK(std::fabs(found[i] - wanted[i]) <= allowed);
    }
  }

  // The largest error and the mean square; what float32 does to a sum is allowed beside.
  static void compare(const Floats& found, const Doubles& exact, const Doubles& steps) {
    double largest = 1, worst = 0, allowed = 0, square = 0, allowed_square = 0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      CHECK_EQ(std::isnan(found[i]), std::isnan(exact[i]));
      if (std::isnan(exact[i])) continue;
      const double off = std::fabs(double{found[i]} - exact[i]);
      const double step = std::fabs(steps[i] - exact[i]);
      largest = std::max(largest, std::fabs(exact[i]));
      worst = std::max(worst, off);
      allowed = std::max(allowed, step);
      square += off * off;
      allowed_square += step * step;
    }
    const double rest = 2e-5 * largest, count = static_cast<double>(exact.size());
    CHECK(worst <= 2 * allowed + rest);
    CHECK(std::sqrt(square) <= 2 * std::sqrt(allowed_square) + rest * std::sqrt(count));
  }

  std::vector<Instruction> program_;
  Floats weights_;
  std::size_t samples_;
  std::vector<Floats> inputs_, before_;
};

}  // namespace emulator
