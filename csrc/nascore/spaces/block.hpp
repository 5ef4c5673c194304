// The space of BlockQNN's blocks: the next row of a Network Structure Code is one decision.
//
// Action 0 ends the code. The layers whose newest predecessor is q follow those of q - 1: first the
// unary ones with pred1 = q, then for p = 0..q-1 the binary ones with (p, q), each in the order of
// the operation table. With P predecessors written, the legal actions are therefore a prefix. At
// `max_layers` the walk is done without a terminal row.
#pragma once

#include <vector>

#include "nascore/nsc.hpp"
#include "nascore/space.hpp"

namespace nascore {

class BlockSpace final : public Space {
 public:
  // Throws invalid_argument where max_layers is not 1 to nsc::kMaxLayers.
  explicit BlockSpace(int max_layers);

  // A state is the rows so far, zeros after.
  int state_width() const override { return 5 * max_layers_; }
  int observation_width() const override { return 5; }  // the last row, zeros at the start
  int feature_width() const override;
  int max_steps() const override { return max_layers_; }
  const std::vector<int>& heads() const override { return heads_; }

  void start(std::int16_t* state) const override;
  int head(const std::int16_t*) const override { return 0; }
  void legal(const std::int16_t* state, bool* mask) const override;
  void step(const std::int16_t* state, int action, std::int16_t* next) const override;
  bool done(const std::int16_t* state) const override;
  void observe(const std::int16_t* state, std::int16_t* observation) const override;
  void features(const std::int16_t* state, float* out) const override;
  int actions(const std::int16_t* state, std::int32_t* out) const override;
  // Of a finished state, the hash of its block. Of another one, the hash of its layers as they are:
  // any of them may still be read, whatever their order. Throws invalid_argument for no code.
  Hash128 key(const std::int16_t* state) const override;

 private:
  int filled(const std::int16_t* state) const;  // rows, the terminal one included
  bool done(const std::int16_t* state, int rows) const;
  int legal_actions(int rows) const { return first_[rows + 1]; }

  int max_layers_;
  std::vector<int> heads_;
  std::vector<nsc::Row> rows_;  // action -> its row, without the index
  std::vector<int> first_;      // newest predecessor -> its first action
};

}  // namespace nascore
