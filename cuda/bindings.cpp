// nascore._cuda: built where nvcc is found. The kernels, on addresses of the current device and a
// stream of it: nascore.ops checks the tensors to which they belong.
#include "bindings.hpp"

#include <algorithm>
#include <cstdint>

namespace nascore::cuda {
namespace {

void bind_masks(py::module_& m) {
  m.def(
      "draw_k",
      [](Address weights, std::int64_t rows, int n, int k, std::uint64_t seed, std::uint32_t stream,
         std::uint64_t counter, Address drawn, Address invalid, Address cuda_stream) {
        require(draw_k(at<std::uint32_t>(weights), {rows, n, seed, stream, counter}, k,
                       at<std::int32_t>(drawn), at<std::int32_t>(invalid), stream_at(cuda_stream)));
      },
      py::arg("weights"), py::arg("rows"), py::arg("n"), py::arg("k"), py::arg("seed"),
      py::arg("stream"), py::arg("counter"), py::arg("drawn"), py::arg("invalid"),
      py::arg("cuda_stream"), Release(),
      "drawn [rows, k] int32 = the indices that the CPU draws by the same weights [rows, n] "
      "uint32.\n"
      "`invalid` [1] int32 becomes 1 where a weight is too large.");
  m.def(
      "draw_bernoulli",
      [](Address weights, std::int64_t rows, int n, std::uint64_t seed, std::uint32_t stream,
         std::uint64_t counter, Address mask, Address invalid, Address cuda_stream) {
        require(draw_bernoulli(at<std::uint32_t>(weights), {rows, n, seed, stream, counter},
                               at<bool>(mask), at<std::int32_t>(invalid), stream_at(cuda_stream)));
      },
      py::arg("weights"), py::arg("rows"), py::arg("n"), py::arg("seed"), py::arg("stream"),
      py::arg("counter"), py::arg("mask"), py::arg("invalid"), py::arg("cuda_stream"), Release(),
      "mask [rows, n] bool, each with its own probability; `invalid` as of draw_k.");
  m.def(
      "draw_categorical",
      [](Address weights, Address legal, std::int64_t rows, int n, std::uint64_t seed,
         std::uint32_t stream, std::uint64_t counter, Address drawn, Address invalid,
         Address cuda_stream) {
        require(draw_categorical(at<std::uint32_t>(weights), at<bool>(legal),
                                 {rows, n, seed, stream, counter}, at<std::int32_t>(drawn),
                                 at<std::int32_t>(invalid), stream_at(cuda_stream)));
      },
      py::arg("weights"), py::arg("legal"), py::arg("rows"), py::arg("n"), py::arg("seed"),
      py::arg("stream"), py::arg("counter"), py::arg("drawn"), py::arg("invalid"),
      py::arg("cuda_stream"), Release(),
      "drawn [rows] int32 = a legal index of each row; `invalid` as of draw_k, and where nothing\n"
      "of a row is legal.");
}

MaskedShape shape_of(const Addresses& inputs, std::size_t samples, std::size_t size) {
  return {samples, size, static_cast<int>(inputs.size())};
}

template <class T>
void forward(const Addresses& inputs, Address mask, std::size_t samples, std::size_t size,
             Address out, Address cuda_stream) {
  require(masked_sum<T>(all_at<const T>(inputs).data(), at<T>(mask),
                        shape_of(inputs, samples, size), at<T>(out), stream_at(cuda_stream)));
}

template <class T>
std::size_t workspace_of(std::size_t inputs, std::size_t samples, std::size_t size) {
  return masked_sum_workspace<T>({samples, size, static_cast<int>(inputs)});
}

template <class T>
void backward(Address grad, const Addresses& inputs, Address mask, std::size_t samples,
              std::size_t size, const Addresses& of_inputs, Address of_mask, Address workspace,
              Address cuda_stream) {
  if (of_inputs.size() != inputs.size()) {
    throw std::invalid_argument("of_inputs: one for each input");
  }
  require(masked_sum_backward<T>(at<T>(grad), all_at<const T>(inputs).data(), at<T>(mask),
                                 shape_of(inputs, samples, size), all_at<T>(of_inputs).data(),
                                 at<float>(of_mask), at<float>(workspace), stream_at(cuda_stream)));
}

template <class T>
void bind_masked_sum(py::module_& m, const std::string& suffix) {
  m.def(("masked_sum_" + suffix).c_str(), &forward<T>, py::arg("inputs"), py::arg("mask"),
        py::arg("samples"), py::arg("size"), py::arg("out"), py::arg("cuda_stream"), Release(),
        "out [samples, size] = the sum of mask [samples, n] times n inputs, at these addresses.");
  m.def(("masked_sum_workspace_" + suffix).c_str(), &workspace_of<T>, py::arg("inputs"),
        py::arg("samples"), py::arg("size"),
        "How many floats the backward pass wants as its workspace.");
  m.def(("masked_sum_backward_" + suffix).c_str(), &backward<T>, py::arg("grad"), py::arg("inputs"),
        py::arg("mask"), py::arg("samples"), py::arg("size"), py::arg("of_inputs"),
        py::arg("of_mask"), py::arg("workspace"), py::arg("cuda_stream"), Release(),
        "The gradients of the masked sum, of the mask in float32; an address of 0 where one of an\n"
        "input is not wanted, and for the mask where none is.");
}

template <class T>
void bind_convolutions(py::module_& m, const std::string& suffix) {
  m.def(("conv_" + suffix).c_str(),
        [](Address x, Address weights, Address bias, const ConvShape& shape, Address y,
           Address cuda_stream) {
          require(conv<T>(at<T>(x), at<float>(weights), at<float>(bias), shape, at<T>(y),
                          stream_at(cuda_stream)));
        },
        py::arg("x"), py::arg("weights"), py::arg("bias"), py::arg("shape"), py::arg("y"),
        py::arg("cuda_stream"), Release(),
        "y (+)= bias + convolution of x; float32 weights [kernel_h, kernel_w, in_channels,\n"
        "out_channels], bias [out_channels] or 0.");
  m.def(("sep_conv_" + suffix).c_str(),
        [](Address x, Address depthwise, Address pointwise, Address bias, const ConvShape& shape,
           Address y, Address cuda_stream) {
          require(sep_conv<T>(at<T>(x), at<float>(depthwise), at<float>(pointwise), at<float>(bias),
                              shape, at<T>(y), stream_at(cuda_stream)));
        },
        py::arg("x"), py::arg("depthwise"), py::arg("pointwise"), py::arg("bias"), py::arg("shape"),
        py::arg("y"), py::arg("cuda_stream"), Release(),
        "y (+)= bias + pointwise of depthwise of x; float32 weights [kernel_h, kernel_w, "
        "in_channels]\n"
        "and [in_channels, out_channels], bias [out_channels] or 0.");
}

template <class T>
void bind(py::module_& m, const std::string& suffix) {
  bind_masked_sum<T>(m, suffix);
  bind_convolutions<T>(m, suffix);
}

using Sizes = std::vector<std::int64_t>;

// Of the host: checked before anything is computed from it.
const Instruction* valid(Address program, int count, std::int64_t weights, const Sizes& inputs,
                         const Sizes& outputs) {
  const auto* all = at<Instruction>(program);
  validate(all, count, weights, inputs, outputs);
  if (std::max(inputs.size(), outputs.size()) > kMaxImages) {
    throw std::invalid_argument("program: at most " + std::to_string(kMaxImages) +
                                " inputs and outputs run on CUDA");
  }
  if (std::any_of(all, all + count,
                  [](const Instruction& one) { return one.kernel == Kernel::kBatchNorm; })) {
    throw std::invalid_argument("program: a batch norm by the batch does not run on CUDA");
  }
  return all;
}

template <class T>
std::size_t cell_room(Address program, int count, std::int64_t weight_floats, std::size_t samples,
                      const Sizes& input_sizes, const Sizes& output_sizes) {
  std::size_t elements = 0;
  require(cell_workspace<T>(valid(program, count, weight_floats, input_sizes, output_sizes), count,
                            samples, &elements));
  return elements;
}

template <class T>
void run_cell(Address program, Address on_device, int count, Address weights,
              std::int64_t weight_floats, std::size_t samples, const Addresses& inputs,
              const Sizes& input_sizes, const Addresses& outputs, const Sizes& output_sizes,
              Address workspace, std::size_t workspace_size, Address cuda_stream) {
  if (inputs.size() != input_sizes.size() || outputs.size() != output_sizes.size()) {
    throw std::invalid_argument("inputs and outputs: a size for each");
  }
  const Instruction* all = valid(program, count, weight_floats, input_sizes, output_sizes);
  CellRun<T> run{at<Instruction>(on_device), count, at<float>(weights), samples, {}, {}};
  for (std::size_t i = 0; i < inputs.size(); ++i) run.inputs[i] = at<T>(inputs[i]);
  for (std::size_t i = 0; i < outputs.size(); ++i) run.outputs[i] = at<T>(outputs[i]);
  require(cell(all, run, at<T>(workspace), workspace_size, stream_at(cuda_stream)));
}

template <class T>
void bind_cell(py::module_& m, const std::string& suffix) {
  m.def(("cell_workspace_" + suffix).c_str(), &cell_room<T>, py::arg("program"),
        py::arg("instructions"), py::arg("weight_floats"), py::arg("samples"),
        py::arg("input_sizes"), py::arg("output_sizes"), Release(),
        "How many elements `cell` wants as its workspace on the current device; arguments as "
        "there.");
  m.def(("cell_" + suffix).c_str(), &run_cell<T>, py::arg("program"), py::arg("on_device"),
        py::arg("instructions"), py::arg("weights"), py::arg("weight_floats"), py::arg("samples"),
        py::arg("inputs"), py::arg("input_sizes"), py::arg("outputs"), py::arg("output_sizes"),
        py::arg("workspace"), py::arg("workspace_size"), py::arg("cuda_stream"), Release(),
        "Runs a program with float32 weights on images [samples, H, W, C], at most 16 each way.\n\n"
        "`program` is of the host, `on_device` a copy of it; sizes are elements of one sample.\n"
        "ValueError where an instruction leaves them or is a batch norm.");
  m.def(("cell_shared_" + suffix).c_str(),
        [](Address program, int count, std::size_t most) {
          return cell_shared<T>(at<Instruction>(program), count, most);
        },
        py::arg("program"), py::arg("instructions"), py::arg("most"),
        "Bytes of shared memory of a block for a valid program, where a device allows it `most`.");
}

}  // namespace
}  // namespace nascore::cuda

