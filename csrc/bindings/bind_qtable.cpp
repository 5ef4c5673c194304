// The Q-table. It keeps the GIL, which is its lock.
#include <algorithm>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "nascore/qtable.hpp"

namespace nascore::bindings {
namespace {

Array<std::int16_t> observations(const QTable& table, const Given<std::int16_t>& given) {
  return checked(given, "observation", {"n", table.observation_width()});
}

Array<std::int32_t> choose(const QTable& table, const Given<std::int16_t>& observation,
                           const Given<bool>& legal, double epsilon, std::uint64_t seed,
                           std::uint32_t stream, std::uint64_t counter) {
  const auto seen = observations(table, observation);
  const auto mask = checked(legal, "legal", {seen.shape(0), table.actions()});
  Array<std::int32_t> out(seen.shape(0));
  table.choose(seen.data(), mask.data(), static_cast<int>(seen.shape(0)), epsilon, seed, stream,
               counter, out.mutable_data());
  return out;
}

void sweep(QTable& table, const Given<std::int16_t>& observation,
           const Given<std::int32_t>& actions, const Given<bool>& legal,
           const Given<double>& rewards) {
  const auto seen = observations(table, observation);
  const py::ssize_t length = seen.shape(0);
  const auto taken = checked(actions, "actions", {length});
  const auto mask = checked(legal, "legal", {length, table.actions()});
  const auto paid = checked(rewards, "rewards", {length});
  table.sweep(seen.data(), taken.data(), mask.data(), paid.data(), static_cast<int>(length));
}

Array<double> values(const QTable& table, const Given<std::int16_t>& observation) {
  const auto seen = observations(table, observation);
  Array<double> out({seen.shape(0), py::ssize_t{table.actions()}});
  for (py::ssize_t i = 0; i < seen.shape(0); ++i) {
    table.values(seen.data(i, 0), out.mutable_data(i, 0));
  }
  return out;
}

py::typing::Tuple<Array<std::int16_t>, Array<std::int32_t>, Array<std::int32_t>, Array<double>>
state(const QTable& table) {
  const std::vector<std::int16_t>& keys = table.keys();
  const std::vector<QTable::Entry> entries = table.entries();
  const auto n = static_cast<py::ssize_t>(entries.size());
  const py::ssize_t width = table.observation_width();
  Array<std::int16_t> key({static_cast<py::ssize_t>(keys.size()) / width, width});
  std::copy(keys.begin(), keys.end(), key.mutable_data());
  Array<std::int32_t> row(n), action(n);
  Array<double> value(n);
  for (py::ssize_t i = 0; i < n; ++i) {
    row.mutable_at(i) = entries[i].row;
    action.mutable_at(i) = entries[i].action;
    value.mutable_at(i) = entries[i].value;
  }
  return py::make_tuple(key, row, action, value);
}

void load(QTable& table, const Given<std::int16_t>& keys, const Given<std::int32_t>& row,
          const Given<std::int32_t>& action, const Given<double>& value) {
  const auto key = checked(keys, "keys", {"m", "V"});
  const auto rows = checked(row, "row", {"e"});
  const py::ssize_t n = rows.shape(0);
  const auto actions = checked(action, "action", {n});
  const auto numbers = checked(value, "value", {n});
  if (key.shape(1) != table.observation_width()) {
    throw py::value_error("a Q-table from another space: its observations have " +
                          std::to_string(key.shape(1)) + " numbers, this space's have " +
                          std::to_string(table.observation_width()));
  }
  std::vector<QTable::Entry> entries(n);
  for (py::ssize_t i = 0; i < n; ++i) entries[i] = {rows.at(i), actions.at(i), numbers.at(i)};
  table.load({key.data(), key.data() + key.size()}, entries);
}

}  // namespace

void bind_qtable(py::module_& m) {
  py::class_<QTable>(m, "QTable", "Tabular Q-learning: observation `[V]` -> `[A]` values.")
      .def(py::init<int, int, double, double, double>(), py::arg("actions"),
           py::arg("observation_width"), py::arg("alpha"), py::arg("gamma"), py::arg("initial"),
           "Every value is `initial` until a sweep changes it.")
      .def("choose", &choose, py::arg("observation"), py::arg("legal"), py::arg("epsilon"),
           py::arg("seed"), py::arg("stream"), py::arg("counter"),
           "Epsilon-greedy actions int32 `[n]`, ties at random.\n\n"
           "Item i draws at counter + i: a uniform number of `stream`; where it is below epsilon,\n"
           "an integer of `stream + 1` among the legal actions, else one among the best of them,\n"
           "in ascending order. ValueError names an item without a legal action.")
      .def(
          "sweep", &sweep, py::arg("observation"), py::arg("actions"), py::arg("legal"),
          py::arg("rewards"),
          "Learns one trajectory of T steps, the last one first.\n\n"
          "ValueError, and nothing learned, names a step of an illegal action or no finite reward.")
      .def("values", &values, py::arg("observation"), "float64 `[n, A]`.")
      .def("state", &state,
           "All that was learned: keys int16 `[m, V]`, and of their values, where not `initial`,\n"
           "row and action int32 and value float64 `[e]`.")
      .def("load", &load, py::arg("keys"), py::arg("row"), py::arg("action"), py::arg("value"),
           "Replaces all that was learned by what `state` gave.\n\n"
           "ValueError, and nothing replaced, where it comes from another space.");
}

}  // namespace nascore::bindings
