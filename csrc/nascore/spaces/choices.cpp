#include "nascore/spaces/choices.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

namespace nascore {
namespace {

constexpr int kMost = std::numeric_limits<std::int16_t>::max();

}  // namespace

ChoicesSpace::ChoicesSpace(std::vector<int> sizes) : sizes_(std::move(sizes)) {
  if (sizes_.empty() || sizes_.size() > static_cast<std::size_t>(kMost)) {
    throw std::invalid_argument("sizes holds " + std::to_string(sizes_.size()) +
                                " choices; give 1 to " + std::to_string(kMost));
  }
  for (const int size : sizes_) {
    if (size < 1 || size > kMost) {
      throw std::invalid_argument("a choice of " + std::to_string(size) + " must be of 1 to " +
                                  std::to_string(kMost));
    }
  }
  largest_ = *std::max_element(sizes_.begin(), sizes_.end());
  features_ = std::accumulate(sizes_.begin(), sizes_.end(), 0);
}

int ChoicesSpace::made(const std::int16_t* state) const {
  int count = 0;
  while (count < state_width() && state[count] >= 0) ++count;
  return count;
}

void ChoicesSpace::start(std::int16_t* state) const {
  std::fill_n(state, state_width(), std::int16_t{-1});
}

int ChoicesSpace::head(const std::int16_t* state) const {
  return std::min(made(state), state_width() - 1);
}

bool ChoicesSpace::done(const std::int16_t* state) const { return made(state) == state_width(); }

void ChoicesSpace::legal(const std::int16_t* state, bool* mask) const {
  const int next = made(state);
  const int count = next == state_width() ? 0 : sizes_[next];
  std::fill_n(mask, count, true);
  std::fill_n(mask + count, largest_ - count, false);
}

void ChoicesSpace::step(const std::int16_t* state, int action, std::int16_t* next) const {
  const int choice = made(state);
  if (next != state) std::copy_n(state, state_width(), next);
  if (choice == state_width()) return;
  if (action < 0 || action >= sizes_[choice]) {
    throw std::invalid_argument("action " + std::to_string(action) + " is illegal: choice " +
                                std::to_string(choice) + " takes 0 to " +
                                std::to_string(sizes_[choice] - 1));
  }
  next[choice] = static_cast<std::int16_t>(action);
}

void ChoicesSpace::observe(const std::int16_t* state, std::int16_t* observation) const {
  std::copy_n(state, state_width(), observation);
}

void ChoicesSpace::features(const std::int16_t* state, float* out) const {
  std::fill_n(out, features_, 0.0f);
  const int count = made(state);
  for (int i = 0; i < count; ++i) {
    if (state[i] < sizes_[i]) out[state[i]] = 1.0f;
    out += sizes_[i];
  }
}

int ChoicesSpace::actions(const std::int16_t* state, std::int32_t* out) const {
  if (!done(state)) throw std::invalid_argument("the state is not finished");
  for (int i = 0; i < state_width(); ++i) {
    if (state[i] >= sizes_[i]) {
      throw std::invalid_argument("choice " + std::to_string(i) + " is " +
                                  std::to_string(state[i]) + "; it takes 0 to " +
                                  std::to_string(sizes_[i] - 1));
    }
    out[i] = state[i];
  }
  return state_width();
}

}  // namespace nascore
