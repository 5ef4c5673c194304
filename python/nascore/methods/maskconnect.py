"""MaskConnect (Ahmed & Torresani, ECCV 2018): connections learned by gradient, with the weights."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, pstdev
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from nascore.files import write_whole
from nascore.networks import Epoch, Fit, Network, Recipe, accuracy, fit
from nascore.networks.masked import MaskedNetwork, Sampling, build_masked, estimate_batch_norm
from nascore.networks.scoring import find_device, low_precision
from nascore.networks.training import threads
from nascore.results.pictures import Picture
from nascore.results.trial_pictures import draw_masks
from nascore.search import Run, Search, Store
from nascore.search.rewards import Accuracy
from nascore.spaces import ResidualNet
from nascore.tasks import Task
from nascore.trial import Evaluation, Proposal, Trial

Phase = Literal["learn", "tune"]
_LABELS = {"learn": "learning the masks", "tune": "training what they keep"}
_PHASES: tuple[Phase, ...] = get_args(Phase)

# Choices, where the paper was not readable: the epochs of each phase, the weight decay, the steps.
_LEARN = Recipe(
    150, 128, "sgd", 0.1, weight_decay=5e-4, drops=(0.5, 0.75), drop_factor=0.1, restarts=0
)
_TUNE = _LEARN  # at the full rate: weights that served many masks are not yet those of one network
_FINAL = replace(_LEARN, epochs=300)
_NET = ResidualNet()  # {29, 8, 8}: depth, bottleneck, cardinality


@dataclass(frozen=True)
class Config:
    """A search is `trials` independent trainings. "Choice" marks where the paper was not readable.

    The gradient of a mask grows with the size of the features, so `mask_lr` is the network's own.
    """

    skeleton: ResidualNet = _NET
    fan_in: int = 4  # K: half of the branches
    mask_lr: float = 0.2  # choice
    sampling: Sampling = "k_of_n"
    learn: Recipe = _LEARN  # of masks and weights together
    tune: Recipe = _TUNE  # of the weights, once the largest masks are frozen
    final: Recipe = _FINAL  # what `retrain` uses
    trials: int = 5  # choice: the paper gives the best and the mean of several
    floor: float = 0.0  # choice: the reward of a training that failed

    def __post_init__(self) -> None:
        for name, holds, rule in (
            ("fan_in", self.fan_in >= 1, "at least 1"),
            ("mask_lr", 0 <= self.mask_lr < math.inf, "0 or more"),
            ("trials", self.trials >= 1, "at least 1"),
            ("sampling", self.sampling in ("k_of_n", "bernoulli"), "k_of_n or bernoulli"),
        ):
            if not holds:
                raise ValueError(f"{name}={getattr(self, name)} must be {rule}")


def paper() -> Config:
    """The published ResNeXt {29, 8, 8} for CIFAR-10, for a GPU server."""
    return Config()


def small() -> Config:
    """A search for two CPU cores and small images, in minutes."""
    learn = replace(_LEARN, epochs=12, batch=64, lr=0.05)
    return Config(
        skeleton=ResidualNet.small(),
        fan_in=2,
        mask_lr=0.5,
        learn=learn,
        tune=replace(learn, epochs=18),
        final=replace(_FINAL, epochs=60, batch=64, lr=0.05),
        trials=2,
    )


def build(task: Task, config: Config, seed: int) -> Search:
    """The search of this method over `task`; ValueError where the network has no masks."""
    if not config.skeleton.candidates:
        raise ValueError("skeleton: no module has a choice of what it reads; give more blocks")
    stage = Connect(task, config)
    return Search("maskconnect", asdict(config), task.name, seed, [stage], task.shape)


def figures(config: Config, trials: Sequence[Trial]) -> dict[str, float]:
    """What the trainings have in common."""
    good = [trial.metrics for trial in trials if trial.evaluation.ok]
    if not good:
        return {}
    found = [metrics["val_accuracy"] for metrics in good]
    return {
        "mean accuracy": round(fmean(found), 4),
        "its deviation": round(pstdev(found), 4),
        "parameters removed": round(1 - good[0]["params"] / good[0]["params_before"], 4),
    }


class Connect:
    """The one stage: learns masks, freezes the largest, trains what is left; once per trial.

    Both trainings keep every epoch in a file, from which a run that stopped goes on. The masks
    after every epoch stay in a file, for the report.
    """

    def __init__(self, task: Task, config: Config) -> None:
        self.task, self.config = task, config
        self.trials = config.trials
        # With every module, and every edge, which costs nothing.
        self.whole = config.skeleton.expand(config.skeleton.full, task.shape, task.classes)

    def run(self, run: Run) -> Iterator[Trial]:
        """Raises ValueError on a GPU whose gradients must be scaled, which masks are not."""
        device = find_device("auto")
        if device.type == "cuda" and str(low_precision()) == "torch.float16":
            raise ValueError("masks are learned in float32 or bfloat16: use a GPU from Ampere on")
        for asked in run.store.pending(run.stage):  # a kill came before they were told
            trial = asked.trial or self._trial(run, asked.number)
            if trial is None:
                return
            yield self._tell(run, trial)
        while run.store.asked(run.stage) < self.trials:
            trial = self._trial(run, run.store.next_number) if run.left_s() > 0 else None
            if trial is None:
                return
            key = f"maskconnect-{run.stage}-{trial.number}"  # no two trainings are one
            run.store.ask(run.stage, [trial.proposal], [key], [None])
            yield self._tell(run, trial)

    def _tell(self, run: Run, trial: Trial) -> Trial:
        run.store.finish([trial])
        run.on_result(trial)
        run.store.tell([trial])
        for phase in _PHASES:
            _file(run, phase, trial.number).unlink(missing_ok=True)
        return trial

    def _trial(self, run: Run, number: int) -> Trial | None:
        """None when the time is up."""
        config, task = self.config, self.task
        seed = run.job(number, config.skeleton.simplest, None).seed
        masked = build_masked(
            config.skeleton,
            task.shape,
            task.classes,
            config.fan_in,
            seed,
            config.mask_lr,
            config.sampling,
            config.learn.init,
        )
        fitted = self._fit(run, masked, "learn", number, seed)
        seconds = fitted.seconds
        metrics = {"params_before": float(self.whole.params)}
        if fitted.status == "ok":
            network = masked.pruned()
            with threads(config.tune.threads):
                estimate_batch_norm(network, task, "auto", config.tune.batch)
                metrics["frozen_accuracy"] = accuracy(network, task, "valid").accuracy
            fitted = self._fit(run, network, "tune", number, seed)
            seconds += fitted.seconds
        if fitted.status == "timed out":
            return None
        architecture = masked.architecture()
        net = config.skeleton.expand(architecture, task.shape, task.classes)
        modules = len(config.skeleton.modules)
        metrics |= {
            "params": float(net.params),
            "macs": float(net.macs),
            "peak_bytes": float(net.peak_bytes),
            "dead_modules": float(modules - len(config.skeleton.alive(architecture.code))),
            "seconds": seconds,
        }
        if fitted.best is not None:
            metrics |= {"val_accuracy": fitted.best.accuracy, "val_loss": fitted.best.loss}
        evaluation = Evaluation(metrics, "full", fitted.status, fitted.message)
        actions = tuple(pick for row in architecture.code for pick in row)
        job = run.job(number, architecture, None)
        reward = Accuracy(config.floor)(job, evaluation)
        return Trial(number, Proposal(architecture, actions), evaluation, reward)

    def _fit(self, run: Run, network: Network, phase: Phase, number: int, seed: int) -> Fit:
        recipe: Recipe = getattr(self.config, phase)

        def report(epoch: Epoch) -> None:
            if isinstance(network, MaskedNetwork):
                _keep_masks(run.files / _masks(number), network, epoch.done)
            run.on_progress(_LABELS[phase], epoch.done, recipe.epochs)

        return fit(
            network,
            self.task,
            recipe,
            seed,
            time_limit_s=run.left_s(),
            checkpoint=_file(run, phase, number),
            on_epoch=report,
        )


def _file(run: Run, phase: Phase, number: int) -> Path:
    return run.files / f"maskconnect-{number}-{phase}.pt"


def _masks(number: int) -> str:
    return f"maskconnect-{number}-masks.npy"


def _keep_masks(path: Path, network: MaskedNetwork, epoch: int) -> None:
    """Adds the masks after `epoch` epochs to those before, which a stop may have gone beyond."""
    now = network.masks.detach().float().cpu().numpy()[None].astype(np.float16)
    before = np.full((epoch - 1, now.shape[1]), np.nan, np.float16)
    if epoch > 1 and path.exists():  # else begun before masks were kept
        before = np.load(path)[: epoch - 1]
    buffer = io.BytesIO()
    np.save(buffer, np.concatenate([before, now]))
    write_whole(path, buffer.getvalue())


def pictures(config: Config, store: Store) -> list[Picture]:
    """The masks of the best training over its epochs; none of a run that kept no files."""
    trials = [trial for trial in store.trials() if trial.evaluation.ok]
    if store.folder is None or not trials:
        return []
    best = max(trials, key=lambda trial: trial.rank)
    path = store.folder / "weights" / _masks(best.number)
    if not path.exists():  # of a run that began before masks were kept
        return []
    masks: npt.NDArray[np.float64] = np.load(path).astype(np.float64)
    nodes = config.skeleton.candidates
    firsts = np.cumsum([0, *nodes[:-1]])
    kept = [
        int(first) + pick
        for first, row in zip(firsts, best.architecture.code, strict=True)
        for pick in row
    ]
    return [
        Picture(
            "masks",
            f"The masks of trial {best.number}",
            f"A row is a connection that a node may have, a column an epoch. Each node keeps the "
            f"{config.fan_in} of its largest masks (triangles).",
            lambda figure: draw_masks(figure, masks, nodes, kept),
        )
    ]
