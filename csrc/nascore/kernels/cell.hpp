// Runs a program: a whole block, cell or network in one call.
#pragma once

#include <cstdint>
#include <vector>

#include "nascore/program.hpp"

namespace nascore::kernels {

// Samples lie one after the other in each input and output, as [height, width, channels] each.
struct Run {
  const Instruction* instructions;
  int count;
  const float* weights;
  std::int64_t samples;
  const float* const* inputs;
  float* const* outputs;
};

// Of a program that `validate` accepts. The same bits for any number of threads. Throws bad_alloc.
void run(const Run& program);

}  // namespace nascore::kernels
