// nascore._core: the table of contents.
#include <pybind11/pybind11.h>

namespace nascore::bindings {
void bind_rng(pybind11::module_& m);
void bind_graph(pybind11::module_& m);
void bind_kernels(pybind11::module_& m);
void bind_masks(pybind11::module_& m);
void bind_net(pybind11::module_& m);
void bind_program(pybind11::module_& m);
void bind_spaces(pybind11::module_& m);
void bind_qtable(pybind11::module_& m);
void bind_training(pybind11::module_& m);
void bind_tree(pybind11::module_& m);
}  // namespace nascore::bindings

PYBIND11_MODULE(_core, m) {
  m.doc() = "The compiled core of nascore: arrays in, arrays out.";
  nascore::bindings::bind_rng(m);
  nascore::bindings::bind_graph(m);
  nascore::bindings::bind_kernels(m);
  nascore::bindings::bind_masks(m);
  nascore::bindings::bind_program(m);
  nascore::bindings::bind_net(m);
  nascore::bindings::bind_spaces(m);
  nascore::bindings::bind_qtable(m);
  nascore::bindings::bind_training(m);
  nascore::bindings::bind_tree(m);
}
