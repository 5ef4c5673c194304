// Networks as rows, and what they cost.
#include <pybind11/stl.h>

#include <algorithm>
#include <stdexcept>

#include "arrays.hpp"
#include "nascore/cell_net.hpp"
#include "nascore/layer_net.hpp"
#include "nascore/net.hpp"
#include "nascore/nsc.hpp"
#include "nascore/program.hpp"
#include "nascore/signatures.hpp"
#include "nascore/skip_net.hpp"

namespace nascore::bindings {
namespace {

constexpr const char* kColumns[] = {"op",     "kernel",   "kernel_width", "stride", "dilation",
                                    "groups", "channels", "height",       "width"};

using State = py::typing::Tuple<py::object, py::ellipsis>;  // of a pickled network

// A network, and what it costs.
struct CostedNet {
  Net net;
  NetCost cost;
};

Array<std::int64_t> rows(const CostedNet& self) {
  Array<std::int64_t> out({static_cast<py::ssize_t>(self.net.rows.size()), py::ssize_t{9}});
  std::int64_t* cell = out.mutable_data();
  for (const NetRow& row : self.net.rows) {
    const std::int64_t values[] = {static_cast<std::int64_t>(row.op),
                                   row.kernel,
                                   row.kernel_width,
                                   row.stride,
                                   row.dilation,
                                   row.groups,
                                   row.out.channels,
                                   row.out.height,
                                   row.out.width};
    cell = std::copy(std::begin(values), std::end(values), cell);
  }
  return out;
}

py::typing::List<py::typing::Tuple<int, py::ellipsis>> inputs(const CostedNet& self) {
  py::typing::List<py::typing::Tuple<int, py::ellipsis>> out;
  for (const NetRow& row : self.net.rows) {
    py::tuple indices(row.inputs);
    for (int k = 0; k < row.inputs; ++k) indices[k] = self.net.inputs[row.first_input + k];
    out.append(indices);
  }
  return out;
}

CostedNet from_rows(const Given<std::int64_t>& given,
                    const std::vector<std::vector<std::int32_t>>& inputs, bool repairs,
                    std::vector<std::int32_t> seams, std::vector<std::int32_t> exits,
                    bool signal = false) {
  const auto table = checked(given, "rows", {"R", 9});
  if (table.shape(0) != static_cast<py::ssize_t>(inputs.size())) {
    throw py::value_error("rows has " + std::to_string(table.shape(0)) + " rows, inputs " +
                          std::to_string(inputs.size()) + "; each row needs its inputs");
  }
  Net net;
  net.signal = signal;
  const std::int64_t* cell = table.data();
  for (std::size_t i = 0; i < inputs.size(); ++i, cell += 9) {
    if (cell[0] < 0 || cell[0] >= static_cast<std::int64_t>(kOps.size())) {
      throw py::value_error("row " + std::to_string(i) + " has op=" + std::to_string(cell[0]) +
                            "; OPS has the operations' numbers");
    }
    for (int column = 1; column < 9; ++column) {
      if (cell[column] < 0 || cell[column] > kMaxExtent) {
        throw py::value_error("row " + std::to_string(i) + " has " + kColumns[column] + "=" +
                              std::to_string(cell[column]) + "; it must be 0 to " +
                              std::to_string(kMaxExtent));
      }
    }
    const auto argument = [&](int column) { return static_cast<std::int32_t>(cell[column]); };
    net.rows.push_back({static_cast<Op>(cell[0]), argument(1), argument(2), argument(3),
                        argument(4), argument(5), Shape{cell[6], cell[7], cell[8]},
                        static_cast<std::int32_t>(net.inputs.size()),
                        static_cast<std::int32_t>(inputs[i].size())});
    net.inputs.insert(net.inputs.end(), inputs[i].begin(), inputs[i].end());
  }
  py::gil_scoped_release release;
  if (repairs) {
    repair(net);
  } else {
    validate(net);
  }
  for (std::size_t k = 0; k < seams.size(); ++k) {
    if (seams[k] <= (k ? seams[k - 1] : 0) || seams[k] >= static_cast<int>(net.rows.size())) {
      throw std::invalid_argument("seam " + std::to_string(seams[k]) +
                                  ": seams are rows after the input, in rising order");
    }
  }
  net.seams = std::move(seams);
  set_exits(net, std::move(exits));
  const NetCost total = cost(net);
  return {std::move(net), total};
}

CostedNet of_signals(const CostedNet& self) {
  Net net = self.net;
  flatten_to_signal(net);
  std::vector<std::int32_t> exits = std::move(net.exits);
  net.exits.clear();
  set_exits(net, std::move(exits));  // by their new cost
  const NetCost total = cost(net);
  return {std::move(net), total};
}

std::vector<std::string> names(const CostedNet& self) {
  std::vector<std::string> out;
  for (const Hash128 signature : signatures(self.net)) out.push_back(hex(signature));
  return out;
}

CostedNet expand_and_cost(const Graph& graph, const Skeleton& skeleton, std::int64_t channels,
                          std::int64_t height, std::int64_t width, int classes) {
  Net net = expand(graph, skeleton, {channels, height, width}, classes);
  const NetCost total = cost(net);
  return {std::move(net), total};
}

CostedNet expand_cells_and_cost(const Graph& normal, const Graph& reduction, const CellStack& stack,
                                std::int64_t channels, std::int64_t height, std::int64_t width,
                                int classes) {
  Net net = expand(normal, reduction, stack, {channels, height, width}, classes);
  const NetCost total = cost(net);
  return {std::move(net), total};
}

CostedNet expand_layers_and_cost(const Given<std::int16_t>& given, bool dropout,
                                 std::int64_t channels, std::int64_t height, std::int64_t width,
                                 int classes) {
  const auto code = checked(given, "code", {"L", 3});
  const std::int16_t* rows = code.data();
  const auto count = static_cast<int>(code.shape(0));
  py::gil_scoped_release release;
  Net net = expand_layers(rows, count, dropout, {channels, height, width}, classes);
  const NetCost total = cost(net);
  return {std::move(net), total};
}

CostedNet expand_skips_and_cost(const Given<std::int16_t>& given_layers,
                                const Given<bool>& given_reads, std::int64_t channels,
                                std::int64_t height, std::int64_t width, int classes) {
  const auto layers = checked(given_layers, "layers", {"L", 4});
  const auto reads = checked(given_reads, "reads", {layers.shape(0), layers.shape(0)});
  const std::int16_t* rows = layers.data();
  const bool* mask = reads.data();
  const auto count = static_cast<int>(layers.shape(0));
  py::gil_scoped_release release;
  Net net = expand_skips(rows, mask, count, {channels, height, width}, classes);
  const NetCost total = cost(net);
  return {std::move(net), total};
}

Array<std::int64_t> nsc_cost(const Given<std::int16_t>& given, const Skeleton& skeleton,
                             std::int64_t channels, std::int64_t height, std::int64_t width,
                             int classes) {
  const auto codes = checked(given, "codes", {"n", "L", 5});
  const py::ssize_t n = codes.shape(0);
  const int slots = static_cast<int>(codes.shape(1));
  Array<std::int64_t> out({n, py::ssize_t{3}});
  const std::int16_t* code = codes.data();
  std::int64_t* cell = out.mutable_data();
  py::gil_scoped_release release;
  for (py::ssize_t i = 0; i < n; ++i, code += 5 * slots, cell += 3) {
    const nsc::Problem problem = nsc::validate(code, slots);
    if (problem.row != 0) {
      throw std::invalid_argument("code " + std::to_string(i) + ", " + nsc::message(code, problem));
    }
    try {
      const Graph graph = clean(nsc::to_graph(code, slots));
      const NetCost c = cost(expand(graph, skeleton, {channels, height, width}, classes));
      cell[0] = c.params;
      cell[1] = c.macs;
      cell[2] = c.peak_bytes;
    } catch (const std::domain_error&) {
      std::fill_n(cell, 3, -1);
    }
  }
  return out;
}

}  // namespace

void bind_net(py::module_& m) {
  py::tuple columns(std::size(kColumns));
  for (std::size_t i = 0; i < std::size(kColumns); ++i) columns[i] = kColumns[i];
  m.attr("NET_COLUMNS") = columns;

  py::class_<Skeleton>(m, "Skeleton",
                       "The fixed outside of a network: stem, groups of blocks, classifier.")
      .def(py::init([](std::int64_t stem_width, int stem_stride, bool stem_pool, int blocks,
                       std::vector<std::int64_t> widths, bool depthwise) {
             Skeleton skeleton{stem_width, stem_stride,       stem_pool,
                               blocks,     std::move(widths), depthwise};
             validate(skeleton);
             return skeleton;
           }),
           py::arg("stem_width"), py::arg("stem_stride"), py::arg("stem_pool"), py::arg("blocks"),
           py::arg("widths"), py::arg("depthwise") = false,
           "ValueError names the field that is out of range.");

  py::class_<CellStack>(m, "CellStack",
                        "The fixed outside of a network of cells: stem, groups, classifier.")
      .def(py::init([](int normal, std::int64_t filters, std::int64_t stem_width, int stem_stride,
                       int stem_cells, int reductions, bool auxiliary) {
             const CellStack stack{normal,     filters,    stem_width, stem_stride,
                                   stem_cells, reductions, auxiliary};
             validate(stack);
             return stack;
           }),
           py::arg("normal"), py::arg("filters"), py::arg("stem_width"), py::arg("stem_stride"),
           py::arg("stem_cells"), py::arg("reductions"), py::arg("auxiliary"),
           "ValueError names the field that is out of range.");

  py::class_<CostedNet>(m, "Net", "A whole network as rows in the order in which they run.")
      .def_static(
          "from_rows",
          [](const Given<std::int64_t>& rows, const std::vector<std::vector<std::int32_t>>& inputs,
             bool repairs, std::vector<std::int32_t> seams, std::vector<std::int32_t> exits) {
            return from_rows(rows, inputs, repairs, std::move(seams), std::move(exits));
          },
          py::arg("rows"), py::arg("inputs"), py::arg("repair") = false,
          py::arg("seams") = std::vector<std::int32_t>{},
          py::arg("exits") = std::vector<std::int32_t>{},
          "The network of rows int64 `[R, 9]`, columns NET_COLUMNS, and per row those it reads.\n\n"
          "With `repair` shapes become what the inputs make them, channels of convolutions and\n"
          "linear layers aside, and groups what divides these. `seams` end repeated blocks; "
          "`exits`\n"
          "are rows of logits that answer before the last row. ValueError names the row that "
          "cannot\n"
          "be built, the rule and what it should be.")
      .def(py::pickle(
          [](const CostedNet& self) {
            return State(py::make_tuple(rows(self), inputs(self), self.net.seams, self.net.exits,
                                        self.net.signal));
          },
          [](const State& state) {
            return from_rows({state[0]}, state[1].cast<std::vector<std::vector<std::int32_t>>>(),
                             false, state[2].cast<std::vector<std::int32_t>>(),
                             state[3].cast<std::vector<std::int32_t>>(), state[4].cast<bool>());
          }))
      .def_property_readonly("rows", &rows, "int64 `[R, 9]`, columns NET_COLUMNS.")
      .def_property_readonly("inputs", &inputs, "Per row, the rows that it reads.")
      .def_property_readonly(
          "seams", [](const CostedNet& self) { return self.net.seams; },
          "Rows that end one repeated block and begin the next.")
      .def_property_readonly(
          "exits", [](const CostedNet& self) { return self.net.exits; },
          "Rows of logits that answer before the last one, by rising cost of each alone.")
      .def_property_readonly(
          "exit_macs", [](const CostedNet& self) { return exit_macs(self.net); },
          "Multiply-adds until each exit has answered, then until the last row has: of all that\n"
          "leads to it or to an exit that costs no more alone.")
      .def("of_signals", &of_signals, py::call_guard<py::gil_scoped_release>(),
           "This network of images (C, L, L) made one of signals (C, L): heights are 1, and "
           "kernels\n"
           "keep their width alone.")
      .def_property_readonly(
          "signal", [](const CostedNet& self) { return self.net.signal; },
          "Whether it is of signals (C, L), not of images.")
      .def_property_readonly(
          "signatures", &names,
          "Per row a name of its own, a hash of it and of what feeds it; networks that have a "
          "part\n"
          "in common call it by the same name. A block's inside is named by the block alone.")
      .def(
          "program",
          [](const CostedNet& self, const std::vector<std::int32_t>& given,
             const std::vector<std::int32_t>& wanted, bool batch_statistics) {
            if (self.net.signal) {
              throw std::invalid_argument(
                  "a network of signals has no fused program yet, only one of images; run it as "
                  "the torch module that it is");
            }
            return compile(self.net, given, wanted, batch_statistics);
          },
          py::arg("inputs"), py::arg("outputs"), py::arg("batch_statistics") = false,
          "The Program that computes rows `outputs` from rows `inputs`.\n\n"
          "With `batch_statistics` batch norms go by each batch. ValueError where an output needs\n"
          "the image beside the inputs, or the network is too large.")
      .def_property_readonly(
          "params", [](const CostedNet& self) { return self.cost.params; }, "Trainable parameters.")
      .def_property_readonly(
          "macs", [](const CostedNet& self) { return self.cost.macs; },
          "Multiply-adds of convolutions and linear layers for one image.")
      .def_property_readonly(
          "peak_bytes", [](const CostedNet& self) { return self.cost.peak_bytes; },
          "Most float32 activation bytes alive at once for one image, in inference.");

  m.def("expand", &expand_and_cost, py::call_guard<py::gil_scoped_release>(), py::arg("graph"),
        py::arg("skeleton"), py::arg("channels"), py::arg("height"), py::arg("width"),
        py::arg("classes"),
        "The network of a block's graph, taken as it is, in a skeleton.\n\n"
        "ValueError where it is too wide, the image too small, or the graph no block.");
  m.def("expand_cells", &expand_cells_and_cost, py::call_guard<py::gil_scoped_release>(),
        py::arg("normal"), py::arg("reduction"), py::arg("stack"), py::arg("channels"),
        py::arg("height"), py::arg("width"), py::arg("classes"),
        "The network of two cells' graphs, cleaned before, in their stack.\n\n"
        "ValueError where it is too wide, or a graph no cell.");
  m.def(
      "expand_layers", &expand_layers_and_cost, py::arg("code"), py::arg("dropout"),
      py::arg("channels"), py::arg("height"), py::arg("width"), py::arg("classes"),
      "The network of a layer code int16 `[L, 3]`: a chain, with dropout after every 2 layers.\n\n"
      "ValueError where it is too wide, the image too small, or the code no chain.");
  m.def("expand_skips", &expand_skips_and_cost, py::arg("layers"), py::arg("reads"),
        py::arg("channels"), py::arg("height"), py::arg("width"), py::arg("classes"),
        "The network of layers int16 `[L, 4]` (height, width, stride, channels of a convolution),\n"
        "each of which reads the layers before it for which `reads` [L, L] holds.\n\n"
        "ValueError where it is too wide or the code is none.");
  m.def("nsc_cost", &nsc_cost, py::arg("codes"), py::arg("skeleton"), py::arg("channels"),
        py::arg("height"), py::arg("width"), py::arg("classes"),
        "params, macs and peak_bytes, int64 `[n, 3]`, of the cleaned blocks int16 `[n, L, 5]`.\n\n"
        "-1 where a network is too wide; ValueError where a code is wrong or the image too small.");
}

}  // namespace nascore::bindings
