#include "nascore/kernels/masked_sum.hpp"

#include <algorithm>
#include <vector>

#include "nascore/kernels/isa.hpp"
#include "nascore/kernels/masked_chunks.hpp"

namespace nascore::kernels {
namespace {

constexpr std::size_t kChunk = 8192;        // elements: of the output, stays in the second cache
constexpr std::size_t kSerial = 64 * 1024;  // elements in all, below which a team costs more

template <class T>
const MaskedChunks<T>& chunks() {
#if defined(NASCORE_X86)
  static const PerIsa<MaskedChunks<T>> found{&baseline::masked_chunks<T>, &avx2::masked_chunks<T>,
                                             &avx512::masked_chunks<T>};
#else
  static const PerIsa<MaskedChunks<T>> found{&baseline::masked_chunks<T>};
#endif
  return found.chosen();
}

}  // namespace

template <class T>
void masked_sum(const T* const* inputs, const T* mask, MaskedShape shape, T* out) {
  const auto& kernel = chunks<T>();
  const std::size_t per_sample = (shape.size + kChunk - 1) / kChunk;
  const auto total = static_cast<std::ptrdiff_t>(shape.samples * per_sample);
  const std::size_t work = shape.samples * shape.size * static_cast<std::size_t>(shape.inputs);
#pragma omp parallel for schedule(static) if (work > kSerial)
  for (std::ptrdiff_t chunk = 0; chunk < total; ++chunk) {
    const std::size_t sample = static_cast<std::size_t>(chunk) / per_sample;
    const std::size_t begin = static_cast<std::size_t>(chunk) % per_sample * kChunk;
    const std::size_t count = std::min(kChunk, shape.size - begin);
    kernel.sum(inputs, mask + sample * static_cast<std::size_t>(shape.inputs), shape.inputs,
               sample * shape.size + begin, count, out);
  }
}

template <class T>
void masked_sum_backward(const T* grad, const T* const* inputs, const T* mask, MaskedShape shape,
                         T* const* of_inputs, T* of_mask) {
  const auto& kernel = chunks<T>();
  const auto n = static_cast<std::size_t>(shape.inputs);
  const std::size_t per_sample = (shape.size + kChunk - 1) / kChunk;
  const auto total = static_cast<std::ptrdiff_t>(shape.samples * per_sample);
  std::vector<double> dots(static_cast<std::size_t>(total) * n);
#pragma omp parallel for schedule(static) if (shape.samples * shape.size * n > kSerial)
  for (std::ptrdiff_t chunk = 0; chunk < total; ++chunk) {
    const std::size_t sample = static_cast<std::size_t>(chunk) / per_sample;
    const std::size_t begin = static_cast<std::size_t>(chunk) % per_sample * kChunk;
    const std::size_t count = std::min(kChunk, shape.size - begin);
    kernel.backward(grad, inputs, mask + sample * n, shape.inputs, sample * shape.size + begin,
                    count, of_inputs, &dots[static_cast<std::size_t>(chunk) * n]);
  }
  for (std::size_t sample = 0; sample < shape.samples; ++sample) {
    for (std::size_t j = 0; j < n; ++j) {
      double of_one = 0;
      for (std::size_t chunk = 0; chunk < per_sample; ++chunk) {
        of_one += dots[(sample * per_sample + chunk) * n + j];
      }
      of_mask[sample * n + j] = static_cast<T>(of_one);
    }
  }
}

template void masked_sum(const float* const*, const float*, MaskedShape, float*);
template void masked_sum(const double* const*, const double*, MaskedShape, double*);
template void masked_sum_backward(const float*, const float* const*, const float*, MaskedShape,
                                  float* const*, float*);
template void masked_sum_backward(const double*, const double* const*, const double*, MaskedShape,
                                  double* const*, double*);

}  // namespace nascore::kernels
