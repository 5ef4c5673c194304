// A whole network as rows in the order in which they run: what builder, cost, hypernetwork,
// kernels, drawing and export read.
#pragma once

#include <cstdint>
#include <vector>

#include "nascore/graph.hpp"

namespace nascore {

struct Shape {
  std::int64_t channels, height, width;
};

// The fixed outside of a network: stem, then per group `blocks` copies of the block at
// `widths[group]` channels with a 2x2 max pooling between groups, then ReLU, global average
// pooling and a linear classifier.
struct Skeleton {
  std::int64_t stem_width = 32;
  int stem_stride = 1;
  bool stem_pool = false;  // 3x3 max pooling at stride 2 after the stem (ImageNet form)
  int blocks = 1;
  std::vector<std::int64_t> widths;
};

struct NetRow {
  Op op;
  std::int32_t kernel, stride, dilation, groups;
  Shape out;
  std::int32_t first_input, inputs;  // a slice of Net::inputs
};

struct Net {
  std::vector<NetRow> rows;          // row 0 is the input image, the last row the logits
  std::vector<std::int32_t> inputs;  // indices of earlier rows
};

struct NetCost {
  std::int64_t params;      // trainable parameters
  std::int64_t macs;        // multiply-adds of convolutions and linear layers, batch 1
  std::int64_t peak_bytes;  // float32 activations alive at once, batch 1, inference, freed after their last reader
};

// Channels: a convolution gives the group's width; where the inputs of an add differ, each that
// has not the group's width goes through a 1x1 PCC to it; concat and the block's output sum.
// Throws domain_error once a row is wider than kMaxChannels: concats can double at every step.
inline constexpr std::int64_t kMaxChannels = std::int64_t{1} << 20;
Net expand(const Graph& graph, const Skeleton& skeleton, Shape input, int classes);

NetCost cost(const Net& net);

}  // namespace nascore
