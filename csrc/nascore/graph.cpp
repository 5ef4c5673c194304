#include "nascore/graph.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace nascore {

namespace {

using NodeSets = std::array<std::uint64_t, Graph::kMaxNodes>;

constexpr std::uint64_t bit(int i) { return std::uint64_t{1} << i; }

NodeSets preds(const Graph& graph) {
  NodeSets sets{};
  for (int e = 0; e < graph.edges; ++e) sets[graph.edge[e].to] |= bit(graph.edge[e].from);
  return sets;
}

std::uint64_t nodes_of(const Graph& graph, Op op) {
  std::uint64_t set = 0;
  for (int v = 0; v < graph.nodes; ++v) {
    if (graph.node[v].op == op) set |= bit(v);
  }
  return set;
}

// The nodes on a path from an input to the output, and the inputs.
std::uint64_t alive(const Graph& graph, const NodeSets& preds,
                    const std::array<std::uint8_t, Graph::kMaxNodes>& order) {
  std::uint64_t reached = nodes_of(graph, Op::kInput);
  for (int i = 0; i < graph.nodes; ++i) {
    if (preds[order[i]] & reached) reached |= bit(order[i]);
  }
  std::uint64_t needed = nodes_of(graph, Op::kOutput);
  for (int i = graph.nodes - 1; i >= 0; --i) {
    if (needed & bit(order[i])) needed |= preds[order[i]];
  }
  return (reached & needed) | nodes_of(graph, Op::kInput) | nodes_of(graph, Op::kOutput);
}

bool does_nothing(Node node, int inputs) {
  switch (node.op) {
    case Op::kIdentity:
      return node.stride == 1;
    case Op::kMaxPool:
    case Op::kAvgPool:
      return node.kernel == 1 && node.stride == 1;
    case Op::kAdd:
    case Op::kConcat:
      return inputs == 1;
    default:
      return false;
  }
}

}  // namespace

int Graph::add_node(Node n) {
  if (nodes == kMaxNodes) {
    throw std::length_error("a graph has at most " + std::to_string(kMaxNodes) + " nodes");
  }
  node[nodes] = n;
  return nodes++;
}

void Graph::add_edge(int from, int to) {
  if (edges == kMaxEdges) {
    throw std::length_error("a graph has at most " + std::to_string(kMaxEdges) + " edges");
  }
  edge[edges++] = {static_cast<std::uint8_t>(from), static_cast<std::uint8_t>(to)};
}

void validate(const Graph& graph) {
  for (int e = 0; e < graph.edges; ++e) {
    const auto [from, to] = graph.edge[e];
    const auto refuse = [e](const std::string& what) {
      throw std::invalid_argument("edge " + std::to_string(e) + ": " + what);
    };
    for (const int end : {from, to}) {
      if (end >= graph.nodes) {
        refuse("node " + std::to_string(end) + " must be below the number of nodes, " +
               std::to_string(graph.nodes));
      }
    }
    if (graph.node[to].op == Op::kInput) {
      refuse("node " + std::to_string(to) + " is an input, which reads nothing");
    }
    if (graph.node[from].op == Op::kOutput) {
      refuse("node " + std::to_string(from) + " is the output, which nothing reads");
    }
  }
  int inputs = 0;
  int outputs = 0;
  for (int v = 0; v < graph.nodes; ++v) {
    const Op op = graph.node[v].op;
    inputs += op == Op::kInput;
    outputs += op == Op::kOutput;
    if (op == Op::kTerminal || static_cast<std::size_t>(op) >= kOps.size()) {
      throw std::invalid_argument("node " + std::to_string(v) +
                                  ": op=" + std::to_string(static_cast<int>(op)) +
                                  " is not an operation of a graph");
    }
  }
  std::array<int, Graph::kMaxNodes> reads{};
  for (int e = 0; e < graph.edges; ++e) ++reads[graph.edge[e].to];
  for (int v = 0; v < graph.nodes; ++v) {
    const Op op = graph.node[v].op;
    if (reads[v] > 1 && op != Op::kAdd && op != Op::kConcat && op != Op::kOutput) {
      throw std::invalid_argument("node " + std::to_string(v) + ": " + info(op).name +
                                  " must read one node, not " + std::to_string(reads[v]));
    }
  }
  if (inputs == 0) throw std::invalid_argument("a graph needs an input node, this one has none");
  if (outputs != 1) {
    throw std::invalid_argument("a graph needs exactly one output node, this one has " +
                                std::to_string(outputs));
  }
  std::array<std::uint8_t, Graph::kMaxNodes> order;
  if (!topological_order(preds(graph).data(), graph.nodes, order.data())) {
    throw std::invalid_argument("the edges form a cycle");
  }
}

