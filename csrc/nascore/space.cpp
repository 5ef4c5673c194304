#include "nascore/space.hpp"

#include <algorithm>
#include <cstddef>

#include "nascore/quotient.hpp"

namespace nascore {

Hash128 Space::key(const std::int16_t* state) const {
  Hash128 hash{0, 0};
  for (int i = 0; i < state_width(); ++i) {
    const auto word = static_cast<std::uint16_t>(state[i]);
    hash.high = mix(hash.high ^ word) + 0x9E3779B97F4A7C15u;
    hash.low = mix(hash.low + word) * 0xC2B2AE3D27D4EB4Fu + 1;
  }
  return hash;
}

void Space::legal_all(const std::int16_t* states, int n, bool* masks) const {
  const int actions = largest_head(*this);
  for (int i = 0; i < n; ++i) {
    legal(states + std::ptrdiff_t{i} * state_width(), masks + std::ptrdiff_t{i} * actions);
  }
}

void Space::step_all(const std::int16_t* states, int n, const std::int32_t* actions,
                     std::int16_t* next) const {
  for (int i = 0; i < n; ++i) {
    const std::ptrdiff_t at = std::ptrdiff_t{i} * state_width();
    step(states + at, actions[i], next + at);
  }
}

void Space::key_all(const std::int16_t* states, int n, Hash128* keys) const {
  for (int i = 0; i < n; ++i) keys[i] = key(states + std::ptrdiff_t{i} * state_width());
}

int largest_head(const Space& space) {
  return *std::max_element(space.heads().begin(), space.heads().end());
}

}  // namespace nascore
