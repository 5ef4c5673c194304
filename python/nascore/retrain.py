"""Train what a search found from scratch, keep it in a folder, and bring it back."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from nascore.files import write_whole
from nascore.networks import (
    Epoch,
    Execution,
    Network,
    Recipe,
    accuracy,
    build_net,
    exit_scores,
    fit,
    ranks,
    require_parts,
)
from nascore.networks.distillation import Taught
from nascore.networks.models import CARD, WEIGHTS, load_model, member, read_card
from nascore.results.tables import best_trials
from nascore.search import RunError, Store, folder
from nascore.spaces import AnySkeleton, Architecture
from nascore.tasks import Task
from nascore.trial import Trial

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Trained:
    """A trained network in the folder `path`; `fresh` unless it was finished there already."""

    val_accuracy: float
    params: int
    macs: int
    path: Path
    fresh: bool


@dataclass(frozen=True)
class Retrained(Trained):
    """One that was tested. An ensemble has `members`, which were not, and their sizes' sum."""

    test_accuracy: float
    members: tuple[Trained, ...] = ()


def choose(
    store: Store,
    number: int | None = None,
    ensemble: int | None = None,
    max_params: int | None = None,
    max_macs: int | None = None,
) -> list[Trial]:
    """The trial of this number, or else the best, or the best `ensemble` distinct ones.

    With `max_params` or `max_macs` the best are those of at most so many parameters or
    multiply-adds. Raises ValueError where there are none such.
    """
    trials = store.trials()
    given = {"params": max_params, "macs": max_macs}
    limits = {name: most for name, most in given.items() if most is not None}
    if number is not None:
        if limits:
            raise ValueError(f"trial={number} and max_{next(iter(limits))}: give one of the two")
        if ensemble is not None:
            raise ValueError(f"trial={number} and ensemble={ensemble}: give one of the two")
        for trial in trials:
            if trial.number == number:
                if not trial.evaluation.ok:
                    raise ValueError(f"trial={number} failed: {trial.evaluation.message}")
                return [trial]
        message = f"{store.name} has no such trial; see `nascore show --json`"
        raise ValueError(f"trial={number}: {message}")
    best = best_trials(trials, len(trials))
    if not best:
        raise ValueError(f"{store.name} has no trial that succeeded; see `nascore show`")
    for name, most in limits.items():
        sizes = [trial.metrics.get(name, math.inf) for trial in best]
        least = min(sizes)
        best = [trial for trial, size in zip(best, sizes, strict=True) if size <= most]
        if not best:
            raise ValueError(f"max_{name}={most}: the smallest trial left has {least:,.0f}")
    if ensemble is not None and not 2 <= ensemble <= len(best):
        message = f"{store.name} has {len(best)} distinct networks that succeeded"
        raise ValueError(f"ensemble={ensemble}: {message}; give 2 to as many")
    return best[: ensemble or 1]


def retrain(
    architecture: Architecture,
    task: Task,
    skeleton: AnySkeleton,
    recipe: Recipe,
    seed: int,
    out: str | Path,
    device: str | torch.device = "auto",
    on_epoch: Callable[[Epoch], None] | None = None,
    taught: Taught | None = None,
    execution: Execution | None = None,
) -> Retrained:
    """Trains on the train part, measures the test part once at the end, writes the folder `out`.

    With `taught` it learns from a teacher instead of from labels. A training that stopped goes on
    from its last epoch; a finished one is not repeated. Of a network with exits, `test_exits` of
    `model.json` has the multiply-adds and the test accuracy of each. Several processes train
    together as `fit` has it; the first tests and writes. Raises ValueError where `out` holds
    another training, or `recipe` trains what the network has not; RunError where the training
    failed.
    """
    out = Path(out)
    with _to_ourselves(out):
        plan = (task, skeleton, recipe, seed, out, device, on_epoch, taught, execution)
        card, fresh = _train(architecture, *plan)
        card = ranks.by_first(lambda: _tested(out, card, task, device))
    return Retrained(**_trained(card, out, fresh), test_accuracy=card["test_accuracy"])


def retrain_ensemble(
    architectures: Sequence[Architecture],
    task: Task,
    skeleton: AnySkeleton,
    recipe: Recipe,
    seed: int,
    out: str | Path,
    device: str | torch.device = "auto",
    on_epoch: Callable[[Epoch], None] | None = None,
    taught: Taught | None = None,
    execution: Execution | None = None,
) -> Retrained:
    """Trains each of `architectures` in a folder below `out`; the test part is for all together.

    Goes on and raises as `retrain` does, but in one process. `on_epoch` counts the epochs of all
    members.
    """
    if ranks.count() > 1:
        raise ValueError(
            f"ensemble: its members are trained one by one, not by {ranks.count()} processes; run "
            "it without torchrun"
        )
    out = Path(out)
    card = _card(architectures, task, skeleton, recipe, seed)
    members = []
    with _to_ourselves(out):
        kept = _kept(out, card)
        _write_card(out, card | kept)
        for i, architecture in enumerate(architectures):
            path = member(out, i)

            def count(epoch: Epoch, before: int = i * recipe.epochs) -> None:
                if on_epoch:
                    on_epoch(epoch._replace(done=before + epoch.done))

            with _to_ourselves(path):
                plan = (task, skeleton, recipe, seed, path, device, count, taught, execution)
                its_card, fresh = _train(architecture, *plan)
            members.append(Trained(**_trained(its_card, path, fresh)))
        if fresh := "test_accuracy" not in kept or any(member.fresh for member in members):
            valid = accuracy(load_model(out), task, "valid", device, recipe.batch)
            card["val_accuracy"] = valid.accuracy
            _tested(out, card, task, device)
        else:
            card = kept
    return Retrained(
        **_trained(card, out, fresh), test_accuracy=card["test_accuracy"], members=tuple(members)
    )


