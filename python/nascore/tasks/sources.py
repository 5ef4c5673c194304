"""Where data sets come from."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nascore.names import unknown
from nascore.tasks import hub, pictures
from nascore.tasks.cache import Source
from nascore.tasks.pictures import Progress

Opener = Callable[[Path, Progress | None], Source]  # (scratch folder, progress)


@dataclass(frozen=True)
class Origin:
    """A place to get images from; equal keys stand for equal images."""

    name: str  # what `find` takes
    key: str
    open: Opener


def find(name: str) -> Origin:
    """The origin that a task's name, a Hugging Face name or a folder's path stands for."""
    if name in NAMED:
        return NAMED[name][1]()
    path = Path(name).expanduser()
    if path.is_dir():
        return _folder(path.resolve())
    if path.suffix == ".npz" and path.exists():
        return _npz(path.resolve())
    if path.exists():
        raise ValueError(f"{name} is a file; give an .npz file, or a folder of images")
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*(:[\w.-]+)?", name):
        return _hub(name, name)
    if "/" in name or name.startswith((".", "~")):
        raise ValueError(f"there is no folder {name}; give the path of a folder of images")
    raise unknown("task", name, NAMED)


def arrays(
    name: str,
    images: npt.ArrayLike,
    labels: npt.ArrayLike,
    test: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    class_names: Sequence[str] | None = None,
    signals: bool = False,
) -> Source:
    """A source from arrays in memory, checked; images from 0 to 1 become grey levels."""
    parts = [(images, labels)] if test is None else [(images, labels), test]
    blocks: list[npt.NDArray[Any]] = []
    numbers: list[npt.NDArray[np.int64]] = []
    for given, classes in parts:
        pixels, number = np.asarray(given), np.asarray(classes)
        block = _signals(name, pixels) if signals else _images(name, pixels)
        if number.dtype.kind not in "iu" or number.shape != (len(block),):
            raise ValueError(
                f"{name}: labels are {number.dtype} {list(number.shape)}; "
                f"they must be integers [{len(block)}], one for each image"
            )
        if not len(block):
            raise ValueError(f"{name}: a part without images; leave it out")
        if block.shape[1:] != (blocks or [block])[0].shape[1:]:
            raise ValueError(f"{name}: the test images have another shape than the others")
        blocks.append(block)
        numbers.append(number.astype(np.int64))
    every = np.concatenate(numbers)
    known = tuple(class_names or map(str, range(every.max() + 1)))
    if every.min() < 0 or every.max() >= len(known):
        raise ValueError(
            f"{name}: labels reach from {every.min()} to {every.max()}; "
            f"they must be in 0..{len(known) - 1}"
        )
    sizes = (len(numbers[0]), 0, len(every) - len(numbers[0]))
    return Source(name, known, sizes, every, blocks[0].shape[1:], blocks)


def _images(name: str, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    block = pixels[:, None] if pixels.ndim == 3 else pixels
    if block.dtype.kind == "f" and block.size and 0 <= block.min() <= block.max() <= 1:
        block = np.rint(255 * block).astype(np.uint8)  # not so where there is a NaN
    if block.dtype != np.uint8 or block.ndim != 4:
        ranged = pixels.dtype.kind == "f" and pixels.size
        reach = f" from {pixels.min():g} to {pixels.max():g}" if ranged else ""
        raise ValueError(
            f"{name}: images are {pixels.dtype} {list(pixels.shape)}{reach}; "
            "they must be uint8, or from 0 to 1, and [n, H, W] or [n, C, H, W]"
            + (
                "; signals [n, C, L] are given by from_signals, or with signals=True in the .npz"
                if pixels.ndim == 3
                else ""
            )
        )
    return block


def _signals(name: str, given: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    block = given[:, None] if given.ndim == 2 else given
    if block.dtype.kind not in "iuf" or block.ndim != 3 or 0 in block.shape[1:]:
        raise ValueError(
            f"{name}: signals are {given.dtype} {list(given.shape)}; "
            "they must be numbers [n, L] or [n, C, L]"
        )
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(block, np.float32)
    if not np.isfinite(numbers).all():
        at = int(np.argwhere(~np.isfinite(numbers))[0, 0])
        raise ValueError(f"{name}: signal {at} has a number that is not finite in float32")
    return numbers


def key_of(source: Source) -> str:
    """The key of a source in memory: its content."""
    head = repr((source.class_names, source.sizes, source.shape)).encode()
    content = hashlib.blake2b(head + source.labels.tobytes(), digest_size=16)
    for block in source.blocks:
        content.update(np.ascontiguousarray(block).data)
    return f"arrays-{content.hexdigest()}"


def _npz(path: Path) -> Origin:
    """Its key changes with the file."""
    state = path.stat()
    text = f"{path} {state.st_size} {state.st_mtime_ns}"
    content = hashlib.blake2b(text.encode(), digest_size=8)

    def source(scratch: Path, progress: Progress | None) -> Source:
        try:
            with np.load(path) as file:  # without pickles, which could run anything
                found = dict(file)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is not a readable .npz file of arrays: {error}") from error
        tested = {"x_test", "y_test"}
        wanted = {"x_train", "y_train"} | (tested if tested & set(found) else set())
        if missing := sorted(wanted - set(found)):
            raise ValueError(
                f"{path} lacks {', '.join(missing)}; it must have x_train and y_train, and may "
                f"have x_test, y_test, class_names and signals; it has "
                f"{', '.join(found) or 'nothing'}"
            )
        test = (found["x_test"], found["y_test"]) if "x_test" in found else None
        names = found["class_names"].tolist() if "class_names" in found else None
        signals = found["x_train"].ndim == 2 or bool(np.any(found.get("signals", False)))
        return arrays(str(path), found["x_train"], found["y_train"], test, names, signals)

    return Origin(str(path), f"{path.stem}-{content.hexdigest()}", source)


def _digits() -> Origin:
    def source(scratch: Path, progress: Progress | None) -> Source:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # grey levels 0..16
        return arrays("digits", images, digits.target)

    return Origin("digits", "digits", source)


_FASHION = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist


def _fashion_mnist() -> Origin:
    if not _DEBIAN.is_dir():
        return _hub("fashion-mnist", "zalando-datasets/fashion_mnist")

    def part(prefix: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        images = gzip.decompress((_DEBIAN / f"{prefix}-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((_DEBIAN / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())
        pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
        return pixels, np.frombuffer(labels, np.uint8, offset=8)

    def source(scratch: Path, progress: Progress | None) -> Source:
        return arrays("fashion-mnist", *part("train"), part("t10k"), _FASHION)

    return Origin("fashion-mnist", "fashion-mnist", source)


def _hub(name: str, address: str, label: str | None = None) -> Origin:
    repository, _, config = address.partition(":")
    return Origin(
        name,
        re.sub(r"[/:]", "--", address),
        lambda scratch, progress: hub.from_hub(repository, config or None, label, progress),
    )


def _folder(path: Path) -> Origin:
    """Its key changes with any of its files; the old images stay for those who map them."""
    files = []
    for folder, below, names in os.walk(path, followlinks=True):  # a class may be a link
        below[:] = [name for name in below if not name.startswith(".")]
        files += [Path(folder, name) for name in names if not name.startswith(".")]
    files.sort()
    tables = [file for file in files if file.suffix == ".parquet"]
    images = [file for file in files if file.suffix.lower() in pictures.SUFFIXES]
    if not tables and not images:
        raise ValueError(
            f"no images in {path}: expected parquet files, or images as CLASS/image.png "
            "or train/CLASS/image.png"
        )
    content = hashlib.blake2b(str(path).encode(), digest_size=8)
    for file in tables or images:
        state = file.stat()
        content.update(f"{file.relative_to(path)} {state.st_size} {state.st_mtime_ns}\n".encode())

    def source(scratch: Path, progress: Progress | None) -> Source:
        if tables:
            return hub.from_parquet(path, tables, scratch, progress)
        return pictures.from_folder(path, images, progress)

    return Origin(str(path), f"{path.name}-{content.hexdigest()}", source)


NAMED: dict[str, tuple[str, Callable[[], Origin]]] = {
    "digits": ("8x8 grey, 10 classes, 1,797 images, part of scikit-learn", _digits),
    "mnist": ("28x28 grey, 10 classes, 70,000 images", lambda: _hub("mnist", "ylecun/mnist")),
    "fashion-mnist": (
        "28x28 grey, 10 classes, 70,000 images; also from Debian's dataset-fashion-mnist",
        _fashion_mnist,
    ),
    "cifar10": (
        "32x32 colour, 10 classes, 60,000 images",
        lambda: _hub("cifar10", "uoft-cs/cifar10"),
    ),
    "cifar100": (
        "32x32 colour, 100 classes, 60,000 images",
        lambda: _hub("cifar100", "uoft-cs/cifar100", "fine_label"),
    ),
}
