#include "nascore/masks.hpp"

#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace nascore {
namespace {

constexpr int kLanes = 16;  // rows that are drawn side by side

void require(bool holds, const std::string& message) {
  if (!holds) throw std::invalid_argument(message);
}

void require_size(int n) {
  require(1 <= n && n <= kMaxMask, "weights has rows of " + std::to_string(n) + "; give 1 to " +
                                       std::to_string(kMaxMask) + " entries");
}

void require_weights(const std::uint32_t* weights, std::int64_t row, int n) {
  std::uint32_t largest = 0;
  for (int i = 0; i < n; ++i) largest = weights[i] > largest ? weights[i] : largest;
  if (largest <= kMaskOne) return;
  int i = 0;
  while (weights[i] <= kMaskOne) ++i;
  throw std::invalid_argument("row " + std::to_string(row) + ", entry " + std::to_string(i) +
                              ": weight " + std::to_string(weights[i]) + " must be 0 to " +
                              std::to_string(kMaskOne) + ", which stands for 1");
}

// kLanes rows at once, with the bits of draw_k_of_row: running sums, from which a drawn weight is
// subtracted behind its index. Each row has k weights above 0.
class Block {
 public:
  Block(int n, int k) : n_(n), k_(k), sums_(static_cast<std::size_t>(n) * kLanes) {}

  // Whether all rows have k weights above 0.
  bool load(const std::uint32_t* weights) {
    weights_ = weights;
    int fewest = n_;
    for (int lane = 0; lane < kLanes; ++lane) {
      const std::uint32_t* row = weights + static_cast<std::ptrdiff_t>(lane) * n_;
      std::int32_t sum = 0;
      int positive = 0;
      for (int i = 0; i < n_; ++i) {
        sum += static_cast<std::int32_t>(row[i]);
        positive += row[i] != 0;
        sums_[static_cast<std::size_t>(i) * kLanes + lane] = sum;
      }
      totals_[lane] = sum;
      fewest = positive < fewest ? positive : fewest;
    }
    return fewest >= k_;
  }

  void draw(RowDraws draws, std::int32_t* drawn) {
    std::int32_t taken[kLanes] = {}, before[kLanes], at[kLanes], place[kLanes];
    std::uint32_t words[4][kLanes];
    for (int lane = 0; lane < kLanes; ++lane) {
      before[lane] = std::numeric_limits<std::int32_t>::max();
    }
    for (int t = 0; t < k_; ++t) {
      if (t % 4 == 0) fill(draws, static_cast<std::uint32_t>(t / 4), words);
      bool doubtful = false;
      for (int lane = 0; lane < kLanes; ++lane) {
        const auto total = static_cast<std::uint32_t>(totals_[lane]);
        const std::uint64_t product = std::uint64_t{words[t % 4][lane]} * total;
        at[lane] = static_cast<std::int32_t>(product >> 32);
        doubtful |= static_cast<std::uint32_t>(product) < total;
      }
      if (doubtful) redraw(draws, t, at);
      for (int lane = 0; lane < kLanes; ++lane) place[lane] = 0;
      std::int32_t* sum = sums_.data();
      for (int i = 0; i < n_; ++i, sum += kLanes) {
        for (int lane = 0; lane < kLanes; ++lane) {
          const std::int32_t now = sum[lane] - (sum[lane] > before[lane] ? taken[lane] : 0);
          sum[lane] = now;
          place[lane] += now <= at[lane];
        }
      }
      for (int lane = 0; lane < kLanes; ++lane) {
        const std::ptrdiff_t row = lane;
        taken[lane] = static_cast<std::int32_t>(weights_[row * n_ + place[lane]]);
        drawn[row * k_ + t] = place[lane];
        totals_[lane] -= taken[lane];
        before[lane] = at[lane];
      }
    }
  }

