#include "nascore/cell.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace nascore::cell {
namespace {

constexpr const char* kFields[] = {"state1", "state2", "op1", "op2", "combine"};

int states(int blocks) { return 2 + blocks; }

void require_outputs(const std::vector<int>& outputs, int blocks) {
  if (outputs.empty()) throw std::invalid_argument("a cell needs an output at least");
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::string output = "output " + std::to_string(outputs[i]);
    if (outputs[i] < 0 || outputs[i] >= states(blocks)) {
      throw std::invalid_argument(output + " must be 0 to " + std::to_string(states(blocks) - 1));
    }
    if (i > 0 && outputs[i] <= outputs[i - 1]) {
      throw std::invalid_argument(output + " must be above the one before it, " +
                                  std::to_string(outputs[i - 1]));
    }
  }
}

}  // namespace

void validate(const std::int16_t* code, int blocks) {
  if (blocks < 1 || blocks > kMaxBlocks) {
    throw std::invalid_argument("a cell has 1 to " + std::to_string(kMaxBlocks) + " blocks, not " +
                                std::to_string(blocks));
  }
  for (int b = 0; b < blocks; ++b) {
    const int sizes[] = {states(b), states(b), static_cast<int>(kChoices.size()),
                         static_cast<int>(kChoices.size()), static_cast<int>(kCombines.size())};
    for (int field = 0; field < 5; ++field) {
      const int value = code[5 * b + field];
      if (value >= 0 && value < sizes[field]) continue;
      throw std::invalid_argument("block " + std::to_string(b + 1) + ": " + kFields[field] + "=" +
                                  std::to_string(value) + " must be 0 to " +
                                  std::to_string(sizes[field] - 1));
    }
  }
}

std::vector<int> unused(const std::int16_t* code, int blocks) {
  std::array<bool, 2 + kMaxBlocks> read{};
  for (int b = 0; b < blocks; ++b) read[code[5 * b]] = read[code[5 * b + 1]] = true;
  std::vector<int> out;
  for (int state = 2; state < states(blocks); ++state) {
    if (!read[state]) out.push_back(state);
  }
  return out;
}

Graph to_graph(const std::int16_t* code, int blocks, const std::vector<int>& outputs, int stride) {
  require_outputs(outputs, blocks);
  Graph graph;
  std::array<int, 2 + kMaxBlocks> node_of;  // of a state
  node_of[0] = graph.add_node({Op::kInput, 0});
  node_of[1] = graph.add_node({Op::kInput, 1});
  for (int b = 0; b < blocks; ++b, code += 5) {
    const bool concat = code[4] == 1;
    int results[2];
    for (int side = 0; side < 2; ++side) {
      Node node = kChoices[code[2 + side]].node;
      if (code[side] < 2) node.stride = static_cast<std::uint8_t>(stride);
      results[side] = graph.add_node(node);
      graph.add_edge(node_of[code[side]], results[side]);
    }
    int& state = node_of[2 + b];
    state = graph.add_node({concat ? Op::kConcat : Op::kAdd});
    for (const int result : results) graph.add_edge(result, state);
    if (code[4] > 1) {
      const int norm = graph.add_node({code[4] == 2 ? Op::kLayerNorm : Op::kInstanceNorm});
      graph.add_edge(state, norm);
      state = norm;
    }
  }
  const int output = graph.add_node({Op::kOutput});
  for (const int state : outputs) graph.add_edge(node_of[state], output);
  return graph;
}

}  // namespace nascore::cell
