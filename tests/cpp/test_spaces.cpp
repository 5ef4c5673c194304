// Spaces: every walk is legal to its end, and leads back to its actions.
#include <algorithm>
#include <memory>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "nascore/nsc.hpp"
#include "nascore/rng.hpp"
#include "nascore/spaces/block.hpp"
#include "nascore/spaces/choices.hpp"
#include "nascore/spaces/connection.hpp"
#include "nascore/spaces/dag.hpp"
#include "nascore/spaces/layer.hpp"
#include "nascore/spaces/skip.hpp"

using namespace nascore;

namespace {

using State = std::vector<std::int16_t>;

const std::vector<Node> kOperations = {{Op::kConv, 1}, {Op::kConv, 3}, {Op::kMaxPool, 3}};

void walk(const Space& space, std::uint64_t seed, bool one_walk = true) {
  const int largest = *std::max_element(space.heads().begin(), space.heads().end());
  State state(space.state_width());
  std::vector<std::int16_t> observation(space.observation_width());
  std::vector<float> features(space.feature_width());
  std::vector<std::int32_t> taken, back(space.max_steps());
  std::unique_ptr<bool[]> mask(new bool[largest]);
  space.start(state.data());
  while (!space.done(state.data())) {
    space.legal(state.data(), mask.get());
    std::vector<int> choices;
    for (int a = 0; a < largest; ++a) {
      if (mask[a]) choices.push_back(a);
    }
    CHECK(!choices.empty());
    const auto pick = Draw(seed, 0, taken.size()).below(static_cast<std::uint32_t>(choices.size()));
    State next = state;
    for (int a = -1; a <= largest; ++a) {
      if (a >= 0 && a < largest && mask[a]) continue;
      CHECK_THROWS(std::invalid_argument, space.step(state.data(), a, next.data()));
    }
    taken.push_back(choices[pick]);
    space.observe(state.data(), observation.data());
    space.features(state.data(), features.data());
    space.step(state.data(), taken.back(), next.data());
    space.step(state.data(), taken.back(), state.data());  // in place
    CHECK(next == state);
  }
  CHECK(static_cast<int>(taken.size()) <= space.max_steps());
  space.legal(state.data(), mask.get());
  CHECK(std::none_of(mask.get(), mask.get() + largest, [](bool legal) { return legal; }));
  const State end = state;
  space.step(state.data(), largest, state.data());
  CHECK(state == end);
  const int count = space.actions(state.data(), back.data());
  back.resize(count);
  if (one_walk) CHECK(back == taken);
  if (const auto* dags = dynamic_cast<const DagSpace*>(&space)) {
    const Graph graph = dags->graph(state.data());
    validate(graph);
    validate(clean(graph));
  }
}

void blocks_are_valid_codes() {
  const BlockSpace space(6);
  State state(space.state_width());
  for (int seed = 0; seed < 300; ++seed) {
    space.start(state.data());
    for (int t = 0; !space.done(state.data()); ++t) {
      const auto count = static_cast<std::uint32_t>(1 + 8 * (t + 1) + (t + 1) * t);
      space.step(state.data(), static_cast<int>(Draw(seed, 0, t).below(count)), state.data());
    }
    CHECK(nsc::validate(state.data(), 6).row == 0);
  }
}

// Numbers from outside are no reason to read or write out of bounds.
void garbage() {
  const BlockSpace blocks(5);
  const ChoicesSpace choices({3, 4});
  const LayerSpace layers(32, 4, {8, 16}, {32}, false);
  const EdgeDagSpace edges(kOperations, 7, 9, false);
  const EdgeDagSpace erasing(kOperations, 7, 9, true);
  const SumDagSpace sums(kOperations, 17);
  const SkipSpace skips({2, 4}, {3, 2});
  const ConnectionSpace connections({1, 4, 6}, 2);
  const std::vector<const Space*> spaces = {&blocks, &choices, &layers, &skips,
                                            &edges,  &erasing, &sums,   &connections};
  for (const Space* space : spaces) {
    State state(space->state_width());
    std::vector<float> features(space->feature_width());
    std::vector<std::int32_t> actions(space->max_steps());
    const auto& heads = space->heads();
    std::unique_ptr<bool[]> mask(new bool[*std::max_element(heads.begin(), heads.end())]);
    for (int seed = 0; seed < 2000; ++seed) {
      for (std::size_t i = 0; i < state.size(); ++i) {
        state[i] = static_cast<std::int16_t>(Draw(seed, 0, i).below(1u << 16));
      }
      if (dynamic_cast<const DagSpace*>(space) && seed % 2) {  // of plausible numbers, finished
        for (std::int16_t& number : state) number = static_cast<std::int16_t>(number & 3);
        state.back() = 2;
        state[0] = 9;
      }
      if (space == &layers) state[0] = static_cast<std::int16_t>(seed % 7);      // a kind
      if (space == &layers) state[2] = static_cast<std::int16_t>(seed % 3 - 1);  // a stride
      space->features(state.data(), features.data());
      space->legal(state.data(), mask.get());
      CHECK_THROWS(std::invalid_argument, space->actions(state.data(), actions.data()));
    }
  }
}

}  // namespace

