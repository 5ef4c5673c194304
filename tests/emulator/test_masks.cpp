// The masks that kernels draw are the core's, bit for bit, for any order of threads.
#include "kernel_test.hpp"
#include "kernels.hpp"
#include "nascore/masks.hpp"

using emulator::Array;
using emulator::in_orders;

namespace {

constexpr std::uint64_t kSeed = 0x123456789ABCDEF0, kCounter = 0xFFFFFFF0;  // crosses 32 bits
constexpr std::uint32_t kStream = 7;
constexpr cudaStream_t kNoStream{};

struct Shape {
  std::int64_t rows;
  int n;
};
// One element; all odd; several blocks; whole vectors; a row beyond what needs no asking for.
constexpr Shape kShapes[] = {{1, 1}, {5, 3}, {131, 7}, {130, 40}, {300, 24}, {67, 129}, {2, 13001}};

nascore::cuda::RandomRows rows_of(const Shape& shape) {
  return {shape.rows, shape.n, kSeed, kStream, kCounter};
}

std::size_t count(const Shape& shape) {
  return static_cast<std::size_t>(shape.rows) * static_cast<std::size_t>(shape.n);
}

// Small and large ones, some 0, every fifth row all 0.
std::vector<std::uint32_t> weights_of(const Shape& shape) {
  emulator::Numbers numbers;
  std::vector<std::uint32_t> weights(count(shape));
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const std::uint32_t weight = numbers.next() % (nascore::kMaskOne + 1);
    const bool none = i / static_cast<std::size_t>(shape.n) % 5 == 4 || weight % 4 == 0;
    weights[i] = none ? 0 : weight;
  }
  return weights;
}

// Two of three, and the first of each row.
void set_legal(Array<bool>& legal, int n) {
  emulator::Numbers numbers;
  for (std::size_t i = 0; i < legal.size(); ++i) {
    legal[i] = numbers.next() % 3 != 0 || i % static_cast<std::size_t>(n) == 0;
  }
}

template <class T>
void check_same(const Array<T>& got, const Array<T>& wanted) {
  for (std::size_t i = 0; i < got.size(); ++i) CHECK_EQ(got[i], wanted[i]);
}

void test_draw_k(const Shape& shape, int k) {
  const Array<std::uint32_t> weights(weights_of(shape));
  const std::size_t size = static_cast<std::size_t>(shape.rows) * static_cast<std::size_t>(k);
  Array<std::int32_t> wanted(size);
  nascore::draw_k(weights.data(), shape.rows, shape.n, k, kSeed, kStream, kCounter, wanted.data());
  in_orders([&] {
    Array<std::int32_t> drawn(size), invalid(std::vector<std::int32_t>{0});
    CHECK_EQ(nascore::cuda::draw_k(weights.data(), rows_of(shape), k, drawn.data(), invalid.data(),
                                   kNoStream),
             cudaSuccess);
    check_same(drawn, wanted);
    CHECK_EQ(invalid[0], 0);
  });
}

void test_draw_bernoulli(const Shape& shape) {
  const Array<std::uint32_t> weights(weights_of(shape));
  Array<bool> wanted(count(shape));
  nascore::draw_bernoulli(weights.data(), shape.rows, shape.n, kSeed, kStream, kCounter,
                          wanted.data());
  in_orders([&] {
    Array<bool> mask(count(shape));
    Array<std::int32_t> invalid(std::vector<std::int32_t>{0});
    CHECK_EQ(nascore::cuda::draw_bernoulli(weights.data(), rows_of(shape), mask.data(),
                                           invalid.data(), kNoStream),
             cudaSuccess);
    check_same(mask, wanted);
    CHECK_EQ(invalid[0], 0);
  });
}

void test_draw_categorical(const Shape& shape) {
  const Array<std::uint32_t> weights(weights_of(shape));
  Array<bool> legal(count(shape));
  set_legal(legal, shape.n);
  Array<std::int32_t> wanted(static_cast<std::size_t>(shape.rows));
  nascore::draw_categorical(weights.data(), legal.data(), shape.rows, shape.n, kSeed, kStream,
                            kCounter, wanted.data());
  in_orders([&] {
    Array<std::int32_t> drawn(wanted.size()), invalid(std::vector<std::int32_t>{0});
    CHECK_EQ(nascore::cuda::draw_categorical(weights.data(), legal.data(), rows_of(shape),
                                             drawn.data(), invalid.data(), kNoStream),
             cudaSuccess);
    check_same(drawn, wanted);
    CHECK_EQ(invalid[0], 0);
  });
}

