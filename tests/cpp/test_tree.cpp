// The tree: it counts, finds the best, completes uniformly, and refuses what it cannot hold.
#include <algorithm>
#include <map>
#include <stdexcept>
#include <utility>
#include <vector>

#include "check.hpp"
#include "nascore/spaces/block.hpp"
#include "nascore/spaces/choices.hpp"
#include "nascore/tree.hpp"
#include "nascore/walk.hpp"

using namespace nascore;

namespace {

Tree::Settings settings(Tree::Rule rule, double c, std::uint64_t seed) {
  return {rule, c, seed, 1, 0xFFFFFFFFu, false};
}

double sum_of_choices(const std::int16_t* state) { return (state[0] + state[1] + state[2]) / 9.0; }

void counts_and_finds_the_best() {
  for (const Tree::Rule rule : {Tree::Rule::kUcb1, Tree::Rule::kPuct}) {
    const ChoicesSpace space({4, 4, 4});
    Tree tree(space, settings(rule, 0.1, 1));
    tree.simulate(2000, sum_of_choices);
    for (const Tree::Node& node : tree.nodes()) {
      std::uint32_t below = 0;
      for (int i = 0; i < node.children; ++i) below += tree.nodes()[node.first + i].visits;
      CHECK(node.first == 0 ||
            node.visits == below + 1);  // one simulation ended at the node itself
      CHECK_EQ(node.pending, 0u);
    }
    for (int step = 0; step < 3; ++step) {
      const auto visits = [&](int action) {
        return tree.nodes()[tree.nodes()[0].first + action].visits;
      };
      for (int action = 0; action < 3; ++action) CHECK(visits(3) > visits(action));
      const std::uint32_t kept = visits(3);
      tree.reroot(3);
      CHECK_EQ(tree.nodes()[0].visits, kept);
    }
    CHECK(tree.prefix() == std::vector<std::int32_t>({3, 3, 3}));
    CHECK_EQ(tree.nodes().size(), 1u);
  }
}

void walks_blocks_to_their_end() {
  const BlockSpace space(12);
  Tree tree(space, settings(Tree::Rule::kUcb1, 0.5, 2));
  tree.simulate(3000, [&](const std::int16_t* state) {
    CHECK(space.done(state));
    return state[1] == 1 ? 1.0 : 0.0;
  });
  CHECK_EQ(tree.nodes()[0].visits, 3000u);
  std::vector<std::int32_t> actions(space.max_steps());
  std::vector<std::int16_t> states(10 * space.state_width());
  const auto last = static_cast<Tree::Index>(tree.nodes().size() - 1);
  const std::vector<std::int32_t> path = tree.path(last);
  tree.complete(last, 10, states.data());
  for (int i = 0; i < 10; ++i) {
    space.actions(states.data() + i * space.state_width(), actions.data());
    CHECK(std::equal(path.begin(), path.end(), actions.begin()));
  }
}

void chooses_among_gaps() {
  const bool mask[] = {true, true, false, true, false, true};
  const int expected[] = {0, 1, 3, 5};
  for (int n = 0; n < 4; ++n) CHECK_EQ(nth_legal(mask, 6, n), expected[n]);
  CHECK_EQ(nth_legal(mask, 2, 1), 1);
  CHECK_EQ(nth_legal(mask + 2, 2, 0), 1);
}

void takes_back_what_waits_when_it_is_full(bool transpositions) {
  const ChoicesSpace space({2, 2});
  Tree tree(space, {Tree::Rule::kUcb1, 1, 0, 1, 3, transpositions});
  std::vector<Tree::Index> ends(4);
  CHECK_THROWS(std::length_error, tree.select(4, ends.data()));
  for (const Tree::Node& node : tree.nodes()) CHECK_EQ(node.pending, 0u);
  tree.select(3, ends.data());
  CHECK_THROWS(std::invalid_argument, tree.reroot(0));
  for (int i = 0; i < 3; ++i) tree.back_up(ends[i], 1);
  tree.undo(ends[0], 1);
  CHECK_EQ(tree.nodes()[0].visits, 2u);
  CHECK_EQ(tree.nodes()[0].sum, 2.0);
}

// A block of two layers and its like in the other order.
void shares_values_of_transpositions() {
  const BlockSpace space(3);
  Tree tree(space, {Tree::Rule::kUcb1, 0.1, 3, 1, 0xFFFFFFFFu, true});
  tree.simulate(5000, [](const std::int16_t* state) { return state[1] == 1 ? 1.0 : 0.25; });
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::pair<double, std::uint32_t>> values;
  std::vector<std::int16_t> state(space.state_width());
  std::vector<Hash128> keys;
  for (Tree::Index i = 0; i < tree.nodes().size(); ++i) {
    space.start(state.data());
    for (const std::int32_t action : tree.path(i)) space.step(state.data(), action, state.data());
    keys.push_back(space.key(state.data()));
    auto& [sum, visits] = values[{keys[i].high, keys[i].low}];
    sum += tree.nodes()[i].sum;
    visits += tree.nodes()[i].visits;
  }
  const Transpositions& shared = *tree.transpositions();
  CHECK_EQ(shared.states().size(), values.size());
  CHECK(values.size() < tree.nodes().size());
  for (Tree::Index i = 0; i < tree.nodes().size(); ++i) {
    const auto& [sum, visits] = values[{keys[i].high, keys[i].low}];
    CHECK_EQ(shared.of(i).sum, sum);
    CHECK_EQ(shared.of(i).visits, visits);
  }
  const double mean = tree.mean(tree.nodes()[0].first + 1);
  tree.reroot(1);
  CHECK_EQ(tree.mean(0), mean);
  CHECK(tree.transpositions()->states().size() < values.size());
}

void pool_grows() {
  Pool<int> pool;
  for (int i = 0; i < 1000; ++i) pool.push_back(i ? pool[0] + i : 0);
  for (int i = 0; i < 1000; ++i) CHECK_EQ(pool[i], i);
  CHECK(pool.bytes() < 1150 * sizeof(int));
  CHECK_EQ(pool.size(), std::size_t{1000});
  Pool<int> other = std::move(pool);
  CHECK_EQ(other[999], 999);
}

Tree::Saved saved(const Tree& tree) {
  Tree::Saved out;
  for (const Tree::Node& node : tree.nodes()) out.nodes.push_back(node);
  return out;
}

void load_checks() {
  const ChoicesSpace space({3, 2}), other({3, 3});
  Tree tree(space, settings(Tree::Rule::kUcb1, 1, 0));
  tree.simulate(30, [](const std::int16_t* state) { return state[0] / 3.0; });
  Tree same(space, settings(Tree::Rule::kUcb1, 1, 0));
  same.load(saved(tree));
  CHECK(same.path(4) == tree.path(4));
  Tree wrong(other, settings(Tree::Rule::kUcb1, 1, 0));
  CHECK_THROWS(std::invalid_argument, wrong.load(saved(tree)));
  Tree::Saved bad = saved(tree);
  bad.nodes[1].first = bad.nodes[2].first;  // two parents
  CHECK_THROWS(std::invalid_argument, same.load(std::move(bad)));
  bad = saved(tree);
  bad.nodes[1].first = 1u << 31;
  CHECK_THROWS(std::invalid_argument, same.load(std::move(bad)));
  bad = saved(tree);
  bad.nodes.push_back({});  // without a parent
  CHECK_THROWS(std::invalid_argument, same.load(std::move(bad)));
  bad = saved(tree);
  bad.shared_sums.push_back(1);
  CHECK_THROWS(std::invalid_argument, same.load(std::move(bad)));
  CHECK_THROWS(std::invalid_argument, same.load({}));
  CHECK_EQ(same.nodes().size(), tree.nodes().size());
}

}  // namespace

int main() {
  counts_and_finds_the_best();
  walks_blocks_to_their_end();
  chooses_among_gaps();
  takes_back_what_waits_when_it_is_full(false);
  takes_back_what_waits_when_it_is_full(true);
  shares_values_of_transpositions();
  pool_grows();
  load_checks();
}
