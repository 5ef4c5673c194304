"""The inner loop of candidate training: batches from a data set that lives on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from nascore import _core
from nascore.tasks.augment import Augment, augment_batch
from nascore.tasks.task import Part, Task

Batch = tuple[torch.Tensor, torch.Tensor]

_EPOCHS = 3  # random stream; 1 belongs to jobs, 2 to splits, 4 to dropout

# Values that are prepared at once: on a CPU as many as stay in the cache, on a GPU enough to make
# the launches of small kernels free.
_SPAN_CPU = 1 << 20
_SPAN_GPU = 1 << 24


def resident(task: Task, part: Part, device: torch.device | str) -> Batch:
    """A part of `task` on `device`: images uint8 `[n, C, H, W]` or signals float32 `[n, C, L]`, and
    labels int64 `[n]`.
    """
    images, labels = task.split(part)
    return torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device)


def batches(
    images: torch.Tensor,
    labels: torch.Tensor,
    batch: int,
    seed: int,
    epoch: int,
    augment: Augment | None,
    mean: Sequence[float],
    std: Sequence[float],
    drop_last: bool = True,
) -> Iterator[Batch]:
    """One epoch over uint8 images `[n, C, H, W]`: normalised float32 `[batch, C, H, W]`, labels.

    Order and augmentation depend on (`seed`, `epoch`) and the device's kind alone, so that training
    can go on from any epoch. A `batch` larger than the data is the whole data.
    """
    n, device = len(images), images.device
    batch = min(batch, n)
    generator = torch.Generator(device)
    generator.manual_seed(int(_core.integers(seed, _EPOCHS, epoch, 1, 2**31)[0]))
    order = torch.randperm(n, generator=generator, device=device)
    if drop_last:
        order = order[: n - n % batch]
    scale = _Scale(mean, std, images)
    for rows in torch.split(order, _span(images, batch)):
        chosen = images[rows]
        if augment is not None:
            chosen = augment_batch(chosen, augment, generator, scale.mean.round())
        yield from _pairs(scale(chosen), labels[rows], batch)


def in_order(
    images: torch.Tensor,
    labels: torch.Tensor,
    batch: int,
    mean: Sequence[float],
    std: Sequence[float],
) -> Iterator[Batch]:
    """All uint8 images `[n, C, H, W]` as they come: normalised float32, with their labels."""
    scale = _Scale(mean, std, images)
    for chosen, classes in _pairs(images, labels, batch):
        yield scale(chosen), classes


def _pairs(images: torch.Tensor, labels: torch.Tensor, batch: int) -> Iterator[Batch]:
    return zip(torch.split(images, batch), torch.split(labels, batch), strict=True)


def _span(images: torch.Tensor, batch: int) -> int:
    values = _SPAN_CPU if images.device.type == "cpu" else _SPAN_GPU
    return batch * max(1, values // (batch * images[0].numel()))


class _Scale:
    """Pixels 0..255, or signals as they are, to mean 0 and deviation 1 per channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], images: torch.Tensor) -> None:
        unit = 255 if images.dtype == torch.uint8 else 1
        sides = (-1, *(1,) * (images.dim() - 2))
        self.mean = torch.tensor(mean, device=images.device) * unit
        self._factor = 1 / (unit * torch.tensor(std, device=images.device).view(sides))
        self._offset = self.mean.view(sides)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return images.to(torch.float32, copy=True).sub_(self._offset).mul_(self._factor)
