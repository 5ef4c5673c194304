// The masked sum and its gradients against a sum in double precision, in all three types.
#include <cmath>
#include <memory>

#include "kernel_test.hpp"
#include "kernels.hpp"

using emulator::Array;
using nascore::cuda::MaskedShape;

namespace {

constexpr cudaStream_t kNoStream{};

// How far a sum may be off: by a rounding to T, of the sum, and by those of float32 before, of the
// sum of its terms' sizes.
constexpr double kFloat = 0x1p-20;
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

// A sum in double precision and the sum of its terms' sizes.
struct Wanted {
  double sum = 0, sizes = 0;
  void add(double a, double b) {
    sum += a * b;
    sizes += std::fabs(a * b);
  }
};

template <class T>
void check_near(T got, const Wanted& wanted, double of_sizes) {
  CHECK(std::fabs(as_double(got) - wanted.sum) <=
        kStep<T> * std::fabs(wanted.sum) + of_sizes * wanted.sizes);
}

template <class T>
void test_forward(MaskedShape shape, std::size_t shift) {
  const Problem<T> problem(shape, shift, true);
  const auto inputs = static_cast<std::size_t>(shape.inputs);
  std::vector<Wanted> wanted(shape.samples * shape.size);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    for (std::size_t j = 0; j < inputs; ++j) {
      const double weight = as_double(problem.mask[i / shape.size * inputs + j]);
      if (weight != 0) wanted[i].add(weight, as_double(problem.pointers[j][i]));
    }
  }
  const double of_sizes = kFloat + (shape.inputs > 32 ? kStep<T> : 0);
  emulator::in_orders([&] {
    Array<T> out(wanted.size() + shift);
    CHECK_EQ(nascore::cuda::masked_sum(problem.pointers.data(), problem.mask.data(), shape,
                                       out.data() + shift, kNoStream),
             cudaSuccess);
    for (std::size_t i = 0; i < wanted.size(); ++i) check_near(out[i + shift], wanted[i], of_sizes);
  });
}

template <class T>
void test_backward(MaskedShape shape, std::size_t shift) {
  const Problem<T> problem(shape, shift, false);
  const auto inputs = static_cast<std::size_t>(shape.inputs);
  const std::size_t elements = shape.samples * shape.size;
  const T* const grad = problem.grad.data() + shift;
  std::vector<Wanted> of_inputs(elements * inputs), of_masks(problem.mask.size());
  for (std::size_t i = 0; i < elements; ++i) {
    for (std::size_t j = 0; j < inputs; ++j) {
      const std::size_t m = i / shape.size * inputs + j;
      of_inputs[j * elements + i].add(as_double(problem.mask[m]), as_double(grad[i]));
      of_masks[m].add(as_double(problem.pointers[j][i]), as_double(grad[i]));
    }
  }
  std::vector<float> first;  // in the first order, of which no other differs in a bit
  emulator::in_orders([&] {
    std::vector<std::unique_ptr<Array<T>>> gradients;
    std::vector<T*> pointers;
    for (std::size_t j = 0; j < inputs; ++j) {  // one is not wanted
      gradients.push_back(std::make_unique<Array<T>>(elements + shift));
      pointers.push_back(j == 1 ? nullptr : gradients.back()->data() + shift);
    }
    Array<float> of_mask(problem.mask.size());
    Array<float> workspace(nascore::cuda::masked_sum_workspace<T>(shape));
    CHECK_EQ(nascore::cuda::masked_sum_backward(grad, problem.pointers.data(), problem.mask.data(),
                                                shape, pointers.data(), of_mask.data(),
                                                workspace.data(), kNoStream),
             cudaSuccess);
    for (std::size_t j = 0; j < inputs; ++j) {
      if (pointers[j] == nullptr) continue;
      for (std::size_t i = 0; i < elements; ++i) {
        check_near(pointers[j][i], of_inputs[j * elements + i], 0);
      }
    }
    std::vector<float> masks(of_mask.size());
    for (std::size_t m = 0; m < masks.size(); ++m) {
      masks[m] = of_mask[m];
      check_near(of_mask[m], of_masks[m], kFloat);
    }
    if (first.empty()) first = masks;
    CHECK(masks == first);
  });
  const std::vector<T*> nothing(inputs, nullptr);  // so that the mask is not read
  Array<float> alone(first.size()), workspace(nascore::cuda::masked_sum_workspace<T>(shape));
  CHECK_EQ(nascore::cuda::masked_sum_backward<T>(grad, problem.pointers.data(), nullptr, shape,
                                                 nothing.data(), alone.data(), workspace.data(),
                                                 kNoStream),
           cudaSuccess);
  for (std::size_t m = 0; m < first.size(); ++m) CHECK_EQ(alone[m], first[m]);
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
  Array<T> out(shape.size);
  Array<float> of_mask(6);
  // Four are active. Beside whole tensors there are masks, and a float of each block and input.
  const std::size_t tensor = shape.size * sizeof(T);
  emulator::check_traffic(std::string("masked_sum of 6, ") + name, 5 * tensor, 1.01, 0, [&] {
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
  emulator::check_traffic(std::string("its backward pass, ") + name, 13 * tensor, 1.01, 0.1, [&] {
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
