// Monte Carlo tree search over a space: flat nodes, 32-bit links, states replayed from the root.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "nascore/space.hpp"

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
  static_assert(sizeof(Node) <= 40);

  static constexpr std::uint32_t kTieStream = 20, kWalkStream = 21;

  // The tree below the state that `prefix` leads to; `space` must outlive it. Throws
  // invalid_argument where c is negative or not finite, open_after or max_nodes is 0, or `prefix`
  // holds an illegal action.
  Tree(const Space& space, Rule rule, double c, std::uint64_t seed,
       std::vector<std::int32_t> prefix, std::uint32_t open_after, Index max_nodes);

  // The ends of `n` further simulations, all waiting for their values. Throws length_error, and
  // none of them waits, where the tree would need more than max_nodes nodes.
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

  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<std::int32_t>& prefix() const { return prefix_; }
  std::vector<std::int32_t> path(Index node) const;  // all decisions that lead to it
  const Node& at(Index node) const;                  // throws invalid_argument
  std::uint64_t begun() const { return begun_; }     // simulations ever selected
  std::uint64_t drawn() const { return drawn_; }     // completions ever drawn
  const Space& space() const { return space_; }
  int actions() const { return actions_; }
  // Replaces everything. Throws invalid_argument, and changes nothing, where it is not a tree of
  // this space. Parents are found; nothing waits.
  void load(std::vector<std::int32_t> prefix, std::vector<Node> nodes, std::uint64_t begun,
            std::uint64_t drawn);

 private:
  void replay(Index node, std::int16_t* state) const;
  Index walk(std::int16_t* state);
  void open(Index node, const std::int16_t* state);
  Index choose(Index node, int depth);
  void change(Index end, double value, int visits, int pending);

  const Space& space_;
  Rule rule_;
  double c_;
  std::uint64_t seed_;
  std::uint32_t open_after_;
  Index max_nodes_;
  int actions_;
  std::vector<std::int32_t> prefix_;
  std::vector<Node> nodes_;
  std::uint64_t begun_ = 0, drawn_ = 0;
  // Scratch.
  std::vector<std::int16_t> start_, state_;  // start_: the root's state
  std::vector<double> scores_;
  std::unique_ptr<bool[]> mask_;
};

}  // namespace nascore
