"""Train the winner of a search from scratch, keep it in a folder, and bring it back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from nascore.networks import Epoch, Network, Recipe, accuracy, build_net, fit
from nascore.search import RunError
from nascore.spaces import Architecture, Skeleton
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
    skeleton: Skeleton,
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
    setting = {
        "architecture": architecture.to_json(),
        "skeleton": asdict(skeleton),
        "task": task.name,
        "fingerprint": task.fingerprint,
        "recipe": asdict(recipe),
        "seed": seed,
    }
    setting = json.loads(json.dumps(setting))  # tuples to lists, as the file gives them back
    if (out / CARD).exists():
        card = _read_card(out)
        if other := [name for name, value in setting.items() if card.get(name) != value]:
            raise ValueError(
                f"{out} holds a training with another {' and '.join(other)}; name another folder"
            )
        if card.get("test_accuracy") is not None:
            return _retrained(card, out, fresh=False)

    net = skeleton.expand(architecture, task.shape, task.classes)
    card = {
        "nascore": version("nascore"),
        **setting,
        "shape": task.shape,
        "classes": task.classes,
        "class_names": task.class_names,
        "mean": task.mean,
        "std": task.std,
        "params": net.params,
        "macs": net.macs,
    }
    out.mkdir(parents=True, exist_ok=True)
    _write(out / CARD, json.dumps(card, indent=1).encode())
    network = build_net(net, seed)
    fitted = fit(
        network, task, recipe, seed, device, checkpoint=out / CHECKPOINT, on_epoch=on_epoch
    )
    if fitted.valid is None:
        raise RunError(
            f"the training in {out} failed: {fitted.status}, {fitted.message}; "
            "try a smaller network, batch or learning rate"
        )
    card["val_accuracy"] = fitted.valid.accuracy
    card["test_accuracy"] = accuracy(network, task, "test", device, recipe.batch).accuracy
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    _write(out / WEIGHTS, safetensors.torch.save(state))
    _write(out / CARD, json.dumps(card, indent=1).encode())
    (out / CHECKPOINT).unlink(missing_ok=True)
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
        skeleton = Skeleton(**card["skeleton"])
        network = build_net(skeleton.expand(architecture, tuple(card["shape"]), card["classes"]))
        network.load_state_dict(safetensors.torch.load_file(path / WEIGHTS))
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{path} is corrupt, or not a model of nascore: {error}") from error
    return network.eval()


def _read_card(folder: Path) -> dict[str, Any]:
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{folder} is not a model folder: cannot read {CARD}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{folder / CARD} is corrupt: {error}") from error
    if not isinstance(card, dict) or "nascore" not in card:
        raise ValueError(f"{folder / CARD} was not written by nascore")
    return card


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing, whenever the process dies."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    os.replace(partial, path)


def _retrained(card: Mapping[str, Any], out: Path, *, fresh: bool) -> Retrained:
    accuracies = (card["test_accuracy"], card["val_accuracy"])
    return Retrained(*accuracies, card["params"], card["macs"], out, fresh)
