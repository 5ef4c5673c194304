#include "nascore/spaces/connection.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

namespace nascore {
namespace {

constexpr int kMost = std::numeric_limits<std::int16_t>::max();

void require(bool holds, const std::string& message) {
  if (!holds) throw std::invalid_argument(message);
}

}  // namespace

ConnectionSpace::ConnectionSpace(std::vector<int> candidates, int fan_in)
    : candidates_(std::move(candidates)) {
  require(!candidates_.empty(), "candidates is empty: give the number for one node at least");
  require(fan_in >= 1, "fan_in=" + std::to_string(fan_in) + " must be at least 1");
  for (int node = 0; node < static_cast<int>(candidates_.size()); ++node) {
    const int count = candidates_[node], picks = std::min(fan_in, count);
    require(1 <= count && count <= kMost, "a node with " + std::to_string(count) +
                                              " candidates; it may have 1 to " +
                                              std::to_string(kMost));
    require(state_width() + picks <= kMost, "more than " + std::to_string(kMost) + " picks");
    for (int i = 0; i < picks; ++i) places_.push_back({node, edges_, picks - 1 - i, i == 0});
    edges_ += count;
  }
  largest_ = *std::max_element(candidates_.begin(), candidates_.end());
}

int ConnectionSpace::made(const std::int16_t* state) const {
  int count = 0;
  while (count < state_width() && state[count] >= 0) ++count;
  return count;
}

ConnectionSpace::Range ConnectionSpace::range(const std::int16_t* state, int place) const {
  const Place& own = places_[place];
  return {own.opens ? 0 : state[place - 1] + 1, candidates_[own.node] - own.following};
}

void ConnectionSpace::start(std::int16_t* state) const {
  std::fill_n(state, state_width(), std::int16_t{-1});
}

int ConnectionSpace::head(const std::int16_t* state) const {
  return places_[std::min(made(state), state_width() - 1)].node;
}

bool ConnectionSpace::done(const std::int16_t* state) const { return made(state) == state_width(); }

void ConnectionSpace::legal(const std::int16_t* state, bool* mask) const {
  std::fill_n(mask, largest_, false);
  const int next = made(state);
  if (next == state_width()) return;
  const Range legal = range(state, next);
  for (int pick = legal.first; pick < legal.end; ++pick) mask[pick] = true;
}

void ConnectionSpace::step(const std::int16_t* state, int action, std::int16_t* next) const {
  const int place = made(state);
  if (next != state) std::copy_n(state, state_width(), next);
  if (place == state_width()) return;
  const Range legal = range(state, place);
  require(legal.first <= action && action < legal.end,
          "action " + std::to_string(action) + " is illegal: node " +
              std::to_string(places_[place].node) + " picks " + std::to_string(legal.first) +
              " to " + std::to_string(legal.end - 1) + " next, in rising order");
  next[place] = static_cast<std::int16_t>(action);
}

void ConnectionSpace::observe(const std::int16_t* state, std::int16_t* observation) const {
  const int place = made(state);
  const bool opens = place == state_width() || places_[place].opens;
  observation[0] = static_cast<std::int16_t>(place);
  observation[1] = opens ? std::int16_t{-1} : state[place - 1];
}

void ConnectionSpace::features(const std::int16_t* state, float* out) const {
  std::fill_n(out, edges_, 0.0f);
  const int count = made(state);
  for (int place = 0; place < count; ++place) {
    const Place& own = places_[place];
    if (state[place] < candidates_[own.node]) out[own.first_edge + state[place]] = 1.0f;
  }
}

int ConnectionSpace::actions(const std::int16_t* state, std::int32_t* out) const {
  require(done(state), "the state is not finished");
  for (int place = 0; place < state_width(); ++place) {
    const Range legal = range(state, place);
    require(legal.first <= state[place] && state[place] < legal.end,
            "pick " + std::to_string(place) + " is " + std::to_string(state[place]) + "; node " +
                std::to_string(places_[place].node) + " takes " + std::to_string(legal.first) +
                " to " + std::to_string(legal.end - 1) + " there, in rising order");
    out[place] = state[place];
  }
  return state_width();
}

}  // namespace nascore
