#include <cstdint>
#include <vector>

#include "check.hpp"
#include "nascore/masks.hpp"

using namespace nascore;

namespace {

// The blocks of rows draw the bits that the definition draws, whatever the sizes and the weights.
void blocks_draw_what_the_definition_does() {
  for (const int n : {1, 2, 5, 16, 33}) {
    for (int k = 1; k <= n; k += n / 3 + 1) {
      const std::int64_t rows = 83;
      std::vector<std::uint32_t> weights(static_cast<std::size_t>(rows * n));
      for (std::size_t i = 0; i < weights.size(); ++i) {
        const std::uint32_t sparse = Draw(n, 1, i).below(8);  // of some blocks: zeros
        const bool zero = i / n < 40 && sparse == 0;
        weights[i] = zero ? 0 : 1 + Draw(n, 2, i).below(kMaskOne);
      }
      std::vector<std::int32_t> drawn(static_cast<std::size_t>(rows * k)), one(k);
      draw_k(weights.data(), rows, n, k, 7, 3, 1ull << 40, drawn.data());
      std::vector<std::uint32_t> left(n);
      for (std::int64_t row = 0; row < rows; ++row) {
        const RowDraws draws{7, 3, (1ull << 40) + static_cast<std::uint64_t>(row)};
        draw_k_of_row(&weights[row * n], n, k, draws, left.data(), one.data());
        for (int t = 0; t < k; ++t) CHECK_EQ(drawn[row * k + t], one[t]);
      }
    }
  }
}

void what_is_out_of_range_is_named() {
  std::vector<std::uint32_t> weights(40, 1);
  std::int32_t drawn[40];
  bool mask[40], legal[40] = {};
  weights[27] = kMaskOne + 1;
  const auto k_of_n = [&](int n, int k) { draw_k(weights.data(), 40 / n, n, k, 0, 0, 0, drawn); };
  CHECK_EQ(complaint_of([&] { k_of_n(4, 5); }), "k=5 must be 1 to 4, the entries of a row");
  CHECK_EQ(complaint_of([&] { k_of_n(4, 0); }), "k=0 must be 1 to 4, the entries of a row");
  const std::string message = "row 6, entry 3: weight 65537 must be 0 to 65536, which stands for 1";
  CHECK_EQ(complaint_of([&] { k_of_n(4, 2); }), message);
  CHECK_EQ(complaint_of([&] { draw_bernoulli(weights.data(), 10, 4, 0, 0, 0, mask); }), message);
  CHECK_EQ(complaint_of([&] { draw_categorical(weights.data(), legal, 10, 4, 0, 0, 0, drawn); }),
           "row 0 has nothing that is legal");
}

}  // namespace

int main() {
  blocks_draw_what_the_definition_does();
  what_is_out_of_range_is_named();
}
