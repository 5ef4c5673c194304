// The masked sum and its gradients. A block takes a chunk of one sample through all inputs.
#include "common.cuh"
#include "kernels.hpp"

namespace nascore::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kVectors = 2;     // of a thread, so that twice kAtOnce loads are in flight
constexpr int kAtOnce = 4;      // inputs
constexpr int kInputs = kWarp;  // of a launch: a warp lists the active ones
template <class T>
constexpr std::size_t kChunk = std::size_t{kThreads} * kVectors * kLanes<T>;

template <class T>
struct Pointers {
  T* of[kInputs];
};

// The inputs from `first` on that a launch is about.
struct Part {
  int first, count, inputs;  // `inputs` in all
  std::size_t size;          // of a sample
  std::size_t samples;
  unsigned chunks;  // of a sample
};

template <class T>
__device__ float mask_of(const T* mask, std::size_t sample, const Part& part, int j) {
  return to_float(mask[sample * static_cast<std::size_t>(part.inputs) +
                       static_cast<std::size_t>(part.first + j)]);
}

// A thread's share of a chunk: kVectors accesses of 16 bytes, or as many elements one by one,
// neighbours by neighbouring threads, where kWide does not hold for addresses and sizes. What is
// beyond the sample's end is read as its last elements, so that no load waits for a condition.
template <class T, bool kWide>
class Share {
 public:
  __device__ Share(const Part& part, std::size_t sample) {
    const std::size_t in_sample = blockIdx.x % part.chunks * kChunk<T>;
    begin_ = sample * part.size + in_sample;
    const std::size_t left = part.size - in_sample;
    count_ = static_cast<int>(left < kChunk<T> ? left : kChunk<T>);
  }

  __device__ bool holds(int vector, int lane) const {
    return at(vector, kWide ? 0 : lane) < count_;
  }

  __device__ Vector<T> load(const T* from, int vector) const {
    if constexpr (kWide) {
      return load16(from + begin_ + clamped(vector, 0));
    } else {
      Vector<T> found;
#pragma unroll
      for (int lane = 0; lane < kLanes<T>; ++lane) {
        found.lane[lane] = (from + begin_)[clamped(vector, lane)];
      }
      return found;
    }
  }

  __device__ void store(T* to, int vector, const Vector<T>& value) const {
    if constexpr (kWide) {
      if (holds(vector, 0)) store16(to + begin_ + at(vector, 0), value);
    } else {
#pragma unroll
      for (int lane = 0; lane < kLanes<T>; ++lane) {
        if (holds(vector, lane)) (to + begin_)[at(vector, lane)] = value.lane[lane];
      }
    }
  }

 private:
  __device__ static int at(int vector, int lane) {
    const int thread = static_cast<int>(threadIdx.x);
    return kWide ? (vector * kThreads + thread) * kLanes<T>
                 : (vector * kLanes<T> + lane) * kThreads + thread;
  }

  __device__ int clamped(int vector, int lane) const {
    const int last = count_ - (kWide ? kLanes<T> : 1);
    return at(vector, lane) < last ? at(vector, lane) : last;
  }

  std::size_t begin_;
  int count_;
};

template <class T>
using Sums = float[kVectors][kLanes<T>];

template <class T, bool kWide>
__device__ void read_floats(const Share<T, kWide>& share, const T* from, Sums<T>& floats) {
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const Vector<T> read = share.load(from, v);
#pragma unroll
    for (int lane = 0; lane < kLanes<T>; ++lane) {
      floats[v][lane] = share.holds(v, lane) ? to_float(read.lane[lane]) : 0.0f;
    }
  }
}

// Adds kCount inputs, all of which are on their way before the first is used.
template <int kCount, class T, bool kWide>
__device__ void add(const Share<T, kWide>& share, const Pointers<const T>& inputs,
                    const int* active, const float* weights, Sums<T>& sums) {
  Vector<T> read[kCount][kVectors];
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    const T* const from = inputs.of[active[j]];
#pragma unroll
    for (int v = 0; v < kVectors; ++v) read[j][v] = share.load(from, v);
  }
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    const float weight = weights[j];
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
#pragma unroll
      for (int lane = 0; lane < kLanes<T>; ++lane) {
        sums[v][lane] = fmaf(weight, to_float(read[j][v].lane[lane]), sums[v][lane]);
      }
    }
  }
}

