"""The torch library that holds the package's operators, and what all of their kernels need."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

# Any: torch leaves the types of its methods open.
library: Any = torch.library.Library("nascore", "FRAGMENT")  # type: ignore[no-untyped-call]
# A team of threads does not survive a fork, and the child's first parallel loop would hang.
os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

# The CUDA kernels, where this build has them.
cuda: ModuleType | None
try:
    from nascore import _cuda as cuda
except ImportError:
    cuda = None
CUDA_TYPES = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}


def require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def without_gradient(operator: str, told: str) -> None:
    """Makes a derivative of `operator` a RuntimeError, where torch would warn and give none."""

    def refuse(*_: Any) -> None:
        raise RuntimeError(told)

    torch.library.register_autograd(f"nascore::{operator}", refuse, lib=library)
