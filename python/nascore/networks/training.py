"""The one training loop, which candidates and winners go through."""

from __future__ import annotations

import contextlib
import io
import math
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from nascore import _core
from nascore.files import write_whole
from nascore.networks.build import Network
from nascore.networks.modules import DropPath
from nascore.networks.recipe import Recipe
from nascore.networks.scoring import (
    Score,
    accuracy,
    autocast,
    data_on,
    enough_outputs,
    find_device,
    low_precision,
    place,
)
from nascore.tasks import Task, batches
from nascore.trial import Status

_DROPOUT = 4  # random stream; 3 belongs to the order of the images


class Loss(Protocol):
    """What is minimised, of normalised images [n, C, H, W], the logits there, and the labels."""

    def __call__(self, images: Tensor, logits: Tensor, labels: Tensor) -> Tensor: ...


class Epoch(NamedTuple):
    """What `on_epoch` gets: epochs done, mean training loss, validation score."""

    done: int
    loss: float
    valid: Score


@dataclass(frozen=True)
class Fit:
    """How a training went; both scores are None unless it is ok."""

    status: Status
    message: str
    valid: Score | None  # after the last epoch
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
) -> Fit:
    """Trains `network` in place; the status tells what went wrong, out of memory included.

    The loss is cross-entropy as `recipe` has it, unless another one is given.

    Every epoch is kept in the file `checkpoint`, and a training that finds it goes on from it
    exactly as if it had never stopped. Raises ValueError for a file that does not fit `network`.
    """
    training = _Training(network, task, recipe, seed, find_device(device), time_limit_s, loss)
    with threads(recipe.threads):
        try:
            return training.run(checkpoint, on_epoch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return training.outcome("out of memory", str(error).partition("\n")[0])


class _Training:
    """One training and where it stands."""

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        time_limit_s: float | None,
        loss: Loss | None,
    ) -> None:
        self.loss = loss
        self.network, self.task, self.recipe, self.seed = network, task, recipe, seed
        dropping = recipe.drop_path_keep < 1
        self.paths = [m for m in network.modules() if isinstance(m, DropPath) and dropping]
        self.device = device
        self.began = time.perf_counter()
        self.end = self.began + (math.inf if time_limit_s is None else time_limit_s)
        self.epoch = 0  # of this attempt
        self.restarts = 0
        self.best: tuple[float, ...] = ()  # a Score, plain so that a checkpoint can keep it
        self.epochs = self.images = 0  # of all attempts
        self.seconds_before = 0.0  # spent when the checkpoint was written
        self.training_seconds = 0.0

    def run(self, checkpoint: Path | None, on_epoch: Callable[[Epoch], None] | None) -> Fit:
        place(self.network, self.device)
        initial = {name: value.clone() for name, value in self.network.state_dict().items()}
        self._start()
        if checkpoint is not None and checkpoint.exists():
            self._load(checkpoint)
        valid = None
        while self.epoch < self.recipe.epochs:
            with _seeded(self.seed, self.epoch, self.device):
                loss = self._train_epoch()
            if loss is None:
                return self.outcome("timed out", f"in epoch {self.epoch + 1}")
            may_restart = self.epoch == 1 and self.restarts < self.recipe.restarts
            counts = self.epoch > self.recipe.epochs - self.recipe.validate_last
            valid = self._validate() if may_restart or on_epoch or counts else None
            if may_restart and not (math.isfinite(loss) and self._beats_chance(valid)):
                self.restarts += 1
                self.network.load_state_dict(initial)
                self._start()
                continue
            if not math.isfinite(loss):
                return self.outcome("not finite", f"training loss {loss} in epoch {self.epoch}")
            if counts and valid and (not self.best or valid.accuracy > self.best[0]):
                self.best = tuple(valid)
            if on_epoch and valid:
                on_epoch(Epoch(self.epoch, loss, valid))
            if checkpoint is not None:
                self._save(checkpoint)
        valid = valid or self._validate()
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

    def _start(self) -> None:
        self.epoch = 0
        self.best = ()
        parameters = self.network.parameters()
        recipe = self.recipe
        self.optimizer: torch.optim.Optimizer
        if recipe.optimizer == "adam":
            self.optimizer = torch.optim.Adam(
                parameters, recipe.lr, weight_decay=recipe.weight_decay, fused=True
            )
        else:
            self.optimizer = torch.optim.SGD(
                parameters,
                recipe.lr,
                recipe.momentum,
                weight_decay=recipe.weight_decay,
                nesterov=recipe.nesterov,
                fused=True,
            )
        half = self.device.type == "cuda" and low_precision() is torch.float16
        self.scaler = torch.GradScaler(self.device.type, enabled=half)

    def _train_epoch(self) -> float | None:
        """The mean loss, or None when the time is up."""
        recipe = self.recipe
        lr = recipe.lr_at(self.epoch) * recipe.restart_factor**self.restarts
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        images, labels = data_on(self.device, self.task, "train")
        total, steps = torch.zeros((), device=self.device), 0
        in_time = True
        steps_of_epoch = max(1, len(labels) // recipe.batch)
        began = time.perf_counter()
        self.network.train()
        task = self.task
        for x, y in batches(
            images,
            labels,
            recipe.batch,
            self.seed,
            self.epoch,
            task.augment,
            task.mean,
            task.std,
        ):
            progress = (self.epoch + steps / steps_of_epoch) / recipe.epochs
            for path in self.paths:
                path.keep = recipe.keep_at(progress, path.depth)
            self.optimizer.zero_grad()
            with autocast(self.device):
                loss = self._loss(x, y)
            torch.autograd.backward(self.scaler.scale(loss))
            if recipe.clip is not None:
                self.scaler.unscale_(self.optimizer)
                nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            total += loss.detach()  # read once per epoch: a read per step would stall a GPU
            steps += 1
            self.images += len(y)
            in_time = time.perf_counter() < self.end
            if not in_time:
                break
        mean = total.item() / steps
        self.training_seconds += time.perf_counter() - began
        if not in_time:
            return None
        self.epoch += 1
        self.epochs += 1
        return mean

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        def loss(logits: Tensor) -> Tensor:
            logits = enough_outputs(logits, self.task)
            return F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)

        if self.loss is not None:
            return self.loss(images, enough_outputs(self.network(images), self.task), labels)
        if not isinstance(self.network, Network):
            return loss(self.network(images))
        if len(self.network.exit_rows) > 1:
            return mean_over_exits(self.network, images, loss)
        if not self.recipe.auxiliary:
            return loss(self.network(images))
        logits, *others = self.network.heads(images)
        return loss(logits) + self.recipe.auxiliary * sum(map(loss, others))

    def _validate(self) -> Score:
        return accuracy(self.network, self.task, "valid", self.device, self.recipe.batch)

    def _beats_chance(self, valid: Score | None) -> bool:
        return valid is not None and valid.accuracy > 1 / self.task.classes

    # What a checkpoint holds besides the network, the optimizer and the gradient scaler.
    _COUNTERS = (
        *("epoch", "restarts", "epochs", "images"),
        *("seconds_before", "training_seconds", "best"),
    )

    def _save(self, path: Path) -> None:
        state = {name: getattr(self, name) for name in self._COUNTERS}
        state["seconds_before"] += time.perf_counter() - self.began
        state["network"] = self.network.state_dict()
        state["optimizer"] = self.optimizer.state_dict()
        state["scaler"] = self.scaler.state_dict()
        file = io.BytesIO()
        torch.save(state, file)
        write_whole(path, file.getbuffer())

    def _load(self, path: Path) -> None:
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scaler.load_state_dict(state["scaler"])
            for name in self._COUNTERS:
                setattr(self, name, state[name])
        except _UNREADABLE as error:
            raise ValueError(
                f"{path} is not a checkpoint of this training; delete it to train from the start"
            ) from error


def mean_over_exits(network: Network, images: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """The mean `loss` of the logits of all exits, the last classifier being one: a choice."""
    return torch.stack([loss(logits) for logits in network.exits(images)]).mean()


# What torch.load and load_state_dict raise for a file that is torn or another network's.
_UNREADABLE = (
    RuntimeError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


@contextlib.contextmanager
def _seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Torch's global random numbers, which dropout draws, are the epoch's own; then as before."""
    with torch.random.fork_rng([] if device.type == "cpu" else [device]):
        torch.manual_seed(int(_core.integers(seed, _DROPOUT, epoch, 1, 2**31)[0]))
        yield


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
