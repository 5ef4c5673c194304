"""A NASNet-A cell with batch norms folded, beside every way in which torch runs it."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nascore import _core
from nascore.networks import Network, build_net
from nascore.networks.fuse import Fused
from nascore.spaces import CellStack
from nascore.spaces.published import NASNET_A
from side_by_side import Compare, Route
from torch_routes import Part, folded, inductor, onednn

CASES = [(16, 8, 1), (32, 32, 1), (44, 32, 1), (44, 32, 16)]
STEM = 1  # the row that the first cell reads


def a_network(channels: int, size: int) -> Network:
    stack = CellStack(1, channels, stem_width=channels, reductions=0)
    network = build_net(stack.expand(NASNET_A, (3, size, size), 10)).eval()
    draw = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, generator=draw)
            nn.init.uniform_(module.running_var, 0.5, 2, generator=draw)
    return network


def multiply_adds(fused: Fused) -> int:
    """Of the convolutions, for one image."""
    total = 0
    for row in fused.program.tolist():
        at = dict(zip(_core.PROGRAM_COLUMNS, row, strict=True))
        pixels = at["out_height"] * at["out_width"]
        taps = at["kernel_height"] * at["kernel_width"]
        name = _core.KERNELS[at["kernel"]]
        if name == "conv":
            total += pixels * taps * at["in_channels"] * at["out_channels"]
        elif name == "sep_conv":
            total += pixels * at["in_channels"] * (taps + at["out_channels"])
    return total


def agree(*found: Tensor) -> None:
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-3, atol=1e-3)


on_two = pytest.mark.benchmark(timer=time.perf_counter)


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=on_two)])
@pytest.mark.parametrize(
    ("channels", "size", "samples"), CASES, ids=["x".join(map(str, case)) for case in CASES]
)
def test_cell(compare: Compare, channels: int, size: int, samples: int, threads: int) -> None:
    torch.set_num_threads(threads)
    network = a_network(channels, size)
    seam = network.net.seams[0]
    part, fused = Part(network, (STEM,), seam).eval(), Fused(network, (STEM,), (seam,))
    x = torch.randn(samples, channels, size, size)
    last = x.contiguous(memory_format=torch.channels_last)
    repeats = 50 if size == 8 else 1  # so that a turn is no shorter than a clock's tick

    def route(run: Any, given: Tensor) -> Route:
        def many() -> Tensor:
            for _ in range(repeats - 1):
                run(given)
            y: Tensor = run(given)
            return y

        return Route(many, repeats * samples)

    with torch.inference_mode():
        compare(
            f"NASNet-A cell, {channels} channels, {size}x{size}, batch {samples}, "
            f"{threads} thread{'s' * (threads > 1)}",
            "images",
            {
                "nascore": route(fused, last),
                "torch, eager": route(part, x),
                "channels last, folded": route(folded(part), last),
                "oneDNN graph": route(onednn(part, x), last),
                "inductor": route(inductor(part, x), last),
            },
            agree,
            gflop=2e-9 * multiply_adds(fused) * samples * repeats,
        )
