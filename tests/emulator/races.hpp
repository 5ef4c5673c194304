// Races, by rule and so in any order of threads: two threads of a block that touch one byte between
// the same two barriers, or two blocks that touch one in a launch, one of them writing and not both
// by atomic operations. __syncwarp orders the lanes of a warp where all that still run are named.
// It does not see order that comes from atomic operations and fences, and takes it for a race.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace emulator {

enum class Access : std::uint8_t { kRead, kWrite, kAtomic };

// Who touched what since the last clear(). An agent is a thread or a block.
class Conflicts {
 public:
  struct Toucher {
    int agent;
    int warp, warp_steps;  // for order by __syncwarp; -1 where there is none
    Access access;
    std::uint16_t bytes;  // which of a line
    const void* code;
  };

  // The code that conflicts with this access, or null.
  const void* add(std::uintptr_t address, std::size_t size, Toucher toucher);
  void clear() { lines_.clear(); }

 private:
  static constexpr std::uintptr_t kLine = 16;  // bytes, of the widest access
  struct Line {
    bool written = false;
    std::vector<Toucher> touchers;
  };
  std::unordered_map<std::uintptr_t, Line> lines_;
};

}  // namespace emulator
