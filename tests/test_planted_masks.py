"""Masks that can be right: two modules carry the label, the others noise."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from nascore.networks.masked import build_masked
from nascore.networks.training import threads
from nascore.spaces import ResidualNet


def planted(seed: int) -> tuple[list[int], list[int], list[int]]:
    """What the last of 7 blocks should read of the 6 before, what it learned to, and a random draw.

    Two of them give one bit of the label each, in noise; the others noise alone.
    """
    skeleton = ResidualNet(
        kind="resnet", blocks=7, widths=(4,), stem_width=4, branches=1, bottleneck=1
    )
    network = build_masked(skeleton, (1, 3, 3), 4, 2, seed, mask_lr=0.1)
    generator = torch.Generator().manual_seed(seed)
    signal = torch.randperm(6, generator=generator)[:2].sort().values.tolist()
    bits = torch.zeros(32, 2)

    def plant(module: int):  # type: ignore[no-untyped-def]
        def hook(_: nn.Module, __: object, y: Tensor) -> Tensor:
            y = torch.randn(y.shape, generator=generator)
            if module in signal:
                y = 0.5 * y + bits[:, signal.index(module), None, None, None]
            return y

        return hook

    adds = [c for c in network.plan if c.name.endswith("add") and c.row not in network.gates]
    for module, call in enumerate(adds[:6]):
        network.get_submodule(call.name).register_forward_hook(plant(module))
    weights = [p for name, p in network.named_parameters() if name != "masks"]
    optimizer = torch.optim.SGD(weights, 0.05, 0.9)
    blank = torch.zeros(32, 1, 3, 3)
    at_random = network.draw()[-1]
    for _ in range(60):
        labels = torch.randint(0, 4, (32,), generator=generator)
        bits[:, 0], bits[:, 1] = labels % 2 * 2.0 - 1, labels // 2 * 2.0 - 1
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(network(blank), labels))
        optimizer.step()
    return signal, network.largest()[-1], at_random


def test_1f7_the_planted_modules_are_found() -> None:
    with threads(1):
        found = [planted(seed) for seed in range(10)]
    assert sum(signal == learned for signal, learned, _ in found) >= 9
    assert sum(signal == random for signal, _, random in found) <= 3  # 10 / 15 expected
