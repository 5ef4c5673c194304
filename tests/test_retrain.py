"""From an architecture to a model folder and back."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nascore import tasks
from nascore.networks import Ensemble, Epoch, Recipe, accuracy
from nascore.retrain import Retrained, load_model, retrain, retrain_ensemble
from nascore.search import RunError, folder
from nascore.spaces import BlockSpace, Skeleton
from nascore.tasks import Task

BLOCK = BlockSpace().architecture("[(1,1,3,0,0),(2,1,3,1,0),(3,5,0,0,2)]")
TINY = Skeleton(stem_width=6, blocks=1, widths=(8, 12))
RECIPE = Recipe(2, 64, "adam", 2**-6)


class KilledError(Exception):
    """Stands for a kill between two epochs."""


@pytest.fixture(scope="module")
def digits() -> Task:
    return tasks.load("digits")


@pytest.fixture(scope="module")
def model(digits: Task, tmp_path_factory: pytest.TempPathFactory) -> Retrained:
    out = tmp_path_factory.mktemp("retrain") / "new" / "model"
    return retrain(BLOCK, digits, TINY, RECIPE, 3, out, "cpu")


def test_the_folder_brings_the_model_back(model: Retrained, digits: Task) -> None:
    network = load_model(model.path)
    assert not network.training
    assert accuracy(network, digits, "test", "cpu").accuracy == model.test_accuracy
    assert accuracy(network, digits, "valid", "cpu").accuracy == model.val_accuracy
    assert model.fresh
    assert model.test_accuracy > 0.5
    assert sum(p.numel() for p in network.parameters()) == model.params
    files = {file.name for file in model.path.iterdir()}
    assert files == {"model.json", "model.safetensors", "lock"}


def test_the_card_says_what_the_model_is(model: Retrained, digits: Task) -> None:
    card = json.loads((model.path / "model.json").read_text())
    assert card["architecture"] == BLOCK.to_json()
    assert Skeleton(**card["skeleton"]) == TINY
    assert (tuple(card["shape"]), card["classes"]) == (digits.shape, 10)
    assert tuple(card["class_names"]) == digits.class_names
    assert (tuple(card["mean"]), tuple(card["std"])) == (digits.mean, digits.std)
    assert (card["task"], card["fingerprint"]) == ("digits", digits.fingerprint)
    assert (card["test_accuracy"], card["macs"]) == (model.test_accuracy, model.macs)


def test_a_finished_folder_is_not_trained_again(
    model: Retrained, digits: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nascore.retrain.fit", None)
    again = retrain(BLOCK, digits, TINY, RECIPE, 3, model.path, "cpu")
    assert again == replace(model, fresh=False)


def test_lost_weights_are_trained_again(model: Retrained, digits: Task, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes((model.path / "model.json").read_bytes())
    again = retrain(BLOCK, digits, TINY, RECIPE, 3, tmp_path, "cpu")
    assert again == replace(model, path=tmp_path)
    load_model(tmp_path)


def test_a_killed_training_goes_on_exactly(model: Retrained, digits: Task, tmp_path: Path) -> None:
    def kill(epoch: Epoch) -> None:
        if epoch.done == 2:
            raise KilledError

    with pytest.raises(KilledError):
        retrain(BLOCK, digits, TINY, RECIPE, 3, tmp_path, "cpu", kill)
    with pytest.raises(ValueError, match="its training is not finished; run it again"):
        load_model(tmp_path)
    epochs: list[int] = []
    resumed = retrain(
        BLOCK, digits, TINY, RECIPE, 3, tmp_path, "cpu", lambda epoch: epochs.append(epoch.done)
    )
    assert epochs == [2]
    assert resumed == replace(model, path=tmp_path)
    ours, theirs = load_model(tmp_path).state_dict(), load_model(model.path).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_folder_with_another_training_is_refused(model: Retrained, digits: Task) -> None:
    other = BlockSpace().architecture("[(1,1,5,0,0)]")
    longer = replace(RECIPE, epochs=3)
    with pytest.raises(ValueError, match=r"model holds a training with another architecture; name"):
        retrain(other, digits, TINY, RECIPE, 3, model.path, "cpu")
    with pytest.raises(ValueError, match="another recipe and seed"):
        retrain(BLOCK, digits, TINY, longer, 4, model.path, "cpu")
    fewer = tasks.load("digits", limit_train=100)
    with pytest.raises(ValueError, match="another fingerprint"):
        retrain(BLOCK, fewer, TINY, RECIPE, 3, model.path, "cpu")


def test_a_folder_in_use_is_refused(digits: Task, tmp_path: Path) -> None:
    file = folder.lock(tmp_path)
    with pytest.raises(RunError, match="is being written by process"):
        retrain(BLOCK, digits, TINY, RECIPE, 3, tmp_path, "cpu")
    os.close(file)


def test_a_training_that_fails_says_so(digits: Task, tmp_path: Path) -> None:
    recipe = replace(RECIPE, lr=1e30, restarts=0)
    with pytest.raises(RunError, match=r"failed: not finite, .* in epoch 1; try a smaller network"):
        retrain(BLOCK, digits, TINY, recipe, 3, tmp_path, "cpu")


def test_a_model_meets_data_with_more_classes(model: Retrained) -> None:
    images = torch.randint(0, 256, (60, 8, 8), dtype=torch.uint8).numpy()
    task = tasks.from_arrays(images, torch.arange(60).numpy() % 12, name="twelve")
    message = "the network has 10 outputs, twelve has 12 classes: build and train one"
    with pytest.raises(ValueError, match=message):
        accuracy(load_model(model.path), task, "test", "cpu")


WIDE = BlockSpace().architecture("[(1,1,5,0,0),(2,5,0,0,1)]")


@pytest.fixture(scope="module")
def ensemble(digits: Task, tmp_path_factory: pytest.TempPathFactory) -> Retrained:
    out = tmp_path_factory.mktemp("retrain") / "ensemble"
    return retrain_ensemble([BLOCK, WIDE], digits, TINY, RECIPE, 3, out, "cpu")


def test_an_ensemble_is_the_mean_of_its_members(
    ensemble: Retrained, model: Retrained, digits: Task
) -> None:
    whole = load_model(ensemble.path)
    assert isinstance(whole, Ensemble)
    assert not any(module.training for module in whole.modules())
    first, second = (load_model(member.path) for member in ensemble.members)
    theirs = load_model(model.path).state_dict()  # a member is what it would be alone
    assert all(torch.equal(value, theirs[name]) for name, value in first.state_dict().items())
    images = torch.randn(20, 1, 8, 8)
    mean = (first(images).softmax(1) + second(images).softmax(1)) / 2
    torch.testing.assert_close(whole(images).exp(), mean)
    for part, measured in (("test", ensemble.test_accuracy), ("valid", ensemble.val_accuracy)):
        assert accuracy(whole, digits, part, "cpu").accuracy == measured
    for member, network in zip(ensemble.members, (first, second), strict=True):
        assert accuracy(network, digits, "valid", "cpu").accuracy == member.val_accuracy
    assert ensemble.params == sum(member.params for member in ensemble.members)
    assert ensemble.macs == sum(member.macs for member in ensemble.members)


def test_only_the_ensemble_is_tested(ensemble: Retrained) -> None:
    cards = [
        json.loads((path / "model.json").read_text())
        for path in (ensemble.path, *(member.path for member in ensemble.members))
    ]
    assert [card.get("test_accuracy") for card in cards] == [ensemble.test_accuracy, None, None]
    assert cards[0]["architecture"] == [BLOCK.to_json(), WIDE.to_json()]


def test_a_finished_ensemble_is_not_trained_or_tested_again(
    ensemble: Retrained, digits: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nascore.retrain.fit", None)
    monkeypatch.setattr("nascore.retrain.accuracy", None)
    again = retrain_ensemble([BLOCK, WIDE], digits, TINY, RECIPE, 3, ensemble.path, "cpu")
    members = tuple(replace(member, fresh=False) for member in ensemble.members)
    assert again == replace(ensemble, fresh=False, members=members)


def test_a_killed_ensemble_goes_on_exactly(
    ensemble: Retrained, digits: Task, tmp_path: Path
) -> None:
    epochs: list[int] = []

    def kill(epoch: Epoch) -> None:
        epochs.append(epoch.done)
        if epoch.done == 4:  # the last of the second member
            raise KilledError

    arguments = ([BLOCK, WIDE], digits, TINY, RECIPE, 3, tmp_path, "cpu")
    with pytest.raises(KilledError):
        retrain_ensemble(*arguments, kill)
    with pytest.raises(ValueError, match=r"member-2 has no .* its training is not finished"):
        load_model(tmp_path)
    resumed = retrain_ensemble(*arguments, lambda epoch: epochs.append(epoch.done))
    assert epochs == [1, 2, 3, 4, 4]
    assert [member.fresh for member in resumed.members] == [False, True]
    assert (resumed.val_accuracy, resumed.test_accuracy) == (
        ensemble.val_accuracy,
        ensemble.test_accuracy,
    )
    ours, theirs = load_model(tmp_path).state_dict(), load_model(ensemble.path).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_folder_is_of_one_model_or_of_one_ensemble(
    ensemble: Retrained, model: Retrained, digits: Task
) -> None:
    with pytest.raises(ValueError, match=r"model holds a training with another architecture; name"):
        retrain_ensemble([BLOCK, WIDE], digits, TINY, RECIPE, 3, model.path, "cpu")
    with pytest.raises(ValueError, match="another architecture"):
        retrain(BLOCK, digits, TINY, RECIPE, 3, ensemble.path, "cpu")
    with pytest.raises(ValueError, match="another architecture"):
        retrain_ensemble([WIDE, BLOCK], digits, TINY, RECIPE, 3, ensemble.path, "cpu")


def test_a_damaged_ensemble_is_refused(ensemble: Retrained, tmp_path: Path) -> None:
    copy = shutil.copytree(ensemble.path, tmp_path / "copy")
    load_model(copy)
    torn_weights(copy / "member-1")
    with pytest.raises(ValueError, match="member-1 is corrupt, or not a model of nascore"):
        load_model(copy)
    shutil.rmtree(copy / "member-1")
    with pytest.raises(ValueError, match="member-1 is not the folder of a model"):
        load_model(copy)


def torn_weights(path: Path) -> None:
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def torn_card(path: Path) -> None:
    card = path / "model.json"
    card.write_text(card.read_text()[:-100])


def foreign_card(path: Path) -> None:
    (path / "model.json").write_text('{"name": "something else"}')


def other_skeleton(path: Path) -> None:
    card = json.loads((path / "model.json").read_text())
    card["skeleton"]["widths"] = [8, 16]
    (path / "model.json").write_text(json.dumps(card))


def missing_key(path: Path) -> None:
    card = json.loads((path / "model.json").read_text())
    del card["shape"]
    (path / "model.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "model.json").unlink(), "is not the folder of a model"),
        (lambda path: (path / "model.safetensors").unlink(), "its training is not finished"),
        (torn_card, r"model.json is corrupt"),
        (foreign_card, r"model.json was not written by nascore"),
        (torn_weights, "is corrupt, or not a model of nascore"),
        (other_skeleton, "is corrupt, or not a model of nascore"),
        (missing_key, "is corrupt, or not a model of nascore: 'shape'"),
    ],
)
def test_a_damaged_folder_is_refused(
    model: Retrained, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    for name in ("model.json", "model.safetensors"):
        (tmp_path / name).write_bytes((model.path / name).read_bytes())
    load_model(tmp_path)
    damage(tmp_path)
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path)
