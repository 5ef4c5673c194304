"""From the rows of a network to a torch module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nascore import _core
from nascore.networks.modules import MODULES, DropPath, Row
from nascore.networks.recipe import Init, Recipe
from nascore.spaces import AnySkeleton, Architecture
from nascore.tasks import Task

_NAMES = {code: name for name, (code, *_) in _core.OPS.items()}


class Network(nn.Module):
    """Runs the rows of `net` in order and lets go of each result after its last reader.

    Rows that lead neither to the logits nor to those of exits are of auxiliary heads, which only
    `heads` runs.
    """

    def __init__(self, net: _core.Net) -> None:
        super().__init__()
        self.net = net
        rows = [Row(*map(int, (*row, net.signal))) for row in net.rows]
        last_reader = {j: i for i, inputs in enumerate(net.inputs) for j in inputs}
        self.exit_rows = (*net.exits, len(rows) - 1)
        self.exit_macs = tuple(net.exit_macs)
        unread = (i for i in range(len(rows)) if i not in last_reader)
        self.ends = tuple(i for i in unread if i not in net.exits)  # of all heads
        plan = []
        for i in range(1, len(rows)):
            op, inputs = _NAMES[rows[i].op], tuple(net.inputs[i])
            name = f"row_{i:03d}_{op}"
            self.add_module(name, MODULES[op](rows[i], [rows[j] for j in inputs]))
            plan.append(Call(i, name, inputs))
        needed = {*self.exit_rows}
        for call in reversed(plan):
            if call.row in needed:
                needed.update(call.inputs)
        self.plan = _with_spent([call for call in plan if call.row in needed])
        self.training_plan = _with_spent(plan)
        names = (call.name for call in plan)
        self.signatures = dict(zip(names, net.signatures[1:], strict=True))  # of each module's row

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, classes] of normalised images [n, C, H, W], or signals [n, C, L]."""
        return self._run(images, self.plan)[self.ends[-1]]

    def exits(self, images: Tensor) -> list[Tensor]:
        """The logits of each exit, `exit_macs` multiply-adds after the start, `forward`'s last."""
        results = self._run(images, self.plan)
        return [results[row] for row in self.exit_rows]

    def heads(self, images: Tensor) -> list[Tensor]:
        """The logits, then those of the auxiliary heads, which training asks for too."""
        results = self._run(images, self.training_plan)
        return [results[end] for end in reversed(self.ends)]

    def _run(self, images: Tensor, plan: Sequence[Call]) -> dict[int, Tensor]:
        results = {0: images}
        for row, name, inputs, spent in plan:
            results[row] = getattr(self, name)(*[results[j] for j in inputs])
            for j in spent:
                del results[j]
        return results


class Call(NamedTuple):
    """One step of a network: a row's module, the rows that it reads, those nobody reads after."""

    row: int
    name: str
    inputs: tuple[int, ...]
    spent: tuple[int, ...] = ()


def _with_spent(plan: Sequence[Call]) -> tuple[Call, ...]:
    last_reader = {j: call.row for call in plan for j in call.inputs}

    def spent(call: Call) -> tuple[int, ...]:
        return tuple(j for j in sorted(set(call.inputs)) if last_reader[j] == call.row)

    return tuple(call._replace(spent=spent(call)) for call in plan)


def require_parts(network: Network, recipe: Recipe) -> None:
    """Raises ValueError where `recipe` trains what `network` has not."""
    if recipe.auxiliary and len(network.ends) == 1:
        raise ValueError(
            f"recipe: auxiliary={recipe.auxiliary}, but the network has no auxiliary head; set "
            "auxiliary in its skeleton, or 0 in the recipe"
        )
    paths = any(isinstance(module, DropPath) for module in network.modules())
    if recipe.drop_path_keep < 1 and not paths:
        raise ValueError(
            f"recipe: drop_path_keep={recipe.drop_path_keep}, but the network has no paths to "
            "drop, which only cells have; set 1"
        )


def build_net(net: _core.Net, seed: int = 0, init: Init = "he") -> Network:
    """The network of `net`, on the CPU, its weights drawn from `seed`, its biases 0."""
    with torch.device("meta"):  # torch's own initialisation would cost time and global random state
        network = Network(net)
    initialise(network, seed, init)
    return network


def initialise(network: nn.Module, seed: int, init: Init = "he") -> None:
    """Brings `network`, made on the meta device, to the CPU with weights drawn from `seed`."""
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            if init == "xavier":
                nn.init.xavier_uniform_(module.weight, generator=generator)
            elif isinstance(module, (nn.Conv1d, nn.Conv2d)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            else:
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)):
            module.reset_parameters()


def build(architecture: Architecture, task: Task, skeleton: AnySkeleton, seed: int = 0) -> Network:
    """The network of `architecture` in `skeleton` for the shape and classes of `task`."""
    return build_net(skeleton.expand(architecture, task.shape, task.classes), seed)
