// The form on which the search for a canonical order works: twins merged, colours refined.
#pragma once

#include <array>
#include <cstdint>

#include "nascore/canonical.hpp"

namespace nascore {

using Bits = std::uint64_t;  // a set of nodes
constexpr Bits bit(int i) { return Bits{1} << i; }
inline int lowest(Bits set) { return __builtin_ctzll(set); }
inline int size(Bits set) { return __builtin_popcountll(set); }

using Colours = std::array<std::uint64_t, Dag::kMaxNodes>;
using Places = std::array<std::uint8_t, Dag::kMaxNodes>;  // also a renumbering, or a permutation

// splitmix64's finaliser: a bijection in which every input bit reaches every output bit.
constexpr std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

inline Bits renumbered(Bits set, const Places& place) {
  Bits out = 0;
  for (; set; set &= set - 1) out |= bit(place[lowest(set)]);
  return out;
}

// A Dag in topological order in which twins, nodes with equal label and equal neighbours, are one
// node whose label holds their number. All edges between two classes of twins are there and alike,
// so two Dags are isomorphic if and only if their quotients are.
struct Quotient {
  int nodes = 0;
  bool parallel;
  Colours label;
  std::array<Bits, Dag::kMaxNodes> preds, succs;

  Quotient(const Dag& dag, const std::uint8_t* order);

  std::uint64_t count(int from, int to) const {
    return parallel ? dag_->count[member_[from]][member_[to]] : 1;
  }

  // Hashes the colours of neighbours into each node's colour until the number of colours, at first
  // `classes`, stays; returns it. `place` gets the number of nodes with a smaller colour.
  int refine(Colours& colour, int classes, Places& place) const;

 private:
  bool twins(int u, int v) const;

  const Dag* dag_;
  Places member_;  // a node of the Dag for each class
};

}  // namespace nascore
