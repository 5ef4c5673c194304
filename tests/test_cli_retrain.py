"""The command `nascore retrain`, as a person or a program uses it."""

from __future__ import annotations

import errno
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import method_kit
import nascore as package
from cli_kit import nascore, searching, shown
from nascore import tasks
from nascore.networks import Epoch, fit
from task_kit import paint


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete search; tests add models to it."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    done = nascore(*searching(folder, "--trials", 8))
    assert (done.status, done.err) == (0, "")
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> Path:
    """The best of that search, trained."""
    done = nascore("retrain", run)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("epoch 1/1, loss ")
    return run / "model"


def test_retrain(run: Path, model: Path) -> None:
    card = json.loads((model / "model.json").read_text())
    assert card["architecture"] == shown(run)["best"]["architecture"]
    assert (card["skeleton"]["widths"], card["recipe"]["epochs"]) == ([8, 8], 1)
    again = nascore("retrain", run)
    assert again.status == 0
    lines = again.out.splitlines()
    assert lines[0].startswith(
        f"Already trained: {card['params']:,} parameters, {card['macs']:,} multiply-adds, "
    )
    assert lines[1] == f"Test accuracy {card['test_accuracy']:.4f} on digits"
    assert lines[2] == f"The model is in {model}; in Python: nascore.load_model('{model}')"
    network = package.load_model(model)
    assert sum(parameter.numel() for parameter in network.parameters()) == card["params"]


def test_retrain_another_trial_and_longer(run: Path, tmp_path: Path) -> None:
    trials = shown(run)["trials"]
    chosen = next(t for t in trials if t["status"] == "ok" and t != shown(run)["best"])
    out = tmp_path / "model"
    arguments = ("--trial", chosen["number"], "--epochs", 2, "--limit-train", 100, "--out", out)
    done = nascore("retrain", run, *arguments)
    assert done.status == 0
    assert "\nTrained: " in done.out
    card = json.loads((out / "model.json").read_text())
    assert card["architecture"] == chosen["architecture"]
    assert card["recipe"]["epochs"] == 2
    assert card["fingerprint"] == tasks.load("digits", limit_train=100).fingerprint


def test_retrain_bigger_and_on_other_data(run: Path, tmp_path: Path) -> None:
    images = tmp_path / "signs"
    paint(images, {"go": 12, "stop": 12, "yield": 12}, 13, 12, 3)
    done = nascore("retrain", run, "--task", images, "--blocks", 2, "--width", 12)
    assert (done.status, done.err) == (0, "")
    out = run / "model-signs"
    card = json.loads((out / "model.json").read_text())
    assert (card["shape"], card["class_names"]) == ([3, 13, 12], ["go", "stop", "yield"])
    assert card["skeleton"]["blocks"] == 2
    assert (card["skeleton"]["stem_width"], card["skeleton"]["widths"]) == (12, [12, 12])
    assert package.load_model(out).training is False


def test_retrain_on_larger_images_behind_a_stem_for_them(run: Path) -> None:
    done = nascore("retrain", run, "--image-size", 17, "--imagenet-stem", "--limit-train", 100)
    assert (done.status, done.err) == (0, "")
    card = json.loads((run / "model-17px" / "model.json").read_text())
    assert card["shape"] == [1, 17, 17]
    assert (card["skeleton"]["stem_stride"], card["skeleton"]["stem_pool"]) == (2, True)
    with_stem = package.load_model(run / "model-17px")
    assert with_stem(torch.zeros(2, 1, 17, 17)).shape == (2, 10)


def test_a_network_without_a_stem(tmp_path: Path) -> None:
    settings = [part for s in method_kit.TINY["layer"] for part in ("--set", s)]
    search = ("search", "metaqnn", "--task", "digits", "--trials", 1, "--limit-train", 100)
    done = nascore(*search, "--out", tmp_path / "run", "--set", "batch=1", *settings)
    assert done.status == 0, done.err
    done = nascore("retrain", tmp_path / "run", "--imagenet-stem")
    assert done.status == 2
    assert "--imagenet-stem: only blocks and cells stand behind a stem of their own" in done.err


