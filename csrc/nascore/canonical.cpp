#include "nascore/canonical.hpp"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "nascore/quotient.hpp"

namespace nascore {

namespace {

constexpr int kMax = Dag::kMaxNodes;

// The graph in the order of a discrete colouring: labels, successor sets, numbers of edges.
struct Certificate {
  int words = 0;
  std::array<std::uint64_t, 2 * kMax + kMax * kMax / 2> word;

  void write(const Quotient& graph, const Places& place) {
    const int n = graph.nodes;
    words = 2 * n;
    for (int v = 0; v < n; ++v) {
      word[place[v]] = graph.label[v];
      word[n + place[v]] = renumbered(graph.succs[v], place);
    }
    if (!graph.parallel) return;
    for (int v = 0; v < n; ++v) {
      for (Bits set = graph.succs[v]; set; set &= set - 1) {
        const int u = lowest(set);
        if (const std::uint64_t count = graph.count(v, u); count > 1) {
          word[words++] = (std::uint64_t{place[v]} << 32) | (std::uint64_t{place[u]} << 16) | count;
        }
      }
    }
    std::sort(word.begin() + 2 * n, word.begin() + words);
  }

  bool operator==(const Certificate& other) const {
    return std::equal(word.begin(), word.begin() + words, other.word.begin(),
                      other.word.begin() + other.words);
  }
  bool operator<(const Certificate& other) const {
    return std::lexicographical_compare(word.begin(), word.begin() + words, other.word.begin(),
                                        other.word.begin() + other.words);
  }
};

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
  // Explores what follows from a colouring; returns the depth at which the search goes on.
  int explore(Colours colour, int classes, int depth) {
    Places place;
    classes = graph_.refine(colour, classes, place);
    const bool discrete = classes == graph_.nodes;
    if (!on_best_way(colour, discrete, depth)) return depth - 1;
    if (discrete) return leaf(place, depth);
    Bits explored = 0;
    for (Bits cell = target_cell(place); cell; cell &= cell - 1) {
      const int v = lowest(cell);
      if (in_orbit(explored, v, depth)) continue;
      explored |= bit(v);
      way_[depth] = static_cast<std::uint8_t>(v);
      Colours child = colour;
      child[v] = mix(~colour[v]);
      const int back = explore(child, classes + 1, depth + 1);
      if (back < depth) return back;
    }
    return depth - 1;
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
    certificate.write(graph_, place);
    if (has_best_ && certificate == leaves_[best_]) return fork_with_best(place, depth);
    if (!has_best_ || certificate < leaves_[best_]) {
      best_ = 1 - best_;
      best_place_ = place;
      best_way_ = way_;
      has_best_ = true;
    }
    return depth - 1;
  }

  // Two leaves with one certificate: the map between them is an automorphism. Where it carries the
  // best way into this one, what is left below their fork repeats what was explored.
  int fork_with_best(const Places& place, int depth) {
    Places at_place, image;
    for (int v = 0; v < graph_.nodes; ++v) at_place[place[v]] = static_cast<std::uint8_t>(v);
    for (int v = 0; v < graph_.nodes; ++v) image[v] = at_place[best_place_[v]];
    automorphisms_.push_back(image);
    int fork = 0;
    while (way_[fork] == best_way_[fork]) ++fork;
    return fixes_way(image, fork) && image[best_way_[fork]] == way_[fork] ? fork : depth - 1;
  }

  bool fixes_way(const Places& image, int depth) const {
    return std::all_of(way_.begin(), way_.begin() + depth, [&](int v) { return image[v] == v; });
  }

  // Whether products of known automorphisms that fix the way to here bring an explored node to v:
  // then v's subtree repeats that node's.
  bool in_orbit(Bits explored, int v, int depth) const {
    if (!explored || automorphisms_.empty()) return false;
    Places orbit;
    std::iota(orbit.begin(), orbit.end(), std::uint8_t{0});
    for (const Places& image : automorphisms_) {
      if (!fixes_way(image, depth)) continue;
      for (int u = 0; u < graph_.nodes; ++u) {
        const std::uint8_t from = orbit[u];
        const std::uint8_t to = orbit[image[u]];
        if (from != to) std::replace(orbit.begin(), orbit.begin() + graph_.nodes, from, to);
      }
    }
    for (; explored; explored &= explored - 1) {
      if (orbit[lowest(explored)] == orbit[v]) return true;
    }
    return false;
  }

  // The smallest class of more than one node, the one of lowest colour among equals.
  Bits target_cell(const Places& place) const {
    std::array<Bits, kMax> cell{};
    for (int v = 0; v < graph_.nodes; ++v) cell[place[v]] |= bit(v);
    Bits target = 0;
    for (int i = 0; i < graph_.nodes; ++i) {
      if (size(cell[i]) > 1 && (!target || size(cell[i]) < size(target))) target = cell[i];
    }
    return target;
  }

  const Quotient& graph_;
  std::array<Certificate, 2> leaves_;  // the best so far and the latest, in turn
  int best_ = 0;
  bool has_best_ = false;
  Places best_place_;
  int best_depth_ = 0;  // the number of invariants on the best way
  std::array<std::uint64_t, kMax> invariants_;
  Places way_, best_way_;  // the nodes individualised at each depth
  std::vector<Places> automorphisms_;
};

}  // namespace

std::string hex(Hash128 hash) {
  std::string text(32, '0');
  for (int i = 0; i < 32; ++i) {
    const std::uint64_t half = i < 16 ? hash.high : hash.low;
    text[i] = "0123456789abcdef"[half >> (60 - 4 * (i % 16)) & 15];
  }
  return text;
}

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
  Hash128 hash{mix(static_cast<std::uint64_t>(graph.nodes)),
               mix(~static_cast<std::uint64_t>(graph.nodes))};
  for (int i = 0; i < certificate.words; ++i) {
    hash.high = mix(hash.high ^ certificate.word[i]) + 0x9E3779B97F4A7C15u;
    hash.low = mix(hash.low + certificate.word[i]) * 0xC2B2AE3D27D4EB4Fu;
  }
  return hash;
}

}  // namespace nascore
