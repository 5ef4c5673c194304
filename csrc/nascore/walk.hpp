// Random walks to the end of a space.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "nascore/rng.hpp"
#include "nascore/space.hpp"

namespace nascore {

// Decision `step` of walk number `walk` draws at this counter: 2^40 walks before steps meet.
constexpr std::uint64_t walk_counter(int step, std::uint64_t walk) {
  return (static_cast<std::uint64_t>(step) << 40) + walk;
}

// The `wanted`-th legal action of mask [A], counted from 0. Where the first ones are all legal, as
// in most spaces, no walk over them is needed.
inline int nth_legal(const bool* mask, int actions, int wanted) {
  const void* illegal = std::memchr(mask, 0, static_cast<std::size_t>(actions));
  int action = illegal ? static_cast<int>(static_cast<const bool*>(illegal) - mask) : actions;
  if (wanted < action) return wanted;
  wanted -= action;
  while (!mask[action] || wanted-- > 0) ++action;
  return action;
}

// Finishes `state` in place; its i-th decision from here is the nth legal one, n drawn at
// walk_counter(i, walk). `mask` [A] is scratch.
inline void complete(const Space& space, std::int16_t* state, bool* mask, int actions,
                     std::uint64_t seed, std::uint32_t stream, std::uint64_t walk) {
  for (int step = 0; !space.done(state); ++step) {
    space.legal(state, mask);
    const auto legal = static_cast<std::uint32_t>(std::count(mask, mask + actions, true));
    const std::uint32_t wanted = Draw(seed, stream, walk_counter(step, walk)).below(legal);
    space.step(state, nth_legal(mask, actions, static_cast<int>(wanted)), state);
  }
}

}  // namespace nascore
