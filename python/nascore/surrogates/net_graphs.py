"""Networks as packed graphs: whose messages a graph hypernetwork sends, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nascore import _core

Schedule = Literal["forward-backward", "synchronous"]

# The numbers of a row that tell operations apart; an unseen one counts as the nearest of these.
_SIDES = (0, 1, 2, 3, 5, 7, 9, 11)
_OPS = [code for code, *_ in _core.OPS.values()]
# No row is a terminal: its place in the tables is that of a later operation, so that hypernetworks
# trained before there was one fit.
_OPS[_core.OPS["terminal"][0]] = _OPS.pop(_core.OPS["upsample"][0])
_KINDS = (_OPS, _SIDES, _SIDES, (0, 1, 2, 3, 4), (0, 1, 2, 3, 4))
_CHANNELS = (*range(1, 17), *range(20, 65, 4), *range(72, 257, 8), *range(288, 1025, 32))
_SHAPES = (_CHANNELS, _CHANNELS, _SIDES, _SIDES)
KINDS = tuple(map(len, _KINDS))  # of operation, kernel height and width, stride, dilation
SHAPES = tuple(map(len, _SHAPES))  # of channels out and in, kernel height and width

_Edges = list[tuple[int, int, int]]  # from, to, how far; by rising target
_ByTarget = dict[int, list[tuple[int, int]]]  # from, how far


class Edges(NamedTuple):
    """Messages of a step: from which sources, to which of its nodes, over how long a path."""

    sources: Tensor  # int64 [e]
    targets: Tensor  # int64 [e]
    lengths: Tensor  # float32 [e, 1]


class Step(NamedTuple):
    """Nodes `[k]` that change at once, which no message joins, and what they are told."""

    nodes: Tensor
    direct: Edges
    virtual: Edges  # from all that a path leads from, of length 1 and more
    seams: Edges  # from parts, not from nodes


class Part(NamedTuple):
    """Nodes `[first, first + n)` that pass messages until they are done, then the next part's."""

    sweep: tuple[Step, ...]  # one pass
    owner: Tensor  # int64 [n]: the block of each node, counted over all blocks of all networks
    size: int


@dataclass(frozen=True)
class NetGraphs:
    """Several networks in one: `n` nodes in the order of the parts; `node_of[i][r]` is a row's."""

    kinds: Tensor  # int64 [n, 5], each below KINDS
    shapes: Tensor  # int64 [n, 4], each below SHAPES
    parts: tuple[Part, ...]
    node_of: tuple[tuple[int, ...], ...]
    blocks: int  # of all networks


def pack(
    nets: Sequence[_core.Net],
    schedule: Schedule = "forward-backward",
    *,
    stacked: bool = True,
    passing: bool = True,
    longest: int = 0,
    device: str | torch.device = "cpu",
) -> NetGraphs:
    """The graphs of `nets`, whose rows are the nodes.

    A stacked hypernetwork has a graph for each repeated block, a seam of the net ending one; with
    `passing` one block's graph is done before the next one begins, which is told its mean (Zhang
    et al., 2019, eq. 12-14). `longest` is that of the paths that virtual edges stand for.
    """
    if not nets:
        raise ValueError("nets is empty: give at least one network")
    if schedule not in ("forward-backward", "synchronous"):
        raise ValueError(f"schedule={schedule!r} is 'forward-backward' or 'synchronous'")
    block_of = [_blocks(net) if stacked else np.zeros(len(net.rows), int) for net in nets]
    first_block = np.cumsum([0, *(blocks[-1] + 1 for blocks in block_of)])
    nodes = [  # part, net, row: where a node stands in the packed order
        (int(block) if passing else 0, i, r)
        for i, blocks in enumerate(block_of)
        for r, block in enumerate(blocks)
    ]
    nodes.sort()
    place = {(i, r): k for k, (_, i, r) in enumerate(nodes)}
    inputs = [net.inputs for net in nets]
    parts = []
    for _, group in groupby(nodes, key=itemgetter(0)):
        part = [(i, r) for _, i, r in group]
        local = {node: k for k, node in enumerate(part)}
        direct: _Edges = []
        seams: _Edges = []
        for (i, r), k in local.items():
            for source in dict.fromkeys(inputs[i][r]):  # one that is wired twice tells once
                if block_of[i][source] == block_of[i][r]:
                    direct.append((local[i, source], k, 1))
                elif passing:
                    seams.append((int(first_block[i] + block_of[i][source]), k, 1))
        owner = [int(first_block[i] + block_of[i][r]) for i, r in part]
        sweep = _sweep(schedule, owner, direct, seams, longest, device)
        parts.append(Part(tuple(sweep), _indices(owner, device), len(part)))
    kinds, shapes = zip(*(_numbers(net) for net in nets), strict=True)
    order = np.array([sum(len(net.rows) for net in nets[:i]) + r for _, i, r in nodes])
    return NetGraphs(
        _table(kinds, _KINDS, order, device),
        _table(shapes, _SHAPES, order, device),
        tuple(parts),
        tuple(tuple(place[i, r] for r in range(len(net.rows))) for i, net in enumerate(nets)),
        int(first_block[-1]),
    )


