"""Scores by short training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from nascore._core import Net
from nascore.evaluators.costs import known
from nascore.networks import Network, Recipe, area, build_net, exit_scores, fit, require_parts
from nascore.networks.scoring import find_device
from nascore.networks.steps import Loss
from nascore.networks.weights import copy_weights, save_weights
from nascore.search.folder import RunError, unwritable
from nascore.spaces import AnySkeleton, Architecture
from nascore.tasks import Task
from nascore.trial import Evaluation, Fidelity, Job, Limits, WeightsRef


@dataclass(frozen=True)
class TrainEvaluator:
    """Trains each architecture in `skeleton` and measures it on the task's validation part.

    One that starts from trained weights takes what it has in common with them and draws the rest.
    If that is all, it is trained for the share `warm_epochs` of the recipe's epochs, if it is half
    of the parameters, half of the other epochs are saved. Raises RunError where weights cannot be
    read or written. With a `budget` of multiply-adds there is the `area` of all exits up to there
    after the last epoch as well.

    Raises ValueError where the task's images are too small for the skeleton, the recipe trains
    what that has not, or the device is not there.
    """

    task: Task
    skeleton: AnySkeleton
    recipe: Recipe
    limits: Limits = field(default_factory=Limits)
    time_limit_s: float | None = None  # per architecture
    device: str = "auto"
    warm_epochs: float = 1.0
    fidelity: Fidelity = "proxy"
    budget: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.warm_epochs <= 1:
            raise ValueError(f"warm_epochs={self.warm_epochs} must be above 0, and 1 at most")
        find_device(self.device)
        net = self.skeleton.expand(self.skeleton.simplest, self.task.shape, self.task.classes)
        with torch.device("meta"):
            require_parts(Network(net), self.recipe)

    def key(self, architecture: Architecture) -> str:
        setting = [asdict(value) for value in (self.skeleton, self.recipe, self.limits)]
        how = (self.time_limit_s, self.warm_epochs, self.fidelity, self.budget)
        text = json.dumps([self.task.fingerprint, setting, *how])
        return f"{architecture.hash}-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"

    def loss(self, job: Job) -> Loss | None:
        """What the training minimises; None: cross-entropy as the recipe has it."""
        return None

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        return [self._evaluate(job) for job in jobs]

    def known(self, architecture: Architecture) -> Evaluation:
        """What is known before any training: what it costs, or why it would fail."""
        return self._known(architecture)[0]

    def _known(self, architecture: Architecture) -> tuple[Evaluation, Net | None]:
        return known(architecture, self.task, self.skeleton, self.limits, self.fidelity)

    def _evaluate(self, job: Job) -> Evaluation:
        costs, net = self._known(job.architecture)
        if net is None:
            return costs
        metrics = dict(costs.metrics)
        limits_s = [s for s in (self.time_limit_s, job.deadline_s) if s is not None]
        network, recipe = build_net(net, job.seed, self.recipe.init), self.recipe
        if job.init_from is not None:
            assert job.weights is not None
            try:
                inherited = copy_weights(job.weights / job.init_from, network)
            except ValueError as error:
                raise RunError(f"{error}; put it back, or begin another run") from error
            metrics["inherited"] = inherited
            share = 1 - (1 - self.warm_epochs) * inherited
            recipe = replace(recipe, epochs=max(1, round(share * recipe.epochs)))
        fitted = fit(
            network,
            self.task,
            recipe,
            job.seed,
            self.device,
            time_limit_s=min(limits_s, default=None),
            loss=self.loss(job),
        )
        if fitted.status == "out of memory" and torch.cuda.is_available():
            torch.cuda.empty_cache()  # the other candidates on this GPU need what this one held
        metrics |= {
            "epochs": float(fitted.epochs),
            "seconds": fitted.seconds,
            "images_per_s": fitted.images_per_s,
        }
        if fitted.best is not None:
            metrics |= {"val_accuracy": fitted.best.accuracy, "val_loss": fitted.best.loss}
            if self.budget is not None:
                scores = exit_scores(network, self.task, "valid", self.device, recipe.batch)
                accuracies = [score.accuracy for score in scores]
                metrics["val_area"] = area(net.exit_macs, accuracies, self.budget)
        weights = None
        if fitted.status == "ok" and job.weights is not None:
            weights = self._save(network, job, job.weights)
        return Evaluation(metrics, self.fidelity, fitted.status, fitted.message, weights)

    def _save(self, network: Network, job: Job, folder: Path) -> WeightsRef:
        text = json.dumps([self.key(job.architecture), job.init_from, job.seed])
        name = f"{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}.safetensors"
        try:
            save_weights(network, folder / name)
        except OSError as error:
            raise unwritable(str(folder.parent), error) from error
        return WeightsRef(name)
