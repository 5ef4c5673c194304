#include "nascore/canonical.hpp"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace nascore {

namespace {

using Bits = std::uint64_t;

constexpr int kMax = Dag::kMaxNodes;

int lowest(Bits bits) { return __builtin_ctzll(bits); }

constexpr Bits bit(int i) { return Bits{1} << i; }

// splitmix64's finaliser: a bijection in which every input bit reaches every output bit.
constexpr std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

constexpr std::uint64_t kForward = 0x9E3779B97F4A7C15u;
constexpr std::uint64_t kBackward = 0xC2B2AE3D27D4EB4Fu;
constexpr std::uint64_t kChosen = 0x165667B19E3779F9u;

// A Dag in topological order in which twins, nodes with equal label and equal neighbours, are one
// node whose label holds their number. Twins have equal neighbours, so the edges between two such
// classes are complete and alike, and two Dags are isomorphic if and only if these forms are.
struct Quotient {
  int nodes = 0;
  bool parallel;
  std::array<std::uint64_t, kMax> label;
  std::array<Bits, kMax> preds, succs;
  std::array<std::uint8_t, kMax> member;  // a node of the Dag for each class
  const Dag* dag;

  Quotient(const Dag& source, const std::uint8_t* order) : parallel(source.parallel), dag(&source) {
    Bits kept = 0;
    for (int i = 0; i < source.nodes; ++i) {
      const int v = order[i];
      int twin = 0;
      while (twin < nodes && !twins(member[twin], v)) ++twin;
      if (twin == nodes) {
        member[nodes] = static_cast<std::uint8_t>(v);
        label[nodes++] = source.label[v];
        kept |= bit(v);
      } else {
        label[twin] += Bits{1} << 32;
      }
    }
    std::array<std::uint8_t, kMax> place;
    for (int i = 0; i < nodes; ++i) place[member[i]] = static_cast<std::uint8_t>(i);
    for (int i = 0; i < nodes; ++i) {
      preds[i] = renumbered(source.preds[member[i]] & kept, place);
      succs[i] = renumbered(source.succs[member[i]] & kept, place);
    }
  }

  std::uint64_t count(int from, int to) const {
    return parallel ? dag->count[member[from]][member[to]] : 1;
  }

  static Bits renumbered(Bits set, const std::array<std::uint8_t, kMax>& place) {
    Bits out = 0;
    for (; set; set &= set - 1) out |= bit(place[lowest(set)]);
    return out;
  }

 private:
  bool twins(int u, int v) const {
    if (dag->label[u] != dag->label[v] || dag->preds[u] != dag->preds[v] ||
        dag->succs[u] != dag->succs[v]) {
      return false;
    }
    if (!parallel) return true;
    for (Bits set = dag->preds[u]; set; set &= set - 1) {
      if (dag->count[lowest(set)][u] != dag->count[lowest(set)][v]) return false;
    }
    for (Bits set = dag->succs[u]; set; set &= set - 1) {
      if (dag->count[u][lowest(set)] != dag->count[v][lowest(set)]) return false;
    }
    return true;
  }
};

// The graph in the order of a discrete colouring: labels, successor sets, numbers of edges.
struct Certificate {
  int words = 0;
  std::array<std::uint64_t, 2 * kMax + kMax * kMax / 2> word;

  bool operator==(const Certificate& other) const {
    return std::equal(word.begin(), word.begin() + words, other.word.begin(),
                      other.word.begin() + other.words);
  }
  bool operator<(const Certificate& other) const {
    return std::lexicographical_compare(word.begin(), word.begin() + words, other.word.begin(),
                                        other.word.begin() + other.words);
  }
};

using Colours = std::array<std::uint64_t, kMax>;
using Places = std::array<std::uint8_t, kMax>;

// Depth first through the tree of individualised nodes. The canonical leaf has the least sequence
// of invariants on its way, then the least certificate. Colours are hashes of what is invariant:
// a collision among them makes a partition coarser and the tree bigger, never the answer wrong.
class Search {
 public:
  explicit Search(const Quotient& graph) : graph_(graph) {}