def _blocks(net: _core.Net) -> npt.NDArray[np.int64]:
    """The repeated block that each row belongs to `[R]`; the stem to the first one.

    What follows the last seam is one block more.
    """
    return np.searchsorted(np.array(net.seams, int), np.arange(len(net.rows)))


def _numbers(net: _core.Net) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    rows = net.rows
    read = [row[0] if row else 0 for row in net.inputs]
    shapes = np.stack([rows[:, 6], rows[read, 6], rows[:, 1], rows[:, 2]], 1)
    return rows[:, [0, 1, 2, 3, 4]], shapes


def _table(
    numbers: Sequence[npt.NDArray[np.int64]],
    known: Sequence[Sequence[int]],
    order: npt.NDArray[np.int64],
    device: str | torch.device,
) -> Tensor:
    """Numbers `[n, F]` as places in the lists of those that are known, the nearest one's."""
    columns = np.concatenate(numbers)[order].T
    places = [
        np.abs(column[:, None] - np.array(values)).argmin(1)
        for column, values in zip(columns, known, strict=True)
    ]
    return torch.from_numpy(np.stack(places, 1)).to(device)


def _sweep(
    schedule: Schedule,
    owner: Sequence[int],
    direct: _Edges,
    seams: _Edges,
    longest: int,
    device: str | torch.device,
) -> Iterator[Step]:
    """The steps of one pass. Nodes come in topological order, sources before targets."""
    n = len(owner)
    virtual = _paths(n, direct, longest) if longest else []
    told = _by_target(seams)
    if schedule == "synchronous":  # choice: along the edges and against them
        both = _by_target(direct + _turned(direct)), _by_target(virtual + _turned(virtual)), told
        yield _step(range(n), both, device)
        return
    along = _by_target(direct), _by_target(virtual), told
    against = _by_target(_turned(direct)), _by_target(_turned(virtual)), _by_target([])
    level = [0] * n
    for u, v, _ in direct:
        level[v] = max(level[v], level[u] + 1)
    levels: list[list[int]] = [[] for _ in range(max(level) + 1)]
    for v in range(n):
        levels[level[v]].append(v)
    for nodes in levels:
        yield _step(nodes, along, device)
    last = {block: v for v, block in enumerate(owner)}  # the sweep turns round there (eq. 15)
    for nodes in reversed(levels):
        if back := [v for v in nodes if last[owner[v]] != v]:
            yield _step(back, against, device)


def _paths(n: int, direct: _Edges, longest: int) -> _Edges:
    """All pairs that a path leads between, with the length of the shortest one up to `longest`."""
    length = np.full((n, n), longest + 1)  # of the path from a column's node to a row's
    np.fill_diagonal(length, 0)
    for u, v, _ in direct:
        np.minimum(length[v], length[u] + 1, out=length[v])
    targets, sources = np.nonzero((length > 0) & (length <= longest))
    lengths = length[targets, sources]
    return list(zip(sources.tolist(), targets.tolist(), lengths.tolist(), strict=True))


def _turned(edges: _Edges) -> _Edges:
    return [(v, u, s) for u, v, s in edges]


def _by_target(edges: _Edges) -> _ByTarget:
    found: _ByTarget = {}
    for u, v, s in edges:
        found.setdefault(v, []).append((u, s))
    return found


def _step(
    nodes: Sequence[int],
    told: tuple[_ByTarget, _ByTarget, _ByTarget],
    device: str | torch.device,
) -> Step:
    def edges(found: _ByTarget) -> Edges:
        mine = [(u, k, s) for k, v in enumerate(nodes) for u, s in found.get(v, ())]
        u, k, s = zip(*mine, strict=True) if mine else ((), (), ())
        lengths = torch.tensor(s, dtype=torch.float32, device=device)[:, None]
        return Edges(_indices(u, device), _indices(k, device), lengths)

    direct, virtual, seams = map(edges, told)
    return Step(_indices(nodes, device), direct, virtual, seams)


def _indices(values: Sequence[int], device: str | torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.int64, device=device)
