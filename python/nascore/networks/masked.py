"""A residual network with a real-valued mask in [0, 1] on every edge that may be kept.

MaskConnect (Ahmed & Torresani, ECCV 2018): each step draws a node's active edges by its masks; the
gradient at the binary mask, which inactive edges have too, moves the real-valued one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from nascore import _core
from nascore.networks.build import Network, build_net, initialise
from nascore.networks.recipe import Init
from nascore.networks.scoring import autocast, data_on, find_device, place
from nascore.ops import masked_dots, masked_sum
from nascore.spaces import Architecture, ResidualNet
from nascore.spaces.wiring import wire
from nascore.tasks import Task, in_order

Sampling = Literal["k_of_n", "bernoulli"]
Active = list[list[int]]  # of each node, the candidates that it reads
_DRAW = 60  # random stream


class MaskedNetwork(Network):
    """All modules of `skeleton`, for images of `shape`.

    In training every forward pass draws the edges, and the backward pass moves `masks` against
    their gradient by `mask_lr`, clipped to [0, 1]. In evaluation each node reads those of its
    `fan_in` largest masks, of equal ones the first. `masks` [edges] are node by node. Drawing
    "bernoulli" each edge is active by its own mask alone, however many that makes.
    """

    step: Tensor

    def __init__(
        self,
        skeleton: ResidualNet,
        shape: tuple[int, ...],
        classes: int,
        fan_in: int,
        seed: int,
        mask_lr: float = 0.2,
        sampling: Sampling = "k_of_n",
    ) -> None:
        if len(shape) != 3:
            raise ValueError(
                f"shape {tuple(shape)}: masks are learned over images (C, H, W) alone; networks of "
                "signals are built from a connectivity by ResidualNet.expand"
            )
        wired = wire(skeleton, shape, classes, None)
        super().__init__(wired.net)
        self.skeleton, self.shape, self.classes = skeleton, shape, classes
        self.fan_in, self.seed, self.mask_lr, self.sampling = fan_in, seed, mask_lr, sampling
        self.gates, self.parts = wired.gates, wired.parts
        self.candidates = list(skeleton.candidates)
        self.masks = nn.Parameter(torch.empty(sum(self.candidates)))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))  # of training
        self.active: Active = []  # in the last forward pass

    def start(self) -> None:
        """All masks alike, 1/2 (a choice), to be moved by every backward pass."""
        with torch.no_grad():
            self.masks.fill_(0.5)
            self.step.zero_()
        self.masks.register_post_accumulate_grad_hook(self._move)  # type: ignore[no-untyped-call]

    def _move(self, masks: Tensor) -> None:
        assert masks.grad is not None
        with torch.no_grad():
            masks.sub_(masks.grad, alpha=self.mask_lr).clamp_(0, 1)
        masks.grad = None  # so that no optimizer moves them a second time

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, classes] of normalised images [n, C, H, W]."""
        if self.training:
            self.active = self.draw()
            self.step += 1
            if torch.is_grad_enabled():
                self._expect_gradients()
        else:
            self.active = self.largest()
        return self.logits(images, self.active)

    def _expect_gradients(self) -> None:
        # So that what this step reads nowhere has one too, of 0: fused optimizers want all or none.
        for name, weight in self.named_parameters():
            if weight.grad is None and name != "masks":
                weight.grad = torch.zeros_like(weight)

    def logits(self, images: Tensor, active: Active) -> Tensor:
        """Logits [n, classes] where each node reads its `active` candidates."""
        alive = self.skeleton.alive(active)
        # Of the binary masks' value, and with their gradient.
        straight = self._binary(active) + (self.masks - self.masks.detach())
        switches = torch.split(straight, self.candidates)
        results = {0: images}
        for row, name, inputs, spent in self.plan:
            if (gate := self.gates.get(row)) is None:
                results[row] = getattr(self, name)(*[results[j] for j in inputs])
            else:
                always = [results[j] for j in gate.always]
                given = [results[j] for j in gate.rows]
                if gate.node is None:
                    living = zip(gate.modules, given, strict=True)
                    results[row] = _total([*always, *(y for m, y in living if m in alive)])
                else:
                    on = active[gate.node]
                    rows = (*always, *given)
                    results[row] = gated_sum(switches[gate.node], on, len(always), *rows)
            for j in spent:
                del results[j]
        return results[self.ends[-1]]

    def draw(self) -> Active:
        """The edges of training step `step`, a function of the seed, the step and the masks."""
        weights = self._values().nan_to_num().mul(_core.MASK_ONE).round().numpy().astype(np.uint32)
        first = int(self.step) * len(self.candidates)
        active = []
        for node, row in enumerate(np.split(weights[None], np.cumsum(self.candidates)[:-1], 1)):
            at = (self.seed, _DRAW, first + node)
            if self.sampling == "bernoulli":
                chosen = np.flatnonzero(_core.draw_bernoulli(row, *at)[0])
            else:
                chosen = np.sort(_core.draw_k(row, min(self.fan_in, row.shape[1]), *at)[0])
            active.append(chosen.tolist())
        return active

    def largest(self) -> Active:
        """The `fan_in` largest masks of each node, of equal ones the first."""
        parts = torch.split(self._values(), self.candidates)
        orders = (part.argsort(descending=True, stable=True)[: self.fan_in] for part in parts)
        return [sorted(order.tolist()) for order in orders]

    def architecture(self) -> Architecture:
        """The connectivity of the largest masks."""
        return Architecture.of("connection", tuple(map(tuple, self.largest())))

    def pruned(self) -> Network:
        """On the CPU, the network of the largest masks without dead modules, with these weights."""
        wired = wire(self.skeleton, self.shape, self.classes, self.largest())
        network = build_net(wired.net)
        names = {call.row: call.name for call in self.plan}
        parts = {row: part for part, row in wired.parts.items()}
        for call in network.plan:
            if call.row in parts:
                trained = self.get_submodule(names[self.parts[parts[call.row]]])
                network.get_submodule(call.name).load_state_dict(trained.state_dict())
        return network

    def _values(self) -> Tensor:
        return self.masks.detach().cpu()

    def _binary(self, active: Active) -> Tensor:
        binary = torch.zeros(sum(self.candidates))
        first = 0
        for chosen, count in zip(active, self.candidates, strict=True):
            binary[[first + k for k in chosen]] = 1
            first += count
        return binary.to(self.masks.device)