  const Certificate& canonical() {
    explore(graph_.label, 0, 0);
    return leaves_[best_];
  }

 private:
  // Explores what follows from `colour`; returns the depth at which the search goes on.
  int explore(Colours colour, int classes, int depth) {
    Places place;
    classes = refine(colour, classes, place);
    const bool discrete = classes == graph_.nodes;
    if (!on_best_way(colour, discrete, depth)) return depth - 1;
    if (discrete) return leaf(place, depth);

    Bits explored = 0;
    for (Bits cell = target_cell(place); cell; cell &= cell - 1) {
      const int v = lowest(cell);
      if (equivalent_to(explored, v, depth)) continue;
      explored |= bit(v);
      way_[depth] = static_cast<std::uint8_t>(v);
      Colours next = colour;
      next[v] = mix(next[v] + kChosen);
      const int back = explore(next, classes + 1, depth + 1);
      if (back < depth) return back;
    }
    return depth - 1;
  }

  // Passes forward and backward, so that news crosses the whole graph at once, until the number of
  // classes stays. `place` is the number of nodes with a smaller colour.
  int refine(Colours& colour, int classes, Places& place) const {
    const int n = graph_.nodes;
    for (;;) {
      for (int v = 0; v < n; ++v) {
        std::uint64_t sum = 0;
        for (Bits set = graph_.preds[v]; set; set &= set - 1) {
          const int u = lowest(set);
          sum += mix(colour[u] + kForward * graph_.count(u, v));
        }
        colour[v] = mix(colour[v] * kForward + sum);
      }
      for (int v = n - 1; v >= 0; --v) {
        std::uint64_t sum = 0;
        for (Bits set = graph_.succs[v]; set; set &= set - 1) {
          const int u = lowest(set);
          sum += mix(colour[u] + kBackward * graph_.count(v, u));
        }
        colour[v] = mix(colour[v] * kBackward + sum);
      }
      Bits taken = 0;
      for (int v = 0; v < n; ++v) {
        int smaller = 0;
        for (int u = 0; u < n; ++u) smaller += colour[u] < colour[v];
        place[v] = static_cast<std::uint8_t>(smaller);
        taken |= bit(smaller);
      }
      const int now = __builtin_popcountll(taken);
      if (now == n || now <= classes) return now;
      classes = now;
    }
  }

  // Whether a canonical leaf may follow, judged by an invariant of the refined colouring.
  bool on_best_way(const Colours& colour, bool discrete, int depth) {
    std::uint64_t sum = 0;
    for (int v = 0; v < graph_.nodes; ++v) sum += mix(colour[v]);
    const std::uint64_t invariant = (sum << 1) | (discrete ? 1 : 0);
    if (depth < best_depth_ && invariant > invariants_[depth]) return false;
    if (depth >= best_depth_ || invariant < invariants_[depth]) {
      invariants_[depth] = invariant;
      best_depth_ = depth + 1;
      has_best_ = false;
    }
    return true;
  }

  int leaf(const Places& place, int depth) {
    Certificate& certificate = leaves_[1 - best_];
    write(place, certificate);
    if (has_best_ && certificate == leaves_[best_]) return automorphism(place, depth);
    if (!has_best_ || certificate < leaves_[best_]) {
      best_ = 1 - best_;
      best_place_ = place;
      best_way_ = way_;
      has_best_ = true;
    }
    return depth - 1;
  }

  // Two leaves with one certificate: the map between them is an automorphism. Where it carries the
  // best way into this one, what is left below the fork repeats what was explored.
  int automorphism(const Places& place, int depth) {
    std::array<std::uint8_t, kMax> at_place, image;
    for (int v = 0; v < graph_.nodes; ++v) at_place[place[v]] = static_cast<std::uint8_t>(v);
    for (int v = 0; v < graph_.nodes; ++v) image[v] = at_place[best_place_[v]];
    automorphisms_.push_back(image);
    int fork = 0;
    while (fork < depth && way_[fork] == best_way_[fork]) ++fork;
    for (int i = 0; i < fork; ++i) {
      if (image[way_[i]] != way_[i]) return depth - 1;
    }
    return image[best_way_[fork]] == way_[fork] ? fork : depth - 1;
  }

