// Separable convolution: a block takes an 8 x 8 tile of outputs. The depthwise results of all
// channels stay in shared memory, and the pointwise convolution reads them there.
#include "product.cuh"

namespace nascore::cuda {
namespace {

constexpr int kRun = 4;  // neighbours in a row, which a thread convolves together
constexpr int kRuns = kSide * kSide / kRun;
constexpr std::size_t kGoodShared = 64 * 1024;  // bytes, so that a processor holds three blocks

// Where the parts of the shared memory are, in floats.
struct Parts {
  int chunk;  // channels of the input at once
  int taps;   // depthwise weights [kernel_h, kernel_w, chunk], behind the input's tile
  int mixed;  // depthwise results [kSide * kSide, apart], behind both or the product's buffer
  int apart;
  int floats;  // in all
};

Parts parts_of(const ConvShape& shape) {
  Parts parts;
  const int buffer = outs_of(shape) == 64 ? Product<64>::kBuffer : Product<32>::kBuffer;
  for (parts.chunk = kChunk;; parts.chunk /= 2) {
    const int pixels = reach(shape.kernel_h, shape) * reach(shape.kernel_w, shape);
    parts.taps = pixels * (parts.chunk + kPad);
    const int read = parts.taps + shape.kernel_h * shape.kernel_w * parts.chunk;
    parts.mixed = read > buffer ? read : buffer;
    parts.apart = (shape.in_channels + parts.chunk - 1) / parts.chunk * parts.chunk + kPad;
    parts.floats = parts.mixed + kSide * kSide * parts.apart;
    if (parts.chunk == kLanes<__half> || parts.floats * sizeof(float) <= kGoodShared) return parts;
  }
}

// A run of four outputs of a quad of channels: kernel and stride known, each input is read once
// for each row of the kernel.
template <int kKernel>
__device__ void convolve_dense(const float* pixel, const float* taps, int columns, int chunk,
                               float4 (&sums)[kRun]) {
#pragma unroll 1
  for (int h = 0; h < kKernel; ++h) {
    float4 window[kKernel + kRun - 1];
#pragma unroll
    for (int i = 0; i < kKernel + kRun - 1; ++i) {
      window[i] = quad_at(pixel + (h * columns + i) * (chunk + kPad));
    }
#pragma unroll
    for (int w = 0; w < kKernel; ++w) {
      const float4 tap = quad_at(taps + (h * kKernel + w) * chunk);
#pragma unroll
      for (int i = 0; i < kRun; ++i) multiply_add(sums[i], tap, window[i + w]);
    }
  }
}

__device__ void convolve(const float* pixel, const float* taps, const Conv& shape, int columns,
                         int chunk, float4 (&sums)[kRun]) {
#pragma unroll 1
  for (int h = 0; h < shape.kernel_h; ++h) {
#pragma unroll 1
    for (int w = 0; w < shape.kernel_w; ++w) {
      const float4 tap = quad_at(taps + (h * shape.kernel_w + w) * chunk);
      const float* const at = pixel + (h * columns + w) * shape.dilation * (chunk + kPad);
#pragma unroll
      for (int i = 0; i < kRun; ++i) {
        multiply_add(sums[i], tap, quad_at(at + i * shape.stride * (chunk + kPad)));
      }
    }
  }
}

// tile [rows, columns, chunk + kPad], taps -> mixed [kSide * kSide, apart].
__device__ void mix(const float* tile, const float* taps, const Conv& shape, int columns,
                    const Parts& parts, float* mixed) {
  const int quads = parts.chunk / kQuad;
  const bool dense = shape.stride == 1 && shape.dilation == 1 && shape.kernel_h == shape.kernel_w;
  for (int item = static_cast<int>(threadIdx.x); item < kRuns * quads; item += kTileThreads) {
    const int quad = item % quads * kQuad, run = item / quads;
    const int row = run / (kSide / kRun), column = run % (kSide / kRun) * kRun;
    const float* const pixel =
        tile + (row * columns + column) * shape.stride * (parts.chunk + kPad) + quad;
    float4 sums[kRun] = {};
    if (dense && shape.kernel_h == 3) {
      convolve_dense<3>(pixel, taps + quad, columns, parts.chunk, sums);
    } else if (dense && shape.kernel_h == 5) {
      convolve_dense<5>(pixel, taps + quad, columns, parts.chunk, sums);
    } else if (dense && shape.kernel_h == 7) {
      convolve_dense<7>(pixel, taps + quad, columns, parts.chunk, sums);
    } else {
      convolve(pixel, taps + quad, shape, columns, parts.chunk, sums);
    }
#pragma unroll
    for (int i = 0; i < kRun; ++i) {
      *reinterpret_cast<float4*>(mixed + (row * kSide + column + i) * parts.apart + quad) = sums[i];
    }
  }
}

template <class T, int kOuts>
__global__ void __launch_bounds__(kTileThreads, 4)
    sep_conv_kernel(const T* x, const float* depthwise, const float* pointwise, const float* bias,
                    Conv shape, Parts parts, T* y) {
  NASCORE_DYNAMIC_SHARED(float4, shared);
  float* const input = reinterpret_cast<float*>(shared);
  float* const taps = input + parts.taps;
  float* const mixed = input + parts.mixed;
  const Tile tile = find_tile(shape);

  const int window = shape.kernel_h * shape.kernel_w;
  for (int first = 0; first < shape.in_channels; first += parts.chunk) {
    load_tile(x, shape, tile, first, parts.chunk, input);
    for (int item = static_cast<int>(threadIdx.x); item < window * parts.chunk;
         item += kTileThreads) {
      const int channel = first + item % parts.chunk;
      taps[item] = channel < shape.in_channels
                       ? depthwise[item / parts.chunk * shape.in_channels + channel]
                       : 0.0f;
    }
    __syncthreads();
    mix(input, taps, shape, tile.columns, parts, mixed + first);
    __syncthreads();
  }

  using Sums = Product<kOuts>;
  const float* const own = mixed + (Sums::row() * kSide + Sums::column()) * parts.apart;
  const int steps = (shape.in_channels + kChunk - 1) / kChunk;
  for (int out = 0; out < shape.out_channels; out += kOuts) {
    Sums sums;
    sums.add(
        steps, pointwise, out, shape, input, Sums::kRows * kSide * parts.apart,
        [](int step) { return static_cast<std::size_t>(step * kChunk); },
        [&](int step) {
          const int left = shape.in_channels - step * kChunk;
          return left < kChunk ? left : kChunk;
        },
        [&](int step) { return own + step * kChunk; });
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
