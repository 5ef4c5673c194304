// ReLU, depthwise and pointwise convolution, batch norm: forward and backward in training, float32
// images [samples, height, width, channels]. The same bits for any number of threads.
#pragma once

#include <cstdint>

#include "nascore/program.hpp"

namespace nascore::kernels {

// Of one odd kernel, stride and dilation; "same" padding.
struct Separable {
  std::int64_t samples;
  std::int32_t channels, height, width, out_channels, kernel, stride, dilation;

  std::int32_t out_height() const { return (height - 1) / stride + 1; }
  std::int32_t out_width() const { return (width - 1) / stride + 1; }
};

struct SeparableWeights {
  const float* depthwise;  // [channels, kernel, kernel]
  const float* pointwise;  // [out_channels, channels]
  const float* scale;      // [out_channels], of the norm
  const float* shift;
};

// `raw` is before the norm, `out` after it; `mean` and `variance` [out_channels] are over the
// batch, the variance the biased one, gathered as `raw` is computed.
void separable_forward(const Separable& shape, const SeparableWeights& weights, float epsilon,
                       const float* x, float* raw, float* out, float* mean, float* variance);

// Gradients of all of the above by `grad`, that of `out`.
struct SeparableGradients {
  float *x, *depthwise, *pointwise, *scale, *shift;
};
void separable_backward(const Separable& shape, const SeparableWeights& weights, float epsilon,
                        const float* grad, const float* x, const float* raw, const float* mean,
                        const float* variance, const SeparableGradients& of);

}  // namespace nascore::kernels
