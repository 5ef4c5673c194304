#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "check.hpp"
#include "instruction_sets.hpp"
#include "nascore/kernels/masked_sum.hpp"
#include "nascore/rng.hpp"

using namespace nascore;
using kernels::MaskedShape;

namespace {

// Exactly as long as they are, so that the sanitizer sees what is read or written beside them.
template <class T>
std::vector<T> numbers(std::size_t n, std::uint64_t stream) {
  std::vector<T> out(n);
  for (std::size_t i = 0; i < n; ++i) {
    out[i] = T(Draw(1, stream, i).below(2001)) / T(1000) - T(1);
  }
  return out;
}

template <class T>
void check_near(T got, double wanted, double scale) {
  const double allowed = (sizeof(T) == 4 ? 1e-5 : 1e-13) * (1 + scale);
  CHECK(std::abs(double(got) - wanted) <= allowed);
}

// Every fourth gradient of an input is not wanted; every `off`-th mask is not 0.
template <class T>
void values_are_those_of_the_definition(MaskedShape shape, int off) {
  const auto n = static_cast<std::size_t>(shape.inputs);
  const std::size_t total = shape.samples * shape.size;
  std::vector<std::vector<T>> inputs, of_inputs;
  std::vector<const T*> read;
  std::vector<T*> written;
  for (std::size_t j = 0; j < n; ++j) {
    inputs.push_back(numbers<T>(total, 10 + j));
    of_inputs.push_back(numbers<T>(total, 0));
    read.push_back(inputs[j].data());
    written.push_back(j % 4 == 3 ? nullptr : of_inputs[j].data());
  }
  const auto grad = numbers<T>(total, 1);
  auto mask = numbers<T>(shape.samples * n, 2);
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (off == 0 || i % static_cast<std::size_t>(off) != 0) mask[i] = 0;
  }
  std::vector<T> out(total, T(7)), of_mask(mask.size(), T(7)), dots(mask.size(), T(7));
  kernels::masked_sum<T>(read.data(), mask.data(), shape, out.data());
  kernels::masked_sum_backward<T>(grad.data(), read.data(), mask.data(), shape, written.data(),
                                  of_mask.data());
  for (std::size_t sample = 0; sample < shape.samples; ++sample) {
    const T* const m = &mask[sample * n];
    for (std::size_t i = sample * shape.size; i < (sample + 1) * shape.size; ++i) {
      double y = 0;
      for (std::size_t j = 0; j < n; ++j) {
        y += double(m[j]) * double(inputs[j][i]);
        if (written[j] != nullptr) check_near(of_inputs[j][i], double(m[j]) * double(grad[i]), 1);
      }
      check_near(out[i], y, double(n));
    }
    for (std::size_t j = 0; j < n; ++j) {
      double dot = 0;
      for (std::size_t i = sample * shape.size; i < (sample + 1) * shape.size; ++i) {
        dot += double(grad[i]) * double(inputs[j][i]);
      }
      check_near(of_mask[sample * n + j], dot, std::sqrt(double(shape.size)));
    }
  }
  // Without any gradient of an input, masks are not needed, and theirs have the same bits.
  const std::vector<T*> nothing(n, nullptr);
  const T* const unread = nullptr;
  if (shape.samples == 1) {
    kernels::masked_sum_backward<T>(grad.data(), read.data(), unread, shape, nothing.data(),
                                    dots.data());
    CHECK(dots == of_mask);
  }
}

template <class T>
void values() {
  for (const std::size_t size : {0u, 1u, 15u, 16u, 33u, 8191u, 8192u, 8207u, 30001u}) {
    for (const std::size_t samples : {0u, 1u, 3u}) {
      for (const int n : {1, 3, 4, 6, 9}) {
        for (const int off : {0, 1, 2}) {
          values_are_those_of_the_definition<T>({samples, size, n}, off);
        }
      }
    }
  }
}

void what_is_masked_is_not_read() {
  const float x[3] = {1, 2, 3};
  const float* const read[3] = {nullptr, x, nullptr};
  const float mask[3] = {0, 2, 0};
  float out[3];
  kernels::masked_sum<float>(read, mask, {1, 3, 3}, out);
  for (int i = 0; i < 3; ++i) CHECK_EQ(out[i], 2 * x[i]);
}

}  // namespace

int main(int arguments, char** argument) {
  if (const int status = take_instruction_set(arguments, argument)) return status;
  values<float>();
  values<double>();
  what_is_masked_is_not_read();
}
