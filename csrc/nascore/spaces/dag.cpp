#include "nascore/spaces/dag.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace nascore {
namespace {

constexpr std::uint64_t bit(int i) { return std::uint64_t{1} << i; }

bool is_operation(Node node) {
  switch (node.op) {
    case Op::kConv:
    case Op::kSepConv:
    case Op::kMaxPool:
    case Op::kAvgPool:
      return node.kernel % 2 == 1 && node.dilation > 0;  // sizes stay
    case Op::kIdentity:
      return true;
    default:
      return false;
  }
}

std::string no_operation(Node node) {
  const bool known = static_cast<std::size_t>(node.op) < kOps.size();
  return std::string("is ") + (known ? info(node.op).name : "unknown") + " of kernel " +
         std::to_string(node.kernel) + ", dilation " + std::to_string(node.dilation) +
         "; it must be a convolution or pooling of an odd kernel, or an identity";
}

int read_by(Graph& graph, std::uint64_t reads, const std::array<int, DagCode::kMaxNodes + 1>& at,
            Op join) {
  if ((reads & (reads - 1)) == 0) return reads ? at[__builtin_ctzll(reads)] : -1;
  const int node = graph.add_node({join});
  for (; reads; reads &= reads - 1) graph.add_edge(at[__builtin_ctzll(reads)], node);
  return node;
}

void require_same(const std::vector<std::int16_t>& written, const std::int16_t* state) {
  if (!std::equal(written.begin(), written.end(), state)) {
    throw std::invalid_argument("the state is none that a walk writes");
  }
}

[[noreturn]] void refuse(int action) {
  throw std::invalid_argument("action " + std::to_string(action) + " is illegal here");
}

}  // namespace

void validate(const DagCode& code) {
  const auto refuse = [](int v, const std::string& what) {
    throw std::invalid_argument("node " + std::to_string(v) + " " + what);
  };
  for (int v = 1; v <= code.nodes; ++v) {
    if (!is_operation(code.node[v])) refuse(v, no_operation(code.node[v]));
    if (code.reads[v] >> v) refuse(v, "reads a node that is not before it");
  }
  if (code.join != Op::kAdd && code.join != Op::kConcat) {
    throw std::invalid_argument("the last row must be an add or a concat");
  }
  if (code.result >> (code.nodes + 1)) {
    throw std::invalid_argument("the last row reads a node that is not before it");
  }
}

Graph to_graph(const DagCode& code) {
  Graph graph;
  std::array<int, DagCode::kMaxNodes + 1> at{};
  graph.add_node({Op::kInput});
  for (int v = 1; v <= code.nodes; ++v) {
    const int from = read_by(graph, code.reads[v], at, Op::kAdd);
    at[v] = graph.add_node(code.node[v]);
    if (from >= 0) graph.add_edge(from, at[v]);
  }
  std::uint64_t result = code.result;
  const bool residual = code.join == Op::kConcat && (result & 1) && result != 1;
  if (residual) result ^= 1;
  int from = read_by(graph, result, at, code.join);
  if (residual) {
    const int sum = graph.add_node({Op::kAdd});
    graph.add_edge(0, sum);
    graph.add_edge(from, sum);
    from = sum;
  }
  const int output = graph.add_node({Op::kOutput});
  if (from >= 0) graph.add_edge(from, output);
  return graph;
}

DagSpace::DagSpace(std::vector<Node> operations, int most, int least, const char* name, int columns)
    : operations_(std::move(operations)), most_(most), pairs_(pair(0, columns + 1)) {
  if (most < least || most > DagCode::kMaxNodes) {
    throw std::invalid_argument(std::string(name) + " allows " + std::to_string(most) +
                                " nodes with an operation; it must allow " + std::to_string(least) +
                                " to " + std::to_string(DagCode::kMaxNodes));
  }
  if (operations_.empty()) throw std::invalid_argument("operations must not be empty");
  for (const Node& node : operations_) {
    if (!is_operation(node)) {
      throw std::invalid_argument("an operation " + no_operation(node));
    }
  }
}

void DagSpace::start(std::int16_t* state) const {
  std::fill_n(state, state_width(), std::int16_t{0});
}

void DagSpace::observe(const std::int16_t* state, std::int16_t* observation) const {
  std::copy_n(state, state_width(), observation);
}

int DagSpace::nodes(const std::int16_t* state) const {
  int count = 0;
  while (count < most_ && state[count] > 0) ++count;
  return count;
}

