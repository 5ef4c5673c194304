// MetaQNN's space: a network layer by layer, as a chain.
//
// Actions: 0 ends with the classifier, 1 with global average pooling before it; then the
// convolutions, by width and kernel 1, 3, 5; the poolings (5,3), (3,2), (2,2); the dense layers.
// - Nothing follows an ending; at `max_layers` layers only the endings are legal.
// - A kernel fits the bin of the representation's size: 8 for more than 7, 4 for 4 to 7, else 1.
// - A pooling follows a convolution.
// - A dense layer follows a size below 8, or a dense layer that is not narrower; at most 2 are
//   legal, and after one only another or the classifier.
#pragma once

#include <vector>

#include "nascore/layer_code.hpp"
#include "nascore/space.hpp"

namespace nascore {

class LayerSpace final : public Space {
 public:
  // `size` is the image's side. With `strict` a kernel must be smaller than the bin, as in the
  // released code, where nothing but its dense layers and endings is left at the smallest sizes.
  // Throws invalid_argument naming the argument that is out of range.
  LayerSpace(int size, int max_layers, std::vector<int> widths, std::vector<int> dense,
             bool strict);

  // A state is the rows so far, zeros after.
  int state_width() const override { return 3 * max_steps(); }
  int observation_width() const override { return 6; }  // last row, layers, bin, dense layers
  int feature_width() const override { return heads_[0] * max_steps(); }  // actions, one-hot
  int max_steps() const override { return max_layers_ + 1; }
  const std::vector<int>& heads() const override { return heads_; }

  void start(std::int16_t* state) const override;
  int head(const std::int16_t*) const override { return 0; }
  void legal(const std::int16_t* state, bool* mask) const override;
  void step(const std::int16_t* state, int action, std::int16_t* next) const override;
  bool done(const std::int16_t* state) const override;
  void observe(const std::int16_t* state, std::int16_t* observation) const override;
  void features(const std::int16_t* state, float* out) const override;
  int actions(const std::int16_t* state, std::int32_t* out) const override;

 private:
  // Where a chain stands.
  struct Place {
    layer::Row last{};
    int layers = 0;
    int dense = 0;
    std::int64_t size;
    bool done = false;
  };

  Place place(const std::int16_t* state) const;
  void advance(Place& place, const layer::Row& row) const;
  bool allows(const Place& place, const layer::Row& row) const;
  int action_of(const layer::Row& row) const;  // -1 where there is none

  int size_, max_layers_;
  bool strict_;
  std::vector<layer::Row> rows_;  // of each action
  std::vector<int> heads_;
};

}  // namespace nascore
