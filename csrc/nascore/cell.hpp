// The code of a cell (NASNet): blocks (state1, state2, op1, op2, combine). States 0 and 1 are the
// outputs of the last cell and of the one before it, state 2 + b is the result of block b.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "nascore/graph.hpp"

namespace nascore::cell {

inline constexpr int kMaxBlocks = 12;

// What a block may do to a state, by its number in a code.
struct Choice {
  const char* name;
  Node node;
};

inline constexpr std::array<Choice, 13> kChoices = {{
    {"id", {Op::kIdentity}},
    {"pair3", {Op::kConvPair, 3}},
    {"pair7", {Op::kConvPair, 7}},
    {"dil3", {Op::kConv, 3, 1, 2}},
    {"avg3", {Op::kAvgPool, 3}},
    {"max3", {Op::kMaxPool, 3}},
    {"max5", {Op::kMaxPool, 5}},
    {"max7", {Op::kMaxPool, 7}},
    {"conv1", {Op::kConv, 1}},
    {"conv3", {Op::kConv, 3}},
    {"sep3", {Op::kSepConv, 3}},
    {"sep5", {Op::kSepConv, 5}},
    {"sep7", {Op::kSepConv, 7}},
}};

// How a block may combine its two results, by its number in a code.
inline constexpr std::array<const char*, 4> kCombines = {"add", "concat", "add_layer_norm",
                                                         "add_instance_norm"};

// `code` is `[blocks, 5]`. Throws invalid_argument naming the block and the rule that it breaks.
void validate(const std::int16_t* code, int blocks);

// The states of blocks that no block reads: what a cell gives unless told otherwise.
std::vector<int> unused(const std::int16_t* code, int blocks);

// The graph of a valid code, not cleaned: nodes 0 and 1 are the inputs, which their kernels, 0 and
// 1, tell apart; the output reads the states `outputs`. Operations on the inputs have `stride`.
// Throws invalid_argument where the outputs are not different states, at least one.
Graph to_graph(const std::int16_t* code, int blocks, const std::vector<int>& outputs, int stride);

}  // namespace nascore::cell
