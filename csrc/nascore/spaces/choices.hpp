// A product of categorical choices, made one after the other: the space of a table.
#pragma once

#include <vector>

#include "nascore/space.hpp"

namespace nascore {

class ChoicesSpace final : public Space {
 public:
  // Throws invalid_argument where there is no choice, or one of less than 1 or more than 32767.
  explicit ChoicesSpace(std::vector<int> sizes);

  // A state is what was chosen, -1 for what is not yet; an observation is the whole state.
  int state_width() const override { return static_cast<int>(sizes_.size()); }
  int observation_width() const override { return state_width(); }
  int feature_width() const override { return features_; }  // one-hots side by side
  int max_steps() const override { return state_width(); }
  const std::vector<int>& heads() const override { return sizes_; }

  void start(std::int16_t* state) const override;
  // The number of the next choice; the last one's when all are made.
  int head(const std::int16_t* state) const override;
  void legal(const std::int16_t* state, bool* mask) const override;
  void step(const std::int16_t* state, int action, std::int16_t* next) const override;
  bool done(const std::int16_t* state) const override;
  void observe(const std::int16_t* state, std::int16_t* observation) const override;
  void features(const std::int16_t* state, float* out) const override;
  int actions(const std::int16_t* state, std::int32_t* out) const override;

 private:
  int made(const std::int16_t* state) const;

  std::vector<int> sizes_;
  int largest_, features_;
};

}  // namespace nascore
