"""Random shifts, mirrors and cutouts of a whole batch, on the device that holds it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812


@dataclass(frozen=True)
class Augment:
    """Shifts by up to `pad` pixels, mirrors left to right, a square hole `cutout` pixels wide."""

    pad: int = 0
    flip: bool = False
    cutout: int = 0

    def __post_init__(self) -> None:
        for field in ("pad", "cutout"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field}={getattr(self, field)} pixels must not be negative")


def augment_batch(
    images: torch.Tensor,
    augment: Augment,
    generator: torch.Generator,
    fill: torch.Tensor | None = None,
) -> torch.Tensor:
    """Images `[n, C, H, W]` of any type, each augmented by its own draws from `generator`.

    What a shift uncovers is 0; a hole, which may reach over the edge, gets the colour `fill` `[C]`,
    by default 0. Signals `[n, C, L]` stay as they are: ValueError for any other wish.
    """
    if images.dim() == 3:
        if augment != Augment():
            raise ValueError(f"{augment}: signals are not augmented; leave it out")
        return images
    n, channels, height, width = images.shape
    device, pad, size = images.device, augment.pad, augment.cutout
    y = torch.arange(height, device=device)[:, None]
    x = torch.arange(width, device=device).expand(n, 1, width)
    if pad or augment.flip:
        top, left = torch.randint(
            2 * pad + 1, (2, n, 1, 1), generator=generator, device=device
        ).unbind()
        source = x
        if augment.flip:
            mirrored = torch.rand((n, 1, 1), generator=generator, device=device) < 0.5
            source = torch.where(mirrored, width - 1 - x, x)
        pixel = (top + y) * (width + 2 * pad) + left + source  # [n, H, W] of the padded image
        index = pixel.view(n, 1, -1).expand(n, channels, -1)
        images = F.pad(images, (pad,) * 4).flatten(2).gather(2, index)
        images = images.view(n, channels, height, width)
    if size:
        centre = torch.rand((2, n, 1, 1), generator=generator, device=device)
        top = (centre[0] * height).long() - size // 2
        left = (centre[1] * width).long() - size // 2
        hole = (y >= top) & (y < top + size) & (x >= left) & (x < left + size)
        colour = images.new_zeros(channels) if fill is None else fill.to(images.dtype)
        images = torch.where(hole[:, None], colour[:, None, None], images)
    return images
