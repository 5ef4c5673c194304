// Decision processes over batches of states.
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>

#include "arrays.hpp"
#include "nascore/spaces/block.hpp"
#include "nascore/spaces/choices.hpp"
#include "nascore/spaces/connection.hpp"
#include "nascore/spaces/dag.hpp"
#include "nascore/spaces/layer.hpp"
#include "nascore/spaces/skip.hpp"
#include "python_space.hpp"

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

std::vector<Node> operations(const Given<std::int32_t>& given) {
  const auto rows = checked(given, "operations", {"O", 3});
  std::vector<Node> nodes;
  for (py::ssize_t i = 0; i < rows.shape(0); ++i) {
    const std::int32_t* row = rows.data(i, 0);
    if (std::any_of(row, row + 3, [](std::int32_t field) { return field < 0 || field > 255; })) {
      throw py::value_error("operations: row " + std::to_string(i) + " must be of 0 to 255");
    }
    nodes.push_back({static_cast<Op>(row[0]), static_cast<std::uint8_t>(row[1]), 1,
                     static_cast<std::uint8_t>(row[2])});
  }
  return nodes;
}

Array<std::uint64_t> dag_hash(const DagSpace& space, const States& given) {
  const auto input = states(space, given);
  Array<std::uint64_t> out({input.shape(0), py::ssize_t{2}});
  const std::int16_t* in = input.data();
  std::uint64_t* words = out.mutable_data();
  each(input.shape(0), [&](py::ssize_t i) {
    const Hash128 value = hash(clean(space.graph(in + i * space.state_width())));
    words[2 * i] = value.high;
    words[2 * i + 1] = value.low;
  });
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
          "The way back from finished states: int32 `[n, max_steps]`, -1 after the last action.")
      .def(
          "key",
          [](const Space& self, const States& state) {
            return map<std::uint64_t>(self, state, 2, [&](auto* s, std::uint64_t* out) {
              const Hash128 key = self.key(s);
              out[0] = key.high;
              out[1] = key.low;
            });
          },
          py::arg("state"),
          "uint64 `[n, 2]`, equal for states below which the same is found, whatever led to them.");

  py::class_<BlockSpace, Space>(m, "BlockSpace", "Blocks of up to `max_layers` layers, row by row.")
      .def(py::init<int>(), py::arg("max_layers"));
  py::class_<ChoicesSpace, Space>(m, "ChoicesSpace", "A product of choices of the given sizes.")
      .def(py::init<std::vector<int>>(), py::arg("sizes"));
  py::class_<ConnectionSpace, Space>(m, "ConnectionSpace",
                                     "Nodes that read `fan_in` of their candidates each.")
      .def(py::init<std::vector<int>, int>(), py::arg("candidates"), py::arg("fan_in"));
  py::class_<LayerSpace, Space>(m, "LayerSpace",
                                "Chains of up to `max_layers` layers for square images of a size.")
      .def(py::init<int, int, std::vector<int>, std::vector<int>, bool>(), py::arg("size"),
           py::arg("max_layers"), py::arg("widths"), py::arg("dense"), py::arg("strict"));
  py::class_<PythonSpace, Space>(
      m, "PythonSpace", "A space written in Python (`nascore.trial.Space`), for what walks spaces.")
      .def(py::init<py::object>(), py::arg("space"));

  py::class_<DagSpace, Space>(m, "DagSpace", "Blocks drawn as graphs of summing nodes.")
      .def("hash", &dag_hash, py::arg("state"),
           "Canonical hashes (high, low) of the cleaned graphs of finished states: `[n, 2]`.")
      .def(
          "graph",
          [](const DagSpace& self, const States& given) {
            const auto input = states(self, given);
            if (input.shape(0) != 1) throw py::value_error("state: give one, `[1, W]`");
            return self.graph(input.data());
          },
          py::arg("state"), "The graph of one finished state `[1, W]`, not cleaned.");
  py::class_<EdgeDagSpace, DagSpace>(m, "EdgeDagSpace", "Nodes, then edges, then the end.")
      .def(py::init(
               [](const Given<std::int32_t>& given, int max_nodes, int max_edges, bool erasing) {
                 return std::make_unique<EdgeDagSpace>(operations(given), max_nodes, max_edges,
                                                       erasing);
               }),
           py::arg("operations"), py::arg("max_nodes"), py::arg("max_edges"), py::arg("erasing"));
  py::class_<SumDagSpace, DagSpace>(m, "SumDagSpace", "Node by node: operation, then inputs.")
      .def(py::init([](const Given<std::int32_t>& given, int nodes) {
             return std::make_unique<SumDagSpace>(operations(given), nodes);
           }),
           py::arg("operations"), py::arg("nodes"));

  py::class_<SkipSpace, Space>(m, "SkipSpace",
                               "Layers of choices of the given sizes, and which they read.")
      .def(py::init<std::vector<int>, std::vector<int>>(), py::arg("depths"), py::arg("sizes"));
}

}  // namespace nascore::bindings
