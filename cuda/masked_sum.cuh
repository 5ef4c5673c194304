// What the masked sum and its backward pass share: a block takes a chunk of one sample through all
// inputs.
#pragma once

#include "common.cuh"
#include "kernels.hpp"

namespace nascore::cuda {

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

}  // namespace nascore::cuda
