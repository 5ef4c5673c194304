// What the instructions of a program read and write: a vector of channels of one pixel, which is 16
// bytes of shared or device memory, as floats.
#pragma once

#include <type_traits>

#include "nascore/program.hpp"
#include "product.cuh"

namespace nascore::cuda {

template <class T>
constexpr int kQuads = kLanes<T> / kQuad;  // of a vector

template <class T>
struct Values {
  float4 quad[kQuads<T>];
};

template <class T>
__device__ Values<T> all_of(float value) {
  Values<T> all;
#pragma unroll
  for (float4& quad : all.quad) quad = make_float4(value, value, value, value);
  return all;
}

template <class T>
__host__ __device__ int vectors_of(int channels) {
  return (channels + kLanes<T> - 1) / kLanes<T>;
}

// Which accesses can take a vector, or a quad, of pixels that are `stride` elements apart.
struct Access {
  bool vector, quad;
};

template <class T>
__device__ Access access_of(const T* pixel, int stride) {
  const auto address = reinterpret_cast<std::uintptr_t>(pixel);
  return {address % 16 == 0 && stride % kLanes<T> == 0,
          address % (kQuad * sizeof(T)) == 0 && stride % kQuad == 0};
}

// Lanes [first, first + kQuad).
template <class T>
__device__ float4 quad_of(const Vector<T>& vector, int first) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {  // the upper halves of floats
    unsigned pairs[2], wide[kQuad];
    memcpy(pairs, vector.lane + first, sizeof pairs);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      wide[2 * i] = pairs[i] << 16;
      wide[2 * i + 1] = pairs[i] & 0xFFFF0000u;
    }
    float4 quad;
    memcpy(&quad, wide, sizeof quad);
    return quad;
  }
  return make_float4(to_float(vector.lane[first]), to_float(vector.lane[first + 1]),
                     to_float(vector.lane[first + 2]), to_float(vector.lane[first + 3]));
}

// A quad, of which `channels` are there, and 0 for the others.
template <class T>
__device__ float4 read_quad(const T* from, int channels, Access access) {
  if (access.quad && channels >= kQuad) return load4(from);
  return make_float4(
      channels > 0 ? to_float(from[0]) : 0.0f, channels > 1 ? to_float(from[1]) : 0.0f,
      channels > 2 ? to_float(from[2]) : 0.0f, channels > 3 ? to_float(from[3]) : 0.0f);
}

// A vector alike.
template <class T>
__device__ Values<T> read(const T* from, int channels, Access access) {
  Values<T> values;
  if (kQuads<T> > 1 && access.vector && channels >= kLanes<T>) {
    const Vector<T> vector = load16(from);
#pragma unroll
    for (int q = 0; q < kQuads<T>; ++q) values.quad[q] = quad_of(vector, q * kQuad);
    return values;
  }
#pragma unroll
  for (int q = 0; q < kQuads<T>; ++q) {
    values.quad[q] = read_quad(from + q * kQuad, channels - q * kQuad, access);
  }
  return values;
}

template <class T>
__device__ Values<T> relu(Values<T> values) {
#pragma unroll
  for (float4& quad : values.quad) quad = relu(quad);
  return values;
}

// store4 and store16 know device memory alone.
__device__ inline void put_quad(float* to, float4 value) { *reinterpret_cast<float4*>(to) = value; }
template <class T>
__device__ void put_quad(T* to, float4 value) {
  const T written[kQuad] = {from_float<T>(value.x), from_float<T>(value.y), from_float<T>(value.z),
                            from_float<T>(value.w)};
  uint2 bits;
  memcpy(&bits, written, sizeof bits);
  *reinterpret_cast<uint2*>(to) = bits;
}

__device__ inline void put(float* to, const Values<float>& values) { put_quad(to, values.quad[0]); }
template <class T>
__device__ void put(T* to, const Values<T>& values) {
  T written[kLanes<T>];
#pragma unroll
  for (int q = 0; q < kQuads<T>; ++q) {
    written[q * kQuad] = from_float<T>(values.quad[q].x);
    written[q * kQuad + 1] = from_float<T>(values.quad[q].y);
    written[q * kQuad + 2] = from_float<T>(values.quad[q].z);
    written[q * kQuad + 3] = from_float<T>(values.quad[q].w);
  }
  uint4 bits;
  memcpy(&bits, written, sizeof bits);
  *reinterpret_cast<uint4*>(to) = bits;
}

__device__ inline float written(const Instruction& at, float value, float before) {
  if (at.accumulate) value += before;
  return at.relu_after ? relu(value) : value;
}

__device__ inline float4 written(const Instruction& at, float4 value, float4 before) {
  return make_float4(written(at, value.x, before.x), written(at, value.y, before.y),
                     written(at, value.z, before.z), written(at, value.w, before.w));
}

// A quad to where `channels` belong to the instruction.
template <class T>
__device__ void write_quad(const Instruction& at, T* to, float4 value, int channels,
                           Access access) {
  if (access.quad && channels >= kQuad) {
    put_quad(to, written(at, value, at.accumulate ? load4(to) : value));
    return;
  }
  const float values[kQuad] = {value.x, value.y, value.z, value.w};
#pragma unroll
  for (int c = 0; c < kQuad; ++c) {
    if (c >= channels) continue;
    to[c] = from_float<T>(written(at, values[c], at.accumulate ? to_float(to[c]) : 0.0f));
  }
}

// A vector alike.
template <class T>
__device__ void write(const Instruction& at, T* to, Values<T> values, int channels, Access access) {
  if (kQuads<T> > 1 && access.vector && channels >= kLanes<T>) {
    const Values<T> before = at.accumulate ? read(to, kLanes<T>, access) : values;
#pragma unroll
    for (int q = 0; q < kQuads<T>; ++q) {
      values.quad[q] = written(at, values.quad[q], before.quad[q]);
    }
    put(to, values);
    return;
  }
#pragma unroll
  for (int q = 0; q < kQuads<T>; ++q) {
    write_quad(at, to + q * kQuad, values.quad[q], channels - q * kQuad, access);
  }
}

}  // namespace nascore::cuda
