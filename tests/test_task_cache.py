"""Decoded images on disk."""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nascore import tasks
from nascore.tasks import cache, sources
from task_kit import pixels


def test_a_source_is_decoded_once(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = tasks.load("digits")
    assert task.folder.parent == empty_cache
    monkeypatch.setattr("sklearn.datasets.load_digits", None)
    assert tasks.load("digits") == task


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("file", ["images.npy", "labels.npy", "meta.json"])
@pytest.mark.parametrize(
    "spoil",
    [truncate, lambda file: file.write_bytes(b""), lambda file: file.write_text("{}"), Path.unlink],
    ids=["cut short", "empty", "foreign", "gone"],
)
def test_a_spoilt_cache_is_made_anew(
    empty_cache: Path, file: str, spoil: Callable[[Path], object]
) -> None:
    task = tasks.load("digits")
    content = {path.name: path.read_bytes() for path in task.folder.iterdir()}
    (empty_cache / "digits.partial").mkdir()  # what a killed process leaves
    spoil(task.folder / file)
    with pytest.raises(ValueError, match="load the task again"):
        task.split("train")
    assert tasks.load("digits") == task
    assert {path.name: path.read_bytes() for path in task.folder.iterdir()} == content
    assert sorted(path.name for path in empty_cache.iterdir()) == ["digits", "digits.lock"]


def test_a_task_notices_other_images_in_its_folder(empty_cache: Path) -> None:
    task = tasks.from_arrays(pixels(20, 4, 4), np.arange(20) % 2)
    other = tasks.from_arrays(pixels(20, 4, 4, seed=1), np.arange(20) % 2)
    with pytest.raises(ValueError, match="no longer those of task 'arrays'"):
        replace(task, folder=other.folder).split("train")


def test_of_two_at_once_one_decodes(empty_cache: Path) -> None:
    opened = []
    start = threading.Barrier(4)

    def open_source(scratch: Path) -> cache.Source:
        opened.append(scratch)
        return sources.arrays("set", pixels(2000, 32, 32), np.arange(2000) % 2)

    def work() -> None:
        start.wait()
        assert len(cache.store("set", open_source).images) == 2000

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1


def test_a_full_disk_says_what_to_do_and_leaves_nothing(empty_cache: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OSError, match="make room, or set NASCORE_CACHE"):
            tasks.load("digits")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in empty_cache.iterdir()] == ["digits.lock"]
    assert len(tasks.load("digits").split("train")[0]) == 1087


def test_a_cache_that_cannot_be_made_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NASCORE_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match="set NASCORE_CACHE"):
        tasks.load("digits")


def test_nobody_writes_through_the_map(empty_cache: Path) -> None:
    test = (pixels(6, 4, 4, seed=1), np.arange(6) % 2)
    task = tasks.from_arrays(pixels(20, 4, 4), np.arange(20) % 2, test=test)
    images, _ = task.split("test")
    assert isinstance(images, np.memmap)
    images[:] = 0
    np.testing.assert_array_equal(task.split("test")[0][:, 0], test[0])
