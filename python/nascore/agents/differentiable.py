"""Search by gradient in a relaxed block: the differentiable version of IRLAS.

DARTS (Liu et al., ICLR 2019, first order) with a term for the block's topology. The loss of the
choices alpha is L_val(w, alpha) - lambda F(alpha), F(alpha) being F_topology of the expected
feature counts (Guo et al., CVPR 2019; its exact form is a choice).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from nascore import _core
from nascore.agents.apprenticeship import MirrorStimuli, features
from nascore.networks.recipe import Recipe
from nascore.networks.relaxed import ADD, UNARY, Choices, build_relaxed
from nascore.networks.scoring import data_on, find_device, place
from nascore.networks.training import threads
from nascore.spaces import BlockSpace, Skeleton
from nascore.tasks import Part, Task, batches
from nascore.trial import Proposal, Trial

_DRAW = 28  # random stream
_CLIP = 5.0  # largest norm of the weights' gradient (DARTS)


def possible_rows(max_layers: int) -> npt.NDArray[np.int16]:
    """The rows `[R, 5]` that `chances` speaks of, some of which have none."""
    each = (max_layers,)
    i, o, p = np.indices((*each, len(UNARY), *each)).reshape(3, -1)
    kind, kernel = np.array(UNARY)[o].T
    unary = np.stack([i + 1, kind, kernel, p, 0 * i], axis=1)
    i, p, q = np.indices(3 * each).reshape(3, -1)
    adds = np.stack([i + 1, 0 * i + 5, 0 * i, p, q], axis=1)
    ends = [(i + 1, 7, 0, 0, 0) for i in range(max_layers + 1)]
    return np.concatenate([unary, adds, ends]).astype(np.int16)


def chances(choices: Choices) -> Tensor:
    """How likely a relaxed block has each of `possible_rows`, `[R]`."""
    alive = choices.alive()
    unary = choices.ops[:, :ADD, None] * choices.pred[:, None]
    adds = choices.ops[:, ADD, None, None] * choices.pair
    before = torch.cat([alive.new_ones(1), alive])
    ends = before * torch.cat([choices.end, alive.new_ones(1)])
    written = alive[:, None, None]
    return torch.cat([(written * unary).flatten(), (written * adds).flatten(), ends])


class ExpectedTopology:
    """F_topology of a relaxed block's expected feature counts: it is linear in them."""

    def __init__(self, topology: MirrorStimuli, max_layers: int) -> None:
        rows = possible_rows(max_layers)
        worth = topology.gamma ** (rows[:, 0] - 1.0) * (features(rows) @ topology.slope)
        self.worth = torch.from_numpy(worth)
        self.chance = float(topology.chance @ topology.slope)

    def __call__(self, choices: Choices) -> Tensor:
        likely = chances(choices)
        self.worth = self.worth.to(likely)
        return likely @ self.worth - self.chance


