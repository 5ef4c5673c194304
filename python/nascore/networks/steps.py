"""The steps of a training: epoch by epoch over a task's train part."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from nascore import _core
from nascore.networks import ranks
from nascore.networks.averages import Averages
from nascore.networks.execution import Execution, compiled
from nascore.networks.logits import Logits, parallel
from nascore.networks.modules import DropPath
from nascore.networks.recipe import Recipe
from nascore.networks.scoring import autocast, data_on, enough_outputs, low_precision
from nascore.tasks import Augment, Task, batches

_DROPOUT = 4  # random stream; 3 belongs to the order of the images


class Loss(Protocol):
    """What is minimised, of normalised images [n, C, H, W], the logits there, and the labels."""

    def __call__(self, images: Tensor, logits: Tensor, labels: Tensor) -> Tensor: ...


class Pass(NamedTuple):
    """One epoch of all processes together."""

    loss: float  # mean
    accuracy: float  # on the augmented images, as they were trained on; 0 where not asked for
    images: int
    seconds: float
    in_time: bool  # whether it came to its end


class Steps:
    """Changes `network`, which is on `device`, and its moving averages where the recipe has some.

    Raises ValueError where `device` or the images of `task` do not suit the recipe or `execution`.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        loss: Loss | None,
        execution: Execution,
    ) -> None:
        execution.require(device)
        self.network, self.task, self.recipe, self.seed = network, task, recipe, seed
        self.device, self.loss, self.execution = device, loss, execution
        self.augment = _augment(task, recipe)
        dropping = recipe.drop_path_keep < 1
        self.paths = [m for m in network.modules() if isinstance(m, DropPath) and dropping]
        self.logits = Logits(network, recipe.auxiliary > 0, alone=loss is not None)
        ask = parallel(self.logits, device)
        self.ask: Callable[[Tensor], list[Tensor]] = compiled(ask) if execution.compiled else ask
        self.start()

    def start(self) -> None:
        """Forgets all earlier steps, but for what they made of the network."""
        recipe = self.recipe
        self.averages = Averages(self.network, recipe.ema) if recipe.ema else None
        parameters = self.network.parameters()
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
        mixed = self.device.type == "cuda" and self.execution.amp is not False
        half = mixed and low_precision() is torch.float16
        self.scaler = torch.GradScaler(self.device.type, enabled=half)

    @property
    def result(self) -> nn.Module:
        """What is validated and kept: the network, or that of the averages of its weights."""
        return self.averages.network if self.averages else self.network

    def epoch(self, number: int, lr: float, end: float, measured: bool) -> Pass:
        """One pass over the images, which `end` of `time.perf_counter` breaks off."""
        with _seeded(self.seed, number, self.device):
            return self._epoch(number, lr, end, measured)

    def _epoch(self, number: int, lr: float, end: float, measured: bool) -> Pass:
        recipe, task = self.recipe, self.task
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        images, labels = data_on(self.device, task, "train")
        share = ranks.share(min(recipe.batch, len(labels)))
        total = torch.zeros((), device=self.device)
        hits = torch.zeros_like(total)
        seen = steps = 0
        steps_of_epoch = max(1, len(labels) // recipe.batch)
        in_time = True
        began = time.perf_counter()
        self.network.train()
        for x, y in batches(
            images,
            labels,
            recipe.batch,
            self.seed,
            number,
            self.augment,
            task.mean,
            task.std,
        ):
            self._schedule_paths((number + steps / steps_of_epoch) / recipe.epochs)
            loss, logits = self._step(x[share], y[share])
            total += loss.detach()  # read once per epoch: a read per step would stall a GPU
            if measured:
                hits += (logits.argmax(1) == y[share]).sum()
            steps += 1
            seen += len(y)
            in_time = time.perf_counter() < end
            if not in_time:
                break
        mean = ranks.total(total).item() / (steps * ranks.count())
        right = ranks.total(hits).item() / seen
        return Pass(mean, right, seen, time.perf_counter() - began, in_time)

    def _step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the logits of the classifier."""
        self.optimizer.zero_grad()
        with autocast(self.device, self.execution.amp):
            logits = [enough_outputs(each, self.task) for each in self.ask(images)]
            loss = self._loss(images, logits, labels)
        torch.autograd.backward(self.scaler.scale(loss))
        if self.recipe.clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.averages:
            self.averages.update()
        return loss, logits[self.logits.main]

    def _loss(self, images: Tensor, logits: list[Tensor], labels: Tensor) -> Tensor:
        if self.loss is not None:
            return self.loss(images, logits[0], labels)
        smoothing = self.recipe.label_smoothing
        first, *others = [F.cross_entropy(x, labels, label_smoothing=smoothing) for x in logits]
        if self.logits.exits:
            return torch.stack([first, *others]).mean()
        return first + self.recipe.auxiliary * sum(others) if others else first

    def _schedule_paths(self, progress: float) -> None:
        for path in self.paths:
            keep = self.recipe.keep_at(progress, path.depth)
            compiled = self.execution.compiled
            path.keep = torch.full((), keep, device=self.device) if compiled else keep

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        if self.averages:
            state["averages"] = self.averages.network.state_dict()
            state["updates"] = self.averages.updates
        return state

    def load(self, state: dict[str, Any]) -> None:
        """Goes back to what `state` gave."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.averages:
            self.averages.network.load_state_dict(state["averages"])
            self.averages.updates = state["updates"]


def _augment(task: Task, recipe: Recipe) -> Augment:
    if not recipe.cutout:
        return task.augment
    if recipe.cutout >= max(task.shape[1:]):
        sides = "x".join(map(str, task.shape[1:]))
        raise ValueError(
            f"recipe: cutout={recipe.cutout} leaves nothing of images of {sides}; set less, or 0"
        )
    return replace(task.augment, cutout=recipe.cutout)


@contextlib.contextmanager
def _seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Torch's global random numbers, which dropout draws, are the epoch's own; then as before."""
    counter = epoch + (ranks.rank() << 32)  # each process's own: it has other images
    with torch.random.fork_rng([] if device.type == "cpu" else [device]):
        torch.manual_seed(int(_core.integers(seed, _DROPOUT, counter, 1, 2**31)[0]))
        yield
