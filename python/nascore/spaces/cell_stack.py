"""The fixed network that a pair of searched cells is put into."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import ClassVar

from nascore import _core
from nascore.spaces.architecture import Architecture
from nascore.spaces.signals import expanded


@dataclass(frozen=True)
class CellStack:
    """A stem, groups of `normal` Normal cells with a Reduction cell between each two, a classifier.

    The first group has `filters` filters, and each Reduction cell doubles them (Zoph et al., 2018,
    figure 2). Before the groups come `stem_cells` more Reduction cells with half as many each. With
    `auxiliary` a second classifier stands before the last Reduction cell, for training.
    ValueError names a field that is out of range.
    """

    normal: int = 6  # N
    filters: int = 32
    stem_width: int = 96  # three times the filters, as in the released code
    stem_stride: int = 1
    stem_cells: int = 0
    reductions: int = 2
    auxiliary: bool = False

    simplest: ClassVar[Architecture] = Architecture.of(
        "cell", ((((0, 1, 4, 0, 0),), (2,)), (((0, 1, 4, 0, 0),), (2,)))
    )

    def __post_init__(self) -> None:
        self.core()

    @classmethod
    def cifar(cls) -> CellStack:
        """For 32x32 images; with NASNet-A's cells the published 6 @ 768."""
        return cls()

    @classmethod
    def imagenet(cls) -> CellStack:
        """For 224x224 images; with NASNet-A's cells the published mobile 4 @ 1056."""
        return cls(4, 44, stem_width=32, stem_stride=2, stem_cells=2)

    @classmethod
    def small(cls) -> CellStack:
        """For images of 8x8 to 28x28."""
        return cls(1, 8, stem_width=8, reductions=1)

    def resized(self, blocks: int | None = None, width: int | None = None) -> CellStack:
        """With `blocks` Normal cells per group, and `width` filters in the first group."""
        scale = 1.0 if width is None else width / self.filters
        return replace(
            self,
            normal=self.normal if blocks is None else blocks,
            filters=self.filters if width is None else width,
            stem_width=round(self.stem_width * scale),
        )

    def with_imagenet_stem(self) -> CellStack:
        """With the stem and the Reduction cells of `imagenet`: an eighth of each side is left."""
        return replace(self, stem_stride=2, stem_cells=2)

    def core(self) -> _core.CellStack:
        return _core.CellStack(**asdict(self))

    def title(self, architecture: Architecture) -> str:
        """The size as the paper writes it: "6 @ 768", Normal cells and last filters."""
        net = self.expand(architecture, (3, 32, 32), 2)
        return f"{self.normal} @ {net.rows[-3, _core.NET_COLUMNS.index('channels')]}"

    def expand(self, architecture: Architecture, shape: tuple[int, ...], classes: int) -> _core.Net:
        """The network for images of `shape` (C, H, W), or signals (C, L).

        ValueError where the architecture is no pair of cells, or the network too wide.
        """
        if architecture.space != "cell":
            raise ValueError(f"an architecture of space {architecture.space!r} is no pair of cells")
        normal, reduction = architecture.graphs
        core = self.core()
        return expanded(shape, lambda s: _core.expand_cells(normal, reduction, core, *s, classes))