template <class T, bool kWide>
__global__ void __launch_bounds__(kThreads, kWide ? 4 : 2)
    masked_sum_kernel(const Pointers<const T> inputs, const T* mask, Part part, T* out) {
  __shared__ int active[kInputs];
  __shared__ float weights[kInputs];
  __shared__ int actives;
  const std::size_t sample = blockIdx.x / part.chunks;
  if (threadIdx.x < kWarp) {
    const int j = static_cast<int>(threadIdx.x);
    const float weight = j < part.count ? mask_of(mask, sample, part, j) : 0.0f;
    const unsigned kept = __ballot_sync(0xffffffffu, weight != 0.0f);
    if (weight != 0.0f) {
      const int place = __popc(kept & ((1u << j) - 1));
      active[place] = j;
      weights[place] = weight;
    }
    if (j == 0) actives = __popc(kept);
  }
  __syncthreads();

  const Share<T, kWide> share(part, sample);
  Sums<T> sums = {};
  if (part.first > 0) {
    read_floats(share, static_cast<const T*>(out), sums);
    __syncthreads();  // others have read the last elements, too
  }
  constexpr int kNow = kWide ? kAtOnce : 1;
  int j = 0;
  for (; j + kNow <= actives; j += kNow) {
    add<kNow>(share, inputs, active + j, weights + j, sums);
  }
#pragma unroll 1
  for (; j < actives; ++j) add<1>(share, inputs, active + j, weights + j, sums);
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    Vector<T> sum;
#pragma unroll
    for (int lane = 0; lane < kLanes<T>; ++lane) sum.lane[lane] = from_float<T>(sums[v][lane]);
    share.store(out, v, sum);
  }
}

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
  if (thread < part.count) weights[thread] = mask_of(mask, sample, part, thread);
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
template <class T>
__global__ void __launch_bounds__(kThreads)
    mask_gradient_kernel(const float* partials, Part part, T* of_mask) {
  const std::size_t row = std::size_t{blockIdx.x} * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (row >= part.samples * static_cast<std::size_t>(part.inputs)) return;  // a whole warp
  float sum = 0;
  for (unsigned chunk = threadIdx.x % kWarp; chunk < part.chunks; chunk += kWarp) {
    sum += partials[row * part.chunks + chunk];
  }
  for (int step = kWarp / 2; step > 0; step /= 2) sum += __shfl_down_sync(0xffffffffu, sum, step);
  const std::size_t input = row / part.samples, sample = row % part.samples;
  if (threadIdx.x % kWarp == 0) {
    of_mask[sample * static_cast<std::size_t>(part.inputs) + input] = from_float<T>(sum);
  }
}

template <class T>
std::size_t chunks_of(MaskedShape shape) {
  return divide_up(shape.size, kChunk<T>);
}

// Calls launch(part) for each kInputs inputs.
template <class Launch>
cudaError_t in_parts(MaskedShape shape, std::size_t chunks, const Launch& launch) {
  for (int first = 0; first < shape.inputs; first += kInputs) {
    const int count = shape.inputs - first < kInputs ? shape.inputs - first : kInputs;
    launch(
        Part{first, count, shape.inputs, shape.size, shape.samples, static_cast<unsigned>(chunks)});
    const cudaError_t status = cudaGetLastError();
    if (status != cudaSuccess) return status;
  }
  return cudaSuccess;
}

}  // namespace

template <class T>
cudaError_t masked_sum(const T* const* inputs, const T* mask, MaskedShape shape, T* out,
                       cudaStream_t stream) {
  const std::size_t chunks = chunks_of<T>(shape), blocks = chunks * shape.samples;
  if (blocks == 0) return cudaSuccess;
  if (blocks > kMaxGrid) return cudaErrorInvalidConfiguration;
  bool wide = shape.size % kLanes<T> == 0 && is_aligned(out);
  for (int j = 0; j < shape.inputs; ++j) wide = wide && is_aligned(inputs[j]);
  return in_parts(shape, chunks, [&](const Part& part) {
    Pointers<const T> read = {};
    for (int j = 0; j < part.count; ++j) read.of[j] = inputs[part.first + j];
    const auto grid = static_cast<unsigned>(blocks);
    if (wide) {
      NASCORE_LAUNCH((masked_sum_kernel<T, true>), grid, kThreads, 0, stream, read, mask, part,
                     out);
    } else {
      NASCORE_LAUNCH((masked_sum_kernel<T, false>), grid, kThreads, 0, stream, read, mask, part,
                     out);
    }
  });
}

template <class T>
std::size_t masked_sum_workspace(MaskedShape shape) {
  return chunks_of<T>(shape) * shape.samples * static_cast<std::size_t>(shape.inputs);
}

template <class T>
cudaError_t masked_sum_backward(const T* grad, const T* const* inputs, const T* mask,
                                MaskedShape shape, T* const* of_inputs, T* of_mask,
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
  NASCORE_LAUNCH(mask_gradient_kernel<T>, static_cast<unsigned>(last), kThreads, 0, stream,
                 workspace, all, of_mask);
  return cudaGetLastError();
}

#define NASCORE_INSTANCES(T)                                                                 \
  template cudaError_t masked_sum(const T* const*, const T*, MaskedShape, T*, cudaStream_t); \
  template std::size_t masked_sum_workspace<T>(MaskedShape);                                 \
  template cudaError_t masked_sum_backward(const T*, const T* const*, const T*, MaskedShape, \
                                           T* const*, T*, float*, cudaStream_t);
NASCORE_INSTANCES(float)
NASCORE_INSTANCES(__half)
NASCORE_INSTANCES(__nv_bfloat16)

}  // namespace nascore::cuda