PYBIND11_MODULE(_cuda, m, pybind11::mod_gil_not_used()) {
  namespace py = pybind11;
  using nascore::cuda::ConvShape;
  m.doc() = "The CUDA kernels of nascore. An error of CUDA is a RuntimeError with its text.";
  m.def("device_count", &nascore::cuda::device_count,
        "How many CUDA devices this process sees; 0 without a driver.");
  py::class_<ConvShape>(
      m, "ConvShape",
      "Of x [samples, height, width, in_channels], whose pixels are in_stride elements\n"
      "apart, and y alike.")
      .def(py::init([](int samples, int in_channels, int in_stride, int height, int width,
                       int out_channels, int out_stride, int out_height, int out_width,
                       int kernel_h, int kernel_w, int stride, int dilation, int pad_top,
                       int pad_left, bool relu, bool relu_after, bool accumulate) {
             return ConvShape{samples,      in_channels, in_stride,  height,    width,
                              out_channels, out_stride,  out_height, out_width, kernel_h,
                              kernel_w,     stride,      dilation,   pad_top,   pad_left,
                              relu,         relu_after,  accumulate};
           }),
           py::kw_only(), py::arg("samples"), py::arg("in_channels"), py::arg("in_stride"),
           py::arg("height"), py::arg("width"), py::arg("out_channels"), py::arg("out_stride"),
           py::arg("out_height"), py::arg("out_width"), py::arg("kernel_h"), py::arg("kernel_w"),
           py::arg("stride") = 1, py::arg("dilation") = 1, py::arg("pad_top") = 0,
           py::arg("pad_left") = 0, py::arg("relu") = false, py::arg("relu_after") = false,
           py::arg("accumulate") = false);
  m.def("conv_shared", &nascore::cuda::conv_shared, py::arg("shape"),
        "Bytes of shared memory that a block of conv takes.");
  m.def("sep_conv_shared", &nascore::cuda::sep_conv_shared, py::arg("shape"),
        "Bytes of shared memory that a block of sep_conv takes; a launch fails where the device\n"
        "allows less to one block.");
  nascore::cuda::bind_masks(m);
  nascore::cuda::bind_training(m);
  nascore::cuda::bind_cell<float>(m, "f32");
  nascore::cuda::bind_cell<__half>(m, "f16");
  nascore::cuda::bind_cell<__nv_bfloat16>(m, "bf16");
  nascore::cuda::bind<float>(m, "f32");
  nascore::cuda::bind<__half>(m, "f16");
  nascore::cuda::bind<__nv_bfloat16>(m, "bf16");
}
