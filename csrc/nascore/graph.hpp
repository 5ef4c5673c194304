// The labelled directed acyclic multigraph of a block or cell, and what can be asked of it.
#pragma once

#include <array>
#include <cstdint>

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

struct Hash128 {
  std::uint64_t high, low;
};

// Fixed capacity, so that a batch of graphs costs no allocation.
struct Graph {
  static constexpr int kMaxNodes = 64;
  static constexpr int kMaxEdges = 512;

  int nodes = 0;
  int edges = 0;
  std::array<Node, kMaxNodes> node;
  std::array<Edge, kMaxEdges> edge;

  int add_node(Node n);            // returns its index; throws length_error when full
  void add_edge(int from, int to);
};

// Throws invalid_argument naming the node or edge: edges within range, no cycle, at least one
// input, exactly one output, no edge into an input or out of the output.
void validate(const Graph& graph);

// Node indices, inputs first, every edge pointing forward; among ready nodes the lowest first.
std::array<std::uint8_t, Graph::kMaxNodes> topological_order(const Graph& graph);

// The graph that computes the same function without what does nothing: identities, kernel-1
// pooling at stride 1, concatenations of one, and nodes that no path from an input to the output
// meets. Parallel edges stay: add(x, x) is 2x. Nodes come in topological order.
Graph clean(const Graph& graph);

int layers(const Graph& graph);        // nodes that are neither input nor output
double density(const Graph& graph);    // edges, those from the input included, those to the output not, over layers; 0 without layers
int longest_path(const Graph& graph);  // layers on the longest way from an input to the output

// Equal if and only if the graphs are isomorphic with their labels (up to a collision of 128
// bits): the hash of an exact canonical form, by individualisation and refinement. It does not clean.
Hash128 hash(const Graph& graph);

}  // namespace nascore
