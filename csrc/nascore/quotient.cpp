#include "nascore/quotient.hpp"

namespace nascore {

namespace {

constexpr std::uint64_t kForward = 0x9E3779B97F4A7C15u;
constexpr std::uint64_t kBackward = 0xC2B2AE3D27D4EB4Fu;

}  // namespace

Quotient::Quotient(const Dag& dag, const std::uint8_t* order) : parallel(dag.parallel), dag_(&dag) {
  Bits kept = 0;
  for (int i = 0; i < dag.nodes; ++i) {
    const int v = order[i];
    int twin = 0;
    while (twin < nodes && !twins(member_[twin], v)) ++twin;
    if (twin < nodes) {
      label[twin] += Bits{1} << 32;  // above the 32 bits of a Dag's label
    } else {
      member_[nodes] = static_cast<std::uint8_t>(v);
      label[nodes++] = dag.label[v];
      kept |= bit(v);
    }
  }
  Places place;
  for (int i = 0; i < nodes; ++i) place[member_[i]] = static_cast<std::uint8_t>(i);
  for (int i = 0; i < nodes; ++i) {
    preds[i] = renumbered(dag.preds[member_[i]] & kept, place);
    succs[i] = renumbered(dag.succs[member_[i]] & kept, place);
  }
}

int Quotient::refine(Colours& colour, int classes, Places& place) const {
  for (;;) {
    // One pass forward and one backward, so that news crosses the whole graph at once.
    for (int v = 0; v < nodes; ++v) {
      std::uint64_t sum = 0;
      for (Bits set = preds[v]; set; set &= set - 1) {
        const int u = lowest(set);
        sum += mix(colour[u] + kForward * count(u, v));
      }
      colour[v] = mix(colour[v] * kForward + sum);
    }
    for (int v = nodes - 1; v >= 0; --v) {
      std::uint64_t sum = 0;
      for (Bits set = succs[v]; set; set &= set - 1) {
        const int u = lowest(set);
        sum += mix(colour[u] + kBackward * count(v, u));
      }
      colour[v] = mix(colour[v] * kBackward + sum);
    }
    Bits taken = 0;
    for (int v = 0; v < nodes; ++v) {
      int smaller = 0;
      for (int u = 0; u < nodes; ++u) smaller += colour[u] < colour[v];
      place[v] = static_cast<std::uint8_t>(smaller);
      taken |= bit(smaller);
    }
    const int now = size(taken);
    if (now == nodes || now <= classes) return now;
    classes = now;
  }
}

bool Quotient::twins(int u, int v) const {
  if (dag_->label[u] != dag_->label[v] || dag_->preds[u] != dag_->preds[v] ||
      dag_->succs[u] != dag_->succs[v]) {
    return false;
  }
  if (!parallel) return true;
  for (Bits set = dag_->preds[u]; set; set &= set - 1) {
    const auto& counts = dag_->count[lowest(set)];
    if (counts[u] != counts[v]) return false;
  }
  for (Bits set = dag_->succs[u]; set; set &= set - 1) {
    if (dag_->count[u][lowest(set)] != dag_->count[v][lowest(set)]) return false;
  }
  return true;
}

}  // namespace nascore
