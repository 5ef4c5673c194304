"""Tasks: splits, normalisation, limits, and the data sets themselves."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from nascore import tasks
from nascore.tasks import cache
from nascore.tasks.task import partition
from task_kit import PARTS, everything, pixels


def test_digits_are_scikit_learns() -> None:
    task = tasks.load("digits")
    assert (task.name, task.classes, task.shape) == ("digits", 10, (1, 8, 8))
    images, labels = everything(task)
    ours = sorted((label, image.tobytes()) for image, label in zip(images, labels, strict=True))
    theirs = load_digits()
    grey = np.array([[[round(v * 255 / 16) for v in row] for row in im] for im in theirs.images])
    expected = sorted(
        (label, image.tobytes())
        for image, label in zip(grey.astype(np.uint8), theirs.target, strict=True)
    )
    assert ours == expected


def test_digits_are_split_by_class() -> None:
    task = tasks.load("digits")
    total = np.bincount(load_digits().target)
    for part in ("valid", "test"):
        assert (np.bincount(task.split(part)[1]) == total // 5).all()


def test_normalisation_is_that_of_the_train_part() -> None:
    for limit in (None, 100):
        task = tasks.load("digits", limit_train=limit)
        train = task.split("train")[0] / 255
        np.testing.assert_allclose(task.mean, train.mean(axis=(0, 2, 3)))
        np.testing.assert_allclose(task.std, train.std(axis=(0, 2, 3)))


def test_a_constant_channel_has_a_deviation() -> None:
    task = tasks.from_arrays(np.full((20, 4, 4), 7, np.uint8), np.arange(20) % 2)
    assert task.mean == pytest.approx((7 / 255,))
    assert task.std == pytest.approx((1 / 255,))


def test_a_task_pickles_small_and_reads_its_images_elsewhere() -> None:
    task = tasks.load("digits", limit_train=100)
    data = pickle.dumps(task)
    assert len(data) < 1000
    copy = pickle.loads(data)
    assert copy == task
    np.testing.assert_array_equal(copy.split("train")[0], task.split("train")[0])


def test_a_task_says_how_to_load_it_again() -> None:
    task = tasks.load("digits", limit_train=100, seed=3, augment=tasks.Augment(2, True, 4))
    again = tasks.load(
        task.name, limit_train=task.limit_train, seed=task.seed, augment=task.augment
    )
    assert again == task


def test_the_fingerprint_names_all_that_matters() -> None:
    variants = [
        tasks.load("digits"),
        tasks.load("digits", seed=1),
        tasks.load("digits", limit_train=100),
        tasks.load("digits", augment=tasks.Augment(pad=2)),
        tasks.from_arrays(pixels(30, 8, 8), np.arange(30) % 3),
        tasks.from_arrays(pixels(30, 8, 8, seed=1), np.arange(30) % 3),
        tasks.from_arrays(pixels(30, 8, 8), np.arange(30) % 5),
        tasks.from_arrays(pixels(30, 4, 16), np.arange(30) % 3),
    ]
    assert len({task.fingerprint for task in variants}) == len(variants)


@pytest.mark.parametrize("limit", [-1, 0, 9, 1088])
def test_limit_train_has_bounds(limit: int) -> None:
    with pytest.raises(ValueError, match=rf"limit_train={limit} must be at least 10.* 1087"):
        tasks.load("digits", limit_train=limit)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="seed=-1"):
        tasks.load("digits", seed=-1)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown split 'tset'; did you mean 'test'"):
        tasks.load("digits").split("tset")  # type: ignore[arg-type]


def decoded(counts: list[int], valid: int, test: int, seed: int = 0) -> cache.Decoded:
    """A source whose train part has `counts[c]` images of class c, shuffled."""
    pool = np.repeat(np.arange(len(counts)), counts)
    labels = np.concatenate(
        [np.random.default_rng(seed).permutation(pool), np.zeros(valid + test, np.int64)]
    )
    names = tuple(map(str, range(len(counts))))
    sizes = (len(pool), valid, test)
    return cache.Decoded(Path(), "set", names, sizes, labels, np.empty(0, np.uint8), "")


@given(
    st.lists(st.integers(3, 40), min_size=2, max_size=6),
    st.sampled_from([0, 7]),
    st.sampled_from([0, 9]),
    st.integers(0, 2**32),
    st.data(),
)
def test_every_image_is_in_one_part_and_every_class_in_every_part(
    counts: list[int], valid: int, test: int, seed: int, data: st.DataObject
) -> None:
    source = decoded(counts, valid, test)
    rows = partition(source, seed, None)
    together = np.concatenate([rows[part] for part in PARTS])
    assert sorted(together) == list(range(sum(source.sizes)))
    number = np.array(counts)
    shares = {part: np.bincount(source.labels[rows[part]]) for part in PARTS}
    if not test:
        assert (shares["test"] == np.maximum(1, number // 5)).all()
    if not valid:
        assert (shares["valid"] == np.maximum(1, number // (10 if test else 5))).all()
    assert (shares["train"] >= 1).all()

    limit = data.draw(st.integers(len(counts), len(rows["train"])))
    fewer = partition(source, seed, limit)
    assert len(fewer["train"]) == limit
    assert set(fewer["train"]) <= set(rows["train"])
    assert all((fewer[part] == rows[part]).all() for part in ("valid", "test"))
    taken = np.bincount(source.labels[fewer["train"]], minlength=len(counts))
    fair = limit * shares["train"] / shares["train"].sum()
    assert (taken >= 1).all()
    assert (taken <= np.maximum(1, fair + 1)).all()
    assert (taken >= fair - len(counts) * shares["train"] / shares["train"].sum()).all()


def test_the_seed_draws_the_split() -> None:
    source = decoded([50, 50], 0, 0)
    first, again, other = (partition(source, seed, None)["test"] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(("test", "least"), [(0, 3), (4, 2)])
def test_too_few_images_of_a_class(test: int, least: int) -> None:
    message = rf"class '1' has {least - 1} training images; splitting needs at least {least}"
    with pytest.raises(ValueError, match=message):
        partition(decoded([9, least - 1], 0, test), 0, None)
    partition(decoded([9, least], 0, test), 0, None)


def test_a_test_class_without_training_images() -> None:
    with pytest.raises(ValueError, match="class '0' has images, but none to train on"):
        partition(decoded([0, 9, 9], 0, 4), 0, None)


def test_a_class_without_any_image_does_no_harm() -> None:
    rows = partition(decoded([9, 0, 9], 0, 0), 0, 5)
    assert [len(rows[part]) for part in PARTS] == [5, 2, 2]


def test_fashion_mnist_from_debian() -> None:
    if not Path("/usr/share/datasets/fashion-mnist").is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    task = tasks.load("fashion-mnist", limit_train=1000)
    assert task.shape == (1, 28, 28)
    assert [len(task.split(part)[1]) for part in PARTS] == [1000, 6000, 10000]
    assert (np.bincount(task.split("train")[1]) == 100).all()
    assert task.class_names[task.split("test")[1][0]] == "ankle boot"
    assert task.mean == pytest.approx((0.286,), abs=0.01)


def test_cifar10(cifar10: Path) -> None:
    task = tasks.load(cifar10, limit_train=500)
    assert (task.classes, task.class_names[0], task.shape) == (10, "airplane", (3, 32, 32))
    assert [len(task.split(part)[1]) for part in PARTS] == [500, 5000, 10000]
    assert (np.bincount(task.split("train")[1]) == 50).all()
    assert task.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=0.03)
    whole = tasks.load(cifar10)
    assert whole.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=1e-3)
    assert whole.std == pytest.approx((0.2470, 0.2435, 0.2616), abs=1e-3)
