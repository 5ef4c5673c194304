// Batches of counter-based random numbers.
#include "arrays.hpp"
#include "nascore/rng.hpp"

namespace nascore::bindings {

namespace {

// Number i of the result is draw(Draw(seed, stream, counter + i)).
template <class T, class Number>
Array<T> draws(std::uint64_t seed, std::uint32_t stream, std::uint64_t counter, py::ssize_t n,
               Number number) {
  if (n < 0) throw py::value_error("n=" + std::to_string(n) + " must not be negative");
  Array<T> out(n);
  T* const data = out.mutable_data();
  const py::gil_scoped_release release;
  for (py::ssize_t i = 0; i < n; ++i) {
    data[i] = number(Draw(seed, stream, counter + static_cast<std::uint64_t>(i)));
  }
  return out;
}

Array<std::uint32_t> philox(const Given<std::uint32_t>& counter, const Given<std::uint32_t>& key) {
  const auto counters = checked(counter, "counter", {"n", 4});
  const py::ssize_t n = counters.shape(0);
  const auto keys = checked(key, "key", {n, 2});
  Array<std::uint32_t> out({n, py::ssize_t{4}});
  const std::uint32_t* c = counters.data();
  const std::uint32_t* k = keys.data();
  std::uint32_t* o = out.mutable_data();
  const py::gil_scoped_release release;
  for (py::ssize_t i = 0; i < n; ++i, c += 4, k += 2, o += 4) {
    const Words words = philox4x32({{c[0], c[1], c[2], c[3]}}, k[0], k[1]);
    for (int w = 0; w < 4; ++w) o[w] = words.w[w];
  }
  return out;
}

}  // namespace

void bind_rng(py::module_& m) {
  m.def("philox4x32", &philox, py::arg("counter"), py::arg("key"),
        "The Philox 4x32-10 block function of counters `[n, 4]` and keys `[n, 2]`: `[n, 4]`.");
  m.def(
      "uniform",
      [](std::uint64_t seed, std::uint32_t stream, std::uint64_t counter, py::ssize_t n) {
        return draws<double>(seed, stream, counter, n, [](Draw d) { return d.uniform(); });
      },
      py::arg("seed"), py::arg("stream"), py::arg("counter"), py::arg("n"),
      "Uniform numbers in [0, 1), `[n]`; number i belongs to counter + i.");
  m.def(
      "integers",
      [](std::uint64_t seed, std::uint32_t stream, std::uint64_t counter, py::ssize_t n,
         std::uint32_t bound) {
        if (bound == 0) throw py::value_error("bound=0 must be at least 1");
        return draws<std::uint32_t>(seed, stream, counter, n,
                                    [bound](Draw d) { return d.below(bound); });
      },
      py::arg("seed"), py::arg("stream"), py::arg("counter"), py::arg("n"), py::arg("bound"),
      "Unbiased integers in [0, bound), `[n]`; number i belongs to counter + i.");
  m.def(
      "normal",
      [](std::uint64_t seed, std::uint32_t stream, std::uint64_t counter, py::ssize_t n) {
        return draws<double>(seed, stream, counter, n, [](Draw d) { return d.normal(); });
      },
      py::arg("seed"), py::arg("stream"), py::arg("counter"), py::arg("n"),
      "Standard normal numbers, `[n]`; number i belongs to counter + i.");
}

}  // namespace nascore::bindings
