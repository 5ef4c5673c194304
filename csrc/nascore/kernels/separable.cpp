#include "nascore/kernels/separable.hpp"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "nascore/kernels/packing.hpp"
#include "nascore/kernels/separable_sample.hpp"
#include "nascore/kernels/stages.hpp"

namespace nascore::kernels {
namespace {

constexpr std::int64_t kSerial = 1 << 20;  // multiply-adds below which a team costs more
constexpr std::int64_t kChunks = 8;        // of samples, whose gradients are summed in order

using Floats = std::vector<float>;

Instruction instruction_of(const Separable& shape) {
  Instruction at{};
  at.kernel = Kernel::kSepConv;
  at.in_channels = at.from_stride = shape.channels;
  at.in_height = shape.height;
  at.in_width = shape.width;
  at.out_channels = at.to_stride = shape.out_channels;
  at.out_height = shape.out_height();
  at.out_width = shape.out_width();
  at.kernel_height = at.kernel_width = shape.kernel;
  at.stride = shape.stride;
  at.dilation = shape.dilation;
  at.pad_top = at.pad_left = shape.dilation * (shape.kernel / 2);
  at.relu = 1;
  return at;
}

int threads_for(const Separable& shape) {
  const std::int64_t pixels = shape.samples * shape.out_height() * shape.out_width();
  const std::int64_t taps = std::int64_t{shape.kernel} * shape.kernel;
  const bool small = pixels * shape.channels * (taps + shape.out_channels) < kSerial;
  return small ? 1 : omp_get_max_threads();
}

// part(i, thread) for i below `count`. Alone where there is one thread: even a team of one takes
// time.
template <class Part>
void share(int threads, std::int64_t count, const Part& part) {
  if (threads == 1) {
    for (std::int64_t i = 0; i < count; ++i) part(i, 0);
    return;
  }
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::int64_t i = 0; i < count; ++i) part(i, omp_get_thread_num());
}

std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }

Floats packed_weights(const Instruction& at, const SeparableWeights& weights, const float* scale,
                      const float* shift) {
  Floats packed(size(weights_of(at)));
  const std::int64_t taps = std::int64_t{at.kernel_height} * at.kernel_width;
  pack_depthwise(weights.depthwise, at.in_channels, taps, packed.data());
  pack_convolution(weights.pointwise, scale, shift, at.out_channels, at.in_channels, 1, 1,
                   packed.data() + taps * padded(at.in_channels));
  return packed;
}

}  // namespace

void separable_forward(const Separable& shape, const SeparableWeights& weights, float epsilon,
                       const float* x, float* raw, float* out, float* mean, float* variance) {
  const Instruction at = instruction_of(shape);
  const std::int64_t in = std::int64_t{at.in_height} * at.in_width * at.in_channels;
  const std::int64_t outs = std::int64_t{at.out_height} * at.out_width * at.out_channels;
  const auto channels = size(shape.out_channels);
  const Floats ones(channels, 1);
  const Floats packed = packed_weights(at, weights, ones.data(), nullptr);
  Instruction norm = at;  // of `raw`
  norm.kernel = Kernel::kCopy;
  norm.relu = norm.weights = 0;
  norm.in_channels = norm.from_stride = at.out_channels;
  norm.in_height = at.out_height;
  norm.in_width = at.out_width;
  std::vector<double> sums(size(shape.samples) * 2 * channels);
  const int threads = threads_for(shape);
  const Stages& stage = stages();  // of one instruction set, whatever is chosen meanwhile
  const int band = band_of(at, at.out_height);
  const std::int64_t each = whole_lines(scratch_of(at, band));
  const Lines scratch = lines(threads * each);  // here, since what a team throws ends the process
  share(threads, shape.samples, [&](std::int64_t n, int thread) {
    float* const own = scratch.get() + thread * each;
    Work work{&at, x + n * in, raw + n * outs, packed.data(), 0, 0, own};
    for (int first = 0; first < at.out_height; first += band) {
      work.first = first;
      work.last = std::min(first + band, at.out_height);
      stage.of[static_cast<int>(Kernel::kSepConv)](work);
    }
    const Work whole{&norm, raw + n * outs, nullptr, nullptr, 0, at.out_height, nullptr};
    stage.statistics(whole, &sums[size(n) * 2 * channels]);
  });
  const double pixels = double(shape.samples) * at.out_height * at.out_width;
  const Floats affine = batch_norm(sums.data(), shape.samples, at.out_channels, pixels,
                                   weights.scale, weights.shift, epsilon, mean, variance);
  share(threads, shape.samples, [&](std::int64_t n, int) {
    stage.of[static_cast<int>(Kernel::kCopy)](
        {&norm, raw + n * outs, out + n * outs, affine.data(), 0, at.out_height, nullptr});
  });
}

