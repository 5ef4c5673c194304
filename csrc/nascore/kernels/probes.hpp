// How fast this machine computes, for benchmarks to stand beside.
#pragma once

#include <cstdint>

namespace nascore::kernels {

// `steps` multiply-adds in every lane of chains that wait for nothing, on all OpenMP threads, by
// the instruction set that the kernels use. The floating-point operations that were done.
double multiply_adds(std::int64_t steps);

}  // namespace nascore::kernels
