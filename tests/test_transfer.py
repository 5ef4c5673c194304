"""Weights from one network to the next: what is copied, and what it saves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nascore import tasks
from nascore.evaluators import TrainEvaluator
from nascore.networks import Network, Recipe, build_net, fit
from nascore.networks.weights import copy_weights, save_weights
from nascore.search import RunError
from nascore.spaces import Architecture, BlockSpace, Skeleton
from nascore.tasks import Task
from nascore.trial import Job

SPACE = BlockSpace()
SKELETON = Skeleton(8, 1, False, 1, (8, 16))
PARENT = SPACE.architecture("[(1,1,3,0,0),(2,1,5,1,0)]")
CHILDREN = [
    SPACE.architecture(f"[(1,1,3,0,0),(2,1,5,1,0),{more}]")
    for more in ("(3,1,3,2,0)", "(3,5,0,1,2)", "(3,1,1,1,0)", "(3,2,3,1,0),(4,5,0,2,3)")
]
RECIPE = Recipe(5, 32, "adam", 1e-2)


@pytest.fixture(scope="module")
def digits() -> Task:
    return tasks.load("digits", limit_train=640)


def network(block: Architecture, seed: int = 0) -> Network:
    return build_net(SKELETON.expand(block, (1, 8, 8), 10), seed)


@pytest.fixture(scope="module")
def parent(digits: Task, tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Path]:
    """The trained network of a block, and its weights."""
    path = tmp_path_factory.mktemp("weights") / "parent.safetensors"
    trained = network(PARENT)
    assert fit(trained, digits, RECIPE, seed=0, device="cpu").status == "ok"
    save_weights(trained, path)
    return trained.eval(), path


def row_outputs(net: Network, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """By the name of each row's module, what it computes."""
    found: dict[str, torch.Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _, __, y, name=name: found.update({name: y}))
        for name, module in net.named_children()
    ]
    with torch.inference_mode():
        net.eval()(images)
    for hook in hooks:
        hook.remove()
    return found


def shared_prefix(child: Network, parent: Network) -> list[tuple[str, str]]:
    """Rows that have a name in common, and so has all that feeds them, wired alike."""
    theirs = {parent.signatures[call.name]: call for call in parent.plan}
    rows = {0: 0}
    prefix = []
    for call in child.plan:
        other = theirs.get(child.signatures[call.name])
        if other is None or not rows.keys() >= set(call.inputs):
            continue
        if sorted(rows[j] for j in call.inputs) == sorted(other.inputs):
            rows[call.row] = other.row
            prefix.append((call.name, other.name))
    return prefix


@pytest.mark.parametrize("block", CHILDREN)
def test_3f8_a_child_computes_the_same_on_the_shared_prefix(
    block: Architecture, parent: tuple[Network, Path], digits: Task
) -> None:
    _, path = parent
    trained, child = network(PARENT), network(block, seed=1)
    copy_weights(path, trained)  # in the same memory format as the child
    images = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    before = row_outputs(child, images)
    assert copy_weights(path, child) > 0
    after, theirs = row_outputs(child, images), row_outputs(trained, images)
    prefix = shared_prefix(child, trained)
    kinds = [module.partition("_")[2].partition("_")[2] for module, _ in prefix]
    assert kinds[:3] == ["stem", "conv", "conv"]
    for module, other in prefix:
        assert torch.equal(after[module], theirs[other])
        assert not torch.equal(before[module], theirs[other])
    own = set(after) - {module for module, _ in prefix}
    assert {"linear"} <= {
        module.rpartition("_")[2] for module in own
    }  # its inputs are not the same


def test_a_network_gets_back_all_of_its_own_weights(parent: tuple[Network, Path]) -> None:
    trained, path = parent
    again = network(PARENT, seed=5)
    assert copy_weights(path, again) == 1
    for name, value in trained.state_dict().items():
        assert torch.equal(again.state_dict()[name], value.cpu())


def test_what_is_not_shared_is_drawn_as_usual(parent: tuple[Network, Path]) -> None:
    _, path = parent
    drawn, child = network(CHILDREN[0], seed=3), network(CHILDREN[0], seed=3)
    copied = copy_weights(path, child)
    given = network(PARENT).signatures.values()
    same = kept = 0
    for name, value in child.named_parameters():
        if child.signatures[name.partition(".")[0]] in given:
            kept += value.numel()
        else:
            assert torch.equal(value, drawn.get_parameter(name))
            same += value.numel()
    assert copied == kept / (kept + same)
    assert 0 < same < kept


def test_3f8_a_child_needs_fewer_epochs_to_the_same_accuracy(
    parent: tuple[Network, Path], digits: Task
) -> None:
    """Over four seeds, at most two thirds of the epochs to 75 %; one not there after 5 counts 6."""
    _, path = parent
    needed: dict[bool, list[int]] = {False: [], True: []}
    for seed in range(1, 5):
        for inherits in needed:
            child = network(CHILDREN[0], seed)
            if inherits:
                copy_weights(path, child)
            reached = [6]

            def look(epoch: Any, reached: list[int] = reached) -> None:
                if epoch.valid.accuracy >= 0.75:
                    reached.append(epoch.done)

            fit(child, digits, RECIPE, seed, "cpu", on_epoch=look)
            needed[inherits].append(min(reached))
    assert np.mean(needed[True]) <= np.mean(needed[False]) * 2 / 3, needed


def evaluator(digits: Task, **changes: Any) -> TrainEvaluator:
    settings = {"recipe": replace(RECIPE, epochs=4), "device": "cpu", "warm_epochs": 0.25}
    return TrainEvaluator(digits, SKELETON, **{**settings, **changes})


def test_epochs_are_saved_in_proportion_to_what_is_inherited(digits: Task, tmp_path: Path) -> None:
    train = evaluator(digits)
    [first] = train.evaluate([Job(0, PARENT, 1, weights=tmp_path)])
    assert (first.metrics["epochs"], "inherited" in first.metrics) == (4, False)
    start = {"init_from": first.weights, "weights": tmp_path}
    same, child = train.evaluate([Job(1, b, 2, **start) for b in (PARENT, CHILDREN[2])])
    assert (same.metrics["epochs"], same.metrics["inherited"]) == (1, 1.0)
    share = child.metrics["inherited"]
    assert 0 < share < 1
    assert child.metrics["epochs"] == round(4 - 3 * share) > 1
    assert same.metrics["val_accuracy"] > 0.5


def test_without_a_folder_nothing_is_written(digits: Task, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    [evaluation] = evaluator(digits).evaluate([Job(0, PARENT, 1)])
    assert evaluation.ok
    assert evaluation.weights is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"torn")])
def test_weights_that_cannot_be_read_end_the_run(
    damage: Callable[[Path], Any], digits: Task, tmp_path: Path
) -> None:
    train = evaluator(digits)
    [first] = train.evaluate([Job(0, PARENT, 1, weights=tmp_path)])
    damage(tmp_path / first.weights)
    with pytest.raises(RunError, match=rf"the weights .*{first.weights} cannot be read"):
        train.evaluate([Job(1, PARENT, 2, init_from=first.weights, weights=tmp_path)])


def test_the_key_names_the_saving(digits: Task) -> None:
    keys = {evaluator(digits, warm_epochs=share).key(PARENT) for share in (0.25, 0.5)}
    assert len(keys) == 2
    for share in (0.0, 1.5):
        with pytest.raises(ValueError, match=f"warm_epochs={share}"):
            evaluator(digits, warm_epochs=share)
