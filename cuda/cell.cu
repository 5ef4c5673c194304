// A whole program in one launch: a block takes one sample after the other through all instructions.
// What these hand on stays in shared memory where it fits, and otherwise in the block's own part of
// a workspace.
#include <algorithm>

#include "cell_pixels.cuh"

namespace nascore::cuda {
namespace {

template <class T>
struct Given {
  CellRun<T> run;
  T* workspace;               // null: the buffers are in shared memory
  std::size_t slot, scratch;  // elements of a block's buffers, and bytes of shared memory before
};

template <class T>
__device__ void execute(const Instruction& at, const T* from, const float* weights, float4* scratch,
                        T* to) {
  switch (at.kernel) {
    case Kernel::kConv:
    case Kernel::kSepConv:
      return convolve(at, from, weights, reinterpret_cast<T*>(scratch), to);
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

template <class T>
__global__ void __launch_bounds__(kCellThreads, 2) cell_kernel(Given<T> given) {
  NASCORE_DYNAMIC_SHARED(float4, shared);
  const CellRun<T>& run = given.run;
  T* const buffers = given.workspace == nullptr
                         ? reinterpret_cast<T*>(shared + given.scratch / sizeof(float4))
                         : given.workspace + blockIdx.x * given.slot;
  for (std::size_t sample = blockIdx.x; sample < run.samples; sample += gridDim.x) {
    for (int i = 0; i < run.count; ++i) {
      const Instruction at = run.on_device[i];
      const T* from = buffers + at.from;
      if (at.input >= 0) {
        from = run.inputs[at.input] +
               sample * std::size_t(at.in_height * at.in_width * at.from_stride);
      }
      T* to = buffers + at.to;
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

// Bytes, whole vectors.
template <class T>
std::size_t scratch_of(const Instruction& at) {
  const int channels = at.in_channels;
  if (at.kernel == Kernel::kSepConv) {
    return std::size_t(pixels_at_once<T>(channels)) * std::size_t(mixed_stride<T>(channels)) *
           sizeof(T);
  }
  if (at.kernel != Kernel::kGlobalPool && at.kernel != Kernel::kNorm) return 0;
  const std::size_t own = 2 * std::size_t(vectors_of<T>(channels) * kLanes<T>);
  return std::size_t(sums_of<T>(at)) * sizeof(double) + own * sizeof(float);
}

// Where what a block hands on is, on a device that allows it `most` bytes of shared memory.
template <class T>
struct Layout {
  std::size_t scratch = 0, buffers = 0;  // bytes, and elements that are whole vectors
  bool in_shared = false;

  Layout(const Instruction* program, int count, std::size_t most) {
    for (int i = 0; i < count; ++i) scratch = std::max(scratch, scratch_of<T>(program[i]));
    buffers = divide_up(static_cast<std::size_t>(buffers_of(program, count)), kLanes<T>);
    buffers *= kLanes<T>;
    in_shared = scratch + buffers * sizeof(T) <= most;
  }
  std::size_t shared() const { return scratch + (in_shared ? buffers * sizeof(T) : 0); }
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
template <class T>
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
    const Layout<T> layout(program, count, static_cast<std::size_t>(most));
    shared = layout.shared();
    scratch = layout.scratch;
    slot = layout.in_shared ? 0 : layout.buffers;
    if (!step(allow_shared(cell_kernel<T>, shared)) ||
        !step(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, cell_kernel<T>, kCellThreads,
                                                            shared))) {
      return;
    }
    blocks = std::min(samples, static_cast<std::size_t>(processors) *
                                   static_cast<std::size_t>(std::max(resident, 1)));
  }
};

}  // namespace

template <class T>
std::size_t cell_shared(const Instruction* program, int count, std::size_t most) {
  return Layout<T>(program, count, most).shared();
}

template <class T>
cudaError_t cell_workspace(const Instruction* program, int count, std::size_t samples,
                           std::size_t* elements) {
  const Plan<T> plan(program, count, samples);
  *elements = plan.slot * plan.blocks;
  return plan.status;
}

template <class T>
cudaError_t cell(const Instruction* program, const CellRun<T>& run, T* workspace,
                 std::size_t elements, cudaStream_t stream) {
  const Plan<T> plan(program, run.count, run.samples);
  if (plan.status != cudaSuccess || plan.blocks == 0) return plan.status;
  if (elements < plan.slot * plan.blocks || !is_aligned(run.weights) || !is_aligned(workspace)) {
    return cudaErrorInvalidValue;
  }
  const Given<T> given{run, plan.slot == 0 ? nullptr : workspace, plan.slot, plan.scratch};
  NASCORE_LAUNCH(cell_kernel<T>, static_cast<unsigned>(plan.blocks), kCellThreads, plan.shared,
                 stream, given);
  return cudaGetLastError();
}

#define NASCORE_CELL(T)                                                                       \
  template std::size_t cell_shared<T>(const Instruction*, int, std::size_t);                  \
  template cudaError_t cell_workspace<T>(const Instruction*, int, std::size_t, std::size_t*); \
  template cudaError_t cell(const Instruction*, const CellRun<T>&, T*, std::size_t, cudaStream_t);
NASCORE_CELL(float)
NASCORE_CELL(__half)
NASCORE_CELL(__nv_bfloat16)
#undef NASCORE_CELL

}  // namespace nascore::cuda
