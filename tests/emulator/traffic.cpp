// How many 32-byte sectors and passes over the banks the requests of warps take. A request is the
// n-th access of each lane at one place of the program between two barriers. An estimate: it counts
// g++'s accesses (unoptimised, so those of the source) and not those of the GPU's code, and knows no
// cache.
#include <algorithm>
#include <map>
#include <set>
#include <tuple>
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
  int agent;            // a thread where its accesses are numbered, a warp where they are gathered
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

void count_global(const Request& request) {
  std::set<std::uintptr_t> bytes_of_words, sectors;
  std::size_t bytes = 0;
  for (const Part& part : request.parts) {
    for (std::uintptr_t at = part.address; at < part.address + part.size; ++at) {
      bytes += bytes_of_words.insert(at).second;
      sectors.insert(at / 32);
    }
  }
  Global& global = request.write ? total.stores : total.loads;
  global.requests += 1;
  global.sectors += static_cast<long>(sectors.size());
  global.fewest += static_cast<long>((bytes + 31) / 32);
}

// Lanes are served in groups that ask for at most 128 bytes together: all 32 where each asks for 4,
// 8 of them where each asks for 16.
void count_shared(const Request& request) {
  std::size_t size = 4;
  for (const Part& part : request.parts) size = std::max(size, part.size);
  const int group = static_cast<int>(std::max<std::size_t>(1, 128 / size));
  std::map<int, std::map<std::uintptr_t, std::set<std::uintptr_t>>> words;  // group, bank
  for (const Part& part : request.parts) {
    for (auto word = part.address / 4; word * 4 < part.address + part.size; ++word) {
      words[part.lane / group][word % 32].insert(word);
    }
  }
  for (const auto& [_, banks] : words) {
    std::size_t longest = 0;
    for (const auto& [__, of_bank] : banks) longest = std::max(longest, of_bank.size());
    total.shared.passes += 1;
    total.shared.conflicts += static_cast<long>(longest) - 1;
  }
}

}  // namespace

void count_access(int thread, Space space, std::uintptr_t address, std::size_t size, bool write,
                  std::uint64_t place) {
  const int number = accesses[{thread, place, 0}]++;
  Request& request = requests[{thread / kWarp, place, number}];
  request.space = space;
  request.write = write;
  request.parts.push_back({address, size, thread % kWarp});
}

void end_requests() {
  for (const auto& [_, request] : requests) {
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
