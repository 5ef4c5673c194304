"""The code of an anytime network: per cell its nodes, each with a scale and maybe an exit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nascore import _core

Row = tuple[int, ...]  # op, kernel, dilation, scale, whether it has an exit, nodes that it reads
Cell = tuple[Row, ...]

_FORM = "(op, kernel, dilation, scale, exit, and the nodes that it reads)"
_ADD, _CONCAT = _core.OPS["add"][0], _core.OPS["concat"][0]
MAX_NODES = 31  # of a cell, with an add each, so that any has its place in a `_core.Graph`
MAX_SCALE = 7  # so that its stride has


def unread(cell: Cell) -> tuple[int, ...]:
    """The nodes that no node reads, which are the cell's result; the first is node 1."""
    read = {u for row in cell for u in row[5:]}
    return tuple(v for v in range(1, len(cell) + 1) if v not in read)


def anytime_graphs(code: Any) -> tuple[_core.Graph, ...]:
    """The graph of each cell; ValueError names the cell, the node and the rule that it breaks.

    The stride of a node is what its side is of the image's, 2 to the power of its scale. A node
    that reads several has an add before it; the output reads what no node does and, where there are
    exits, a concat of their nodes.
    """
    if not code or not all(isinstance(cell, (tuple, list)) and cell for cell in code):
        raise ValueError(f"an anytime network is cells of at least one row {_FORM}, got {code!r}")
    return tuple(_graph(c, cell) for c, cell in enumerate(code, 1))


def _graph(c: int, cell: Cell) -> _core.Graph:
    if len(cell) > MAX_NODES:
        raise ValueError(f"cell {c} has {len(cell)} nodes; a cell has 1 to {MAX_NODES}")
    nodes, edges = [[_core.OPS["input"][0], 0, 1, 1]], []
    place = [0]  # in the graph, of each node
    for v, row in enumerate(cell, 1):
        _check(f"cell {c}, node {v}", v, row)
        op, kernel, dilation, scale, _, *reads = row
        if len(reads) > 1:
            nodes.append([_ADD, 0, 2**scale, 1])
            edges += [(place[u], len(nodes) - 1) for u in reads]
        edges.append((len(nodes) - 1 if len(reads) > 1 else place[reads[0]], len(nodes)))
        place.append(len(nodes))
        nodes.append([op, kernel, 2**scale, dilation])
    last = [place[v] for v in unread(cell)]
    if exits := [place[v] for v, row in enumerate(cell, 1) if row[4]]:
        edges += [(node, len(nodes)) for node in exits]
        last.append(len(nodes))
        nodes.append([_CONCAT, 0, 1, 1])
    edges += [(node, len(nodes)) for node in last]
    nodes.append([_core.OPS["output"][0], 0, 1, 1])
    return _core.Graph.from_arrays(np.array(nodes, np.int32), np.array(edges, np.int32))


def _check(where: str, v: int, row: Sequence[int]) -> None:
    if (
        not isinstance(row, (tuple, list))
        or len(row) < 6
        or not all(type(number) is int for number in row)
    ):
        raise ValueError(f"{where} is {row!r}; it is {_FORM}")
    if not 0 <= row[3] <= MAX_SCALE:
        raise ValueError(f"{where}: scale {row[3]} must be 0 to {MAX_SCALE}")
    if row[4] not in (0, 1):
        raise ValueError(f"{where}: exit {row[4]} must be 0 or 1")
    if list(row[5:]) != sorted(set(row[5:])) or not all(0 <= u < v for u in row[5:]):
        raise ValueError(f"{where}: it reads {row[5:]}; each of 0 to {v - 1} once, in rising order")
