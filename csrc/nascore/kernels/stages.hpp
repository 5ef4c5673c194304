// The inner loops of a program's instructions: convolutions.cpp and pixels.cpp, compiled once per
// instruction set.
#pragma once

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

// Rows of the output that are computed together, at most `most`, and the room that they need.
int band_of(const Instruction& instruction, int most);
std::int64_t scratch_of(const Instruction& instruction, int rows);

namespace baseline {
Stages stages();
}
namespace avx2 {
Stages stages();
}

}  // namespace nascore::kernels
