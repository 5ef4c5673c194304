"""The network of cells that answers at exits on its way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from nascore import _core
from nascore.spaces.anytime_code import Cell, unread
from nascore.spaces.architecture import Architecture
from nascore.spaces.net_rows import NetRows
from nascore.spaces.signals import Image, expanded

_NAMES = {code: name for name, (code, *_) in _core.OPS.items()}


@dataclass(frozen=True)
class AnytimeNet:
    """A stem, then a cell at each of `widths` channels, then a classifier as every exit has one.

    Maps of another scale than the node that reads them are max-pooled or take the nearest pixel
    (Zhang et al., ICLR 2019, section 5.2). Choices, where the paper gives nothing: all nodes of a
    cell have its width, to which a 1x1 convolution brings its input; its result is the sum of the
    nodes that no node reads, at the coarsest of their scales; a classifier is ReLU, global average
    pooling and a linear layer, as for a block. ValueError names a field that is out of range.
    """

    stem_width: int = 32
    widths: tuple[int, ...] = (32, 64, 128)

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # a list, where it comes from JSON
        if not self.widths or min(self.stem_width, *self.widths) < 1:
            raise ValueError(
                f"stem_width={self.stem_width}, widths={self.widths}: give each at least 1"
            )

    @classmethod
    def small(cls) -> AnytimeNet:
        """For images of 8x8 to 28x28."""
        return cls(8, (8, 16, 32))

    @property
    def simplest(self) -> Architecture:
        """One 1x1 convolution per cell, with no exit."""
        row = (_core.OPS["conv"][0], 1, 1, 0, 0, 0)
        return Architecture.of("anytime", ((row,),) * len(self.widths))

    def resized(self, blocks: int | None = None, width: int | None = None) -> AnytimeNet:
        """All widths scaled so that the first cell has `width`; ValueError for a depth."""
        if blocks is not None:
            raise ValueError("an anytime network has no blocks to set: give a width alone")
        scale = 1.0 if width is None else width / self.widths[0]
        return replace(
            self,
            stem_width=round(self.stem_width * scale),
            widths=tuple(round(w * scale) for w in self.widths),
        )

    def expand(self, architecture: Architecture, shape: tuple[int, ...], classes: int) -> _core.Net:
        """The network for images of `shape` (C, H, W), or signals (C, L).

        Its exits are `_core.Net.exits`. ValueError where the architecture is no anytime network of
        as many cells, the network is too wide, or the image too small for a scale.
        """
        if architecture.space != "anytime":
            raise ValueError(f"an architecture of space {architecture.space!r} is of no such cells")
        if len(architecture.code) != len(self.widths):
            raise ValueError(f"{len(architecture.code)} cells in {len(self.widths)} widths")
        return expanded(shape, lambda s: self._images(architecture, s, classes))

    def _images(self, architecture: Architecture, shape: Image, classes: int) -> _core.Net:
        net = _Writer(shape, classes)
        last, scale = net.add("stem", 0, kernel=3, channels=self.stem_width), 0
        seams = []
        for cell, width in zip(architecture.code, self.widths, strict=True):
            last, scale = net.cell(cell, width, last, scale)
            seams.append(last)
        net.classifier(last)
        rows = np.array(net.rows, np.int64)
        return _core.Net.from_rows(rows, net.inputs, seams=seams, exits=net.exits)


class _Writer(NetRows):
    """A network in the making, and the logits of its exits so far."""

    def __init__(self, shape: Image, classes: int) -> None:
        super().__init__(shape)
        self.shape, self.classes = shape, classes
        self.exits: list[int] = []
        self._scaled: dict[tuple[int, int], int] = {}  # by row and scale

    def cell(self, cell: Cell, width: int, last: int, scale: int) -> tuple[int, int]:
        """The row and the scale of the result of a cell that reads row `last` at `scale`."""
        if self.channels(last) != width:
            last = self.add("conv", last, kernel=1, channels=width)
        found = [(last, scale)]  # row and scale of each node
        for op, kernel, dilation, at, leaves, *reads in cell:
            row = self.total((found[u] for u in reads), at)
            for _ in range(2 if _NAMES[op] == "sep_conv" else 1):  # two of them, as in a block
                row = self.add(_NAMES[op], row, kernel=kernel, dilation=dilation)
            found.append((row, at))
            if leaves:
                self.exits.append(self.classifier(row))
        results = [found[v] for v in unread(cell)]
        coarsest = max(at for _, at in results)
        return self.total(results, coarsest), coarsest

    def total(self, found: Iterable[tuple[int, int]], scale: int) -> int:
        """The sum of rows of several scales at one."""
        rows = [self.at(row, own, scale) for row, own in found]
        return self.add("add", *rows) if len(rows) > 1 else rows[0]

    def at(self, row: int, own: int, scale: int) -> int:
        """A row of scale `own` at another; all who read it there share what it becomes."""
        if own == scale:
            return row
        if (row, scale) not in self._scaled:
            height, width = (side >> scale for side in self.shape[1:])
            if not height or not width:
                raise ValueError(
                    f"images of {self.shape[1]}x{self.shape[2]} have no pixels at scale {scale}; "
                    "use fewer scales or larger images"
                )
            if scale > own:
                step = 1 << (scale - own)
                sides = (height, width)
                made = self.add("max_pool", row, kernel=step, stride=step, sides=sides)
            else:
                made = self.add("upsample", row, sides=(height, width))
            self._scaled[row, scale] = made
        return self._scaled[row, scale]

    def classifier(self, row: int) -> int:
        """The row of the logits of a row's maps."""
        pooled = self.add("global_pool", self.add("relu", row))
        return self.add("linear", pooled, channels=self.classes)
