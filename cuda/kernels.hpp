// Launchers: device pointers, sizes and a stream in, a status out. They neither allocate nor wait,
// so that a graph can capture them, and work on the current device, which must be the stream's.
// Sizes over a launch's limits give an error and launch nothing.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "nascore/kernels/masked_sum.hpp"
#include "nascore/program.hpp"

namespace nascore::cuda {

// How many devices there are; 0 where there is no driver or none that this build's runtime knows.
int device_count();

// The draws of nascore/masks.hpp, bit for bit: row i is a function of (seed, stream, counter + i)
// and its weights [rows, n], each 0 to kMaskOne, n at most kMaxMask. What has no valid draw sets
// `invalid` to 1, and else it stays as it is: a weight above kMaskOne, which counts as kMaskOne,
// and a row without anything legal, of which -1 is drawn.
struct RandomRows {
  std::int64_t rows;
  int n;
  std::uint64_t seed;
  std::uint32_t stream;
  std::uint64_t counter;
};

// drawn [rows, k]
cudaError_t draw_k(const std::uint32_t* weights, RandomRows shape, int k, std::int32_t* drawn,
                   std::int32_t* invalid, cudaStream_t stream);

// mask [rows, n]
cudaError_t draw_bernoulli(const std::uint32_t* weights, RandomRows shape, bool* mask,
                           std::int32_t* invalid, cudaStream_t stream);

// legal [rows, n], drawn [rows]
cudaError_t draw_categorical(const std::uint32_t* weights, const bool* legal, RandomRows shape,
                             std::int32_t* drawn, std::int32_t* invalid, cudaStream_t stream);

using kernels::MaskedShape;

// out [samples, size] = sum_j mask[:, j] inputs[j]; float, __half and __nv_bfloat16, with float32
// sums. `inputs` is an array of the host. What has a mask of 0 is not read. Above 32 inputs the sum
// is rounded to T after each 32.
template <class T>
cudaError_t masked_sum(const T* const* inputs, const T* mask, MaskedShape shape, T* out,
                       cudaStream_t stream);

// How many floats of workspace the backward pass wants.
template <class T>
std::size_t masked_sum_workspace(MaskedShape shape);

// of_inputs[j] = mask[:, j] grad, null where it is not wanted; of_mask [samples, inputs] =
// <grad, inputs[j]>, whether j was active or not, as float32. The same bits in every run. `mask`
// may be null where no of_inputs is wanted.
template <class T>
cudaError_t masked_sum_backward(const T* grad, const T* const* inputs, const T* mask,
                                MaskedShape shape, T* const* of_inputs, float* of_mask,
                                float* workspace, cudaStream_t stream);

// Convolutions of x [samples, height, width, in_channels] to y [samples, out_height, out_width,
// out_channels], float, __half and __nv_bfloat16 with float32 weights and sums. A pixel's channels
// are in_stride and out_stride elements from the next pixel's, so that a concatenation is written
// in place. What the window meets outside of the image is 0; a negative pad shifts it inwards.
struct ConvShape {
  int samples = 0;
  int in_channels = 0, in_stride = 0, height = 0, width = 0;
  int out_channels = 0, out_stride = 0, out_height = 0, out_width = 0;
  int kernel_h = 1, kernel_w = 1, stride = 1, dilation = 1, pad_top = 0, pad_left = 0;
  bool relu = false;        // of x
  bool relu_after = false;  // of what is written
  bool accumulate = false;  // into y
};

// y (+)= bias + conv(x); weights [kernel_h, kernel_w, in_channels, out_channels], bias
// [out_channels] or null.
template <class T>
cudaError_t conv(const T* x, const float* weights, const float* bias, const ConvShape& shape, T* y,
                 cudaStream_t stream);

// y (+)= bias + pointwise(depthwise(x)); depthwise [kernel_h, kernel_w, in_channels], pointwise
// [in_channels, out_channels].
template <class T>
cudaError_t sep_conv(const T* x, const float* depthwise, const float* pointwise, const float* bias,
                     const ConvShape& shape, T* y, cudaStream_t stream);

// Bytes of shared memory that a block takes. A launch fails where that is more than the device's
// cudaDevAttrMaxSharedMemoryPerBlockOptin. A tile's depthwise results take 256 for each channel, so
// that an A100 has room for 500 channels in any window, and an H100 for 750.
std::size_t conv_shared(const ConvShape& shape);
std::size_t sep_conv_shared(const ConvShape& shape);

// Separable convolution and batch norm in training: raw and y [samples, out_height, out_width,
// out_channels] before and after the norm, and the mean and biased variance [out_channels] by which
// it goes, those of raw as it was rounded to T. Of `shape`, images are dense, and there is at least
// one. The workspace is aligned to 16 bytes. The same bits in every run.
struct Norm {
  const float* scale;  // [out_channels]
  const float* shift;
  float epsilon;
};
template <class T>
cudaError_t sep_conv_norm(const T* x, const float* depthwise, const float* pointwise,
                          const Norm& norm, const ConvShape& shape, T* raw, T* y, float* mean,
                          float* variance, float* workspace, cudaStream_t stream);

// In floats.
std::size_t sep_conv_norm_workspace(const ConvShape& shape);

// The gradients by `grad`, that of y. Other than in the forward pass pointwise is [out_channels,
// in_channels], as its gradient is; that of depthwise is [in_channels, kernel_h, kernel_w].
template <class T>
struct SepConvGradients {
  T* x;
  float *depthwise, *pointwise, *scale, *shift;
};
template <class T>
cudaError_t sep_conv_norm_backward(const T* grad, const T* x, const T* raw, const float* mean,
                                   const float* variance, const float* depthwise,
                                   const float* pointwise, const Norm& norm, const ConvShape& shape,
                                   const SepConvGradients<T>& of, float* workspace,
                                   cudaStream_t stream);
template <class T>
std::size_t sep_conv_norm_backward_workspace(const ConvShape& shape);

// Bytes of shared memory that blocks of the backward pass take, by its three kernels: through norm
// and pointwise convolution, to the pointwise and to the depthwise weights. The first wants 272 for
// each output channel, as sep_conv wants 256 for each input channel.
struct BackwardShared {
  std::size_t through, pointwise, depthwise;
};
BackwardShared sep_conv_norm_backward_shared(const ConvShape& shape);

// A whole program (nascore/program.hpp) in one launch. Of the device are `on_device`, which holds
// the same instructions as `program` of the host, the packed weights, a multiple of 16 bytes, and
// images [samples, height, width, channels]: float, __half and __nv_bfloat16 with float32 weights
// and sums. What one instruction hands to the next is rounded to T.
constexpr int kMaxImages = 16;  // inputs or outputs
template <class T>
struct CellRun {
  const Instruction* on_device = nullptr;
  int count = 0;  // instructions
  const float* weights = nullptr;
  std::size_t samples = 0;
  const T* inputs[kMaxImages] = {};
  T* outputs[kMaxImages] = {};
};

// Of a program that `validate` accepts, the weights of each instruction at a multiple of 16 bytes.
// cudaErrorNotSupported where it has a kBatchNorm: blocks would have to wait for each other. A
// block has shared memory for a separable convolution of some 40,000 channels, twice as many of 16
// bits, and a norm of 6,900 on an A100; a launch fails above.
template <class T>
cudaError_t cell(const Instruction* program, const CellRun<T>& run, T* workspace,
                 std::size_t elements, cudaStream_t stream);

// How many elements of workspace it wants on the current device: 0 where a block's buffers are in
// shared memory.
template <class T>
cudaError_t cell_workspace(const Instruction* program, int count, std::size_t samples,
                           std::size_t* elements);

// Bytes of shared memory of a block, on a device that allows it `most`.
template <class T>
std::size_t cell_shared(const Instruction* program, int count, std::size_t most);

}  // namespace nascore::cuda
