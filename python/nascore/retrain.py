"""Train the winner of a search from scratch, keep it in a folder, and bring it back."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from nascore.files import write_whole
from nascore.networks import Epoch, Network, Recipe, accuracy, build_net, fit
from nascore.search import RunError, folder
from nascore.spaces import SKELETONS, Architecture, Chain, Skeleton, SkipNet
from nascore.tasks import Task

CARD, WEIGHTS, CHECKPOINT = "model.json", "model.safetensors", "checkpoint.pt"


@dataclass(frozen=True)
class Retrained:
    """A trained network in the folder `path`; `fresh` unless it was finished there already."""

    test_accuracy: float
    val_accuracy: float
    params: int
    macs: int
    path: Path
    fresh: bool


def retrain(
    architecture: Architecture,
    task: Task,
    skeleton: Skeleton | Chain | SkipNet,
    recipe: Recipe,
    seed: int,
    out: str | Path,
    device: str | torch.device = "auto",
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Retrained:
    """Trains on the train part, measures the test part once at the end, writes the folder `out`.

    A training that stopped goes on from its last epoch; a finished one is not repeated. Raises
    ValueError where `out` holds another training, RunError where the training failed.
    """
    out = Path(out)
    net = skeleton.expand(architecture, task.shape, task.classes)
    card = {
        "nascore": version("nascore"),
        "architecture": architecture.to_json(),
        "skeleton": asdict(skeleton),
        "task": task.name,
        "fingerprint": task.fingerprint,
        "recipe": asdict(recipe),
        "seed": seed,
        "shape": task.shape,
        "classes": task.classes,
        "class_names": task.class_names,
        "mean": task.mean,
        "std": task.std,
        "params": net.params,
        "macs": net.macs,
    }
    with _to_ourselves(out):
        kept = _kept(out, card)
        if "test_accuracy" in kept and (out / WEIGHTS).exists():
            return _retrained(kept, out, fresh=False)
        _write_card(out, card)
        network = build_net(net, seed, recipe.init)
        fitted = fit(
            network, task, recipe, seed, device, checkpoint=out / CHECKPOINT, on_epoch=on_epoch
        )
        if fitted.valid is None:
            raise RunError(
                f"the training in {out} failed: {fitted.status}, {fitted.message}; "
                "try a smaller network, batch or learning rate in another folder"
            )
        card["val_accuracy"] = fitted.valid.accuracy
        card["test_accuracy"] = accuracy(network, task, "test", device, recipe.batch).accuracy
        state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
        write_whole(out / WEIGHTS, safetensors.torch.save(state))
        _write_card(out, card)
        (out / CHECKPOINT).unlink()
    return _retrained(card, out, fresh=True)


def load_model(path: str | Path) -> Network:
    """The network that `retrain` left in the folder `path`, on the CPU, in evaluation mode.

    Its images are to be normalised by the mean and std of `model.json`. Raises ValueError for a
    folder that is not a finished, intact model.
    """
    path = Path(path)
    card = _read_card(path)
    if not (path / WEIGHTS).exists():
        raise ValueError(f"{path} has no {WEIGHTS}: its training is not finished; run it again")
    try:
        architecture = Architecture.from_json(card["architecture"])
        skeleton = SKELETONS[architecture.space](**card["skeleton"])
        network = build_net(skeleton.expand(architecture, tuple(card["shape"]), card["classes"]))
        network.load_state_dict(safetensors.torch.load_file(path / WEIGHTS))
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{path} is corrupt, or not a model of nascore: {error}") from error
    return network.eval()


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads((path / CARD).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} is not the folder of a model: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path / CARD} is corrupt: {error}") from error
    if not isinstance(card, dict) or "nascore" not in card:
        raise ValueError(f"{path / CARD} was not written by nascore")
    return card


def _kept(out: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """What the folder has of this very training; ValueError where it has another."""
    if not (out / CARD).exists():
        return {}
    kept = _read_card(out)
    ours = json.loads(json.dumps(card))  # tuples are lists there
    names = ("architecture", "skeleton", "task", "fingerprint", "recipe", "seed")
    if other := [name for name in names if kept.get(name) != ours[name]]:
        raise ValueError(
            f"{out} holds a training with another {' and '.join(other)}; name another folder"
        )
    return kept


def _write_card(out: Path, card: Mapping[str, Any]) -> None:
    write_whole(out / CARD, json.dumps(card, indent=1).encode())


@contextlib.contextmanager
def _to_ourselves(out: Path) -> Iterator[None]:
    folder.make(out)
    file = folder.lock(out)
    try:
        yield
    finally:
        os.close(file)


def _retrained(card: Mapping[str, Any], out: Path, *, fresh: bool) -> Retrained:
    accuracies = (card["test_accuracy"], card["val_accuracy"])
    return Retrained(*accuracies, card["params"], card["macs"], out, fresh)
