// The gradients of a separable convolution and its norm: sums over all pixels for the norm, the
// gradients before it and before the pointwise convolution into the workspace, and from these
// those of the weights and of x. The depthwise results are computed anew.
#include "norm_backward.cuh"
#include "weight_gradients.cuh"

namespace nascore::cuda {
namespace {

// Floats between the pixels of a tile's gradients, of all channels.
__host__ __device__ inline int apart_of(const ConvShape& shape) {
  return (shape.in_channels + kChunk - 1) / kChunk * kChunk + kPad;
}

// The gradient before the norm of a tile, to of_raw and to values [kSide * kSide, apart], by slopes
// [4, apart] in shared memory; four loads of a thread are in flight.
template <class T>
__device__ void load_through(const T* grad, const T* raw, const float* slopes, const Conv& shape,
                             const Tile& tile, int apart, T* of_raw, float* values) {
  constexpr int kAtOnce = 2;
  const int groups = (shape.in_channels + kLanes<T> - 1) / kLanes<T>;
  const int total = kSide * kSide * groups;
#pragma unroll 1
  for (int begin = static_cast<int>(threadIdx.x); begin < total; begin += kAtOnce * kTileThreads) {
    Vector<T> g[kAtOnce], z[kAtOnce];
    std::size_t place[kAtOnce];
    bool inside[kAtOnce];
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const int item = begin + u * kTileThreads, pixel = item / groups;
      const int row = tile.row + pixel / kSide, column = tile.column + pixel % kSide;
      inside[u] = item < total && row < shape.height && column < shape.width;
      place[u] = inside[u]
                     ? ((std::size_t(tile.sample) * std::size_t(shape.height) + std::size_t(row)) *
                            std::size_t(shape.width) +
                        std::size_t(column)) *
                           std::size_t(shape.in_stride)
                     : 0;
      const int channel = item % groups * kLanes<T>, channels = inside[u] ? shape.in_channels : 0;
      g[u] = load_channels(grad + place[u], channel, channels, shape);
      z[u] = load_channels(raw + place[u], channel, channels, shape);
    }
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      if (!inside[u]) continue;
      const int item = begin + u * kTileThreads, channel = item % groups * kLanes<T>;
      float* const to = values + item / groups * apart + channel;
#pragma unroll
      for (int lane = 0; lane < kLanes<T>; lane += kQuad) {
        if (channel + lane >= shape.in_channels) continue;
        const auto quad = [&](const Vector<T>& from) {
          return make_float4(to_float(from.lane[lane]), to_float(from.lane[lane + 1]),
                             to_float(from.lane[lane + 2]), to_float(from.lane[lane + 3]));
        };
        const float4 value = through(quad(g[u]), quad(z[u]), slopes + channel + lane, apart);
        *reinterpret_cast<float4*>(to + lane) = value;
        g[u].lane[lane] = from_float<T>(value.x);
        g[u].lane[lane + 1] = from_float<T>(value.y);
        g[u].lane[lane + 2] = from_float<T>(value.z);
        g[u].lane[lane + 3] = from_float<T>(value.w);
      }
      T* const out = of_raw + place[u] + channel;
      if (shape.wide_input && channel + kLanes<T> <= shape.in_channels) {
        store16(out, g[u]);
      } else {
#pragma unroll
        for (int lane = 0; lane < kLanes<T>; ++lane) {
          if (channel + lane < shape.in_channels) out[lane] = g[u].lane[lane];
        }
      }
    }
  }
}

