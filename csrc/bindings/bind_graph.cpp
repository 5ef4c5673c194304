// Operations, block codes and graphs.
#include <pybind11/stl.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "arrays.hpp"
#include "nascore/canonical.hpp"
#include "nascore/cell.hpp"
#include "nascore/graph.hpp"
#include "nascore/nsc.hpp"
#include "nascore/ops.hpp"
#include "nascore/spaces/dag.hpp"

namespace nascore::bindings {

namespace {

using Codes = Given<std::int16_t>;

py::dict operations() {
  py::dict table;
  for (const OpInfo& op : kOps) {
    py::list kernels;
    for (const std::uint8_t kernel : op.nsc_kernels) {
      if (kernel) kernels.append(kernel);
    }
    table[op.name] = py::make_tuple(static_cast<int>(op.op), py::tuple(kernels), op.nsc_inputs);
  }
  return table;
}

Array<std::int16_t> nsc_validate(const Codes& given) {
  const auto codes = checked(given, "codes", {"n", "L", 5});
  const auto n = codes.shape(0);
  const auto slots = static_cast<int>(codes.shape(1));
  Array<std::int16_t> out(n);
  const std::int16_t* rows = codes.data();
  std::int16_t* bad_row = out.mutable_data();
  const py::gil_scoped_release release;
  for (py::ssize_t i = 0; i < n; ++i, rows += 5 * slots) {
    bad_row[i] = static_cast<std::int16_t>(std::min(nsc::validate(rows, slots).row, INT16_MAX));
  }
  return out;
}

Array<std::uint64_t> nsc_hash(const Codes& given) {
  const auto codes = checked(given, "codes", {"n", "L", 5});
  const auto n = codes.shape(0);
  const auto slots = static_cast<int>(codes.shape(1));
  Array<std::uint64_t> out({n, py::ssize_t{2}});
  const std::int16_t* rows = codes.data();
  std::uint64_t* words = out.mutable_data();
  const py::gil_scoped_release release;
  for (py::ssize_t i = 0; i < n; ++i, rows += 5 * slots) {
    if (const nsc::Problem problem = nsc::validate(rows, slots); problem.row) {
      throw std::invalid_argument("code " + std::to_string(i) + ", " + nsc::message(rows, problem));
    }
    const Hash128 value = hash(clean(nsc::to_graph(rows, slots)));
    words[2 * i] = value.high;
    words[2 * i + 1] = value.low;
  }
  return out;
}

// Reads adjacency [V, V] into `dag`; returns what is wrong with it, or nullptr.
const char* read_adjacency(const std::int16_t* labels, const std::uint8_t* adjacency, int nodes,
                           Dag& dag) {
  // The roles of input and output are part of the label, whatever the table calls them.
  constexpr std::uint32_t kInputRole = 1u << 16;
  constexpr std::uint32_t kOutputRole = 1u << 17;
  dag.nodes = nodes;
  for (int v = 0; v < nodes; ++v) {
    dag.label[v] = static_cast<std::uint16_t>(labels[v]);
    dag.preds[v] = 0;
  }
  dag.label[0] |= kInputRole;
  dag.label[nodes - 1] |= kOutputRole;
  std::uint8_t any = 0;
  for (int u = 0; u < nodes; ++u) {
    std::uint64_t succs = 0;
    for (int v = 0; v < nodes; ++v) {
      const std::uint8_t count = adjacency[u * nodes + v];
      any |= count;
      const std::uint64_t edge = count != 0;
      succs |= edge << v;
      dag.preds[v] |= edge << u;
    }
    dag.succs[u] = succs;
  }
  dag.parallel = any > 1;
  if (dag.parallel) {
    for (int u = 0; u < nodes; ++u) {
      std::copy_n(adjacency + u * nodes, nodes, dag.count[u].begin());
    }
  }
  if (dag.preds[0]) return "node 0, the input, must read nothing";
  if (dag.succs[nodes - 1]) return "the last node, the output, must be read by nothing";
  return nullptr;
}

Array<std::uint64_t> graph_hash(const Codes& given_labels,
                                const Given<std::uint8_t>& given_adjacency) {
  const auto labels = checked(given_labels, "labels", {"n", "V"});
  const auto n = labels.shape(0);
  const auto nodes = labels.shape(1);
  const auto adjacency = checked(given_adjacency, "adjacency", {n, nodes, nodes});
  if (nodes < 2 || nodes > Dag::kMaxNodes) {
    throw py::value_error("V=" + std::to_string(nodes) + " must be from 2 to " +
                          std::to_string(Dag::kMaxNodes));
  }
  Array<std::uint64_t> out({n, py::ssize_t{2}});
  const std::int16_t* label = labels.data();
  const std::uint8_t* matrix = adjacency.data();
  std::uint64_t* words = out.mutable_data();
  const py::gil_scoped_release release;
  Dag dag;
  std::array<std::uint8_t, Dag::kMaxNodes> order;
  for (py::ssize_t i = 0; i < n; ++i, label += nodes, matrix += nodes * nodes) {
    const char* problem = read_adjacency(label, matrix, static_cast<int>(nodes), dag);
    if (!problem && !topological_order(dag.preds.data(), dag.nodes, order.data())) {
      problem = "the edges form a cycle";
    }
    if (problem) throw std::invalid_argument("graph " + std::to_string(i) + ": " + problem);
    const Hash128 value = canonical_hash(dag, order.data());
    words[2 * i] = value.high;
    words[2 * i + 1] = value.low;
  }
  return out;
}

Graph from_nsc(const Codes& given) {
  const auto code = checked(given, "code", {"L", 5});
  const auto slots = static_cast<int>(code.shape(0));
  if (const nsc::Problem problem = nsc::validate(code.data(), slots); problem.row) {
    throw py::value_error(nsc::message(code.data(), problem));
  }
  return nsc::to_graph(code.data(), slots);
}

Graph from_cell(const Codes& given, const std::vector<int>& outputs, int stride) {
  const auto code = checked(given, "code", {"B", 5});
  const auto blocks = static_cast<int>(code.shape(0));
  cell::validate(code.data(), blocks);
  return cell::to_graph(code.data(), blocks, outputs, stride);
}

Array<std::uint64_t> cell_hash(const Codes& given, bool all, int stride) {
  const auto codes = checked(given, "codes", {"n", "B", 5});
  const auto n = codes.shape(0);
  const auto blocks = static_cast<int>(codes.shape(1));
  Array<std::uint64_t> out({n, py::ssize_t{2}});
  const std::int16_t* code = codes.data();
  std::uint64_t* words = out.mutable_data();
  const py::gil_scoped_release release;
  std::vector<int> outputs(blocks);
  std::iota(outputs.begin(), outputs.end(), 2);
  for (py::ssize_t i = 0; i < n; ++i, code += 5 * blocks) {
    cell::validate(code, blocks);
    if (!all) outputs = cell::unused(code, blocks);
    const Hash128 value = hash(clean(cell::to_graph(code, blocks, outputs, stride)));
    words[2 * i] = value.high;
    words[2 * i + 1] = value.low;
  }
  return out;
}

template <class Table, class Name>
py::typing::Tuple<py::str, py::ellipsis> names(const Table& table, Name name) {
  py::tuple out(table.size());
  for (std::size_t i = 0; i < table.size(); ++i) out[i] = name(table[i]);
  return out;
}

std::uint8_t byte(const char* what, py::ssize_t item, const char* field, std::int32_t value) {
  if (value < 0 || value > 255) {
    throw py::value_error(std::string(what) + " " + std::to_string(item) + ": " + field + "=" +
                          std::to_string(value) + " must be from 0 to 255");
  }
  return static_cast<std::uint8_t>(value);
}

Graph from_arrays(const Given<std::int32_t>& given_nodes, const Given<std::int32_t>& given_edges) {
  const auto nodes = checked(given_nodes, "nodes", {"V", 4});
  const auto edges = checked(given_edges, "edges", {"E", 2});
  Graph graph;
  for (py::ssize_t i = 0; i < nodes.shape(0); ++i) {
    const std::int32_t* field = nodes.data(i, 0);
    graph.add_node({static_cast<Op>(byte("node", i, "op", field[0])),
                    byte("node", i, "kernel", field[1]), byte("node", i, "stride", field[2]),
                    byte("node", i, "dilation", field[3])});
  }
  for (py::ssize_t i = 0; i < edges.shape(0); ++i) {
    const std::int32_t* end = edges.data(i, 0);
    graph.add_edge(byte("edge", i, "from", end[0]), byte("edge", i, "to", end[1]));
  }
  validate(graph);
  return graph;
}

Graph from_dag(const Given<std::int32_t>& given_rows, const Given<std::int32_t>& given_edges) {
  const auto rows = checked(given_rows, "rows", {"V", 3});
  const auto edges = checked(given_edges, "edges", {"E", 2});
  const auto last = rows.shape(0);  // the number of the row that joins
  if (last < 1 || last > DagCode::kMaxNodes + 1) {
    throw py::value_error("a block has 1 to " + std::to_string(DagCode::kMaxNodes + 1) +
                          " rows, this one " + std::to_string(last));
  }
  DagCode code;
  code.nodes = static_cast<int>(last) - 1;
  for (py::ssize_t v = 1; v <= last; ++v) {
    const std::int32_t* field = rows.data(v - 1, 0);
    const Node node = {static_cast<Op>(byte("node", v, "op", field[0])),
                       byte("node", v, "kernel", field[1]), 1,
                       byte("node", v, "dilation", field[2])};
    if (v < last) {
      code.node[v] = node;
    } else {
      code.join = node.op;
    }
  }
  for (py::ssize_t e = 0; e < edges.shape(0); ++e) {
    const int from = byte("edge", e, "from", *edges.data(e, 0));
    const int to = byte("edge", e, "to", *edges.data(e, 1));
    if (to < 1 || to > last || from >= to) {
      throw py::value_error("node " + std::to_string(to) + " reads node " + std::to_string(from) +
                            ", which is not before it");
    }
    (to < last ? code.reads[to] : code.result) |= std::uint64_t{1} << from;
  }
  validate(code);
  return to_graph(code);
}

Array<std::int32_t> nodes_of(const Graph& graph) {
  Array<std::int32_t> out({py::ssize_t{graph.nodes}, py::ssize_t{4}});
  std::int32_t* field = out.mutable_data();
  for (int v = 0; v < graph.nodes; ++v) {
    const Node& node = graph.node[v];
    *field++ = static_cast<std::int32_t>(node.op);
    *field++ = node.kernel;
    *field++ = node.stride;
    *field++ = node.dilation;
  }
  return out;
}

Array<std::int32_t> edges_of(const Graph& graph) {
  Array<std::int32_t> out({py::ssize_t{graph.edges}, py::ssize_t{2}});
  std::int32_t* end = out.mutable_data();
  for (int e = 0; e < graph.edges; ++e) {
    *end++ = graph.edge[e].from;
    *end++ = graph.edge[e].to;
  }
  return out;
}

Array<std::int16_t> parse(const std::string& text) {
  const std::vector<nsc::Row> rows = nsc::parse(text);
  Array<std::int16_t> out({static_cast<py::ssize_t>(rows.size()), py::ssize_t{5}});
  std::int16_t* field = out.mutable_data();
  for (const nsc::Row& row : rows) field = std::copy(row.begin(), row.end(), field);
  return out;
}

}  // namespace

void bind_graph(py::module_& m) {
  m.attr("OPS") = operations();
  m.attr("CELL_OPS") = names(cell::kChoices, [](const auto& choice) { return choice.name; });
  m.attr("CELL_MAX_BLOCKS") = cell::kMaxBlocks;
  m.attr("CELL_COMBINES") = names(cell::kCombines, [](const char* name) { return name; });

  m.def("nsc_validate", &nsc_validate, py::arg("codes"),
        "The first bad row of each code `[n, L, 5]`, 1-based, 0 where the code is valid: `[n]`.");
  m.def(
      "nsc_message",
      [](const Codes& given) {
        const auto code = checked(given, "code", {"L", 5});
        return nsc::message(code.data(),
                            nsc::validate(code.data(), static_cast<int>(code.shape(0))));
      },
      py::arg("code"), "What is wrong with a code `[L, 5]`, row and rule; empty if it is valid.");
  m.def("nsc_parse", &parse, py::arg("text"),
        "The code `[L, 5]` of its list form, not validated; ValueError names the position.");
  m.def(
      "nsc_print",
      [](const Codes& given) {
        const auto code = checked(given, "code", {"L", 5});
        return nsc::print(code.data(), static_cast<int>(code.shape(0)));
      },
      py::arg("code"), "The list form of a code `[L, 5]`, without its padding.");
  m.def("nsc_hash", &nsc_hash, py::arg("codes"),
        "Canonical hashes (high, low) of the cleaned graphs of codes `[n, L, 5]`: `[n, 2]`.\n\n"
        "ValueError names the code and the row of the first bad one.");
  m.def("cell_hash", &cell_hash, py::arg("codes"), py::arg("all_outputs"), py::arg("stride"),
        "Canonical hashes (high, low) of the cleaned graphs of cells `[n, B, 5]`: `[n, 2]`.\n\n"
        "A cell gives the states that no block reads, or `all` of its own. ValueError names what\n"
        "is wrong with a code.");
  m.def("graph_hash", &graph_hash, py::arg("labels"), py::arg("adjacency"),
        "Canonical hashes (high, low) of graphs as they are: `[n, 2]`.\n\n"
        "`labels` `[n, V]` may be any numbers; `adjacency` `[n, V, V]` holds the number of edges\n"
        "i -> j; node 0 is the input, node V-1 the output. ValueError names a graph with a cycle.");

  py::class_<Graph>(m, "Graph", "A block as a labelled directed acyclic multigraph; immutable.")
      .def_static("from_nsc", &from_nsc, py::arg("code"),
                  "The graph of a code `[L, 5]`, output attached, not cleaned.\n\n"
                  "ValueError says which row breaks which rule.")
      .def_static("from_cell", &from_cell, py::arg("code"), py::arg("outputs"), py::arg("stride"),
                  "The graph of a cell's blocks `[B, 5]` that gives the states `outputs`, not "
                  "cleaned;\n`stride` is that of the operations on its inputs.\n\n"
                  "ValueError says which block or output breaks which rule.")
      .def_static("from_arrays", &from_arrays, py::arg("nodes"), py::arg("edges"),
                  "The graph of nodes `[V, 4]` (op, kernel, stride, dilation), edges `[E, 2]`.\n\n"
                  "ValueError names the node or edge that is wrong.")
      .def_static("from_dag", &from_dag, py::arg("rows"), py::arg("edges"),
                  "The graph of nodes `[V, 3]` (op, kernel, dilation) that sum what they read.\n\n"
                  "Edges `[E, 2]` are between nodes numbered from 1, 0 being the input; the last\n"
                  "row joins the result. Not cleaned. ValueError names the node that is wrong.")
      .def_property_readonly("nodes", &nodes_of, "op, kernel, stride, dilation: `[V, 4]`.")
      .def_property_readonly("edges", &edges_of, "from, to; parallel edges repeated: `[E, 2]`.")
      .def("clean", &clean, "The graph of the same function, without no-ops and dead nodes.")
      .def(
          "hash", [](const Graph& graph) { return hex(hash(graph)); },
          "32 hex digits, equal if and only if the graphs are isomorphic.")
      .def("layers", &layers, "The number of nodes that are neither input nor output.")
      .def("density", &density, "Edges that do not end in the output, over layers; 0 if none.")
      .def("longest_path", &longest_path, "Layers on the longest way from an input to the output.")
      .def(
          "order",
          [](const Graph& graph) {
            const auto order = topological_order(graph);
            return std::vector<int>(order.begin(), order.begin() + graph.nodes);
          },
          "The nodes in topological order: inputs first, among ready ones the lowest.");
}

}  // namespace nascore::bindings
