// Random walks to the end of a space.
#pragma once

#include <algorithm>
#include <cstddef>
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

// Finishes states [n, W] in place; decision i of state k is the nth legal one, n drawn at
// walk_counter(i, walk + k). `masks` [n, A] and `actions` [n] are scratch.
inline void complete(const Space& space, std::int16_t* states, int n, bool* masks,
                     std::int32_t* actions, int a, std::uint64_t seed, std::uint32_t stream,
                     std::uint64_t walk) {
  for (int step = 0;; ++step) {
    space.legal_all(states, n, masks);
    bool more = false;
    for (int k = 0; k < n; ++k) {
      const bool* mask = masks + std::size_t(k) * a;
      const auto legal = static_cast<std::uint32_t>(std::count(mask, mask + a, true));
      actions[k] = 0;  // of a finished state, which stays as it is
      if (legal == 0) continue;
      const std::uint32_t wanted = Draw(seed, stream, walk_counter(step, walk + k)).below(legal);
      actions[k] = nth_legal(mask, a, static_cast<int>(wanted));
      more = true;
    }
    if (!more) return;
    space.step_all(states, n, actions, states);
  }
}

}  // namespace nascore
