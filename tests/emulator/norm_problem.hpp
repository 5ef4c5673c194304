// A separable convolution with the norm of its batch: what both passes read, their launches, and
// the plain gradients with how far a kernel's may be off.
#pragma once

#include "convolution.hpp"

namespace emulator {

using nascore::cuda::Norm;

inline constexpr cudaStream_t kNoStream{};
inline constexpr double kFloat = 0x1p-20;  // of the sizes of a sum's terms
inline constexpr float kEpsilon = 1e-3f;

// Numbers and how far the kernels' may be off.
struct Near {
  std::vector<double> value, error;
  explicit Near(std::size_t size) : value(size), error(size) {}
  // Adds a product of numbers that are off by of_a and of_b.
  void add(std::size_t at, double a, double b, double of_a = 0, double of_b = 0) {
    value[at] += a * b;
    error[at] +=
        kFloat * std::fabs(a * b) + of_a * std::fabs(b) + of_b * std::fabs(a) + of_a * of_b;
  }
  template <class T>
  void round() {
    for (std::size_t i = 0; i < value.size(); ++i) {
      error[i] += kRounding<T> * (std::fabs(value[i]) + error[i]);
    }
  }
  template <class T>
  void check(const T* found, const char* name) const {
    for (std::size_t i = 0; i < value.size(); ++i) {
      const double got{static_cast<float>(found[i])};
      if (std::fabs(got - value[i]) <= error[i]) continue;
      std::cerr << name << "[" << i << "] is " << got << ", not " << value[i] << " within "
                << error[i] << "\n";
      std::exit(1);
    }
  }
};

template <class T>
std::vector<T> random_values(std::size_t size, std::uint32_t seed, std::size_t shift,
                             float offset = 0) {
  Numbers numbers(seed);
  std::vector<T> values(size + shift);
  for (T& value : values) value = offset + numbers.real();
  return values;
}

// All that both passes read. Channels of weights first, as of the packed ones: depthwise [taps,
// in_channels], and pointwise [in_channels, out_channels] and turned.
template <class T>
struct Problem {
  ConvShape shape;
  std::size_t in, out, taps, pixels, shift;
  Array<T> x, grad, raw;
  Array<float> depthwise, pointwise, turned, scale, offset;
  Norm norm;

  Problem(const ConvShape& given, std::size_t shift, float mean = 0)
      : shape(given),
        in(size_of(shape.in_channels)),
        out(size_of(shape.out_channels)),
        taps(size_of(shape.kernel_h, shape.kernel_w)),
        pixels(size_of(shape.samples, shape.out_height, shape.out_width)),
        shift(shift),
        x(random_values<T>(size_of(shape.samples, shape.height, shape.width) * in, 1, shift, mean)),
        grad(random_values<T>(pixels * out, 2, shift, 0.25f)),
        raw(random_values<T>(pixels * out, 3, shift, 0.5f)),
        depthwise(random_floats(taps * in, 4)),
        pointwise(random_floats(in * out, 5)),
        turned(in * out),
        scale(random_floats(out, 6)),
        offset(random_floats(out, 7)),
        norm{scale.data(), offset.data(), kEpsilon} {
    shape.relu = true;
    if (mean != 0) {
      for (std::size_t i = 0; i < depthwise.size(); ++i) depthwise[i] = std::fabs(depthwise[i]);
      for (std::size_t i = 0; i < pointwise.size(); ++i) pointwise[i] = std::fabs(pointwise[i]);
    }
    for (std::size_t c = 0; c < in; ++c) {
      for (std::size_t o = 0; o < out; ++o) turned[o * in + c] = pointwise[c * out + o];
    }
  }

  std::size_t input_at(int n, int row, int column) const {
    return (size_of(n, shape.height, shape.width) + size_of(row, shape.width) + size_of(column)) *
           in;
  }
  double relu(std::size_t at) const {
    return std::max(0.0, double{static_cast<float>(x[shift + at])});
  }
  std::size_t pixel_at(int n, int i, int j) const {
    return size_of(n, shape.out_height, shape.out_width) + size_of(i, shape.out_width) + size_of(j);
  }

