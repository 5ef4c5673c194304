// What the nodes of one state have in common.
#pragma once

#include <cstdint>
#include <vector>

#include "nascore/canonical.hpp"
#include "nascore/pool.hpp"

namespace nascore {

// The values of every state of a tree, found by the state's key, and the state of every node.
class Transpositions {
 public:
  using Index = std::uint32_t;

  struct State {
    double sum = 0;         // of the values of all simulations through any of its nodes
    std::uint64_t key = 0;  // with `more`, 96 bits of it
    std::uint32_t more = 0;
    std::uint32_t visits = 0;  // the number of those simulations
  };
  static_assert(sizeof(State) == 24);

  // Room for so many nodes; after that `add` does not throw.
  void reserve(std::size_t nodes) {
    state_of_.reserve(nodes);
    states_.reserve(states_.size() + (nodes - state_of_.size()));
    std::size_t slots = slots_.size() ? slots_.size() : 16;
    while (slots / 4 * 3 < states_.size() + (nodes - state_of_.size())) slots *= 2;
    if (slots != slots_.size()) resize(slots);
  }

  // The next node, in a state that another tree knows.
  void add(const State& known) { add(Hash128{known.key, known.more}) = known; }

  // The next node; returns its state.
  State& add(Hash128 key) {
    reserve(state_of_.size() + 1);
    std::size_t at = slot(key.high);
    while (slots_[at] != 0 && !is(states_[slots_[at] - 1], key))
      at = (at + 1) & (slots_.size() - 1);
    if (slots_[at] == 0) {
      states_.push_back({0, key.high, static_cast<std::uint32_t>(key.low), 0});
      slots_[at] = static_cast<Index>(states_.size());
    }
    state_of_.push_back(slots_[at] - 1);
    return states_[slots_[at] - 1];
  }

  const State& of(Index node) const { return states_[state_of_[node]]; }

  // A node's simulations, by so many more, are worth so much more.
  void change(Index node, double value, int visits) {
    State& state = states_[state_of_[node]];
    state.sum += value;
    state.visits += static_cast<std::uint32_t>(visits);
  }

  const Pool<State>& states() const { return states_; }
  State& state(std::size_t i) { return states_[i]; }
  std::size_t bytes() const {
    return states_.bytes() + state_of_.bytes() + slots_.capacity() * sizeof(Index);
  }

 private:
  static bool is(const State& state, Hash128 key) {
    return state.key == key.high && state.more == static_cast<std::uint32_t>(key.low);
  }
  // The product's upper bits, as many as the number of slots needs.
  std::size_t slot(std::uint64_t key) const {
    return key * 0x9E3779B97F4A7C15u >> __builtin_clzll(slots_.size() - 1);
  }

  void resize(std::size_t slots) {
    slots_ = {};  // not two of them at a time
    slots_.resize(slots);
    for (std::size_t i = 0; i < states_.size(); ++i) {
      std::size_t at = slot(states_[i].key);
      while (slots_[at] != 0) at = (at + 1) & (slots - 1);
      slots_[at] = static_cast<Index>(i + 1);
    }
  }

  Pool<State> states_;
  Pool<Index> state_of_;      // of each node
  std::vector<Index> slots_;  // by key, at most three quarters full: a state's number + 1, or 0
};

}  // namespace nascore