// `shape` is the pointwise convolution backwards: from the forward pass's output channels to its
// input channels.
template <class T, int kOuts>
__global__ void __launch_bounds__(kTileThreads, 4)
    through_norm_kernel(const T* grad, const T* raw, const float* slopes, const float* pointwise,
                        Conv shape, T* of_raw, T* of_mixed) {
  NASCORE_DYNAMIC_SHARED(float4, shared);
  float* const buffer = reinterpret_cast<float*>(shared);
  float* const values = buffer + Product<kOuts>::kBuffer;
  const Tile tile = find_tile(shape);
  const int apart = apart_of(shape), width = static_cast<int>(whole_quads(shape.in_channels));
  float* const own_slopes = values + kSide * kSide * apart;
  for (int i = static_cast<int>(threadIdx.x) * kQuad; i < 4 * width; i += kTileThreads * kQuad) {
    *reinterpret_cast<float4*>(own_slopes + i / width * apart + i % width) = load4(slopes + i);
  }
  __syncthreads();
  load_through(grad, raw, own_slopes, shape, tile, apart, of_raw, values);
  for (int out = 0; out < shape.out_channels; out += kOuts) {
    Product<kOuts> sums;
    sums.add_tile(values, apart, shape.in_channels, pointwise, out, shape, buffer);
    sums.write(nullptr, shape, tile, out, of_mixed);
  }
}

ConvShape image_of(const ConvShape& shape) {
  ConvShape image;
  image.samples = shape.samples;
  image.in_channels = image.in_stride = image.out_channels = image.out_stride = shape.in_channels;
  image.height = image.out_height = shape.height;
  image.width = image.out_width = shape.width;
  image.relu = shape.relu;
  return image;
}

ConvShape pointwise_of(const ConvShape& shape) {
  ConvShape back = image_of(shape);
  back.in_channels = back.in_stride = shape.out_channels;
  back.height = back.out_height = shape.out_height;
  back.width = back.out_width = shape.out_width;
  back.relu = false;
  // Its pixels need no neighbours, so that whole tiles are taken from as many as are left.
  const std::size_t pixels = pixels_of(shape), rows = pixels / kSide;
  if (pixels % kSide == 0) {
    back.samples = 1;
    back.height = back.out_height = static_cast<int>(rows);
    back.width = back.out_width = kSide;
  }
  return back;
}

ConvShape transposed_of(const ConvShape& shape) {
  ConvShape back = image_of(shape);
  back.height = shape.out_height;
  back.width = shape.out_width;
  back.kernel_h = shape.kernel_h;
  back.kernel_w = shape.kernel_w;
  back.dilation = shape.dilation;
  back.pad_top = (shape.kernel_h - 1) * shape.dilation - shape.pad_top;
  back.pad_left = (shape.kernel_w - 1) * shape.dilation - shape.pad_left;
  back.relu = false;
  return back;
}

std::size_t through_shared(const ConvShape& back) {
  const int buffer = outs_of(back) == 64 ? Product<64>::kBuffer : Product<32>::kBuffer;
  return static_cast<std::size_t>(buffer + (kSide * kSide + 4) * apart_of(back)) * sizeof(float);
}

// The launches and where each one's results are in the workspace, in floats.
struct Plan {
  unsigned sum_blocks, pointwise_blocks, depthwise_blocks;
  unsigned chunks, outs, depthwise_chunks;
  std::size_t slopes, of_raw, of_mixed, of_pointwise, of_depthwise, floats;
};

