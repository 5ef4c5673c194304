// The Network Structure Code of BlockQNN: a block is a list of rows (index, type, kernel, pred1,
// pred2). Rows are numbered from 1, predecessor 0 is the block's input, and a layer that nobody
// reads goes into the block's output.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nascore/graph.hpp"

namespace nascore::nsc {

using Row = std::array<std::int16_t, 5>;
inline constexpr int kMaxLayers = 32;  // the longest code the core accepts; the paper's is 23

// What is wrong with a code: the row (1-based) and the rule it broke; row 0 means nothing is.
enum class Rule : std::uint8_t {
  kNone, kIndex, kType, kKernel, kPred1, kPred2, kPred2Unused, kSamePreds, kTerminal, kAfterTerminal, kTooLong
};
struct Problem {
  int row = 0;
  Rule rule = Rule::kNone;
};

// `rows` holds `slots` rows; an all-zero row is padding and may only be followed by padding. A
// terminal row is optional, and then the last one.
Problem validate(const std::int16_t* rows, int slots);
std::string message(const std::int16_t* rows, Problem problem);  // "row 4: pred1=6 must be below its own index 4"

int layers(const std::int16_t* rows, int slots);  // of a valid code, the terminal row not counted
Graph to_graph(const std::int16_t* rows, int slots);  // of a valid code, output attached, not cleaned

std::vector<Row> parse(std::string_view text);  // "[(1,4,0,0,0),(2,7,0,0,0)]"; throws invalid_argument
std::string print(const std::int16_t* rows, int slots);

}  // namespace nascore::nsc
