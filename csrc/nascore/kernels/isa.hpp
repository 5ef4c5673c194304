// The instruction sets for which kernels are compiled, and which of them is in use.
#pragma once

#include <atomic>
#include <initializer_list>

namespace nascore::kernels {

enum class Isa { kBaseline, kAvx2, kAvx512 };  // each can do what those before it can
inline constexpr int kIsas = 3;

inline const char* name(Isa isa) {
  return isa == Isa::kAvx512 ? "avx512" : isa == Isa::kAvx2 ? "avx2" : "baseline";
}

// Whether this build and this processor have it.
inline bool has(Isa isa) {
#if defined(NASCORE_X86)
  if (isa == Isa::kBaseline) return true;
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (isa == Isa::kAvx2) return avx2;
  return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
  return isa == Isa::kBaseline;
#endif
}

inline std::atomic<int>& isa_in_use() {
  static std::atomic<int> used{[] {
    int best = kIsas - 1;
    while (!has(static_cast<Isa>(best))) --best;
    return best;
  }()};
  return used;
}

// The best that there is, unless a test took another.
inline Isa isa() { return static_cast<Isa>(isa_in_use().load(std::memory_order_relaxed)); }

// From the next call of a kernel on; for tests and benchmarks. False where it is not there.
inline bool use(Isa isa) {
  if (!has(isa)) return false;
  isa_in_use().store(static_cast<int>(isa), std::memory_order_relaxed);
  return true;
}

// A table of kernels for each instruction set that is there. What makes the others is not called,
// since it is compiled for them.
template <class Table>
class PerIsa {
 public:
  PerIsa(std::initializer_list<Table (*)()> makers) {
    int number = 0;
    for (const auto make : makers) {
      if (has(static_cast<Isa>(number))) tables_[number] = make();
      ++number;
    }
  }

  const Table& chosen() const { return tables_[static_cast<int>(isa())]; }

 private:
  Table tables_[kIsas] = {};
};

}  // namespace nascore::kernels
