// The decision process that every space implements. A state is the part of the code written so
// far, `state_width()` int16; functions are pure, one state at a time; the bindings run batches.
// A space that is dear to call, because Python makes its decisions, overrides those for `n` states.
#pragma once

#include <cstdint>
#include <vector>

#include "nascore/canonical.hpp"

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

  // Equal for states below which the same is found, whatever led to them; by default for equal
  // states alone.
  virtual Hash128 key(const std::int16_t* state) const;

  // Of `n` states side by side: masks [n, A], next [n, W] (which may be `states`), keys [n].
  virtual void legal_all(const std::int16_t* states, int n, bool* masks) const;
  virtual void step_all(const std::int16_t* states, int n, const std::int32_t* actions,
                        std::int16_t* next) const;
  virtual void key_all(const std::int16_t* states, int n, Hash128* keys) const;
};

int largest_head(const Space& space);  // A

}  // namespace nascore