 private:
  static void fill(RowDraws draws, std::uint32_t block, std::uint32_t (&words)[4][kLanes]) {
    for (int lane = 0; lane < kLanes; ++lane, ++draws.row) {
      const Words row = draws.words(block);
      for (int w = 0; w < 4; ++w) words[w][lane] = row.w[w];
    }
  }

  void redraw(RowDraws draws, int t, std::int32_t (&at)[kLanes]) const {
    for (int lane = 0; lane < kLanes; ++lane, ++draws.row) {
      const auto total = static_cast<std::uint32_t>(totals_[lane]);
      at[lane] = static_cast<std::int32_t>(draws.below(static_cast<std::uint32_t>(t), total));
    }
  }

  int n_, k_;
  const std::uint32_t* weights_ = nullptr;
  std::vector<std::int32_t> sums_;  // [n, kLanes]
  std::int32_t totals_[kLanes] = {};
};

}  // namespace

void draw_k(const std::uint32_t* weights, std::int64_t rows, int n, int k, std::uint64_t seed,
            std::uint32_t stream, std::uint64_t counter, std::int32_t* drawn) {
  require_size(n);
  require(1 <= k && k <= n, "k=" + std::to_string(k) + " must be 1 to " + std::to_string(n) +
                                ", the entries of a row");
  Block block(n, k);
  std::vector<std::uint32_t> left(static_cast<std::size_t>(n));
  for (std::int64_t first = 0; first < rows; first += kLanes) {
    const std::uint32_t* const here = weights + first * n;
    const std::int64_t count = rows - first < kLanes ? rows - first : kLanes;
    for (std::int64_t i = 0; i < count; ++i) require_weights(here + i * n, first + i, n);
    const RowDraws draws{seed, stream, counter + static_cast<std::uint64_t>(first)};
    if (count == kLanes && block.load(here)) {
      block.draw(draws, drawn + first * k);
      continue;
    }
    for (std::int64_t i = 0; i < count; ++i) {
      const RowDraws own{seed, stream, draws.row + static_cast<std::uint64_t>(i)};
      draw_k_of_row(here + i * n, n, k, own, left.data(), drawn + (first + i) * k);
    }
  }
}

void draw_bernoulli(const std::uint32_t* weights, std::int64_t rows, int n, std::uint64_t seed,
                    std::uint32_t stream, std::uint64_t counter, bool* mask) {
  require_size(n);
  for (std::int64_t row = 0; row < rows; ++row, weights += n, mask += n) {
    require_weights(weights, row, n);
    const RowDraws draws{seed, stream, counter + static_cast<std::uint64_t>(row)};
    for (int first = 0; first < n; first += 8) {  // 16 bits each
      const Words words = draws.words(static_cast<std::uint32_t>(first / 8));
      for (int i = first; i < n && i < first + 8; ++i) {
        mask[i] = ((words.w[(i - first) / 2] >> (i % 2 * 16)) & (kMaskOne - 1)) < weights[i];
      }
    }
  }
}

void draw_categorical(const std::uint32_t* weights, const bool* legal, std::int64_t rows, int n,
                      std::uint64_t seed, std::uint32_t stream, std::uint64_t counter,
                      std::int32_t* drawn) {
  require_size(n);
  for (std::int64_t row = 0; row < rows; ++row, weights += n, legal += n) {
    require_weights(weights, row, n);
    std::uint32_t total = 0, choices = 0;
    for (int i = 0; i < n; ++i) {
      total += legal[i] ? weights[i] : 0;
      choices += legal[i];
    }
    require(choices > 0, "row " + std::to_string(row) + " has nothing that is legal");
    const RowDraws draws{seed, stream, counter + static_cast<std::uint64_t>(row)};
    std::uint32_t rest = draws.below(0, total ? total : choices);
    int i = 0;
    for (;; ++i) {
      const std::uint32_t own = legal[i] ? (total ? weights[i] : 1) : 0;
      if (rest < own) break;
      rest -= own;
    }
    drawn[row] = i;
  }
}

}  // namespace nascore