class Differentiable:
    """Trains a relaxed network and proposes what its choices make likely.

    The `recipe`'s epochs are spread evenly over the `trials`. Of the blocks asked for at once, the
    first takes the likeliest choice everywhere, the others are drawn. Told results teach nothing.
    """

    def __init__(
        self,
        space: BlockSpace,
        seed: int,
        *,
        trials: int,
        task: Task,
        skeleton: Skeleton,
        recipe: Recipe,
        lr: float,
        weight_decay: float,
        topology: MirrorStimuli,
        weight: float,
        device: str = "auto",
    ) -> None:
        self.space, self.seed, self.trials = space, seed, trials
        self.task, self.recipe = task, recipe
        self.device = find_device(device)
        self.topology, self.weight = ExpectedTopology(topology, space.max_layers), weight
        if len(task.shape) != 3:
            raise ValueError(
                f"{task.name} is of signals {task.shape}: differentiable search is over images "
                "(C, H, W) alone; use another agent"
            )
        channels, *_ = task.shape
        self.network = build_relaxed(space.max_layers, skeleton, channels, task.classes, seed)
        place(self.network, self.device)
        self.for_weights: torch.optim.Optimizer
        if recipe.optimizer == "adam":
            self.for_weights = torch.optim.Adam(
                self.network.weights(), recipe.lr, weight_decay=recipe.weight_decay
            )
        else:
            self.for_weights = torch.optim.SGD(
                self.network.weights(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay
            )
        self.for_choices = torch.optim.Adam(
            self.network.choices.parameters(), lr, betas=(0.5, 0.999), weight_decay=weight_decay
        )
        self._asked = 0
        self._epoch = 0

    def ask(self, n: int) -> list[Proposal]:
        """Raises ValueError where training diverges."""
        due = self.recipe.epochs * (self._asked + n) // self.trials
        with threads(self.recipe.threads), torch.backends.cudnn.flags(deterministic=True):
            while self._epoch < due:
                self._train_epoch()
        with torch.no_grad():
            choices = Choices(*(part.double().cpu() for part in self.network.choices()))
        codes = [_write(choices, lambda p: int(p.argmax()))]
        for i in range(self._asked + 1, self._asked + n):
            draws = iter(_core.uniform(self.seed, _DRAW, i << 16, 3 * self.space.max_layers))
            codes.append(_write(choices, _inverse(draws)))
        self._asked += n
        blocks = [self.space.architecture(code) for code in codes]
        return [Proposal(block, self.space.actions(block)) for block in blocks]

    def tell(self, trials: Sequence[Trial]) -> None:
        pass

    def _train_epoch(self) -> None:
        """A step of alpha on validation images, then one of the weights, for every batch."""
        for group in self.for_weights.param_groups:
            group["lr"] = self.recipe.lr_at(self._epoch)
        rounds = (self._batches("valid", (self._epoch << 16) + j) for j in itertools.count())
        valid = itertools.chain.from_iterable(rounds)
        self.network.train()
        total = torch.zeros((), device=self.device)
        for (x, y), (x_valid, y_valid) in zip(
            self._batches("train", self._epoch), valid, strict=False
        ):
            loss = F.cross_entropy(self.network(x_valid), y_valid)
            loss = loss - self.weight * self.topology(self.network.choices())
            self._step(loss, self.for_choices)
            loss = F.cross_entropy(self.network(x), y)
            self._step(loss, self.for_weights)
            total += loss.detach()
        if not math.isfinite(total.item()):
            raise ValueError(
                f"the relaxed network's loss is {total.item()} in epoch {self._epoch + 1}; "
                "lower the learning rate"
            )
        self._epoch += 1

    def _step(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        self.network.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.weights(), _CLIP)
        optimizer.step()

    def _batches(self, part: Part, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        task = self.task
        images, labels = data_on(self.device, task, part)
        size, augment = self.recipe.batch, task.augment if part == "train" else None
        return batches(images, labels, size, self.seed, epoch, augment, task.mean, task.std)

    def state_dict(self) -> dict[str, Any]:
        return {
            "asked": self._asked,
            "epoch": self._epoch,
            "network": self.network.state_dict(),
            "for_weights": self.for_weights.state_dict(),
            "for_choices": self.for_choices.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises RuntimeError if the network belongs to another space or skeleton."""
        self._asked, self._epoch = state["asked"], state["epoch"]
        self.network.load_state_dict(state["network"])
        self.for_weights.load_state_dict(state["for_weights"])
        self.for_choices.load_state_dict(state["for_choices"])


def _inverse(draws: Iterator[float]) -> Callable[[Tensor], int]:
    """Picks by the inverse of the distribution function."""

    def pick(chances: Tensor) -> int:
        below = chances.cumsum(0) <= next(draws) * float(chances.sum())
        return min(int(below.sum()), int(chances.nonzero()[-1]))

    return pick


def _write(choices: Choices, pick: Callable[[Tensor], int]) -> list[tuple[int, ...]]:
    """The code that comes of picking one of every decision's probabilities."""
    code: list[tuple[int, ...]] = []
    for i, end in enumerate(choices.end):
        if pick(torch.stack([1 - end, end])):
            break
        op = pick(choices.ops[i])
        if op == ADD:
            first, second = divmod(pick(choices.pair[i].flatten()), len(choices.pair))
            code.append((i + 1, 5, 0, first, second))
        else:
            code.append((i + 1, *UNARY[op], pick(choices.pred[i]), 0))
    return code
