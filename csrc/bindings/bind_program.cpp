// Programs: networks as data, and what runs them.
#include <pybind11/stl.h>

#include <algorithm>

#include "arrays.hpp"
#include "nascore/kernels/cell.hpp"
#include "nascore/kernels/packing.hpp"
#include "nascore/program.hpp"

namespace nascore::bindings {
namespace {

using Address = std::uintptr_t;
using Sizes = std::vector<std::int64_t>;

Array<std::int32_t> instructions(const Program& self) {
  const auto count = static_cast<py::ssize_t>(self.instructions.size());
  Array<std::int32_t> out({count, py::ssize_t{kColumns}});
  const auto* first = reinterpret_cast<const std::int32_t*>(self.instructions.data());
  std::copy(first, first + count * kColumns, out.mutable_data());
  return out;
}

py::typing::List<py::typing::Tuple<int, int, int>> slots(const Program& self) {
  py::typing::List<py::typing::Tuple<int, int, int>> out;
  for (const Slot& slot : self.slots) {
    out.append(py::make_tuple(slot.instruction, slot.row, slot.channel));
  }
  return out;
}

py::typing::List<py::typing::Tuple<int, int, int>> shapes(const std::vector<Shape>& given) {
  py::typing::List<py::typing::Tuple<int, int, int>> out;
  for (const Shape& shape : given) {
    out.append(py::make_tuple(shape.channels, shape.height, shape.width));
  }
  return out;
}

void run(Address program, int count, Address weights, std::int64_t weight_floats,
         std::int64_t samples, const std::vector<Address>& inputs, const Sizes& input_floats,
         const std::vector<Address>& outputs, const Sizes& output_floats) {
  if (inputs.size() != input_floats.size() || outputs.size() != output_floats.size()) {
    throw py::value_error("inputs and outputs: a size for each");
  }
  const auto* all = reinterpret_cast<const Instruction*>(program);
  validate(all, count, weight_floats, input_floats, output_floats);
  std::vector<const float*> from;
  for (const Address address : inputs) from.push_back(reinterpret_cast<const float*>(address));
  std::vector<float*> to;
  for (const Address address : outputs) to.push_back(reinterpret_cast<float*>(address));
  kernels::run(
      {all, count, reinterpret_cast<const float*>(weights), samples, from.data(), to.data()});
}

// The room at the start of `packed` that `floats` numbers take.
float* room(Array<float>& packed, std::int64_t floats) {
  if (packed.ndim() != 1 || packed.size() < floats) {
    throw py::value_error("packed: there is no room for " + std::to_string(floats) + " numbers");
  }
  return packed.mutable_data();
}

void pack_convolution(const Given<float>& given, const Given<float>& given_scale,
                      const Given<float>& given_bias, Array<float> packed) {
  const auto weights = checked(given, "weights", {"out", "in", "height", "width"});
  const auto scale = checked(given_scale, "scale", {weights.shape(0)});
  const auto bias = checked(given_bias, "bias", {weights.shape(0)});
  const std::int64_t depth = weights.shape(1) * weights.shape(2) * weights.shape(3);
  float* const to = room(packed, kernels::packed_size(depth, weights.shape(0)));
  kernels::pack_convolution(weights.data(), scale.data(), bias.data(), weights.shape(0),
                            weights.shape(1), weights.shape(2), weights.shape(3), to);
}

void pack_depthwise(const Given<float>& given, Array<float> packed) {
  const auto weights = checked(given, "weights", {"channels", 1, "height", "width"});
  const std::int64_t taps = weights.shape(2) * weights.shape(3);
  float* const to = room(packed, taps * kernels::padded(weights.shape(0)));
  kernels::pack_depthwise(weights.data(), weights.shape(0), taps, to);
}

void pack_channels(const Given<float>& given, const Given<float>& given_shift,
                   Array<float> packed) {
  const auto scale = checked(given, "scale", {"channels"});
  const auto shift = checked(given_shift, "shift", {scale.shape(0)});
  const std::int64_t width = kernels::padded(scale.shape(0));
  float* const to = room(packed, 2 * width);
  kernels::pack_channels(scale.data(), scale.shape(0), to);
  kernels::pack_channels(shift.data(), scale.shape(0), to + width);
}

}  // namespace

void bind_program(py::module_& m) {
  py::class_<Program>(m, "Program", "A network as data, which `run_program` runs.")
      .def_property_readonly("instructions", &instructions,
                             "int32 `[I, 26]`, columns PROGRAM_COLUMNS.")
      .def_property_readonly("slots", &slots,
                             "Per instruction with weights: its number, the net's row whose "
                             "weights it has, and\nthe first of that row's channels.")
      .def_property_readonly(
          "weights", [](const Program& self) { return self.weights; }, "How many numbers.")
      .def_property_readonly(
          "inputs", [](const Program& self) { return shapes(self.inputs); },
          "Channels, height and width of each.")
      .def_property_readonly(
          "outputs", [](const Program& self) { return shapes(self.outputs); },
          "Channels, height and width of each.");
  m.attr("PROGRAM_COLUMNS") = py::make_tuple(
      "kernel", "input", "from", "from_channel", "from_stride", "in_channels", "in_height",
      "in_width", "output", "to", "to_channel", "to_stride", "out_channels", "out_height",
      "out_width", "kernel_height", "kernel_width", "stride", "dilation", "pad_top", "pad_left",
      "relu", "relu_after", "accumulate", "together", "weights");
  m.attr("KERNELS") = py::make_tuple("conv", "sep_conv", "max_pool", "avg_pool", "copy", "pad",
                                     "flatten", "global_pool", "norm", "batch_norm");
  m.def("padded", &kernels::padded, py::arg("channels"), "Channels rounded up to whole vectors.");
  m.def("run_program", &run, py::call_guard<py::gil_scoped_release>(), py::arg("program"),
        py::arg("instructions"), py::arg("weights"), py::arg("weight_floats"), py::arg("samples"),
        py::arg("inputs"), py::arg("input_floats"), py::arg("outputs"), py::arg("output_floats"),
        "Runs a program on float32 images [samples, H, W, C] at these addresses.\n\n"
        "`input_floats` and `output_floats` are of one sample each. ValueError where an "
        "instruction\nleaves these sizes.");
  m.def("pack_convolution", &pack_convolution, py::arg("weights"), py::arg("scale"),
        py::arg("bias"), py::arg("packed").noconvert(),
        "Weights float32 `[out, in, height, width]`, each output channel times its scale `[out]`, "
        "and a\nbias `[out]`, as the kernels read them, into the start of `packed`.");
  m.def("pack_depthwise", &pack_depthwise, py::arg("weights"), py::arg("packed").noconvert(),
        "Depthwise weights float32 `[channels, 1, height, width]` into the start of `packed`.");
  m.def("pack_channels", &pack_channels, py::arg("scale"), py::arg("shift"),
        py::arg("packed").noconvert(),
        "A scale and a shift `[channels]` into the start of `packed`.");
}

}  // namespace nascore::bindings
