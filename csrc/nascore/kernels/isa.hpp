// The instruction sets for which kernels are compiled.
#pragma once

namespace nascore::kernels {

inline bool has_avx2() {
#if defined(NASCORE_AVX2)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

}  // namespace nascore::kernels