// A weight above 1, and a row without anything legal, are reported and harm no other row.
void test_invalid() {
  const Shape shape{3, 5};
  std::vector<std::uint32_t> weights(15, nascore::kMaskOne);
  weights[7] = nascore::kMaskOne + 1;
  const Array<std::uint32_t> too_large(weights);
  weights[7] = nascore::kMaskOne;
  const Array<std::uint32_t> valid(weights);
  Array<bool> legal(15);
  for (std::size_t i = 0; i < 15; ++i) legal[i] = i / 5 != 1;
  in_orders([&] {
    Array<std::int32_t> two(6), wanted(6), one(3), invalid(std::vector<std::int32_t>(3, 0));
    Array<bool> mask(15);
    const auto rows = rows_of(shape);
    nascore::draw_k(valid.data(), 3, 5, 2, kSeed, kStream, kCounter, wanted.data());
    nascore::cuda::draw_k(too_large.data(), rows, 2, two.data(), &invalid[0], kNoStream);
    nascore::cuda::draw_bernoulli(too_large.data(), rows, mask.data(), &invalid[1], kNoStream);
    nascore::cuda::draw_categorical(valid.data(), legal.data(), rows, one.data(), &invalid[2],
                                    kNoStream);
    check_same(two, wanted);
    for (std::size_t i = 0; i < 15; ++i) CHECK(mask[i]);
    CHECK(one[0] >= 0 && one[1] == -1 && one[2] >= 0);
    for (std::size_t i = 0; i < 3; ++i) CHECK_EQ(invalid[i], 1);
  });
}

void test_sizes() {
  Array<std::uint32_t> weights(1);
  Array<std::int32_t> drawn(1), invalid(1);
  const auto status = [&](std::int64_t rows, int n, int k) {
    return nascore::cuda::draw_k(weights.data(), {rows, n, 0, 0, 0}, k, drawn.data(),
                                 invalid.data(), kNoStream);
  };
  CHECK_EQ(status(0, 4, 2), cudaSuccess);
  CHECK_EQ(status(1, 0, 1), cudaErrorInvalidValue);
  CHECK_EQ(status(1, 4, 5), cudaErrorInvalidValue);
  CHECK_EQ(status(1, nascore::kMaxMask + 1, 1), cudaErrorInvalidValue);
  emulator::check_clean();
}

void test_traffic() {
  const Shape shape{512, 32};
  const Array<std::uint32_t> weights(weights_of(shape));
  Array<bool> legal(count(shape));
  set_legal(legal, shape.n);
  Array<std::int32_t> drawn(512 * 4), invalid(std::vector<std::int32_t>{0});
  Array<bool> mask(count(shape));
  emulator::check_traffic("draw_k, 512 rows of 32, k = 4", 512 * (32 + 4) * 4, 1.4, 0.9, [&] {
    nascore::cuda::draw_k(weights.data(), rows_of(shape), 4, drawn.data(), invalid.data(),
                          kNoStream);
  });
  // A thread loads 32 bytes in two halves, each by all of its warp.
  emulator::check_traffic("draw_bernoulli, 512 rows of 32", 512 * 32 * (4 + 1), 1.85, 0, [&] {
    nascore::cuda::draw_bernoulli(weights.data(), rows_of(shape), mask.data(), invalid.data(),
                                  kNoStream);
  });
  emulator::check_traffic(
      "draw_categorical, 512 rows of 32", 512 * (32 * (4 + 1) + 4), 1.65, 0, [&] {
        nascore::cuda::draw_categorical(weights.data(), legal.data(), rows_of(shape), drawn.data(),
                                        invalid.data(), kNoStream);
      });
}

}  // namespace

int main() {
  for (const Shape& shape : kShapes) {
    test_draw_k(shape, 1);
    test_draw_k(shape, shape.n < 40 ? (shape.n + 1) / 2 : 9);
    if (shape.n < 40) test_draw_k(shape, shape.n);
    test_draw_bernoulli(shape);
    test_draw_categorical(shape);
  }
  test_invalid();
  test_sizes();
  test_traffic();
}
