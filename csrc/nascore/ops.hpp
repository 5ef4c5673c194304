// The one table of operations. A later system adds a row here, a case in net.cpp's shapes, and a
// module in networks/modules.py.
#pragma once

#include <array>
#include <cstdint>

namespace nascore {

// 1..7 are the types of the Network Structure Code (BlockQNN), so a code's type is an Op.
enum class Op : std::uint8_t {
  kInput = 0,
  kConv = 1,  // PCC, the pre-activation convolution cell: ReLU, k x k convolution, batch norm
  kMaxPool = 2,
  kAvgPool = 3,
  kIdentity = 4,
  kAdd = 5,
  kConcat = 6,
  kTerminal = 7,  // ends a code; never a node of a graph
  kOutput = 8,    // a block's output: the concatenation of what is wired to it
  kStem = 9,      // convolution, batch norm
  kRelu = 10,
  kGlobalPool = 11,  // average over height and width
  kLinear = 12,
  kConvRelu = 13,      // convolution with a bias, then ReLU
  kMaxPoolValid = 14,  // max pooling that never pads
  kFlatten = 15,
  kDropout = 16,  // drops each number with probability kernel / stride
  // NASNet's cells
  kSepConv = 17,  // ReLU, depthwise convolution, 1x1 convolution, batch norm; as a node two of them
  kConvPair = 18,          // a node only: a 1 x k and a k x 1 kConv
  kFactorizedReduce = 19,  // ReLU, two 1x1 convolutions at stride 2, each half of the channels and
                           // the second a pixel on, concatenated, batch norm
  kLayerNorm = 20,         // over channels, height and width; a scale and a shift per channel
  kInstanceNorm = 21,      // over height and width; a scale and a shift per channel
  kDropPath = 22,      // drops whole samples in training; the cell is the kernel-th of stride many
  kAvgPoolValid = 23,  // average pooling that never pads
  kConvValid = 24,     // convolution that never pads, batch norm, ReLU
  kConvBias = 25,      // convolution with a bias, and nothing else
  kBatchNorm = 26,
  kPad = 27,  // zeros around, as many on either side, or one more below and to the right
  // Single layers, of networks that others wrote
  kConvPlain = 28,       // convolution without a bias, and nothing else
  kConvPlainValid = 29,  // the same, never padded
  kConvBiasValid = 30,   // convolution with a bias that never pads, and nothing else
  kUpsample = 31,        // the nearest pixel, to a larger height and width
};

enum class Cost : std::uint8_t {
  kFree,
  kConvBatchNorm,
  kConvBias,
  kConvPlain,
  kLinear,
  kSeparable,
  kNorm
};

struct OpInfo {
  Op op;
  const char* name;                         // the name in Python, in drawings and in documents
  std::array<std::uint8_t, 3> nsc_kernels;  // kernels a code may ask for; 0 ends the list
  std::uint8_t nsc_inputs;  // predecessors a code row must name; 0: not a layer of a code
  Cost cost;
};

inline constexpr std::array<OpInfo, 32> kOps = {{
    {Op::kInput, "input", {}, 0, Cost::kFree},
    {Op::kConv, "conv", {1, 3, 5}, 1, Cost::kConvBatchNorm},
    {Op::kMaxPool, "max_pool", {1, 3}, 1, Cost::kFree},
    {Op::kAvgPool, "avg_pool", {1, 3}, 1, Cost::kFree},
    {Op::kIdentity, "identity", {}, 1, Cost::kFree},
    {Op::kAdd, "add", {}, 2, Cost::kFree},
    {Op::kConcat, "concat", {}, 2, Cost::kFree},
    {Op::kTerminal, "terminal", {}, 0, Cost::kFree},
    {Op::kOutput, "output", {}, 0, Cost::kFree},
    {Op::kStem, "stem", {}, 0, Cost::kConvBatchNorm},
    {Op::kRelu, "relu", {}, 0, Cost::kFree},
    {Op::kGlobalPool, "global_pool", {}, 0, Cost::kFree},
    {Op::kLinear, "linear", {}, 0, Cost::kLinear},
    {Op::kConvRelu, "conv_relu", {}, 0, Cost::kConvBias},
    {Op::kMaxPoolValid, "max_pool_valid", {}, 0, Cost::kFree},
    {Op::kFlatten, "flatten", {}, 0, Cost::kFree},
    {Op::kDropout, "dropout", {}, 0, Cost::kFree},
    {Op::kSepConv, "sep_conv", {}, 0, Cost::kSeparable},
    {Op::kConvPair, "conv_pair", {}, 0, Cost::kFree},
    {Op::kFactorizedReduce, "factorized_reduce", {}, 0, Cost::kConvBatchNorm},
    {Op::kLayerNorm, "layer_norm", {}, 0, Cost::kNorm},
    {Op::kInstanceNorm, "instance_norm", {}, 0, Cost::kNorm},
    {Op::kDropPath, "drop_path", {}, 0, Cost::kFree},
    {Op::kAvgPoolValid, "avg_pool_valid", {}, 0, Cost::kFree},
    {Op::kConvValid, "conv_valid", {}, 0, Cost::kConvBatchNorm},
    {Op::kConvBias, "conv_bias", {}, 0, Cost::kConvBias},
    {Op::kBatchNorm, "batch_norm", {}, 0, Cost::kNorm},
    {Op::kPad, "pad", {}, 0, Cost::kFree},
    {Op::kConvPlain, "conv_plain", {}, 0, Cost::kConvPlain},
    {Op::kConvPlainValid, "conv_plain_valid", {}, 0, Cost::kConvPlain},
    {Op::kConvBiasValid, "conv_bias_valid", {}, 0, Cost::kConvBias},
    {Op::kUpsample, "upsample", {}, 0, Cost::kFree},
}};

constexpr const OpInfo& info(Op op) { return kOps[static_cast<std::size_t>(op)]; }

}  // namespace nascore
