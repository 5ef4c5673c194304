// Decision processes over batches of states.
#include <pybind11/stl.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "arrays.hpp"
#include "nascore/spaces/block.hpp"
#include "nascore/spaces/choices.hpp"
#include "nascore/spaces/layer.hpp"
#include "nascore/spaces/skip.hpp"

namespace nascore::bindings {
namespace {

using States = Given<std::int16_t>;

Array<std::int16_t> states(const Space& space, const States& given) {
  return checked(given, "state", {"n", space.state_width()});
}

// Calls body(i) for every item without the GIL; what it refuses is said with the item's number.
template <class Body>
void each(py::ssize_t n, Body body) {
  py::gil_scoped_release release;
  for (py::ssize_t i = 0; i < n; ++i) {
    try {
      body(i);
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument("item " + std::to_string(i) + ": " + error.what());
    }
  }
}

// One row of `width` numbers per state, written by `write(state, row)`.
template <class T, class Write>
Array<T> map(const Space& space, const States& given, int width, Write write) {
  const auto input = states(space, given);
  Array<T> out({input.shape(0), py::ssize_t{width}});
  const std::int16_t* in = input.data();
  T* row = out.mutable_data();
  each(input.shape(0),
       [&](py::ssize_t i) { write(in + i * space.state_width(), row + i * width); });
  return out;
}

// One number per state.
template <class T, class Read>
Array<T> fold(const Space& space, const States& given, Read read) {
  const auto input = states(space, given);
  Array<T> out(input.shape(0));
  const std::int16_t* in = input.data();
  T* number = out.mutable_data();
  each(input.shape(0), [&](py::ssize_t i) { number[i] = read(in + i * space.state_width()); });
  return out;
}

py::typing::Tuple<int, py::ellipsis> heads(const Space& space) {
  py::tuple out(space.heads().size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = space.heads()[i];
  return out;
}

int largest_head(const Space& space) {
  return *std::max_element(space.heads().begin(), space.heads().end());
}

Array<std::int16_t> start(const Space& space, py::ssize_t n) {
  if (n < 0) throw std::invalid_argument("n=" + std::to_string(n) + " must be at least 0");
  const int width = space.state_width();
  Array<std::int16_t> out({n, py::ssize_t{width}});
  std::int16_t* state = out.mutable_data();
  each(n, [&](py::ssize_t i) { space.start(state + i * width); });
  return out;
}

Array<std::int16_t> step(const Space& space, const States& given,
                         const Given<std::int32_t>& given_action) {
  const auto input = states(space, given);
  const auto action = checked(given_action, "action", {input.shape(0)});
  const int width = space.state_width();
  Array<std::int16_t> out({input.shape(0), py::ssize_t{width}});
  const std::int16_t* in = input.data();
  const std::int32_t* chosen = action.data();
  std::int16_t* next = out.mutable_data();
  each(input.shape(0),
       [&](py::ssize_t i) { space.step(in + i * width, chosen[i], next + i * width); });
  return out;
}

}  // namespace

void bind_spaces(py::module_& m) {
  py::class_<Space>(m, "Space", "A decision process over batches of states `[n, W]`.")
      .def_property_readonly("heads", &heads, "Sizes of the kinds of decision; A is the largest.")
      .def_property_readonly("max_steps", &Space::max_steps, "Decisions of the longest walk.")
      .def("start", &start, py::arg("n"), "`n` states with nothing decided, int16 `[n, W]`.")
      .def(
          "head",
          [](const Space& self, const States& state) {
            return fold<std::int32_t>(self, state, [&](auto* s) { return self.head(s); });
          },
          py::arg("state"), "Which of the heads decides next, int32 `[n]`.")
      .def(
          "legal",
          [](const Space& self, const States& state) {
            return map<bool>(self, state, largest_head(self),
                             [&](auto* s, bool* out) { self.legal(s, out); });
          },
          py::arg("state"), "bool `[n, A]`; all False where a state is finished.")
      .def("step", &step, py::arg("state"), py::arg("action"),
           "The states after the actions int32 `[n]`; a finished one stays as it is.\n\n"
           "ValueError names the item and the action that is illegal.")
      .def(
          "done",
          [](const Space& self, const States& state) {
            return fold<bool>(self, state, [&](auto* s) { return self.done(s); });
          },
          py::arg("state"), "bool `[n]`.")
      .def(
          "observe",
          [](const Space& self, const States& state) {
            return map<std::int16_t>(self, state, self.observation_width(),
                                     [&](auto* s, std::int16_t* out) { self.observe(s, out); });
          },
          py::arg("state"), "What a table is keyed on, int16 `[n, V]`.")
      .def(
          "features",
          [](const Space& self, const States& state) {
            return map<float>(self, state, self.feature_width(),
                              [&](auto* s, float* out) { self.features(s, out); });
          },
          py::arg("state"), "What a network reads, float32 `[n, F]`.")
      .def(
          "actions",
          [](const Space& self, const States& state) {
            return map<std::int32_t>(self, state, self.max_steps(),
                                     [&](auto* s, std::int32_t* out) {
                                       const int count = self.actions(s, out);
                                       std::fill_n(out + count, self.max_steps() - count, -1);
                                     });
          },
          py::arg("state"),
          "The way back from finished states: int32 `[n, max_steps]`, -1 after the last action.");

  py::class_<BlockSpace, Space>(m, "BlockSpace", "Blocks of up to `max_layers` layers, row by row.")
      .def(py::init<int>(), py::arg("max_layers"));
  py::class_<ChoicesSpace, Space>(m, "ChoicesSpace", "A product of choices of the given sizes.")
      .def(py::init<std::vector<int>>(), py::arg("sizes"));
  py::class_<LayerSpace, Space>(m, "LayerSpace",
                                "Chains of up to `max_layers` layers for square images of a size.")
      .def(py::init<int, int, std::vector<int>, std::vector<int>, bool>(), py::arg("size"),
           py::arg("max_layers"), py::arg("widths"), py::arg("dense"), py::arg("strict"));
  py::class_<SkipSpace, Space>(m, "SkipSpace",
                               "Layers of choices of the given sizes, and which they read.")
      .def(py::init<std::vector<int>, std::vector<int>>(), py::arg("depths"), py::arg("sizes"));
}

}  // namespace nascore::bindings
