// Cells: their codes, graphs and networks, and random ones up to the limits.
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.hpp"
#include "nascore/cell.hpp"
#include "nascore/cell_net.hpp"
#include "nascore/rng.hpp"

using namespace nascore;

namespace {

using Code = std::vector<std::int16_t>;

constexpr std::int16_t kId = 0, kPair3 = 1, kMax3 = 5, kSep5 = 11;

Graph graph_of(const Code& code, int stride) {
  const int blocks = static_cast<int>(code.size()) / 5;
  cell::validate(code.data(), blocks);
  return clean(cell::to_graph(code.data(), blocks, cell::unused(code.data(), blocks), stride));
}

Code random_code(int blocks, std::uint64_t seed) {
  Code code;
  for (int b = 0; b < blocks; ++b) {
    for (const std::uint32_t size : {2u + b, 2u + b, 13u, 13u, 4u}) {
      code.push_back(static_cast<std::int16_t>(Draw(seed, 0, code.size()).below(size)));
    }
  }
  return code;
}

void codes() {
  const Code code = {0, 1, kSep5, kMax3, 0, 2, 0, kId, kId, 1};
  CHECK(cell::unused(code.data(), 2) == std::vector<int>{3});
  CHECK_THROWS(std::invalid_argument, cell::to_graph(code.data(), 2, {}, 1));
  CHECK_THROWS(std::invalid_argument, cell::to_graph(code.data(), 2, {4}, 1));
  CHECK_THROWS(std::invalid_argument, cell::to_graph(code.data(), 2, {3, 3}, 1));
  const auto complaint = [](const Code& bad) {
    return complaint_of([&] { cell::validate(bad.data(), static_cast<int>(bad.size()) / 5); });
  };
  CHECK_EQ(complaint(code), std::string());
  CHECK_EQ(complaint({0, 1, 0, 0, 0, 0, 3, 0, 0, 0}),
           std::string("block 2: state2=3 must be 0 to 2"));
  CHECK_EQ(complaint({0, 1, -1, 0, 0}), std::string("block 1: op1=-1 must be 0 to 12"));
  CHECK_EQ(complaint({}), std::string("a cell has 1 to 12 blocks, not 0"));
}

void graphs() {
  const Code code = {0, 1, kSep5, kId, 0};
  const Graph normal = graph_of(code, 1), reduction = graph_of(code, 2);
  validate(normal);
  validate(reduction);
  CHECK_EQ(layers(normal), 2);     // the identity is none
  CHECK_EQ(layers(reduction), 3);  // at stride 2 it is a projection
  const Code turned = {1, 0, kSep5, kId, 0};
  CHECK(!(hash(normal) == hash(graph_of(turned, 1))));
}

void networks() {
  const Graph normal = graph_of({0, 1, kPair3, kId, 1}, 1);
  const Graph reduction = graph_of({0, 1, kMax3, kId, 0}, 2);
  const CellStack stack{1, 4, 4, 1, 0, 1, false};
  const Net net = expand(normal, reduction, stack, {3, 7, 8}, 10);
  const Op expected[] = {Op::kInput,  Op::kStem,                                  //
                         Op::kConv,   Op::kConv, Op::kConv,       Op::kDropPath,  // 1x3, 3x1
                         Op::kConcat, Op::kConv,                                  // projected
                         Op::kConv,   Op::kConv, Op::kMaxPool,    Op::kDropPath,
                         Op::kConv,   Op::kAdd,  Op::kConv,       Op::kFactorizedReduce,
                         Op::kConv,   Op::kConv, Op::kDropPath,   Op::kConcat,
                         Op::kConv,   Op::kRelu, Op::kGlobalPool, Op::kLinear};
  CHECK_EQ(net.rows.size(), std::size(expected));
  for (std::size_t i = 0; i < net.rows.size(); ++i) CHECK(net.rows[i].op == expected[i]);
  CHECK(net.rows[3].kernel == 1 && net.rows[3].kernel_width == 3);
  CHECK(net.rows[4].kernel == 3 && net.rows[4].kernel_width == 1);
  const Shape last = net.rows[net.rows.size() - 3].out;
  CHECK(last.channels == 8 && last.height == 4 && last.width == 4);
  CHECK_THROWS(std::invalid_argument, expand(Graph{}, reduction, stack, {3, 7, 8}, 10));
  CHECK_THROWS(std::domain_error,
               expand(normal, reduction, {1, kMaxExtent, 4, 1, 0, 1, false}, {3, 7, 8}, 10));
}

// Random cells of every size expand, keep their inputs before them, and cost something.
void random_cells() {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const int blocks = 1 + static_cast<int>(seed % cell::kMaxBlocks);
    const Graph normal = graph_of(random_code(blocks, seed), 1);
    const Graph reduction = graph_of(random_code(blocks, seed + 1000), 2);
    validate(normal);
    validate(reduction);
    const CellStack stack{
        1 + static_cast<int>(seed % 3), 8, 5, 1, static_cast<int>(seed % 3), 2, seed % 2 == 0};
    const Net net = expand(normal, reduction, stack, {1, 9, 16}, 3);
    for (std::size_t i = 1; i < net.rows.size(); ++i) {
      const NetRow& row = net.rows[i];
      CHECK(row.inputs > 0);
      for (int k = 0; k < row.inputs; ++k) {
        const std::int32_t input = net.inputs[row.first_input + k];
        CHECK(input >= 0 && input < static_cast<int>(i));
      }
    }
    const NetCost total = cost(net);
    CHECK(total.params > 0 && total.macs > 0 && total.peak_bytes > 0);
  }
}

}  // namespace

int main() {
  codes();
  graphs();
  networks();
  random_cells();
}
