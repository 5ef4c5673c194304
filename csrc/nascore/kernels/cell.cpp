#include "nascore/kernels/cell.hpp"

#include <omp.h>

#include <algorithm>
#include <memory>
#include <new>

#include "nascore/kernels/memory.hpp"
#include "nascore/kernels/packing.hpp"
#include "nascore/kernels/stages.hpp"

namespace nascore::kernels {
namespace {

constexpr std::int64_t kSerial = 1 << 20;  // multiply-adds below which a team costs more
constexpr std::int64_t kKept = 1 << 24;    // floats of room that a thread keeps between calls

// A thread's own memory, which its next call finds again.
class Workspace {
 public:
  float* of(std::int64_t floats) {
    if (floats > size_) {
      clear();  // first, so that a failure leaves nothing of the old size
      memory_ = lines(floats);
      size_ = floats;
    }
    return memory_.get();
  }
  void shrink() {
    if (size_ > kKept) clear();
  }

 private:
  void clear() {
    memory_.reset();
    size_ = 0;
  }

  Lines memory_;
  std::int64_t size_ = 0;
};
thread_local Workspace buffers, scratch;

std::int64_t taps(const Instruction& at) {
  return std::int64_t{at.kernel_height} * at.kernel_width;
}

// Multiply-adds, or what takes about as long.
std::int64_t work_of(const Instruction& at) {
  const std::int64_t out = std::int64_t{at.out_height} * at.out_width * at.out_channels;
  if (at.kernel == Kernel::kConv) return out * taps(at) * at.in_channels;
  if (at.kernel == Kernel::kSepConv) return out * at.in_channels + out * taps(at);
  return 4 * out * taps(at);
}

class Runner {
 public:
  explicit Runner(const Run& program) : program_(program) {
    for (int i = 0; i < program.count; ++i) {
      const Instruction& at = program.instructions[i];
      work_ += work_of(at);
      scratch_ = std::max(scratch_, scratch_of(at, band_of(at, at.out_height)));
      by_instruction_ = by_instruction_ || at.kernel == Kernel::kBatchNorm;
    }
    size_ = buffers_of(program.instructions, program.count);
    threads_ = work_ * program.samples < kSerial ? 1 : omp_get_max_threads();
    by_instruction_ = by_instruction_ || program.samples < threads_;
  }

  void run() {
    if (by_instruction_) {
      instruction_by_instruction();
    } else {
      sample_by_sample();
    }
  }

 private:
  static std::int64_t floats(std::int64_t height, std::int64_t width, std::int64_t stride) {
    return height * width * stride;
  }

  // `slot` of `slots` samples that share a thread's buffers.
  Work work(const Instruction& at, std::int64_t sample, float* memory, std::int64_t slots) const {
    const std::int64_t in = floats(at.in_height, at.in_width, at.from_stride);
    const std::int64_t out = floats(at.out_height, at.out_width, at.to_stride);
    const std::int64_t slot = slots == 1 ? 0 : sample;
    const float* const from = at.input >= 0 ? program_.inputs[at.input] + sample * in
                                            : memory + slots * at.from + slot * in;
    float* const to = at.output >= 0 ? program_.outputs[at.output] + sample * out
                                     : memory + slots * at.to + slot * out;
    const float* const weights = at.weights < 0 ? nullptr : program_.weights + at.weights;
    return {&at, from + at.from_channel, to + at.to_channel, weights, 0, at.out_height, nullptr};
  }

  void rows(Work work, int first, int band) const {
    const Instruction& at = *work.instruction;
    work.first = first;
    work.last = std::min(first + band, at.out_height);
    work.scratch = scratch.of(scratch_of(at, band));
    stages_.of[static_cast<int>(at.kernel)](work);
  }

