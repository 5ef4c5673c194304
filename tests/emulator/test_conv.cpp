// The convolution's kernel against the plain one.
#include "convolution.hpp"

using namespace emulator;

namespace {

constexpr cudaStream_t kNoStream{};

template <class T>
void test(const ConvShape& shape, std::size_t shift, bool with_bias) {
  const Convolution<T> problem(shape, shift);
  const int window = shape.kernel_h * shape.kernel_w;
  const Array<float> weights(
      random_floats(size_of(window, shape.in_channels, shape.out_channels), 2));
  const Array<float> bias(random_floats(size_of(shape.out_channels), 3));
  Plain wanted(problem.pixels * size_of(shape.out_channels));
  for_taps(shape, [&](int n, int i, int j, int tap, int row, int column) {
    const std::size_t at = problem.output_pixel(n, i, j) * size_of(shape.out_channels);
    for (int c = 0; c < shape.in_channels; ++c) {
      const double x = problem.input(n, row, column, c);
      const std::size_t from = size_of(tap * shape.in_channels + c, shape.out_channels);
      for (std::size_t o = 0; o < size_of(shape.out_channels); ++o) {
        wanted.add(at + o, x, weights[from + o]);
      }
    }
  });
  problem.check(wanted, with_bias ? &bias : nullptr, [&](const T* x, T* y) {
    return nascore::cuda::conv(x, weights.data(), with_bias ? bias.data() : nullptr, shape, y,
                               kNoStream);
  });
}

// 16 channels at once are half of a 16-bit pixel's 64 bytes where its border is wide.
template <class T>
void test_traffic(const ConvShape& shape, double conflicts, const char* name) {
  const Convolution<T> problem(shape, 0);
  const Array<float> weights(random_floats(
      size_of(shape.kernel_h, shape.kernel_w, shape.in_channels, shape.out_channels), 2));
  Array<T> y(problem.before);
  check_traffic("conv, " + said(shape) + ", " + name, due_bytes<T>(shape, weights.size()), 1.08,
                conflicts, [&] {
                  nascore::cuda::conv<T>(problem.x.data(), weights.data(), nullptr, shape, y.data(),
                                         kNoStream);
                });
}

template <class T>
void test_type(const char* name) {
  // Whole tiles and vectors; ragged in all; two blocks of channels; more than one chunk; strides,
  // dilation, one side only; one pixel.
  test<T>(shape_of(1, 8, 8, 8, 64, 3, 3, 1, 1), 0, true);
  test<T>(shape_of(2, 9, 5, 7, 10, 3, 3, 1, 1), 1, true);
  test<T>(shape_of(1, 5, 6, 3, 67, 1, 1, 1, 1), 0, false);
  test<T>(shape_of(1, 4, 3, 35, 8, 3, 1, 1, 1), 0, true);
  test<T>(shape_of(1, 11, 7, 5, 50, 5, 5, 2, 1), 0, true);
  test<T>(shape_of(1, 7, 8, 4, 4, 1, 7, 1, 2), 0, true);
  ConvShape inside = shape_of(2, 1, 1, 8, 12, 3, 3, 1, 1);  // of a concatenation
  inside.in_stride = 24;
  inside.out_stride = 20;
  inside.relu = inside.relu_after = inside.accumulate = true;
  test<T>(inside, 0, true);
  inside.out_stride = 13;
  test<T>(inside, 0, false);
  test<T>(shape_of(0, 4, 4, 4, 4, 3, 3, 1, 1), 0, true);

  Numbers numbers(9);
  for (int i = 0; i < 3; ++i) test<T>(random_shape(numbers), numbers.next() % 2, true);

  test_traffic<T>(shape_of(1, 16, 16, 16, 32, 3, 3, 1, 1), 0, name);
  // Of 8 channels at once, a row of lanes that store four pixels meets in their banks.
  test_traffic<T>(shape_of(1, 16, 16, 16, 32, 7, 7, 2, 1), 0.01, name);
}

void test_sizes() {
  const Array<float> x(1);
  Array<float> y(1);
  const auto status = [&](const ConvShape& shape) {
    return nascore::cuda::conv<float>(x.data(), x.data(), nullptr, shape, y.data(), kNoStream);
  };
  CHECK_EQ(status(shape_of(1, 1, 1, 0, 1, 3, 3, 1, 1)), cudaErrorInvalidValue);
  CHECK_EQ(status(shape_of(1, 1, 1, 1, 1, 0, 3, 1, 1)), cudaErrorInvalidValue);
  ConvShape still = shape_of(1, 1, 1, 1, 1, 3, 3, 1, 1);
  still.stride = 0;
  CHECK_EQ(status(still), cudaErrorInvalidValue);
  ConvShape narrow = shape_of(1, 1, 1, 2, 1, 1, 1, 1, 1);
  narrow.in_stride = 1;
  CHECK_EQ(status(narrow), cudaErrorInvalidValue);
  check_clean();
}

}  // namespace

int main() {
  test_type<float>("float32");
  test_type<__half>("float16");
  test_type<__nv_bfloat16>("bfloat16");
  test_sizes();
}