  // Whether an automorphism that fixes the way to here, one known or a product of them, brings an
  // explored node to v: then v's subtree repeats that node's.
  bool equivalent_to(Bits explored, int v, int depth) const {
    if (automorphisms_.empty() || !explored) return false;
    std::array<std::uint8_t, kMax> root;
    std::iota(root.begin(), root.end(), std::uint8_t{0});
    for (const auto& image : automorphisms_) {
      if (!std::all_of(way_.begin(), way_.begin() + depth, [&](int u) { return image[u] == u; })) {
        continue;
      }
      for (int u = 0; u < graph_.nodes; ++u) {
        const auto [low, high] = std::minmax(root[u], root[image[u]]);
        if (low != high) std::replace(root.begin(), root.begin() + graph_.nodes, high, low);
      }
    }
    for (; explored; explored &= explored - 1) {
      if (root[lowest(explored)] == root[v]) return true;
    }
    return false;
  }

  // The smallest class of more than one node, the one of lowest colour among equals.
  Bits target_cell(const Places& place) const {
    std::array<Bits, kMax> cell{};
    for (int v = 0; v < graph_.nodes; ++v) cell[place[v]] |= bit(v);
    Bits target = 0;
    for (int i = 0; i < graph_.nodes; ++i) {
      const int size = __builtin_popcountll(cell[i]);
      if (size > 1 && (!target || size < __builtin_popcountll(target))) target = cell[i];
    }
    return target;
  }

  void write(const Places& place, Certificate& out) const {
    const int n = graph_.nodes;
    out.words = 2 * n;
    for (int v = 0; v < n; ++v) {
      out.word[place[v]] = graph_.label[v];
      out.word[n + place[v]] = Quotient::renumbered(graph_.succs[v], place);
    }
    if (!graph_.parallel) return;
    for (int v = 0; v < n; ++v) {
      for (Bits set = graph_.succs[v]; set; set &= set - 1) {
        const int u = lowest(set);
        if (const std::uint64_t count = graph_.count(v, u); count > 1) {
          out.word[out.words++] = (std::uint64_t{place[v]} << 32) | (place[u] << 16) | count;
        }
      }
    }
    std::sort(out.word.begin() + 2 * n, out.word.begin() + out.words);
  }

  const Quotient& graph_;
  std::array<Certificate, 2> leaves_;  // the best so far and the latest, in turn
  int best_ = 0;
  Places best_place_;
  bool has_best_ = false;
  int best_depth_ = 0;
  std::array<std::uint64_t, kMax> invariants_;
  std::array<std::uint8_t, kMax> way_, best_way_;
  std::vector<std::array<std::uint8_t, kMax>> automorphisms_;
};

}  // namespace

bool topological_order(const std::uint64_t* preds, int nodes, std::uint8_t* order) {
  Bits waiting = nodes == kMax ? ~Bits{0} : bit(nodes) - 1;
  for (int placed = 0; placed < nodes; ++placed) {
    Bits candidates = waiting;
    while (candidates && (preds[lowest(candidates)] & waiting)) candidates &= candidates - 1;
    if (!candidates) return false;
    order[placed] = static_cast<std::uint8_t>(lowest(candidates));
    waiting &= ~bit(order[placed]);
  }
  return true;
}

Hash128 canonical_hash(const Dag& dag, const std::uint8_t* order) {
  const Quotient graph(dag, order);
  Search search(graph);
  const Certificate& certificate = search.canonical();
  Hash128 hash{mix(kForward + static_cast<std::uint64_t>(graph.nodes)),
               mix(kBackward + static_cast<std::uint64_t>(graph.nodes))};
  for (int i = 0; i < certificate.words; ++i) {
    hash.high = mix(hash.high ^ certificate.word[i]) + kForward;
    hash.low = mix(hash.low + certificate.word[i]) * kBackward;
  }
  return hash;
}

}  // namespace nascore
