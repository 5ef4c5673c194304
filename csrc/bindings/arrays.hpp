// Array arguments: checked once, at the seam, with a message that says what came and what was
// wanted.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <initializer_list>
#include <string>

namespace nascore::bindings {

namespace py = pybind11;

// Aligned, since a view into bytes need not be, and reading it as T would be undefined.
template <class T>
using Array = py::array_t<T, py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_>;

// What a caller passed where an array of T is due: anything, so that `checked` words the refusal.
template <class T>
struct Given {
  py::object object;
};

// A dimension of an expected shape: a number, or a name for one that is free.
struct Dim {
  std::string name;
  py::ssize_t size = -1;

  Dim(const char* free) : name(free) {}
  Dim(py::ssize_t fixed) : name(std::to_string(fixed)), size(fixed) {}
  Dim(int fixed) : Dim(py::ssize_t{fixed}) {}
};

template <class T>
std::string dtype_name() {
  return py::str(py::dtype::of<T>().attr("name"));
}

// The array, copied only when it is not contiguous and aligned. Throws value_error
// "codes: expected int16 [n, L, 5], got int64 [3, 5]".
template <class T>
Array<T> checked(const Given<T>& given, const char* argument, std::initializer_list<Dim> dims) {
  if (py::isinstance<py::array_t<T, 0>>(given.object)) {
    auto array = Array<T>::ensure(given.object);
    bool fits = array.ndim() == static_cast<py::ssize_t>(dims.size());
    py::ssize_t axis = 0;
    for (const Dim& dim : dims) {
      if (fits && dim.size >= 0) fits = array.shape(axis) == dim.size;
      ++axis;
    }
    if (fits) return array;
  }
  std::string message = std::string(argument) + ": expected " + dtype_name<T>() + " [";
  for (const Dim& dim : dims) message += (&dim == dims.begin() ? "" : ", ") + dim.name;
  message += "], got ";
  if (py::isinstance<py::array>(given.object)) {
    const auto array = py::reinterpret_borrow<py::array>(given.object);
    message += std::string(py::str(array.dtype().attr("name"))) + " [";
    for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) {
      message += (axis ? ", " : "") + std::to_string(array.shape(axis));
    }
    message += "]";
  } else {
    message += std::string("a ") + Py_TYPE(given.object.ptr())->tp_name;
  }
  throw py::value_error(message);
}

}  // namespace nascore::bindings

namespace pybind11::detail {

template <class T>
struct type_caster<nascore::bindings::Given<T>> {
  PYBIND11_TYPE_CASTER(nascore::bindings::Given<T>, const_name("numpy.typing.NDArray[") +
                                                        npy_format_descriptor<T>::name +
                                                        const_name("]"));
  bool load(handle source, bool) {
    value.object = reinterpret_borrow<object>(source);
    return true;
  }
};

}  // namespace pybind11::detail
