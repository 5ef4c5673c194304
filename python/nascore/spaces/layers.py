"""The layers of a whole network that may go or shrink (N2N; Ashok et al., ICLR 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from nascore import _core
from nascore.spaces.architecture import Architecture
from nascore.spaces.whole_net import Inputs, Rows, parts

_NAME = {code: name for name, (code, *_) in _core.OPS.items()}
OP, KERNEL, KERNEL_WIDTH, STRIDE, DILATION, GROUPS, CHANNELS, *_ = range(len(_core.NET_COLUMNS))

# The types of the paper's layer descriptions.
_UNKNOWN, _CONV, _MAX_POOL, _RELU, _NORM, _LINEAR, _DROPOUT, _AVG_POOL = 0, 1, 2, 3, 4, 5, 6, 8
_TYPES = {
    "conv": _CONV,
    "conv_bias": _CONV,
    "conv_bias_valid": _CONV,
    "conv_plain": _CONV,
    "conv_plain_valid": _CONV,
    "conv_relu": _CONV,
    "conv_valid": _CONV,
    "factorized_reduce": _CONV,
    "sep_conv": _CONV,
    "stem": _CONV,
    "max_pool": _MAX_POOL,
    "max_pool_valid": _MAX_POOL,
    "relu": _RELU,
    "batch_norm": _NORM,
    "layer_norm": _UNKNOWN,
    "instance_norm": _UNKNOWN,
    "linear": _LINEAR,
    "dropout": _DROPOUT,
    "avg_pool": _AVG_POOL,
    "avg_pool_valid": _AVG_POOL,
    "global_pool": _AVG_POOL,
}
_UNPADDED = ("conv_valid", "conv_plain_valid", "conv_bias_valid", "max_pool_valid")

DESCRIPTION = ("type", "kernel", "stride", "padding", "outputs", "skip_start", "skip_end")


@dataclass(frozen=True)
class Layers:
    """The rows of a network, and what each of its layers is."""

    rows: Rows
    inputs: Inputs

    @cached_property
    def numbers(self) -> list[int]:
        """The rows that are layers, those of shortcuts aside, which nobody touches."""
        aside = {row for branch in self.shortcuts for row in branch}
        return [i for i in range(len(self.rows)) if self.name(i) in _TYPES and i not in aside]

    @cached_property
    def fixed(self) -> set[int]:
        """Layers that stay: the first and the last, linear, average pooling, strided."""
        return {self.numbers[0], self.numbers[-1]} | {i for i in self.numbers if self._stays(i)}

    def _stays(self, i: int) -> bool:
        kind = self.type(i)
        strided = kind == _CONV and self.rows[i][STRIDE] > 1
        return kind in (_LINEAR, _AVG_POOL) or strided

    @cached_property
    def branches(self) -> dict[int, list[list[int]]]:
        """Per sum, per input, the rows from there back to where it parted, that one excepted."""
        readers = [0] * len(self.rows)
        for inputs in self.inputs:
            for j in inputs:
                readers[j] += 1
        found: dict[int, list[list[int]]] = {}
        for i in range(len(self.rows)):
            if self.name(i) != "add":
                continue
            found[i] = []
            for j in self.inputs[i]:
                branch = []
                while readers[j] == 1 and len(self.inputs[j]) == 1:
                    branch.append(j)
                    [j] = self.inputs[j]
                found[i].append(branch[::-1])
        return found

    @cached_property
    def shortcuts(self) -> list[list[int]]:
        """Of every sum the branch with the fewest convolutions, where the others have more."""
        found = []
        for branches in self.branches.values():
            depths = [sum(map(self.gives_width, branch)) for branch in branches]
            if depths.count(min(depths)) == 1:
                found.append(branches[depths.index(min(depths))])
        return found

    @cached_property
    def tied(self) -> set[int]:
        """Rows whose width a sum needs."""
        found: set[int] = set()
        for i in self.branches:
            todo = list(self.inputs[i])
            while todo:
                j = self.source(todo.pop())
                if self.name(j) == "concat":
                    todo += self.inputs[j]
                else:
                    found.add(j)
        return found

    def name(self, i: int) -> str:
        return _NAME[self.rows[i][OP]]

    def type(self, i: int) -> int:
        """The paper's number; of no layer -1."""
        return _TYPES.get(self.name(i), -1)

    def gives_width(self, i: int) -> bool:
        """Whether the row has a width of its own; a depthwise convolution has its input's."""
        row = self.rows[i]
        depthwise = row[GROUPS] > 1 and row[GROUPS] == row[CHANNELS]
        return self.type(i) in (_CONV, _LINEAR) and not depthwise

    def source(self, i: int) -> int:
        """The row that gave row i its width: itself, or one before it."""
        while not self.gives_width(i) and len(self.inputs[i]) == 1 and self.name(i) != "flatten":
            [i] = self.inputs[i]
        return i

    def free(self, i: int, strided: bool = False) -> tuple[bool, bool, bool]:
        """Whether a layer's kernel, stride and width may shrink; `strided` ones only in width."""
        stays = self._stays(i)
        if self.type(i) not in (_CONV, _MAX_POOL) or (stays and not strided):
            return False, False, False
        inside = any(i in branch for b in self.branches.values() for branch in b)
        outside = not inside and not stays
        pool = self.type(i) == _MAX_POOL
        width = self.gives_width(i) and i not in self.tied and i != self.numbers[-1]
        return outside and self.rows[i][KERNEL] > 1, outside and pool, width

    @cached_property
    def descriptions(self) -> npt.NDArray[np.float32]:
        """Per layer its DESCRIPTION, raw, `[L, 7]`; skips are places in a residual branch."""
        skips = {}
        for branches in self.branches.values():
            for branch in branches:
                for place, i in enumerate(branch):
                    skips[i] = (place, len(branch) - 1 - place)
        table = np.zeros((len(self.numbers), len(DESCRIPTION)), np.float32)
        for line, i in zip(table, self.numbers, strict=True):
            row = self.rows[i]
            pads = self.name(i) not in _UNPADDED and row[KERNEL] % 2 == 1
            padding = row[DILATION] * (row[KERNEL] // 2) if pads else 0
            shape = (row[KERNEL], row[STRIDE], padding, row[CHANNELS])
            line[:] = (self.type(i), *shape, *skips.get(i, (0, 0)))
        return table


@lru_cache(64)
def layers_of(architecture: Architecture) -> Layers:
    """The layers of a whole network; ValueError where there are none."""
    layers = Layers(*parts(architecture))
    if not layers.numbers:
        raise ValueError("a network without layers has nothing to compress")
    return layers
