// The draws of nascore/masks.hpp on the device. A block holds its rows in shared memory.
#include "common.cuh"
#include "kernels.hpp"
#include "nascore/masks.hpp"

namespace nascore::cuda {
namespace {

constexpr int kThreads = 128;               // and the most rows of a block
constexpr std::uint32_t kLegal = 1u << 31;  // beside a weight, where it is legal
static_assert(kMaskOne < kLegal);

// A weight that may be used; another one is reported.
__device__ std::uint32_t checked(std::uint32_t weight, std::int32_t* invalid) {
  if (weight <= kMaskOne) return weight;
  atomicExch(invalid, 1);
  return kMaskOne;
}

// From one row to the next: odd, so that threads of different rows meet different banks.
__host__ __device__ inline int stride_of(int n) { return n | 1; }

// Calls put(word of shared memory, weight, its place in all weights) for the block's rows.
template <class Put>
__device__ void for_weights(const std::uint32_t* weights, std::size_t first, int rows, int n,
                            const Put& put) {
  const std::size_t begin = first * static_cast<std::size_t>(n);
  const int count = rows * n;
  // The first row is a multiple of 4 where a block has several, so that all are aligned or none.
  const bool wide = reinterpret_cast<std::uintptr_t>(weights + begin) % 16 == 0;
  constexpr int kWide = kLanes<std::uint32_t>;
  for (int at = static_cast<int>(threadIdx.x) * kWide; at < count; at += kThreads * kWide) {
    const std::uint32_t* const from = weights + begin + at;
    Vector<std::uint32_t> read = {};
    if (wide && at + kWide <= count) {
      read = load16(from);
    } else {
#pragma unroll
      for (int i = 0; i < kWide; ++i) {
        if (at + i < count) read.lane[i] = from[i];
      }
    }
#pragma unroll
    for (int i = 0; i < kWide; ++i) {
      if (at + i >= count) continue;
      const int row = (at + i) / n;
      put(row * stride_of(n) + (at + i - row * n), read.lane[i],
          begin + static_cast<std::size_t>(at + i));
    }
  }
}

__device__ int rows_here(std::size_t first, std::int64_t rows, int per_block) {
  const auto left = static_cast<std::size_t>(rows) - first;
  return left < static_cast<std::size_t>(per_block) ? static_cast<int>(left) : per_block;
}

__global__ void __launch_bounds__(kThreads)
    draw_k_kernel(const std::uint32_t* weights, RandomRows shape, int k, int per_block,
                  std::int32_t* drawn, std::int32_t* invalid) {
  NASCORE_DYNAMIC_SHARED(std::uint32_t, left);
  const std::size_t first = std::size_t{blockIdx.x} * static_cast<std::size_t>(per_block);
  const int rows = rows_here(first, shape.rows, per_block), n = shape.n;
  for_weights(weights, first, rows, n, [&](int at, std::uint32_t weight, std::size_t) {
    left[at] = checked(weight, invalid);
  });
  __syncthreads();
  const int row = static_cast<int>(threadIdx.x);
  if (row >= rows) return;
  std::uint32_t* const own = left + row * stride_of(n);
  const std::size_t number = first + static_cast<std::size_t>(row);
  draw_k_of_row(own, n, k, {shape.seed, shape.stream, shape.counter + number}, own,
                drawn + number * static_cast<std::size_t>(k));
}

__global__ void __launch_bounds__(kThreads)
    draw_categorical_kernel(const std::uint32_t* weights, const bool* legal, RandomRows shape,
                            int per_block, std::int32_t* drawn, std::int32_t* invalid) {
  NASCORE_DYNAMIC_SHARED(std::uint32_t, left);
  const std::size_t first = std::size_t{blockIdx.x} * static_cast<std::size_t>(per_block);
  const int rows = rows_here(first, shape.rows, per_block), n = shape.n;
  for_weights(weights, first, rows, n, [&](int at, std::uint32_t weight, std::size_t place) {
    const std::uint32_t valid = checked(weight, invalid);
    left[at] = legal[place] ? valid | kLegal : 0;
  });
  __syncthreads();
  const int row = static_cast<int>(threadIdx.x);
  if (row >= rows) return;
  const std::uint32_t* const own = left + row * stride_of(n);
  const std::size_t number = first + static_cast<std::size_t>(row);
  std::uint32_t total = 0, choices = 0;
  for (int i = 0; i < n; ++i) {
    total += own[i] & ~kLegal;
    choices += own[i] / kLegal;
  }
  if (choices == 0) {
    atomicExch(invalid, 1);
    drawn[number] = -1;
    return;
  }
  const RowDraws draws{shape.seed, shape.stream, shape.counter + number};
  std::uint32_t rest = draws.below(0, total ? total : choices);
  int i = 0;
  for (;; ++i) {
    const std::uint32_t share = total ? own[i] & ~kLegal : own[i] / kLegal;
    if (rest < share) break;
    rest -= share;
  }
  drawn[number] = i;
}

// A thread takes the eight entries of a row that share random words, 16 bits each.
__global__ void __launch_bounds__(kThreads)
    draw_bernoulli_kernel(const std::uint32_t* weights, RandomRows shape, bool wide, bool* mask,
                          std::int32_t* invalid) {
  constexpr int kEntries = 8;
  const auto n = static_cast<std::size_t>(shape.n), groups = divide_up(n, kEntries);
  const std::size_t thread = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  const std::size_t row = thread / groups, group = thread % groups;
  if (row >= static_cast<std::size_t>(shape.rows)) return;
  const std::size_t begin = row * n + group * kEntries;
  const int count = static_cast<int>(n - group * kEntries);
  const RowDraws draws{shape.seed, shape.stream, shape.counter + row};
  const Words words = draws.words(static_cast<std::uint32_t>(group));
  const std::uint32_t* const from = weights + begin;
  std::uint32_t own[kEntries] = {};
  if (wide) {
#pragma unroll
    for (int half = 0; half < kEntries; half += kLanes<std::uint32_t>) {
      const Vector<std::uint32_t> read = load16(from + half);
#pragma unroll
      for (int i = 0; i < kLanes<std::uint32_t>; ++i) own[half + i] = read.lane[i];
    }
  } else {
#pragma unroll
    for (int i = 0; i < kEntries; ++i) {
      if (i < count) own[i] = from[i];
    }
  }
  union {
    bool drawn[kEntries];
    uint2 bits;
  } out = {};
#pragma unroll
  for (int i = 0; i < kEntries; ++i) {
    const std::uint32_t draw = words.w[i / 2] >> (i % 2 * 16) & (kMaskOne - 1);
    out.drawn[i] = draw < checked(own[i], invalid);
  }
  if (wide) {
    *reinterpret_cast<uint2*>(mask + begin) = out.bits;
  } else {
#pragma unroll
    for (int i = 0; i < kEntries; ++i) {
      if (i < count) mask[begin + static_cast<std::size_t>(i)] = out.drawn[i];
    }
  }
}

struct Rows {
  unsigned blocks = 0;
  int per_block = 0;
  int bytes = 0;  // of shared memory
  cudaError_t status = cudaSuccess;
};

// As many rows as fit without opting in, a multiple of 4; one where not even 4 do.
template <class Kernel>
Rows rows_of(const RandomRows& shape, Kernel* kernel) {
  Rows rows;
  if (shape.n < 1 || shape.n > kMaxMask || shape.rows < 0) {
    rows.status = cudaErrorInvalidValue;
    return rows;
  }
  const std::size_t row = sizeof(std::uint32_t) * static_cast<std::size_t>(stride_of(shape.n));
  const std::size_t fit = kFreeShared / row / 4 * 4;
  rows.per_block = fit > kThreads ? kThreads : fit > 0 ? static_cast<int>(fit) : 1;
  rows.bytes = static_cast<int>(row) * rows.per_block;
  const std::size_t blocks =
      divide_up(static_cast<std::size_t>(shape.rows), static_cast<std::size_t>(rows.per_block));
  if (blocks > kMaxGrid) rows.status = cudaErrorInvalidConfiguration;
  rows.blocks = static_cast<unsigned>(blocks);
  if (static_cast<std::size_t>(rows.bytes) > kFreeShared) {
    rows.status =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, rows.bytes);
  }
  return rows;
}

}  // namespace

