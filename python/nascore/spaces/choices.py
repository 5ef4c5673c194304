"""A product of categorical choices: the space of a table of results."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nascore import _core
from nascore.spaces.architecture import Architecture
from nascore.spaces.core_space import CoreSpace


class ChoicesSpace(CoreSpace):
    """`len(sizes)` decisions, the k-th with `sizes[k]` actions; -1 stands for one not yet made.

    An observation is the whole state; features are the decisions one-hot, side by side.
    """

    name = "choices"

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__(_core.ChoicesSpace(list(sizes)))

    def __reduce__(self) -> tuple[Any, ...]:
        return ChoicesSpace, (self.heads,)

    def architecture(self, code: Sequence[int]) -> Architecture:
        """The architecture of one choice per decision; ValueError names a choice out of range."""
        if len(code) != len(self.heads):
            raise ValueError(f"{len(code)} choices given, this space has {len(self.heads)}")
        for k, (choice, size) in enumerate(zip(code, self.heads, strict=True)):
            if not 0 <= choice < size:
                raise ValueError(f"choice {k} is {choice}; it takes 0 to {size - 1}")
        return _architecture(tuple(int(choice) for choice in code))

    def decode(self, state: npt.NDArray[np.int16]) -> list[Architecture]:
        """The architectures of finished states."""
        self._require_finished(state)
        if (state >= self.heads).any():
            return [self.architecture(code) for code in state.tolist()]  # names the first
        return [_architecture(tuple(code)) for code in state.tolist()]

    def actions(self, architecture: Architecture) -> tuple[int, ...]:
        """The decisions that write the architecture: its code."""
        return self.architecture(architecture.code).code


@lru_cache(1 << 16)  # a search meets the same ones again and again
def _architecture(code: tuple[int, ...]) -> Architecture:
    return Architecture.of("choices", code)
