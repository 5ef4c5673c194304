"""An architecture whose code is a whole network: its rows, and per row those that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nascore import _core
from nascore.spaces.architecture import Architecture

_COLUMNS = len(_core.NET_COLUMNS)
_CHANNELS = _core.NET_COLUMNS.index("channels")

Rows = list[list[int]]
Inputs = list[list[int]]


def parts(architecture: Architecture) -> tuple[Rows, Inputs]:
    """The rows, columns `_core.NET_COLUMNS`, and their inputs; ValueError where it has none."""
    if architecture.space != "net":
        raise ValueError(f"an architecture of space {architecture.space!r} is no whole network")
    for i, row in enumerate(architecture.code):
        if len(row) < _COLUMNS or not all(type(number) is int for number in row):
            columns = ", ".join(_core.NET_COLUMNS)
            raise ValueError(f"row {i} is {row!r}; it is ({columns}, and the rows that it reads)")
    code = architecture.code
    return [list(row[:_COLUMNS]) for row in code], [list(row[_COLUMNS:]) for row in code]


def whole_net(rows: Sequence[Sequence[int]], inputs: Sequence[Sequence[int]]) -> Architecture:
    """The architecture of these rows, without those that do not lead to the last one."""
    needed = {len(rows) - 1}
    for i in range(len(rows) - 1, 0, -1):
        if i in needed:
            needed.update(inputs[i])
    place = {i: n for n, i in enumerate(sorted(needed | {0}))}
    code = tuple((*map(int, rows[i]), *(place[j] for j in inputs[i])) for i in place)
    return Architecture.of("net", code)


@dataclass(frozen=True)
class WholeNet:
    """What such architectures have for a skeleton: nothing around them."""

    simplest: ClassVar[Architecture] = whole_net(
        [
            [_core.OPS["input"][0], 0, 0, 1, 1, 1, 1, 1, 1],
            [_core.OPS["global_pool"][0], 0, 0, 1, 1, 1, 1, 1, 1],
            [_core.OPS["linear"][0], 0, 0, 1, 1, 1, 2, 1, 1],
        ],
        [[], [0], [1]],
    )

    def resized(self, blocks: int | None = None, width: int | None = None) -> WholeNet:
        """Itself; ValueError where a size is given, since the code says all sizes."""
        if blocks is not None or width is not None:
            raise ValueError("a whole network has no blocks and no width to set: leave them out")
        return self

    def expand(self, architecture: Architecture, shape: tuple[int, ...], classes: int) -> _core.Net:
        """The network for images of `shape` (C, H, W), all shapes made to fit.

        ValueError names the row that cannot be built.
        """
        if len(shape) != 3:
            raise ValueError(
                f"shape {tuple(shape)}: whole networks are of images (C, H, W); signals (C, L) go "
                "through the spaces of blocks, cells, layers, skips and connections"
            )
        rows, inputs = parts(architecture)
        if not rows:
            raise ValueError("a network has at least its input row")
        rows[0][_CHANNELS:] = shape
        if rows[-1][0] == _core.OPS["linear"][0]:
            rows[-1][_CHANNELS] = classes
        net = _core.Net.from_rows(np.array(rows, np.int64), inputs, repair=True)
        if (outputs := int(net.rows[-1, _CHANNELS])) != classes:
            raise ValueError(f"the network gives {outputs} logits, not {classes}")
        return net
