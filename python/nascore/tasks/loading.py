"""From a name or a path to a task."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

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
    above the classes if it wants; an .npz file `x_train`, `y_train` and, if it wants, `x_test`,
    `y_test` and `class_names`, as `from_arrays` takes them, or, where `x_train` is `[n, L]` or the
    file has `signals=True`, as `from_signals` does. `seed` draws the parts that are
    missing; `limit_train` images stay in the train part. With `image_size` the images are resized,
    so that their shorter side is that. Decoding, done once for ever, calls
    `progress(images done, all)`.
    """
    origin = sources.find(os.fspath(name_or_path))
    data = cache.store(origin.key, lambda scratch: origin.open(scratch, progress))
    if image_size is not None:
        if data.images.ndim == 3:
            raise ValueError(f"image_size={image_size}: {origin.name} has signals, not images")
        given = data
        key = f"{origin.key}-{image_size}px"
        data = cache.store(key, lambda _: resized(given, image_size, progress))
    return make_task(origin.name, data, seed, limit_train, augment)


def from_arrays(
    images: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    test: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    class_names: Sequence[str] | None = None,
    name: str = "arrays",
    limit_train: int | None = None,
    seed: int = 0,
    augment: Augment | None = None,
) -> Task:
    """A task from images `[n, H, W]` or `[n, C, H, W]` and labels `[n]` in 0..classes-1.

    Images are uint8, or numbers from 0 to 1, which are kept as the nearest of 256 levels. Raises
    ValueError for others.
    """
    source = sources.arrays(name, images, labels, test, class_names)
    data = cache.store(sources.key_of(source), lambda _: source)
    return make_task(name, data, seed, limit_train, augment)


def from_signals(
    signals: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    test: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    class_names: Sequence[str] | None = None,
    name: str = "signals",
    limit_train: int | None = None,
    seed: int = 0,
) -> Task:
    """A task from signals `[n, L]` or `[n, C, L]` and labels `[n]` in 0..classes-1.

    Kept as float32, not augmented; networks normalise each channel by the training part. Raises
    ValueError for numbers that are not finite, and other shapes.
    """
    source = sources.arrays(name, signals, labels, test, class_names, signals=True)
    data = cache.store(sources.key_of(source), lambda _: source)
    return make_task(name, data, seed, limit_train, None)


def from_dataset(
    dataset: Dataset[Any],
    *,
    test: Dataset[Any] | None = None,
    class_names: Sequence[str] | None = None,
    name: str = "dataset",
    limit_train: int | None = None,
    seed: int = 0,
    augment: Augment | None = None,
) -> Task:
    """A task from PyTorch data sets that have a length and give pairs of an image and its class.

    An image is `[C, H, W]` or `[H, W]` as `from_arrays` takes it, or a PIL image; all are of one
    size. A data set that augments at random is kept as it is read now, once: give `augment`
    instead. Raises ValueError for an item that is none.
    """
    parts = [_arrays(name, each) for each in (dataset, test) if each is not None]
    return from_arrays(
        *parts[0],
        test=parts[1] if test is not None else None,
        class_names=class_names if class_names is not None else getattr(dataset, "classes", None),
        name=name,
        limit_train=limit_train,
        seed=seed,
        augment=augment,
    )


def _arrays(name: str, dataset: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    images: list[npt.NDArray[Any]] = []
    labels = []
    for i in range(len(dataset)):
        item = dataset[i]
        try:
            image, label = np.asarray(item[0]), int(item[1])
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise ValueError(
                f"{name}: item {i} is {type(item).__name__}; expected an image and its class, "
                f"an integer ({error})"
            ) from error
        if not isinstance(item[0], torch.Tensor | np.ndarray) and image.ndim == 3:
            image = image.transpose(2, 0, 1)  # PIL has the channels last
        if images and image.shape != images[0].shape:
            raise ValueError(
                f"{name}: item {i} is {list(image.shape)}, item 0 is {list(images[0].shape)}; "
                "resize them all to one size"
            )
        images.append(image)
        labels.append(label)
    if not images:
        raise ValueError(f"{name}: the data set is empty")
    return np.stack(images), np.array(labels)
