// How many 32-byte sectors and passes over the banks the requests of warps take. A request is the
// n-th access of each lane at one place of the program between two barriers. An estimate: it counts
// g++'s accesses (unoptimised, so those of the source) and not those of the GPU's code, and knows
// no cache.
#include <algorithm>
#include <array>
#include <unordered_map>

#include "accesses.hpp"
#include "device.hpp"
#include "emulator.hpp"

namespace emulator {
namespace {

struct Part {
  std::uintptr_t address;
  std::size_t size;
  int lane;
};
struct Request {
  Space space = Space::kGlobal;
  bool write = false;
  std::vector<Part> parts;
};
struct Key {
  int agent;  // a thread where its accesses are numbered, a warp where they are gathered
  std::uint64_t place;
  int number;
  bool operator==(const Key& other) const {
    return agent == other.agent && place == other.place && number == other.number;
  }
};
struct Hash {
  std::size_t operator()(const Key& key) const {
    return key.place ^ (static_cast<std::size_t>(key.agent) << 20) ^
           (static_cast<std::size_t>(key.number) << 40);
  }
};

std::unordered_map<Key, int, Hash> accesses;  // how many of a thread at a place
std::unordered_map<Key, Request, Hash> requests;
Traffic total;

void count_global(Request& request) {
  std::sort(request.parts.begin(), request.parts.end(),
            [](const Part& a, const Part& b) { return a.address < b.address; });
  std::uintptr_t bytes = 0, end = 0;       // what lies before `end` has been counted
  std::uintptr_t sectors = 0, beyond = 0;  // and the sectors before `beyond`
  for (const Part& part : request.parts) {
    const std::uintptr_t last = part.address + part.size;
    bytes += last - std::min(last, std::max(part.address, end));
    end = std::max(end, last);
    const std::uintptr_t first_sector = std::max(part.address / 32, beyond);
    beyond = std::max(beyond, (last + 31) / 32);
    sectors += beyond - std::min(beyond, first_sector);
  }
  Global& global = request.write ? total.stores : total.loads;
  global.requests += 1;
  global.sectors += static_cast<long>(sectors);
  global.fewest += static_cast<long>((bytes + 31) / 32);
}

// Lanes are served in groups that ask for at most 128 bytes together: all 32 where each asks for 4,
// 8 of them where each asks for 16.
void count_shared(const Request& request) {
  std::size_t size = 4;
  for (const Part& part : request.parts) size = std::max(size, part.size);
  const int group = static_cast<int>(std::max<std::size_t>(1, 128 / size));
  std::vector<std::uintptr_t> words;
  for (int first = 0; first < kWarp; first += group) {
    words.clear();
    for (const Part& part : request.parts) {
      if (part.lane < first || part.lane >= first + group) continue;
      for (auto word = part.address / 4; word * 4 < part.address + part.size; ++word) {
        words.push_back(word);
      }
    }
    if (words.empty()) continue;
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    std::array<long, 32> of_bank{};
    for (const std::uintptr_t word : words) of_bank[word % 32] += 1;
    total.shared.passes += 1;
    total.shared.conflicts += *std::max_element(of_bank.begin(), of_bank.end()) - 1;
  }
}

}  // namespace

void count_access(int thread, Space space, std::uintptr_t address, std::size_t size, bool write,
                  std::uint64_t place) {
  // One place may both read and write, as an asynchronous copy does.
  place = 4 * place + 2 * (space == Space::kShared) + write;
  const int number = accesses[{thread, place, 0}]++;
  Request& request = requests[{thread / kWarp, place, number}];
  request.space = space;
  request.write = write;
  request.parts.push_back({address, size, thread % kWarp});
}

void end_requests() {
  for (auto& [_, request] : requests) {
    request.space == Space::kGlobal ? count_global(request) : count_shared(request);
  }
  requests.clear();
  accesses.clear();
}

const Traffic& traffic() {
  end_requests();
  return total;
}

void reset_traffic() {
  end_requests();
  total = {};
}

}  // namespace emulator
