// What trains: a separable convolution and its batch norm, on addresses that nascore.ops checks.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>

#include "nascore/kernels/separable.hpp"

namespace nascore::bindings {
namespace {

namespace py = pybind11;
using Address = std::uintptr_t;

template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

kernels::Separable separable(std::int64_t samples, const std::array<std::int32_t, 7>& s) {
  return {samples, s[0], s[1], s[2], s[3], s[4], s[5], s[6]};
}

kernels::SeparableWeights separable_weights(const std::array<Address, 4>& given) {
  return {at<const float>(given[0]), at<const float>(given[1]), at<const float>(given[2]),
          at<const float>(given[3])};
}

void separable_forward(std::int64_t samples, const std::array<std::int32_t, 7>& shape,
                       const std::array<Address, 4>& weights, float epsilon, Address x,
                       const std::array<Address, 4>& found) {
  kernels::separable_forward(separable(samples, shape), separable_weights(weights), epsilon,
                             at<const float>(x), at<float>(found[0]), at<float>(found[1]),
                             at<float>(found[2]), at<float>(found[3]));
}

void separable_backward(std::int64_t samples, const std::array<std::int32_t, 7>& shape,
                        const std::array<Address, 4>& weights, float epsilon,
                        const std::array<Address, 5>& read, const std::array<Address, 5>& of) {
  kernels::separable_backward(
      separable(samples, shape), separable_weights(weights), epsilon, at<const float>(read[0]),
      at<const float>(read[1]), at<const float>(read[2]), at<const float>(read[3]),
      at<const float>(read[4]),
      {at<float>(of[0]), at<float>(of[1]), at<float>(of[2]), at<float>(of[3]), at<float>(of[4])});
}

}  // namespace

void bind_training(py::module_& m) {
  m.def(
      "separable_forward", &separable_forward, py::call_guard<py::gil_scoped_release>(),
      py::arg("samples"), py::arg("shape"), py::arg("weights"), py::arg("epsilon"), py::arg("x"),
      py::arg("found"),
      "A separable convolution with its batch norm in training, on float32 images [samples, H, W, "
      "C].\n\n`shape`: channels, height, width, output channels, kernel, stride, dilation. "
      "`weights`: the\naddresses of depthwise, pointwise, scale and shift; `found`: of the result "
      "before the norm and\nafter it, and of the mean and variance.");
  m.def("separable_backward", &separable_backward, py::call_guard<py::gil_scoped_release>(),
        py::arg("samples"), py::arg("shape"), py::arg("weights"), py::arg("epsilon"),
        py::arg("read"), py::arg("of"),
        "Its gradients, to the addresses `of` x and the weights; `read` are those of its result's\n"
        "gradient, of x, of the result before the norm, and of mean and variance.");
}

}  // namespace nascore::bindings
