#include "races.hpp"

namespace emulator {
namespace {

bool conflict(const Conflicts::Toucher& a, const Conflicts::Toucher& b) {
  if (a.agent == b.agent || (a.bytes & b.bytes) == 0) return false;
  if (a.access == Access::kRead && b.access == Access::kRead) return false;
  if (a.access == Access::kAtomic && b.access == Access::kAtomic) return false;
  return a.warp < 0 || a.warp != b.warp || a.warp_steps == b.warp_steps;
}

bool alike(const Conflicts::Toucher& a, const Conflicts::Toucher& b) {
  return a.agent == b.agent && a.bytes == b.bytes && a.access == b.access &&
         a.warp_steps == b.warp_steps;
}

}  // namespace

const void* Conflicts::add(std::uintptr_t address, unsigned size, Toucher toucher) {
  const void* other = nullptr;
  const std::uintptr_t end = address + size;
  for (std::uintptr_t at = address / 4; at * 4 < end; ++at) {
    toucher.bytes = 0;
    for (unsigned byte = 0; byte < 4; ++byte) {
      const std::uintptr_t place = at * 4 + byte;
      if (place >= address && place < end) toucher.bytes |= static_cast<std::uint8_t>(1u << byte);
    }
    Word& word = words_[at];
    // An agent's accesses to a word come in a row, mostly; what is known twice does no harm.
    if (!word.touchers.empty() && alike(word.touchers.back(), toucher)) continue;
    word.written = word.written || toucher.access != Access::kRead;
    if (word.written) {
      for (const Toucher& earlier : word.touchers) {
        if (conflict(earlier, toucher)) other = earlier.code;
      }
    }
    word.touchers.push_back(toucher);
  }
  return other;
}

}  // namespace emulator
