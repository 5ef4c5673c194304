"""Pairs of cells as NASNet writes them: five decisions for each block."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nascore import _core
from nascore.names import unknown
from nascore.spaces.architecture import Architecture, joined
from nascore.spaces.cell_code import CellCode, beginning, cell_code, unused
from nascore.spaces.core_space import CoreSpace

_PAPER = ("add", "concat")
_CELLS = ("Normal", "Reduction")
_DECISIONS = ("state1", "state2", "op1", "op2", "combine")


class CellSpace(CoreSpace):
    """A Normal and a Reduction cell of `blocks` blocks each (Zoph et al., 2018, section 3).

    A block is five decisions: two of the states so far, an operation of `ops` on each, and one of
    `combine`. Every decision has a head of its own, so the 5 * 2 * blocks heads are in the order in
    which they are made. A cell gives its unread states, or with `all_outputs`, as in NASNet-B, all
    of its own. -1 stands for a decision not yet made; an observation is the whole state, features
    are the decisions one-hot, side by side.
    """

    name = "cell"

    def __init__(
        self,
        blocks: int = 5,
        ops: Sequence[str] = _core.CELL_OPS,
        combine: Sequence[str] = _PAPER,
        all_outputs: bool = False,
    ) -> None:
        if not 1 <= blocks <= _core.CELL_MAX_BLOCKS:
            raise ValueError(f"blocks={blocks} must be 1 to {_core.CELL_MAX_BLOCKS}")
        self._ops = _numbers("operation", ops, _core.CELL_OPS)
        self._combines = _numbers("way to combine", combine, _core.CELL_COMBINES)
        self.blocks = blocks
        self.all_outputs = all_outputs
        cell = [(2 + b, 2 + b, len(ops), len(ops), len(combine)) for b in range(blocks)]
        super().__init__(_core.ChoicesSpace([*itertools.chain(*cell)] * 2))
        self._arguments = (blocks, tuple(ops), tuple(combine), all_outputs)

    def __reduce__(self) -> tuple[type[CellSpace], tuple[Any, ...]]:
        return CellSpace, self._arguments

    def architecture(self, code: Any) -> Architecture:
        """The cells of a code, as text or as rows; ValueError names what is wrong with it.

        The text is like "sep5(0)+sep3(1) avg3(0)+id(2) / ...", the Normal cell first. Outputs may
        be left out.
        """
        cells = cell_code(code)
        self._choices(cells)
        return Architecture.of(self.name, cells)

    def prefix(self, code: str) -> tuple[int, ...]:
        """The decisions that write the first blocks of a text; ValueError for finished cells."""
        cells = beginning(code)
        choices: list[int] = []
        for i, blocks in enumerate(cells):
            whole = i + 1 < len(cells)
            if len(blocks) > self.blocks - (1 - whole) or (whole and len(blocks) < self.blocks):
                raise ValueError(
                    f"{_CELLS[i]} cell: {len(blocks)} blocks; of the {self.blocks} give all before "
                    "a '/', and fewer at the end"
                )
            for b, block in enumerate(blocks):
                choices += self._block(_CELLS[i], b, block)
        return tuple(choices)

    def decode(self, state: npt.NDArray[np.int16]) -> list[Architecture]:
        """The cells of finished states."""
        self._require_finished(state)
        choices = state.reshape(len(state), 2, self.blocks, 5)
        codes = choices.copy()
        codes[..., 2:4] = np.array(self._ops, np.int16)[choices[..., 2:4]]
        codes[..., 4] = np.array(self._combines, np.int16)[choices[..., 4]]
        hashes = [
            _core.cell_hash(np.ascontiguousarray(codes[:, i]), self.all_outputs, 1 + i)
            for i in range(2)
        ]
        return [
            Architecture(
                self.name,
                tuple((rows := tuple(map(tuple, cell)), self._outputs(rows)) for cell in code),
                joined([f"{high:016x}{low:016x}" for high, low in pair]),
            )
            for code, *pair in zip(
                codes.tolist(), hashes[0].tolist(), hashes[1].tolist(), strict=True
            )
        ]

    def actions(self, architecture: Architecture) -> tuple[int, ...]:
        """The decisions that write the cells."""
        return self._choices(cell_code(architecture.code))

    def _outputs(self, blocks: Sequence[Sequence[int]]) -> tuple[int, ...]:
        return tuple(range(2, 2 + self.blocks)) if self.all_outputs else unused(blocks)

    def _choices(self, code: CellCode) -> tuple[int, ...]:
        """The decisions of a code; ValueError where it is none of this space."""
        choices: list[int] = []
        for name, (blocks, outputs) in zip(_CELLS, code, strict=True):
            if len(blocks) != self.blocks:
                raise ValueError(
                    f"{name} cell: it has {len(blocks)} blocks, this space takes {self.blocks}"
                )
            for b, block in enumerate(blocks):
                choices += self._block(name, b, block)
            if outputs != self._outputs(blocks):
                raise ValueError(
                    f"{name} cell: it gives the states {outputs}, in this space "
                    f"{self._outputs(blocks)}"
                )
        return tuple(choices)

    def _block(self, cell: str, b: int, block: Sequence[int]) -> Iterator[int]:
        known = (range(2 + b), range(2 + b), self._ops, self._ops, self._combines)
        for what, value, values in zip(_DECISIONS, block, known, strict=True):
            if value not in values:
                raise ValueError(
                    f"{cell} cell, block {b + 1}: {what}={value} must be one of "
                    f"{', '.join(map(str, values))} in this space"
                )
            yield values.index(value)


def _numbers(kind: str, names: Sequence[str], known: Sequence[str]) -> list[int]:
    """Where the `names` stand among the `known` ones."""
    for name in names:
        if name not in known:
            raise unknown(kind, name, known)
    if len(set(names)) != len(names) or not names:
        raise ValueError(f"{kind}: give each once, one at least; got {tuple(names)}")
    return [known.index(name) for name in names]
