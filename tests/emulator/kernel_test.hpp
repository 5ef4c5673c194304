// What the tests of real kernels share: each launch in all orders, nothing found, and its traffic.
#pragma once

#include <cstdint>
#include <iostream>

#include "../cpp/check.hpp"
#include "emulator.hpp"

namespace emulator {

// What was found is printed at the end: behind a wrong value stands its cause, where that is known.
inline void check_clean() {
  static const int printer = std::atexit([] {
    for (const std::string& problem : problems()) std::cerr << problem << "\n";
  });
  CHECK_EQ(printer, 0);
  CHECK(problems().empty());
}

// Calls run() in each order of threads; races are found by rule, in any order, so there three do.
template <class Run>
void in_orders(const Run& run) {
  for (int order = 0; order < (sees_accesses() ? 3 : kOrders); ++order) {
    set_order(order);
    check_clean();
    run();
  }
  check_clean();
  set_order(0);
}

// What run() moves, where that is seen: at most `slack` times the `bytes` that its blocks have to
// ask for, and `conflicts` more passes over the banks of shared memory per pass.
template <class Run>
void check_traffic(const std::string& name, std::size_t bytes, double slack, double conflicts,
                   const Run& run) {
  if (!sees_accesses()) return;
  reset_traffic();
  run();
  check_clean();
  const Traffic seen = traffic();
  const auto sectors = seen.loads.sectors + seen.stores.sectors;
  std::cout << name << ": " << static_cast<double>(bytes) / 32 << " sectors are due; "
            << seen.loads.sectors << " loaded by " << seen.loads.requests << " requests, "
            << seen.stores.sectors << " stored by " << seen.stores.requests << "; "
            << seen.shared.conflicts << " bank conflicts in " << seen.shared.passes << " passes\n";
  CHECK(static_cast<double>(sectors) * 32 <= slack * static_cast<double>(bytes));
  CHECK(static_cast<double>(sectors) * 32 >= static_cast<double>(bytes));
  CHECK(static_cast<double>(seen.shared.conflicts) <=
        conflicts * static_cast<double>(seen.shared.passes));
}

// Numbers that look random, the same for a seed.
class Numbers {
 public:
  explicit Numbers(std::uint32_t seed = 1) : state_(seed) {}
  std::uint32_t next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::uint32_t>(state_ >> 33);
  }
  float real() { return static_cast<float>(next() % 2001) / 1000.0f - 1.0f; }  // in [-1, 1]

 private:
  std::uint64_t state_;
};

}  // namespace emulator