void separable_backward(const Separable& shape, const SeparableWeights& weights, float epsilon,
                        const float* grad, const float* x, const float* raw, const float* mean,
                        const float* variance, const SeparableGradients& of) {
  const Instruction at = instruction_of(shape);
  const std::int64_t in = std::int64_t{at.in_height} * at.in_width * at.in_channels;
  const std::int64_t outs = std::int64_t{at.out_height} * at.out_width * at.out_channels;
  const std::int64_t taps = std::int64_t{shape.kernel} * shape.kernel;
  const std::int64_t channels = padded(at.in_channels), width = padded(at.out_channels);
  const auto sample = [&](std::int64_t n) {
    return SeparableSample{&at, x + n * in, raw + n * outs, grad + n * outs};
  };
  const SeparableStages& stages = separable_stages();
  const int threads = threads_for(shape);
  std::vector<double> sums(size(shape.samples * 2 * at.out_channels));
  share(threads, shape.samples,
        [&](std::int64_t n, int) { stages.sums(sample(n), &sums[size(n * 2 * at.out_channels)]); });
  const double pixels = double(shape.samples) * at.out_height * at.out_width;
  Floats norm(size(3 * width));
  for (std::int64_t c = 0; c < at.out_channels; ++c) {
    double of_shift = 0, product = 0;
    for (std::int64_t n = 0; n < shape.samples; ++n) {
      of_shift += sums[size(n * 2 * at.out_channels + c)];
      product += sums[size((n * 2 + 1) * at.out_channels + c)];
    }
    const double inverse = 1 / std::sqrt(double(variance[c]) + epsilon);
    const double of_scale = inverse * (product - mean[c] * of_shift);
    const double slope = weights.scale[c] * inverse;
    of.scale[c] = static_cast<float>(of_scale);
    of.shift[c] = static_cast<float>(of_shift);
    norm[size(c)] = static_cast<float>(slope);
    norm[size(width + c)] = static_cast<float>(-slope * inverse * of_scale / pixels);
    norm[size(2 * width + c)] =
        static_cast<float>(slope * (mean[c] * inverse * of_scale - of_shift) / pixels);
  }
  Floats depthwise(size(taps * channels)), flipped(size(taps * channels));
  pack_depthwise(weights.depthwise, at.in_channels, taps, depthwise.data());
  for (std::int64_t t = 0; t < taps; ++t) {
    const auto first = depthwise.begin() + t * channels;
    std::copy(first, first + channels, flipped.begin() + (taps - 1 - t) * channels);
  }
  Floats turned(size(at.in_channels) * size(at.out_channels)), ones(size(at.in_channels), 1);
  for (std::int64_t o = 0; o < at.out_channels; ++o) {
    for (std::int64_t i = 0; i < at.in_channels; ++i) {
      turned[size(i * at.out_channels + o)] = weights.pointwise[o * at.in_channels + i];
    }
  }
  Floats transposed(size(packed_size(at.out_channels, at.in_channels)));
  pack_convolution(turned.data(), ones.data(), nullptr, at.in_channels, at.out_channels, 1, 1,
                   transposed.data());
  const std::int64_t chunks = std::min(kChunks, shape.samples);
  const std::int64_t floats = taps * channels + at.in_channels * width;
  Floats partial(size(chunks * floats));
  const std::int64_t each = separable_scratch(at);
  const Lines scratch = lines(threads * each);
  share(threads, chunks, [&](std::int64_t chunk, int thread) {
    float* const room = scratch.get() + thread * each;
    float* const own = &partial[size(chunk * floats)];
    const std::int64_t last = (chunk + 1) * shape.samples / chunks;
    for (std::int64_t n = chunk * shape.samples / chunks; n < last; ++n) {
      stages.backward(sample(n), {depthwise.data(), flipped.data(), transposed.data(), norm.data(),
                                  of.x + n * in, own, own + taps * channels, room});
    }
  });
  for (std::int64_t chunk = 1; chunk < chunks; ++chunk) {
    for (std::int64_t i = 0; i < floats; ++i) {
      partial[size(i)] += partial[size(chunk * floats + i)];
    }
  }
  for (std::int64_t i = 0; i < at.in_channels; ++i) {
    for (std::int64_t t = 0; t < taps; ++t) {
      of.depthwise[i * taps + t] = partial[size(t * channels + i)];
    }
    for (std::int64_t o = 0; o < at.out_channels; ++o) {
      of.pointwise[o * at.in_channels + i] = partial[size(taps * channels + i * width + o)];
    }
  }
}

}  // namespace nascore::kernels
