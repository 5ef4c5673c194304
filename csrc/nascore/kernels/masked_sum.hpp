// The masked sum y = sum_j m_j x_j of MaskConnect, and its gradients, in one pass over memory.
#pragma once

#include <cstddef>

namespace nascore::kernels {

struct MaskedShape {
  std::size_t samples = 1;  // each with masks of its own; 1 where all share them
  std::size_t size = 0;     // elements of a sample
  int inputs = 0;
};

// out [samples, size]; mask [samples, inputs]. What has a mask of 0 is not read.
template <class T>
void masked_sum(const T* const* inputs, const T* mask, MaskedShape shape, T* out);

// of_inputs[j] = m_j grad [samples, size] each, null where it is not wanted;
// of_mask [samples, inputs] = <grad, x_j>, whether j was active or not.
// The same bits for any number of threads.
template <class T>
void masked_sum_backward(const T* grad, const T* const* inputs, const T* mask, MaskedShape shape,
                         T* const* of_inputs, T* of_mask);

}  // namespace nascore::kernels
