// Convolution as a product over channels and taps: a block takes an 8 x 8 tile of outputs and
// 32 or 64 channels, and holds the input's tile with its border in shared memory.
#include "product.cuh"

namespace nascore::cuda {
namespace {

template <class T, int kOuts>
__global__ void __launch_bounds__(kTileThreads, 4)
    conv_kernel(const T* x, const float* weights, const float* bias, Conv shape, int chunk, T* y) {
  using Sums = Product<kOuts>;
  NASCORE_DYNAMIC_SHARED(float4, shared);
  float* const buffer = reinterpret_cast<float*>(shared);
  float* const input = buffer + Sums::kBuffer;
  const Tile tile = find_tile(shape);
  const int out = static_cast<int>(blockIdx.y) * kOuts;
  const int apart = chunk + kPad, row = tile.columns * shape.stride * apart;
  const float* const own = input + Sums::row() * row + Sums::column() * shape.stride * apart;

  Sums sums;
  for (int first = 0; first < shape.in_channels; first += chunk) {
    load_tile(x, shape, tile, first, chunk, input);
    const int left = shape.in_channels - first, rows = left < chunk ? left : chunk;
    sums.add(
        shape.kernel_h * shape.kernel_w, weights, out, shape, buffer, Sums::kRows * row,
        [&](int tap) {
          return static_cast<std::size_t>(tap) * static_cast<std::size_t>(shape.in_channels) +
                 static_cast<std::size_t>(first);
        },
        [&](int) { return rows; },
        [&](int tap) {
          const int h = tap / shape.kernel_w, w = tap % shape.kernel_w;
          return own + (h * tile.columns + w) * shape.dilation * apart;
        });
  }
  sums.write(bias, shape, tile, out, y);
}

int pixels_of(const ConvShape& shape) {
  return reach(shape.kernel_h, shape) * reach(shape.kernel_w, shape);
}

constexpr int kGoodFloats = 8 * 1024;  // of a tile, so that a processor holds several blocks

// Channels of the input at once: fewer where the border is wide.
int chunk_of(const ConvShape& shape) {
  int chunk = kChunk;
  while (chunk > kLanes<__half> && pixels_of(shape) * (chunk + kPad) > kGoodFloats) chunk /= 2;
  return chunk;
}

}  // namespace

std::size_t conv_shared(const ConvShape& shape) {
  const int input = pixels_of(shape) * (chunk_of(shape) + kPad);
  const int buffer = outs_of(shape) == 64 ? Product<64>::kBuffer : Product<32>::kBuffer;
  return static_cast<std::size_t>(buffer + input) * sizeof(float);
}

template <class T>
cudaError_t conv(const T* x, const float* weights, const float* bias, const ConvShape& shape, T* y,
                 cudaStream_t stream) {
  const ConvLaunch launch = prepare(x, weights, shape, y);
  if (launch.status != cudaSuccess || launch.blocks == 0) return launch.status;
  const auto columns = divide_up(static_cast<std::size_t>(shape.out_channels),
                                 static_cast<std::size_t>(outs_of(shape)));
  if (columns > kMaxGridY) return cudaErrorInvalidConfiguration;
  const auto kernel = outs_of(shape) == 64 ? conv_kernel<T, 64> : conv_kernel<T, 32>;
  const std::size_t bytes = conv_shared(shape);
  const cudaError_t status = allow_shared(kernel, bytes);
  if (status != cudaSuccess) return status;
  NASCORE_LAUNCH(kernel, dim3(launch.blocks, static_cast<unsigned>(columns)), kTileThreads, bytes,
                 stream, x, weights, bias, launch.conv, chunk_of(shape), y);
  return cudaGetLastError();
}

template cudaError_t conv(const float*, const float*, const float*, const ConvShape&, float*,
                          cudaStream_t);
template cudaError_t conv(const __half*, const float*, const float*, const ConvShape&, __half*,
                          cudaStream_t);
template cudaError_t conv(const __nv_bfloat16*, const float*, const float*, const ConvShape&,
                          __nv_bfloat16*, cudaStream_t);

}  // namespace nascore::cuda
