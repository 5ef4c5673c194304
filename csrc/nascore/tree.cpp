#include "nascore/tree.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "nascore/tree_use.hpp"
#include "nascore/walk.hpp"

namespace nascore {
namespace {

constexpr int kTogether = 256;  // completions that are walked side by side
constexpr std::uint32_t kMostVisits = std::numeric_limits<std::uint32_t>::max();

std::vector<std::int16_t> state_after(const Space& space, const std::vector<std::int32_t>& prefix) {
  const int actions = largest_head(space);
  const auto legal = std::make_unique<bool[]>(actions);
  std::vector<std::int16_t> state(space.state_width());
  space.start(state.data());
  for (std::size_t i = 0; i < prefix.size(); ++i) {
    space.legal(state.data(), legal.get());
    require(std::count(legal.get(), legal.get() + actions, true) > 0,
            "prefix goes on after the end");
    require(prefix[i] >= 0 && prefix[i] < actions && legal[prefix[i]],
            "prefix: action " + std::to_string(prefix[i]) + " is illegal after " +
                std::to_string(i) + " decisions");
    space.step(state.data(), prefix[i], state.data());
  }
  return state;
}

}  // namespace

Tree::Tree(const Space& space, Settings settings, std::vector<std::int32_t> prefix)
    : space_(space),
      settings_(settings),
      actions_(largest_head(space)),
      prefix_(std::move(prefix)) {
  require(settings.c >= 0 && std::isfinite(settings.c),
          "c=" + std::to_string(settings.c) + " must be 0 or more");
  require(settings.open_after > 0, "open_after=0 must be at least 1");
  require(settings.max_nodes > 0, "max_nodes=0 must be at least 1");
  require(actions_ <= std::numeric_limits<std::uint16_t>::max(),
          "the space has " + std::to_string(actions_) + " actions; a tree takes up to 65535");
  mask_ = std::make_unique<bool[]>(actions_);
  scores_.resize(actions_);
  start_ = state_ = state_after(space, prefix_);
  nodes_.push_back({});
  if (settings.transpositions) shared_.emplace().add(space.key(start_.data()));
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

double Tree::mean(Index node) const {
  at(node);
  const Value known = value(node);
  return known.visits > 0 ? known.sum / known.visits : 0;
}

void Tree::replay(Index node, std::int16_t* state) const {
  if (node == 0) {
    std::copy(start_.begin(), start_.end(), state);
  } else {
    replay(nodes_[node].parent, state);
    space_.step(state, nodes_[node].action, state);
  }
}

// Keys [n] of the states that `n` actions lead to.
void Tree::keys_below(const std::int16_t* state, const std::int32_t* actions, int n,
                      Hash128* keys) {
  const std::size_t width = state_.size();
  states_.resize(n * width);
  for (int i = 0; i < n; ++i) std::copy_n(state, width, states_.data() + i * width);
  space_.step_all(states_.data(), n, actions, states_.data());
  space_.key_all(states_.data(), n, keys);
}

// Makes the children of a node that is not finished; throws before anything has changed.
void Tree::open(Index node, const std::int16_t* state) {
  space_.legal(state, mask_.get());
  legal_.clear();
  for (int action = 0; action < actions_; ++action) {
    if (mask_[action]) legal_.push_back(action);
  }
  require(!legal_.empty(), "the space has no legal action in a state that is not done");
  const std::size_t first = nodes_.size(), count = legal_.size();
  if (first + count > settings_.max_nodes) {
    throw std::length_error("the tree is full: it has " + std::to_string(first) +
                            " nodes, may have " + std::to_string(settings_.max_nodes) +
                            " and needs " + std::to_string(count) +
                            " more; re-root it or search less");
  }
  if (shared_) {
    keys_.resize(count);
    keys_below(state, legal_.data(), static_cast<int>(count), keys_.data());
    shared_->reserve(first + count);
  }
  nodes_.reserve(first + count);
  Node child;
  child.parent = node;
  child.prior = 1.0f / static_cast<float>(count);
  for (std::size_t i = 0; i < count; ++i) {
    child.action = static_cast<std::uint16_t>(legal_[i]);
    nodes_.push_back(child);
    if (shared_) shared_->add(keys_[i]);
  }
  nodes_[node].first = static_cast<Index>(first);
  nodes_[node].children = static_cast<std::uint16_t>(count);
}

Tree::Value Tree::value(Index node) const {
  if (!shared_) return {nodes_[node].sum, static_cast<double>(nodes_[node].visits)};
  return {shared_->of(node).sum, static_cast<double>(shared_->of(node).visits)};
}

Tree::Index Tree::choose(Index node, int depth) {
  const Node& parent = nodes_[node];
  const bool puct = settings_.rule == Rule::kPuct;
  const double total = parent.visits + static_cast<double>(parent.pending);
  const double log_term = puct ? 0 : 2 * std::log(total);
  const double prior_term = puct ? settings_.c * std::sqrt(total) : 0;
  double unvisited = std::numeric_limits<double>::infinity();
  if (puct) {
    const Value known = value(node);
    unvisited = known.sum / (known.visits + parent.pending);
  }
  double best = -std::numeric_limits<double>::infinity();
  std::uint32_t ties = 0;
  int last = 0;
  for (int i = 0; i < parent.children; ++i) {
    const Node& child = nodes_[parent.first + i];
    const double n = child.visits + static_cast<double>(child.pending);
    double score = unvisited;
    if (!shared_) {
      if (n > 0) score = child.sum / n;
    } else if (n > 0 || puct) {
      const Value known = value(parent.first + i);
      const double seen = known.visits + child.pending;
      if (seen > 0) score = known.sum / seen;
    }
    if (puct) {
      score += prior_term * child.prior / (1 + n);
    } else if (n > 0) {
      score += 2 * settings_.c * std::sqrt(log_term / n);
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
    const Draw draw(settings_.seed, kTieStream, walk_counter(depth, begun_));
    std::uint32_t wanted = draw.below(ties);
    for (last = 0; scores_[last] != best || wanted-- > 0;) ++last;
  }
  return parent.first + static_cast<Index>(last);
}

// One simulation from the root to its end, whose state is left in `state`.
Tree::Index Tree::walk(std::int16_t* state) {
  if (nodes_[0].visits + std::uint64_t{nodes_[0].pending} >= kMostVisits) {
    throw std::length_error("the tree has counted " + std::to_string(kMostVisits) +
                            " simulations, the most that it can; re-root it or search less");
  }
  std::copy(start_.begin(), start_.end(), state);
  Index node = 0;
  for (int depth = 0;; ++depth) {
    if (nodes_[node].visits + std::uint64_t{nodes_[node].pending} < settings_.open_after) break;
    if (nodes_[node].first == 0) {
      if (space_.done(state)) break;
      open(node, state);
    }
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
    if (shared_) shared_->change(node, value, visits);
    if (node == 0) return;
  }
}

void Tree::select(int n, Index* ends) {
  const Use use(*this);
  int done = 0;
  try {
    for (; done < n; ++done) {
      ends[done] = walk(state_.data());
      change(ends[done], 0, 0, 1);
    }
  } catch (...) {
    while (done-- > 0) change(ends[done], 0, 0, -1);
    throw;
  }
}

void Tree::complete(Index node, int k, std::int16_t* states) {
  const Use use(*this);
  at(node);
  const std::size_t width = state_.size();
  replay(node, state_.data());
  const int most = std::min(k, kTogether);
  const auto masks = std::make_unique<bool[]>(std::size_t(most) * actions_);
  std::vector<std::int32_t> actions(most);
  for (int first = 0; first < k; first += kTogether) {
    const int n = std::min(k - first, kTogether);
    for (int i = 0; i < n; ++i, states += width) std::copy_n(state_.data(), width, states);
    nascore::complete(space_, states - n * width, n, masks.get(), actions.data(), actions_,
                      settings_.seed, kWalkStream, drawn_);
    drawn_ += n;
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
  const Use use(*this);
  std::int32_t action;
  for (int i = 0; i < n; ++i) {
    const Index end = walk(state_.data());
    if (!space_.done(state_.data())) {
      nascore::complete(space_, state_.data(), 1, mask_.get(), &action, actions_, settings_.seed,
                        kWalkStream, drawn_);
    }
    ++drawn_;
    change(end, value(state_.data()), 1, 0);
  }
}

void Tree::set_priors(Index node, const float* priors) {
  const Use use(*this);
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

std::size_t Tree::bytes() const {
  return sizeof(Tree) + nodes_.bytes() + (shared_ ? shared_->bytes() : 0) + actions_ +
         (prefix_.capacity() + legal_.capacity()) * sizeof(std::int32_t) +
         (start_.capacity() + state_.capacity() + states_.capacity()) * sizeof(std::int16_t) +
         scores_.capacity() * sizeof(double) + keys_.capacity() * sizeof(Hash128);
}

}  // namespace nascore
