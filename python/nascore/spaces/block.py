"""Blocks as BlockQNN writes them: one row of a Network Structure Code per decision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nascore import _core
from nascore.spaces.architecture import Architecture, block_rows
from nascore.spaces.core_space import CoreSpace

_TERMINAL = 7
_BINARY = (5, 6)  # add, concat


class BlockSpace(CoreSpace):
    """Blocks of up to `max_layers` layers; a state is the rows so far, `W = 5 * max_layers`.

    After 0, 1, 2, ... layers 9, 19, 31, ... actions are legal, always those of the lowest numbers.
    An observation is the last row; features are each row's type and kernel, one-hot, and its
    predecessors over `max_layers`.
    """

    name = "block"

    def __init__(self, max_layers: int = 23) -> None:
        super().__init__(_core.BlockSpace(max_layers))
        self.max_layers = max_layers

    def __reduce__(self) -> tuple[type[BlockSpace], tuple[int]]:
        return BlockSpace, (self.max_layers,)

    def architecture(self, code: str | npt.ArrayLike) -> Architecture:
        """The block of a code, as text or rows `[L, 5]`; ValueError names the row and its fault.

        The terminal row may be missing, and a pair of predecessors come in either order.
        """
        rows = _core.nsc_parse(code) if isinstance(code, str) else block_rows(code)
        if problem := _core.nsc_message(rows):
            raise ValueError(problem)
        return Architecture.of(self.name, self._canonical(rows.tolist()))

    def decode(self, state: npt.NDArray[np.int16]) -> list[Architecture]:
        """The blocks of finished states, their codes canonical."""
        self._require_finished(state)
        codes = state.reshape(len(state), self.max_layers, 5)
        hashes = _core.nsc_hash(codes)
        return [
            Architecture(self.name, self._canonical(code), f"{high:016x}{low:016x}")
            for code, (high, low) in zip(codes.tolist(), hashes.tolist(), strict=True)
        ]

    def actions(self, architecture: Architecture) -> tuple[int, ...]:
        """The decisions that write the block; its terminal row is none after `max_layers`."""
        code = self.architecture(architecture.code).code[: self.max_layers]
        state = np.zeros((1, self.max_layers, 5), np.int16)
        state[0, : len(code)] = code
        return tuple(self._core.actions(state.reshape(1, -1))[0, : len(code)].tolist())

    def prefix(self, code: str | npt.ArrayLike) -> tuple[int, ...]:
        """The decisions that write the first rows of a block; ValueError for a finished one."""
        rows = _core.nsc_parse(code) if isinstance(code, str) else block_rows(code)
        actions = self.actions(self.architecture(rows))
        if len(rows) == self.max_layers or _TERMINAL in rows[:, 1]:
            raise ValueError("the block is finished; give only its first rows, no terminal row")
        return actions[: len(rows)]

    def _canonical(self, rows: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
        """The rows of a valid code: pairs sorted, the terminal row last, no padding."""
        layers = [row for row in rows if row[1] not in (0, _TERMINAL)]
        if len(layers) > self.max_layers:
            raise ValueError(
                f"the block has {len(layers)} layers, this space takes {self.max_layers}"
            )
        return (
            *(
                (i, op, kernel, *(sorted((p, q)) if op in _BINARY else (p, q)))
                for i, op, kernel, p, q in layers
            ),
            (len(layers) + 1, _TERMINAL, 0, 0, 0),
        )
