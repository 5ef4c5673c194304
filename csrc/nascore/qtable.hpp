// Tabular Q-learning: observation -> a row of A values.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace nascore {

class QTable {
 public:
  QTable(int actions, int observation_width, double alpha, double gamma, double initial);

  // Epsilon-greedy over the legal actions, ties at random. Draw i of the batch uses counter + i.
  void choose(const std::int16_t* observations, const bool* legal, int n, double epsilon,
              std::uint64_t seed, std::uint32_t stream, std::uint64_t counter,
              std::int32_t* actions) const;

  // One trajectory of `length` steps, in reverse order. The last step's target is rewards[length-1],
  // every other's rewards[t] + gamma * max over the next step's legal actions.
  void sweep(const std::int16_t* observations, const std::int32_t* actions, const bool* legal,
             const double* rewards, int length);

  void values(const std::int16_t* observation, double* out) const;  // [A]

  // The updated entries as (observation [V], action, value), in order of first update.
  struct Entry {
    std::int32_t row, action;
    double value;
  };
  // keys [rows, V] and entries; see qtable.cpp
  std::vector<std::int16_t> keys() const;
  std::vector<Entry> entries() const;
  void load(const std::vector<std::int16_t>& keys, const std::vector<Entry>& entries);

 private:
  int actions_, width_;
  double alpha_, gamma_, initial_;
};

}  // namespace nascore
