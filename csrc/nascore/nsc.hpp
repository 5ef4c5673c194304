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

enum class Rule : std::uint8_t {
  kNone,
  kIndex,
  kType,
  kKernel,
  kPred1,
  kPred2,
  kPred2Unused,
  kSamePreds,
  kTerminal,
  kAfterEnd,
  kTooLong
};

// What is wrong with a code: the first bad row (1-based) and the rule it broke; row 0: nothing.
struct Problem {
  int row = 0;
  Rule rule = Rule::kNone;
};

// `rows` holds `slots` rows; an all-zero row is padding and may only be followed by padding. A
// terminal row is optional, and then the last one. A code without layers is valid.
Problem validate(const std::int16_t* rows, int slots);
std::string message(const std::int16_t* rows, Problem problem);  // "row 4: pred1=6 must be ..."

int layers(const std::int16_t* rows, int slots);  // of a valid code, the terminal row not counted

// Of a valid code: node 0 the input, node i the layer i, the last node the output, which reads the
// layers that nobody else reads (the input, where there are no layers). Not cleaned.
Graph to_graph(const std::int16_t* rows, int slots);

// The list form, "[(1,4,0,0,0),(2,7,0,0,0)]", with either kind of bracket and any spaces. `parse`
// checks the syntax alone and throws invalid_argument naming the position.
std::vector<Row> parse(std::string_view text);
std::string print(const std::int16_t* rows, int slots);

}  // namespace nascore::nsc
