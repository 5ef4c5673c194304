// The decision process that every space implements. A state is the part of the code written so
// far, `state_width()` int16; functions are pure, one state at a time; the bindings run batches.
#pragma once

#include <cstdint>
#include <vector>

namespace nascore {

class Space {
 public:
  virtual ~Space() = default;

  virtual int state_width() const = 0;
  virtual int observation_width() const = 0;
  virtual int feature_width() const = 0;
  virtual int max_steps() const = 0;  // the longest walk
  virtual const std::vector<int>& heads()
      const = 0;  // sizes of the kinds of decision; A is the largest

  virtual void start(std::int16_t* state) const = 0;
  virtual int head(const std::int16_t* state) const = 0;
  virtual void legal(const std::int16_t* state,
                     bool* mask) const = 0;  // all of `mask` [A]; none when done
  // Writes the next state; `next` may be `state`. Throws invalid_argument on an illegal action.
  virtual void step(const std::int16_t* state, int action, std::int16_t* next) const = 0;
  virtual bool done(const std::int16_t* state) const = 0;
  virtual void observe(const std::int16_t* state, std::int16_t* observation) const = 0;
  virtual void features(const std::int16_t* state, float* out) const = 0;
  // The way back: the actions that lead to a finished state; returns how many.
  virtual int actions(const std::int16_t* state, std::int32_t* out) const = 0;
};

}  // namespace nascore
