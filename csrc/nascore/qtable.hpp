// Tabular Q-learning: observation [V] -> a row of A values, `initial` until a sweep changes them.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace nascore {

class QTable {
 public:
  // Throws invalid_argument where actions or observation_width are below 1, alpha is not in
  // (0, 1], gamma not in [0, 1], or initial not finite.
  QTable(int actions, int observation_width, double alpha, double gamma, double initial);

  int actions() const { return actions_; }
  int observation_width() const { return width_; }

  // Epsilon-greedy over the legal actions [n, A]. Item i draws at counter + i: a uniform number of
  // `stream`, and where that is below epsilon a number of `stream + 1` below the count of legal
  // actions, else one below the count of the best of them; it picks in ascending order.
  // Throws invalid_argument where epsilon is not in [0, 1] or an item has no legal action.
  void choose(const std::int16_t* observations, const bool* legal, int n, double epsilon,
              std::uint64_t seed, std::uint32_t stream, std::uint64_t counter,
              std::int32_t* actions) const;

  // Learns one trajectory of `length` steps, the last step first: Q += alpha * (target - Q). The
  // last target is rewards[length-1], every other rewards[t] + gamma * max Q(t+1, its legal ones).
  // Throws invalid_argument, and learns nothing, where an action is illegal or a reward not finite.
  void sweep(const std::int16_t* observations, const std::int32_t* actions, const bool* legal,
             const double* rewards, int length);

  void values(const std::int16_t* observation, double* out) const;  // [A]

  // The whole state: observations [m, V] in the order in which they were first swept, and of
  // their values those that are not `initial`.
  struct Entry {
    std::int32_t row, action;
    double value;
  };
  const std::vector<std::int16_t>& keys() const { return keys_; }
  std::vector<Entry> entries() const;
  // Throws invalid_argument, and changes nothing, where the state is not one of such a table.
  void load(const std::vector<std::int16_t>& keys, const std::vector<Entry>& entries);

 private:
  std::string key(const std::int16_t* observation) const;
  const double* find(const std::int16_t* observation) const;  // null before the first sweep over it
  int find_or_add(const std::int16_t* observation);

  int actions_, width_;
  double alpha_, gamma_, initial_;
  std::unordered_map<std::string, int> row_of_;
  std::vector<std::int16_t> keys_;  // [m, V]
  std::vector<double> values_;      // [m, A]
};

}  // namespace nascore
