// A whole network as rows in the order in which they run: what builder, cost, hypernetwork,
// kernels, drawing and export read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nascore/graph.hpp"

namespace nascore {

struct Shape {
  std::int64_t channels, height, width;
};

std::string text(Shape shape);  // such as 3x32x32

// The fixed outside of a network: stem, then per group `blocks` copies of the block at
// `widths[group]` channels with a 2x2 max pooling between groups, then ReLU, global average
// pooling and a linear classifier.
struct Skeleton {
  std::int64_t stem_width;
  int stem_stride;
  bool stem_pool;  // 3x3 max pooling at stride 2 after the stem (ImageNet form)
  int blocks;
  std::vector<std::int64_t> widths;
  bool depthwise = false;  // convolutions of a block that are larger than 1x1 are kSepConv
};

struct NetRow {
  Op op;
  std::int32_t kernel, kernel_width;  // height and width of the kernel
  std::int32_t stride, dilation, groups;
  Shape out;
  std::int32_t first_input, inputs;  // a slice of Net::inputs
};

struct Net {
  std::vector<NetRow> rows;          // row 0 is the input image, the last row the logits;
                                     // one that nobody else reads is an auxiliary head's
  std::vector<std::int32_t> inputs;  // indices of earlier rows
  std::vector<std::int32_t> seams;   // rows that end one repeated block and begin the next
  std::vector<std::int32_t> exits;   // rows of logits that answer before the last row does, by
                                     // rising multiply-adds of what leads to each
  bool signal = false;  // of signals (C, L), not images: all heights are 1, kernels 1 x k
};

// Of the rows that lead to the logits, those of exits too: an auxiliary head, which only training
// runs, costs nothing.
struct NetCost {
  std::int64_t params;      // trainable parameters
  std::int64_t macs;        // multiply-adds of convolutions and linear layers, batch 1
  std::int64_t peak_bytes;  // float32 activations alive at once, batch 1, inference: a row's output
                            // lives from its own run to that of its last reader
};

inline constexpr int kMaxBlocks = 1024;  // of a network, in all its groups
inline constexpr std::int64_t kMaxExtent = std::int64_t{1}
                                           << 20;  // channels, height or width of a row
inline constexpr std::int64_t kMaxWindow = 1024;   // kernel, stride or dilation of a row

// Throws invalid_argument naming the field, its value and what it may be.
void validate(const Skeleton& skeleton);

// Channels: a convolution gives the group's width; where the inputs of an add differ, each that
// has not the group's width goes through a 1x1 PCC to it; those of a concat add up. The graph is
// taken as it is: clean it first. An output that one edge feeds has no row of its own.
// Throws domain_error once a row is larger than kMaxExtent, since concats can double the width at
// every step; invalid_argument where the graph is no block or a row leaves no pixels.
Net expand(const Graph& graph, const Skeleton& skeleton, Shape input, int classes);

// What every expansion begins with and is made of.
void validate(Shape input, int classes);
void require(bool holds, const char* field, std::int64_t value, const std::string& rule);
void require_extent(const char* field, std::int64_t value);

// What a row does to its inputs, the shapes aside.
struct Step {
  Op op;
  int kernel = 0, kernel_width = 0, stride = 1, dilation = 1;
};

constexpr Step square(Op op, int kernel, int stride = 1, int dilation = 1) {
  return {op, kernel, kernel, stride, dilation};
}

// What a convolution or pooling makes of height and width, 0 where no pixel is left: odd kernels
// are padded by half, even ones not at all.
Shape windowed(Shape in, const Step& step, std::int64_t channels);

// Whether what slides over the image never goes beyond it, whatever its size.
bool never_pads(Op op);

// Adds a row and returns its number; throws domain_error where it is larger than kMaxExtent.
int append(Net& net, const Step& step, Shape out, const std::int32_t* inputs, int count);

// Whether a net that somebody else wrote can be built: throws invalid_argument naming the row that
// has no such inputs, arguments or shape, and what it should have. Arguments pass none of
// kMaxExtent and kMaxWindow, so that costs stay within 64 bits.
void validate(const Net& net);

// The same, of a net whose shapes are first made what its inputs make them, but for row 0 and the
// channels of what gives channels. Where groups no longer divide these, they become the largest
// common divisor; a depthwise convolution stays one.
void repair(Net& net);

// Makes a net of images C x L x L the same net of signals of length L: kernels keep their width.
void flatten_to_signal(Net& net);

// Throws domain_error where a sum passes 64 bits.
NetCost cost(const Net& net);

// Makes these rows of a valid net its exits. Throws invalid_argument where one of them is not one
// of logits that nobody reads, or is there twice.
void set_exits(Net& net, std::vector<std::int32_t> rows);

// Multiply-adds until each exit has answered, then until the last row has: those of all that leads
// to it or to an exit that costs no more alone.
std::vector<std::int64_t> exit_macs(const Net& net);

}  // namespace nascore
