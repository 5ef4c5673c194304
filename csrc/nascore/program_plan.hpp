// Where each row of a net leaves its result, before there are instructions: what a concat or a sum
// reads is written there at once, where nobody else reads it.
#pragma once

#include <cstdint>
#include <vector>

#include "nascore/net.hpp"

namespace nascore {

inline constexpr int kNone = -1;

// One of an input, an output or a buffer, and of its pixels of `stride` floats those from `channel`
// on.
struct Place {
  int input = kNone, output = kNone, buffer = kNone;
  std::int64_t channel = 0, stride = 0;

  bool given() const { return stride > 0; }
  bool operator==(const Place& other) const {
    return input == other.input && output == other.output && buffer == other.buffer &&
           channel == other.channel && stride == other.stride;
  }
};

struct Plan {
  std::vector<int> source;    // of each row: the one that computes what it passes on
  std::vector<bool> emitted;  // whether a row is computed
  std::vector<Place> places;
  std::vector<int> sums;              // the sum in whose place a term is added; of others kNone
  std::vector<int> copied;            // outputs that are copies, since others read them too
  std::vector<std::int64_t> buffers;  // floats of each

  int new_buffer(Shape shape);
};

// Throws invalid_argument where a row is not there, or an output needs one before the inputs.
Plan plan(const Net& net, const std::vector<std::int32_t>& inputs,
          const std::vector<std::int32_t>& outputs);

}  // namespace nascore
