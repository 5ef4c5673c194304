"""Encoded images: looked at once for their size and colour, then decoded."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nascore.tasks.cache import Source

if TYPE_CHECKING:
    from PIL.Image import Image

Progress = Callable[[int, int], None]  # (images done, images in all)
Picture = tuple[str, bytes | Path]  # where it comes from, for messages, and the encoded image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_PARTS = {
    **dict.fromkeys(("train", "training"), 0),
    **dict.fromkeys(("valid", "validation", "val", "dev"), 1),
    **dict.fromkeys(("test", "testing"), 2),
}

_BLOCK = 256  # images


def assign(name: str, splits: Iterable[str]) -> tuple[str, str | None, str | None]:
    """Which of the `splits` of the set `name` are the train, valid and test part.

    Without a test split, the validation split is what a set's published results are measured on.
    """
    given = sorted(splits)
    if len(given) == 1:
        return given[0], None, None
    parts: dict[int, str] = {}
    for split in given:
        if (part := _part(split)) is not None:
            other = parts.setdefault(part, split)
            if other != split:
                raise ValueError(f"{name} has both {other!r} and {split!r}; keep one of them")
    if 0 not in parts:
        raise ValueError(f"{name} has the splits {', '.join(given)}; one must be called 'train'")
    return (parts[0], parts.get(1), parts[2]) if 2 in parts else (parts[0], None, parts.get(1))


def _part(split: str) -> int | None:
    return _PARTS.get(split.lower())


def encoded(
    name: str,
    class_names: Sequence[str],
    labels: Sequence[Sequence[int]],
    read: Callable[[], Iterable[Picture]],
    progress: Progress | None,
) -> Source:
    """A source of encoded images, which `read` gives from the first on whenever it is called.

    `labels` are those of the train, valid and test part. Colour if any image has colour.
    """
    sizes = (len(labels[0]), len(labels[1]), len(labels[2]))
    total = sum(sizes)
    channels, height, width = _survey(read())

    def blocks() -> Iterator[npt.NDArray[np.uint8]]:
        block = np.empty((_BLOCK, height, width, channels), np.uint8)
        for done, (where, data) in enumerate(read(), 1):
            image = _open(where, data, "L" if channels == 1 else "RGB")
            filled = (done - 1) % _BLOCK + 1
            block[filled - 1] = np.asarray(image).reshape(height, width, channels)
            if filled == _BLOCK or done == total:
                yield block[:filled].transpose(0, 3, 1, 2)
                if progress is not None:
                    progress(done, total)

    every = np.concatenate([np.asarray(part, np.int64) for part in labels])
    return Source(name, tuple(class_names), sizes, every, (channels, height, width), blocks())


def from_folder(folder: Path, files: Sequence[Path], progress: Progress | None) -> Source:
    """The images `files` below `folder`: CLASS/image, or train/CLASS/image and so on.

    Beside `train`, folders that are no part are left out, as such splits of the hub are.
    """
    places = [file.relative_to(folder).parts for file in files]
    splits = {place[0] for place in places if len(place) > 2 and _part(place[0]) is not None}
    if splits and 0 not in map(_part, splits):
        found = " and ".join(sorted(splits))
        raise ValueError(f"{folder} has images in {found}, but none in train")
    depth = int(bool(splits))
    parts = assign(str(folder), {place[0] for place in places}) if depth else ()
    labels: list[list[str]] = [[], [], []]
    paths: list[list[Path]] = [[], [], []]
    for file, place in zip(files, places, strict=True):
        if depth and place[0] not in parts:
            continue
        if len(place) < depth + 2:
            raise ValueError(
                f"{file} is in no class; images must be CLASS/image.png or train/CLASS/image.png"
            )
        part = parts.index(place[0]) if depth else 0
        labels[part].append(place[depth])
        paths[part].append(file)
    names = sorted(set().union(*labels))
    number = {name: i for i, name in enumerate(names)}

    def read() -> Iterator[Picture]:
        return ((str(file), file) for part in paths for file in part)

    numbers = [[number[name] for name in part] for part in labels]
    return encoded(str(folder), names, numbers, read, progress)


def _survey(pictures: Iterable[Picture]) -> tuple[int, int, int]:
    """Channels, height and width of all `pictures`, from their headers."""
    channels, first, size = 1, "", None
    for where, data in pictures:
        image = _open(where, data, None)
        if size is None:
            first, size = where, image.size
        if image.size != size:
            raise ValueError(
                f"{where} has {image.width}x{image.height} pixels, but {first} has "
                f"{size[0]}x{size[1]}; resize the images of a data set to one size"
            )
        if image.mode[0] in "IF":
            raise ValueError(f"{where} has more than 8 bits per channel; convert it to 8 bits")
        if image.mode not in ("1", "L", "LA"):
            channels = 3
    assert size is not None
    return channels, size[1], size[0]


def _open(where: str, data: bytes | Path, mode: str | None) -> Image:
    """The image in `data`, decoded to `mode`, or only its header for None."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("reading images needs Pillow: pip install 'nascore[data]'") from error
    try:
        with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
            return image if mode is None else image.convert(mode)
    except Exception as error:  # every decoder has its own
        raise ValueError(f"{where} is not a readable image ({error}); replace it") from error
