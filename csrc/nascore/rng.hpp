// Philox 4x32-10 (Salmon et al., SC 2011): a number is a function of (seed, stream, counter) and
// of nothing else, so that any thread, process or device draws the same ones.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define NASCORE_HOST_DEVICE __host__ __device__
#else
#define NASCORE_HOST_DEVICE
#endif

namespace nascore {

struct Words {
  std::uint32_t w[4];
};

// The bare block function, as in the published known-answer vectors.
NASCORE_HOST_DEVICE inline Words philox4x32(Words counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * counter.w[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * counter.w[2];
    counter = {
        {static_cast<std::uint32_t>(b >> 32) ^ counter.w[1] ^ key0, static_cast<std::uint32_t>(b),
         static_cast<std::uint32_t>(a >> 32) ^ counter.w[3] ^ key1, static_cast<std::uint32_t>(a)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// One draw: the numbers that belong to one (seed, stream, counter). `attempt` is only counted up
// by a draw that has to reject, so no draw ever uses another one's words.
class Draw {
 public:
  NASCORE_HOST_DEVICE Draw(std::uint64_t seed, std::uint32_t stream, std::uint64_t counter)
      : seed_(seed), stream_(stream), counter_(counter) {}

  // Uniform in [0, 1), 53 bits.
  NASCORE_HOST_DEVICE double uniform() const {
    return static_cast<double>(bits(0, 0) >> 11) * 0x1.0p-53;
  }

  // Uniform in [0, bound), bound > 0, without bias: a 64-bit multiply-shift that rejects the
  // short remainder (Lemire 2019).
  NASCORE_HOST_DEVICE std::uint32_t below(std::uint32_t bound) const {
    const std::uint64_t threshold = (0 - std::uint64_t{bound}) % bound;
    for (std::uint32_t attempt = 0;; ++attempt) {
      for (int half = 0; half < 2; ++half) {
        const std::uint64_t x = bits(attempt, half);
        // 64 x 32 -> 96-bit product from two 32-bit halves, portable to every compiler.
        const std::uint64_t low = (x & 0xFFFFFFFFu) * bound;
        const std::uint64_t high = (x >> 32) * bound + (low >> 32);
        const std::uint64_t remainder = (high << 32) | (low & 0xFFFFFFFFu);
        if (remainder >= threshold) return static_cast<std::uint32_t>(high >> 32);
      }
    }
  }

  // Standard normal (Box-Muller on this draw's own two uniforms).
  NASCORE_HOST_DEVICE double normal() const {
    const double u = (static_cast<double>(bits(0, 0) >> 11) + 1.0) * 0x1.0p-53;  // (0, 1]
    const double v = static_cast<double>(bits(0, 1) >> 11) * 0x1.0p-53;
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586477 * v);
  }

 private:
  NASCORE_HOST_DEVICE std::uint64_t bits(std::uint32_t attempt, int half) const {
    const Words out =
        philox4x32({{static_cast<std::uint32_t>(counter_),
                     static_cast<std::uint32_t>(counter_ >> 32), stream_, attempt}},
                   static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32));
    return std::uint64_t{out.w[2 * half]} | (std::uint64_t{out.w[2 * half + 1]} << 32);
  }

  std::uint64_t seed_;
  std::uint32_t stream_;
  std::uint64_t counter_;
};

}  // namespace nascore
