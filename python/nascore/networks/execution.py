"""How fast a training runs on a machine, which is no part of its recipe."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Execution:
    """Mixed precision and compilation of training steps; both change the rounding.

    `amp` is bfloat16, or float16 with scaled losses on GPUs before Ampere; None has it on a GPU
    and not on a CPU. Validation and tests run as ever. `compiled` has torch.compile translate the
    network once, which takes minutes.
    """

    amp: bool | None = None
    compiled: bool = False

    def require(self, device: torch.device) -> None:
        """Raises ValueError where `device` is only slowed down by it."""
        if self.amp and device.type == "cpu" and not has_bfloat16():
            raise ValueError(
                "amp: this CPU has no instructions for bfloat16, so that float32 is faster; "
                "train without --amp"
            )


def has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 numbers itself."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def compiled(step: Callable[..., list[torch.Tensor]]) -> Callable[..., list[torch.Tensor]]:
    """`step` translated by torch.compile. Raises ValueError where there is no compiler."""
    translated = torch.compile(step)

    def run(images: torch.Tensor) -> list[torch.Tensor]:
        with _explained():
            return translated(images)

    return run


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    from torch._dynamo.exc import BackendCompilerFailed, Unsupported

    try:
        yield
    except (BackendCompilerFailed, Unsupported) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"compile: torch cannot compile this network here ({reason}); it needs a C++ compiler "
            "and Python's headers on a CPU, Triton on a GPU: or train without --compile"
        ) from error
