// Random masks: k of n without replacement, Bernoulli, one of the legal ones. Weights are in fixed
// point, 0 to kMaskOne, and all arithmetic is on integers, so that any device draws the same; row i
// is a function of (seed, stream, counter + i) and its weights.
#pragma once

#include <cstdint>

#include "nascore/rng.hpp"

namespace nascore {

inline constexpr std::uint32_t kMaskOne = 1u << 16;  // the weight 1
inline constexpr int kMaxMask = 32767;               // entries of a row, so that sums fit 31 bits

// The random words of one row.
struct RowDraws {
  std::uint64_t seed;
  std::uint32_t stream;
  std::uint64_t row;

  // Words 4 * block to 4 * block + 3; `attempt` counts rejections.
  NASCORE_HOST_DEVICE Words words(std::uint32_t block, std::uint32_t attempt = 0) const {
    return philox4x32({{static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(row >> 32),
                        stream, block | (attempt << 16)}},
                      static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
  }

  // Uniform in [0, bound), bound > 0, without bias (Lemire 2019): the draw's own word, and others
  // only where that must be rejected.
  NASCORE_HOST_DEVICE std::uint32_t below(std::uint32_t draw, std::uint32_t bound) const {
    const std::uint32_t threshold = (0 - bound) % bound;
    for (std::uint32_t attempt = 0;; ++attempt) {
      const std::uint64_t product =
          std::uint64_t{words(draw / 4, attempt).w[draw % 4]} * std::uint64_t{bound};
      if (static_cast<std::uint32_t>(product) >= threshold) {
        return static_cast<std::uint32_t>(product >> 32);
      }
    }
  }
};

// The definition of a draw of k, for one row: each index with its share of the weights that are
// left. Once none is left, all indices not drawn are alike, as with weights a hair above 0.
// `left` [n] is room to work in.
NASCORE_HOST_DEVICE inline void draw_k_of_row(const std::uint32_t* weights, int n, int k,
                                              const RowDraws& draws, std::uint32_t* left,
                                              std::int32_t* drawn) {
  std::uint32_t total = 0;
  for (int i = 0; i < n; ++i) total += left[i] = weights[i];
  for (int t = 0; t < k; ++t) {
    if (total == 0) {
      for (int i = 0; i < n; ++i) left[i] = 1;
      for (int s = 0; s < t; ++s) left[drawn[s]] = 0;
      total = static_cast<std::uint32_t>(n - t);
    }
    std::uint32_t rest = draws.below(static_cast<std::uint32_t>(t), total);
    int i = 0;
    for (; rest >= left[i]; ++i) rest -= left[i];
    drawn[t] = i;
    total -= left[i];
    left[i] = 0;
  }
}

// Weights [rows, n] -> indices [rows, k] in the order drawn. These three throw invalid_argument
// naming the row and entry whose weight is more than kMaskOne, or the size that is out of range.
void draw_k(const std::uint32_t* weights, std::int64_t rows, int n, int k, std::uint64_t seed,
            std::uint32_t stream, std::uint64_t counter, std::int32_t* drawn);

// Weights [rows, n] -> each entry true with its own probability.
void draw_bernoulli(const std::uint32_t* weights, std::int64_t rows, int n, std::uint64_t seed,
                    std::uint32_t stream, std::uint64_t counter, bool* mask);

// Weights and what is legal [rows, n] -> an index [rows]; all legal ones are alike where none has
// weight. Throws invalid_argument where nothing of a row is legal, too.
void draw_categorical(const std::uint32_t* weights, const bool* legal, std::int64_t rows, int n,
                      std::uint64_t seed, std::uint32_t stream, std::uint64_t counter,
                      std::int32_t* drawn);

}  // namespace nascore
