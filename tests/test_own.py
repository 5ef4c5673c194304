"""One's own data, scores and spaces."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

import evaluator_kit
import space_kit
from nascore import tasks
from nascore.agents.random import Random
from nascore.evaluators import FunctionEvaluator
from nascore.search import Accuracy, AskTell, Search, Store, Workers
from nascore.spaces import Architecture, BlockSpace
from nascore.trial import Job
from task_kit import everything

BLOCKS = [BlockSpace().architecture(f"[(1,{op},3,0,0)]") for op in (1, 2)]
X = np.arange(40 * 4 * 5, dtype=np.float64).reshape(40, 4, 5) % 256
Y = np.arange(40) % 4


def layers(block: Architecture) -> float:
    assert block.graph is not None
    return block.graph.layers() / 10


def layers_and_size(block: Architecture) -> dict[str, float]:
    return {"val_accuracy": layers(block), "params": 7}


def by_kind(block: Architecture) -> float:
    """Fails in three ways."""
    kind = block.code[0][1]
    if kind == 2:
        raise RuntimeError("no pools here")
    return math.nan if kind == 1 else 97.3


def test_a_function_is_an_evaluator() -> None:
    for score in (layers, layers_and_size):
        first, second = evaluator_kit.check(FunctionEvaluator(score), BLOCKS)
        assert first.accuracy == second.accuracy == 0.1
        assert first.metrics.get("params") == (7 if score is layers_and_size else None)


def test_what_a_function_does_wrong() -> None:
    evaluator = FunctionEvaluator(by_kind)
    nan, raised = evaluator_kit.check(evaluator, BLOCKS)
    assert (nan.status, nan.message) == ("not finite", "val_accuracy is nan")
    assert (raised.status, raised.message) == ("invalid", "RuntimeError: no pools here")
    third = Job(0, BlockSpace().architecture("[(1,3,3,0,0)]"), 0)
    with pytest.raises(ValueError, match=r"score gave 97.3 for .*from 0 to 1.*percents by 100"):
        evaluator.evaluate([third])


def test_a_function_in_worker_processes() -> None:
    def search() -> Search:
        stage = AskTell(Random(BlockSpace(4), 0), FunctionEvaluator(layers), Accuracy(), 8, batch=4)
        return Search("layers", {}, "blocks", 0, [stage])

    with Workers(2) as workers:
        parallel = list(search().run(executor=workers))
    assert parallel == list(search())


@pytest.fixture(scope="module")
def perceptrons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The space that the documentation prints, in a module of its own."""
    page = Path(__file__).parents[1] / "docs" / "own-space.md"
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    folder = tmp_path_factory.mktemp("own")
    (folder / "perceptrons.py").write_text(next(b for b in blocks if "class Perceptrons" in b))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield importlib.import_module("perceptrons").Perceptrons()


def test_the_documentations_space(perceptrons: Any) -> None:
    space_kit.check(perceptrons, checks_arrays=False)


def test_a_search_of_an_own_space_goes_on(perceptrons: Any, tmp_path: Path) -> None:
    def width(found: Architecture) -> float:
        return sum(found.code) / 12

    def search() -> Search:
        agent = Random(perceptrons, 0)
        stage = AskTell(agent, FunctionEvaluator(width), Accuracy(), 24, batch=4)
        return Search("perceptrons", {}, "none", 0, [stage])

    whole = list(search())
    with Store.create(tmp_path / "run", search().meta) as store:
        for trial in search().run(store):
            if trial.number == 11:
                break
    with Store.open(tmp_path / "run", write=True) as store:
        list(search().run(store))
        assert [(t.number, t.architecture, t.reward) for t in store.trials()] == [
            (t.number, t.architecture, t.reward) for t in whole
        ]


def test_an_own_space_has_a_dot_in_its_name() -> None:
    found = Architecture.of("mine.rings", (1, (2, "a")))
    assert Architecture.from_json(found.to_json()) == found
    assert (found.graphs, found.graph) == ((), None)
    with pytest.raises(ValueError, match="unknown space 'blok'; did you mean 'block'"):
        Architecture.of("blok", ())


def test_images_from_0_to_1() -> None:
    task = tasks.from_arrays(X / 255, Y)
    same = tasks.from_arrays(X.astype(np.uint8), Y)
    assert task == same


class Pictures(Dataset[Any]):
    """As torchvision's: PIL images and `classes`."""

    classes = ("a", "b", "c", "d")

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, i: int) -> Any:
        pixels = np.stack([X[i], X[i] // 2, X[i] // 3], -1)
        return Image.fromarray(pixels.astype(np.uint8)), int(Y[i])


def test_a_data_set_of_torch() -> None:
    pairs = TensorDataset(torch.tensor(X / 255)[:, None], torch.tensor(Y))
    tested = tasks.from_dataset(pairs, test=pairs, name="pairs")
    assert (tested.shape, tested.classes) == ((1, 4, 5), 4)
    assert len(tested.split("test")[1]) == 40
    assert tested == tasks.from_arrays(X / 255, Y, test=(X / 255, Y), name="pairs")
    pictures = tasks.from_dataset(Pictures())
    assert (pictures.shape, pictures.class_names) == ((3, 4, 5), Pictures.classes)
    images, labels = everything(pictures)
    wanted = {(x.astype(np.uint8) // 3).tobytes() for x in X}
    assert {image[2].tobytes() for image in images} == wanted
    assert np.bincount(labels).tolist() == [10] * 4


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "the data set is empty"),
        ([np.zeros((4, 4))], "item 0 is ndarray; expected an image and its class"),
        ([(np.zeros((4, 4)), "cat")], "item 0 is tuple; expected an image and its class"),
        ([(np.zeros((4, 4)), 0), (np.zeros((4, 5)), 0)], r"item 1 is \[4, 5\], item 0 is \[4, 4\]"),
        ([(np.full((4, 4), 7.5), 0)], r"float64 \[1, 4, 4\] from 7.5 to 7.5; they must be uint8"),
        ([(np.full((4, 4), math.nan), 0)], "from nan to nan; they must be uint8, or from 0 to 1"),
    ],
)
def test_a_data_set_that_is_none(items: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tasks.from_dataset(items, name="mine")  # type: ignore[arg-type]


def test_a_file_of_arrays(tmp_path: Path) -> None:
    names = np.array(["a", "b", "c", "d"])
    arrays = {"x_train": X / 255, "y_train": Y, "class_names": names}
    np.savez(tmp_path / "mine.npz", **arrays)
    task = tasks.load(tmp_path / "mine.npz")
    assert (task.shape, task.class_names) == ((1, 4, 5), tuple("abcd"))
    np.savez(tmp_path / "mine.npz", **arrays, x_test=X[:4] / 255, y_test=Y[:4])
    tested = tasks.load(tmp_path / "mine.npz")
    assert len(tested.split("test")[1]) == 4
    assert task.fingerprint != tested.fingerprint


def broken(path: Path) -> None:
    path.write_bytes(b"no archive")


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (broken, "is not a readable .npz file of arrays"),
        (lambda path: np.savez(path, x_train=X), "lacks y_train; it must have x_train and y_train"),
        (lambda path: np.savez(path, x_train=X, y_train=Y, y_test=Y), "lacks x_test"),
        (
            lambda path: np.savez(path, x_train=np.array([{}], object), y_train=Y),
            "is not a readable .npz file of arrays: Object arrays cannot be loaded",
        ),
    ],
)
def test_a_file_that_is_none(save: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    save(tmp_path / "mine.npz")
    with pytest.raises(ValueError, match=message):
        tasks.load(tmp_path / "mine.npz")
