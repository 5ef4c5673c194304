// Whole trees: their root moved, or all of it loaded.
#include <algorithm>
#include <cmath>
#include <utility>

#include "nascore/tree_use.hpp"

namespace nascore {

void Tree::reroot(int action) {
  const Use use(*this);
  require(nodes_[0].pending == 0, "a simulation still waits for its value");
  Index root = nodes_[0].first;
  const Index end = root + nodes_[0].children;
  while (root < end && nodes_[root].action != action) ++root;
  require(root < end, "the root has no child by action " + std::to_string(action));
  std::vector<std::int32_t> prefix = prefix_;
  prefix.push_back(action);
  std::vector<std::int16_t> start = start_;
  space_.step(start.data(), action, start.data());
  Pool<Node> kept;  // breadth first, so that siblings stay side by side
  std::optional<Transpositions> shared;
  if (shared_) shared.emplace();
  const auto keep = [&](Index node, Index parent) {
    kept.push_back(nodes_[node]);
    kept[kept.size() - 1].parent = parent;
    if (shared) shared->add(shared_->of(node));
  };
  keep(root, 0);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const Index first = kept[i].first;
    if (first == 0) continue;
    kept[i].first = static_cast<Index>(kept.size());
    const int children = kept[i].children;
    for (int child = 0; child < children; ++child) {
      keep(first + static_cast<Index>(child), static_cast<Index>(i));
    }
  }
  kept[0].action = 0;
  nodes_ = std::move(kept);
  shared_ = std::move(shared);
  prefix_.swap(prefix);
  start_.swap(start);
}

void Tree::load(Saved saved) {
  const Use use(*this);
  const std::string other = "a tree from another space: ";
  const std::size_t n = saved.nodes.size();
  require(n > 0 && n <= settings_.max_nodes, "a tree has 1 to " +
                                                 std::to_string(settings_.max_nodes) +
                                                 " nodes, not " + std::to_string(n));
  Tree tree(space_, settings_, std::move(saved.prefix));
  bool* legal = mask_.get();
  std::vector<bool> reached(n);
  reached[0] = true;
  std::vector<Hash128> keys(shared_ ? n : 0);
  if (shared_) keys[0] = space_.key(tree.start_.data());
  tree.nodes_ = std::move(saved.nodes);
  // A child lies after its parent, so one pass finds every parent before it replays through it.
  for (std::size_t i = 0; i < n; ++i) {
    Node& node = tree.nodes_[i];
    const std::string name = "node " + std::to_string(i);
    require(reached[i], name + " has no parent");
    require(std::isfinite(node.sum) && std::isfinite(node.prior), name + " holds no finite number");
    node.pending = 0;
    if (node.first == 0) {
      require(node.children == 0, name + " has children without a place");
      continue;
    }
    require(node.first > i && std::size_t{node.first} + node.children <= n,
            name + " has children that are not in the tree");
    tree.replay(static_cast<Index>(i), state_.data());
    space_.legal(state_.data(), legal);
    require(std::count(legal, legal + actions_, true) == node.children,
            other + name + " has another number of children");
    legal_.clear();
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
      legal_.push_back(action);
    }
    if (shared_) {
      keys_below(state_.data(), legal_.data(), node.children, keys.data() + node.first);
    }
  }
  if (shared_) tree.shared_.emplace();
  for (const Hash128 key : keys) tree.shared_->add(key);
  const std::size_t states = shared_ ? tree.shared_->states().size() : 0;
  require(saved.shared_sums.size() == states && saved.shared_visits.size() == states,
          "the tree has " + std::to_string(states) + " shared states, not " +
              std::to_string(saved.shared_sums.size()) +
              ": transpositions, or the space, were other ones when it was saved");
  for (std::size_t i = 0; i < states; ++i) {
    require(std::isfinite(saved.shared_sums[i]),
            "state " + std::to_string(i) + " holds no finite number");
    tree.shared_->state(i).sum = saved.shared_sums[i];
    tree.shared_->state(i).visits = saved.shared_visits[i];
  }
  nodes_ = std::move(tree.nodes_);
  shared_ = std::move(tree.shared_);
  prefix_ = std::move(tree.prefix_);
  start_ = std::move(tree.start_);
  begun_ = saved.begun;
  drawn_ = saved.drawn;
}

}  // namespace nascore
