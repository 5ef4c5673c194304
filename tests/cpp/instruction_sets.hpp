// A test of the kernels takes the instruction set's name as its argument, and is skipped where the
// processor has none of it.
#pragma once

#include <iostream>
#include <string>

#include "nascore/kernels/isa.hpp"

namespace nascore {

inline constexpr int kSkipped = 77;  // as tests/cpp/CMakeLists.txt tells ctest

// Makes the kernels use it: 0, or what the program is to return.
inline int take_instruction_set(int arguments, char** argument) {
  const std::string wanted = arguments == 2 ? argument[1] : "";
  for (int i = 0; i < kernels::kIsas; ++i) {
    const auto isa = static_cast<kernels::Isa>(i);
    if (wanted == kernels::name(isa)) return kernels::use(isa) ? 0 : kSkipped;
  }
  std::cerr << "no instruction set is called \"" << wanted << "\"\n";
  return 1;
}

}  // namespace nascore
