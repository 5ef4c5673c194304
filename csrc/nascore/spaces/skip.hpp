// The space of layers with skips (Zoph & Le, ICLR 2017): how many layers, then for each its kinds
// of choice (height, width, filters, ...) and a bit for every layer before it, whether it is read.
#pragma once

#include <vector>

#include "nascore/space.hpp"

namespace nascore {

class SkipSpace final : public Space {
 public:
  // `depths` are the numbers of layers to choose from, rising; `sizes` of each kind of choice.
  // Throws invalid_argument naming what is out of range.
  SkipSpace(std::vector<int> depths, std::vector<int> sizes);

  // A state is what was decided, -1 for what is not yet; an observation is how much was decided,
  // and the last decision.
  int state_width() const override { return lengths_.back(); }
  int observation_width() const override { return 2; }
  int feature_width() const override { return features_; }  // one-hots side by side
  int max_steps() const override { return state_width(); }
  // The depth, each kind of choice, and the bit for layer 1, 2, ...
  const std::vector<int>& heads() const override { return heads_; }

  void start(std::int16_t* state) const override;
  int head(const std::int16_t* state) const override;
  void legal(const std::int16_t* state, bool* mask) const override;
  void step(const std::int16_t* state, int action, std::int16_t* next) const override;
  bool done(const std::int16_t* state) const override;
  void observe(const std::int16_t* state, std::int16_t* observation) const override;
  void features(const std::int16_t* state, float* out) const override;
  int actions(const std::int16_t* state, std::int32_t* out) const override;

 private:
  int made(const std::int16_t* state) const;
  int length(const std::int16_t* state) const;  // of the whole walk
  int size_at(int place) const { return heads_[head_at_[place]]; }

  std::vector<int> lengths_;  // of the walks of each depth
  std::vector<int> heads_;
  std::vector<int> head_at_;  // of each place in a walk
  int largest_, features_ = 0;
};

}  // namespace nascore
