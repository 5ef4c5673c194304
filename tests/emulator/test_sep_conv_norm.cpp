// Separable convolution with the norm of its batch, and its gradients, against the plain ones.
#include "norm_problem.hpp"

using namespace emulator;

namespace {

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
