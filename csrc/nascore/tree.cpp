#include "nascore/tree.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "nascore/walk.hpp"

namespace nascore {
namespace {

void require(bool holds, const std::string& message) {
  if (!holds) throw std::invalid_argument(message);
}

std::vector<std::int16_t> state_after(const Space& space, const std::vector<std::int32_t>& prefix) {
  std::vector<std::int16_t> state(space.state_width());
  space.start(state.data());
  for (const std::int32_t action : prefix) {
    require(!space.done(state.data()), "prefix goes on after the end");
    space.step(state.data(), action, state.data());
  }
  return state;
}

}  // namespace

Tree::Tree(const Space& space, Rule rule, double c, std::uint64_t seed,
           std::vector<std::int32_t> prefix, std::uint32_t open_after, Index max_nodes)
    : space_(space),
      rule_(rule),
      c_(c),
      seed_(seed),
      open_after_(open_after),
      max_nodes_(max_nodes),
      actions_(*std::max_element(space.heads().begin(), space.heads().end())),
      prefix_(std::move(prefix)),
      nodes_(1),
      start_(state_after(space, prefix_)),
      state_(start_),
      scores_(actions_),
      mask_(std::make_unique<bool[]>(actions_)) {
  require(c >= 0 && std::isfinite(c), "c=" + std::to_string(c) + " must be 0 or more");
  require(open_after > 0, "open_after=0 must be at least 1");
  require(max_nodes > 0, "max_nodes=0 must be at least 1");
}

const Tree::Node& Tree::at(Index node) const {
  require(node < nodes_.size(), "node " + std::to_string(node) + ": the tree has " +
                                    std::to_string(nodes_.size()) + " nodes");
  return nodes_[node];
}

std::vector<std::int32_t> Tree::path(Index node) const {
  at(node);
  std::vector<std::int32_t> actions;
  for (; node != 0; node = nodes_[node].parent) actions.push_back(nodes_[node].action);
  actions.insert(actions.end(), prefix_.rbegin(), prefix_.rend());
  std::reverse(actions.begin(), actions.end());
  return actions;
}

void Tree::replay(Index node, std::int16_t* state) const {
  if (node == 0) {
    std::copy(start_.begin(), start_.end(), state);
  } else {
    replay(nodes_[node].parent, state);
    space_.step(state, nodes_[node].action, state);
  }
}

void Tree::open(Index node, const std::int16_t* state) {
  bool* legal = mask_.get();
  space_.legal(state, legal);
  const auto count = static_cast<std::size_t>(std::count(legal, legal + actions_, true));
  const std::size_t first = nodes_.size();
  if (first + count > max_nodes_) {
    throw std::length_error("the tree is full: it has " + std::to_string(first) +
                            " nodes, may have " + std::to_string(max_nodes_) + " and needs " +
                            std::to_string(count) + " more; re-root it or search less");
  }
  Node child;
  child.parent = node;
  child.prior = 1.0f / static_cast<float>(count);
  for (int action = 0; action < actions_; ++action) {
    if (!legal[action]) continue;
    child.action = static_cast<std::uint16_t>(action);
    nodes_.push_back(child);
  }
  nodes_[node].first = static_cast<Index>(first);
  nodes_[node].children = static_cast<std::uint16_t>(count);
}

Tree::Index Tree::choose(Index node, int depth) {
  const Node& parent = nodes_[node];
  const Node* children = nodes_.data() + parent.first;
  const double total = parent.visits + static_cast<double>(parent.pending);
  const double log_term = rule_ == Rule::kUcb1 ? 2 * std::log(total) : 0;
  const double prior_term = rule_ == Rule::kPuct ? c_ * std::sqrt(total) : 0;
  const double unvisited =
      rule_ == Rule::kUcb1 ? std::numeric_limits<double>::infinity() : parent.sum / total;
  double best = -std::numeric_limits<double>::infinity();
  std::uint32_t ties = 0;
  int last = 0;
  for (int i = 0; i < parent.children; ++i) {
    const Node& child = children[i];
    const double n = child.visits + static_cast<double>(child.pending);
    double score = n > 0 ? child.sum / n : unvisited;
    if (rule_ == Rule::kPuct) {
      score += prior_term * child.prior / (1 + n);
    } else if (n > 0) {
      score += 2 * c_ * std::sqrt(log_term / n);
    }
    scores_[i] = score;
    if (score > best) {
      best = score;
      ties = 0;
    }
    if (score == best) {
      ++ties;
      last = i;
    }
  }
  if (ties > 1) {
    std::uint32_t wanted = Draw(seed_, kTieStream, walk_counter(depth, begun_)).below(ties);
    for (last = 0; scores_[last] != best || wanted-- > 0;) ++last;
  }
  return parent.first + static_cast<Index>(last);
}

// One simulation from the root to its end, whose state is left in `state`.
Tree::Index Tree::walk(std::int16_t* state) {
  std::copy(start_.begin(), start_.end(), state);
  Index node = 0;
  for (int depth = 0;; ++depth) {
    const Node& here = nodes_[node];
    if (here.visits + std::uint64_t{here.pending} < open_after_ || space_.done(state)) break;
    if (here.first == 0) open(node, state);
    node = choose(node, depth);
    space_.step(state, nodes_[node].action, state);
  }
  ++begun_;
  return node;
}

void Tree::change(Index end, double value, int visits, int pending) {
  for (Index node = end;; node = nodes_[node].parent) {
    nodes_[node].sum += value;
    nodes_[node].visits += static_cast<std::uint32_t>(visits);
    nodes_[node].pending += static_cast<std::uint32_t>(pending);
    if (node == 0) return;
  }
}

void Tree::select(int n, Index* ends) {
  int done = 0;
  try {
    for (; done < n; ++done) {
      ends[done] = walk(state_.data());
      change(ends[done], 0, 0, 1);
    }
  } catch (const std::length_error&) {
    while (done-- > 0) change(ends[done], 0, 0, -1);
    throw;
  }
}

void Tree::complete(Index node, int k, std::int16_t* states) {
  at(node);
  const std::size_t width = state_.size();
  replay(node, state_.data());
  for (int i = 0; i < k; ++i) {
    std::int16_t* state = states + i * width;
    std::copy(state_.begin(), state_.end(), state);
    nascore::complete(space_, state, mask_.get(), actions_, seed_, kWalkStream, drawn_++);
  }
}

void Tree::back_up(Index end, double value) {
  require(at(end).pending > 0, "node " + std::to_string(end) + ": no simulation waits there");
  require(std::isfinite(value), "a value must be finite");
  change(end, value, 1, -1);
}

void Tree::correct(Index end, double by) {
  require(at(end).visits > 0, "node " + std::to_string(end) + ": no simulation ended there");
  require(std::isfinite(by), "a value must be finite");
  change(end, by, 0, 0);
}

void Tree::undo(Index end, double value) {
  require(at(end).visits > 0, "node " + std::to_string(end) + ": no simulation ended there");
  require(std::isfinite(value), "a value must be finite");
  change(end, -value, -1, 0);
}

void Tree::simulate(int n, const std::function<double(const std::int16_t*)>& value) {
  for (int i = 0; i < n; ++i) {
    const Index end = walk(state_.data());
    nascore::complete(space_, state_.data(), mask_.get(), actions_, seed_, kWalkStream, drawn_++);
    change(end, value(state_.data()), 1, 0);
  }
}

void Tree::set_priors(Index node, const float* priors) {
  if (at(node).first == 0) {
    replay(node, state_.data());
    require(!space_.done(state_.data()),
            "node " + std::to_string(node) + ": a finished state has no children");
    open(node, state_.data());
  }
  const Node& parent = nodes_[node];
  for (Index i = parent.first; i < parent.first + parent.children; ++i) {
    const float p = priors[nodes_[i].action];
    require(p >= 0 && std::isfinite(p), "a prior must be finite and not negative");
  }
  for (Index i = parent.first; i < parent.first + parent.children; ++i) {
    nodes_[i].prior = priors[nodes_[i].action];
  }
}

void Tree::reroot(int action) {
  require(nodes_[0].pending == 0, "a simulation still waits for its value");
  Index root = nodes_[0].first;
  const Index end = root + nodes_[0].children;
  while (root < end && nodes_[root].action != action) ++root;
  require(root < end, "the root has no child by action " + std::to_string(action));
  std::vector<std::int32_t> prefix = prefix_;
  prefix.push_back(action);
  std::vector<std::int16_t> start = start_;
  space_.step(start.data(), action, start.data());
  std::vector<Node> kept{nodes_[root]};  // breadth first, so that siblings stay side by side
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const Index first = kept[i].first;
    if (first == 0) continue;
    const int children = kept[i].children;
    kept[i].first = static_cast<Index>(kept.size());
    for (int child = 0; child < children; ++child) {
      kept.push_back(nodes_[first + static_cast<Index>(child)]);
      kept.back().parent = static_cast<Index>(i);
    }
  }
  kept[0].parent = kept[0].action = 0;
  nodes_.swap(kept);
  prefix_.swap(prefix);
  start_.swap(start);
}

