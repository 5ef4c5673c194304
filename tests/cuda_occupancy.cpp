// Reads lines of: architecture (80 or 90), registers, static and dynamic shared memory, threads;
// writes how many such blocks a multiprocessor of an A100 (H100) holds, by CUDA's own rules.
#include <cuda_occupancy.h>

#include <cstdio>

int main() {
  int architecture, registers, threads;
  unsigned long fixed, dynamic;
  while (std::scanf("%d %d %lu %lu %d", &architecture, &registers, &fixed, &dynamic, &threads) ==
         5) {
    const bool hopper = architecture == 90;
    cudaOccDeviceProp device;
    device.computeMajor = architecture / 10;
    device.computeMinor = architecture % 10;
    device.maxThreadsPerBlock = 1024;
    device.maxThreadsPerMultiprocessor = 2048;
    device.regsPerBlock = device.regsPerMultiprocessor = 65536;
    device.warpSize = 32;
    device.sharedMemPerBlock = 48 * 1024;
    device.sharedMemPerMultiprocessor = (hopper ? 228 : 164) * 1024;
    device.sharedMemPerBlockOptin = (hopper ? 227 : 163) * 1024;
    device.reservedSharedMemPerBlock = 1024;
    device.numSms = hopper ? 132 : 108;
    cudaOccFuncAttributes kernel;
    kernel.maxThreadsPerBlock = 1024;
    kernel.numRegs = registers;
    kernel.sharedSizeBytes = fixed;
    kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
    kernel.maxDynamicSharedSizeBytes = dynamic;
    kernel.numBlockBarriers = 1;
    const cudaOccDeviceState state;
    cudaOccResult result;
    if (cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, threads,
                                                dynamic) != CUDA_OCC_SUCCESS) {
      return 1;
    }
    std::printf("%d\n", result.activeBlocksPerMultiprocessor);
  }
}
