"""Networks of signals, by way of those of images."""

from __future__ import annotations

from collections.abc import Callable

from nascore import _core

Image = tuple[int, int, int]


def expanded(shape: tuple[int, ...], write: Callable[[Image], _core.Net]) -> _core.Net:
    """The network that `write` makes for `shape`: images (C, H, W), or signals (C, L).

    That of signals is the one of images (C, L, L) with 1 x k for every k x k kernel, so a strided
    row shortens both alike. ValueError for another shape.
    """
    if len(shape) == 3:
        channels, height, width = shape
        return write((channels, height, width))
    if len(shape) != 2:
        raise ValueError(f"shape {tuple(shape)}: images are (C, H, W), signals (C, L)")
    channels, length = shape
    return write((channels, length, length)).of_signals()