void Tree::load(std::vector<std::int32_t> prefix, std::vector<Node> nodes, std::uint64_t begun,
                std::uint64_t drawn) {
  const std::string other = "a tree from another space: ";
  require(!nodes.empty() && nodes.size() <= max_nodes_,
          "a tree has 1 to " + std::to_string(max_nodes_) + " nodes, not " +
              std::to_string(nodes.size()));
  Tree tree(space_, rule_, c_, seed_, std::move(prefix), open_after_, max_nodes_);
  bool* legal = mask_.get();
  std::vector<bool> reached(nodes.size());
  reached[0] = true;
  tree.nodes_ = std::move(nodes);
  // A child lies after its parent, so one pass finds every parent before it replays through it.
  for (std::size_t i = 0; i < tree.nodes_.size(); ++i) {
    Node& node = tree.nodes_[i];
    const std::string name = "node " + std::to_string(i);
    require(reached[i], name + " has no parent");
    require(std::isfinite(node.sum) && std::isfinite(node.prior), name + " holds no finite number");
    node.pending = 0;
    if (node.first == 0) {
      require(node.children == 0, name + " has children without a place");
      continue;
    }
    require(node.first > i && std::size_t{node.first} + node.children <= tree.nodes_.size(),
            name + " has children that are not in the tree");
    tree.replay(static_cast<Index>(i), state_.data());
    space_.legal(state_.data(), legal);
    require(std::count(legal, legal + actions_, true) == node.children,
            other + name + " has another number of children");
    int action = -1;
    for (Index child = node.first; child < node.first + node.children; ++child) {
      require(!reached[child], "node " + std::to_string(child) + " has two parents");
      reached[child] = true;
      do ++action;
      while (!legal[action]);
      require(tree.nodes_[child].action == action,
              other + name + " has a child by action " + std::to_string(tree.nodes_[child].action) +
                  " in the place of " + std::to_string(action));
      tree.nodes_[child].parent = static_cast<Index>(i);
    }
  }
  nodes_ = std::move(tree.nodes_);
  prefix_ = std::move(tree.prefix_);
  start_ = std::move(tree.start_);
  begun_ = begun;
  drawn_ = drawn;
}

}  // namespace nascore
