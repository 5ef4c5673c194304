"""Blocks drawn as graphs: nodes with an operation each, which sum what they read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nascore import _core
from nascore._core import DagSpace
from nascore.names import unknown
from nascore.spaces.architecture import Architecture, Code
from nascore.spaces.core_space import CoreSpace

Operation = tuple[Any, ...]  # a name of `_core.OPS`, a kernel, a dilation if it is not 1

NASBENCH: tuple[Operation, ...] = (("conv", 1), ("conv", 3), ("max_pool", 3))
# Choice: the published list of eight was not readable.
GHN: tuple[Operation, ...] = (
    ("identity", 0),
    ("conv", 1),
    ("sep_conv", 3),
    ("sep_conv", 5),
    ("sep_conv", 3, 2),
    ("sep_conv", 5, 2),
    ("max_pool", 3),
    ("avg_pool", 3),
)


class _DagSpace(CoreSpace):
    """What both kinds of walk share: states, and the rows that they stand for."""

    name = "dag"
    _core: DagSpace
    # Whether what the output reads is part of a state; else the unread nodes are added up.
    _has_output: bool

    def __init__(self, core: DagSpace, rows: npt.NDArray[np.int32], most: int) -> None:
        super().__init__(core)
        self._rows: list[tuple[int, ...]] = [tuple(row) for row in rows.tolist()]
        self._most = most

    def architecture(self, code: Sequence[Sequence[int]]) -> Architecture:
        """The block of its rows; ValueError where they are none, or none of this space.

        A row is (op, kernel, dilation, nodes that are read in rising order), node 0 being the
        input; the last row joins the result, by concat (6, 0, 1, ...) or add (5, 0, 1, ...).
        """
        architecture = Architecture.of(self.name, tuple(tuple(row) for row in code))
        self.actions(architecture)
        return architecture

    def decode(self, state: npt.NDArray[np.int16]) -> list[Architecture]:
        """The blocks of finished states."""
        self._require_finished(state)
        hashes = self._core.hash(state)
        return [
            Architecture(self.name, self._code(row), f"{high:016x}{low:016x}")
            for row, (high, low) in zip(state.tolist(), hashes.tolist(), strict=True)
        ]

    def actions(self, architecture: Architecture) -> tuple[int, ...]:
        """Decisions that write the block: of its walks the one with edges in their order."""
        state = self._state(architecture.code)
        if self._code(state[0].tolist()) != architecture.code:
            raise ValueError(f"{architecture.code!r} is no block of this space: its result differs")
        return tuple(a for a in self._core.actions(state)[0].tolist() if a >= 0)

    def _code(self, state: Sequence[int]) -> Code:
        nodes = sum(op > 0 for op in state[: self._most])
        pairs = state[self._most : -1]
        reads = [
            tuple(u for u in range(v) if pairs[v * (v - 1) // 2 + u])
            for v in range(1, nodes + 1 + self._has_output)
        ]
        rows = (self._rows[op - 1] + read for op, read in zip(state[:nodes], reads, strict=False))
        return (*rows, self._result(reads, nodes))

    def _state(self, code: Code) -> npt.NDArray[np.int16]:
        """The finished state `[1, W]` of a code that `Architecture.of` took."""
        nodes = code[:-1]
        if len(nodes) > self._most:
            raise ValueError(f"the block has {len(nodes)} nodes, this space takes {self._most}")
        state = self.start(1)
        for v, row in enumerate(code if self._has_output else nodes, 1):
            if v <= len(nodes):
                if row[:3] not in self._rows:
                    raise ValueError(f"node {v}: {row[:3]} is no operation of this space")
                state[0, v - 1] = 1 + self._rows.index(row[:3])
            state[0, [self._most + v * (v - 1) // 2 + u for u in row[3:]]] = 1
        state[0, -1] = 2  # done
        return state

    def _result(self, reads: Sequence[tuple[int, ...]], nodes: int) -> tuple[int, ...]:
        if self._has_output:
            return (_core.OPS["concat"][0], 0, 1, *reads[nodes])
        read = {u for read in reads for u in read}
        unread = (v for v in range(1, nodes + 1) if v not in read)
        return (_core.OPS["add"][0], 0, 1, *unread)


class EdgeDagSpace(_DagSpace):
    """NAS-Bench-101's cells (Ying et al., 2019) of up to `max_nodes` with input and output.

    One kind of decision: 0 ends, then one for adding a node of each operation, then one for adding
    each edge (0,1), (0,2), (1,2), ... A new node erases all edges. As AlphaX walks it (`erasing`)
    everything within the limits is legal: 43 steps at most. Else steps that come to nothing are
    not: no node comes after an edge, and a walk ends only once a way leads from the input to the
    output: 15 steps at most. A node sums what it reads; the result is the concatenation of what
    the output reads, to which the input is added.
    """

    _has_output = True

    def __init__(
        self,
        max_nodes: int = 7,
        max_edges: int = 9,
        operations: Sequence[Operation] = NASBENCH,
        erasing: bool = False,
    ) -> None:
        rows = operation_rows(operations)
        core = _core.EdgeDagSpace(rows, max_nodes, max_edges, erasing)
        super().__init__(core, rows, max_nodes - 2)
        self._arguments = (max_nodes, max_edges, tuple(operations), erasing)

    def __reduce__(self) -> tuple[type[EdgeDagSpace], tuple[object, ...]]:
        return EdgeDagSpace, self._arguments


class SumDagSpace(_DagSpace):
    """Blocks of `nodes` nodes for a graph hypernetwork (Zhang et al., ICLR 2019, section 5.1).

    Node by node, its operation (head 0), then what it reads, in rising order (head 1: 0 ends,
    1 + u reads node u). The result is the sum of the nodes that nobody reads. Choices: the paper
    applies the operation to each input and sums the outputs, which is the same where it is linear;
    what joins the block's last nodes was not readable.
    """

    _has_output = False

    def __init__(self, nodes: int = 17, operations: Sequence[Operation] = GHN) -> None:
        rows = operation_rows(operations)
        super().__init__(_core.SumDagSpace(rows, nodes), rows, nodes)
        self._arguments = (nodes, tuple(operations))

    def __reduce__(self) -> tuple[type[SumDagSpace], tuple[object, ...]]:
        return SumDagSpace, self._arguments


def operation_rows(operations: Sequence[Operation]) -> npt.NDArray[np.int32]:
    """op, kernel and dilation of each, `[O, 3]`."""
    rows = []
    for name, kernel, *dilation in operations:
        if name not in _core.OPS:
            raise unknown("operation", name, _core.OPS)
        rows.append((_core.OPS[name][0], kernel, *(dilation or [1])))
    return np.array(rows, np.int32).reshape(-1, 3)
