// The inner loops of a program's instructions: convolutions.cpp and pixels.cpp, compiled once per
// instruction set.
#pragma once

#include <algorithm>
#include <vector>

#include "nascore/kernels/memory.hpp"
#include "nascore/kernels/packing.hpp"
#include "nascore/program.hpp"

namespace nascore::kernels {

inline constexpr float kEpsilon = 1e-5f;  // of torch's norms

// One sample of one instruction: where it is read and written, its rows [first, last) of pixels,
// and room to work in.
struct Work {
  const Instruction* instruction;
  const float* from;     // the first pixel's first channel
  float* to;             // the same
  const float* weights;  // of the instruction
  int first, last;
  float* scratch;
};

// Of kFlatten, kGlobalPool and kNorm all rows at once.
using Stage = void (*)(const Work& work);

// Sums of channels and of their squares over one sample, [2, channels] in double, added to `sums`.
using Statistics = void (*)(const Work& work, double* sums);

struct Stages {
  Stage of[kKernels];  // by Kernel; kBatchNorm: what kCopy does with weights
  Statistics statistics;
};

// Those of this processor.
const Stages& stages();

// What norms `channels` by a whole batch: scale and shift [2, padded], from the `sums` of `samples`
// that `statistics` gathered, each [2, channels], over `pixels` in all. `mean` and `variance`
// [channels] are written where they are not null, the variance the biased one.
std::vector<float> batch_norm(const double* sums, std::int64_t samples, std::int64_t channels,
                              double pixels, const float* scale, const float* shift, float epsilon,
                              float* mean = nullptr, float* variance = nullptr);

// Rows of a convolution's output that are multiplied together: enough pixels for whole tiles, few
// enough for the first cache.
inline int rows_together(const Instruction& instruction) {
  return std::max(64 / instruction.out_width, 1);
}

// Floats of their depthwise part.
inline std::int64_t middle_of(const Instruction& instruction) {
  const std::int64_t pixels = std::int64_t{rows_together(instruction)} * instruction.out_width;
  return whole_lines(pixels * padded(instruction.in_channels));
}

// Rows of the output that a call computes, at most `most`, and the room that they need.
int band_of(const Instruction& instruction, int most);
std::int64_t scratch_of(const Instruction& instruction, int rows);

namespace baseline {
Stages stages();
}
namespace avx2 {
Stages stages();
}
namespace avx512 {
Stages stages();
}

}  // namespace nascore::kernels
