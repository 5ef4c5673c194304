// The masked sum and its gradients against a sum in double precision, in all three types.
#include <cmath>
#include <memory>

#include "kernel_test.hpp"
#include "kernels.hpp"

using emulator::Array;
using nascore::cuda::MaskedShape;

namespace {

constexpr cudaStream_t kNoStream{};

// How far a sum may be off, per unit of the sum of its terms' sizes: a rounding to T at the end and
// one after each 32 inputs, and float32 in between.
template <class T>
constexpr double kStep = 0x1p-24;
template <>
constexpr double kStep<__half> = 0x1p-11;
template <>
constexpr double kStep<__nv_bfloat16> = 0x1p-8;

template <class T>
double as_double(T value) {
  return double{static_cast<float>(value)};
}

template <class T>
struct Problem {
  MaskedShape shape;
  std::vector<std::unique_ptr<Array<T>>> inputs;
  std::vector<const T*> pointers;
  Array<T> mask, grad;

  // Every third mask is 0, and its input NaN where no gradient asks for it. `shift` elements off
  // what is aligned.
  Problem(MaskedShape shape, std::size_t shift, bool spoil)
      : shape(shape),
        mask(shape.samples * static_cast<std::size_t>(shape.inputs)),
        grad(shape.samples * shape.size + shift) {
    emulator::Numbers numbers;
    const auto inputs_count = static_cast<std::size_t>(shape.inputs);
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = i % 3 == 1 ? 0.0f : numbers.real();
    for (std::size_t i = 0; i < grad.size(); ++i) grad[i] = numbers.real();
    for (std::size_t j = 0; j < inputs_count; ++j) {
      inputs.push_back(std::make_unique<Array<T>>(shape.samples * shape.size + shift));
      Array<T>& input = *inputs.back();
      for (std::size_t i = shift; i < input.size(); ++i) {
        const std::size_t sample = (i - shift) / shape.size;
        const bool off = as_double(mask[sample * inputs_count + j]) == 0;
        input[i] = off && spoil ? NAN : numbers.real();
      }
      pointers.push_back(input.data() + shift);
    }
  }
};

template <class T>
void check_near(T got, double wanted, double sizes, double steps) {
  CHECK(std::fabs(as_double(got) - wanted) <= steps * kStep<T> * std::fabs(wanted) + 0x1p-20 * sizes);
}

template <class T>
void test_forward(MaskedShape shape, std::size_t shift) {
  const Problem<T> problem(shape, shift, true);
  const auto inputs = static_cast<std::size_t>(shape.inputs);
  emulator::in_orders([&] {
    Array<T> out(shape.samples * shape.size + shift);
    CHECK_EQ(nascore::cuda::masked_sum(problem.pointers.data(), problem.mask.data(), shape,
                                       out.data() + shift, kNoStream),
             cudaSuccess);
    for (std::size_t i = 0; i < shape.samples * shape.size; ++i) {
      double wanted = 0, sizes = 0;
      for (std::size_t j = 0; j < inputs; ++j) {
        const double weight = as_double(problem.mask[i / shape.size * inputs + j]);
        if (weight == 0) continue;
        const double term = weight * as_double(problem.pointers[j][i]);
        wanted += term;
        sizes += std::fabs(term);
      }
      const double rounded = shape.inputs > 32 ? 2 * kStep<T> * sizes / 0x1p-20 : 0;
      check_near(out[i + shift], wanted, sizes + rounded, 1.0);
    }
  });
}

template <class T>
void test_backward(MaskedShape shape, std::size_t shift) {
  const Problem<T> problem(shape, shift, false);
  const auto inputs = static_cast<std::size_t>(shape.inputs);
  const std::size_t elements = shape.samples * shape.size;
  std::vector<float> first;  // in the first order, of which no other differs in a bit
  emulator::in_orders([&] {
    std::vector<std::unique_ptr<Array<T>>> gradients;
    std::vector<T*> pointers;
    for (std::size_t j = 0; j < inputs; ++j) {  // one is not wanted
      gradients.push_back(std::make_unique<Array<T>>(elements + shift));
      pointers.push_back(j == 1 ? nullptr : gradients.back()->data() + shift);
    }
    Array<T> of_mask(problem.mask.size());
    Array<float> workspace(nascore::cuda::masked_sum_workspace<T>(shape));
    const T* const grad = problem.grad.data() + shift;
    CHECK_EQ(
        nascore::cuda::masked_sum_backward(grad, problem.pointers.data(), problem.mask.data(), shape,
                                           pointers.data(), of_mask.data(), workspace.data(),
                                           kNoStream),
        cudaSuccess);
    for (std::size_t j = 0; j < inputs; ++j) {
      for (std::size_t i = 0; i < elements && pointers[j] != nullptr; ++i) {
        const double weight = as_double(problem.mask[i / shape.size * inputs + j]);
        check_near(pointers[j][i], weight * as_double(grad[i]), 0, 1.0);
      }
    }
    for (std::size_t m = 0; m < of_mask.size(); ++m) {
      double wanted = 0, sizes = 0;
      const std::size_t begin = m / inputs * shape.size;
      for (std::size_t i = begin; i < begin + shape.size; ++i) {
        const double term = as_double(grad[i]) * as_double(problem.pointers[m % inputs][i]);
        wanted += term;
        sizes += std::fabs(term);
      }
      check_near(of_mask[m], wanted, sizes, 1.0);
    }
    std::vector<float> bits(of_mask.size());
    for (std::size_t m = 0; m < bits.size(); ++m) bits[m] = of_mask[m];
    if (first.empty()) first = bits;
    CHECK(bits == first);
  });
}

template <class T>
void test_type(const char* name) {
  // samples, size, inputs: whole vectors in several chunks; odd in all; one element; many inputs.
  for (const MaskedShape& shape : {MaskedShape{2, 4104, 5}, MaskedShape{3, 2051, 7},
                                   MaskedShape{1, 1, 1}, MaskedShape{2, 24, 35}}) {
    for (const std::size_t shift : {0, 1}) {
      test_forward<T>(shape, shift);
      test_backward<T>(shape, shift);
    }
  }
  test_backward<T>({2, 0, 3}, 0);
  emulator::Numbers numbers;
  const MaskedShape shape{1, 8192, 6};
  const Problem<T> problem(shape, 0, true);
  Array<T> out(shape.size), of_mask(6);
  emulator::check_traffic((std::string("masked_sum of 6, ") + name).c_str(), 1.05, 0, [&] {
    nascore::cuda::masked_sum(problem.pointers.data(), problem.mask.data(), shape, out.data(),
                              kNoStream);
  });
  std::vector<std::unique_ptr<Array<T>>> gradients;
  std::vector<T*> pointers;
  for (int j = 0; j < 6; ++j) {
    gradients.push_back(std::make_unique<Array<T>>(shape.size));
    pointers.push_back(gradients.back()->data());
  }
  Array<float> workspace(nascore::cuda::masked_sum_workspace<T>(shape));
  emulator::check_traffic((std::string("its backward pass, ") + name).c_str(), 1.05, 0.2, [&] {
    nascore::cuda::masked_sum_backward(problem.grad.data(), problem.pointers.data(),
                                       problem.mask.data(), shape, pointers.data(), of_mask.data(),
                                       workspace.data(), kNoStream);
  });
}

}  // namespace

int main() {
  test_type<float>("float32");
  test_type<__half>("float16");
  test_type<__nv_bfloat16>("bfloat16");
}
