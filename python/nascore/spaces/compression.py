"""The decisions of N2N (Ashok et al., ICLR 2018): which layers go, and how much the others shrink.

Both spaces write whole networks that are smaller than their `parent`, with all shapes made to fit.
What no longer fits, as a sum of images of two sizes, decodes to a network that cannot be built.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nascore import _core
from nascore.spaces.architecture import Architecture
from nascore.spaces.choices import ChoicesSpace
from nascore.spaces.layers import (
    CHANNELS,
    KERNEL,
    KERNEL_WIDTH,
    STRIDE,
    Layers,
    layers_of,
)
from nascore.spaces.whole_net import Inputs, Rows, parts, whole_net

FACTORS = tuple(n / 10 for n in range(10, 0, -1))  # 1.0, then down to 0.1
ENTRIES = ("kernel", "stride", "outputs")  # of a layer's description, that shrink


class _Compression(ChoicesSpace, ABC):
    """Decisions over the layers of `parent`, of which 0 always leaves a thing as it is."""

    name = "net"

    def __init__(self, parent: Architecture, sizes: Sequence[int]) -> None:
        super().__init__(sizes)
        self.parent = parent

    @abstractmethod
    def student(self, choices: Sequence[int]) -> Architecture:
        """The network that one choice per decision makes of the parent."""

    def decode(self, state: npt.NDArray[np.int16]) -> list[Architecture]:
        """The networks of finished states."""
        self._require_finished(state)
        return [self.student(choices) for choices in state.tolist()]

    def architecture(self, code: Sequence[int]) -> Architecture:
        """The network of one choice per decision."""
        return self.decode(np.array([code], np.int16))[0]

    def actions(self, architecture: Architecture) -> tuple[int, ...]:
        """ValueError: different decisions may write the same network."""
        raise ValueError("a compressed network does not tell which decisions wrote it")


class RemovalSpace(_Compression):
    """One decision per layer of `parent`: 0 keeps it, 1 removes it; of fixed ones only 0."""

    def __init__(self, parent: Architecture) -> None:
        layers = layers_of(parent)
        super().__init__(parent, [1 if i in layers.fixed else 2 for i in layers.numbers])

    def __reduce__(self) -> tuple[Any, ...]:
        return RemovalSpace, (self.parent,)

    def student(self, choices: Sequence[int]) -> Architecture:
        numbers = layers_of(self.parent).numbers
        gone = {i for i, choice in zip(numbers, choices, strict=True) if choice}
        return without(self.parent, gone) if gone else self.parent


class ShrinkageSpace(_Compression):
    """Per layer of `parent` and each of ENTRIES a factor of FACTORS; only 1.0 where it is fixed.

    Convolutions keep `min_width` outputs, or all if they have fewer. Those with a stride are fixed
    unless `strided` frees their widths, where no sum needs them.
    """

    def __init__(self, parent: Architecture, min_width: int = 10, strided: bool = False) -> None:
        layers = layers_of(parent)
        free = [flag for i in layers.numbers for flag in layers.free(i, strided)]
        super().__init__(parent, [len(FACTORS) if flag else 1 for flag in free])
        self.min_width, self.strided = min_width, strided

    def __reduce__(self) -> tuple[Any, ...]:
        return ShrinkageSpace, (self.parent, self.min_width, self.strided)

    def student(self, choices: Sequence[int]) -> Architecture:
        if not any(choices):
            return self.parent
        layers = layers_of(self.parent)
        rows = [list(row) for row in layers.rows]
        for n, i in enumerate(layers.numbers):
            kernel, stride, outputs = (FACTORS[c] for c in choices[3 * n : 3 * n + 3])
            row = rows[i]
            for column, factor in (KERNEL, kernel), (KERNEL_WIDTH, kernel), (STRIDE, stride):
                if factor < 1:
                    row[column] = max(1, _floor(row[column] * factor))
            if outputs < 1:
                least = min(self.min_width, row[CHANNELS])
                row[CHANNELS] = max(least, _floor(row[CHANNELS] * outputs))
        return repaired(rows, layers.inputs)


def _floor(number: float) -> int:
    """Of a product with a tenth, which floating point may miss by a little."""
    return math.floor(number + 1e-6)


def without(parent: Architecture, gone: Collection[int]) -> Architecture:
    """`parent` without the rows `gone`, each of which has one input that takes its place.

    A branch of a sum that had convolutions and has none any more goes too, so that the block
    collapses to its shortcut.
    """
    layers = layers_of(parent)
    now: dict[int, int] = {}  # what stands for each row
    inputs: Inputs = []
    for i, reads in enumerate(layers.inputs):
        if i in layers.branches:
            reads = _alive(layers, i, gone)
        standing = [now[j] for j in reads]
        inputs.append(standing)
        alone = len(reads) == 1 and i in layers.branches
        now[i] = standing[0] if i in gone or alone else i
    return repaired([list(row) for row in layers.rows], inputs)


def _alive(layers: Layers, add: int, gone: Collection[int]) -> list[int]:
    """The inputs of a sum whose branches have not lost all of their convolutions."""
    alive = []
    for j, branch in zip(layers.inputs[add], layers.branches[add], strict=True):
        convolutions = [i for i in branch if layers.gives_width(i)]
        if not convolutions or any(i not in gone for i in convolutions):
            alive.append(j)
    return alive or layers.inputs[add][:1]


def repaired(rows: Rows, inputs: Inputs) -> Architecture:
    """The network of these rows, with widths that fit sums, and shapes that fit the rest."""
    rough = whole_net(rows, inputs)
    layers = Layers(*parts(rough))
    # Sums that share a row, as consecutive blocks do, have one width: the first one's.
    group: dict[int, int] = {}

    def root(i: int) -> int:
        while group.get(i, i) != i:
            i = group[i]
        return i

    for add in layers.branches:
        for j in layers.inputs[add]:
            first, second = sorted((root(add), root(layers.source(j))))
            group[second] = first
    width: dict[int, int] = {}
    for add in layers.branches:
        width.setdefault(root(add), layers.rows[add][CHANNELS])
    for i, row in enumerate(layers.rows):
        if root(i) in width and layers.gives_width(i) and row[CHANNELS] != width[root(i)]:
            row[CHANNELS] = width[root(i)]
    try:
        net = _core.Net.from_rows(np.array(layers.rows, np.int64), layers.inputs, repair=True)
    except ValueError:
        return rough  # whoever builds it hears why it cannot be
    return whole_net(net.rows.tolist(), net.inputs)
