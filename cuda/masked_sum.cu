// The masked sum: what a thread adds is on its way, eight loads of it, before the first is used.
#include "masked_sum.cuh"

namespace nascore::cuda {
namespace {

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

template cudaError_t masked_sum(const float* const*, const float*, MaskedShape, float*,
                                cudaStream_t);
template cudaError_t masked_sum(const __half* const*, const __half*, MaskedShape, __half*,
                                cudaStream_t);
template cudaError_t masked_sum(const __nv_bfloat16* const*, const __nv_bfloat16*, MaskedShape,
                                __nv_bfloat16*, cudaStream_t);

}  // namespace nascore::cuda