  void one(std::int64_t sample, float* memory) const {
    for (int i = 0; i < program_.count; ++i) {
      const Instruction& at = program_.instructions[i];
      const Work all = work(at, sample, memory, 1);
      const int band = band_of(at, at.out_height);
      for (int first = 0; first < at.out_height; first += band) rows(all, first, band);
    }
  }

  // Each sample alone, so that its buffers stay in the cache.
  void sample_by_sample() const {
    if (threads_ == 1) {  // even a team of one takes time
      float* const memory = reserve(size_);
      if (memory == nullptr) throw std::bad_alloc();
      for (std::int64_t sample = 0; sample < program_.samples; ++sample) one(sample, memory);
      buffers.shrink();
      scratch.shrink();
      return;
    }
    bool failed = false;
#pragma omp parallel num_threads(threads_) reduction(|| : failed)
    {
      float* const memory = reserve(size_);
      failed = memory == nullptr;
#pragma omp for schedule(dynamic)
      for (std::int64_t sample = 0; sample < program_.samples; ++sample) {
        if (!failed) one(sample, memory);
      }
      buffers.shrink();
      scratch.shrink();
    }
    if (failed) throw std::bad_alloc();
  }

  // A thread's buffers, and room for `rows`; null where there is none, since what leaves a team
  // ends the process.
  float* reserve(std::int64_t floats) const {
    try {
      scratch.of(scratch_);
      return buffers.of(std::max<std::int64_t>(floats, 1));
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
  }

  // Each instruction for all samples before the next.
  void instruction_by_instruction() const {
    const std::int64_t slots = program_.samples;
    float* const memory = buffers.of(slots * size_);
    bool failed = false;
#pragma omp parallel num_threads(threads_) if (threads_ > 1) reduction(|| : failed)
    failed = reserve(0) == nullptr;
    if (failed) throw std::bad_alloc();
    std::vector<float> own;
    for (int i = 0; i < program_.count; ++i) {
      const Instruction& at = program_.instructions[i];
      if (at.kernel == Kernel::kBatchNorm) own = normalised(at, memory);
      const int share = (at.out_height + threads_ - 1) / threads_;
      const int band = band_of(at, slots >= threads_ ? at.out_height : share);
      const int bands = (at.out_height + band - 1) / band;
      const std::int64_t tasks = slots * bands;
#pragma omp parallel for num_threads(threads_) if (work_of(at) * slots >= kSerial)
      for (std::int64_t task = 0; task < tasks; ++task) {
        Work all = work(at, task / bands, memory, slots);
        if (at.kernel == Kernel::kBatchNorm) all.weights = own.data();
        rows(all, static_cast<int>(task % bands) * band, band);
      }
    }
    buffers.shrink();
  }

  // Scale and shift [2, padded] of each channel by the mean and variance over all samples.
  std::vector<float> normalised(const Instruction& at, float* memory) const {
    const auto channels = static_cast<std::size_t>(at.in_channels);
    std::vector<double> sums(static_cast<std::size_t>(program_.samples) * 2 * channels);
#pragma omp parallel for num_threads(threads_) if (work_of(at) * program_.samples >= kSerial)
    for (std::int64_t sample = 0; sample < program_.samples; ++sample) {
      const Work all = work(at, sample, memory, program_.samples);
      stages_.statistics(all, &sums[static_cast<std::size_t>(sample) * 2 * channels]);
    }
    const double pixels = double(program_.samples) * at.in_height * at.in_width;
    const float* const weights = program_.weights + at.weights;
    return batch_norm(sums.data(), program_.samples, at.in_channels, pixels, weights,
                      weights + padded(at.in_channels), kEpsilon);
  }

  const Run& program_;
  const Stages& stages_ = stages();
  std::int64_t work_ = 0, size_ = 0, scratch_ = 0;  // of one sample
  int threads_;
  bool by_instruction_ = false;
};

}  // namespace

void run(const Run& program) {
  if (program.samples > 0) Runner(program).run();
}

}  // namespace nascore::kernels
