// What the bindings share: addresses of Python's integers, and errors as exceptions.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels.hpp"

namespace nascore::cuda {

namespace py = pybind11;
using Address = std::uintptr_t;
using Addresses = std::vector<Address>;
using Release = py::call_guard<py::gil_scoped_release>;

template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

template <class T>
std::vector<T*> all_at(const Addresses& addresses) {
  std::vector<T*> pointers;
  for (const Address address : addresses) pointers.push_back(at<T>(address));
  return pointers;
}

inline cudaStream_t stream_at(Address stream) { return reinterpret_cast<cudaStream_t>(stream); }

inline void require(cudaError_t status) {
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(status));
  }
}

void bind_training(py::module_& m);

}  // namespace nascore::cuda
