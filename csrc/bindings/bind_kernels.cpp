// The kernels, on addresses: nascore.ops checks the tensors to which they belong.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <string>
#include <vector>

#include "nascore/kernels/isa.hpp"
#include "nascore/kernels/masked_sum.hpp"
#include "nascore/kernels/probes.hpp"

namespace nascore::bindings {
namespace {

namespace py = pybind11;
using Address = std::uintptr_t;
using Addresses = std::vector<Address>;

template <class T>
std::vector<T*> pointers(const Addresses& addresses) {
  std::vector<T*> out;
  for (const Address address : addresses) out.push_back(reinterpret_cast<T*>(address));
  return out;
}

kernels::MaskedShape shape_of(const Addresses& inputs, std::size_t samples, std::size_t size) {
  return {samples, size, static_cast<int>(inputs.size())};
}

template <class T>
void masked_sum(const Addresses& inputs, Address mask, std::size_t samples, std::size_t size,
                Address out) {
  const auto read = pointers<const T>(inputs);
  kernels::masked_sum<T>(read.data(), reinterpret_cast<const T*>(mask),
                         shape_of(inputs, samples, size), reinterpret_cast<T*>(out));
}

template <class T>
void backward(Address grad, const Addresses& inputs, Address mask, std::size_t samples,
              std::size_t size, const Addresses& of_inputs, Address of_mask) {
  if (of_inputs.size() != inputs.size()) throw py::value_error("of_inputs: one for each input");
  const auto read = pointers<const T>(inputs);
  const auto written = pointers<T>(of_inputs);
  kernels::masked_sum_backward<T>(reinterpret_cast<const T*>(grad), read.data(),
                                  reinterpret_cast<const T*>(mask), shape_of(inputs, samples, size),
                                  written.data(), reinterpret_cast<T*>(of_mask));
}

template <class T>
void bind(py::module_& m, const std::string& suffix) {
  const auto release = py::call_guard<py::gil_scoped_release>();
  m.def(("masked_sum_" + suffix).c_str(), &masked_sum<T>, py::arg("inputs"), py::arg("mask"),
        py::arg("samples"), py::arg("size"), py::arg("out"), release,
        "out [samples, size] = the sum of mask [samples, n] times n inputs, at these addresses.");
  m.def(("masked_sum_backward_" + suffix).c_str(), &backward<T>, py::arg("grad"), py::arg("inputs"),
        py::arg("mask"), py::arg("samples"), py::arg("size"), py::arg("of_inputs"),
        py::arg("of_mask"), release,
        "The gradients of the masked sum; an address of 0 where one of an input is not wanted.");
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> found;
  for (int i = 0; i < kernels::kIsas; ++i) {
    const auto isa = static_cast<kernels::Isa>(i);
    if (kernels::has(isa)) found.emplace_back(kernels::name(isa));
  }
  return found;
}

void use_instruction_set(const std::string& name) {
  std::string there;
  for (int i = 0; i < kernels::kIsas; ++i) {
    const auto isa = static_cast<kernels::Isa>(i);
    if (!kernels::has(isa)) continue;
    if (name == kernels::name(isa)) {
      kernels::use(isa);
      return;
    }
    there += (there.empty() ? "" : ", ") + std::string(kernels::name(isa));
  }
  throw py::value_error("instruction set " + name + ": this processor and build have " + there);
}

}  // namespace

void bind_kernels(py::module_& m) {
  m.def(
      "instruction_set", [] { return kernels::name(kernels::isa()); },
      "What the kernels use: avx512, avx2 or baseline.");
  m.def("instruction_sets", &instruction_sets,
        "Those that this build and this processor have, the best one last.");
  m.def("use_instruction_set", &use_instruction_set, py::arg("name"),
        "Takes another than the best, for tests and benchmarks; ValueError where it is not there.");
  m.def("multiply_adds", &kernels::multiply_adds, py::arg("steps"),
        py::call_guard<py::gil_scoped_release>(),
        "Keeps every lane of all OpenMP threads busy for so many steps; the operations done.");
  bind<float>(m, "f32");
  bind<double>(m, "f64");
}

}  // namespace nascore::bindings