template <class T>
Plan plan_of(const ConvShape& shape) {
  Plan plan;
  const auto blocks = [](std::size_t units, unsigned others) {
    const std::size_t most = max(kNormBlocks / others, 1u);
    return static_cast<unsigned>(min(units, most));
  };
  const auto chunks_of = [](int channels, int chunk) {
    return static_cast<unsigned>((channels + chunk - 1) / chunk);
  };
  const auto tiles = [&](int height, int width) {
    return static_cast<std::size_t>(shape.samples) * tiles_of(height) * tiles_of(width);
  };
  const std::size_t pixels = pixels_of(shape), width = whole_quads(shape.out_channels);
  const auto channels = static_cast<std::size_t>(shape.in_channels);
  const auto window = static_cast<std::size_t>(shape.kernel_h * shape.kernel_w);
  plan.chunks = chunks_of(shape.in_channels, kChunk);
  plan.outs = chunks_of(shape.out_channels, outs_of(shape));
  plan.depthwise_chunks = chunks_of(shape.in_channels, depthwise_parts(transposed_of(shape)).chunk);
  const std::size_t rows = max(kNormThreads * std::size_t{kLanes<T>} / width, std::size_t{1});
  plan.sum_blocks = blocks(divide_up(pixels, kSumsAtOnce * rows), 1);
  plan.pointwise_blocks = blocks(tiles(shape.out_height, shape.out_width), plan.chunks * plan.outs);
  plan.depthwise_blocks = blocks(tiles(shape.height, shape.width), plan.depthwise_chunks);
  const auto image = [&](std::size_t elements) { return divide_up(elements * sizeof(T), 16) * 4; };
  plan.slopes = plan.sum_blocks * 2 * width;
  plan.of_raw = plan.slopes + 4 * width;
  plan.of_mixed = plan.of_raw + image(pixels * static_cast<std::size_t>(shape.out_channels));
  plan.of_pointwise = plan.of_mixed + image(pixels * channels);
  plan.of_depthwise =
      plan.of_pointwise + plan.pointwise_blocks * halves_of(shape) * channels * width;
  plan.floats = plan.of_depthwise + plan.depthwise_blocks * window * whole_quads(shape.in_channels);
  return plan;
}

template <bool kWide, class T>
void norm_sums(const T* grad, const T* raw, const ConvShape& shape, unsigned blocks,
               const float* mean, float* partials, cudaStream_t stream) {
  const Columns<T, kWide> columns(shape.out_channels);
  NASCORE_LAUNCH((norm_sums_kernel<T, kWide>), dim3(blocks, columns.blocks()), kNormThreads, 0,
                 stream, grad, raw, columns, pixels_of(shape), mean, partials);
}

void sum_partials(const float* partials, unsigned count, std::size_t rows, int columns, float* to,
                  cudaStream_t stream) {
  const std::size_t blocks =
      divide_up(rows, kPartialRows) * divide_up(whole_quads(columns), kQuad * kPartialQuads);
  NASCORE_LAUNCH(sum_partials_kernel, static_cast<unsigned>(blocks), kNormThreads, 0, stream,
                 partials, count, static_cast<unsigned>(rows), columns, to);
}

}  // namespace

BackwardShared sep_conv_norm_backward_shared(const ConvShape& shape) {
  const auto bytes = [](int floats) { return static_cast<std::size_t>(floats) * sizeof(float); };
  return {through_shared(pointwise_of(shape)), bytes(pointwise_parts(shape).floats),
          bytes(depthwise_parts(transposed_of(shape)).floats)};
}

template <class T>
std::size_t sep_conv_norm_backward_workspace(const ConvShape& shape) {
  return plan_of<T>(shape).floats;
}

