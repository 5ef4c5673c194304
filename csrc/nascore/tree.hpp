// Monte Carlo tree search over a space: flat nodes, 32-bit links, states replayed from the root.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "nascore/pool.hpp"
#include "nascore/space.hpp"
#include "nascore/transpositions.hpp"

namespace nascore {

// A simulation walks from the root, at every node to the child of the best score, and stops at a
// finished state or at a node with fewer than `open_after` visits; what it is worth is added to
// every node of its path. The root is a node like any other: the first simulation stops there, and
// its visits are the number of simulations.
//
// Scores, of a child with n visits and mean Q below a node with N visits:
//   UCB1  Q + 2c sqrt(2 ln N / n); an unvisited child comes first
//   PUCT  Q + c prior sqrt(N) / (1 + n), where Q of an unvisited child is the node's mean
// A simulation that waits for its value counts as a visit worth 0 (virtual loss). Equal scores are
// chosen among at random.
//
// With transpositions Q is the mean of all simulations through any node of the child's state,
// while n and N stay those of the walked path (UCT2 of Childs, Brodeur and Kocsis, 2008).
class Tree {
 public:
  enum class Rule : std::uint8_t { kUcb1, kPuct };
  using Index = std::uint32_t;

  struct Node {
    double sum = 0;             // of the values of its visits
    std::uint32_t visits = 0;   // with a value
    std::uint32_t pending = 0;  // without one yet
    Index parent = 0;
    Index first = 0;  // its children lie side by side; 0: not open, as the root is no child
    float prior = 0;
    std::uint16_t children = 0;
    std::uint16_t action = 0;  // that leads here
  };
  static_assert(sizeof(Node) == 32);

  struct Settings {
    Rule rule = Rule::kUcb1;
    double c = 2;
    std::uint64_t seed = 0;
    std::uint32_t open_after = 1;
    Index max_nodes = 0xFFFFFFFFu;
    bool transpositions = false;
  };

  static constexpr std::uint32_t kTieStream = 20, kWalkStream = 21;

  // The tree below the state that `prefix` leads to; `space` must outlive it. Throws
  // invalid_argument where c is negative or not finite, open_after or max_nodes is 0, an action
  // has no 16-bit number, or `prefix` holds an illegal action.
  Tree(const Space& space, Settings settings, std::vector<std::int32_t> prefix = {});

  // The ends of `n` further simulations, all waiting for their values. Throws length_error, and
  // none of them waits, where the tree would need more than max_nodes nodes or has counted 2^32 - 1
  // simulations.
  void select(int n, Index* ends);
  // `k` random completions [k, W] of a node's state; of a finished one the state itself.
  void complete(Index node, int k, std::int16_t* states);
  // Gives a simulation its value.
  void back_up(Index end, double value);
  // Adds to the value of a simulation that has one, or takes the simulation back altogether.
  void correct(Index end, double change);
  void undo(Index end, double value);
  // `n` simulations, one after the other, each worth its one random completion.
  void simulate(int n, const std::function<double(const std::int16_t*)>& value);

  // Priors [A] of the children, for PUCT; uniform until set. Opens the node.
  void set_priors(Index node, const float* priors);
  // Keeps what is below the root's child by that action, and makes it the root. Throws
  // invalid_argument where there is no such child or a simulation waits.
  void reroot(int action);

  const Pool<Node>& nodes() const { return nodes_; }
  const std::vector<std::int32_t>& prefix() const { return prefix_; }
  std::vector<std::int32_t> path(Index node) const;  // all decisions that lead to it
  const Node& at(Index node) const;                  // throws invalid_argument
  double mean(Index node) const;                     // Q without what waits; 0 where unvisited
  std::uint64_t begun() const { return begun_; }     // simulations ever selected
  std::uint64_t drawn() const { return drawn_; }     // completions ever drawn
  const Space& space() const { return space_; }
  int actions() const { return actions_; }
  const Transpositions* transpositions() const { return shared_ ? &*shared_ : nullptr; }
  std::size_t bytes() const;  // all that it holds

  // What a tree is besides its settings; `shared` are the sums and visits of its states, in the
  // order of their first nodes, where there are transpositions.
  struct Saved {
    std::vector<std::int32_t> prefix;
    Pool<Node> nodes;
    std::vector<double> shared_sums;
    std::vector<std::uint32_t> shared_visits;
    std::uint64_t begun = 0, drawn = 0;
  };
  // Replaces everything. Throws invalid_argument, and changes nothing, where it is not a tree of
  // this space. Parents are found; nothing waits.
  void load(Saved saved);

 private:
  class Use;  // one at a time, as Python's part of a space may come back here
  struct Value {
    double sum, visits;
  };

  void replay(Index node, std::int16_t* state) const;
  Index walk(std::int16_t* state);
  void open(Index node, const std::int16_t* state);
  void keys_below(const std::int16_t* state, const std::int32_t* actions, int n, Hash128* keys);
  Index choose(Index node, int depth);
  Value value(Index node) const;
  void change(Index end, double value, int visits, int pending);

  const Space& space_;
  Settings settings_;
  int actions_;
  std::vector<std::int32_t> prefix_;
  Pool<Node> nodes_;
  std::optional<Transpositions> shared_;
  std::uint64_t begun_ = 0, drawn_ = 0;
  bool in_use_ = false;
  // Scratch.
  std::vector<std::int16_t> start_, state_, states_;  // start_: the root's state
  std::vector<double> scores_;
  std::vector<std::int32_t> legal_;
  std::vector<Hash128> keys_;
  std::unique_ptr<bool[]> mask_;
};

}  // namespace nascore
