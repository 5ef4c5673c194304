"""How networks of cells are trained, kept and scored."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import evaluator_kit
import nascore
from cell_kit import RECIPE, SMALL_CELL, TINY
from nascore import tasks
from nascore.evaluators import TrainEvaluator
from nascore.networks import Epoch, Network, Recipe, fit
from nascore.networks.modules import DropPath
from nascore.retrain import load_model, retrain
from nascore.spaces import CellSpace, CellStack, Skeleton
from nascore.tasks import Augment, Task


@pytest.fixture(scope="module")
def digits() -> Task:
    return tasks.load("digits", limit_train=512)


def test_the_loss_is_that_of_both_heads_smoothed() -> None:
    architecture = CellSpace(2).architecture(f"{SMALL_CELL} / {SMALL_CELL}")
    stack = replace(TINY, auxiliary=True)
    recipe = replace(RECIPE, epochs=1, batch=1000, lr=1e-20, drop_path_keep=1.0)
    digits = tasks.load("digits", limit_train=512, augment=Augment(0, False, 0))
    network = nascore.build(architecture, digits, stack)
    images, labels = digits.split("train")
    mean, std = (torch.tensor(v).reshape(1, -1, 1, 1) for v in (digits.mean, digits.std))
    x, y = (torch.from_numpy(images) / 255 - mean) / std, torch.from_numpy(labels)
    expected = [F.cross_entropy(z, y, label_smoothing=0.1).item() for z in network.heads(x)]
    losses: list[float] = []
    network = nascore.build(architecture, digits, stack)
    fit(network, digits, recipe, 1, "cpu", on_epoch=lambda epoch: losses.append(epoch.loss))
    assert losses == pytest.approx([expected[0] + 0.4 * expected[1]], rel=1e-4)


def test_gradients_are_clipped(digits: Task) -> None:
    architecture = CellSpace(1).architecture("conv3(0)+id(1) / conv3(0)+id(1)")
    moved = {}
    for clip in (None, 1e-3):
        network = nascore.build(architecture, digits, TINY)
        before = [p.detach().clone() for p in network.parameters()]
        recipe = Recipe(1, 1000, "sgd", 1.0, 0.0, restarts=0, clip=clip)
        fit(network, digits, recipe, 1, "cpu")  # one step
        steps = [(p - q).flatten() for p, q in zip(network.parameters(), before, strict=True)]
        moved[clip] = torch.cat(steps).norm().item()
    assert moved[None] > 0.1
    assert moved[1e-3] == pytest.approx(1e-3, rel=0.01)


class StoppedError(Exception):
    """Stands for a kill between two epochs."""


def test_a_stopped_training_goes_on_exactly(digits: Task, tmp_path: Path) -> None:
    architecture = CellSpace(2).architecture(f"{SMALL_CELL} / {SMALL_CELL}")
    stack = replace(TINY, auxiliary=True)
    unbroken, broken = (nascore.build(architecture, digits, stack) for _ in range(2))
    fit(unbroken, digits, RECIPE, 5, "cpu")

    def stop(epoch: Epoch) -> None:
        if epoch.done == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        fit(broken, digits, RECIPE, 5, "cpu", checkpoint=tmp_path / "c.pt", on_epoch=stop)
    again = nascore.build(architecture, digits, stack, seed=9)
    fit(again, digits, RECIPE, 5, "cpu", checkpoint=tmp_path / "c.pt")
    ours, theirs = unbroken.state_dict(), again.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    keeps = {m.keep for m in again.modules() if isinstance(m, DropPath)}
    [keep] = keeps
    assert 0.6 < keep < 0.6 + 0.4 / 3  # in the last epoch of three


def test_train_evaluator_contract(digits: Task) -> None:
    stack = replace(TINY, auxiliary=True)
    evaluator = TrainEvaluator(digits, stack, replace(RECIPE, epochs=2), device="cpu")
    cells = [f"{SMALL_CELL} / {SMALL_CELL}", "id(0)+id(1) id(2)+id(0) / id(0)+id(1) id(2)+id(0)"]
    architectures = [CellSpace(2).architecture(text) for text in cells]
    first, still = evaluator_kit.check(evaluator, architectures)
    for evaluation in (first, still):
        assert evaluation.ok, evaluation.message
    assert first.metrics["density"] == pytest.approx(
        sum(graph.density() for graph in architectures[0].graphs) / 2
    )
    assert first.metrics["longest_path"] == 4


def test_a_recipe_that_asks_for_what_is_not_there_is_refused(digits: Task, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"auxiliary=0.4, but the network has no auxiliary head"):
        TrainEvaluator(digits, TINY, RECIPE)
    block = nascore.BlockSpace().architecture("[(1,1,3,0,0)]")
    with pytest.raises(ValueError, match=r"drop_path_keep=0.6, but the network has no paths"):
        retrain(block, digits, Skeleton.small(), replace(RECIPE, auxiliary=0.0), 1, tmp_path, "cpu")
    assert not (tmp_path / "model.json").exists()


def test_retrain_and_load(digits: Task, tmp_path: Path) -> None:
    architecture = CellSpace(2).architecture(f"{SMALL_CELL} / {SMALL_CELL}")
    stack = CellStack(1, 8, stem_width=8, reductions=1, auxiliary=True)
    recipe = replace(RECIPE, epochs=5, batch=32, lr=0.25, drop_path_keep=0.9)
    model = retrain(architecture, digits, stack, recipe, 3, tmp_path, "cpu")
    network = load_model(tmp_path)
    assert isinstance(network, Network)
    assert model.test_accuracy > 0.3
    card = json.loads((tmp_path / "model.json").read_text())
    assert CellStack(**card["skeleton"]) == stack
    assert nascore.Architecture.from_json(card["architecture"]) == architecture
