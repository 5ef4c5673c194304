"""From the rows of a network to a torch module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nascore import _core
from nascore.networks.modules import MODULES, Row
from nascore.networks.recipe import Init
from nascore.spaces import Architecture, Chain, Skeleton
from nascore.tasks import Task

_NAMES = {code: name for name, (code, *_) in _core.OPS.items()}


class Network(nn.Module):
    """Runs the rows of `net` in order and lets go of each result after its last reader."""

    def __init__(self, net: _core.Net) -> None:
        super().__init__()
        rows = [Row(*map(int, row)) for row in net.rows]
        last_reader = {j: i for i, inputs in enumerate(net.inputs) for j in inputs}
        plan = []
        for i in range(1, len(rows)):
            op, inputs = _NAMES[rows[i].op], tuple(net.inputs[i])
            name = f"row_{i:03d}_{op}"
            self.add_module(name, MODULES[op](rows[i], [rows[j] for j in inputs]))
            spent = tuple(j for j in sorted(set(inputs)) if last_reader[j] == i)
            plan.append((name, inputs, spent))
        self.plan = tuple(plan)  # (module, rows that it reads, rows that nobody reads afterwards)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, classes] of normalised images [n, C, H, W]."""
        results = {0: images}
        for i, (name, inputs, spent) in enumerate(self.plan, 1):
            results[i] = getattr(self, name)(*[results[j] for j in inputs])
            for j in spent:
                del results[j]
        return results[len(self.plan)]


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
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            if init == "xavier":
                nn.init.xavier_uniform_(module.weight, generator=generator)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            else:
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


def build(
    architecture: Architecture, task: Task, skeleton: Skeleton | Chain, seed: int = 0
) -> Network:
    """The network that `skeleton` makes of `architecture` for the images and classes of `task`."""
    return build_net(skeleton.expand(architecture, task.shape, task.classes), seed)
