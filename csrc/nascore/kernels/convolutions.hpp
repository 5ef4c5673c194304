// Convolutions of one sample, compiled once per instruction set into the namespace NASCORE_ISA.
#pragma once

#include "nascore/kernels/stages.hpp"

namespace nascore::kernels::NASCORE_ISA {

void convolve(const Work& work);
void separable(const Work& work);

}  // namespace nascore::kernels::NASCORE_ISA
