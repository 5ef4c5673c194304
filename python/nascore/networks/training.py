"""The one training loop, which candidates and winners go through."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nascore.networks import checkpoints, ranks
from nascore.networks.build import Network
from nascore.networks.execution import Execution
from nascore.networks.recipe import Recipe
from nascore.networks.scoring import Score, accuracy, find_device, place
from nascore.networks.steps import Loss, Steps
from nascore.tasks import Task
from nascore.trial import Status


class Epoch(NamedTuple):
    """What `on_epoch` gets: epochs done, mean training loss, validation score, and the rest."""

    done: int
    loss: float
    valid: Score
    accuracy: float  # on the augmented images, as they were trained on
    lr: float
    images_per_s: float  # while training, validation not counted


@dataclass(frozen=True)
class Fit:
    """How a training went; both scores are None unless it is ok."""

    status: Status
    message: str
    valid: Score | None  # of the network as it is left
    best: Score | None  # the most accurate of the last epochs, as many as the recipe says
    epochs: int  # done, those before a restart included
    seconds: float
    images_per_s: float  # while training, validation not counted


def fit(
    network: nn.Module,
    task: Task,
    recipe: Recipe,
    seed: int,
    device: str | torch.device = "auto",
    *,
    time_limit_s: float | None = None,
    checkpoint: Path | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    loss: Loss | None = None,
    execution: Execution | None = None,
) -> Fit:
    """Trains `network` in place; the status tells what went wrong, out of memory included.

    The loss is cross-entropy as `recipe` has it, unless another one is given.

    Every epoch is kept in the file `checkpoint`, and a training that finds it goes on from it
    exactly as if it had never stopped. Raises ValueError for a file that does not fit `network`.

    In several processes, which torch's process group joins, each trains its share of every batch;
    the first alone validates, calls `on_epoch` and writes the file, which all of them read. Raises
    ValueError where shares are not equal, and with a time limit.
    """
    if time_limit_s is not None and ranks.count() > 1:
        raise ValueError("time_limit_s: several processes cannot stop at the same step")
    device = find_device(device)
    training = _Training(task, recipe, time_limit_s)
    with threads(recipe.threads):
        try:
            place(network, device)
            steps = Steps(network, task, recipe, seed, device, loss, execution or Execution())
            return training.run(steps, checkpoint, on_epoch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return training.outcome("out of memory", str(error).partition("\n")[0])


class _Training:
    """One training and where it stands."""

    steps: Steps

    def __init__(self, task: Task, recipe: Recipe, time_limit_s: float | None) -> None:
        self.task, self.recipe = task, recipe
        self.began = time.perf_counter()
        self.end = self.began + (math.inf if time_limit_s is None else time_limit_s)
        self.epoch = 0  # of this attempt
        self.restarts = 0
        self.best: tuple[float, ...] = ()  # a Score, plain so that a checkpoint can keep it
        self.best_epoch = 0
        self.best_weights: dict[str, Tensor] = {}  # where the recipe has patience
        self.epochs = self.images = 0  # of all attempts
        self.seconds_before = 0.0  # spent when the checkpoint was written
        self.training_seconds = 0.0

    def run(
        self, steps: Steps, checkpoint: Path | None, on_epoch: Callable[[Epoch], None] | None
    ) -> Fit:
        self.steps = steps
        recipe, network = self.recipe, steps.network
        initial = {name: value.clone() for name, value in network.state_dict().items()}
        if checkpoint is not None and ranks.agreed(checkpoint.exists()):
            self._load(checkpoint)
        valid = None
        while self.epoch < recipe.epochs and not self._is_out_of_patience():
            lr = recipe.lr_at(self.epoch) * recipe.restart_factor**self.restarts
            done = steps.epoch(self.epoch, lr, self.end, measured=on_epoch is not None)
            self.images += done.images
            self.training_seconds += done.seconds
            if not done.in_time:
                return self.outcome("timed out", f"in epoch {self.epoch + 1}")
            self.epoch += 1
            self.epochs += 1
            may_restart = self.epoch == 1 and self.restarts < recipe.restarts
            counts = self.epoch > recipe.epochs - recipe.validate_last
            counts = counts or recipe.patience is not None
            valid = self._validate() if may_restart or on_epoch or counts else None
            if may_restart and not (math.isfinite(done.loss) and self._beats_chance(valid)):
                network.load_state_dict(initial)
                self._restart()
                continue
            if not math.isfinite(done.loss):
                message = f"training loss {done.loss} in epoch {self.epoch}"
                return self.outcome("not finite", message)
            if counts and valid and (not self.best or valid.accuracy > self.best[0]):
                self._keep(valid)
            if ranks.rank() == 0:
                if on_epoch and valid:
                    speed = done.images / done.seconds
                    on_epoch(Epoch(self.epoch, done.loss, valid, done.accuracy, lr, speed))
                if checkpoint is not None:
                    self._save(checkpoint)
        if recipe.patience is not None:
            network.load_state_dict(self.best_weights)
            valid = Score(*self.best)
        else:
            valid = valid or self._validate()
            if steps.averages:
                network.load_state_dict(steps.result.state_dict())
        if not math.isfinite(valid.loss):
            return self.outcome("not finite", f"validation loss {valid.loss} after the last epoch")
        best = Score(*self.best) if self.best else valid
        return self.outcome("ok", "", valid, best)

    def outcome(
        self, status: Status, message: str, valid: Score | None = None, best: Score | None = None
    ) -> Fit:
        seconds = self.seconds_before + time.perf_counter() - self.began
        rate = self.images / self.training_seconds if self.training_seconds else 0.0
        return Fit(status, message, valid, best, self.epochs, seconds, rate)

    def _restart(self) -> None:
        self.restarts += 1
        self.epoch = self.best_epoch = 0
        self.best, self.best_weights = (), {}
        self.steps.start()

    def _is_out_of_patience(self) -> bool:
        patience = self.recipe.patience
        return patience is not None and self.epoch - self.best_epoch >= patience

    def _keep(self, valid: Score) -> None:
        self.best, self.best_epoch = tuple(valid), self.epoch
        if self.recipe.patience is not None:
            state = self.steps.result.state_dict()
            self.best_weights = {name: value.clone() for name, value in state.items()}

    def _validate(self) -> Score:
        found = Score(0.0, 0.0)
        if ranks.rank() == 0:
            steps = self.steps
            found = accuracy(steps.result, self.task, "valid", steps.device, self.recipe.batch)
        return ranks.agreed(found)

    def _beats_chance(self, valid: Score | None) -> bool:
        return valid is not None and valid.accuracy > 1 / self.task.classes

    # What a checkpoint holds besides the state of the steps.
    _COUNTERS = (
        *("epoch", "restarts", "epochs", "images", "seconds_before", "training_seconds"),
        *("best", "best_epoch", "best_weights"),
    )

    def _save(self, path: Path) -> None:
        state = {name: getattr(self, name) for name in self._COUNTERS}
        state["seconds_before"] += time.perf_counter() - self.began
        checkpoints.save(path, state | self.steps.state())

    def _load(self, path: Path) -> None:
        with checkpoints.loaded(path, self.steps.device) as state:
            self.steps.load(state)
            for name in self._COUNTERS:
                setattr(self, name, state[name])


def mean_over_exits(network: Network, images: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """The mean `loss` of the logits of all exits, the last classifier being one: a choice."""
    return torch.stack([loss(logits) for logits in network.exits(images)]).mean()


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """Torch works with `n` threads, then as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory was short, on a GPU or not."""
    # torch's CPU allocator, cuDNN and cuBLAS raise plain RuntimeErrors.
    phrases = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        phrase in str(error) for phrase in phrases
    )
