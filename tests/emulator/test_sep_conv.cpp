// The separable convolution's kernel against the plain one.
#include "convolution.hpp"

using namespace emulator;

namespace {

constexpr cudaStream_t kNoStream{};

template <class T>
void test(const ConvShape& shape, std::size_t shift, bool with_bias) {
  const Convolution<T> problem(shape, shift);
  const auto in = size_of(shape.in_channels), out = size_of(shape.out_channels);
  const int window = shape.kernel_h * shape.kernel_w;
  const Array<float> depthwise(random_floats(size_of(window) * in, 2));
  const Array<float> pointwise(random_floats(in * out, 3));
  const Array<float> bias(random_floats(out, 4));
  Plain mixed(problem.pixels * in), wanted(problem.pixels * out);
  for_taps(shape, [&](int n, int i, int j, int tap, int row, int column) {
    const std::size_t at = problem.output_pixel(n, i, j) * in;
    for (int c = 0; c < shape.in_channels; ++c) {
      mixed.add(at + size_of(c), problem.input(n, row, column, c),
                depthwise[size_of(tap) * in + size_of(c)]);
    }
  });
  for (std::size_t pixel = 0; pixel < problem.pixels; ++pixel) {
    for (std::size_t c = 0; c < in; ++c) {
      for (std::size_t o = 0; o < out; ++o) {
        const std::size_t at = pixel * out + o;
        const double weight = pointwise[c * out + o];
        wanted.value[at] += weight * mixed.value[pixel * in + c];
        wanted.sizes[at] += std::fabs(weight) * mixed.sizes[pixel * in + c];
      }
    }
  }
  problem.check(wanted, with_bias ? &bias : nullptr, [&](const T* x, T* y) {
    return nascore::cuda::sep_conv(x, depthwise.data(), pointwise.data(),
                                   with_bias ? bias.data() : nullptr, shape, y, kNoStream);
  });
}

template <class T>
void test_traffic(const ConvShape& shape, double slack, double conflicts, const char* name) {
  const Convolution<T> problem(shape, 0);
  const Array<float> depthwise(
      random_floats(size_of(shape.kernel_h, shape.kernel_w, shape.in_channels), 2));
  const Array<float> pointwise(random_floats(size_of(shape.in_channels, shape.out_channels), 3));
  Array<T> y(problem.before);
  check_traffic("sep_conv, " + said(shape) + ", " + name,
                due_bytes<T>(shape, depthwise.size() + pointwise.size()), slack, conflicts, [&] {
                  nascore::cuda::sep_conv<T>(problem.x.data(), depthwise.data(), pointwise.data(),
                                             nullptr, shape, y.data(), kNoStream);
                });
}

template <class T>
void test_type(const char* name) {
  // Each kernel that is unrolled; strides and dilation; ragged in all; several chunks and blocks of
  // channels; one pixel, in a concatenation.
  test<T>(shape_of(1, 8, 8, 8, 64, 3, 3, 1, 1), 0, true);
  test<T>(shape_of(2, 9, 5, 7, 10, 3, 3, 1, 1), 1, true);
  test<T>(shape_of(1, 6, 9, 5, 44, 5, 5, 1, 1), 0, false);
  test<T>(shape_of(1, 9, 9, 4, 7, 7, 7, 1, 1), 0, true);
  test<T>(shape_of(1, 11, 7, 5, 50, 5, 5, 2, 1), 0, true);
  test<T>(shape_of(1, 7, 8, 9, 4, 3, 3, 1, 2), 0, true);
  test<T>(shape_of(1, 4, 9, 4, 4, 1, 7, 1, 1), 0, true);
  test<T>(shape_of(1, 3, 3, 67, 68, 3, 3, 1, 1), 0, true);
  test<T>(shape_of(1, 5, 3, 36, 4, 7, 7, 2, 2), 0, true);
  ConvShape inside = shape_of(2, 1, 1, 8, 12, 3, 3, 1, 1);
  inside.in_stride = 24;
  inside.out_stride = 20;
  inside.relu = inside.relu_after = inside.accumulate = true;
  test<T>(inside, 0, true);
  inside.out_stride = 13;
  test<T>(inside, 0, false);
  test<T>(shape_of(0, 4, 4, 4, 4, 3, 3, 1, 1), 0, true);

  Numbers numbers(9);
  for (int i = 0; i < 10; ++i) test<T>(random_shape(numbers), numbers.next() % 2, true);

  test_traffic<T>(shape_of(1, 16, 16, 32, 32, 5, 5, 1, 1), 1, 0, name);
  // Less channels at once, for lack of shared memory: neighbours' columns meet in their banks, and
  // then a load is half of a sector.
  test_traffic<T>(shape_of(1, 16, 16, 32, 32, 7, 7, 2, 1), 1, 0.65, name);
  test_traffic<T>(shape_of(1, 8, 8, 200, 8, 7, 7, 1, 1), 1.36, 0.08, name);
}

// All channels of a tile are in shared memory: how many that are depends on the device.
void test_limits() {
  const auto status = [](int architecture, int channels) {
    set_device(architecture);
    const ConvShape shape = shape_of(1, 1, 1, channels, 4, 7, 7, 2, 2);
    const Convolution<float> problem(shape, 0);
    const Array<float> depthwise(size_of(49, channels)), pointwise(size_of(channels, 4));
    Array<float> y(problem.before);
    return nascore::cuda::sep_conv<float>(problem.x.data(), depthwise.data(), pointwise.data(),
                                          nullptr, shape, y.data(), kNoStream);
  };
  CHECK_EQ(status(80, 500), cudaSuccess);
  CHECK_EQ(status(80, 750), cudaErrorInvalidValue);
  CHECK_EQ(status(90, 750), cudaSuccess);
  CHECK_EQ(status(90, 1000), cudaErrorInvalidValue);
  CHECK_EQ(status(90, 0), cudaErrorInvalidValue);
  check_clean();
}

}  // namespace

int main() {
  test_type<float>("float32");
  test_type<__half>("float16");
  test_type<__nv_bfloat16>("bfloat16");
  test_limits();
}