def test_settings_of_the_recipe(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    chosen = ("--set", "cutout=2", "--set", "ema=0.9", "--set", "lr=0.02", "--patience", 1)
    done = nascore("retrain", run, "--epochs", 9, "--out", out, "--limit-train", 100, *chosen)
    assert (done.status, done.err) == (0, "")
    card = json.loads((out / "model.json").read_text())
    recipe = card["recipe"]
    found = [recipe[name] for name in ("epochs", "cutout", "ema", "lr", "patience")]
    assert found == [9, 2, 0.9, 0.02, 1]
    assert 1 <= card["epochs"] <= 9
    for text, message in (
        ("cutuot=2", "unknown key 'cutuot'; did you mean 'cutout'"),
        ("ema=2.0", r"ema=2.0 must be in [0, 1)"),
    ):
        done = nascore("retrain", run, "--set", text, "--out", tmp_path / "other")
        assert done.status == 2
        assert message in done.err


def test_curves_for_tensorboard(run: Path, tmp_path: Path) -> None:
    logs, command = tmp_path / "logs", ("retrain", run, "--limit-train", 100, "--out")
    how = ("--epochs", 3, "--tensorboard", logs)
    done = nascore(*command, tmp_path / "model", *how, "--amp")
    assert (done.status, done.err) == (0, "")
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    events = EventAccumulator(str(logs)).Reload()
    names = {"loss/train", "loss/valid", "accuracy/train", "accuracy/valid", "learning rate"}
    assert set(events.Tags()["scalars"]) == {*names, "images per second"}
    for name in (*names, "images per second"):
        assert [event.step for event in events.Scalars(name)] == [1, 2, 3]
    last = [event.value for event in events.Scalars("accuracy/valid")][-1]
    assert last == pytest.approx(card["val_accuracy"])


def test_curves_without_tensorboard(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    done = nascore("retrain", run, "--tensorboard", tmp_path, "--out", tmp_path / "model")
    assert done.status == 2
    assert "--tensorboard needs tensorboard: pip install 'nascore[tensorboard]'" in done.err


def test_retrain_an_ensemble(run: Path) -> None:
    done = nascore("retrain", run, "--ensemble", 3)
    assert (done.status, done.err) == (0, "")
    out = run / "ensemble-3"
    trials = {t["number"]: t["architecture"] for t in shown(run)["trials"]}
    members = re.findall(r"^member-(\d): trial (\d+), .* validation accuracy (.*)$", done.out, re.M)
    assert [place for place, *_ in members] == ["1", "2", "3"]
    best = [int(line.split()[0]) for line in nascore("show", run).out.splitlines()[2:5]]
    assert [int(number) for _, number, _ in members] == best
    for place, number, accuracy in members:
        card = json.loads((out / f"member-{place}" / "model.json").read_text())
        assert card["architecture"] == trials[int(number)]
        assert f"{card['val_accuracy']:.4f}" == accuracy
    card = json.loads((out / "model.json").read_text())
    assert f"\nTest accuracy {card['test_accuracy']:.4f} on digits\n" in done.out
    assert package.load_model(out)(torch.zeros(2, 1, 8, 8)).exp().sum().item() == pytest.approx(2)
    again = nascore("retrain", run, "--ensemble", 3)
    assert "Already trained: " in again.out
    assert "epoch" not in again.out


def test_a_model_folder_of_another_training_is_refused(
    run: Path, model: Path, tmp_path: Path
) -> None:
    paint(tmp_path / "two", {"a": 9, "b": 9}, 8, 8)
    before = (model / "model.json").read_bytes()
    done = nascore("retrain", run, "--task", tmp_path / "two", "--out", model)
    assert done.status == 2
    assert "holds a training with another task and fingerprint; name another folder" in done.err
    assert (model / "model.json").read_bytes() == before


def test_a_retraining_that_is_stopped_goes_on(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, on_epoch: object, **settings: object) -> object:
        def stop(epoch: Epoch) -> None:
            if epoch.done == 2:
                raise KeyboardInterrupt

        return fit(*arguments, on_epoch=stop, **settings)

    command = ("retrain", run, "--epochs", 2, "--out", tmp_path / "model")
    with monkeypatch.context() as patch:
        patch.setattr("nascore.retrain.fit", interrupted)
        done = nascore(*command)
    assert done.status == 130
    assert "Stopped; the same command goes on from the last whole epoch." in done.out
    done = nascore(*command)
    assert done.status == 0
    assert "epoch 1/2" not in done.out
    assert "epoch 2/2" in done.out


def test_a_full_disk_is_one_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("nascore.retrain.write_whole", full)
    done = nascore("retrain", run, "--out", tmp_path / "model")
    assert done.status == 2
    assert re.fullmatch(r"error: .*No space left on device: '.*model.json'\n", done.err)
