// A whole program in one launch: a block takes one sample after the other through all instructions.
// What these hand on stays in shared memory where it fits, and otherwise in the block's own part of
// a workspace.
#include <algorithm>

#include "cell_pixels.cuh"

namespace nascore::cuda {
namespace {

struct Given {
  CellRun run;
  float* workspace;           // null: the buffers are in shared memory
  std::size_t slot, scratch;  // floats of a block's buffers, and of shared memory before them
};

__device__ void execute(const Instruction& at, const float* from, const float* weights,
                        float4* scratch, float* to) {
  switch (at.kernel) {
    case Kernel::kConv:
    case Kernel::kSepConv:
      return convolve(at, from, weights, reinterpret_cast<float*>(scratch), to);
    case Kernel::kMaxPool:
      return pool<true>(at, from, to);
    case Kernel::kAvgPool:
      return pool<false>(at, from, to);
    case Kernel::kCopy:
      return copy(at, from, weights, padded(at.out_channels), to);
    case Kernel::kPad:
      return pad(at, from, to);
    case Kernel::kFlatten:
      return flatten(at, from, to);
    case Kernel::kGlobalPool:
      return global_pool(at, from, reinterpret_cast<double*>(scratch), to);
    case Kernel::kNorm:
      return norm(at, from, weights, reinterpret_cast<double*>(scratch), to);
    case Kernel::kBatchNorm:  // the launcher refuses it
      return;
  }
}

__global__ void __launch_bounds__(kCellThreads, 2) cell_kernel(Given given) {
  NASCORE_DYNAMIC_SHARED(float4, shared);
  const CellRun& run = given.run;
  float* const buffers = given.workspace == nullptr
                             ? reinterpret_cast<float*>(shared) + given.scratch
                             : given.workspace + blockIdx.x * given.slot;
  for (std::size_t sample = blockIdx.x; sample < run.samples; sample += gridDim.x) {
    for (int i = 0; i < run.count; ++i) {
      const Instruction at = run.on_device[i];
      const float* from = buffers + at.from;
      if (at.input >= 0) {
        from = run.inputs[at.input] +
               sample * std::size_t(at.in_height * at.in_width * at.from_stride);
      }
      float* to = buffers + at.to;
      if (at.output >= 0) {
        to = run.outputs[at.output] +
             sample * std::size_t(at.out_height * at.out_width * at.to_stride);
      }
      execute(at, from + at.from_channel, at.weights < 0 ? nullptr : run.weights + at.weights,
              shared, to + at.to_channel);
      __syncthreads();
    }
  }
}

std::size_t scratch_of(const Instruction& at) {
  const int channels = at.in_channels;
  if (at.kernel == Kernel::kSepConv) {
    return std::size_t(pixels_at_once(channels)) * std::size_t(quads_of(channels) * kQuad + kPad);
  }
  if (at.kernel != Kernel::kGlobalPool && at.kernel != Kernel::kNorm) return 0;
  return 2 * std::size_t(sums_of(channels)) + 2 * std::size_t(quads_of(channels) * kQuad);
}

// Where a block's floats are, on a device that allows it `most` bytes of shared memory.
struct Layout {
  std::size_t scratch = 0, buffers = 0;
  bool in_shared = false;

  Layout(const Instruction* program, int count, std::size_t most) {
    for (int i = 0; i < count; ++i) scratch = std::max(scratch, scratch_of(program[i]));
    buffers = divide_up(static_cast<std::size_t>(buffers_of(program, count)), kQuad) * kQuad;
    in_shared = (scratch + buffers) * sizeof(float) <= most;
  }
  std::size_t shared() const { return (scratch + (in_shared ? buffers : 0)) * sizeof(float); }
};

// Whether the places in a sample are within 32 bits.
bool is_small(const Instruction& at) {
  constexpr std::int64_t kMost = std::int64_t{1} << 30;
  const auto all = [](std::int64_t a, std::int64_t b, std::int64_t c) {
    return a * b <= kMost && a * b * c <= kMost;
  };
  const auto side = [](std::int64_t out, std::int64_t stride, std::int64_t kernel,
                       std::int64_t dilation, std::int64_t pad) {
    return out * stride + kernel * dilation + (pad < 0 ? -pad : pad) <= kMost;
  };
  return all(at.in_height, at.in_width, at.from_stride) &&
         all(at.out_height, at.out_width, at.to_stride) &&
         all(at.kernel_height, at.kernel_width, padded(at.in_channels)) &&
         side(at.out_height, at.stride, at.kernel_height, at.dilation, at.pad_top) &&
         side(at.out_width, at.stride, at.kernel_width, at.dilation, at.pad_left);
}

cudaError_t check(const Instruction* program, int count) {
  for (int i = 0; i < count; ++i) {
    if (program[i].kernel == Kernel::kBatchNorm) return cudaErrorNotSupported;
    const bool quads = program[i].weights < 0 || program[i].weights % kQuad == 0;
    if (!quads || !is_small(program[i])) return cudaErrorInvalidValue;
  }
  return cudaSuccess;
}

// What the current device makes of it.
struct Plan {
  cudaError_t status;
  std::size_t shared = 0, scratch = 0, slot = 0, blocks = 0;

  Plan(const Instruction* program, int count, std::size_t samples) : status(check(program, count)) {
    int device = 0, most = 0, processors = 0, resident = 0;
    const auto step = [&](cudaError_t next) { return (status = next) == cudaSuccess; };
    if (status != cudaSuccess || !step(cudaGetDevice(&device))) return;
    if (!step(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device)) ||
        !step(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device))) {
      return;
    }
    const Layout layout(program, count, static_cast<std::size_t>(most));
    shared = layout.shared();
    scratch = layout.scratch;
    slot = layout.in_shared ? 0 : layout.buffers;
    if (!step(allow_shared(cell_kernel, shared)) ||
        !step(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, cell_kernel, kCellThreads,
                                                            shared))) {
      return;
    }
    blocks = std::min(samples, static_cast<std::size_t>(processors) *
                                   static_cast<std::size_t>(std::max(resident, 1)));
  }
};

}  // namespace

std::size_t cell_shared(const Instruction* program, int count, std::size_t most) {
  return Layout(program, count, most).shared();
}

cudaError_t cell_workspace(const Instruction* program, int count, std::size_t samples,
                           std::size_t* floats) {
  const Plan plan(program, count, samples);
  *floats = plan.slot * plan.blocks;
  return plan.status;
}

cudaError_t cell(const Instruction* program, const CellRun& run, float* workspace,
                 std::size_t floats, cudaStream_t stream) {
  const Plan plan(program, run.count, run.samples);
  if (plan.status != cudaSuccess || plan.blocks == 0) return plan.status;
  if (floats < plan.slot * plan.blocks || !is_aligned(run.weights) || !is_aligned(workspace)) {
    return cudaErrorInvalidValue;
  }
  const Given given{run, plan.slot == 0 ? nullptr : workspace, plan.slot, plan.scratch};
  NASCORE_LAUNCH(cell_kernel, static_cast<unsigned>(plan.blocks), kCellThreads, plan.shared, stream,
                 given);
  return cudaGetLastError();
}

}  // namespace nascore::cuda
