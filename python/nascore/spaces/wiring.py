"""The rows of a residual network whose modules read what masks say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from nascore import _core

Reads = Sequence[Sequence[int]]  # per node, which of its candidates it reads
Shape = tuple[int, int, int]  # C, H, W
Part = tuple[int, int]  # a module and the place in it, which name a row with weights
_STEM, _CLASSIFIER = (-1, 0), (-1, 1)
_SHORTCUT = -1  # a place: the projection of what a block, whose first module it is named by, reads


class Module(NamedTuple):
    """A block or branch: the modules that it may read; unless it is a node, it reads all."""

    block: int
    candidates: tuple[int, ...]
    node: int | None


class Gate(NamedTuple):
    """A sum of `always` and of the `rows` of those `modules` that a node's mask turns on.

    Without a node they are on that live.
    """

    always: tuple[int, ...]
    node: int | None
    modules: tuple[int, ...]
    rows: tuple[int, ...]


class Plan(Protocol):
    """What is wired: `ResidualNet`."""

    @property
    def widths(self) -> tuple[int, ...]: ...
    @property
    def blocks(self) -> int: ...
    @property
    def stem_width(self) -> int: ...
    @property
    def modules(self) -> tuple[Module, ...]: ...
    def narrow(self, group: int) -> int | None: ...
    def alive(self, reads: Reads) -> frozenset[int]: ...


class Wired(NamedTuple):
    """A network, the part that each row with weights is, and the rows that masks act on."""

    net: _core.Net
    parts: dict[Part, int]
    gates: dict[int, Gate]


def wire(plan: Plan, shape: Shape, classes: int, reads: Reads | None) -> Wired:
    """The network of what lives; without `reads` that of all modules, its sums gated."""
    modules = plan.modules
    alive = range(len(modules)) if reads is None else plan.alive(reads)
    wires = _Wires(shape, reads)
    x = wires.conv("stem", 0, plan.stem_width, 3, 1, _STEM)
    stream: tuple[int, ...] = ()  # ResNeXt's shortcut so far, which all branches of a block read
    for block in range(modules[-1].block + 1):
        group, place = divmod(block, plan.blocks)
        stride = 2 if group and not place else 1
        width, narrow = plan.widths[group], plan.narrow(group)
        own = [i for i in alive if modules[i].block == block]
        if narrow is not None and block:
            x = wires.read(modules[own[0]], stream, everything=True)
        for i in sorted(own):
            y = entry = wires.read(modules[i], stream) if block else x
            if narrow is None:
                y = wires.conv("conv", y, width, 3, stride, (i, 0))
                y = wires.conv("conv", y, width, 3, 1, (i, 1))
                wires.outs[i] = wires.add((wires.shortcut(entry, y, stride, i), y))
            else:
                y = wires.conv("conv", y, narrow, 1, 1, (i, 0))
                y = wires.conv("conv", y, narrow, 3, stride, (i, 1))
                wires.outs[i] = wires.conv("conv", y, width, 1, 1, (i, 2))
        if narrow is not None:
            first = next(i for i, module in enumerate(modules) if module.block == block)
            stream = (wires.shortcut(x, wires.outs[min(own)], stride, first),)
    last = (wires.outs[i] for i in sorted(own))
    x = wires.row("relu", (wires.add((*stream, *last)),))
    channels = wires.rows[x][6]
    x = wires.row("global_pool", (x,), (channels, 1, 1))
    wires.parts[_CLASSIFIER] = wires.row("linear", (x,), (classes, 1, 1))
    net = _core.Net.from_rows(np.array(wires.rows, np.int64), wires.inputs)
    return Wired(net, wires.parts, wires.gates)


class _Wires:
    """Rows in the making."""

    def __init__(self, shape: Shape, reads: Reads | None) -> None:
        self.reads = reads
        self.rows = [[_core.OPS["input"][0], 0, 0, 1, 1, 1, *shape]]
        self.inputs: list[tuple[int, ...]] = [()]
        self.parts: dict[Part, int] = {}
        self.gates: dict[int, Gate] = {}
        self.outs: dict[int, int] = {}  # the row of each module
        self.sums: dict[tuple[int, ...], int] = {}  # those without a gate

    def row(
        self,
        op: str,
        inputs: tuple[int, ...],
        shape: Shape | None = None,
        kernel: int = 0,
        stride: int = 1,
    ) -> int:
        channels, height, width = shape or self.rows[inputs[0]][6:]
        code = _core.OPS[op][0]
        self.rows.append([code, kernel, kernel, stride, 1, 1, channels, height, width])
        self.inputs.append(inputs)
        return len(self.rows) - 1

    def conv(self, op: str, x: int, channels: int, kernel: int, stride: int, part: Part) -> int:
        height, width = (-(-side // stride) for side in self.rows[x][7:])
        made = self.row(op, (x,), (channels, height, width), kernel, stride)
        self.parts[part] = made
        return made

    def add(self, rows: tuple[int, ...]) -> int:
        if len(rows) == 1:
            return rows[0]
        if rows not in self.sums:
            self.sums[rows] = self.row("add", rows)
        return self.sums[rows]

    def read(
        self, module: Module, always: tuple[int, ...] = (), *, everything: bool = False
    ) -> int:
        """The sum that a module reads, or `everything` that its block does."""
        node = None if everything else module.node
        modules = module.candidates
        if node is not None and self.reads is not None:
            modules = tuple(modules[k] for k in self.reads[node])
        modules = tuple(i for i in modules if i in self.outs)
        rows = tuple(self.outs[i] for i in modules)
        if self.reads is not None or module.node is None or len(always + rows) == 1:
            return self.add(always + rows)
        made = self.row("add", always + rows)
        self.gates[made] = Gate(always, node, modules, rows)
        return made

    def shortcut(self, x: int, like: int, stride: int, module: int) -> int:
        """`x`, projected where its shape is not that of row `like`."""
        if self.rows[x][6:] == self.rows[like][6:]:
            return x
        return self.conv("conv", x, self.rows[like][6], 1, stride, (module, _SHORTCUT))
