#include <algorithm>
#include <numeric>
#include <vector>

#include "check.hpp"
#include "nascore/graph.hpp"
#include "nascore/rng.hpp"

using namespace nascore;

namespace {

Graph graph_of(const std::vector<Node>& nodes, const std::vector<std::array<int, 2>>& edges) {
  Graph graph;
  for (const Node& node : nodes) graph.add_node(node);
  for (const auto& edge : edges) graph.add_edge(edge[0], edge[1]);
  return graph;
}

std::string refusal(const Graph& graph) {
  return complaint_of([&] { validate(graph); });
}

// The same graph with its nodes in an order drawn from `seed`, and its edges too.
Graph shuffled(const Graph& graph, std::uint64_t seed) {
  std::array<int, Graph::kMaxNodes> name;
  std::iota(name.begin(), name.end(), 0);
  std::vector<Edge> edges(graph.edge.begin(), graph.edge.begin() + graph.edges);
  std::uint64_t counter = 0;
  const auto below = [&](std::size_t bound) {
    return Draw(seed, 0, counter++).below(static_cast<std::uint32_t>(bound));
  };
  for (int i = graph.nodes; i > 1; --i) std::swap(name[i - 1], name[below(i)]);
  for (std::size_t i = edges.size(); i > 1; --i) std::swap(edges[i - 1], edges[below(i)]);
  Graph out;
  out.nodes = graph.nodes;
  for (int v = 0; v < graph.nodes; ++v) out.node[name[v]] = graph.node[v];
  for (const Edge& edge : edges) out.add_edge(name[edge.from], name[edge.to]);
  return out;
}

constexpr Node kIn{Op::kInput}, kOut{Op::kOutput}, kConv3{Op::kConv, 3}, kConv1{Op::kConv, 1};
constexpr Node kSkip{Op::kIdentity}, kPool1{Op::kMaxPool, 1}, kSum{Op::kAdd}, kCat{Op::kConcat};

void test_validate() {
  CHECK_EQ(refusal(graph_of({kIn, kConv3, kOut}, {{0, 1}, {1, 2}})), "");
  CHECK_EQ(refusal(graph_of({kIn, kOut}, {{0, 2}})),
           "edge 0: node 2 must be below the number of nodes, 2");
  CHECK_EQ(refusal(graph_of({kIn, kConv3, kOut}, {{1, 0}})),
           "edge 0: node 0 is an input, which reads nothing");
  CHECK_EQ(refusal(graph_of({kIn, kConv3, kOut}, {{2, 1}})),
           "edge 0: node 2 is the output, which nothing reads");
  CHECK_EQ(refusal(graph_of({kIn, kSum, kSum, kOut}, {{0, 1}, {1, 2}, {2, 1}, {2, 3}})),
           "the edges form a cycle");
  CHECK_EQ(refusal(graph_of({kIn, kConv3, kOut}, {{0, 1}, {0, 1}, {1, 2}})),
           "node 1: conv must read one node, not 2");
  CHECK_EQ(refusal(graph_of({kIn, {Op::kTerminal}, kOut}, {})),
           "node 1: op=7 is not an operation of a graph");
  CHECK_EQ(refusal(graph_of({kConv3, kOut}, {})), "a graph needs an input node, this one has none");
  CHECK_EQ(refusal(graph_of({kIn}, {})), "a graph needs exactly one output node, this one has 0");
  Graph full;
  for (int i = 0; i < Graph::kMaxNodes; ++i) full.add_node(kSum);
  CHECK_EQ(complaint_of([&] { full.add_node(kSum); }), "a graph has at most 64 nodes");
  for (int i = 0; i < Graph::kMaxEdges; ++i) full.add_edge(0, 1);
  CHECK_EQ(complaint_of([&] { full.add_edge(0, 1); }), "a graph has at most 512 edges");
}

void test_clean() {
  // The no-ops of a sum leave a double edge; the dead convolution and the sum of one go.
  const Graph graph = graph_of({kIn, kSkip, kPool1, kSum, kConv3, kConv1, kSum, kOut},
                               {{0, 1}, {0, 2}, {1, 3}, {2, 3}, {3, 6}, {0, 4}, {5, 6}, {6, 7}});
  const Graph clean_graph = clean(graph);
  validate(clean_graph);
  CHECK_EQ(clean_graph.nodes, 3);
  CHECK(hash(clean_graph) == hash(graph_of({kIn, kSum, kOut}, {{0, 1}, {0, 1}, {1, 2}})));
  CHECK(!(hash(clean_graph) == hash(graph_of({kIn, kSum, kOut}, {{0, 1}, {1, 2}}))));
  const Graph strided = graph_of({kIn, {Op::kIdentity, 0, 2}, kOut}, {{0, 1}, {1, 2}});
  CHECK_EQ(clean(strided).nodes, 3);
  const Graph unreached = clean(graph_of({kIn, kConv3, kOut}, {{0, 1}}));
  CHECK_EQ(unreached.nodes, 2);
  CHECK_EQ(unreached.edges, 0);
  CHECK_EQ(longest_path(unreached), 0);
}

void test_measures() {
  const Graph chain = graph_of({kIn, kConv3, kConv3, kConv3, kConv3, kOut},
                               {{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 5}});
  CHECK_EQ(layers(chain), 4);
  CHECK_EQ(density(chain), 1.0);
  CHECK_EQ(longest_path(chain), 4);
  CHECK_EQ(density(graph_of({kIn, kOut}, {{0, 1}})), 0.0);
  const Graph backwards = graph_of({kOut, kConv3, kConv1, kIn}, {{1, 0}, {2, 1}, {3, 2}});
  const auto order = topological_order(backwards);
  CHECK(std::vector<int>(order.begin(), order.begin() + 4) == std::vector<int>({3, 2, 1, 0}));
  CHECK_EQ(longest_path(backwards), 2);
}

// 62 nodes between input and output: parts that colour refinement cannot tell apart.
void test_hash() {
  const auto cycles = [](const std::vector<int>& lengths) {
    std::vector<Node> nodes = {kIn, kOut};
    std::vector<std::array<int, 2>> edges;
    for (const int length : lengths) {
      const int base = static_cast<int>(nodes.size());
      for (int i = 0; i < length; ++i) {
        nodes.push_back(kConv3);
        nodes.push_back(kCat);
        edges.push_back({0, base + 2 * i});
        edges.push_back({base + 2 * i, base + 2 * i + 1});
        edges.push_back({base + 2 * ((i + 1) % length), base + 2 * i + 1});
        edges.push_back({base + 2 * i + 1, 1});
      }
    }
    return graph_of(nodes, edges);
  };
  std::vector<Hash128> seen;
  for (const auto& lengths : std::vector<std::vector<int>>{
           {31}, {15, 16}, {3, 28}, {3, 4, 24}, {4, 4, 4, 4, 15}, {3, 3, 3, 3, 3, 3, 3, 3, 7}}) {
    const Graph graph = cycles(lengths);
    validate(graph);
    const Hash128 value = hash(graph);
    CHECK(std::find(seen.begin(), seen.end(), value) == seen.end());
    seen.push_back(value);
    for (std::uint64_t seed = 0; seed < 10; ++seed) CHECK(hash(shuffled(graph, seed)) == value);
  }
  // Parallel edges count: 2 + 1 is neither 1 + 2 behind another label nor 1 + 1.
  const std::vector<Node> nodes = {kIn, kConv1, kConv3, kSum, kOut};
  const Graph left = graph_of(nodes, {{0, 1}, {0, 2}, {1, 3}, {1, 3}, {2, 3}, {3, 4}});
  const Graph right = graph_of(nodes, {{0, 1}, {0, 2}, {1, 3}, {2, 3}, {2, 3}, {3, 4}});
  const Graph single = graph_of(nodes, {{0, 1}, {0, 2}, {1, 3}, {2, 3}, {3, 4}});
  CHECK(!(hash(left) == hash(right)));
  CHECK(!(hash(left) == hash(single)));
  for (std::uint64_t seed = 0; seed < 10; ++seed) CHECK(hash(shuffled(left, seed)) == hash(left));
}

}  // namespace

int main() {
  test_validate();
  test_clean();
  test_measures();
  test_hash();
}
