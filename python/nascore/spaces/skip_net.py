"""The network of layers with skips, which is the layers and a classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nascore import _core
from nascore.spaces.architecture import Architecture
from nascore.spaces.signals import expanded
from nascore.spaces.skip_code import skip_arrays


@dataclass(frozen=True)
class SkipNet:
    """What a space of layers with skips has for a skeleton: each layer with batch norm and ReLU.

    A layer that reads several has them side by side, smaller ones with zeros around; one that reads
    none reads the image; what nobody reads goes to global pooling and the classifier.
    """

    simplest: ClassVar[Architecture] = Architecture.of("skip", ((1, 1, 1, 1),))

    def resized(self, blocks: int | None = None, width: int | None = None) -> SkipNet:
        """Itself; ValueError where a size is given, since the code says all sizes."""
        if blocks is not None or width is not None:
            raise ValueError("layers with skips have no blocks and no width to set: leave them out")
        return self

    def expand(self, architecture: Architecture, shape: tuple[int, ...], classes: int) -> _core.Net:
        """The network for images of `shape` (C, H, W), or signals (C, L).

        ValueError where it is too wide or none.
        """
        if architecture.space != "skip":
            raise ValueError(f"an architecture of space {architecture.space!r} has no skips")
        arrays = skip_arrays(architecture.code)
        return expanded(shape, lambda s: _core.expand_skips(*arrays, *s, classes))
