// The masked sum's gradients. Those of the masks are summed in two stages, each in a fixed order:
// by a block, into the caller's workspace, and over blocks.
#include "masked_sum.cuh"

namespace nascore::cuda {
namespace {

// Of kCount inputs from j on: their gradients, and each warp's share of their masks' gradients.
template <int kCount, class T, bool kWide>
__device__ void differentiate(const Share<T, kWide>& share, const Sums<T>& grad,
                              const Pointers<const T>& inputs, const Pointers<T>& of_inputs, int j,
                              const float* weights, float (*dots)[kThreads / kWarp]) {
  Vector<T> read[kCount][kVectors];
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) read[i][v] = share.load(inputs.of[j + i], v);
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    float dot = 0;
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
#pragma unroll
      for (int lane = 0; lane < kLanes<T>; ++lane) {
        const float x = share.holds(v, lane) ? to_float(read[i][v].lane[lane]) : 0.0f;
        dot = fmaf(grad[v][lane], x, dot);
      }
    }
#pragma unroll
    for (int step = kWarp / 2; step > 0; step /= 2) dot += __shfl_down_sync(0xffffffffu, dot, step);
    if (threadIdx.x % kWarp == 0) dots[j + i][threadIdx.x / kWarp] = dot;
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    T* const to = of_inputs.of[j + i];
    if (to == nullptr) continue;
    const float weight = weights[j + i];
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      Vector<T> gradient;
#pragma unroll
      for (int lane = 0; lane < kLanes<T>; ++lane) {
        gradient.lane[lane] = from_float<T>(weight == 0.0f ? 0.0f : weight * grad[v][lane]);
      }
      share.store(to, v, gradient);
    }
  }
}

template <class T, bool kWide>
__global__ void __launch_bounds__(kThreads, kWide ? 4 : 2)
    masked_sum_backward_kernel(const T* grad, const Pointers<const T> inputs, const T* mask,
                               Part part, const Pointers<T> of_inputs, float* partials) {
  __shared__ float weights[kInputs];
  __shared__ float dots[kInputs][kThreads / kWarp];
  const std::size_t sample = blockIdx.x / part.chunks;
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < part.count) {
    weights[thread] = mask == nullptr ? 0.0f : mask_of(mask, sample, part, thread);
  }
  __syncthreads();

  const Share<T, kWide> share(part, sample);
  Sums<T> g;
  read_floats(share, grad, g);
  constexpr int kNow = kWide ? kAtOnce : 1;
  int j = 0;
  for (; j + kNow <= part.count; j += kNow) {
    differentiate<kNow>(share, g, inputs, of_inputs, j, weights, dots);
  }
#pragma unroll 1
  for (; j < part.count; ++j) {
    differentiate<1>(share, g, inputs, of_inputs, j, weights, dots);
  }
  __syncthreads();
  if (thread < part.count) {
    float sum = 0;
    for (const float dot : dots[thread]) sum += dot;
    const std::size_t row = static_cast<std::size_t>(part.first + thread) * part.samples + sample;
    partials[row * part.chunks + blockIdx.x % part.chunks] = sum;
  }
}

// partials [inputs, samples, chunks] -> of_mask [samples, inputs], one warp for each.
__global__ void __launch_bounds__(kThreads)
    mask_gradient_kernel(const float* partials, Part part, float* of_mask) {
  const std::size_t row = std::size_t{blockIdx.x} * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (row >= part.samples * static_cast<std::size_t>(part.inputs)) return;  // a whole warp
  float sum = 0;
  for (unsigned chunk = threadIdx.x % kWarp; chunk < part.chunks; chunk += kWarp) {
    sum += partials[row * part.chunks + chunk];
  }
  for (int step = kWarp / 2; step > 0; step /= 2) sum += __shfl_down_sync(0xffffffffu, sum, step);
  const std::size_t input = row / part.samples, sample = row % part.samples;
  if (threadIdx.x % kWarp == 0) {
    of_mask[sample * static_cast<std::size_t>(part.inputs) + input] = sum;
  }
}

}  // namespace

template <class T>
std::size_t masked_sum_workspace(MaskedShape shape) {
  return chunks_of<T>(shape) * shape.samples * static_cast<std::size_t>(shape.inputs);
}

template <class T>
cudaError_t masked_sum_backward(const T* grad, const T* const* inputs, const T* mask,
                                MaskedShape shape, T* const* of_inputs, float* of_mask,
                                float* workspace, cudaStream_t stream) {
  const std::size_t chunks = chunks_of<T>(shape), blocks = chunks * shape.samples;
  const std::size_t masks = shape.samples * static_cast<std::size_t>(shape.inputs);
  if (masks == 0) return cudaSuccess;
  const std::size_t last = divide_up(masks, kThreads / kWarp);
  if (blocks > kMaxGrid || last > kMaxGrid) return cudaErrorInvalidConfiguration;
  bool wide = shape.size % kLanes<T> == 0 && is_aligned(grad);
  for (int j = 0; j < shape.inputs; ++j) {
    wide = wide && is_aligned(inputs[j]) && is_aligned(of_inputs[j]);
  }
  if (blocks > 0) {
    const cudaError_t status = in_parts(shape, chunks, [&](const Part& part) {
      Pointers<const T> read = {};
      Pointers<T> written = {};
      for (int j = 0; j < part.count; ++j) {
        read.of[j] = inputs[part.first + j];
        written.of[j] = of_inputs[part.first + j];
      }
      const auto grid = static_cast<unsigned>(blocks);
      if (wide) {
        NASCORE_LAUNCH((masked_sum_backward_kernel<T, true>), grid, kThreads, 0, stream, grad, read,
                       mask, part, written, workspace);
      } else {
        NASCORE_LAUNCH((masked_sum_backward_kernel<T, false>), grid, kThreads, 0, stream, grad,
                       read, mask, part, written, workspace);
      }
    });
    if (status != cudaSuccess) return status;
  }
  const Part all{0,          shape.inputs,  shape.inputs,
                 shape.size, shape.samples, static_cast<unsigned>(chunks)};
  NASCORE_LAUNCH(mask_gradient_kernel, static_cast<unsigned>(last), kThreads, 0, stream, workspace,
                 all, of_mask);
  return cudaGetLastError();
}

#define NASCORE_INSTANCES(T)                                                                 \
  template std::size_t masked_sum_workspace<T>(MaskedShape);                                 \
  template cudaError_t masked_sum_backward(const T*, const T* const*, const T*, MaskedShape, \
                                           T* const*, float*, float*, cudaStream_t);
NASCORE_INSTANCES(float)
NASCORE_INSTANCES(__half)
NASCORE_INSTANCES(__nv_bfloat16)

}  // namespace nascore::cuda
