"""The CUDA module, where this build has one."""

from __future__ import annotations

import ctypes.util

import pytest

import nascore

_cuda = pytest.importorskip("nascore._cuda", reason="built without CUDA: no nvcc, or turned off")


def test_device_count() -> None:
    count = _cuda.device_count()
    assert type(count) is int
    assert count >= 0
    assert nascore.has_cuda() is (count > 0)


def test_without_a_driver_there_is_no_device() -> None:
    if ctypes.util.find_library("cuda"):
        pytest.skip("this machine has a CUDA driver")
    assert _cuda.device_count() == 0
