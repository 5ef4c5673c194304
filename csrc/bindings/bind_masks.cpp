// Random masks from weights in fixed point.
#include "arrays.hpp"
#include "nascore/masks.hpp"

namespace nascore::bindings {
namespace {

Array<std::int32_t> k_of_n(const Given<std::uint32_t>& given, int k, std::uint64_t seed,
                           std::uint32_t stream, std::uint64_t counter) {
  const auto weights = checked(given, "weights", {"R", "n"});
  Array<std::int32_t> out({weights.shape(0), py::ssize_t{k > 0 ? k : 0}});
  const std::uint32_t* in = weights.data();
  std::int32_t* drawn = out.mutable_data();
  const auto n = static_cast<int>(weights.shape(1));
  const py::gil_scoped_release release;
  draw_k(in, weights.shape(0), n, k, seed, stream, counter, drawn);
  return out;
}

Array<bool> bernoulli(const Given<std::uint32_t>& given, std::uint64_t seed, std::uint32_t stream,
                      std::uint64_t counter) {
  const auto weights = checked(given, "weights", {"R", "n"});
  Array<bool> out({weights.shape(0), weights.shape(1)});
  const std::uint32_t* in = weights.data();
  bool* mask = out.mutable_data();
  const auto n = static_cast<int>(weights.shape(1));
  const py::gil_scoped_release release;
  draw_bernoulli(in, weights.shape(0), n, seed, stream, counter, mask);
  return out;
}

Array<std::int32_t> categorical(const Given<std::uint32_t>& given, const Given<bool>& given_legal,
                                std::uint64_t seed, std::uint32_t stream, std::uint64_t counter) {
  const auto weights = checked(given, "weights", {"R", "n"});
  const auto legal = checked(given_legal, "legal", {weights.shape(0), weights.shape(1)});
  Array<std::int32_t> out(weights.shape(0));
  const std::uint32_t* in = weights.data();
  const bool* mask = legal.data();
  std::int32_t* drawn = out.mutable_data();
  const auto n = static_cast<int>(weights.shape(1));
  const py::gil_scoped_release release;
  draw_categorical(in, mask, weights.shape(0), n, seed, stream, counter, drawn);
  return out;
}

}  // namespace

void bind_masks(py::module_& m) {
  m.attr("MASK_ONE") = kMaskOne;
  m.def("draw_k", &k_of_n, py::arg("weights"), py::arg("k"), py::arg("seed"), py::arg("stream"),
        py::arg("counter"),
        "k distinct indices of each row of weights uint32 `[R, n]`, in the order drawn: int32\n"
        "`[R, k]`. Each is drawn by the weights that are left, and where none is left by chance.\n"
        "A weight is 0 to MASK_ONE; row i belongs to counter + i.");
  m.def("draw_bernoulli", &bernoulli, py::arg("weights"), py::arg("seed"), py::arg("stream"),
        py::arg("counter"),
        "Each entry true with probability weight / MASK_ONE: uint32 `[R, n]` -> bool `[R, n]`.");
  m.def("draw_categorical", &categorical, py::arg("weights"), py::arg("legal"), py::arg("seed"),
        py::arg("stream"), py::arg("counter"),
        "One index of each row by the weights uint32 `[R, n]` of those that are legal, bool\n"
        "`[R, n]`: int32 `[R]`. By chance where no legal one has weight.");
}

}  // namespace nascore::bindings