cudaError_t draw_k(const std::uint32_t* weights, RandomRows shape, int k, std::int32_t* drawn,
                   std::int32_t* invalid, cudaStream_t stream) {
  const Rows rows = rows_of(shape, draw_k_kernel);
  if (rows.status != cudaSuccess) return rows.status;
  if (k < 1 || k > shape.n) return cudaErrorInvalidValue;
  if (rows.blocks == 0) return cudaSuccess;
  NASCORE_LAUNCH(draw_k_kernel, rows.blocks, kThreads, rows.bytes, stream, weights, shape, k,
                 rows.per_block, drawn, invalid);
  return cudaGetLastError();
}

cudaError_t draw_categorical(const std::uint32_t* weights, const bool* legal, RandomRows shape,
                             std::int32_t* drawn, std::int32_t* invalid, cudaStream_t stream) {
  const Rows rows = rows_of(shape, draw_categorical_kernel);
  if (rows.status != cudaSuccess) return rows.status;
  if (rows.blocks == 0) return cudaSuccess;
  NASCORE_LAUNCH(draw_categorical_kernel, rows.blocks, kThreads, rows.bytes, stream, weights, legal,
                 shape, rows.per_block, drawn, invalid);
  return cudaGetLastError();
}

cudaError_t draw_bernoulli(const std::uint32_t* weights, RandomRows shape, bool* mask,
                           std::int32_t* invalid, cudaStream_t stream) {
  if (shape.n < 1 || shape.n > kMaxMask || shape.rows < 0) return cudaErrorInvalidValue;
  const std::size_t threads =
      static_cast<std::size_t>(shape.rows) * divide_up(static_cast<std::size_t>(shape.n), 8);
  const std::size_t blocks = divide_up(threads, kThreads);
  if (blocks == 0) return cudaSuccess;
  if (blocks > kMaxGrid) return cudaErrorInvalidConfiguration;
  const bool wide = shape.n % 8 == 0 && is_aligned(weights) && is_aligned(mask);
  NASCORE_LAUNCH(draw_bernoulli_kernel, static_cast<unsigned>(blocks), kThreads, 0, stream, weights,
                 shape, wide, mask, invalid);
  return cudaGetLastError();
}

}  // namespace nascore::cuda
