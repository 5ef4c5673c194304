#include "races.hpp"

#include <algorithm>

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

const void* Conflicts::add(std::uintptr_t address, std::size_t size, Toucher toucher) {
  const void* other = nullptr;
  const std::uintptr_t end = address + size;
  for (std::uintptr_t begin = address / kLine * kLine; begin < end; begin += kLine) {
    const std::uintptr_t from = std::max(address, begin) - begin;
    const std::uintptr_t to = std::min(end, begin + kLine) - begin;
    toucher.bytes = static_cast<std::uint16_t>((1u << to) - (1u << from));
    Line& line = lines_[begin];
    // An agent's accesses to a place come in a row, mostly; what is known twice does no harm.
    if (!line.touchers.empty() && alike(line.touchers.back(), toucher)) continue;
    line.written = line.written || toucher.access != Access::kRead;
    if (line.written) {
      for (const Toucher& earlier : line.touchers) {
        if (conflict(earlier, toucher)) other = earlier.code;
      }
    }
    line.touchers.push_back(toucher);
  }
  return other;
}

}  // namespace emulator
