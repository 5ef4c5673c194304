"""The network of a chain of layers, which is the chain and a classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nascore import _core
from nascore.spaces.architecture import Architecture
from nascore.spaces.layer_code import layer_rows
from nascore.spaces.signals import expanded


@dataclass(frozen=True)
class Chain:
    """What a layer space has for a skeleton: convolutions and dense layers with ReLU, a classifier.

    With `dropout`, the i-th of n pairs of layers is followed by one of probability i / (2n).
    """

    dropout: bool = True

    simplest: ClassVar[Architecture] = Architecture.of("layer", ((5, 0, 0),))

    def resized(self, blocks: int | None = None, width: int | None = None) -> Chain:
        """Itself; ValueError where a size is given, since a chain says all of its sizes."""
        if blocks is not None or width is not None:
            raise ValueError("a chain of layers has no blocks and no width to set: leave them out")
        return self

    def expand(self, architecture: Architecture, shape: tuple[int, ...], classes: int) -> _core.Net:
        """The network for images of `shape` (C, H, W), or signals (C, L).

        ValueError where the architecture is no chain, the network is too wide, or the image too
        small.
        """
        if architecture.space != "layer":
            raise ValueError(f"an architecture of space {architecture.space!r} is no chain")
        code = layer_rows(architecture.code)
        return expanded(shape, lambda s: _core.expand_layers(code, self.dropout, *s, classes))