std::array<std::uint8_t, Graph::kMaxNodes> topological_order(const Graph& graph) {
  // Inputs read nothing; letting everything else wait for them puts them first.
  NodeSets waits_for = preds(graph);
  const std::uint64_t inputs = nodes_of(graph, Op::kInput);
  for (int v = 0; v < graph.nodes; ++v) {
    if (!(inputs & bit(v))) waits_for[v] |= inputs;
  }
  std::array<std::uint8_t, Graph::kMaxNodes> order{};
  topological_order(waits_for.data(), graph.nodes, order.data());
  return order;
}

Graph clean(const Graph& graph) {
  const auto order = topological_order(graph);
  const std::uint64_t live = alive(graph, preds(graph), order);
  std::array<int, Graph::kMaxNodes> inputs{};
  std::array<std::uint8_t, Graph::kMaxNodes> source{};  // of a node with one input
  for (int e = 0; e < graph.edges; ++e) {
    const auto [from, to] = graph.edge[e];
    if (!(live & bit(from))) continue;
    ++inputs[to];
    source[to] = from;
  }
  Graph out;
  std::array<std::uint8_t, Graph::kMaxNodes> renamed{};
  for (int i = 0; i < graph.nodes; ++i) {
    const int v = order[i];
    if (!(live & bit(v))) continue;
    renamed[v] = does_nothing(graph.node[v], inputs[v])
                     ? renamed[source[v]]
                     : static_cast<std::uint8_t>(out.add_node(graph.node[v]));
  }
  for (int e = 0; e < graph.edges; ++e) {
    const auto [from, to] = graph.edge[e];
    if ((live & bit(from)) && (live & bit(to)) && !does_nothing(graph.node[to], inputs[to])) {
      out.add_edge(renamed[from], renamed[to]);
    }
  }
  return out;
}

int layers(const Graph& graph) {
  return static_cast<int>(
      std::count_if(graph.node.begin(), graph.node.begin() + graph.nodes,
                    [](Node n) { return n.op != Op::kInput && n.op != Op::kOutput; }));
}

double density(const Graph& graph) {
  const int count = layers(graph);
  const auto between = std::count_if(graph.edge.begin(), graph.edge.begin() + graph.edges,
                                     [&](Edge e) { return graph.node[e.to].op != Op::kOutput; });
  return count ? static_cast<double>(between) / count : 0.0;
}

int longest_path(const Graph& graph) {
  const auto order = topological_order(graph);
  const NodeSets sets = preds(graph);
  std::array<int, Graph::kMaxNodes>
      longest{};  // layers up to a node, -1 where no input leads to it
  int answer = 0;
  for (int i = 0; i < graph.nodes; ++i) {
    const int v = order[i];
    const Op op = graph.node[v].op;
    longest[v] = op == Op::kInput ? 0 : -1;
    for (int u = 0; u < graph.nodes; ++u) {
      if ((sets[v] & bit(u)) && longest[u] >= 0) {
        longest[v] = std::max(longest[v], longest[u] + (op != Op::kOutput));
      }
    }
    if (op == Op::kOutput) answer = std::max(0, longest[v]);
  }
  return answer;
}

Hash128 hash(const Graph& graph) {
  Dag dag;
  dag.nodes = graph.nodes;
  for (int v = 0; v < graph.nodes; ++v) {
    const Node& n = graph.node[v];
    dag.label[v] = std::uint32_t{static_cast<std::uint8_t>(n.op)} | (std::uint32_t{n.kernel} << 8) |
                   (std::uint32_t{n.stride} << 16) | (std::uint32_t{n.dilation} << 24);
    dag.preds[v] = dag.succs[v] = 0;
  }
  for (int e = 0; e < graph.edges; ++e) {
    const auto [from, to] = graph.edge[e];
    if (dag.succs[from] & bit(to)) {
      ++dag.count[from][to];
      dag.parallel = true;
    } else {
      dag.count[from][to] = 1;
    }
    dag.succs[from] |= bit(to);
    dag.preds[to] |= bit(from);
  }
  const auto order = topological_order(graph);
  return canonical_hash(dag, order.data());
}

}  // namespace nascore
