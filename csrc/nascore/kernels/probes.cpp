#include "nascore/kernels/probes.hpp"

#if defined(NASCORE_AVX2)
#include <immintrin.h>
#endif

#include "nascore/kernels/isa.hpp"
#include "nascore/kernels/packing.hpp"

namespace nascore::kernels {
namespace {

constexpr int kChains = 12;  // two units, four or five cycles each; more do not fit the registers
constexpr float kTimes = 0.999F, kPlus = 1e-3F;  // the numbers stay finite and normal

float baseline_chains(std::int64_t steps) {
  float chains[kChains * kLanes] = {};
  for (std::int64_t step = 0; step < steps; ++step) {
    for (float& x : chains) x = x * kTimes + kPlus;
  }
  float total = 0;
  for (const float x : chains) total += x;
  return total;
}

#if defined(NASCORE_AVX2)
__attribute__((target("avx2,fma"))) float avx2_chains(std::int64_t steps) {
  const __m256 times = _mm256_set1_ps(kTimes), plus = _mm256_set1_ps(kPlus);
  __m256 chains[kChains];
  for (__m256& chain : chains) chain = _mm256_setzero_ps();
  for (std::int64_t step = 0; step < steps; ++step) {
    for (__m256& chain : chains) chain = _mm256_fmadd_ps(chain, times, plus);
  }
  for (int i = 1; i < kChains; ++i) chains[0] = _mm256_add_ps(chains[0], chains[i]);
  return _mm256_cvtss_f32(chains[0]);
}
#else
constexpr auto avx2_chains = baseline_chains;
#endif

}  // namespace

double multiply_adds(std::int64_t steps) {
  const auto chains = has_avx2() ? avx2_chains : baseline_chains;
  int threads = 0;
  float kept = 0;  // so that the compiler cannot drop the work
#pragma omp parallel reduction(+ : threads, kept)
  {
    kept += chains(steps);
    ++threads;
  }
  return kept >= 0 ? 2.0 * kLanes * kChains * static_cast<double>(steps) * threads : 0;
}

}  // namespace nascore::kernels
