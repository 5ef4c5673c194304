"""The fixed network that a searched block is put into."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from nascore import _core
from nascore.spaces.architecture import Architecture
from nascore.spaces.signals import expanded


@dataclass(frozen=True)
class Skeleton:
    """A stem, then per width a group of `blocks` blocks with 2x2 pooling between, and a classifier.

    With `depthwise`, the convolutions of a block that are larger than 1x1 are depthwise-separable
    (the Depthwise variant of BlockQNN, TPAMI 2020; its 1x1 ones stay plain, a choice). ValueError
    names a field that is out of range.
    """

    stem_width: int = 32
    stem_stride: int = 1
    stem_pool: bool = False
    blocks: int = 4
    widths: tuple[int, ...] = (32, 64, 128)
    depthwise: bool = False

    simplest: ClassVar[Architecture] = Architecture.of("block", ((1, 1, 1, 0, 0), (2, 7, 0, 0, 0)))

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # a list, where it comes from JSON
        self.core()

    @classmethod
    def cifar(cls) -> Skeleton:
        """The paper's for 32x32 images."""
        return cls()

    @classmethod
    def imagenet(cls) -> Skeleton:
        """The paper's for 224x224 images."""
        return cls(64, 2, True, 3, (64, 128, 256, 512))

    @classmethod
    def small(cls) -> Skeleton:
        """For images of 8x8 to 28x28."""
        return cls(stem_width=16, blocks=1, widths=(16, 32))

    def resized(self, blocks: int | None = None, width: int | None = None) -> Skeleton:
        """With `blocks` per group, and all widths scaled so that the first group has `width`."""
        scale = 1.0 if width is None else width / self.widths[0]
        return replace(
            self,
            blocks=self.blocks if blocks is None else blocks,
            stem_width=round(self.stem_width * scale),
            widths=tuple(round(w * scale) for w in self.widths),
        )

    def with_imagenet_stem(self) -> Skeleton:
        """With the stem of `imagenet`, which leaves a quarter of each side."""
        return replace(self, stem_stride=2, stem_pool=True)

    def core(self) -> _core.Skeleton:
        return _core.Skeleton(
            self.stem_width,
            self.stem_stride,
            self.stem_pool,
            self.blocks,
            list(self.widths),
            self.depthwise,
        )

    def expand(self, architecture: Architecture, shape: tuple[int, ...], classes: int) -> _core.Net:
        """The network for `shape`, each block the architecture's cleaned graph.

        Images are (C, H, W), signals (C, L).

        ValueError where the architecture has no graph, the network is too wide, or the image too
        small.
        """
        if (graph := architecture.graph) is None:
            raise ValueError(f"an architecture of space {architecture.space!r} has no graph")
        return expanded(shape, lambda s: _core.expand(graph, self.core(), *s, classes))
