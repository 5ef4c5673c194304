#include "check.hpp"
#include "nascore/nsc.hpp"

using namespace nascore;

namespace {

std::string complaint(const std::vector<nsc::Row>& code) {
  const std::int16_t* rows = code.empty() ? nullptr : code.front().data();
  return nsc::message(rows, nsc::validate(rows, static_cast<int>(code.size())));
}

}  // namespace

int main() {
  const std::vector<nsc::Row> residual = {
      {1, 4, 0, 0, 0}, {2, 1, 3, 1, 0}, {3, 1, 3, 2, 0}, {4, 5, 0, 1, 3}, {5, 7, 0, 0, 0}};
  CHECK_EQ(complaint(residual), "");
  CHECK_EQ(complaint({}), "");
  CHECK_EQ(complaint({{1, 7, 0, 0, 0}}), "");
  CHECK_EQ(complaint({{0, 0, 0, 0, 0}, {0, 0, 0, 0, 0}}), "");
  CHECK_EQ(complaint({{2, 1, 3, 0, 0}}), "row 1: index=2 must be its position 1");
  CHECK_EQ(complaint({{1, 8, 3, 0, 0}}), "row 1: type=8 must be from 1 to 7");
  CHECK_EQ(complaint({{1, 0, 3, 0, 0}}), "row 1: type=0 must be from 1 to 7");
  CHECK_EQ(complaint({{1, 1, 2, 0, 0}}), "row 1: kernel=2 of conv must be 1, 3 or 5");
  CHECK_EQ(complaint({{1, 2, 5, 0, 0}}), "row 1: kernel=5 of max_pool must be 1 or 3");
  CHECK_EQ(complaint({{1, 4, 1, 0, 0}}), "row 1: kernel=1 of identity must be 0");
  CHECK_EQ(complaint({{1, 1, 32767, 0, 0}}), "row 1: kernel=32767 of conv must be 1, 3 or 5");
  CHECK_EQ(complaint({{1, 1, 3, 1, 0}}), "row 1: pred1=1 must be below its own index 1");
  CHECK_EQ(complaint({{1, 1, 3, -1, 0}}), "row 1: pred1=-1 must not be negative");
  CHECK_EQ(complaint({{1, 1, 3, 0, 0}, {2, 5, 0, 0, 2}}),
           "row 2: pred2=2 must be below its own index 2");
  CHECK_EQ(complaint({{1, 1, 3, 0, 0}, {2, 1, 3, 1, 1}}),
           "row 2: pred2=1 of conv must be 0, it has one predecessor");
  CHECK_EQ(complaint({{1, 1, 3, 0, 0}, {2, 6, 0, 1, 1}}),
           "row 2: pred1=1 and pred2=1 of concat must differ");
  CHECK_EQ(complaint({{1, 7, 0, 0, 1}}), "row 1: a terminal row holds zeros after its type");
  CHECK_EQ(complaint({{1, 7, 0, 0, 0}, {2, 1, 3, 0, 0}}),
           "row 2: nothing may follow the end of the code");
  CHECK_EQ(complaint({{1, 1, 3, 0, 0}, {0, 0, 0, 0, 0}, {3, 1, 3, 0, 0}}),
           "row 3: nothing may follow the end of the code");

  std::vector<nsc::Row> longest;
  for (std::int16_t i = 1; i <= nsc::kMaxLayers; ++i) longest.push_back({i, 1, 3, 0, 0});
  CHECK_EQ(nsc::to_graph(longest.front().data(), nsc::kMaxLayers).nodes, nsc::kMaxLayers + 2);
  longest.push_back({nsc::kMaxLayers + 1, 7, 0, 0, 0});
  CHECK_EQ(complaint(longest), "");
  longest.back() = {nsc::kMaxLayers + 1, 1, 3, 0, 0};
  CHECK_EQ(complaint(longest), "row 33: a code has at most 32 layers");

  const int slots = static_cast<int>(residual.size());
  CHECK_EQ(nsc::layers(residual.front().data(), slots), 4);
  const std::string text = nsc::print(residual.front().data(), slots);
  CHECK_EQ(text, "[(1,4,0,0,0),(2,1,3,1,0),(3,1,3,2,0),(4,5,0,1,3),(5,7,0,0,0)]");
  CHECK(nsc::parse(text) == residual);
  CHECK(nsc::parse(" [ [1, 7,0 , 0,0]\n] ") == std::vector<nsc::Row>({{1, 7, 0, 0, 0}}));
  CHECK(nsc::parse("[]").empty());
  const std::string hint = "; a code looks like [(1,4,0,0,0),(2,7,0,0,0)]";
  CHECK_EQ(complaint_of([&] { nsc::parse(""); }),
           "block code, position 1: expected '[', got the end" + hint);
  CHECK_EQ(complaint_of([&] { nsc::parse("[(1,4,0,0)]"); }),
           "block code, position 10: expected ',', got ')]'" + hint);
  CHECK_EQ(complaint_of([&] { nsc::parse("[(1,4,x,0,0)]"); }),
           "block code, position 7: expected a 16-bit integer, got 'x,0,0)]'" + hint);
  CHECK_EQ(complaint_of([&] { nsc::parse("[(1,4,0,0,40000)]"); }),
           "block code, position 11: expected a 16-bit integer, got '40000)]'" + hint);
  CHECK_EQ(complaint_of([&] { nsc::parse("[(1,7,0,0,0)] 3"); }),
           "block code, position 15: expected the end of the code, got '3'" + hint);

  const Graph graph = nsc::to_graph(residual.front().data(), slots);
  validate(graph);
  CHECK_EQ(graph.nodes, 6);
  CHECK_EQ(graph.edges, 6);
  const Graph empty = nsc::to_graph(nullptr, 0);
  validate(empty);
  CHECK_EQ(empty.nodes, 2);
  CHECK_EQ(empty.edges, 1);
}
