// Proves the emulator itself: seven seeded bugs are caught, each by the means named here, and the
// right version of the kernel is not complained of. A wrong value must show in at least one order.
#include <cmath>
#include <iostream>
#include <set>

#include "../cpp/check.hpp"
#include "bugs.hpp"
#include "emulator.hpp"

using emulator::Bug;

namespace {

constexpr const char* kWrongValue = "wrong value";

// What is said of the kernel over all orders, for 2 tiles and a ragged one per block, and for fewer
// elements than threads.
std::set<std::string> complaints(Bug bug) {
  std::set<std::string> found;
  for (const int n : {331, 1, 83}) {
    std::vector<float> values(static_cast<std::size_t>(n));
    for (int i = 0; i < n; ++i) values[static_cast<std::size_t>(i)] = 0.25f + 0.01f * (i % 37);
    double wanted = 0;
    for (std::size_t i = 0; i + 1 < values.size(); ++i) wanted += double{values[i]} * values[i + 1];
    const emulator::Array<float> x(values);
    for (int order = 0; order < emulator::kOrders; ++order) {
      emulator::set_order(order);
      emulator::Array<float> total(std::vector<float>{0});
      const cudaError_t error = sum_of_products(bug, x.data(), n, total.data(), 2);
      if (error == cudaSuccess && !(std::fabs(total[0] - wanted) <= 1e-5 * wanted)) {
        found.insert(kWrongValue);
      }
    }
  }
  found.insert(emulator::problems().begin(), emulator::problems().end());
  emulator::forget_problems();
  return found;
}

bool says(const std::set<std::string>& complaints, const std::string& part) {
  for (const std::string& complaint : complaints) {
    if (complaint.find(part) != std::string::npos) return true;
  }
  return false;
}

struct Case {
  Bug bug;
  const char* name;
  std::vector<const char*> means;
};

std::vector<Case> cases() {
  const bool races = emulator::sees_accesses();
#if defined(__SANITIZE_ADDRESS__)
  const std::vector<const char*> over_read = {"heap-buffer-overflow"};
#else
  const std::vector<const char*> over_read = {"outside of device memory"};
#endif
  std::vector<const char*> unordered = {kWrongValue};
  if (races) unordered.push_back("race between two threads");
  std::vector<Case> cases = {
      {Bug::kNoBarrierAfterLoad, "no barrier after a tile is loaded", unordered},
      {Bug::kNoBarrierAtLoopEnd, "no barrier at the end of a loop", unordered},
      {Bug::kShuffleStartsLow, "shuffles start at 8 lanes", {kWrongValue}},
      {Bug::kBarrierInBranch, "barrier in a divergent branch", {"divergent barrier"}},
      {Bug::kReturnsBeforeShuffle, "return before a shuffle of all lanes", {"has exited"}},
  };
  // Only the build that watches every access sees blocks meet; only that, or AddressSanitizer, what
  // lies beyond.
#if !defined(__SANITIZE_ADDRESS__)
  if (!races) return cases;
#endif
  cases.push_back({Bug::kReadsOneTooMany, "one element too many is read", over_read});
  if (races) {
    cases.push_back({Bug::kAddsWithoutAtomic,
                     "blocks add without an atomic operation",
                     {"race between two blocks"}});
  }
  return cases;
}

}  // namespace

int main() {
  for (const std::string& complaint : complaints(Bug::kNone)) {
    std::cerr << "the right kernel: " << complaint << "\n";
    return 1;
  }
  for (const Case& bug : cases()) {
    const auto found = complaints(bug.bug);
    for (const char* means : bug.means) {
      CHECK(says(found, means));
      std::cout << bug.name << ": " << means << "\n";
    }
  }
}
