// The separable convolution with its batch's norm, forward and backward.
#include "bindings.hpp"

namespace nascore::cuda {
namespace {

template <class T>
void bind(py::module_& m, const std::string& suffix) {
  m.def(
      ("sep_conv_norm_" + suffix).c_str(),
      [](Address x, Address depthwise, Address pointwise, Address scale, Address shift,
         float epsilon, const ConvShape& shape, Address raw, Address y, Address mean,
         Address variance, Address workspace, Address cuda_stream) {
        const Norm norm{at<float>(scale), at<float>(shift), epsilon};
        require(sep_conv_norm<T>(at<T>(x), at<float>(depthwise), at<float>(pointwise), norm, shape,
                                 at<T>(raw), at<T>(y), at<float>(mean), at<float>(variance),
                                 at<float>(workspace), stream_at(cuda_stream)));
      },
      py::arg("x"), py::arg("depthwise"), py::arg("pointwise"), py::arg("scale"), py::arg("shift"),
      py::arg("epsilon"), py::arg("shape"), py::arg("raw"), py::arg("y"), py::arg("mean"),
      py::arg("variance"), py::arg("workspace"), py::arg("cuda_stream"), Release(),
      "raw = pointwise of depthwise of x, y its norm by the batch's float32 mean and biased\n"
      "variance [out_channels]; weights as of sep_conv, scale and shift [out_channels].");
  m.def(("sep_conv_norm_backward_" + suffix).c_str(),
        [](Address grad, Address x, Address raw, Address mean, Address variance, Address depthwise,
           Address pointwise, Address scale, float epsilon, const ConvShape& shape, Address of_x,
           Address of_depthwise, Address of_pointwise, Address of_scale, Address of_shift,
           Address workspace, Address cuda_stream) {
          const Norm norm{at<float>(scale), nullptr, epsilon};
          const SepConvGradients<T> of{at<T>(of_x), at<float>(of_depthwise),
                                       at<float>(of_pointwise), at<float>(of_scale),
                                       at<float>(of_shift)};
          require(sep_conv_norm_backward<T>(at<T>(grad), at<T>(x), at<T>(raw), at<float>(mean),
                                            at<float>(variance), at<float>(depthwise),
                                            at<float>(pointwise), norm, shape, of,
                                            at<float>(workspace), stream_at(cuda_stream)));
        },
        py::arg("grad"), py::arg("x"), py::arg("raw"), py::arg("mean"), py::arg("variance"),
        py::arg("depthwise"), py::arg("pointwise"), py::arg("scale"), py::arg("epsilon"),
        py::arg("shape"), py::arg("of_x"), py::arg("of_depthwise"), py::arg("of_pointwise"),
        py::arg("of_scale"), py::arg("of_shift"), py::arg("workspace"), py::arg("cuda_stream"),
        Release(),
        "The gradients by grad, that of y: of x, and in float32 of depthwise [in_channels, "
        "kernel_h,\nkernel_w], pointwise [out_channels, in_channels], which is given alike, scale "
        "and shift.");
  m.def(("sep_conv_norm_backward_workspace_" + suffix).c_str(),
        &sep_conv_norm_backward_workspace<T>, py::arg("shape"),
        "How many floats the backward pass wants as its workspace.");
}

}  // namespace

void bind_training(py::module_& m) {
  m.def("sep_conv_norm_workspace", &sep_conv_norm_workspace, py::arg("shape"),
        "How many floats sep_conv_norm wants as its workspace.");
  m.def(
      "sep_conv_norm_backward_shared",
      [](const ConvShape& shape) {
        const BackwardShared shared = sep_conv_norm_backward_shared(shape);
        return py::make_tuple(shared.through, shared.pointwise, shared.depthwise);
      },
      py::arg("shape"),
      "Bytes of shared memory that blocks of the backward pass take, by its three kernels: "
      "through\n"
      "norm and pointwise convolution, to the pointwise and to the depthwise weights.");
  bind<float>(m, "f32");
  bind<__half>(m, "f16");
  bind<__nv_bfloat16>(m, "bf16");
}

}  // namespace nascore::cuda
