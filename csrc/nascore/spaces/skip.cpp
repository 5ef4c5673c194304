#include "nascore/spaces/skip.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

namespace nascore {
namespace {

constexpr int kMost = std::numeric_limits<std::int16_t>::max();
constexpr int kMaxLayers = 128;

void require(bool holds, const std::string& message) {
  if (!holds) throw std::invalid_argument(message);
}

}  // namespace

SkipSpace::SkipSpace(std::vector<int> depths, std::vector<int> sizes) {
  require(!depths.empty(), "depths is empty: give a number of layers at least");
  require(!sizes.empty(), "a layer has nothing to choose: give two options of something");
  int before = 0;
  for (const int depth : depths) {
    require(before < depth && depth <= kMaxLayers,
            "a depth of " + std::to_string(depth) + " after " + std::to_string(before) +
                ": depths rise, up to " + std::to_string(kMaxLayers));
    before = depth;
  }
  for (const int size : sizes) {
    require(1 <= size && size <= kMost,
            "a choice of " + std::to_string(size) + " must be of 1 to " + std::to_string(kMost));
  }
  const int layers = depths.back(), kinds = static_cast<int>(sizes.size());
  heads_ = {static_cast<int>(depths.size())};
  heads_.insert(heads_.end(), sizes.begin(), sizes.end());
  heads_.insert(heads_.end(), layers - 1, 2);
  head_at_ = {0};
  for (int layer = 0; layer < layers; ++layer) {
    for (int i = 0; i < kinds + layer; ++i) head_at_.push_back(1 + i);
  }
  for (const int depth : depths) {
    lengths_.push_back(1 + kinds * depth + depth * (depth - 1) / 2);
  }
  for (int place = 0; place < state_width(); ++place) features_ += size_at(place);
  largest_ = *std::max_element(heads_.begin(), heads_.end());
}

int SkipSpace::made(const std::int16_t* state) const {
  int count = 0;
  while (count < state_width() && state[count] >= 0) ++count;
  return count;
}

int SkipSpace::length(const std::int16_t* state) const {
  return 0 <= state[0] && state[0] < heads_[0] ? lengths_[state[0]] : state_width();
}

void SkipSpace::start(std::int16_t* state) const {
  std::fill_n(state, state_width(), std::int16_t{-1});
}

int SkipSpace::head(const std::int16_t* state) const {
  return head_at_[std::min(made(state), length(state) - 1)];
}

bool SkipSpace::done(const std::int16_t* state) const { return made(state) >= length(state); }

void SkipSpace::legal(const std::int16_t* state, bool* mask) const {
  const int next = made(state);
  const int count = next >= length(state) ? 0 : size_at(next);
  std::fill_n(mask, count, true);
  std::fill_n(mask + count, largest_ - count, false);
}

void SkipSpace::step(const std::int16_t* state, int action, std::int16_t* next) const {
  const int place = made(state);
  if (next != state) std::copy_n(state, state_width(), next);
  if (place >= length(state)) return;
  if (action < 0 || action >= size_at(place)) {
    throw std::invalid_argument("action " + std::to_string(action) + " is illegal: decision " +
                                std::to_string(place) + " takes 0 to " +
                                std::to_string(size_at(place) - 1));
  }
  next[place] = static_cast<std::int16_t>(action);
}

void SkipSpace::observe(const std::int16_t* state, std::int16_t* observation) const {
  const int count = made(state);
  observation[0] = static_cast<std::int16_t>(count);
  observation[1] = count ? state[count - 1] : std::int16_t{-1};
}

void SkipSpace::features(const std::int16_t* state, float* out) const {
  std::fill_n(out, features_, 0.0f);
  const int count = made(state);
  for (int i = 0; i < count; ++i) {
    if (state[i] < size_at(i)) out[state[i]] = 1.0f;
    out += size_at(i);
  }
}

int SkipSpace::actions(const std::int16_t* state, std::int32_t* out) const {
  if (!done(state)) throw std::invalid_argument("the state is not finished");
  const int count = length(state);
  for (int i = 0; i < count; ++i) {
    if (state[i] >= size_at(i)) {
      throw std::invalid_argument("decision " + std::to_string(i) + " is " +
                                  std::to_string(state[i]) + "; it takes 0 to " +
                                  std::to_string(size_at(i) - 1));
    }
    out[i] = state[i];
  }
  return count;
}

}  // namespace nascore
