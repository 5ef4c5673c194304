// The inner loops of the masked sum, once per instruction set: each compiles masked_chunks.cpp.
#pragma once

#include <cstddef>

namespace nascore::kernels {

// Of `count` elements from `first` on, which stay in the cache.
template <class T>
struct MaskedChunks {
  void (*sum)(const T* const* inputs, const T* mask, int n, std::size_t first, std::size_t count,
              T* out);
  // dots [n]
  void (*backward)(const T* grad, const T* const* inputs, const T* mask, int n, std::size_t first,
                   std::size_t count, T* const* of_inputs, double* dots);
};

namespace baseline {
template <class T>
MaskedChunks<T> masked_chunks();
}
namespace avx2 {
template <class T>
MaskedChunks<T> masked_chunks();
}
namespace avx512 {
template <class T>
MaskedChunks<T> masked_chunks();
}

}  // namespace nascore::kernels
