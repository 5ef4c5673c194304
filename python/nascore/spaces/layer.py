"""Whole networks as MetaQNN writes them: one layer of a chain per decision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nascore import _core
from nascore.spaces.architecture import Architecture
from nascore.spaces.core_space import CoreSpace
from nascore.spaces.layer_code import layer_rows

_GAP, _SM = 4, 5


class LayerSpace(CoreSpace):
    """Chains of up to `max_layers` layers for images of side `size`; `W = 3 * (max_layers + 1)`.

    A convolution has a kernel of 1, 3 or 5 and one of `widths`, a dense layer one of `dense`. A
    kernel is at most the bin of the representation's size (8, 4 or 1), or below it with `strict`,
    as in the released code. An observation is the last row, the layers so far, the bin, and how
    many of the layers are dense; features are the actions, one-hot, side by side.
    """

    name = "layer"

    def __init__(
        self,
        size: int = 32,
        max_layers: int = 18,
        widths: Sequence[int] = (64, 128, 256, 512),
        dense: Sequence[int] = (512, 256, 128),
        strict: bool = False,
    ) -> None:
        super().__init__(_core.LayerSpace(size, max_layers, list(widths), list(dense), strict))
        self._arguments = (size, max_layers, tuple(widths), tuple(dense), strict)

    def __reduce__(self) -> tuple[type[LayerSpace], tuple[object, ...]]:
        return LayerSpace, self._arguments

    def architecture(self, code: str | npt.ArrayLike) -> Architecture:
        """The chain of a code, as "C(64,3),SM" or rows `[L, 3]`; ValueError names what is wrong."""
        rows = layer_rows(code)
        self._actions(rows)
        return Architecture.of(self.name, tuple(map(tuple, rows.tolist())))

    def decode(self, state: npt.NDArray[np.int16]) -> list[Architecture]:
        """The chains of finished states."""
        self._require_finished(state)
        return [
            Architecture.of(self.name, tuple(tuple(row) for row in rows if row[0]))
            for rows in state.reshape(len(state), -1, 3).tolist()
        ]

    def actions(self, architecture: Architecture) -> tuple[int, ...]:
        """The decisions that write the chain."""
        return self._actions(layer_rows(architecture.code))

    def prefix(self, code: str | npt.ArrayLike) -> tuple[int, ...]:
        """The decisions that write the first layers of a chain; ValueError for a finished one."""
        rows = layer_rows(code)
        if np.isin(rows[:, 0], (_GAP, _SM)).any():
            raise ValueError("the chain is finished; give only its first layers, no SM or GAP")
        ended = np.concatenate([rows, np.array([[_SM, 0, 0]], np.int16)])
        return self._actions(ended)[: len(rows)]

    def _actions(self, rows: npt.NDArray[np.int16]) -> tuple[int, ...]:
        if len(rows) > self.max_steps:
            raise ValueError(
                f"the chain has {len(rows)} rows, this space takes {self.max_steps} with the ending"
            )
        state = np.zeros((1, self.max_steps, 3), np.int16)
        state[0, : len(rows)] = rows
        try:
            actions = self._core.actions(state.reshape(1, -1))[0, : len(rows)].tolist()
        except ValueError as error:
            raise ValueError(str(error).removeprefix("item 0: ")) from None
        if -1 in actions:
            raise ValueError("something follows the ending of the chain")
        return tuple(actions)
