#include "nascore/spaces/layer.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

namespace nascore {
namespace {

using layer::ends;
using layer::Kind;
using layer::kind;
using layer::Row;
using layer::text;

constexpr int kMost = std::numeric_limits<std::int16_t>::max();
constexpr int kMaxLayers = 256;
constexpr int kMaxDense = 2;
constexpr int kTopBin = 8;

int bin(std::int64_t size) { return size > 7 ? kTopBin : size > 3 ? 4 : 1; }

void require(const char* name, int value, int most) {
  if (1 <= value && value <= most) return;
  throw std::invalid_argument(std::string(name) + "=" + std::to_string(value) + " must be 1 to " +
                              std::to_string(most));
}

Row row_at(const std::int16_t* state, int i) {
  return {state[3 * i], state[3 * i + 1], state[3 * i + 2]};
}

}  // namespace

LayerSpace::LayerSpace(int size, int max_layers, std::vector<int> widths, std::vector<int> dense,
                       bool strict)
    : size_(size), max_layers_(max_layers), strict_(strict) {
  require("size", size, kMost);
  require("max_layers", max_layers, kMaxLayers);
  if (widths.empty()) throw std::invalid_argument("widths is empty: give a width at least");
  const auto row = [](Kind kind, int a, int b) {
    return Row{static_cast<std::int16_t>(kind), static_cast<std::int16_t>(a),
               static_cast<std::int16_t>(b)};
  };
  rows_ = {row(Kind::kSoftmax, 0, 0), row(Kind::kGlobalPool, 0, 0)};
  for (const int width : widths) {
    require("a width", width, kMost);
    for (const int kernel : {1, 3, 5}) rows_.push_back(row(Kind::kConv, width, kernel));
  }
  for (const auto& [kernel, stride] : {std::array{5, 3}, std::array{3, 2}, std::array{2, 2}}) {
    rows_.push_back(row(Kind::kPool, kernel, stride));
  }
  for (const int units : dense) {
    require("a dense width", units, kMost);
    rows_.push_back(row(Kind::kDense, units, 0));
  }
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    if (action_of(rows_[i]) != static_cast<int>(i)) {
      throw std::invalid_argument(text(rows_[i]) + " is given twice");
    }
  }
  heads_ = {static_cast<int>(rows_.size())};
}

int LayerSpace::action_of(const Row& row) const {
  const auto found = std::find(rows_.begin(), rows_.end(), row);
  return found == rows_.end() ? -1 : static_cast<int>(found - rows_.begin());
}

void LayerSpace::advance(Place& place, const Row& row) const {
  place.last = row;
  place.done = ends(row);
  if (place.done) return;
  ++place.layers;
  if (kind(row) == Kind::kPool) place.size = layer::pooled(place.size, row[1], row[2]);
  if (kind(row) == Kind::kDense) {
    place.size = 1;
    ++place.dense;
  }
}

LayerSpace::Place LayerSpace::place(const std::int16_t* state) const {
  Place place;
  place.size = size_;
  for (int i = 0; i < max_steps() && state[3 * i] != 0 && !place.done; ++i) {
    advance(place, row_at(state, i));
  }
  return place;
}

bool LayerSpace::allows(const Place& place, const Row& row) const {
  const int room = bin(place.size) - (strict_ ? 1 : 0);
  const Kind last = kind(place.last);
  const bool deeper = place.layers < max_layers_;
  switch (kind(row)) {
    case Kind::kConv:
      return deeper && last != Kind::kDense && row[2] <= room;
    case Kind::kPool:
      return deeper && last == Kind::kConv && row[1] <= room;
    case Kind::kDense:
      if (last == Kind::kDense) return deeper && place.dense < kMaxDense && row[1] <= place.last[1];
      return deeper && bin(place.size) < kTopBin;
    case Kind::kGlobalPool:
      return last != Kind::kDense;
    default:
      return true;
  }
}

void LayerSpace::start(std::int16_t* state) const {
  std::fill_n(state, state_width(), std::int16_t{0});
}

void LayerSpace::legal(const std::int16_t* state, bool* mask) const {
  const Place here = place(state);
  for (int i = 0; i < heads_[0]; ++i) mask[i] = !here.done && allows(here, rows_[i]);
}

void LayerSpace::step(const std::int16_t* state, int action, std::int16_t* next) const {
  const Place here = place(state);
  if (next != state) std::copy_n(state, state_width(), next);
  if (here.done) return;
  if (action < 0 || action >= heads_[0]) {
    throw std::invalid_argument("action " + std::to_string(action) +
                                " is illegal: this space has 0 to " +
                                std::to_string(heads_[0] - 1));
  }
  if (!allows(here, rows_[action])) {
    throw std::invalid_argument(
        "action " + std::to_string(action) + " is illegal: " + text(rows_[action]) +
        " may not follow " + (here.layers ? text(here.last) : "the image") + " at size " +
        std::to_string(here.size) + " after " + std::to_string(here.layers) + " layers");
  }
  std::copy_n(rows_[action].data(), 3, next + 3 * here.layers);
}

bool LayerSpace::done(const std::int16_t* state) const { return place(state).done; }

void LayerSpace::observe(const std::int16_t* state, std::int16_t* observation) const {
  const Place here = place(state);
  std::copy_n(here.last.data(), 3, observation);
  observation[3] = static_cast<std::int16_t>(here.layers);
  observation[4] = static_cast<std::int16_t>(bin(here.size));
  observation[5] = static_cast<std::int16_t>(here.dense);
}

void LayerSpace::features(const std::int16_t* state, float* out) const {
  std::fill_n(out, feature_width(), 0.0f);
  for (int i = 0; i < max_steps() && state[3 * i] != 0; ++i) {
    const int action = action_of(row_at(state, i));
    if (action >= 0) out[heads_[0] * i + action] = 1.0f;
  }
}

int LayerSpace::actions(const std::int16_t* state, std::int32_t* out) const {
  Place here;
  here.size = size_;
  int count = 0;
  for (; count < max_steps() && state[3 * count] != 0 && !here.done; ++count) {
    const Row row = row_at(state, count);
    out[count] = action_of(row);
    if (out[count] < 0) {
      throw std::invalid_argument("layer " + std::to_string(count + 1) + ", " + text(row) +
                                  ", is no action of this space");
    }
    if (!allows(here, row)) {
      throw std::invalid_argument("layer " + std::to_string(count + 1) + ", " + text(row) +
                                  ", may not follow " + (count ? text(here.last) : "the image") +
                                  " at size " + std::to_string(here.size));
    }
    advance(here, row);
  }
  if (!here.done) throw std::invalid_argument("the state is not finished");
  return count;
}

}  // namespace nascore
