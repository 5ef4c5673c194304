"""From a name or a path to a task."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nascore.tasks import cache, sources
from nascore.tasks.augment import Augment
from nascore.tasks.pictures import Progress
from nascore.tasks.resize import resized
from nascore.tasks.task import Task, make_task


def names() -> dict[str, str]:
    """The tasks that have a name of their own, each with one line about it."""
    return {name: text for name, (text, _) in sources.NAMED.items()}


def load(
    name_or_path: str | os.PathLike[str],
    *,
    limit_train: int | None = None,
    seed: int = 0,
    augment: Augment | None = None,
    image_size: int | None = None,
    progress: Progress | None = None,
) -> Task:
    """A task by its name, by a Hugging Face name (`user/set` or `user/set:config`), or by a folder.

    A folder holds parquet files, or images as CLASS/image.png, with `train`, `valid` and `test`
    above the classes if it wants. `seed` draws the parts that are missing; `limit_train` images
    stay in the train part. With `image_size` the images are resized, so that their shorter side is
    that. Decoding, done once for ever, calls `progress(images done, all)`.
    """
    origin = sources.find(os.fspath(name_or_path))
    data = cache.store(origin.key, lambda scratch: origin.open(scratch, progress))
    if image_size is not None:
        given = data
        key = f"{origin.key}-{image_size}px"
        data = cache.store(key, lambda _: resized(given, image_size, progress))
    return make_task(origin.name, data, seed, limit_train, augment)


def from_arrays(
    images: npt.NDArray[np.uint8],
    labels: npt.ArrayLike,
    *,
    test: tuple[npt.NDArray[np.uint8], npt.ArrayLike] | None = None,
    class_names: Sequence[str] | None = None,
    name: str = "arrays",
    limit_train: int | None = None,
    seed: int = 0,
    augment: Augment | None = None,
) -> Task:
    """A task from uint8 images `[n, H, W]` or `[n, C, H, W]` and labels `[n]` in 0..classes-1."""
    source = sources.arrays(name, images, labels, test, class_names)
    data = cache.store(sources.key_of(source), lambda _: source)
    return make_task(name, data, seed, limit_train, augment)
