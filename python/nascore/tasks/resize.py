"""The images of a data set at another size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812

from nascore.tasks import cache
from nascore.tasks.pictures import Progress

_CHUNK = 256  # images


def resized(data: cache.Decoded, size: int, progress: Progress | None = None) -> cache.Source:
    """`data` with images whose shorter side is `size`, by bilinear interpolation with antialiasing.

    The other side keeps its proportion. Raises ValueError for a size that is not positive.
    """
    if size < 1:
        raise ValueError(f"image_size={size} must be at least 1 pixel")
    n, channels, *sides = data.images.shape
    height, width = (max(1, round(side * size / min(sides))) for side in sides)

    def blocks() -> Iterator[npt.NDArray[np.uint8]]:
        for start in range(0, n, _CHUNK):
            images = torch.from_numpy(data.images[start : start + _CHUNK]).float()
            changed = F.interpolate(images, (height, width), mode="bilinear", antialias=True)
            yield changed.round().clamp(0, 255).byte().numpy()
            if progress:
                progress(min(n, start + _CHUNK), n)

    shape = (channels, height, width)
    return cache.Source(data.source, data.class_names, data.sizes, data.labels, shape, blocks())
