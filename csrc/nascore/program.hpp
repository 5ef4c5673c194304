// A network as data: a flat list of instructions over reused buffers, which the kernels run.
// Images lie as [height, width, channels]; a concat is written in place, at each part's first
// channel; what is summed is added where it is computed.
#pragma once

#include <cstdint>
#include <vector>

#include "nascore/net.hpp"

namespace nascore {

enum class Kernel : std::int32_t {
  kConv,        // weights: see kernels/packing.hpp
  kSepConv,     // depthwise, then 1 x 1 convolution
  kMaxPool,     // over the pixels inside the image
  kAvgPool,     // the same
  kCopy,        // the nearest pixel; times a weight per channel plus another where there are any
  kPad,         // zeros around
  kFlatten,     // all pixels as channels of one, in torch's order: by channel, height, width
  kGlobalPool,  // the average of all pixels
  kNorm,        // over the pixels of a sample, of each channel or of all; a scale and a shift
  kBatchNorm,   // over the pixels of all samples; a scale and a shift per channel
};
inline constexpr int kKernels = 10;
inline constexpr int kMostTaps = 1024;   // height times width of a dilated kernel
static_assert(kMostTaps >= kMaxWindow);  // others are read a row at a time

// All of one size, so that a program is an array. A buffer holds pixels of `stride` floats, of
// which an instruction reads or writes those from `channel` on.
struct Instruction {
  Kernel kernel;
  std::int32_t input;  // of the program, to be read; -1: the buffer at `from`
  std::int32_t from, from_channel, from_stride, in_channels, in_height, in_width;
  std::int32_t output;  // of the program, to be written; -1: the buffer at `to`
  std::int32_t to, to_channel, to_stride, out_channels, out_height, out_width;
  std::int32_t kernel_height, kernel_width, stride, dilation, pad_top, pad_left;
  std::int32_t relu;        // of what is read
  std::int32_t relu_after;  // of what is written
  std::int32_t accumulate;  // adds to what is there
  std::int32_t together;    // kNorm: all channels
  std::int32_t weights;     // offset in floats; -1: none
};
inline constexpr int kColumns = sizeof(Instruction) / sizeof(std::int32_t);

// Whose weights an instruction has: those of a row of the net, of its channels from `channel` on.
struct Slot {
  std::int32_t instruction, row, channel;
};

struct Program {
  std::vector<Instruction> instructions;
  std::vector<Slot> slots;
  std::int64_t weights = 0;  // floats
  std::vector<Shape> inputs, outputs;
};

// What computes the rows `outputs` of a valid net from the rows `inputs`. With `batch_statistics`
// batch norms go by the batch; otherwise they are part of the weights. Throws invalid_argument
// where an output needs a row before the inputs, domain_error where a size passes int32.
Program compile(const Net& net, const std::vector<std::int32_t>& inputs,
                const std::vector<std::int32_t>& outputs, bool batch_statistics);

// Floats of an instruction's weights.
std::int64_t weights_of(const Instruction& instruction);

// Floats of the buffers of one sample.
std::int64_t buffers_of(const Instruction* instructions, int count);

// Whether instructions are ones that the kernels know and stay within these sizes: throws
// invalid_argument naming the instruction and the rule that it breaks. `inputs` and `outputs` have
// the floats of each one's sample.
void validate(const Instruction* instructions, int count, std::int64_t weights,
              const std::vector<std::int64_t>& inputs, const std::vector<std::int64_t>& outputs);

}  // namespace nascore
