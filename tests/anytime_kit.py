"""Anytime networks for tests: by hand, at random, and the same one numbered anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import space_kit
from nascore import tasks
from nascore.spaces import AnytimeNet, AnytimeSpace, Architecture

TASK = tasks.load("digits")
SPACE = AnytimeSpace((5, 4, 2))
NET = AnytimeNet(4, (4, 6, 8))
CONV1, CONV3, SEP3, IDENTITY = (1, 1, 1), (1, 3, 1), (17, 3, 1), (4, 0, 1)
PLAIN = ((*CONV1, 0, 0, 0),)


def found(*cells: Sequence[Sequence[int]]) -> Architecture:
    return Architecture.of("anytime", tuple(tuple(map(tuple, cell)) for cell in cells))


def random_ones(n: int, seed: int, space: AnytimeSpace = SPACE) -> list[Architecture]:
    return space.decode(space_kit.random_walk(space, n, seed)[-1])


def relabelled(architecture: Architecture, rng: np.random.Generator) -> Architecture:
    """The same network, the nodes of each cell in another order in which every edge goes on."""
    cells = []
    for cell in architecture.code:
        order: list[int] = []  # old numbers
        while len(order) < len(cell):
            ready = [
                v
                for v in range(1, len(cell) + 1)
                if v not in order and all(u == 0 or u in order for u in cell[v - 1][5:])
            ]
            order.append(int(rng.choice(ready)))
        new = {0: 0, **{v: i for i, v in enumerate(order, 1)}}
        rows = (cell[v - 1] for v in order)
        cells.append(tuple((*row[:5], *sorted(new[u] for u in row[5:])) for row in rows))
    return Architecture.of("anytime", tuple(cells))
