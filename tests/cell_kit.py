"""Cells for tests, and what the core makes of them in plain Python."""

from __future__ import annotations

import math
from collections.abc import Sequence

import networkx as nx
import numpy as np

import graph_kit
import space_kit
from nascore import _core
from nascore.networks import Recipe
from nascore.spaces import Architecture, CellSpace, CellStack

COMBINES = _core.CELL_COMBINES
Shape = tuple[int, ...]  # channels, height, width
Block = Sequence[int]  # state1, state2, op1, op2, combine


# A small stack, how it is trained, and cells for it.
TINY = CellStack(1, 4, stem_width=6, reductions=1)
RECIPE = Recipe(
    3,
    64,
    "sgd",
    2**-4,
    schedule="cosine",
    restarts=0,
    clip=5.0,
    label_smoothing=0.1,
    auxiliary=0.4,
    drop_path_keep=0.6,
)
SMALL_CELL = "sep3(0)+id(1) max3(2)&conv1(0)"


def random_cells(space: CellSpace, n: int, seed: int) -> list[Architecture]:
    return space.decode(space_kit.random_walk(space, n, seed)[-1])


def reference_graph(
    blocks: Sequence[Block], outputs: Sequence[int], stride: int
) -> nx.MultiDiGraph:
    """The cell as it computes: no identities at stride 1, no block without way to the output."""
    alive, waiting = set(), list(outputs)
    while waiting:
        state = waiting.pop()
        if state > 1 and state not in alive:
            waiting += blocks[state - 2][:2]
        alive.add(state)
    labels, edges, place = ["h_i", "h_i-1"], [], {0: 0, 1: 1}

    def node(label: str, *sources: int) -> int:
        labels.append(label)
        edges.extend((source, len(labels) - 1) for source in sources)
        return len(labels) - 1

    for b, (state1, state2, op1, op2, combine) in enumerate(blocks):
        if b + 2 not in alive:
            continue
        results = []
        for state, op in ((state1, op1), (state2, op2)):
            step = stride if state < 2 else 1
            name = _core.CELL_OPS[op]
            still = name == "id" and step == 1
            results.append(place[state] if still else node(f"{name}/{step}", place[state]))
        sign, _, norm = COMBINES[combine].partition("_")
        place[b + 2] = node(sign, *results)
        if norm:
            place[b + 2] = node(norm, place[b + 2])
    node("output", *(place[state] for state in outputs))
    return graph_kit.networkx_of(labels, edges)


def relabelled(blocks: Sequence[Block], rng: np.random.Generator) -> list[Block]:
    """The same cell with its blocks in another order and their sides swapped."""
    number, waiting, out = {0: 0, 1: 1}, list(range(len(blocks))), []
    while waiting:
        ready = [b for b in waiting if blocks[b][0] in number and blocks[b][1] in number]
        chosen = ready[rng.integers(len(ready))]
        waiting.remove(chosen)
        state1, state2, op1, op2, combine = blocks[chosen]
        sides = [(number[state1], op1), (number[state2], op2)]
        if rng.random() < 0.5:
            sides.reverse()
        out.append((sides[0][0], sides[1][0], sides[0][1], sides[1][1], combine))
        number[chosen + 2] = len(out) + 1
    return out


def mutated(blocks: Sequence[Block], rng: np.random.Generator) -> list[Block]:
    """The cell with one decision made anew; perhaps still the same."""
    out = [list(block) for block in blocks]
    b, field = rng.integers(len(out)), rng.integers(5)
    out[b][field] = int(rng.integers([b + 2, b + 2, 13, 13, 4][field]))
    return out


Line = tuple[object, ...]  # operation, sides of the kernel, stride, dilation, shapes of the inputs


class Reference:
    """The rows of a network of cells, written from the code by the rules, in no clever way."""

    def __init__(self, architecture: Architecture, stack: CellStack, shape: Shape) -> None:
        self.cells, self.stack = architecture.code, stack
        self.lines: list[Line] = []
        self.done = 0
        self.all = stack.stem_cells + stack.reductions + (stack.reductions + 1) * stack.normal
        stem = self.row("stem", [shape], 3, 3, stack.stem_stride, channels=stack.stem_width)
        self.last = self.before = stem
        for i in reversed(range(stack.stem_cells)):
            self.cell(1, stack.filters // 2 ** (i + 1), 2)
        for group in range(stack.reductions + 1):
            filters = stack.filters * 2**group
            if group:
                self.cell(1, filters, 2)
            for _ in range(stack.normal):
                self.cell(0, filters, 1)

    def row(
        self,
        name: str,
        inputs: list[Shape],
        kernel: int = 0,
        width: int = 0,
        stride: int = 1,
        dilation: int = 1,
        channels: int | None = None,
    ) -> Shape:
        self.lines.append((name, kernel, width, stride, dilation, tuple(inputs)))
        c, *sides = inputs[0]
        if stride > 1 and name != "drop_path":
            sides = [math.ceil(side / stride) for side in sides]
        return (channels or c, *sides)

    def cell(self, which: int, filters: int, stride: int) -> None:
        blocks, outputs = self.cells[which]
        self.done += 1
        states = [self.row("conv", [self.last], 1, 1, channels=filters), self.before]
        if self.before[1:] != self.last[1:]:
            states[1] = self.row("factorized_reduce", [self.before], 1, 1, 2, channels=filters)
        elif self.before[0] != filters:
            states[1] = self.row("conv", [self.before], 1, 1, channels=filters)
        for state1, state2, op1, op2, combine in blocks:
            sides = [
                self.operation(_core.CELL_OPS[op], states[state], stride if state < 2 else 1)
                for state, op in ((state1, op1), (state2, op2))
            ]
            way, _, norm = COMBINES[combine].partition("_")
            result = self.row(way, sides, channels=filters * (2 if way == "concat" else 1))
            if way == "concat":
                result = self.row("conv", [result], 1, 1, channels=filters)
            states.append(self.row(norm, [result]) if norm else result)
        given = [states[state] for state in outputs]
        size = [math.ceil(side / stride) for side in self.last[1:]]
        for i, state in enumerate(given):
            if list(state[1:]) != size:
                given[i] = self.row("factorized_reduce", [state], 1, 1, 2, channels=filters)
        self.before = self.last
        self.last = given[0]
        if len(given) > 1:
            self.last = self.row("concat", given, channels=filters * len(given))

    def operation(self, name: str, x: Shape, stride: int) -> Shape:
        kind, k = name.rstrip("1357"), int(name[-1]) if name != "id" else 0
        if kind == "id":
            return x if stride == 1 else self.row("conv", [x], 1, 1, stride)
        if kind == "sep":
            x = self.row("sep_conv", [self.row("sep_conv", [x], k, k, stride)], k, k)
        elif kind == "pair":
            x = self.row("conv", [self.row("conv", [x], 1, k, stride)], k, 1)
        elif kind == "dil":
            x = self.row("conv", [x], k, k, stride, 2)
        else:
            x = self.row({"avg": "avg_pool", "max": "max_pool"}.get(kind, kind), [x], k, k, stride)
        return self.row("drop_path", [x], self.done, self.done, self.all)


def lines_of(net: _core.Net) -> list[Line]:
    """The same of a network's rows, without the image and the classifier."""
    names = {code: name for name, (code, *_) in _core.OPS.items()}
    rows = net.rows.tolist()
    return [
        (names[op], kernel, width, stride, dilation, tuple(tuple(rows[j][6:]) for j in inputs))
        for (op, kernel, width, stride, dilation, *_), inputs in zip(rows, net.inputs, strict=True)
    ][1:-3]
