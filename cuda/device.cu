#include <cuda_runtime.h>

#include "kernels.hpp"

namespace nascore::cuda {

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

}  // namespace nascore::cuda
