"""The separable convolution beside plain torch: values, statistics, every gradient."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nascore.ops import sep_conv, sep_conv_norm, sep_conv_ref


def example(
    n: int, c: int, h: int, w: int, o: int, k: int, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    return noise(n, c, h, w), noise(c, 1, k, k), noise(o, c, 1, 1) / c, noise(o), noise(o)


def norm_ref(
    x: Tensor, depthwise: Tensor, pointwise: Tensor, scale: Tensor, shift: Tensor, s: int, d: int
) -> tuple[Tensor, Tensor, Tensor]:
    raw = sep_conv_ref(
        x, depthwise, pointwise, torch.ones_like(scale), torch.zeros_like(shift), s, d
    )
    y = torch.nn.functional.batch_norm(raw, None, None, scale, shift, True)
    return y, raw.mean((0, 2, 3)), raw.var((0, 2, 3), correction=0)


SHAPES = st.tuples(
    *(st.integers(1, 3), st.integers(1, 20), st.integers(1, 9), st.integers(2, 13)),
    *(st.integers(1, 20), st.sampled_from([1, 3, 5, 7, 9])),
)


@given(SHAPES, st.integers(1, 3), st.integers(1, 2), st.booleans(), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_values_are_those_of_the_reference(
    shape: tuple[int, ...], stride: int, dilation: int, onto: bool, seed: int
) -> None:
    arguments = example(*shape, seed=seed)
    wanted = sep_conv_ref(*arguments, stride, dilation)
    before = torch.randn_like(wanted) if onto else None
    found = sep_conv(*arguments, stride, dilation, before)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        found, wanted if before is None else wanted + before, rtol=1e-4, atol=1e-4
    )


@given(SHAPES, st.integers(1, 3), st.integers(1, 2), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_training_gives_the_gradients_of_the_reference(
    shape: tuple[int, ...], stride: int, dilation: int, seed: int
) -> None:
    shape = (shape[0] + 3, *shape[1:])  # a norm of few numbers magnifies rounding
    given_ = [t.requires_grad_() for t in example(*shape, seed=seed)]
    exact = [t.detach().double().requires_grad_() for t in given_]
    found, wanted = (
        sep_conv_norm(*given_, stride, dilation),
        norm_ref(*exact, stride, dilation),
    )
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-3, atol=1e-3)
    weights = torch.arange(wanted[0].numel()).reshape(wanted[0].shape).cos()
    ours = torch.autograd.grad((found[0] * weights).sum(), given_)
    theirs = torch.autograd.grad((wanted[0] * weights).sum(), exact)
    tiny = 1 / wanted[2].min().sqrt().item()  # gradients grow as a channel's spread goes to 0
    for a, b in zip(ours, theirs, strict=True):
        error = (a.double() - b).norm() / max(1.0, b.norm())
        assert error < 1e-4 * max(1, tiny), (error, tiny)


def test_any_layout_is_taken_and_gradients_come_by_it() -> None:
    arguments = example(3, 5, 6, 7, 4, 3)
    wanted, *_ = sep_conv_norm(*arguments)
    last = arguments[0].contiguous(memory_format=torch.channels_last)
    views = arguments[0].mT.contiguous().mT
    for x in (last, views):
        assert torch.equal(sep_conv_norm(x, *arguments[1:])[0], wanted)


def test_the_bits_are_those_of_one_thread() -> None:
    found = []
    threads = torch.get_num_threads()
    for n in (1, 2):
        torch.set_num_threads(n)
        given_ = [t.requires_grad_() for t in example(11, 24, 17, 16, 20, 5)]
        y, mean, variance = sep_conv_norm(*given_)
        found.append([y, mean, variance, *torch.autograd.grad((y * y.cos()).sum(), given_)])
    torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("stride", [1, 2])
def test_torch_accepts_the_operators(stride: int) -> None:
    arguments = example(3, 4, 5, 6, 3, 3)
    torch.library.opcheck(torch.ops.nascore.sep_conv.default, (*arguments, stride, 1, None))
    away = arguments[0] + arguments[0].sign() / 10  # from the corner of ReLU
    given_ = [t.requires_grad_() for t in (away, *arguments[1:])]
    torch.library.opcheck(torch.ops.nascore.sep_conv_norm.default, (*given_, stride, 1, 1e-5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of float32, which is all that there is
        assert torch.autograd.gradcheck(
            lambda *given_: sep_conv_norm(*given_, stride)[0],
            given_,
            eps=1e-2,
            atol=5e-2,
            rtol=5e-2,
            nondet_tol=0.0,
        )


def test_it_is_exported_and_compiled_whole() -> None:
    class Inference(torch.nn.Module):
        def forward(self, x: Tensor, *weights: Tensor) -> Tensor:
            return sep_conv(x, *weights)

    arguments = example(2, 4, 5, 6, 3, 3)
    program = torch.export.export(Inference(), arguments)
    assert "nascore.sep_conv" in str(program.graph)
    wanted = sep_conv(*arguments)
    assert torch.equal(program.module()(*arguments), wanted)
    compiled = torch.compile(sep_conv, fullgraph=True, backend="eager")
    assert torch.equal(compiled(*arguments), wanted)


def test_no_images_and_bad_input() -> None:
    x, depthwise, pointwise, scale, shift = example(2, 4, 5, 6, 3, 3)
    assert sep_conv(x[:0], depthwise, pointwise, scale, shift).shape == (0, 3, 5, 6)
    for arguments, message in (
        ((x[0], depthwise, pointwise, scale, shift), r"x: expected \[N, C, H, W\]"),
        ((x[:, 1:], depthwise, pointwise, scale, shift), r"depthwise: expected \[3, 1, k, k\]"),
        ((x, depthwise[..., 1:, 1:], pointwise, scale, shift), "with k odd"),
        ((x, depthwise, pointwise[:, 1:], scale, shift), r"pointwise: expected \[O, 4, 1, 1\]"),
        ((x, depthwise, pointwise, scale[1:], shift), r"scale: expected \[3\], got \[2\]"),
        ((x.double(), depthwise, pointwise, scale, shift), "x: expected float32"),
        ((x, depthwise, pointwise, scale, shift, 0), "stride=0, dilation=1: at least 1"),
        ((x, depthwise, pointwise, scale, shift, 1, 1, x), "onto: expected"),
    ):
        with pytest.raises(ValueError, match=message):
            sep_conv(*arguments)
    with pytest.raises(ValueError, match="less than 2 numbers"):
        sep_conv_norm(x[:1, :, :1, :1], depthwise, pointwise, scale, shift)
