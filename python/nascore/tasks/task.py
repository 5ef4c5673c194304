"""A data set with its splits, as every process of a search sees it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from nascore import _core
from nascore.names import unknown
from nascore.tasks import cache
from nascore.tasks.augment import Augment

Part = Literal["train", "valid", "test"]

_SPLITS = 2  # random stream; 1 belongs to jobs, 3 to epochs
_CHUNK = 4096  # images


@dataclass(frozen=True)
class Task:
    """A data set to learn: classes, shape (C, H, W) of images or (C, L) of signals, splits.

    `load` gives it again, called as it was. It pickles small: the images stay in `folder`.
    `fingerprint` names all that training on it depends on.
    """

    name: str
    folder: Path
    fingerprint: str
    class_names: tuple[str, ...]
    shape: tuple[int, ...]
    mean: tuple[float, ...]  # per channel, of the train part, in 0..1 for images
    std: tuple[float, ...]
    augment: Augment
    seed: int
    limit_train: int | None

    @property
    def classes(self) -> int:
        return len(self.class_names)

    def split(self, part: Part) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """Images uint8 `[n, C, H, W]` or signals float32 `[n, C, L]`, and labels `[n]`, of a part.

        A part that is one block of the source is mapped memory, any other a copy.
        """
        if part not in get_args(Part):
            raise unknown("split", part, get_args(Part))
        data = cache.read(self.folder)
        if _fingerprint(data, self.seed, self.limit_train, self.augment) != self.fingerprint:
            raise ValueError(
                f"the images in {self.folder} are no longer those of task {self.name!r}; "
                "load the task again"
            )
        rows = partition(data, self.seed, self.limit_train)[part]
        if rows[-1] - rows[0] + 1 == len(rows):
            block = slice(rows[0], rows[-1] + 1)
            return data.images[block], data.labels[block]
        return data.images[rows], data.labels[rows]


def make_task(
    name: str, data: cache.Decoded, seed: int, limit_train: int | None, augment: Augment | None
) -> Task:
    """The task that `data` is, once split and measured."""
    channels, height = data.images.shape[1:3]
    signals = data.images.ndim == 3
    if signals and augment not in (None, Augment()):
        raise ValueError(f"{name}: {augment}, but signals are not augmented; leave it out")
    if augment is None and signals:
        augment = Augment()
    elif augment is None:
        grey = Augment(pad=max(1, height // 14))
        augment = grey if channels == 1 else Augment(pad=height // 8, flip=True)
    moments = _moments_of_signals if signals else _moments
    mean, std = moments(data.images, partition(data, seed, limit_train)["train"])
    return Task(
        name,
        data.folder,
        _fingerprint(data, seed, limit_train, augment),
        data.class_names,
        data.images.shape[1:],
        mean,
        std,
        augment,
        seed,
        limit_train,
    )


def partition(
    data: cache.Decoded, seed: int, limit_train: int | None
) -> dict[Part, npt.NDArray[np.intp]]:
    """The rows of each part, ascending; every class has its share in each.

    Parts that the source brings are kept. A missing one is drawn from its train part: 20 % of each
    class for test, and 20 % for valid, or 10 % where the test part is given; at least one image.
    """
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed={seed} must be 0 to 2**64 - 1")
    given, valid, test = data.sizes
    pool = data.labels[:given]
    counts = np.bincount(pool, minlength=len(data.class_names))
    _check(data, counts)
    for_test = np.maximum(1, counts // 5) if test == 0 else 0 * counts
    for_valid = np.maximum(1, counts // (5 if test == 0 else 10)) if valid == 0 else 0 * counts
    order = np.lexsort((_core.uniform(seed, _SPLITS, 0, given), pool))  # by class, then at random
    kinds = pool[order]
    # Place in the class, counted from the first image of its train share.
    place = np.arange(given) - (np.cumsum(counts) - counts + for_test + for_valid)[kinds]
    train = order[place >= 0]
    if limit_train is not None:
        least, most = np.count_nonzero(counts), len(train)
        if not least <= limit_train <= most:
            raise ValueError(
                f"limit_train={limit_train} must be at least {least}, one image of each class, "
                f"and at most {most}, the size of the train part"
            )
        share = (place / (counts - for_test - for_valid)[kinds])[place >= 0]
        train = train[np.argsort(share, kind="stable")[:limit_train]]
    to_valid = order[(place < 0) & (place >= -for_valid[kinds])]
    to_test = order[place < -for_valid[kinds]]
    return {
        "train": np.sort(train),
        "valid": np.r_[np.sort(to_valid), given : given + valid],
        "test": np.r_[np.sort(to_test), given + valid : given + valid + test],
    }


def _check(data: cache.Decoded, counts: npt.NDArray[np.intp]) -> None:
    """Raise ValueError unless every class can have its share of every part."""
    given, valid, test = data.sizes
    names = data.class_names
    if np.count_nonzero(counts) < 2:
        only = f"{names[int(counts.argmax())]!r}" if given else "none"
        raise ValueError(
            f"{data.source}: a task needs training images of two classes or more; found {only}"
        )
    least = 1 + (valid == 0) + (test == 0)
    few = np.flatnonzero((counts > 0) & (counts < least))
    if len(few):
        raise ValueError(
            f"{data.source}: class {names[few[0]]!r} has {counts[few[0]]} training images; "
            f"splitting needs at least {least} of each class"
        )
    strange = np.flatnonzero(counts[data.labels] == 0)
    if len(strange):
        name = names[data.labels[strange[0]]]
        raise ValueError(f"{data.source}: class {name!r} has images, but none to train on")


def _moments(
    images: npt.NDArray[np.uint8], rows: npt.NDArray[np.intp]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, in 0..1, exact sums; one grey level at least."""
    total = np.zeros(images.shape[1], np.uint64)
    squares = np.zeros_like(total)
    for start in range(0, len(rows), _CHUNK):
        chunk = images[rows[start : start + _CHUNK]].astype(np.uint16)
        total += chunk.sum(axis=(0, 2, 3), dtype=np.uint64)
        squares += np.square(chunk, out=chunk).sum(axis=(0, 2, 3), dtype=np.uint64)
    pixels = len(rows) * images.shape[2] * images.shape[3]
    mean = total / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 1))
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())


def _moments_of_signals(
    signals: npt.NDArray[np.float32], rows: npt.NDArray[np.intp]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel; 1 for that of a constant one."""
    train = signals[rows]
    std = train.std(axis=(0, 2), dtype=np.float64)
    mean = train.mean(axis=(0, 2), dtype=np.float64)
    return tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist())


def _fingerprint(data: cache.Decoded, seed: int, limit_train: int | None, augment: Augment) -> str:
    return hashlib.blake2b(
        f"{data.digest} {seed} {limit_train} {augment}".encode(), digest_size=16
    ).hexdigest()