  Near mixed() const {
    Near found(pixels * in);
    for_taps(shape, [&](int n, int i, int j, int tap, int row, int column) {
      for (std::size_t c = 0; c < in; ++c) {
        found.add(pixel_at(n, i, j) * in + c, relu(input_at(n, row, column) + c),
                  depthwise[size_of(tap) * in + c]);
      }
    });
    return found;
  }
};

template <class T>
struct Forward {
  Array<T> raw, y;
  Array<float> mean, variance, workspace;
  explicit Forward(const Problem<T>& problem)
      : raw(problem.pixels * problem.out + problem.shift),
        y(problem.pixels * problem.out + problem.shift),
        mean(problem.out),
        variance(problem.out),
        workspace(nascore::cuda::sep_conv_norm_workspace(problem.shape)) {}
  cudaError_t run(const Problem<T>& problem) {
    const std::size_t shift = problem.shift;
    return nascore::cuda::sep_conv_norm<T>(problem.x.data() + shift, problem.depthwise.data(),
                                           problem.pointwise.data(), problem.norm, problem.shape,
                                           raw.data() + shift, y.data() + shift, mean.data(),
                                           variance.data(), workspace.data(), kNoStream);
  }
};

template <class T>
struct Backward {
  Array<T> x;
  Array<float> depthwise, pointwise, scale, shift, workspace;
  explicit Backward(const Problem<T>& problem)
      : x(problem.x.size()),
        depthwise(problem.depthwise.size()),
        pointwise(problem.pointwise.size()),
        scale(problem.out),
        shift(problem.out),
        workspace(nascore::cuda::sep_conv_norm_backward_workspace<T>(problem.shape)) {}
  cudaError_t run(const Problem<T>& problem, const Array<float>& mean,
                  const Array<float>& variance) {
    const std::size_t off = problem.shift;
    return nascore::cuda::sep_conv_norm_backward<T>(
        problem.grad.data() + off, problem.x.data() + off, problem.raw.data() + off, mean.data(),
        variance.data(), problem.depthwise.data(), problem.turned.data(), problem.norm,
        problem.shape,
        {x.data() + off, depthwise.data(), pointwise.data(), scale.data(), shift.data()},
        workspace.data(), kNoStream);
  }
};

// The plain gradients: through the norm and both convolutions, [pixels, channels], then of weights
// and x.
template <class T>
struct Gradients {
  Near scale, shift, raw, mixed, pointwise, depthwise, x;

  Gradients(const Problem<T>& problem, const Array<float>& mean, const Array<float>& variance)
      : scale(problem.out),
        shift(problem.out),
        raw(problem.pixels * problem.out),
        mixed(problem.pixels * problem.in),
        pointwise(problem.in * problem.out),
        depthwise(problem.in * problem.taps),
        x(problem.x.size() - problem.shift) {
    through_norm(problem, mean, variance);
    const std::size_t in = problem.in, out = problem.out, taps = problem.taps;
    const Near before = problem.mixed();
    for (std::size_t p = 0; p < problem.pixels; ++p) {
      for (std::size_t c = 0; c < in; ++c) {
        for (std::size_t o = 0; o < out; ++o) {
          const double value = raw.value[p * out + o], error = raw.error[p * out + o];
          mixed.add(p * in + c, value, problem.turned[o * in + c], error);
          pointwise.add(o * in + c, value, before.value[p * in + c], error,
                        before.error[p * in + c]);
        }
      }
    }
    mixed.round<T>();
    for_taps(problem.shape, [&](int n, int i, int j, int tap, int row, int column) {
      for (std::size_t c = 0; c < in; ++c) {
        const std::size_t at = problem.input_at(n, row, column) + c;
        const std::size_t from = problem.pixel_at(n, i, j) * in + c;
        const double value = mixed.value[from], error = mixed.error[from];
        depthwise.add(c * taps + size_of(tap), value, problem.relu(at), error);
        if (problem.relu(at) <= 0) continue;
        x.add(at, value, problem.depthwise[size_of(tap) * in + c], error);
      }
    });
    x.round<T>();
  }

 private:
  void through_norm(const Problem<T>& problem, const Array<float>& mean,
                    const Array<float>& variance) {
    const std::size_t out = problem.out;
    const auto pixels = static_cast<double>(problem.pixels);
    const auto at = [&](const Array<T>& values, std::size_t i) {
      return double{static_cast<float>(values[problem.shift + i])};
    };
    for (std::size_t o = 0; o < out; ++o) {
      const double inverse = 1 / std::sqrt(double{variance[o]} + kEpsilon);
      const double slope = problem.scale[o] * inverse;
      for (std::size_t i = o; i < raw.value.size(); i += out) {
        shift.add(o, 1, at(problem.grad, i));
        scale.add(o, inverse * at(problem.grad, i), at(problem.raw, i) - double{mean[o]});
      }
      const double of_raw = slope * inverse / pixels, added = slope / pixels;
      for (std::size_t i = o; i < raw.value.size(); i += out) {
        raw.add(i, slope, at(problem.grad, i));
        raw.add(i, -of_raw * (at(problem.raw, i) - double{mean[o]}), scale.value[o], 0,
                scale.error[o]);
        raw.add(i, -added, shift.value[o], 0, shift.error[o]);
      }
    }
    raw.round<T>();
  }
};

}  // namespace emulator