def _train(
    architecture: Architecture,
    task: Task,
    skeleton: AnySkeleton,
    recipe: Recipe,
    seed: int,
    out: Path,
    device: str | torch.device,
    on_epoch: Callable[[Epoch], None] | None,
    taught: Taught | None,
    execution: Execution | None,
) -> tuple[dict[str, Any], bool]:
    """The card of a folder that holds the trained network, and whether that took a training."""
    card = _card([architecture], task, skeleton, recipe, seed)
    if taught is not None:
        card["distillation"] = asdict(taught.distillation)
    card["architecture"] = architecture.to_json()
    kept = ranks.by_first(lambda: _kept(out, card))
    if ranks.by_first(lambda: "val_accuracy" in kept and (out / WEIGHTS).exists()):
        return kept, False
    net = skeleton.expand(architecture, task.shape, task.classes)
    network = build_net(net, seed, recipe.init)
    require_parts(network, recipe)
    ranks.by_first(lambda: _write_card(out, card))
    fitted = fit(
        network,
        task,
        recipe,
        seed,
        device,
        checkpoint=out / CHECKPOINT,
        on_epoch=on_epoch,
        loss=taught,
        execution=execution,
    )
    if fitted.valid is None:
        raise RunError(
            f"the training in {out} failed: {fitted.status}, {fitted.message}; "
            "try a smaller network, batch or learning rate in another folder"
        )
    card["val_accuracy"] = fitted.valid.accuracy
    card["epochs"] = fitted.epochs
    ranks.by_first(lambda: _write_model(out, card, network))
    return card, True


def _write_model(out: Path, card: Mapping[str, Any], network: Network) -> None:
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    write_whole(out / WEIGHTS, safetensors.torch.save(state))
    _write_card(out, card)
    (out / CHECKPOINT).unlink()


def _tested(
    out: Path, card: dict[str, Any], task: Task, device: str | torch.device
) -> dict[str, Any]:
    """The card with the test of the folder's model, which is done unless it was."""
    if "test_accuracy" not in card:
        model, batch = load_model(out), card["recipe"]["batch"]
        if isinstance(model, Network):
            *exits, score = exit_scores(model, task, "test", device, batch)
            if exits:  # multiply-adds and accuracy, the last classifier's too
                pairs = zip(model.exit_macs, (*exits, score), strict=True)
                card["test_exits"] = [[macs, each.accuracy] for macs, each in pairs]
        else:
            score = accuracy(model, task, "test", device, batch)
        card["test_accuracy"] = score.accuracy
        _write_card(out, card)
    return card


def _card(
    architectures: Sequence[Architecture],
    task: Task,
    skeleton: AnySkeleton,
    recipe: Recipe,
    seed: int,
) -> dict[str, Any]:
    nets = [skeleton.expand(a, task.shape, task.classes) for a in architectures]
    return {
        "nascore": version("nascore"),
        "architecture": [architecture.to_json() for architecture in architectures],
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
        "params": sum(net.params for net in nets),
        "macs": sum(net.macs for net in nets),
    }


def _trained(card: Mapping[str, Any], out: Path, fresh: bool) -> dict[str, Any]:
    figures = {name: card[name] for name in ("val_accuracy", "params", "macs")}
    return {**figures, "path": out, "fresh": fresh}


def _kept(out: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """What the folder has of this very training; ValueError where it has another."""
    if not (out / CARD).exists():
        return {}
    kept = read_card(out)
    ours = json.loads(json.dumps(card))  # tuples are lists there
    names = ("architecture", "skeleton", "task", "fingerprint", "recipe", "seed", "distillation")
    if other := [name for name in names if kept.get(name) != ours.get(name)]:
        raise ValueError(
            f"{out} holds a training with another {' and '.join(other)}; name another folder"
        )
    return kept


def _write_card(out: Path, card: Mapping[str, Any]) -> None:
    write_whole(out / CARD, json.dumps(card, indent=1).encode())


@contextlib.contextmanager
def _to_ourselves(out: Path) -> Iterator[None]:
    """Of several processes the first has the folder for all."""
    file = ranks.by_first(lambda: _locked(out))
    try:
        yield
    finally:
        if ranks.rank() == 0:
            os.close(file)


def _locked(out: Path) -> int:
    folder.make(out)
    return folder.lock(out)