def build_masked(
    skeleton: ResidualNet,
    shape: tuple[int, ...],
    classes: int,
    fan_in: int,
    seed: int,
    mask_lr: float = 0.2,
    sampling: Sampling = "k_of_n",
    init: Init = "he",
) -> MaskedNetwork:
    """A masked network on the CPU, its weights drawn from `seed`."""
    with torch.device("meta"):
        network = MaskedNetwork(skeleton, shape, classes, fan_in, seed, mask_lr, sampling)
    initialise(network, seed, init)
    network.start()
    return network


def estimate_batch_norm(
    network: nn.Module, task: Task, device: str | torch.device, batch: int
) -> None:
    """Takes the statistics of batch norm anew, as the mean over the batches of the train part.

    Those that were gathered while masks were drawn are of no network in particular.
    """
    device = find_device(device)
    place(network, device)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a mean, no moving average
    was_training = network.training
    network.train()
    images, labels = data_on(device, task, "train")
    with torch.no_grad(), autocast(device):
        for x, y in in_order(images, labels, batch, task.mean, task.std):
            if len(y) == batch or len(labels) < batch:
                network(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train(was_training)


class _GatedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mask: Tensor, on: Sequence[int], always: int, *rows: Tensor) -> Tensor:
        candidates = rows[always:]
        ctx.on, ctx.always = frozenset(on), always
        ctx.save_for_backward(*candidates)
        read = [*rows[:always], *(candidates[k] for k in on)]
        if not read:
            return torch.zeros_like(candidates[0])
        return masked_sum(read, read[0].new_ones(len(read)))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        [gradient] = gradients
        candidates = ctx.saved_tensors
        of_mask = masked_dots(gradient, candidates)
        of_candidates = (gradient if k in ctx.on else None for k in range(len(candidates)))
        return (of_mask, None, None, *[gradient] * ctx.always, *of_candidates)


def gated_sum(mask: Tensor, on: Sequence[int], always: int, *rows: Tensor) -> Tensor:
    """The sum of the first `always` rows and of those candidates behind them that are `on`.

    All are [n, C, H, W]. The gradient of `mask` [candidates] is the inner product of the sum's
    gradient and the candidate, on or off.
    """
    total: Tensor = _GatedSum.apply(mask, on, always, *rows)  # type: ignore[no-untyped-call]
    return total


def _total(rows: Sequence[Tensor]) -> Tensor:
    total = rows[0]
    for row in rows[1:]:
        total = total + row
    return total
