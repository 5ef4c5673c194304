#include "nascore/spaces/block.hpp"

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <string>

namespace nascore {
namespace {

constexpr int kTypes = static_cast<int>(Op::kTerminal) - 1;  // layers; one-hot in the features
constexpr std::int16_t kKernels[] = {0, 1, 3, 5};
constexpr int kSlot = kTypes + 4 + 2;  // features of a layer: type, kernel, pred1, pred2

constexpr auto kTerminal = static_cast<std::int16_t>(Op::kTerminal);

}  // namespace

BlockSpace::BlockSpace(int max_layers) : max_layers_(max_layers) {
  if (max_layers < 1 || max_layers > nsc::kMaxLayers) {
    throw std::invalid_argument("max_layers=" + std::to_string(max_layers) + " must be 1 to " +
                                std::to_string(nsc::kMaxLayers));
  }
  rows_.push_back({0, kTerminal, 0, 0, 0});
  for (int q = 0; q < max_layers; ++q) {
    first_.push_back(static_cast<int>(rows_.size()));
    const auto pred = static_cast<std::int16_t>(q);
    for (const OpInfo& op : kOps) {
      if (op.nsc_inputs != 1) continue;
      const auto type = static_cast<std::int16_t>(op.op);
      int kernels = 0;
      for (; kernels < 3 && op.nsc_kernels[kernels] != 0; ++kernels) {
        rows_.push_back({0, type, op.nsc_kernels[kernels], pred, 0});
      }
      if (kernels == 0) rows_.push_back({0, type, 0, pred, 0});
    }
    for (std::int16_t p = 0; p < pred; ++p) {
      for (const OpInfo& op : kOps) {
        if (op.nsc_inputs == 2) rows_.push_back({0, static_cast<std::int16_t>(op.op), 0, p, pred});
      }
    }
  }
  first_.push_back(static_cast<int>(rows_.size()));
  heads_ = {static_cast<int>(rows_.size())};
}

int BlockSpace::feature_width() const { return kSlot * max_layers_; }

void BlockSpace::start(std::int16_t* state) const {
  std::fill_n(state, state_width(), std::int16_t{0});
}

int BlockSpace::filled(const std::int16_t* state) const {
  int rows = 0;
  while (rows < max_layers_ && state[5 * rows] != 0) ++rows;
  return rows;
}

bool BlockSpace::done(const std::int16_t* state, int rows) const {
  return rows == max_layers_ || (rows > 0 && state[5 * (rows - 1) + 1] == kTerminal);
}

bool BlockSpace::done(const std::int16_t* state) const { return done(state, filled(state)); }

void BlockSpace::legal(const std::int16_t* state, bool* mask) const {
  const int rows = filled(state);
  const int count = done(state, rows) ? 0 : legal_actions(rows);
  std::fill_n(mask, count, true);
  std::fill_n(mask + count, heads_[0] - count, false);
}

void BlockSpace::step(const std::int16_t* state, int action, std::int16_t* next) const {
  const int rows = filled(state);
  if (next != state) std::copy_n(state, state_width(), next);
  if (done(state, rows)) return;
  if (action < 0 || action >= legal_actions(rows)) {
    throw std::invalid_argument("action " + std::to_string(action) + " is illegal: after " +
                                std::to_string(rows) + " layers, 0 to " +
                                std::to_string(legal_actions(rows) - 1) + " are legal");
  }
  std::copy_n(rows_[action].data(), 5, next + 5 * rows);
  next[5 * rows] = static_cast<std::int16_t>(rows + 1);
}

void BlockSpace::observe(const std::int16_t* state, std::int16_t* observation) const {
  const int rows = filled(state);
  if (rows == 0) {
    std::fill_n(observation, 5, std::int16_t{0});
  } else {
    std::copy_n(state + 5 * (rows - 1), 5, observation);
  }
}

void BlockSpace::features(const std::int16_t* state, float* out) const {
  std::fill_n(out, feature_width(), 0.0f);
  const int rows = filled(state);
  for (int i = 0; i < rows; ++i) {
    const std::int16_t* row = state + 5 * i;
    float* slot = out + kSlot * i;
    if (1 <= row[1] && row[1] <= kTypes) slot[row[1] - 1] = 1.0f;
    const auto kernel = std::find(std::begin(kKernels), std::end(kKernels), row[2]);
    if (kernel != std::end(kKernels)) slot[kTypes + (kernel - std::begin(kKernels))] = 1.0f;
    slot[kSlot - 2] = static_cast<float>(row[3]) / static_cast<float>(max_layers_);
    slot[kSlot - 1] = static_cast<float>(row[4]) / static_cast<float>(max_layers_);
  }
}

int BlockSpace::actions(const std::int16_t* state, std::int32_t* out) const {
  const int rows = filled(state);
  for (int i = 0; i < rows; ++i) {
    nsc::Row row;
    std::copy_n(state + 5 * i, 5, row.begin());
    row[0] = 0;
    const auto found = std::find(rows_.begin(), rows_.begin() + legal_actions(i), row);
    if (found == rows_.begin() + legal_actions(i)) {
      throw std::invalid_argument("row " + std::to_string(i + 1) + " is no action of this space");
    }
    out[i] = static_cast<std::int32_t>(found - rows_.begin());
  }
  if (!done(state, rows)) throw std::invalid_argument("the state is not finished");
  return rows;
}

Hash128 BlockSpace::key(const std::int16_t* state) const {
  if (const auto problem = nsc::validate(state, max_layers_); problem.row != 0) {
    throw std::invalid_argument(nsc::message(state, problem));
  }
  const Graph graph = nsc::to_graph(state, max_layers_);
  if (done(state)) return hash(clean(graph));
  Hash128 unfinished = hash(graph);
  unfinished.high = ~unfinished.high;
  return unfinished;
}

}  // namespace nascore
