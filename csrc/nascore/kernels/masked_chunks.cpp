// Compiled once per instruction set, into the namespace NASCORE_ISA.
#include "nascore/kernels/masked_chunks.hpp"

namespace nascore::kernels::NASCORE_ISA {
namespace {

// Independent partial sums, so that the compiler may use vectors without changing any rounding.
constexpr std::size_t kLanes = 32;

template <class T>
void sum(const T* const* inputs, const T* mask, int n, std::size_t first, std::size_t count,
         T* out) {
  T* const y = out + first;
  bool begun = false;
  for (int j = 0; j < n; ++j) {
    const T m = mask[j];
    if (m == 0) continue;
    const T* const x = inputs[j] + first;
    if (begun) {
      for (std::size_t i = 0; i < count; ++i) y[i] += m * x[i];
    } else {
      for (std::size_t i = 0; i < count; ++i) y[i] = m * x[i];
    }
    begun = true;
  }
  if (!begun) {
    for (std::size_t i = 0; i < count; ++i) y[i] = 0;
  }
}

template <class T>
double dot(const T* x, const T* y, std::size_t count) {
  T lanes[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += x[i + lane] * y[i + lane];
  }
  double total = 0;
  for (; i < count; ++i) total += double(x[i]) * double(y[i]);
  for (const T lane : lanes) total += double(lane);
  return total;
}

template <class T>
void backward(const T* grad, const T* const* inputs, const T* mask, int n, std::size_t first,
              std::size_t count, T* const* of_inputs, double* dots) {
  const T* const g = grad + first;
  for (int j = 0; j < n; ++j) {
    dots[j] = dot(g, inputs[j] + first, count);
    if (of_inputs[j] == nullptr) continue;
    const T m = mask[j];
    T* const gradient = of_inputs[j] + first;
    for (std::size_t i = 0; i < count; ++i) gradient[i] = m == 0 ? T(0) : m * g[i];
  }
}

}  // namespace

template <class T>
MaskedChunks<T> masked_chunks() {
  return {&sum<T>, &backward<T>};
}

template MaskedChunks<float> masked_chunks<float>();
template MaskedChunks<double> masked_chunks<double>();

}  // namespace nascore::kernels::NASCORE_ISA
