// nascore._cuda: built where nvcc is found.
#include <pybind11/pybind11.h>

#include "kernels.hpp"

PYBIND11_MODULE(_cuda, m, pybind11::mod_gil_not_used()) {
  m.doc() = "The CUDA kernels of nascore.";
  m.def("device_count", &nascore::cuda::device_count,
        "How many CUDA devices this process sees; 0 without a driver.");
}
