// Blocks that are drawn as graphs: nodes with an operation each, which sum what they read.
//
// Node 0 is the block's input, node v >= 1 has an operation; a state holds the operations of nodes
// 1 to `most` (0: none yet, o + 1: the o-th of the space's), then for j = 1, 2, ... whether j
// reads i, for all i < j, then the phase: 0, 1 while the newest node's inputs are chosen, 2 done.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "nascore/graph.hpp"
#include "nascore/space.hpp"

namespace nascore {

// What nodes 1..n are and read (bit u: node u), and who reads the result: a join, kAdd or kConcat,
// of `result`. An input beside others in a concatenation is added to it, as in NAS-Bench-101.
struct DagCode {
  static constexpr int kMaxNodes = 28;  // so that the graph of any has its place in a Graph

  int nodes = 0;
  std::array<Node, kMaxNodes + 1> node;  // from 1 on
  std::array<std::uint64_t, kMaxNodes + 1> reads{};
  Op join = Op::kAdd;
  std::uint64_t result = 0;
};

// Throws invalid_argument naming the node whose operation is none of a node, or that reads what is
// not before it.
void validate(const DagCode& code);

// The graph with an addition before a node that reads several; not cleaned.
Graph to_graph(const DagCode& code);

class DagSpace : public Space {
 public:
  int state_width() const override { return most_ + pairs_ + 1; }
  int observation_width() const override { return state_width(); }  // the whole state
  // The operations one-hot, node by node, then the pairs; an output is the last node always.
  int feature_width() const override {
    return most_ * static_cast<int>(operations_.size()) + pairs_;
  }
  const std::vector<int>& heads() const override { return heads_; }

  void start(std::int16_t* state) const override;
  bool done(const std::int16_t* state) const override { return state[most_ + pairs_] == kDone; }
  void observe(const std::int16_t* state, std::int16_t* observation) const override;

  // The graph of a finished state, not cleaned. Throws invalid_argument where it is none.
  Graph graph(const std::int16_t* state) const;

 protected:
  enum Phase : std::int16_t { kOperation, kInputs, kDone };

  // Throws invalid_argument where there are no operations, or one is none of a node, or `most` is
  // not `least` to DagCode::kMaxNodes.
  DagSpace(std::vector<Node> operations, int most, int least, const char* name, int columns);

  static int pair(int from, int to) { return to * (to - 1) / 2 + from; }
  int nodes(const std::int16_t* state) const;  // with an operation
  bool reads(const std::int16_t* state, int from, int to) const {
    return state[most_ + pair(from, to)] != 0;
  }
  std::uint64_t inputs(const std::int16_t* state, int node) const;
  virtual void finish(const std::int16_t* state, DagCode& code) const = 0;  // join and result

  std::vector<Node> operations_;
  int most_, pairs_;
  std::vector<int> heads_;
};

// NAS-Bench-101 (Ying et al., 2019), as AlphaX walks it: one action of terminate, add a node with
// one of the operations, before the output, or add an edge, 1 + O + the pair's place. The result is
// what the output, the node after the last, reads.
//
// A new node erases all edges. Without `erasing` steps that come to nothing are illegal: no node
// comes after the first edge, and a walk ends only once there is a way from the input to the
// output. With it everything within the limits is legal, and a graph without such a way is an empty
// block. Edges come in any order.
class EdgeDagSpace final : public DagSpace {
 public:
  // `max_nodes` counts input and output. Throws invalid_argument where it is not 2 to 30, or
  // max_edges is below 1.
  EdgeDagSpace(std::vector<Node> operations, int max_nodes, int max_edges, bool erasing);

  int max_steps() const override;
  int head(const std::int16_t*) const override { return 0; }
  void legal(const std::int16_t* state, bool* mask) const override;
  void step(const std::int16_t* state, int action, std::int16_t* next) const override;
  void features(const std::int16_t* state, float* out) const override;
  int actions(const std::int16_t* state, std::int32_t* out) const override;

 private:
  int edges(const std::int16_t* state, int nodes) const;
  bool is_legal(const std::int16_t* state, int nodes, int action) const;
  bool reaches(const std::int16_t* state, int nodes, int edge) const;
  void finish(const std::int16_t* state, DagCode& code) const override;

  int max_edges_;
  bool erasing_;
};

// Blocks of `count` nodes as a graph hypernetwork generates weights for (Zhang et al., ICLR 2019):
// node by node an operation (head 0), then what it reads (head 1: 1 + u for node u, in rising
// order, 0 to end; reading the newest node ends by itself). Every graph has one walk. The result is
// the sum of the nodes that nobody reads.
class SumDagSpace final : public DagSpace {
 public:
  SumDagSpace(std::vector<Node> operations, int count);

  int max_steps() const override { return most_ + pairs_; }
  int head(const std::int16_t* state) const override;
  void legal(const std::int16_t* state, bool* mask) const override;
  void step(const std::int16_t* state, int action, std::int16_t* next) const override;
  void features(const std::int16_t* state, float* out) const override;
  int actions(const std::int16_t* state, std::int32_t* out) const override;

 private:
  int newest_input(const std::int16_t* state, int node) const;  // -1 where it reads nothing
  bool is_legal(const std::int16_t* state, int nodes, int action) const;
  void finish(const std::int16_t* state, DagCode& code) const override;
};

}  // namespace nascore
