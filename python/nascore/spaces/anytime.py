"""Networks that answer early: cells of nodes at several scales, some with a classifier."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nascore import _core
from nascore.spaces.anytime_code import MAX_NODES, MAX_SCALE
from nascore.spaces.architecture import Architecture
from nascore.spaces.core_space import CoreSpace
from nascore.spaces.dag import GHN, Operation, operation_rows

_DECISIONS = 5  # of a node


class AnytimeSpace(CoreSpace):
    """A cell of `nodes[c]` nodes after the other (Zhang et al., ICLR 2019, section 5.2).

    A node is five decisions: its operation, its scale (the image's sides are divided by 2 to the
    power of it), whether an early exit is attached to it, and two of its cell's input, 0, and
    earlier nodes; those that it reads are summed, one that is named twice is read once. Choices:
    the paper does not say how many a node reads, nor the operations. -1 stands for a decision not
    yet made; an observation is the whole state, features are the decisions one-hot, side by side.
    """

    name = "anytime"

    def __init__(
        self,
        nodes: Sequence[int] = (24, 16, 8),
        operations: Sequence[Operation] = GHN,
        scales: int = 3,
    ) -> None:
        if not nodes or not all(1 <= n <= MAX_NODES for n in nodes):
            raise ValueError(f"nodes={tuple(nodes)}: give each cell 1 to {MAX_NODES}")
        if not 1 <= scales <= MAX_SCALE + 1:
            raise ValueError(f"scales={scales} must be 1 to {MAX_SCALE + 1}")
        self.nodes, self.scales = tuple(nodes), scales
        self._rows = [tuple(row) for row in operation_rows(operations).tolist()]
        sizes = [(len(self._rows), scales, 2, v, v) for n in self.nodes for v in range(1, n + 1)]
        super().__init__(_core.ChoicesSpace([*itertools.chain(*sizes)]))
        self._arguments = (self.nodes, tuple(operations), scales)

    def __reduce__(self) -> tuple[type[AnytimeSpace], tuple[object, ...]]:
        return AnytimeSpace, self._arguments

    def architecture(self, code: Sequence[Sequence[Sequence[int]]]) -> Architecture:
        """The network of its cells; ValueError where they are none, or none of this space.

        A cell is rows (op, kernel, dilation, scale, exit, nodes that are read in rising order).
        """
        cells = tuple(tuple(tuple(row) for row in cell) for cell in code)
        architecture = Architecture.of(self.name, cells)
        self.actions(architecture)
        return architecture

    def decode(self, state: npt.NDArray[np.int16]) -> list[Architecture]:
        """The networks of finished states."""
        self._require_finished(state)
        return [
            Architecture.of(self.name, self._code(decisions))
            for decisions in state.reshape(len(state), -1, _DECISIONS).tolist()
        ]

    def actions(self, architecture: Architecture) -> tuple[int, ...]:
        """Decisions that write the network: of its walks the one with inputs in rising order."""
        code = architecture.code
        if tuple(map(len, code)) != self.nodes:
            raise ValueError(f"cells of {[*map(len, code)]} nodes; this space has {self.nodes}")
        made: list[int] = []
        for c, cell in enumerate(code, 1):
            for v, (*operation, scale, leaves, first, second) in enumerate(map(_two, cell), 1):
                if tuple(operation) not in self._rows:
                    raise ValueError(
                        f"cell {c}, node {v}: {tuple(operation)} is no operation of this space"
                    )
                if scale >= self.scales:
                    raise ValueError(
                        f"cell {c}, node {v}: scale {scale} must be below {self.scales}"
                    )
                made += [self._rows.index(tuple(operation)), scale, leaves, first, second]
        return tuple(made)

    def _code(self, decisions: Sequence[Sequence[int]]) -> tuple[tuple[tuple[int, ...], ...], ...]:
        rows = iter(
            (*self._rows[op], scale, leaves, *sorted({first, second}))
            for op, scale, leaves, first, second in decisions
        )
        return tuple(tuple(itertools.islice(rows, n)) for n in self.nodes)


def _two(row: Sequence[int]) -> tuple[int, ...]:
    """A row that names two nodes; ValueError where it reads more."""
    if len(row) > 7:
        raise ValueError(f"a node of this space reads one or two, not {row[5:]}")
    return (*row[:5], row[5], row[-1])
