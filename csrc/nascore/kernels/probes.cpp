#include "nascore/kernels/probes.hpp"

#if defined(NASCORE_X86)
#include <immintrin.h>
#endif

#include "nascore/kernels/isa.hpp"

namespace nascore::kernels {
namespace {

constexpr int kChains = 12;  // two units, four or five cycles each; more do not fit the registers
constexpr float kTimes = 0.999F, kPlus = 1e-3F;  // the numbers stay finite and normal

// What is left of the chains, and how many floats each of their steps has.
struct Chains {
  float kept;
  int floats;
};

Chains baseline_chains(std::int64_t steps) {
  float chains[kChains * 4] = {};
  for (std::int64_t step = 0; step < steps; ++step) {
    for (float& x : chains) x = x * kTimes + kPlus;
  }
  float total = 0;
  for (const float x : chains) total += x;
  return {total, kChains * 4};
}

#if defined(NASCORE_X86)
__attribute__((target("avx2,fma"))) Chains avx2_chains(std::int64_t steps) {
  const __m256 times = _mm256_set1_ps(kTimes), plus = _mm256_set1_ps(kPlus);
  __m256 chains[kChains];
  for (__m256& chain : chains) chain = _mm256_setzero_ps();
  for (std::int64_t step = 0; step < steps; ++step) {
    for (__m256& chain : chains) chain = _mm256_fmadd_ps(chain, times, plus);
  }
  for (int i = 1; i < kChains; ++i) chains[0] = _mm256_add_ps(chains[0], chains[i]);
  return {_mm256_cvtss_f32(chains[0]), kChains * 8};
}

__attribute__((target("avx512f"))) Chains avx512_chains(std::int64_t steps) {
  const __m512 times = _mm512_set1_ps(kTimes), plus = _mm512_set1_ps(kPlus);
  __m512 chains[kChains];
  for (__m512& chain : chains) chain = _mm512_setzero_ps();
  for (std::int64_t step = 0; step < steps; ++step) {
    for (__m512& chain : chains) chain = _mm512_fmadd_ps(chain, times, plus);
  }
  for (int i = 1; i < kChains; ++i) chains[0] = _mm512_add_ps(chains[0], chains[i]);
  return {_mm512_cvtss_f32(chains[0]), kChains * 16};
}

Chains run_chains(std::int64_t steps) {
  if (isa() == Isa::kAvx512) return avx512_chains(steps);
  return isa() == Isa::kAvx2 ? avx2_chains(steps) : baseline_chains(steps);
}
#else
Chains run_chains(std::int64_t steps) { return baseline_chains(steps); }
#endif

}  // namespace

double multiply_adds(std::int64_t steps) {
  double done = 0;
  float kept = 0;  // so that the compiler cannot drop the work
#pragma omp parallel reduction(+ : done, kept)
  {
    const Chains chains = run_chains(steps);
    kept += chains.kept;
    done += 2.0 * chains.floats * static_cast<double>(steps);
  }
  return kept >= 0 ? done : 0;
}

}  // namespace nascore::kernels
