// Launches: their limits, the order of blocks, and the calls of the runtime that launchers make.
#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <utility>

#include "accesses.hpp"
#include "device.hpp"
#include "emulator.hpp"
#include "runtime_api.h"

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
// One report does not end the program, so that a test can see that there was one.
extern "C" const char* __asan_default_options() { return "halt_on_error=0:suppress_equal_pcs=0"; }
#endif

namespace emulator {
namespace {

constexpr int kProcessors = 3;  // few, so that persistent grids have something to loop over

int order = 0;
int architecture = 80;
cudaError_t last_error = cudaSuccess;
std::map<const void*, std::size_t> dynamic_limit;  // where a kernel asked for more
std::vector<std::string> found;
std::string kernel_name;
char* dynamic = nullptr;

std::size_t shared_optin() { return (architecture == 80 ? 163u : 227u) << 10; }

cudaError_t limits(const Launch& launch) {
  const dim3 grid = launch.grid, block = launch.block;
  const std::size_t threads = std::size_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > kMaxThreads || block.z > 64) return cudaErrorInvalidConfiguration;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return cudaErrorInvalidConfiguration;
  if (grid.x > 0x7FFFFFFF || grid.y > 65535 || grid.z > 65535) return cudaErrorInvalidConfiguration;
  const std::size_t fixed = static_shared(launch.kernel);
  if (fixed > kSharedByDefault) return cudaErrorInvalidValue;
  const auto asked = dynamic_limit.find(launch.kernel);
  const std::size_t limit = asked == dynamic_limit.end() ? kSharedByDefault - fixed : asked->second;
  return launch.shared > limit ? cudaErrorInvalidValue : cudaSuccess;
}

std::vector<std::size_t> order_of_blocks(std::size_t count) {
  std::vector<std::size_t> blocks(count);
  std::iota(blocks.begin(), blocks.end(), 0u);
  if (order == 1) std::reverse(blocks.begin(), blocks.end());
  std::mt19937 random(static_cast<unsigned>(order));
  if (order > 1) std::shuffle(blocks.begin(), blocks.end(), random);
  return blocks;
}

#if defined(__SANITIZE_ADDRESS__)
void take_report(const char* report) {
  const std::string text = report;
  const std::size_t start = std::min(text.find("AddressSanitizer:"), text.size());
  const std::size_t end = text.find(' ', text.find(' ', start) + 1);
  add_problem(text.substr(start, end - start));
}
#endif

}  // namespace

void set_order(int next) { order = next; }
void set_device(int next) {
  architecture = next;
  dynamic_limit.clear();
}

const std::vector<std::string>& problems() { return found; }
void forget_problems() { found.clear(); }

void add_problem(const std::string& problem) {
  const std::string text = kernel_name + ": " + problem;
  if (std::find(found.begin(), found.end(), text) == found.end()) found.push_back(text);
}

void* dynamic_shared() { return dynamic; }

void launch(const Launch& launch, std::function<void()> body) {
  if (const cudaError_t error = limits(launch)) {
    last_error = error;
    return;
  }
#if defined(__SANITIZE_ADDRESS__)
  __asan_set_error_report_callback(&take_report);
#endif
  kernel_name = name_of(launch.kernel);
  gridDim = launch.grid;
  blockDim = launch.block;
  set_kernel(std::move(body));
  see_launch();
  Array<char> shared(launch.shared);
  dynamic = shared.data();
  for (const std::size_t i : order_of_blocks(std::size_t{gridDim.x} * gridDim.y * gridDim.z)) {
    blockIdx = {static_cast<unsigned>(i % gridDim.x),
                static_cast<unsigned>(i / gridDim.x % gridDim.y),
                static_cast<unsigned>(i / gridDim.x / gridDim.y)};
    spoil_static_shared();
    std::memset(dynamic, 0xFF, launch.shared);
    see_block(static_cast<int>(i), dynamic);
    if (!run_block(launch.block, order)) {
      last_error = cudaErrorLaunchFailure;
      break;
    }
  }
  see_block(0, nullptr);
}

}  // namespace emulator

using namespace emulator;

cudaError_t cudaPeekAtLastError() { return last_error; }
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorNotSupported:
      return "operation not supported";
  }
  return "unknown error";
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = kProcessors;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = architecture / 10;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = architecture % 10;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(shared_optin());
      return cudaSuccess;
  }
  return cudaErrorInvalidValue;
}

cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t) {
  std::memset(memory, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  const auto bytes = static_cast<std::size_t>(value);
  if (value < 0 || bytes + static_shared(kernel) > shared_optin()) return cudaErrorInvalidValue;
  dynamic_limit[kernel] = bytes;
  return cudaSuccess;
}

// By threads and shared memory alone; registers are ptxas's to know.
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* kernel,
                                                          int threads, std::size_t shared) {
  const std::size_t bytes = shared + static_shared(kernel) + 1024;  // and 1 KB of the system
  *blocks = std::min({32, 2048 / threads, static_cast<int>((shared_optin() + 1024) / bytes)});
  return cudaSuccess;
}
