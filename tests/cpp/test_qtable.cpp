// The Q-table: learning by hand, choices, and what it refuses.
#include <limits>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "nascore/qtable.hpp"

using namespace nascore;

namespace {

constexpr std::int16_t kObservations[] = {1, 2, 3};  // three states of one number
constexpr bool kLegal[] = {true, true, true, true, true, true};

void learns_backwards() {
  QTable table(2, 1, 0.5, 1.0, 0.0);
  const std::int32_t actions[] = {0, 1, 0};
  const double rewards[] = {0, 0, 8};
  table.sweep(kObservations, actions, kLegal, rewards, 3);
  const double expected[3][2] = {{1, 0}, {0, 2}, {4, 0}};
  for (int i = 0; i < 3; ++i) {
    double q[2];
    table.values(kObservations + i, q);
    CHECK(q[0] == expected[i][0] && q[1] == expected[i][1]);
  }
  CHECK(table.keys() == std::vector<std::int16_t>({1, 2, 3}));
  CHECK(table.entries().size() == 3);

  std::int32_t chosen[3];
  table.choose(kObservations, kLegal, 3, 0.0, 1, 16, 0, chosen);
  for (int i = 0; i < 3; ++i) CHECK(chosen[i] == actions[i]);
}

void refuses() {
  QTable table(2, 1, 0.5, 1.0, 0.0);
  const bool none[] = {false, false};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double reward = 1;
  const std::int32_t action = 1, beyond = 2;
  std::int32_t chosen;
  CHECK_THROWS(std::invalid_argument, table.choose(kObservations, none, 1, 0, 1, 16, 0, &chosen));
  CHECK_THROWS(std::invalid_argument,
               table.choose(kObservations, kLegal, 1, nan, 1, 16, 0, &chosen));
  CHECK_THROWS(std::invalid_argument, table.sweep(kObservations, &action, none, &reward, 1));
  CHECK_THROWS(std::invalid_argument, table.sweep(kObservations, &beyond, kLegal, &reward, 1));
  CHECK_THROWS(std::invalid_argument, table.sweep(kObservations, &action, kLegal, &nan, 1));
  CHECK(table.keys().empty());
  CHECK_THROWS(std::invalid_argument, table.load({1, 1}, {}));
  CHECK_THROWS(std::invalid_argument, table.load({1}, {{1, 0, 0.5}}));
  CHECK_THROWS(std::invalid_argument, table.load({1}, {{0, 0, nan}}));
  table.load({1}, {{0, 1, 0.5}});
  CHECK(table.entries().size() == 1 && table.entries()[0].value == 0.5);
}

}  // namespace

int main() {
  learns_backwards();
  refuses();
}
