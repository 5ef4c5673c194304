#include "nascore/qtable.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "nascore/rng.hpp"

namespace nascore {
namespace {

void require(bool holds, const std::string& message) {
  if (!holds) throw std::invalid_argument(message);
}

}  // namespace

QTable::QTable(int actions, int observation_width, double alpha, double gamma, double initial)
    : actions_(actions),
      width_(observation_width),
      alpha_(alpha),
      gamma_(gamma),
      initial_(initial) {
  require(actions >= 1, "actions=" + std::to_string(actions) + " must be at least 1");
  require(observation_width >= 1,
          "observation_width=" + std::to_string(observation_width) + " must be at least 1");
  require(alpha > 0 && alpha <= 1, "alpha=" + std::to_string(alpha) + " must be in (0, 1]");
  require(gamma >= 0 && gamma <= 1, "gamma=" + std::to_string(gamma) + " must be in [0, 1]");
  require(std::isfinite(initial), "initial=" + std::to_string(initial) + " must be finite");
}

std::string QTable::key(const std::int16_t* observation) const {
  return {reinterpret_cast<const char*>(observation), width_ * sizeof(std::int16_t)};
}

const double* QTable::find(const std::int16_t* observation) const {
  const auto found = row_of_.find(key(observation));
  return found == row_of_.end() ? nullptr : &values_[std::size_t(found->second) * actions_];
}

int QTable::find_or_add(const std::int16_t* observation) {
  const int next = static_cast<int>(row_of_.size());
  const auto [found, added] = row_of_.try_emplace(key(observation), next);
  if (added) {
    keys_.insert(keys_.end(), observation, observation + width_);
    values_.resize(values_.size() + actions_, initial_);
  }
  return found->second;
}

void QTable::choose(const std::int16_t* observations, const bool* legal, int n, double epsilon,
                    std::uint64_t seed, std::uint32_t stream, std::uint64_t counter,
                    std::int32_t* actions) const {
  require(epsilon >= 0 && epsilon <= 1,
          "epsilon=" + std::to_string(epsilon) + " must be in [0, 1]");
  std::vector<std::int32_t> candidates;
  for (int i = 0; i < n; ++i, legal += actions_, observations += width_) {
    const bool explore = Draw(seed, stream, counter + i).uniform() < epsilon;
    const double* q = explore ? nullptr : find(observations);
    double best = -std::numeric_limits<double>::infinity();
    candidates.clear();
    for (std::int32_t a = 0; a < actions_; ++a) {
      if (!legal[a]) continue;
      if (q != nullptr && q[a] < best) continue;
      if (q != nullptr && q[a] > best) {
        best = q[a];
        candidates.clear();
      }
      candidates.push_back(a);
    }
    require(!candidates.empty(), "item " + std::to_string(i) + " has no legal action");
    const auto count = static_cast<std::uint32_t>(candidates.size());
    actions[i] = candidates[Draw(seed, stream + 1, counter + i).below(count)];
  }
}

void QTable::sweep(const std::int16_t* observations, const std::int32_t* actions, const bool* legal,
                   const double* rewards, int length) {
  for (int t = 0; t < length; ++t) {
    const std::int32_t action = actions[t];
    require(action >= 0 && action < actions_ && legal[std::size_t(t) * actions_ + action],
            "step " + std::to_string(t) + ": action " + std::to_string(action) + " is not legal");
    require(std::isfinite(rewards[t]), "step " + std::to_string(t) + ": reward " +
                                           std::to_string(rewards[t]) + " is not finite");
  }
  std::vector<int> rows(length);
  for (int t = 0; t < length; ++t) rows[t] = find_or_add(observations + std::size_t(t) * width_);
  for (int t = length - 1; t >= 0; --t) {
    double target = rewards[t];
    if (t < length - 1) {
      const double* q = &values_[std::size_t(rows[t + 1]) * actions_];
      const bool* mask = legal + std::size_t(t + 1) * actions_;
      double best = -std::numeric_limits<double>::infinity();
      for (int a = 0; a < actions_; ++a) {
        if (mask[a]) best = std::max(best, q[a]);
      }
      target += gamma_ * best;
    }
    double& value = values_[std::size_t(rows[t]) * actions_ + actions[t]];
    value += alpha_ * (target - value);
  }
}

void QTable::values(const std::int16_t* observation, double* out) const {
  const double* q = find(observation);
  if (q == nullptr) {
    std::fill_n(out, actions_, initial_);
  } else {
    std::copy_n(q, actions_, out);
  }
}

std::vector<QTable::Entry> QTable::entries() const {
  std::vector<Entry> entries;
  for (std::size_t i = 0; i < values_.size(); ++i) {
    if (values_[i] == initial_) continue;
    entries.push_back({static_cast<std::int32_t>(i / actions_),
                       static_cast<std::int32_t>(i % actions_), values_[i]});
  }
  return entries;
}

void QTable::load(const std::vector<std::int16_t>& keys, const std::vector<Entry>& entries) {
  QTable loaded(actions_, width_, alpha_, gamma_, initial_);
  const auto rows = static_cast<int>(keys.size() / width_);
  for (int row = 0; row < rows; ++row) {
    require(loaded.find_or_add(&keys[std::size_t(row) * width_]) == row,
            "row " + std::to_string(row) + " of the Q-table repeats an earlier observation");
  }
  for (const Entry& e : entries) {
    require(e.row >= 0 && e.row < rows && e.action >= 0 && e.action < actions_ &&
                std::isfinite(e.value),
            "a Q-table from another space: row " + std::to_string(e.row) + ", action " +
                std::to_string(e.action) + ", value " + std::to_string(e.value) + " does not fit " +
                std::to_string(rows) + " rows of " + std::to_string(actions_) + " actions");
    loaded.values_[std::size_t(e.row) * actions_ + e.action] = e.value;
  }
  *this = std::move(loaded);
}

}  // namespace nascore
