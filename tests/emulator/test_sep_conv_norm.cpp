// Separable convolution with the norm of its batch, and its gradients, against the plain ones.
#include "convolution.hpp"

using namespace emulator;
using nascore::cuda::Norm;

namespace {

constexpr cudaStream_t kNoStream{};
constexpr double kFloat = 0x1p-20;  // of the sizes of a sum's terms
constexpr float kEpsilon = 1e-3f;

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

// The norm is that of what was found before it.
template <class T>
void check_norm(const Problem<T>& problem, const Forward<T>& found) {
  const std::size_t out = problem.out;
  const auto raw = [&](std::size_t at) {
    return double{static_cast<float>(found.raw[problem.shift + at])};
  };
  const auto pixels = static_cast<double>(problem.pixels);
  Near mean(out), variance(out), y(problem.pixels * out);
  for (std::size_t o = 0; o < out; ++o) {
    for (std::size_t p = 0; p < problem.pixels; ++p) mean.add(o, 1 / pixels, raw(p * out + o));
    for (std::size_t p = 0; p < problem.pixels; ++p) {
      const double apart = raw(p * out + o) - mean.value[o];
      variance.add(o, apart, apart / pixels);
    }
    const double size = std::fabs(mean.value[o]);  // of which no square may be lost
    variance.error[o] += kFloat * size * std::sqrt(variance.value[o]);
    variance.error[o] += kFloat * size * kFloat * size;
    const double slope = problem.scale[o] / std::sqrt(double{found.variance[o]} + kEpsilon);
    for (std::size_t p = 0; p < problem.pixels; ++p) {
      y.add(p * out + o, slope, raw(p * out + o) - double{found.mean[o]});
      y.add(p * out + o, 1, problem.offset[o]);
    }
  }
  y.round<T>();
  mean.check(found.mean.data(), "mean");
  variance.check(found.variance.data(), "variance");
  y.check(found.y.data() + problem.shift, "y");
}

// Not a bit differs between runs.
class Bits {
 public:
  template <class T>
  void add(const Array<T>& values, std::size_t from = 0) {
    for (std::size_t i = from; i < values.size(); ++i)
      now_.push_back(static_cast<float>(values[i]));
  }
  void check() {
    if (first_.empty()) first_ = now_;
    CHECK(now_ == first_);
    now_.clear();
  }

