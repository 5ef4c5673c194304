"""Decoded images on disk: a source is decoded once, into arrays that every process maps."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nascore.files import cache_folder

_FORMAT = 1


@dataclass(frozen=True)
class Source:
    """Images that are about to be decoded: first those of the train part, then valid, then test."""

    name: str  # for messages
    class_names: tuple[str, ...]
    sizes: tuple[int, int, int]  # images in each part that the source brings, 0 for a missing one
    labels: npt.NDArray[np.int64]  # [n]
    shape: tuple[int, ...]  # (C, H, W), or (C, L) of signals
    blocks: Iterable[npt.NDArray[Any]]  # uint8 [any, C, H, W] or float32 [any, C, L], n in all


@dataclass(frozen=True)
class Decoded:
    """A source as arrays; `digest` names their content."""

    folder: Path
    source: str
    class_names: tuple[str, ...]
    sizes: tuple[int, int, int]
    labels: npt.NDArray[np.int64]  # [n]
    images: npt.NDArray[
        Any
    ]  # as the source's blocks, mapped; what is written to it stays in memory
    digest: str


def read(folder: Path) -> Decoded:
    """The decoded source in `folder`; ValueError where there is none, or not a whole one."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        labels = np.load(folder / "labels.npy")
        images = np.load(folder / "images.npy", mmap_mode="c")
        if meta["format"] != _FORMAT or not sum(meta["sizes"]) == len(labels) == len(images):
            raise ValueError("not whole, or of another version")
        sizes, names = tuple(meta["sizes"]), tuple(meta["class_names"])
        return Decoded(folder, meta["source"], names, sizes, labels, images, meta["digest"])
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"no decoded images in {folder} ({error}); load the task again") from error


def store(key: str, open_source: Callable[[Path], Source]) -> Decoded:
    """The source under `key`, decoded now unless it is there; a broken entry is made anew.

    `open_source` may use the folder that it is given as scratch space.
    """
    root = cache_folder() / "tasks"
    folder = root / key
    try:
        return read(folder)
    except ValueError:
        pass
    with _saving(root):
        root.mkdir(parents=True, exist_ok=True)
        lock = (root / f"{key}.lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return read(folder)  # another process was faster
        except ValueError:
            pass
        partial = root / f"{key}.partial"
        scratch = root / f"{key}.scratch"
        try:
            for left_over in (partial, scratch):
                shutil.rmtree(left_over, ignore_errors=True)
            source = open_source(scratch)
            with _saving(root):
                partial.mkdir()
                _write(partial, source)
                shutil.rmtree(folder, ignore_errors=True)
                partial.rename(folder)
        finally:
            for left_over in (partial, scratch):
                shutil.rmtree(left_over, ignore_errors=True)
    return read(folder)


@contextmanager
def _saving(root: Path) -> Iterator[None]:
    """Tell a user whose disk is full or closed what to do."""
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot keep decoded images ({error.strerror}); make room, or set NASCORE_CACHE to "
            "a folder on another disk",
            str(root),
        ) from error


def _write(folder: Path, source: Source) -> None:
    content = hashlib.blake2b(digest_size=16)
    content.update(repr((source.class_names, source.sizes)).encode())
    count = len(source.labels)
    _write_array(folder / "labels.npy", "<i8", (count,), [source.labels], content)
    kind = "|u1" if len(source.shape) == 3 else "<f4"
    _write_array(folder / "images.npy", kind, (count, *source.shape), source.blocks, content)
    meta = {
        "format": _FORMAT,
        "source": source.name,
        "class_names": source.class_names,
        "sizes": source.sizes,
        "digest": content.hexdigest(),
    }
    (folder / "meta.json").write_text(json.dumps(meta))


def _write_array(
    path: Path,
    dtype: str,
    shape: tuple[int, ...],
    blocks: Iterable[npt.NDArray[Any]],
    content: hashlib.blake2b,
) -> None:
    """Write in order, not through a map: a full disk is an error here, but a fatal signal there."""
    with path.open("wb") as file:
        header = {"descr": dtype, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        content.update(repr(header).encode())
        for block in blocks:
            data = np.ascontiguousarray(block, dtype).data
            content.update(data)
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
