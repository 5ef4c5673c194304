// The space of connectivities (Ahmed & Torresani, ECCV 2018): each node of a network reads
// `fan_in` of its candidates, or all of them where they are fewer, picked in rising order.
#pragma once

#include <vector>

#include "nascore/space.hpp"

namespace nascore {

class ConnectionSpace final : public Space {
 public:
  // `candidates` of each node. Throws invalid_argument naming what is out of range.
  ConnectionSpace(std::vector<int> candidates, int fan_in);

  // A state is what was picked, -1 for what is not yet; an observation is how much was picked, and
  // the last pick of this node, -1 where it has none.
  int state_width() const override { return static_cast<int>(places_.size()); }
  int observation_width() const override { return 2; }
  int feature_width() const override { return edges_; }  // the mask, node by node
  int max_steps() const override { return state_width(); }
  const std::vector<int>& heads() const override { return candidates_; }  // one for each node

  void start(std::int16_t* state) const override;
  int head(const std::int16_t* state) const override;
  void legal(const std::int16_t* state, bool* mask) const override;
  void step(const std::int16_t* state, int action, std::int16_t* next) const override;
  bool done(const std::int16_t* state) const override;
  void observe(const std::int16_t* state, std::int16_t* observation) const override;
  void features(const std::int16_t* state, float* out) const override;
  int actions(const std::int16_t* state, std::int32_t* out) const override;

 private:
  // A pick: whose, where the node's candidates begin among all edges, and how many picks of the
  // node follow.
  struct Place {
    int node, first_edge, following;
    bool opens;  // the first of its node
  };
  struct Range {
    int first, end;
  };

  int made(const std::int16_t* state) const;
  Range range(const std::int16_t* state, int place) const;  // of the legal picks

  std::vector<int> candidates_;
  std::vector<Place> places_;
  int largest_, edges_ = 0;
};

}  // namespace nascore
