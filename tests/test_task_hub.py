"""Tasks from parquet files and from the hub."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from nascore import tasks
from task_kit import PARTS, everything, paint, pixels

IMAGES = [Image.fromarray(image) for image in pixels(24, 4, 4, 3)]


def split_of(n: int = 24, **columns: Any) -> datasets.Dataset:
    """The first `n` images, and `columns`; by default a class column `label`."""
    features = datasets.Features(
        {"picture": datasets.Image()}
        | {name: feature for name, (feature, _) in columns.items()}
        | ({} if columns else {"label": datasets.ClassLabel(names=["x", "y"])})
    )
    values = {name: value[:n] for name, (_, value) in columns.items()} or {
        "label": [i % 2 for i in range(n)]
    }
    return datasets.Dataset.from_dict({"picture": IMAGES[:n], **values}, features=features)


def parquet(folder: Path, **splits: datasets.Dataset) -> Path:
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    for name, split in splits.items():
        split.to_parquet(folder / f"{name}-00000-of-00001.parquet")
    if shown:
        datasets.enable_progress_bars()
    return folder


def test_parquet_with_classes(tmp_path: Path) -> None:
    task = tasks.load(parquet(tmp_path, train=split_of(), test=split_of(6)))
    assert (task.class_names, task.shape) == (("x", "y"), (3, 4, 4))
    images, labels = task.split("test")
    np.testing.assert_array_equal(images, pixels(24, 4, 4, 3)[:6].transpose(0, 3, 1, 2))
    assert labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert [len(task.split(part)[1]) for part in PARTS] == [22, 2, 6]


@pytest.mark.parametrize(
    ("kind", "values", "names"),
    [
        ("string", ["owl", "bee"] * 12, ("bee", "owl")),
        ("int64", [7, 3] * 12, ("3", "7")),
    ],
)
def test_parquet_with_plain_labels(
    tmp_path: Path, kind: str, values: list[Any], names: tuple[str, ...]
) -> None:
    split = split_of(kind=(datasets.Value(kind), values))
    task = tasks.load(parquet(tmp_path, data=split))
    assert task.class_names == names
    images, labels = everything(task)
    first = (images == np.asarray(IMAGES[0]).transpose(2, 0, 1)).all(axis=(1, 2, 3))
    assert labels[first] == [1]


def test_parquet_that_other_tools_wrote(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    file = parquet(tmp_path, train=split_of()) / "train-00000-of-00001.parquet"
    pq.write_table(pq.read_table(file).replace_schema_metadata(None), file)
    assert tasks.load(tmp_path).class_names == ("0", "1")


def test_a_column_called_label_comes_first(tmp_path: Path) -> None:
    number = datasets.Value("int64")
    split = split_of(identity=(number, list(range(24))), label=(number, [5, 6] * 12))
    assert tasks.load(parquet(tmp_path, train=split)).class_names == ("5", "6")


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (
            split_of(
                fine=(datasets.ClassLabel(names=["a", "b"]), [0, 1] * 12),
                coarse=(datasets.ClassLabel(names=["c", "d"]), [0, 1] * 12),
            ),
            "exactly one label column; found: fine, coarse",
        ),
        (split_of(z=(datasets.Value("float32"), [0.0] * 24)), "one label column; found: none"),
        (split_of().remove_columns("picture"), "exactly one image column; found: none"),
        (
            split_of(other=(datasets.Image(), IMAGES), label=(datasets.Value("int8"), [0] * 24)),
            "exactly one image column; found: picture, other",
        ),
        (
            split_of(label=(datasets.ClassLabel(names=["a", "b"]), [0, 1, -1] * 8)),
            "row 2 of split 'train' has the label -1, which is none of the 2 classes",
        ),
        (
            split_of(label=(datasets.Value("string"), ["a", None, "b"] * 8)),
            "row 1 of split 'train' has the label None",
        ),
    ],
)
def test_columns_that_do_not_make_a_task(
    tmp_path: Path, split: datasets.Dataset, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tasks.load(parquet(tmp_path, train=split))


@pytest.mark.parametrize("stored", [{"bytes": b"no image", "path": None}, None])
def test_a_broken_row_is_named(tmp_path: Path, stored: object) -> None:
    rows = split_of().cast_column("picture", datasets.Image(decode=False)).to_dict()
    rows["picture"][17] = stored
    broken = datasets.Dataset.from_dict(rows, features=split_of().features)
    with pytest.raises(ValueError, match="row 17 of split 'train' is not a readable image"):
        tasks.load(parquet(tmp_path, train=broken))


def test_a_broken_parquet_file_is_named(tmp_path: Path) -> None:
    parquet(tmp_path, train=split_of())
    (tmp_path / "train-1.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"train-1\.parquet is not a readable parquet file"):
        tasks.load(tmp_path)


def test_parquet_files_that_do_not_fit_together(tmp_path: Path) -> None:
    parquet(tmp_path, train=split_of())
    split_of(other=(datasets.Value("string"), ["a"] * 24)).to_parquet(tmp_path / "train-1.parquet")
    with pytest.raises(ValueError, match=r"the parquet files in .* cannot be read"):
        tasks.load(tmp_path)


@pytest.fixture
def hub(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Puts a data set on a hub of its own; the list it returns gathers what is asked for."""

    def put(**splits: datasets.Dataset) -> list[Any]:
        asked: list[Any] = []

        def load_dataset(*request: Any) -> datasets.DatasetDict:
            asked.append(request)
            return datasets.DatasetDict(splits)

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return asked

    return put


def test_a_set_of_the_hub(hub: Callable[..., list[Any]]) -> None:
    asked = hub(train=split_of(), extra=split_of(4), test=split_of(6))
    task = tasks.load("someone/letters:upper")
    assert asked == [("someone/letters", "upper")]
    assert task.name == "someone/letters:upper"
    assert [len(task.split(part)[1]) for part in PARTS] == [22, 2, 6]
    assert tasks.load("someone/letters:upper") == task
    assert len(asked) == 1


def test_cifar100_is_learnt_by_its_fine_labels(hub: Callable[..., list[Any]]) -> None:
    split = split_of(
        fine_label=(datasets.ClassLabel(names=["a", "b", "c"]), [0, 1, 2] * 8),
        coarse_label=(datasets.ClassLabel(names=["d", "e"]), [0, 1] * 12),
    )
    assert hub(train=split, test=split) == []
    assert tasks.load("cifar100").class_names == ("a", "b", "c")


def test_an_empty_split(hub: Callable[..., list[Any]]) -> None:
    hub(train=split_of(), test=split_of(0))
    with pytest.raises(ValueError, match="the split 'test' is empty"):
        tasks.load("someone/letters")


def test_splits_without_one_to_train_on(hub: Callable[..., list[Any]]) -> None:
    hub(fold1=split_of(), fold2=split_of())
    with pytest.raises(ValueError, match="splits fold1, fold2; one must be called 'train'"):
        tasks.load("someone/letters")


@pytest.mark.parametrize("missing", ["datasets", "PIL"])
def test_without_the_extra_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "PIL":
        paint(tmp_path, {"a": 5, "b": 5}, 4, 4)
    else:
        parquet(tmp_path, train=split_of())
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=re.escape("pip install 'nascore[data]'")):
        tasks.load(tmp_path)