int main() {
  for (int seed = 0; seed < 5; ++seed) {
    for (const int layers : {1, 2, 23, nsc::kMaxLayers}) walk(BlockSpace(layers), seed);
    walk(ChoicesSpace({3, 1, 7}), seed);
    for (const int size : {1, 7, 32}) walk(LayerSpace(size, 18, {64, 128}, {32, 16}, false), seed);
    walk(LayerSpace(32, 12, {64}, {}, true), seed);
    for (const int nodes : {2, 3, 7, 30}) {
      walk(EdgeDagSpace(kOperations, nodes, 9, false), seed, false);
      walk(EdgeDagSpace(kOperations, nodes, 200, true), seed, false);
    }
    for (const int nodes : {1, 7, DagCode::kMaxNodes}) walk(SumDagSpace(kOperations, nodes), seed);
    walk(SkipSpace({6, 20}, {4, 4, 3, 4}), seed);
    walk(SkipSpace({1}, {1}), seed);
    for (const int fan_in : {1, 3, 9}) walk(ConnectionSpace({1, 2, 5, 8}, fan_in), seed);
  }
  blocks_are_valid_codes();
  garbage();
  CHECK_THROWS(std::invalid_argument, BlockSpace(0));
  CHECK_THROWS(std::invalid_argument, BlockSpace(nsc::kMaxLayers + 1));
  CHECK_THROWS(std::invalid_argument, ChoicesSpace({}));
  CHECK_THROWS(std::invalid_argument, ChoicesSpace({2, 0}));
  CHECK_THROWS(std::invalid_argument, ChoicesSpace({1 << 15}));
  CHECK_THROWS(std::invalid_argument, EdgeDagSpace(kOperations, 1, 9, false));
  CHECK_THROWS(std::invalid_argument, EdgeDagSpace(kOperations, 31, 9, false));
  CHECK_THROWS(std::invalid_argument, EdgeDagSpace(kOperations, 7, 0, false));
  CHECK_THROWS(std::invalid_argument, EdgeDagSpace({}, 7, 9, false));
  CHECK_THROWS(std::invalid_argument, SumDagSpace({{Op::kAdd}}, 7));
  CHECK_THROWS(std::invalid_argument, SumDagSpace(kOperations, 0));
  CHECK_THROWS(std::invalid_argument, ConnectionSpace({}, 1));
  CHECK_THROWS(std::invalid_argument, ConnectionSpace({2, 0}, 1));
  CHECK_THROWS(std::invalid_argument, ConnectionSpace({2}, 0));
  CHECK_THROWS(std::invalid_argument, SkipSpace({}, {2}));
  CHECK_THROWS(std::invalid_argument, SkipSpace({2, 2}, {2}));
  CHECK_THROWS(std::invalid_argument, SkipSpace({129}, {2}));
  CHECK_THROWS(std::invalid_argument, SkipSpace({2}, {}));
  CHECK_THROWS(std::invalid_argument, SkipSpace({2}, {0}));
  CHECK_THROWS(std::invalid_argument, LayerSpace(0, 18, {64}, {}, false));
  CHECK_THROWS(std::invalid_argument, LayerSpace(32, 0, {64}, {}, false));
  CHECK_THROWS(std::invalid_argument, LayerSpace(32, 18, {}, {}, false));
  CHECK_THROWS(std::invalid_argument, LayerSpace(32, 18, {64, 64}, {}, false));
  CHECK_THROWS(std::invalid_argument, LayerSpace(32, 18, {64}, {1 << 15}, false));
}
