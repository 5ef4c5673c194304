// Separable convolution: a block takes an 8 x 8 tile of outputs. The depthwise results of all
// channels stay in shared memory, and the pointwise convolution reads them there.
#include "depthwise.cuh"

namespace nascore::cuda {
namespace {

template <class T, int kOuts>
__global__ void __launch_bounds__(kTileThreads, 4)
    sep_conv_kernel(const T* x, const float* depthwise, const float* pointwise, const float* bias,
                    Conv shape, Parts parts, T* y) {
  NASCORE_DYNAMIC_SHARED(float4, shared);
  float* const input = reinterpret_cast<float*>(shared);
  float* const taps = input + parts.taps;
  float* const mixed = input + parts.mixed;
  const Tile tile = find_tile(shape);

  for (int first = 0; first < shape.in_channels; first += parts.chunk) {
    mix_chunk(x, depthwise, shape, tile, first, parts.chunk, input, taps, parts.apart,
              mixed + first);
    __syncthreads();
  }

  for (int out = 0; out < shape.out_channels; out += kOuts) {
    Product<kOuts> sums;
    sums.add_tile(mixed, parts.apart, shape.in_channels, pointwise, out, shape, input);
    sums.write(bias, shape, tile, out, y);
  }
}

}  // namespace

std::size_t sep_conv_shared(const ConvShape& shape) {
  return static_cast<std::size_t>(parts_of(shape).floats) * sizeof(float);
}

template <class T>
cudaError_t sep_conv(const T* x, const float* depthwise, const float* pointwise, const float* bias,
                     const ConvShape& shape, T* y, cudaStream_t stream) {
  const ConvLaunch launch = prepare(x, pointwise, shape, y);
  if (launch.status != cudaSuccess || launch.blocks == 0) return launch.status;
  const Parts parts = parts_of(shape);
  const std::size_t bytes = sep_conv_shared(shape);
  const auto kernel = outs_of(shape) == 64 ? sep_conv_kernel<T, 64> : sep_conv_kernel<T, 32>;
  const cudaError_t status = allow_shared(kernel, bytes);
  if (status != cudaSuccess) return status;
  NASCORE_LAUNCH(kernel, launch.blocks, kTileThreads, bytes, stream, x, depthwise, pointwise, bias,
                 launch.conv, parts, y);
  return cudaGetLastError();
}

template cudaError_t sep_conv(const float*, const float*, const float*, const float*,
                              const ConvShape&, float*, cudaStream_t);
template cudaError_t sep_conv(const __half*, const float*, const float*, const float*,
                              const ConvShape&, __half*, cudaStream_t);
template cudaError_t sep_conv(const __nv_bfloat16*, const float*, const float*, const float*,
                              const ConvShape&, __nv_bfloat16*, cudaStream_t);

}  // namespace nascore::cuda