 private:
  std::vector<float> first_, now_;
};

template <class T>
void test_forward(const ConvShape& shape, std::size_t shift, float mean = 0) {
  const Problem<T> problem(shape, shift, mean);
  const Near mixed = problem.mixed();
  Near raw(problem.pixels * problem.out);
  for (std::size_t at = 0; at < raw.value.size(); ++at) {
    for (std::size_t c = 0; c < problem.in; ++c) {
      const std::size_t from = at / problem.out * problem.in + c;
      raw.add(at, mixed.value[from], problem.pointwise[c * problem.out + at % problem.out],
              mixed.error[from]);
    }
  }
  raw.round<T>();
  Bits bits;
  in_orders([&] {
    Forward<T> found(problem);
    CHECK_EQ(found.run(problem), cudaSuccess);
    raw.check(found.raw.data() + shift, "raw");
    check_norm(problem, found);
    bits.add(found.y, shift);
    bits.add(found.mean);
    bits.add(found.variance);
    bits.check();
  });
}

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

template <class T>
void test_backward(const ConvShape& shape, std::size_t shift) {
  const Problem<T> problem(shape, shift);
  const Array<float> mean(random_values<float>(problem.out, 8, 0, 0.5f));
  const Array<float> variance(random_values<float>(problem.out, 9, 0, 1.25f));
  const Gradients<T> wanted(problem, mean, variance);
  Bits bits;
  in_orders([&] {
    Backward<T> found(problem);
    CHECK_EQ(found.run(problem, mean, variance), cudaSuccess);
    wanted.shift.check(found.shift.data(), "of shift");
    wanted.scale.check(found.scale.data(), "of scale");
    wanted.pointwise.check(found.pointwise.data(), "of pointwise");
    wanted.depthwise.check(found.depthwise.data(), "of depthwise");
    wanted.x.check(found.x.data() + shift, "of x");
    bits.add(found.x, shift);
    bits.add(found.depthwise);
    bits.add(found.pointwise);
    bits.add(found.scale);
    bits.check();
  });
}

template <class T>
void test(const ConvShape& shape, std::size_t shift = 0) {
  test_forward<T>(shape, shift);
  test_backward<T>(shape, shift);
}

// What the kernels of a pass have to ask for, one after the other: each tile's block leaves partial
// sums of the depthwise weights, and `parts` of the pointwise ones.
template <class T>
void test_traffic(const ConvShape& shape, std::size_t parts, const char* name) {
  const Problem<T> problem(shape, 0);
  const std::size_t tiles =
      size_of(shape.samples, (shape.out_height + 7) / 8, (shape.out_width + 7) / 8);
  const std::size_t chunks = (problem.in + 31) / 32, outs = (problem.out + 31) / 32 / 2 + 1;
  const std::size_t image = problem.pixels * problem.out * sizeof(T);  // as many channels
  const std::size_t taps = problem.depthwise.size(), mix = problem.pointwise.size();
  const std::size_t row = problem.out * sizeof(float), rows = 4096 / problem.out / sizeof(T);
  const std::size_t sums = (problem.pixels + 2 * rows - 1) / (2 * rows);
  const std::string what = ", " + said(shape) + ", " + name;
  Forward<T> forward(problem);
  const std::size_t convolved = due_bytes<T>(shape, taps + mix);
  check_traffic("sep_conv_norm" + what, convolved + tiles * 5 * row + 2 * image, 1.1, 0,
                [&] { CHECK_EQ(forward.run(problem), cudaSuccess); });
  Backward<T> backward(problem);
  const std::size_t norm = 2 * image + sums * 4 * row + 4 * row;
  const std::size_t through = 4 * image + tiles * (mix * sizeof(float) + 4 * row);
  const std::size_t pointwise = outs * (due_bytes<T>(shape, taps) - image) + chunks * image +
                                2 * tiles * parts * mix * sizeof(float);
  const std::size_t depthwise = due_bytes<T>(shape, 2 * taps) + image + tiles * taps * 4;
  check_traffic("its backward pass" + what, norm + through + pointwise + depthwise, 1.1, 0, [&] {
    CHECK_EQ(backward.run(problem, forward.mean, forward.variance), cudaSuccess);
  });
}

template <class T>
void test_type(const char* name) {
  // Ragged in all; strides; several chunks and blocks of channels.
  test<T>(shape_of(2, 9, 5, 7, 10, 3, 3, 1, 1), 1);
  test<T>(shape_of(2, 9, 7, 8, 48, 5, 5, 2, 1));
  test<T>(shape_of(1, 3, 3, 67, 68, 3, 3, 1, 1));
  test_traffic<T>(shape_of(1, 16, 16, 32, 32, 5, 5, 1, 1), 2, name);
}

// A tile's channels are in shared memory: how many that are depends on the device.
void test_limits() {
  const auto status = [](int architecture, int in, int out) {
    set_device(architecture);
    const Problem<float> problem(shape_of(1, 1, 1, in, out, 3, 3, 1, 1), 0);
    Forward<float> forward(problem);
    const cudaError_t first = forward.run(problem);
    if (first != cudaSuccess) return first;
    return Backward<float>(problem).run(problem, forward.mean, forward.variance);
  };
  CHECK_EQ(status(80, 500, 4), cudaSuccess);
  CHECK_EQ(status(80, 750, 4), cudaErrorInvalidValue);
  CHECK_EQ(status(80, 4, 540), cudaSuccess);
  CHECK_EQ(status(80, 4, 750), cudaErrorInvalidValue);
  CHECK_EQ(status(90, 4, 750), cudaSuccess);
  set_device(80);
  check_clean();
}

}  // namespace

int main() {
  // Each kernel that is unrolled; more tiles than blocks that sum over them; dilation; pixels in
  // whole tiles or not; channels that a block of pixels holds once, several times, or not at all.
  test<float>(shape_of(1, 8, 8, 8, 64, 3, 3, 1, 1));
  test<float>(shape_of(1, 6, 9, 5, 44, 5, 5, 1, 1));
  test<float>(shape_of(1, 9, 9, 4, 7, 7, 7, 1, 1));
  test<float>(shape_of(1, 7, 8, 9, 4, 3, 3, 1, 2));
  test<float>(shape_of(1, 5, 3, 36, 4, 7, 7, 2, 2));
  test<float>(shape_of(8, 1, 1, 8, 12, 1, 1, 1, 1));
  test<float>(shape_of(9, 2, 1, 4, 5, 3, 3, 1, 1), 1);
  test<float>(shape_of(1, 3, 3, 3, 260, 3, 3, 1, 1));
  test<__half>(shape_of(1, 3, 3, 3, 260, 3, 3, 1, 1));
  ConvShape odd = shape_of(1, 7, 9, 6, 5, 3, 5, 2, 1);  // its window lies elsewhere
  odd.pad_top = 0;
  odd.pad_left = 3;
  test<float>(odd);
  test_forward<float>(shape_of(2, 9, 9, 4, 5, 1, 1, 1, 1), 0, 100);  // no digits of 100 are lost
  test_type<float>("float32");
  test_type<__half>("float16");
  test_type<__nv_bfloat16>("bfloat16");
  test_limits();
}
