"""Every instruction set that the processor has gives what plain torch gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from nascore import _core
from nascore.networks import Network, build_net
from nascore.networks.fuse import fuse
from nascore.ops import masked_sum, masked_sum_ref
from nascore.ops.sep_conv_norm import sep_conv_norm, sep_conv_norm_ref
from nascore.spaces import CellStack
from nascore.spaces.published import NASNET_A

ALL = ["baseline", "avx2", "avx512"]


@pytest.fixture(params=ALL)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param not in _core.instruction_sets():
        pytest.skip(f"this processor has no {request.param}")
    before = _core.instruction_set()
    _core.use_instruction_set(request.param)
    yield request.param
    _core.use_instruction_set(before)


def test_the_best_is_in_use_and_others_are_named() -> None:
    found = _core.instruction_sets()
    assert found == [name for name in ALL if name in found]
    assert found[0] == "baseline"
    assert _core.instruction_set() == found[-1]
    with pytest.raises(ValueError, match="instruction set sse9: this processor and build have"):
        _core.use_instruction_set("sse9")


def cells(channels: int) -> Network:
    """Both cells of NASNet-A, with norms that have something to fold."""
    stack = CellStack(1, channels, stem_width=channels + 3, reductions=1)
    network = build_net(stack.expand(NASNET_A, (3, 14, 13), 10)).eval()
    draw = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, generator=draw)
            nn.init.uniform_(module.running_var, 0.5, 2, generator=draw)
    return network


@pytest.mark.parametrize("channels", [5, 8, 16, 20, 24, 48])
def test_cells_are_those_of_torch(instruction_set: str, channels: int) -> None:
    assert _core.instruction_set() == instruction_set
    network, x = cells(channels), torch.randn(3, 3, 14, 13)
    with torch.inference_mode():
        torch.testing.assert_close(fuse(network)(x), network(x), rtol=1e-4, atol=1e-4)


def test_weights_are_packed_alike(instruction_set: str) -> None:
    """So that a fused network may be kept on one machine and run on another."""
    network = cells(20)
    packed = fuse(network).weights
    _core.use_instruction_set("baseline")
    assert torch.equal(packed, fuse(network).weights)


@pytest.mark.parametrize(
    ("channels", "out", "kernel", "stride", "dilation"),
    [(13, 20, 3, 1, 1), (24, 40, 5, 2, 1), (32, 16, 7, 1, 2), (70, 9, 9, 1, 1)],
)
def test_training_is_that_of_torch(
    instruction_set: str, channels: int, out: int, kernel: int, stride: int, dilation: int
) -> None:
    draw = torch.Generator().manual_seed(0)
    shapes = (3, channels, 11, 9), (channels, 1, kernel, kernel), (out, channels, 1, 1)
    given = [torch.randn(s, generator=draw) / s[-1] for s in shapes]
    given += [torch.rand(out, generator=draw) + 0.5, torch.randn(out, generator=draw)]
    grad = torch.randn(sep_conv_norm(*given, stride, dilation)[0].shape, generator=draw)

    def both(leaves: list[Tensor], ours: bool) -> list[Tensor]:
        for leaf in leaves:
            leaf.requires_grad_()
        function = sep_conv_norm if ours else sep_conv_norm_ref
        y, mean, variance = function(*leaves, stride, dilation)
        return [y, mean, variance, *torch.autograd.grad(y, leaves, grad.to(y.dtype))]

    exact = both([t.double() for t in given], False)
    for found, wanted in zip(both([t.clone() for t in given], True), exact, strict=True):
        scale = wanted.abs().max().item()
        torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-4 * (1 + scale))


def test_masked_sums_are_those_of_torch(instruction_set: str) -> None:
    inputs = [torch.randn(3, 5, 7, 11, requires_grad=True) for _ in range(7)]
    mask = torch.tensor([0.0, 1.0, 0.5, 0.0, 2.0, -1.0, 0.25], requires_grad=True)
    grad = torch.randn(3, 5, 7, 11)
    found = []
    for function in masked_sum, masked_sum_ref:
        y = function(inputs, mask)
        found.append([y, *torch.autograd.grad(y, [*inputs, mask], grad)])
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-4)
