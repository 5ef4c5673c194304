// One sample of a separable convolution's gradients, compiled once per instruction set.
#pragma once

#include "nascore/program.hpp"

namespace nascore::kernels {

// `at` is the instruction of the forward pass, of one sample of `x` and `raw`, and of `grad`.
struct SeparableSample {
  const Instruction* at;
  const float *x, *raw, *grad;
};

// What one sample needs and adds to. Channels are padded.
struct SeparableWork {
  const float* depthwise;   // [taps, channels]
  const float* flipped;     // the same from its last tap to its first
  const float* transposed;  // packed: from output channels to channels
  const float* norm;        // [3, output channels]: the gradient of `raw` by grad, raw and 1
  float* of_x;              // of the sample, as x
  float* of_depthwise;      // [taps, channels], added to
  float* of_pointwise;      // [channels, output channels], added to
  float* scratch;           // of `separable_scratch` floats
};

std::int64_t separable_scratch(const Instruction& at);

struct SeparableStages {
  // Adds the sums over the sample of grad, and of grad times raw, to [2, out_channels].
  void (*sums)(const SeparableSample& sample, double* sums);
  void (*backward)(const SeparableSample& sample, const SeparableWork& work);
};

// Those of this processor.
const SeparableStages& separable_stages();

namespace baseline {
SeparableStages separable_stages();
}
namespace avx2 {
SeparableStages separable_stages();
}
namespace avx512 {
SeparableStages separable_stages();
}

}  // namespace nascore::kernels
