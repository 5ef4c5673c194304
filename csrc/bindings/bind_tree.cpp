// Tree search. It keeps the GIL, which is its lock.
#include <pybind11/stl.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "nascore/tree.hpp"

namespace nascore::bindings {
namespace {

using Nodes = Given<std::uint32_t>;

Tree::Rule rule(const std::string& name) {
  if (name == "ucb1") return Tree::Rule::kUcb1;
  if (name == "puct") return Tree::Rule::kPuct;
  throw py::value_error("rule='" + name + "' must be 'ucb1' or 'puct'");
}

py::ssize_t count(py::ssize_t n, const char* name) {
  if (n >= 0 && n <= (py::ssize_t{1} << 30)) return n;
  throw py::value_error(std::string(name) + "=" + std::to_string(n) + " must be 0 to 2^30");
}

Array<std::uint32_t> select(Tree& tree, py::ssize_t n) {
  Array<std::uint32_t> ends(count(n, "n"));
  tree.select(static_cast<int>(n), ends.mutable_data());
  return ends;
}

Array<std::int16_t> complete(Tree& tree, const Nodes& nodes, py::ssize_t k) {
  const auto ends = checked(nodes, "nodes", {"n"});
  const py::ssize_t width = tree.space().state_width();
  Array<std::int16_t> out({ends.shape(0), count(k, "k"), width});
  for (py::ssize_t i = 0; i < ends.shape(0); ++i) {
    tree.complete(ends.at(i), static_cast<int>(k), out.mutable_data() + i * k * width);
  }
  return out;
}

template <void (Tree::*Change)(Tree::Index, double)>
void each(Tree& tree, const Nodes& nodes, const Given<double>& values) {
  const auto ends = checked(nodes, "nodes", {"n"});
  const auto numbers = checked(values, "values", {ends.shape(0)});
  for (py::ssize_t i = 0; i < ends.shape(0); ++i) (tree.*Change)(ends.at(i), numbers.at(i));
}

void simulate(Tree& tree, py::ssize_t n, const Given<double>& weights) {
  const auto weight = checked(weights, "weights", {tree.space().feature_width()});
  std::vector<float> features(weight.shape(0));
  tree.simulate(static_cast<int>(count(n, "n")), [&](const std::int16_t* state) {
    tree.space().features(state, features.data());
    return std::inner_product(features.begin(), features.end(), weight.data(), 0.0);
  });
}

void set_priors(Tree& tree, std::uint32_t node, const Given<float>& priors) {
  tree.set_priors(node, checked(priors, "priors", {tree.actions()}).data());
}

// One array of a field of the items [first, first + n).
template <class T, class Items, class Read>
Array<T> column(const Items& items, std::size_t first, std::size_t n, Read read) {
  Array<T> out(static_cast<py::ssize_t>(n));
  for (std::size_t i = 0; i < n; ++i) out.mutable_data()[i] = read(items[first + i]);
  return out;
}

py::typing::Tuple<Array<std::int32_t>, Array<std::uint32_t>, Array<double>> children(
    const Tree& tree, std::uint32_t node) {
  const Tree::Node& parent = tree.at(node);
  const std::size_t first = parent.first, n = parent.children;
  using Node = Tree::Node;
  Array<double> means(static_cast<py::ssize_t>(n));
  for (std::size_t i = 0; i < n; ++i) {
    means.mutable_data()[i] = tree.mean(static_cast<Tree::Index>(first + i));
  }
  return py::make_tuple(
      column<std::int32_t>(tree.nodes(), first, n, [](const Node& c) { return c.action; }),
      column<std::uint32_t>(tree.nodes(), first, n, [](const Node& c) { return c.visits; }), means);
}

using State = py::typing::Tuple<Array<std::int32_t>, Array<std::uint64_t>, Array<std::uint16_t>,
                                Array<std::uint16_t>, Array<std::uint32_t>, Array<std::uint32_t>,
                                Array<double>, Array<float>, Array<std::uint32_t>, Array<double>>;

State state(const Tree& tree) {
  if (tree.nodes()[0].pending) throw py::value_error("a simulation still waits for its value");
  const Pool<Tree::Node>& nodes = tree.nodes();
  const std::size_t n = nodes.size();
  Array<std::int32_t> prefix(static_cast<py::ssize_t>(tree.prefix().size()));
  std::copy(tree.prefix().begin(), tree.prefix().end(), prefix.mutable_data());
  Array<std::uint64_t> counters(2);
  counters.mutable_at(0) = tree.begun();
  counters.mutable_at(1) = tree.drawn();
  using Node = Tree::Node;
  using Shared = Transpositions::State;
  const Pool<Shared> none;
  const Pool<Shared>& shared = tree.transpositions() ? tree.transpositions()->states() : none;
  const std::size_t m = shared.size();
  return py::make_tuple(
      prefix, counters, column<std::uint16_t>(nodes, 0, n, [](const Node& c) { return c.action; }),
      column<std::uint16_t>(nodes, 0, n, [](const Node& c) { return c.children; }),
      column<std::uint32_t>(nodes, 0, n, [](const Node& c) { return c.first; }),
      column<std::uint32_t>(nodes, 0, n, [](const Node& c) { return c.visits; }),
      column<double>(nodes, 0, n, [](const Node& c) { return c.sum; }),
      column<float>(nodes, 0, n, [](const Node& c) { return c.prior; }),
      column<std::uint32_t>(shared, 0, m, [](const Shared& c) { return c.visits; }),
      column<double>(shared, 0, m, [](const Shared& c) { return c.sum; }));
}

void load(Tree& tree, const Given<std::int32_t>& prefix, const Given<std::uint64_t>& counters,
          const Given<std::uint16_t>& action, const Given<std::uint16_t>& children,
          const Given<std::uint32_t>& first, const Given<std::uint32_t>& visits,
          const Given<double>& total, const Given<float>& prior,
          const Given<std::uint32_t>& shared_visits, const Given<double>& shared_total) {
  const auto before = checked(prefix, "prefix", {"p"});
  const auto counter = checked(counters, "counters", {2});
  const auto actions = checked(action, "action", {"n"});
  const py::ssize_t n = actions.shape(0);
  const auto counts = checked(children, "children", {n});
  const auto firsts = checked(first, "first", {n});
  const auto visit = checked(visits, "visits", {n});
  const auto sums = checked(total, "total", {n});
  const auto priors = checked(prior, "prior", {n});
  const auto shared_visit = checked(shared_visits, "shared_visits", {"m"});
  const auto shared_sums = checked(shared_total, "shared_total", {shared_visit.shape(0)});
  Tree::Saved saved;
  saved.prefix.assign(before.data(), before.data() + before.size());
  saved.nodes.reserve(n);
  for (py::ssize_t i = 0; i < n; ++i) {
    Tree::Node node;
    node.action = actions.at(i);
    node.children = counts.at(i);
    node.first = firsts.at(i);
    node.visits = visit.at(i);
    node.sum = sums.at(i);
    node.prior = priors.at(i);
    saved.nodes.push_back(node);
  }
  saved.shared_visits.assign(shared_visit.data(), shared_visit.data() + shared_visit.size());
  saved.shared_sums.assign(shared_sums.data(), shared_sums.data() + shared_sums.size());
  saved.begun = counter.at(0);
  saved.drawn = counter.at(1);
  tree.load(std::move(saved));
}

}  // namespace

void bind_tree(py::module_& m) {
  py::class_<Tree>(m, "Tree",
                   "Monte Carlo tree search over a space; nodes are numbers, the root 0.")
      .def(py::init([](const Space& space, const std::string& rule_name, double c,
                       std::uint64_t seed, std::vector<std::int32_t> prefix,
                       std::uint32_t open_after, std::uint32_t max_nodes, bool transpositions) {
             return Tree(space, {rule(rule_name), c, seed, open_after, max_nodes, transpositions},
                         std::move(prefix));
           }),
           py::arg("space"), py::arg("rule") = "ucb1", py::arg("c") = 2.0, py::arg("seed") = 0,
           py::arg("prefix") = std::vector<std::int32_t>(), py::arg("open_after") = 1,
           py::arg("max_nodes") = 0xFFFFFFFFu, py::arg("transpositions") = false,
           py::keep_alive<1, 2>(),
           "The tree below the state that the actions `prefix` lead to.\n\n"
           "A simulation walks to the child of the best score until a node of fewer than\n"
           "`open_after` visits. With mean Q and n visits of a child, N of its parent, 'ucb1' is\n"
           "Q + 2c sqrt(2 ln N / n), unvisited children first; 'puct' is\n"
           "Q + c prior sqrt(N) / (1 + n), where Q is the parent's mean for an unvisited child.\n\n"
           "With `transpositions` Q is the mean of all simulations through any node whose state "
           "has\n"
           "the same key, while n and N stay those of the walked path.")
      .def("select", &select, py::arg("n"),
           "The nodes at which `n` further simulations end, uint32 `[n]`; each waits for its\n"
           "value and until then counts as a visit worth 0. ValueError where the tree is full.")
      .def("complete", &complete, py::arg("nodes"), py::arg("k"),
           "`k` random completions of each node's state, int16 `[n, k, W]`.")
      .def("back_up", &each<&Tree::back_up>, py::arg("nodes"), py::arg("values"),
           "Gives waiting simulations their values float64 `[n]`.")
      .def("correct", &each<&Tree::correct>, py::arg("nodes"), py::arg("values"),
           "Adds float64 `[n]` to the values of simulations that ended at the nodes.")
      .def("undo", &each<&Tree::undo>, py::arg("nodes"), py::arg("values"),
           "Takes back simulations that ended at the nodes with these values, float64 `[n]`.")
      .def("simulate", &simulate, py::arg("n"), py::arg("weights"),
           "`n` simulations, one after the other, each worth one random completion's features\n"
           "times `weights`, float64 `[F]`.")
      .def("set_priors", &set_priors, py::arg("node"), py::arg("priors"),
           "The priors of a node's children, float32 `[A]`; uniform until set.")
      .def("reroot", &Tree::reroot, py::arg("action"),
           "Keeps what is below the root's child by that action; nodes are numbered anew.")
      .def(
          "path",
          [](const Tree& self, std::uint32_t node) {
            const std::vector<std::int32_t> actions = self.path(node);
            py::typing::Tuple<int, py::ellipsis> out = py::tuple(actions.size());
            for (std::size_t i = 0; i < actions.size(); ++i) out[i] = py::int_(actions[i]);
            return out;
          },
          py::arg("node"), "The decisions that lead to a node, those of `prefix` included.")
      .def("children", &children, py::arg("node"),
           "Actions int32, visits uint32 and mean values float64 of a node's children, `[m]`.")
      .def(
          "visits", [](const Tree& self, std::uint32_t node) { return self.at(node).visits; },
          py::arg("node"), "Simulations that went through a node and have a value.")
      .def_property_readonly(
          "size", [](const Tree& self) { return self.nodes().size(); }, "Nodes.")
      .def_property_readonly("bytes", &Tree::bytes, "All that the tree holds in memory.")
      .def("state", &state,
           "All of it: prefix, counters of simulations and completions, and of each node action,\n"
           "children, first child, visits, sum of values, prior; with transpositions of each "
           "state,\n"
           "in the order of their first nodes, visits and sum of values. ValueError while one "
           "waits.")
      .def("load", &load, py::arg("prefix"), py::arg("counters"), py::arg("action"),
           py::arg("children"), py::arg("first"), py::arg("visits"), py::arg("total"),
           py::arg("prior"), py::arg("shared_visits"), py::arg("shared_total"),
           "Replaces all of it by what `state` gave.\n\n"
           "ValueError, and nothing replaced, where it is no tree of this space.");
}

}  // namespace nascore::bindings
