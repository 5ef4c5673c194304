"""Helpers of the tests of tasks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from nascore import tasks

PARTS: tuple[tasks.Part, ...] = ("train", "valid", "test")


def everything(task: tasks.Task) -> tuple[np.ndarray, np.ndarray]:
    """All images and labels of a task, part after part."""
    images, labels = zip(*(task.split(part) for part in PARTS), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def pixels(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def paint(folder: Path, counts: dict[str, int], *shape: int, suffix: str = "png") -> None:
    """`counts[c]` random images in each `folder/c`."""
    for number, (name, n) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(pixels(n, *shape, seed=number)):
            Image.fromarray(image).save(folder / name / f"{i:03}.{suffix}")
