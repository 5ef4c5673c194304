// Exact comparison of labelled DAGs with parallel edges: a canonical form by individualisation and
// refinement (McKay and Piperno, Practical graph isomorphism II, 2014), hashed.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace nascore {

struct Hash128 {
  std::uint64_t high, low;
};

inline bool operator==(Hash128 a, Hash128 b) { return a.high == b.high && a.low == b.low; }

std::string hex(Hash128 hash);  // 32 digits

// Neighbours as bit sets. `count[u][v]` is the number of edges u -> v, read only where the bit is
// set and `parallel` says that some number is not 1.
struct Dag {
  static constexpr int kMaxNodes = 64;

  int nodes = 0;
  bool parallel = false;
  std::array<std::uint32_t, kMaxNodes> label;
  std::array<std::uint64_t, kMaxNodes> preds, succs;
  std::array<std::array<std::uint16_t, kMaxNodes>, kMaxNodes> count;
};

// Every edge pointing forward, among ready nodes the lowest first; false where there is a cycle.
bool topological_order(const std::uint64_t* preds, int nodes, std::uint8_t* order);

// Equal if and only if the graphs are isomorphic with their labels and numbers of edges, up to a
// collision of 128 bits. `order` is a topological order of `dag`.
Hash128 canonical_hash(const Dag& dag, const std::uint8_t* order);

}  // namespace nascore
