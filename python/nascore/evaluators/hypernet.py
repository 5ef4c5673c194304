"""Scores by generated weights, without any training."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from nascore.evaluators.costs import known
from nascore.networks import area, exit_scores
from nascore.networks.scoring import find_device
from nascore.networks.training import threads
from nascore.search.folder import RunError
from nascore.spaces import AnySkeleton, Architecture
from nascore.surrogates.hyper_training import enough_channels, load_hypernetwork
from nascore.surrogates.hypernetwork import Design, HyperNetwork
from nascore.tasks import Task
from nascore.trial import Evaluation, Job, Limits


@dataclass(frozen=True)
class HypernetEvaluator:
    """Measures each architecture with the weights that the hypernetwork in `file` generates.

    `file` lies in the folder of what the search's stages leave (`Job.files`). Batch norm goes by
    the statistics of each batch of `batch` validation images, in their fixed order, so accuracies
    depend on `batch`. Raises RunError where the file is missing or of another design, ValueError
    where the device is not there, the task has more classes than weights can be generated for, or
    its images are too small for the skeleton. With a `budget` of multiply-adds there is the `area`
    of all exits up to there as well.
    """

    task: Task
    skeleton: AnySkeleton
    design: Design
    file: str
    limits: Limits = field(default_factory=Limits)
    batch: int = 64
    device: str = "auto"
    budget: int | None = None

    def __post_init__(self) -> None:
        if self.batch < 2:
            raise ValueError(f"batch={self.batch} must be at least 2, for batch norm")
        find_device(self.device)
        enough_channels(self.design, self.task)
        net = self.skeleton.expand(self.skeleton.simplest, self.task.shape, self.task.classes)
        if net.signal:
            raise ValueError(
                f"{self.task.name} is of signals {self.task.shape}: the hypernetwork makes kernels "
                "of images (C, H, W) alone; search with a method that trains, such as blockqnn"
            )

    def key(self, architecture: Architecture) -> str:
        setting = [asdict(value) for value in (self.skeleton, self.design, self.limits)]
        text = json.dumps([self.task.fingerprint, setting, self.file, self.batch, self.budget])
        return f"{architecture.hash}-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        with threads(1):  # fixed, because other numbers round sums differently
            return [self._evaluate(job) for job in jobs]

    def _evaluate(self, job: Job) -> Evaluation:
        costs, net = known(job.architecture, self.task, self.skeleton, self.limits, "hypernet")
        if net is None:
            return costs
        metrics = dict(costs.metrics)
        if job.files is None:
            raise RunError("a hypernetwork lies in a file, so its run needs a folder, not a URL")
        hyper = self._hypernetwork(job.files / self.file)
        began = time.perf_counter()
        [network] = hyper([net])
        scores = exit_scores(network, self.task, "valid", self.device, self._even_batch())
        metrics["seconds"] = time.perf_counter() - began
        for score in scores:
            if not math.isfinite(score.loss):
                message = f"validation loss {score.loss} with generated weights"
                return Evaluation(metrics, "hypernet", "not finite", message)
        metrics |= {"generated_accuracy": score.accuracy, "generated_loss": score.loss}
        if self.budget is not None:
            accuracies = [score.accuracy for score in scores]
            metrics["generated_area"] = area(net.exit_macs, accuracies, self.budget)
        return Evaluation(metrics, "hypernet")

    def _hypernetwork(self, path: Path) -> HyperNetwork:
        try:
            return _load(path, path.stat().st_mtime_ns, self.design, self.device)
        except (OSError, ValueError) as error:
            raise RunError(f"{error}; put it back, or begin another run") from error

    def _even_batch(self) -> int:
        """`batch`, or the next that leaves no single image over, which has no statistics."""
        images = len(self.task.split("valid")[1])
        batch = self.batch
        while images % batch == 1:
            batch += 1
        return batch


@functools.lru_cache(maxsize=2)
def _load(path: Path, written: int, design: Design, device: str) -> HyperNetwork:
    """Kept per process; `written` is when the file was, so that a new one is read."""
    return load_hypernetwork(path, design, device)
