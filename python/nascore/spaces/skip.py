"""Whole networks as Zoph & Le (ICLR 2017) write them: convolutions, and which read which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nascore import _core
from nascore.spaces.architecture import Architecture
from nascore.spaces.core_space import CoreSpace
from nascore.spaces.skip_code import skip_arrays

_NAMES = ("height", "width", "stride", "filters")


class SkipSpace(CoreSpace):
    """Networks of as many layers as one of `depths`; `W` is the number of decisions of the deepest.

    The first decision is the depth. Then each layer has a height, width, stride and number of
    filters, one decision for each of these that has several options, and a bit for every layer
    before it: whether it is read (section 3.3 of the paper). One stride serves both directions: a
    choice, where the paper predicts two. An observation is how much was decided and the last
    decision; features are the decisions one-hot, side by side.
    """

    name = "skip"

    def __init__(
        self,
        depths: Sequence[int] = (6, 8, 10, 12, 14, 16, 18, 20),
        heights: Sequence[int] = (1, 3, 5, 7),
        widths: Sequence[int] = (1, 3, 5, 7),
        strides: Sequence[int] = (1,),
        filters: Sequence[int] = (24, 36, 48, 64),
    ) -> None:
        self.depths = tuple(depths)
        self.options = (tuple(heights), tuple(widths), tuple(strides), tuple(filters))
        for name, options in zip(_NAMES, self.options, strict=True):
            if not options or len(set(options)) < len(options) or min(options) < 1:
                raise ValueError(f"{name} options {options}: give different numbers of at least 1")
            if name in _NAMES[:2] and any(option % 2 == 0 for option in options):
                raise ValueError(f"{name} options {options}: the sides of a kernel are odd")
        self.kinds = tuple(k for k, options in enumerate(self.options) if len(options) > 1)
        sizes = [len(self.options[k]) for k in self.kinds]
        super().__init__(_core.SkipSpace(list(self.depths), sizes))

    def __reduce__(self) -> tuple[type[SkipSpace], tuple[object, ...]]:
        return SkipSpace, (self.depths, *self.options)

    def architecture(self, code: Sequence[Sequence[int]]) -> Architecture:
        """The architecture of rows (height, width, stride, filters, *layers that it reads).

        Layers count from 1. ValueError names what this space does not have.
        """
        found = Architecture.of(self.name, tuple(map(tuple, code)))
        self.actions(found)
        return found

    def decode(self, state: npt.NDArray[np.int16]) -> list[Architecture]:
        """The architectures of finished states."""
        self._require_finished(state)
        return [Architecture.of(self.name, self._code(row)) for row in state.tolist()]

    def _code(self, decisions: list[int]) -> tuple[tuple[int, ...], ...]:
        code: list[tuple[int, ...]] = []
        at = 1
        for i in range(self.depths[decisions[0]]):
            row = [options[0] for options in self.options]
            for kind in self.kinds:
                row[kind] = self.options[kind][decisions[at]]
                at += 1
            code.append((*row, *(j + 1 for j in range(i) if decisions[at + j])))
            at += i
        return tuple(code)

    def actions(self, architecture: Architecture) -> tuple[int, ...]:
        """The decisions that write the architecture."""
        numbers, reads = skip_arrays(architecture.code)
        if len(numbers) not in self.depths:
            raise ValueError(f"{len(numbers)} layers; this space has {self.depths}")
        actions = [self.depths.index(len(numbers))]
        for i, row in enumerate(numbers.tolist()):
            for name, number, options in zip(_NAMES, row, self.options, strict=True):
                if number not in options:
                    raise ValueError(f"layer {i + 1}: {name} {number} is none of {options}")
            actions += [self.options[kind].index(row[kind]) for kind in self.kinds]
            actions += map(int, reads[i, :i])
        return tuple(actions)