template <class T>
cudaError_t sep_conv_norm_backward(const T* grad, const T* x, const T* raw, const float* mean,
                                   const float* variance, const float* depthwise,
                                   const float* pointwise, const Norm& norm, const ConvShape& shape,
                                   const SepConvGradients<T>& of, float* workspace,
                                   cudaStream_t stream) {
  const ConvLaunch forward = prepare(x, pointwise, shape, raw);
  if (forward.status != cudaSuccess) return forward.status;
  if (const cudaError_t status = check_training(shape, workspace)) return status;
  const Plan plan = plan_of<T>(shape);
  float* const slopes = workspace + plan.slopes;
  T* const of_raw = reinterpret_cast<T*>(workspace + plan.of_raw);
  T* const of_mixed = reinterpret_cast<T*>(workspace + plan.of_mixed);
  const ConvShape back = pointwise_of(shape), turned = transposed_of(shape);
  ConvLaunch through = prepare(grad, pointwise, back, of_mixed);
  through.conv.wide_input = through.conv.wide_input && is_aligned(raw);
  through.conv.quad_input = through.conv.quad_input && has_quads(raw, back.in_stride);
  ConvShape outputs = image_of(shape);
  outputs.in_channels = outputs.in_stride = outputs.out_channels = outputs.out_stride =
      shape.out_channels;
  outputs.height = outputs.out_height = shape.out_height;
  outputs.width = outputs.out_width = shape.out_width;
  outputs.relu = false;
  const ConvLaunch given = prepare(of_raw, pointwise, outputs, of_raw);
  const ConvLaunch image = prepare(x, pointwise, image_of(shape), of.x);
  const ConvLaunch transposed = prepare(of_mixed, pointwise, turned, of.x);
  for (const ConvLaunch& launch : {through, given, image, transposed}) {
    if (launch.status != cudaSuccess) return launch.status;
  }
  const BackwardShared shared = sep_conv_norm_backward_shared(shape);
  const auto first = outs_of(back) == 64 ? through_norm_kernel<T, 64> : through_norm_kernel<T, 32>;
  const auto second =
      outs_of(shape) == 64 ? pointwise_gradient_kernel<T, 64> : pointwise_gradient_kernel<T, 32>;
  const auto third = depthwise_gradient_kernel<T>;
  for (const cudaError_t status :
       {allow_shared(first, shared.through), allow_shared(second, shared.pointwise),
        allow_shared(third, shared.depthwise)}) {
    if (status != cudaSuccess) return status;
  }

  const bool wide = shape.out_channels % kLanes<T> == 0 && is_aligned(grad) && is_aligned(raw) &&
                    is_aligned(mean);
  if (wide) {
    norm_sums<true>(grad, raw, shape, plan.sum_blocks, mean, workspace, stream);
  } else {
    norm_sums<false>(grad, raw, shape, plan.sum_blocks, mean, workspace, stream);
  }
  const auto quads = divide_up(whole_quads(shape.out_channels), kQuad * kNormQuads);
  NASCORE_LAUNCH(norm_slopes_kernel, static_cast<unsigned>(quads), kNormThreads, 0, stream,
                 workspace, plan.sum_blocks, shape.out_channels,
                 static_cast<float>(pixels_of(shape)), mean, variance, norm.scale, norm.epsilon,
                 of.scale, of.shift, slopes);
  NASCORE_LAUNCH(first, through.blocks, kTileThreads, shared.through, stream, grad, raw, slopes,
                 pointwise, through.conv, of_raw, of_mixed);
  float* const of_pointwise = workspace + plan.of_pointwise;
  float* const of_depthwise = workspace + plan.of_depthwise;
  NASCORE_LAUNCH(second, dim3(plan.pointwise_blocks, plan.chunks, plan.outs), kTileThreads,
                 shared.pointwise, stream, x, depthwise, of_raw, forward.conv, given.conv,
                 pointwise_parts(shape), forward.blocks, of_pointwise);
  NASCORE_LAUNCH(third, dim3(plan.depthwise_blocks, plan.depthwise_chunks), kTileThreads,
                 shared.depthwise, stream, x, depthwise, of_mixed, image.conv, transposed.conv,
                 shape.stride, depthwise_parts(turned), transposed.blocks, of.x, of_depthwise);
  sum_partials(of_pointwise, plan.pointwise_blocks * halves_of(shape),
               static_cast<std::size_t>(shape.in_channels), shape.out_channels, of.pointwise,
               stream);
  sum_partials(of_depthwise, plan.depthwise_blocks,
               static_cast<std::size_t>(shape.kernel_h * shape.kernel_w), shape.in_channels,
               of.depthwise, stream);
  return cudaGetLastError();
}

#define NASCORE_INSTANCES(T)                                                                \
  template std::size_t sep_conv_norm_backward_workspace<T>(const ConvShape&);               \
  template cudaError_t sep_conv_norm_backward(                                              \
      const T*, const T*, const T*, const float*, const float*, const float*, const float*, \
      const Norm&, const ConvShape&, const SepConvGradients<T>&, float*, cudaStream_t);
NASCORE_INSTANCES(float)
NASCORE_INSTANCES(__half)
NASCORE_INSTANCES(__nv_bfloat16)

}  // namespace nascore::cuda
