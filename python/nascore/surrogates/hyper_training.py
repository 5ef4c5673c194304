"""The training of a graph hypernetwork: on each batch of images other random networks."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from nascore import _core
from nascore.files import write_whole
from nascore.networks import Recipe
from nascore.networks.scoring import data_on, find_device
from nascore.networks.training import mean_over_exits, threads
from nascore.sampling import Actions, States, draw, sample
from nascore.spaces import AnySkeleton, Architecture
from nascore.surrogates.hypernetwork import Design, HyperNetwork
from nascore.tasks import Task, batches
from nascore.trial import Space

_DRAW = 64  # random stream of the networks that are trained on
_TRIES = 100  # draws in search of one that has layers


class HyperTraining:
    """Trains a `HyperNetwork` on random architectures of `space` in `skeleton` (section 4.5).

    Each batch of images meets `meta_batch` architectures of its own, and the loss is their mean;
    of the recipe count epochs, batch, rate, drops, decay, clip and label smoothing, by Adam. An
    architecture without layers, or one too wide, is drawn anew. A step whose gradients are not
    finite is left out. ValueError where the task has more classes than `design.channels`.
    """

    def __init__(
        self,
        design: Design,
        task: Task,
        space: Space,
        skeleton: AnySkeleton,
        recipe: Recipe,
        *,
        meta_batch: int = 1,
        seed: int = 0,
        device: str | torch.device = "auto",
    ) -> None:
        if meta_batch < 1:
            raise ValueError(f"meta_batch={meta_batch} must be at least 1")
        if recipe.optimizer != "adam":
            raise ValueError(f"recipe: a hypernetwork is trained by adam, not {recipe.optimizer}")
        enough_channels(design, task)
        self.task, self.space, self.skeleton = task, space, skeleton
        self.recipe, self.meta_batch, self.seed = recipe, meta_batch, seed
        self.device = find_device(device)
        self.hyper = HyperNetwork(design, seed).to(self.device)
        self.optimizer = torch.optim.Adam(
            self.hyper.parameters(), recipe.lr, weight_decay=recipe.weight_decay
        )
        self.epoch = 0
        self.skipped = 0  # steps that were left out

    def run_epoch(self) -> float:
        """One pass over the training images; the mean loss of its steps."""
        recipe, task = self.recipe, self.task
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.lr_at(self.epoch)
        images, labels = data_on(self.device, task, "train")
        losses = []
        with threads(recipe.threads):
            steps = batches(
                *(images, labels, recipe.batch, self.seed, self.epoch),
                *(task.augment, task.mean, task.std),
            )
            for step, (x, y) in enumerate(steps):
                losses.append(self._step(self._networks(step), x, y))
        self.epoch += 1
        return torch.stack(losses).mean().item()

    def _step(self, nets: Sequence[_core.Net], x: Tensor, y: Tensor) -> Tensor:
        def loss_of(logits: Tensor) -> Tensor:
            return F.cross_entropy(logits, y, label_smoothing=self.recipe.label_smoothing)

        self.optimizer.zero_grad()
        each = [mean_over_exits(network, x, loss_of) for network in self.hyper(nets)]
        loss = torch.stack(each).mean()
        torch.autograd.backward(loss)
        clip = float("inf") if self.recipe.clip is None else self.recipe.clip
        norm = nn.utils.clip_grad_norm_(self.hyper.parameters(), clip)
        if norm.isfinite():
            self.optimizer.step()
        else:
            self.skipped += 1
        return loss.detach()

    def _networks(self, step: int) -> list[_core.Net]:
        """The networks of a step of this epoch, a function of the seed."""
        first = ((self.epoch << 20) + step) * self.meta_batch
        return [self._network(first + i) for i in range(self.meta_batch)]

    def _network(self, number: int) -> _core.Net:
        for architecture in random_architectures(self.space, self.seed, number):
            if architecture.graphs and not any(graph.layers() for graph in architecture.graphs):
                continue
            try:
                return self.skeleton.expand(architecture, self.task.shape, self.task.classes)
            except ValueError:  # too wide
                continue
        raise ValueError(f"of {_TRIES} random architectures not one can be built: change the space")

    def save(self, path: Path) -> None:
        """Writes all that the training goes on from, all or nothing. Raises OSError."""
        file = io.BytesIO()
        torch.save(
            {
                "hypernetwork": self.hyper.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "epoch": self.epoch,
                "skipped": self.skipped,
            },
            file,
        )
        write_whole(path, file.getbuffer())

    def load(self, path: Path) -> None:
        """Goes on from a file of `save`. Raises ValueError where it is torn or another design's."""
        state = _read(path, self.device)
        try:
            self.hyper.load_state_dict(state["hypernetwork"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.epoch, self.skipped = state["epoch"], state["skipped"]
        except (RuntimeError, LookupError, TypeError, ValueError) as error:
            raise _foreign(path) from error


def load_hypernetwork(path: Path, design: Design, device: str | torch.device) -> HyperNetwork:
    """What a training has left in `path`. Raises ValueError where that is not of this design."""
    device = find_device(device)
    hyper = HyperNetwork(design)
    try:
        hyper.load_state_dict(_read(path, device)["hypernetwork"])
    except (RuntimeError, LookupError, TypeError) as error:
        raise _foreign(path) from error
    return hyper.to(device).requires_grad_(False)


def enough_channels(design: Design, task: Task) -> None:
    """Raises ValueError where two classes of `task` would share their weights."""
    if task.classes > design.channels:
        raise ValueError(
            f"{task.name} has {task.classes} classes, the hypernetwork makes {design.channels} "
            f"different rows of weights; set design.channels to at least {task.classes}"
        )


def random_architectures(space: Space, seed: int, number: int) -> Iterator[Architecture]:
    """Architectures whose every decision is uniform among the legal ones, another at each try."""
    for attempt in range(_TRIES):

        def choose(states: States, step: int, attempt: int = attempt) -> Actions:
            counter = (number * _TRIES + attempt) << 12
            uniforms = _core.uniform(seed, _DRAW, counter + step, len(states))
            return draw(space.legal(states), uniforms)

        yield sample(space, 1, choose)[0].architecture


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, OSError) as error:
        raise _foreign(path) from error
    return state


def _foreign(path: Path) -> ValueError:
    return ValueError(
        f"{path} holds no hypernetwork of this design; delete it to train one from the start"
    )
