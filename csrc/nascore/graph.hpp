// The labelled directed acyclic multigraph of a block or cell, and what can be asked of it.
#pragma once

#include <array>
#include <cstdint>

#include "nascore/canonical.hpp"
#include "nascore/ops.hpp"

namespace nascore {

struct Node {
  Op op = Op::kInput;
  std::uint8_t kernel = 0;
  std::uint8_t stride = 1;
  std::uint8_t dilation = 1;
};

struct Edge {
  std::uint8_t from, to;
};

// Fixed capacity, so that a batch of graphs costs no allocation.
struct Graph {
  static constexpr int kMaxNodes = 64;
  static constexpr int kMaxEdges = 512;

  int nodes = 0;
  int edges = 0;
  std::array<Node, kMaxNodes> node;
  std::array<Edge, kMaxEdges> edge;

  int add_node(Node n);  // returns its index; throws length_error when full
  void add_edge(int from, int to);
};

// Throws invalid_argument naming the node or edge: edges between nodes, no cycle, at least one
// input, exactly one output, no edge into an input or out of the output, and only additions,
// concatenations and the output reading more than one node.
void validate(const Graph& graph);

// Node indices, inputs first, every edge pointing forward; among ready nodes the lowest first.
std::array<std::uint8_t, Graph::kMaxNodes> topological_order(const Graph& graph);

// The graph that computes the same function without what does nothing: identities, kernel-1
// pooling at stride 1, additions and concatenations of one, and nodes that no path from an input to
// the output meets (inputs stay). Parallel edges stay: add(x, x) is 2x. Nodes come in topological
// order, the output last.
Graph clean(const Graph& graph);

int layers(const Graph& graph);  // nodes that are neither input nor output

// Edges, those from the input included, those to the output not, over layers; 0 without layers.
double density(const Graph& graph);

int longest_path(const Graph& graph);  // layers on the longest way from an input to the output

// The canonical hash of the graph as it is, not cleaned: an add or concat reads its inputs in no
// order, and all four fields of a node are its label.
Hash128 hash(const Graph& graph);

}  // namespace nascore
