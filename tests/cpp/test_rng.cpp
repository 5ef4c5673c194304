#include <array>

#include "check.hpp"
#include "nascore/rng.hpp"

using namespace nascore;

namespace {

struct Known {
  Words counter;
  std::array<std::uint32_t, 2> key;
  Words out;
};

// From Random123's kat_vectors (Salmon et al.).
constexpr Known kKnown[] = {
    {{{0, 0, 0, 0}}, {0, 0}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
    {{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
     {0xffffffff, 0xffffffff},
     {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
    {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
     {0xa4093822, 0x299f31d0},
     {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
};

}  // namespace

int main() {
  for (const Known& known : kKnown) {
    const Words out = philox4x32(known.counter, known.key[0], known.key[1]);
    for (int i = 0; i < 4; ++i) CHECK_EQ(out.w[i], known.out.w[i]);
  }
  for (const std::uint32_t bound : {1u, 2u, 3u, 1u << 31, 3u << 30, 0xffffffffu}) {
    for (std::uint64_t counter = 0; counter < 1000; ++counter) {
      CHECK(Draw(1, 2, counter).below(bound) < bound);
    }
  }
  for (std::uint64_t counter = 0; counter < 1000; ++counter) {
    const double u = Draw(~0ull, ~0u, ~0ull - counter).uniform();
    CHECK(u >= 0.0 && u < 1.0);
    CHECK(std::isfinite(Draw(3, 0, counter).normal()));
  }
}
