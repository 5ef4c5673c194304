"""The operators beside their torch routes, forward and backward."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nascore.networks.masked import gated_sum
from nascore.ops import conv, masked_sum, sep_conv
from side_by_side import Compare, Route

N, ON = 8, (1, 3, 4, 6)  # MaskConnect's candidates, and those that are on
Found = tuple[Tensor, list[Tensor], Tensor]  # the sum, gradients of inputs that are on, of masks


def inputs_of(shape: tuple[int, ...], value: float) -> tuple[list[Tensor], Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    inputs = [torch.randn(shape, generator=draw).requires_grad_() for _ in range(N)]
    mask = torch.zeros(N)
    mask[list(ON)] = value
    return inputs, mask.requires_grad_(), torch.randn(shape, generator=draw)


def differentiated(y: Tensor, inputs: list[Tensor], mask: Tensor, grad: Tensor) -> Found:
    *of_inputs, of_mask = torch.autograd.grad(y, [*(inputs[j] for j in ON), mask], grad)
    return y, of_inputs, of_mask


def sparse(inputs: list[Tensor], mask: Tensor, grad: Tensor) -> Found:
    """`mul` and `add` of what is on, and for what is off the gradient of its mask alone."""
    y = inputs[ON[0]] * mask[ON[0]]
    for j in ON[1:]:
        y = y + inputs[j] * mask[j]
    y, of_inputs, of_mask = differentiated(y, inputs, mask, grad)
    off = [j for j in range(N) if j not in ON]
    for j in off:
        of_mask[j] = torch.dot(grad.flatten(), inputs[j].detach().flatten())
    return y, of_inputs, of_mask


def in_place(inputs: list[Tensor], mask: Tensor, grad: Tensor) -> Found:
    """By hand, without autograd."""
    with torch.no_grad():
        values = mask.tolist()
        y = inputs[ON[0]] * values[ON[0]]
        for j in ON[1:]:
            y.add_(inputs[j], alpha=values[j])
        of_inputs = [grad * values[j] for j in ON]
        of_mask = torch.stack([torch.dot(grad.flatten(), x.flatten()) for x in inputs])
    return y, of_inputs, of_mask


def agree(*found: Found) -> None:
    for y, of_inputs, of_mask in found[1:]:
        torch.testing.assert_close((y, of_inputs), found[0][:2], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(of_mask, found[0][2], rtol=1e-3, atol=1e-3 * y.numel() ** 0.5)


def operator(inputs: list[Tensor], mask: Tensor, grad: Tensor) -> Found:
    return differentiated(masked_sum(inputs, mask), inputs, mask, grad)


def gated(inputs: list[Tensor], mask: Tensor, grad: Tensor) -> Found:
    return differentiated(gated_sum(mask, ON, 0, *inputs), inputs, mask, grad)


on_two = pytest.param((64, 64, 32, 32), 2, marks=pytest.mark.benchmark(timer=time.perf_counter))


@pytest.mark.parametrize(
    ("shape", "threads"),
    [((64, 64, 8, 8), 1), ((64, 64, 32, 32), 1), on_two],
    ids=["8x8", "32x32", "32x32, two threads"],
)
@pytest.mark.parametrize(
    ("name", "ours", "value"),
    [("masks of 0 and 1 in MaskConnect", gated, 1.0), ("masked_sum", operator, 0.7)],
    ids=["gated", "masked_sum"],
)
def test_masked_sum(
    compare: Compare,
    name: str,
    ours: Callable[..., Found],
    value: float,
    shape: tuple[int, ...],
    threads: int,
) -> None:
    """Least traffic: 4 inputs and the sum, then the gradient, 8 inputs, and 4 of their gradients,
    which MaskConnect need not write, as they are the gradient itself."""
    torch.set_num_threads(threads)
    given = inputs_of(shape, value)
    moved = 5 + 9 + (0 if ours is gated else len(ON))
    compare(
        f"{name}, {list(shape)}, 4 of 8 on, forward and backward, threads: {threads}",
        "sums",
        {
            "nascore": Route(lambda: ours(*given)),
            "torch mul and add": Route(lambda: sparse(*given)),
            "torch add_(alpha=) by hand": Route(lambda: in_place(*given)),
        },
        agree,
        gbytes=moved * 4 * given[2].numel() / 1e9,
    )


@pytest.mark.parametrize("separable", [False, True], ids=["conv", "sep_conv"])
@pytest.mark.parametrize(("channels", "size", "kernel"), [(32, 32, 3), (64, 16, 5)])
def test_convolution(
    compare: Compare, channels: int, size: int, kernel: int, separable: bool
) -> None:
    """ReLU, convolution and folded batch norm of 16 images, weights packed in each call of ours."""
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    last = torch.channels_last
    x = torch.randn((16, channels, size, size), generator=draw).contiguous(memory_format=last)
    first = torch.randn((channels, 1 if separable else channels, kernel, kernel), generator=draw)
    point = torch.randn((channels, channels, 1, 1), generator=draw)
    scale, shift = torch.ones(channels), torch.randn(channels, generator=draw)
    given = [w.contiguous(memory_format=last) for w in (first, point)]

    def ours() -> Tensor:
        if separable:
            return sep_conv(x, first, point, scale, shift)
        return conv(x, first, scale, shift)

    def theirs() -> Tensor:
        groups, bias = (channels, None) if separable else (1, shift)
        y = torch.conv2d(x.relu(), given[0], bias, padding=kernel // 2, groups=groups)
        return torch.conv2d(y, given[1], shift) if separable else y

    def close(*found: Tensor) -> None:
        torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-2)

    taps = kernel**2 * (1 if separable else channels) + channels * separable
    with torch.inference_mode():
        compare(
            f"{'sep_conv' if separable else 'conv'}, {kernel}x{kernel}, {list(x.shape)}, 1 thread",
            "images",
            {"nascore": Route(ours, 16), "torch, channels last": Route(theirs, 16)},
            close,
            gflop=2e-9 * x.numel() * taps,
        )
