"""Tasks by name, from folders of images, and from arrays."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nascore import tasks
from task_kit import PARTS, everything, paint, pixels


def test_names_are_what_load_takes() -> None:
    assert {"digits", "fashion-mnist", "cifar10", "cifar100", "mnist"} == set(tasks.names())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digts", "unknown task 'digts'; did you mean 'digits'"),
        ("no/such/folder", "there is no folder no/such/folder"),
        ("./nowhere", "there is no folder ./nowhere"),
        (__file__, "is a file; give an .npz file, or a folder"),
        ("nobody/nothing", "'nobody/nothing' is no folder here, and no data set"),
    ],
)
def test_a_name_that_leads_nowhere(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        tasks.load(name)


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"no images in .*: expected parquet files, or images"):
        tasks.load(tmp_path)


def test_a_folder_of_classes(tmp_path: Path) -> None:
    paint(tmp_path, {"cat": 10, "dog": 20}, 6, 5, 3)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x.png").touch()
    (tmp_path / "cat" / "notes.txt").touch()
    calls: list[tuple[int, int]] = []
    task = tasks.load(tmp_path, progress=lambda done, total: calls.append((done, total)))
    assert task.name == str(tmp_path)
    assert (task.class_names, task.shape) == (("cat", "dog"), (3, 6, 5))
    assert calls == [(30, 30)]
    images, labels = everything(task)
    for number, n in ((0, 10), (1, 20)):
        ours = sorted(image.tobytes() for image in images[labels == number])
        painted = pixels(n, 6, 5, 3, seed=number).transpose(0, 3, 1, 2)
        assert ours == sorted(image.tobytes() for image in painted)


def test_more_images_than_a_block(tmp_path: Path) -> None:
    paint(tmp_path, {"a": 200, "b": 101}, 2, 2)
    task = tasks.load(tmp_path)
    images, labels = everything(task)
    painted = np.concatenate([pixels(200, 2, 2, seed=0), pixels(101, 2, 2, seed=1)])
    assert sorted(i.tobytes() for i in images) == sorted(i.tobytes() for i in painted)
    assert np.bincount(labels).tolist() == [200, 101]


def test_given_parts_are_kept(tmp_path: Path) -> None:
    for part, n in (("train", 20), ("val", 4), ("test", 5), ("extra", 9)):
        paint(tmp_path / part, {"a": n, "b": n}, 4, 4)
    task = tasks.load(tmp_path)
    assert [len(task.split(part)[1]) for part in PARTS] == [40, 8, 10]


def test_parts_by_other_names(tmp_path: Path) -> None:
    for part, n in (("Training", 20), ("dev", 4), ("TESTING", 5)):
        paint(tmp_path / part, {"a": n, "b": n}, 4, 4)
    task = tasks.load(tmp_path)
    assert task.class_names == ("a", "b")
    assert [len(task.split(part)[1]) for part in PARTS] == [40, 8, 10]


def test_links_are_followed_and_a_folder_is_no_image(tmp_path: Path) -> None:
    paint(tmp_path / "elsewhere", {"b.png": 6}, 4, 4)
    paint(tmp_path / "set", {"a": 6}, 4, 4)
    (tmp_path / "set" / "b.png").symlink_to(tmp_path / "elsewhere" / "b.png")
    task = tasks.load(tmp_path / "set")
    assert task.class_names == ("a", "b.png")
    assert len(everything(task)[0]) == 12


def test_without_a_test_part_the_validation_part_is_the_test(tmp_path: Path) -> None:
    for part, n in (("train", 20), ("valid", 4)):
        paint(tmp_path / part, {"a": n, "b": n}, 4, 4)
    task = tasks.load(tmp_path)
    assert [len(task.split(part)[1]) for part in PARTS] == [36, 4, 8]


def test_two_names_for_one_part(tmp_path: Path) -> None:
    for part in ("train", "valid", "val"):
        paint(tmp_path / part, {"a": 4, "b": 4}, 4, 4)
    with pytest.raises(ValueError, match="has both 'val' and 'valid'"):
        tasks.load(tmp_path)


def test_an_image_beside_the_classes_of_a_part(tmp_path: Path) -> None:
    paint(tmp_path / "train", {"a": 5, "b": 5}, 4, 4)
    (tmp_path / "train" / "a" / "000.png").rename(tmp_path / "train" / "000.png")
    with pytest.raises(ValueError, match=r"train/000\.png is in no class"):
        tasks.load(tmp_path)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    paint(tmp_path, {"train": 5, "ship": 5}, 4, 4)
    assert tasks.load(tmp_path).class_names == ("ship", "train")


def test_grey_stays_grey_and_a_mixed_folder_is_colour(tmp_path: Path) -> None:
    paint(tmp_path, {"a": 5, "b": 5}, 4, 4)
    assert tasks.load(tmp_path).shape == (1, 4, 4)
    paint(tmp_path, {"c": 5}, 4, 4, 3, suffix="bmp")
    mixed = tasks.load(tmp_path)
    assert mixed.shape == (3, 4, 4)
    images, labels = everything(mixed)
    assert (images[labels < 2] == images[labels < 2][:, :1]).all()


def test_a_changed_folder_is_read_again(tmp_path: Path) -> None:
    paint(tmp_path, {"a": 5, "b": 5}, 4, 4)
    before = tasks.load(tmp_path)
    paint(tmp_path, {"c": 5}, 4, 4)
    assert tasks.load(tmp_path).classes == 3
    assert before.split("train")[0].shape == (6, 1, 4, 4)


def test_bad_images_are_named(tmp_path: Path) -> None:
    paint(tmp_path, {"a": 5, "b": 5}, 4, 4)
    bad = tmp_path / "b" / "bad.png"

    def refused(message: str) -> None:
        with pytest.raises(ValueError, match=re.escape(f"{bad} {message}")):
            tasks.load(tmp_path)

    bad.write_bytes(b"not an image")
    refused("is not a readable image")
    whole = (tmp_path / "b" / "000.png").read_bytes()
    bad.write_bytes(whole[:-30])
    refused("is not a readable image")
    Image.fromarray(pixels(1, 5, 4)[0]).save(bad)
    refused(f"has 4x5 pixels, but {tmp_path / 'a' / '000.png'} has 4x4")
    Image.fromarray(np.full((4, 4), 999, np.uint16)).save(bad)
    refused("has more than 8 bits per channel")
    bad.rename(tmp_path / "bad.png")
    bad = tmp_path / "bad.png"
    refused("is in no class")


def test_one_class_is_no_task(tmp_path: Path) -> None:
    paint(tmp_path, {"only": 9}, 4, 4)
    with pytest.raises(ValueError, match="two classes or more; found 'only'"):
        tasks.load(tmp_path)


def test_from_arrays() -> None:
    images, labels = pixels(40, 3, 6, 5), np.arange(40) % 4
    task = tasks.from_arrays(images, labels, class_names="abcd", name="mine")
    assert (task.name, task.class_names, task.shape) == ("mine", tuple("abcd"), (3, 6, 5))
    ours, numbers = everything(task)
    order = [int(np.flatnonzero((images == image).all(axis=(1, 2, 3)))[0]) for image in ours]
    assert sorted(order) == list(range(40))
    np.testing.assert_array_equal(numbers, labels[order])


GREY, CLASSES = pixels(9, 4, 4), np.arange(9) % 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": GREY / 2}, r"images are float64 \[9, 4, 4\] from 0 to .*; they must be uint8"),
        ({"images": GREY[:0] / 2}, r"images are float64 \[0, 4, 4\]; they must be uint8"),
        ({"images": GREY[0]}, r"images are uint8 \[4, 4\]"),
        ({"labels": CLASSES[:8]}, r"labels are int64 \[8\]; they must be integers \[9\]"),
        ({"labels": CLASSES / 2}, "labels are float64"),
        ({"labels": CLASSES - 1}, "labels reach from -1 to 1"),
        ({"class_names": ["a", "b"]}, r"labels reach from 0 to 2; they must be in 0\.\.1"),
        ({"test": (GREY[:0], CLASSES[:0])}, "a part without images"),
        ({"test": (GREY[:, 1:], CLASSES)}, "another shape"),
        ({"labels": CLASSES * 0}, "two classes or more; found '0'"),
    ],
)
def test_arrays_that_do_not_make_a_task(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tasks.from_arrays(**{"images": GREY, "labels": CLASSES} | arguments)


def test_default_augmentation_follows_the_images() -> None:
    def default(*shape: int) -> tasks.Augment:
        return tasks.from_arrays(pixels(9, *shape), CLASSES).augment

    assert default(8, 8) == tasks.Augment(pad=1)
    assert default(28, 28) == tasks.Augment(pad=2)
    assert default(3, 32, 32) == tasks.Augment(pad=4, flip=True)
