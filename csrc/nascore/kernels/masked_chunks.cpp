// Compiled once per instruction set, into the namespace NASCORE_ISA.
#include "nascore/kernels/masked_chunks.hpp"

#include <algorithm>

namespace nascore::kernels::NASCORE_ISA {
namespace {

// Inputs that are read side by side: so many streams from memory run faster than one.
constexpr int kGroup = 4;
// Independent partial sums, so that the compiler may use vectors without changing any rounding.
constexpr std::size_t kLanes = 16;

// y = y + sum_j m_j x_j of N inputs, from the left; without y where these are the first.
template <int N, bool kFirst, class T>
void add(const T* const* inputs, const T* mask, std::size_t count, T* __restrict y) {
  const T* x[N];
  T m[N];
  for (int j = 0; j < N; ++j) {
    x[j] = inputs[j];
    m[j] = mask[j];
  }
  for (std::size_t i = 0; i < count; ++i) {
    T total = kFirst ? m[0] * x[0][i] : y[i] + m[0] * x[0][i];
    for (int j = 1; j < N; ++j) total += m[j] * x[j][i];
    y[i] = total;
  }
}

template <int N, class T>
void add(const T* const* inputs, const T* mask, std::size_t count, T* y, bool first) {
  first ? add<N, true>(inputs, mask, count, y) : add<N, false>(inputs, mask, count, y);
}

template <class T>
void sum(const T* const* inputs, const T* mask, int n, std::size_t first, std::size_t count,
         T* out) {
  T* const y = out + first;
  const T* x[kGroup];
  T m[kGroup];
  int waiting = 0;
  bool begun = false;
  for (int j = 0; j < n; ++j) {
    if (mask[j] == 0) continue;
    x[waiting] = inputs[j] + first;
    m[waiting++] = mask[j];
    if (waiting < kGroup) continue;
    add<kGroup>(x, m, count, y, !begun);
    begun = true;
    waiting = 0;
  }
  if (waiting == 3) add<3>(x, m, count, y, !begun);
  if (waiting == 2) add<2>(x, m, count, y, !begun);
  if (waiting == 1) add<1>(x, m, count, y, !begun);
  if (!begun && waiting == 0) std::fill_n(y, count, T(0));
}

// <y, x_j> of N inputs.
template <int N, class T>
void dots_of(const T* const* inputs, std::size_t first, const T* y, std::size_t count,
             double* dots) {
  T lanes[N][kLanes] = {};
  const T* x[N];
  for (int j = 0; j < N; ++j) x[j] = inputs[j] + first;
  const std::size_t whole = count - count % kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (int j = 0; j < N; ++j) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        lanes[j][lane] += x[j][i + lane] * y[i + lane];
      }
    }
  }
  for (int j = 0; j < N; ++j) {
    double total = 0;
    for (std::size_t i = whole; i < count; ++i) total += double(x[j][i]) * double(y[i]);
    for (const T lane : lanes[j]) total += double(lane);
    dots[j] = total;
  }
}

template <class T>
void backward(const T* grad, const T* const* inputs, const T* mask, int n, std::size_t first,
              std::size_t count, T* const* of_inputs, double* dots) {
  const T* const g = grad + first;
  int j = 0;
  for (; j + kGroup <= n; j += kGroup) dots_of<kGroup>(inputs + j, first, g, count, dots + j);
  for (; j < n; ++j) dots_of<1>(inputs + j, first, g, count, dots + j);
  for (j = 0; j < n; ++j) {
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