std::uint64_t DagSpace::inputs(const std::int16_t* state, int node) const {
  std::uint64_t set = 0;
  for (int from = 0; from < node; ++from) {
    if (reads(state, from, node)) set |= bit(from);
  }
  return set;
}

Graph DagSpace::graph(const std::int16_t* state) const {
  if (!done(state)) throw std::invalid_argument("the state is not finished");
  DagCode code;
  code.nodes = nodes(state);
  for (int v = 1; v <= code.nodes; ++v) {
    const auto op = static_cast<std::size_t>(state[v - 1] - 1);
    if (op >= operations_.size()) {
      throw std::invalid_argument("node " + std::to_string(v) + " has operation " +
                                  std::to_string(state[v - 1]) + "; this space has " +
                                  std::to_string(operations_.size()));
    }
    code.node[v] = operations_[op];
    code.reads[v] = inputs(state, v);
  }
  finish(state, code);
  return to_graph(code);
}

EdgeDagSpace::EdgeDagSpace(std::vector<Node> operations, int max_nodes, int max_edges, bool erasing)
    : DagSpace(std::move(operations), max_nodes - 2, 0, "max_nodes", max_nodes - 1),
      max_edges_(max_edges),
      erasing_(erasing) {
  if (max_edges < 1) {
    throw std::invalid_argument("max_edges=" + std::to_string(max_edges) + " must be at least 1");
  }
  heads_ = {1 + static_cast<int>(operations_.size()) + pairs_};
}

int EdgeDagSpace::max_steps() const {
  if (!erasing_) return most_ + std::min(max_edges_, pairs_) + 1;
  int steps = most_ + 1;
  for (int nodes = 0; nodes <= most_; ++nodes) {
    steps += std::min(max_edges_, pair(0, nodes + 2));
  }
  return steps;
}

int EdgeDagSpace::edges(const std::int16_t* state, int nodes) const {
  const std::int16_t* first = state + most_;
  return static_cast<int>(
      std::count_if(first, first + pair(0, nodes + 2), [](std::int16_t e) { return e != 0; }));
}

// Whether there is a way from the input to the output, once `edge` is there too.
bool EdgeDagSpace::reaches(const std::int16_t* state, int nodes, int edge) const {
  std::uint64_t reached = 1;
  for (int v = 1; v <= nodes + 1; ++v) {
    for (int u = 0; u < v; ++u) {
      if ((reads(state, u, v) || pair(u, v) == edge) && (reached & bit(u))) reached |= bit(v);
    }
  }
  return reached & bit(nodes + 1);
}

bool EdgeDagSpace::is_legal(const std::int16_t* state, int nodes, int action) const {
  const int first_edge = 1 + static_cast<int>(operations_.size());
  if (action == 0) return erasing_ || reaches(state, nodes, -1);
  if (action < first_edge) return nodes < most_ && (erasing_ || edges(state, nodes) == 0);
  const int edge = action - first_edge;
  const int places = pair(0, nodes + 2);
  if (edge >= places || state[most_ + edge] || edges(state, nodes) >= max_edges_) return false;
  if (erasing_) return true;
  // The last edge must reach the output; from the input it always can.
  return edges(state, nodes) + 1 < max_edges_ || reaches(state, nodes, edge);
}

void EdgeDagSpace::legal(const std::int16_t* state, bool* mask) const {
  const int count = nodes(state);
  const bool open = !done(state);
  for (int action = 0; action < heads_[0]; ++action) {
    mask[action] = open && is_legal(state, count, action);
  }
}

void EdgeDagSpace::step(const std::int16_t* state, int action, std::int16_t* next) const {
  const int count = nodes(state);
  const bool open = !done(state);
  if (open && (action < 0 || action >= heads_[0] || !is_legal(state, count, action))) {
    refuse(action);
  }
  if (next != state) std::copy_n(state, state_width(), next);
  if (!open) return;
  const int first_edge = 1 + static_cast<int>(operations_.size());
  if (action == 0) {
    next[most_ + pairs_] = kDone;
  } else if (action < first_edge) {
    next[count] = static_cast<std::int16_t>(action);
    std::fill_n(next + most_, pairs_, std::int16_t{0});
  } else {
    next[most_ + action - first_edge] = 1;
  }
}

void EdgeDagSpace::features(const std::int16_t* state, float* out) const {
  std::fill_n(out, feature_width(), 0.0f);
  const int count = nodes(state);
  const auto kinds = static_cast<int>(operations_.size());
  for (int v = 0; v < count; ++v) {
    if (state[v] <= kinds) out[v * kinds + state[v] - 1] = 1.0f;
  }
  float* places = out + most_ * kinds;
  for (int to = 1; to <= count + 1; ++to) {
    const int column = to == count + 1 ? most_ + 1 : to;
    for (int from = 0; from < to; ++from) {
      if (reads(state, from, to)) places[pair(from, column)] = 1.0f;
    }
  }
}

int EdgeDagSpace::actions(const std::int16_t* state, std::int32_t* out) const {
  std::vector<std::int16_t> now(state_width(), 0);
  const int count = nodes(state);
  int steps = 0;
  const auto take = [&](int action) {
    step(now.data(), action, now.data());  // refuses what no walk writes
    out[steps++] = action;
  };
  if (!done(state)) throw std::invalid_argument("the state is not finished");
  for (int v = 0; v < count; ++v) take(state[v]);
  for (int edge = 0; edge < pairs_; ++edge) {
    if (state[most_ + edge]) take(1 + static_cast<int>(operations_.size()) + edge);
  }
  take(0);
  require_same(now, state);
  return steps;
}

void EdgeDagSpace::finish(const std::int16_t* state, DagCode& code) const {
  code.join = Op::kConcat;
  code.result = inputs(state, code.nodes + 1);
}

SumDagSpace::SumDagSpace(std::vector<Node> operations, int count)
    : DagSpace(std::move(operations), count, 1, "nodes", count) {
  heads_ = {static_cast<int>(operations_.size()), most_ + 1};
}

int SumDagSpace::head(const std::int16_t* state) const {
  return state[most_ + pairs_] == kOperation ? 0 : 1;
}

int SumDagSpace::newest_input(const std::int16_t* state, int node) const {
  int from = node - 1;
  while (from >= 0 && !reads(state, from, node)) --from;
  return from;
}

bool SumDagSpace::is_legal(const std::int16_t* state, int nodes, int action) const {
  if (head(state) == 0) return nodes < most_ && action < heads_[0];
  const int newest = newest_input(state, nodes);
  return action == 0 ? newest >= 0 : newest < action - 1 && action <= nodes;
}

void SumDagSpace::legal(const std::int16_t* state, bool* mask) const {
  const int count = nodes(state);
  const bool open = !done(state);
  for (int action = 0; action < std::max(heads_[0], heads_[1]); ++action) {
    mask[action] = open && is_legal(state, count, action);
  }
}

void SumDagSpace::step(const std::int16_t* state, int action, std::int16_t* next) const {
  const int count = nodes(state);
  const bool open = !done(state);
  if (open && (action < 0 || !is_legal(state, count, action))) refuse(action);
  const int now = head(state);
  if (next != state) std::copy_n(state, state_width(), next);
  if (!open) return;
  std::int16_t& phase = next[most_ + pairs_];
  if (now == 0) {
    next[count] = static_cast<std::int16_t>(action + 1);
    phase = kInputs;
    return;
  }
  if (action > 0) next[most_ + pair(action - 1, count)] = 1;
  if (action == 0 || action == count) phase = count == most_ ? kDone : kOperation;
}

void SumDagSpace::features(const std::int16_t* state, float* out) const {
  std::fill_n(out, feature_width(), 0.0f);
  const auto kinds = static_cast<int>(operations_.size());
  for (int v = 0; v < most_; ++v) {
    if (0 < state[v] && state[v] <= kinds) out[v * kinds + state[v] - 1] = 1.0f;
  }
  for (int place = 0; place < pairs_; ++place) {
    if (state[most_ + place]) out[most_ * kinds + place] = 1.0f;
  }
}

int SumDagSpace::actions(const std::int16_t* state, std::int32_t* out) const {
  std::vector<std::int16_t> now(state_width(), 0);
  int steps = 0;
  const auto take = [&](int action) {
    step(now.data(), action, now.data());  // refuses what no walk writes
    out[steps++] = action;
  };
  if (!done(state)) throw std::invalid_argument("the state is not finished");
  for (int v = 1; v <= most_; ++v) {
    take(state[v - 1] - 1);
    for (int from = 0; from < v; ++from) {
      if (reads(state, from, v)) take(1 + from);
    }
    if (!reads(state, v - 1, v)) take(0);
  }
  require_same(now, state);
  return steps;
}

void SumDagSpace::finish(const std::int16_t* state, DagCode& code) const {
  std::uint64_t read = 0;
  for (int v = 1; v <= code.nodes; ++v) read |= inputs(state, v);
  code.join = Op::kAdd;
  code.result = ~read & (bit(code.nodes + 1) - 1) & ~std::uint64_t{1};
}

}  // namespace nascore
