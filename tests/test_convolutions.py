"""Convolutions with ReLU and norm beside plain torch: values, statistics, every gradient."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nascore.ops import conv, conv_ref, sep_conv, sep_conv_norm, sep_conv_norm_ref

Given = tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor]


def example(
    n: int, c: int, h: int, w: int, o: int, kernel: tuple[int, int], separable: bool, seed: int = 0
) -> Given:
    draw = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    first = noise(c, 1, *kernel) if separable else None
    dense = noise(o, c, *((1, 1) if separable else kernel)) / c
    return noise(n, c, h, w), first, dense, noise(o), noise(o)


def trained(given_: Given) -> Given:
    return tuple(t if t is None else t.requires_grad_() for t in given_)  # type: ignore[return-value]


def gradients(y: Tensor, given_: Given) -> list[Tensor]:
    weights = torch.arange(y.numel(), dtype=y.dtype).reshape(y.shape).cos()
    return list(torch.autograd.grad((y * weights).sum(), [t for t in given_ if t is not None]))


KERNELS = st.one_of(
    st.sampled_from([1, 3, 5, 7, 9]).map(lambda k: (k, k)),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
SHAPES = st.tuples(
    *(st.integers(1, 3), st.integers(1, 20), st.integers(10, 14), st.integers(10, 19)),
    *(st.integers(1, 20), KERNELS, st.booleans()),
)

SEPARABLE = st.tuples(
    *(st.integers(1, 3), st.integers(1, 20), st.integers(1, 9), st.integers(2, 13)),
    *(st.integers(1, 20), st.sampled_from([1, 3, 5, 7, 9]).map(lambda k: (k, k)), st.just(True)),
)


@given(SHAPES, st.integers(1, 3), st.integers(1, 2), st.booleans(), st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_values_are_those_of_the_reference(
    shape: tuple, stride: int, dilation: int, onto: bool, seed: int
) -> None:
    given_ = example(*shape, seed=seed)
    wanted = conv_ref(*given_, stride, dilation)
    before = torch.randn_like(wanted) if onto else None
    if shape[-1]:
        found = sep_conv(*given_, stride, dilation, before)
    else:
        found = conv(given_[0], *given_[2:], stride, dilation, before)
    assert found.is_contiguous(memory_format=torch.channels_last)
    wanted = wanted if before is None else wanted + before
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@given(SEPARABLE, st.integers(1, 3), st.integers(1, 2), st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_training_gives_the_gradients_of_the_reference(
    shape: tuple, stride: int, dilation: int, seed: int
) -> None:
    given_ = trained(example(shape[0] + 2, *shape[1:], seed=seed))
    exact = trained(tuple(t if t is None else t.detach().double() for t in given_))
    found, wanted = (
        sep_conv_norm(*given_, stride, dilation),
        sep_conv_norm_ref(*exact, stride, dilation),
    )
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-3, atol=1e-3)
    ours_, theirs_ = gradients(found[0], given_), gradients(wanted[0], exact)
    large = max(
        1, (wanted[2].min().item() + 1e-5) ** -0.5
    )  # gradients are, where a spread is small
    for ours, theirs in zip(ours_, theirs_, strict=True):
        assert (ours.double() - theirs).norm() < 3e-4 * large * max(1.0, theirs.norm())


@pytest.mark.parametrize("offset", [10, 100])
def test_a_large_mean_costs_no_digits(offset: float) -> None:
    x, *weights = example(4, 6, 8, 9, 5, (3, 3), True)
    given_ = trained((offset + x / 10, *(w.abs() for w in weights)))
    exact = trained(tuple(t.detach().double() for t in given_))
    ours, theirs = sep_conv_norm(*given_)[0], sep_conv_norm_ref(*exact)[0]
    assert (ours.double() - theirs).norm() < 2e-5 * offset * theirs.norm()


def test_a_second_derivative_is_refused() -> None:
    given_ = trained(example(2, 4, 5, 6, 3, (3, 3), True))
    y, *_ = sep_conv_norm(*given_)
    [first] = torch.autograd.grad(y.square().sum(), given_[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(first.square().sum(), given_[:1])


def test_any_layout_is_taken() -> None:
    x, *weights = example(3, 5, 6, 7, 4, (3, 3), True)
    wanted, *_ = sep_conv_norm(x, *weights)
    for other in (x.contiguous(memory_format=torch.channels_last), x.mT.contiguous().mT):
        assert torch.equal(sep_conv_norm(other, *weights)[0], wanted)


def test_the_bits_are_those_of_one_thread() -> None:
    found = []
    threads = torch.get_num_threads()
    for n in (1, 2):
        torch.set_num_threads(n)
        given_ = trained(example(11, 24, 17, 16, 20, (5, 5), True))
        y, mean, variance = sep_conv_norm(*given_)
        found.append([y, mean, variance, *gradients(y, given_)])
    torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("separable", [False, True])
def test_torch_accepts_the_operators(separable: bool) -> None:
    given_ = example(3, 4, 5, 6, 3, (3, 3), separable)
    x, onto = given_[0], torch.randn(3, 3, 3, 3)
    for images, sum_ in (x, None), (x, onto), (x.mT.contiguous().mT, onto.mT), (x[:0], None):
        operator = torch.ops.nascore.conv.default
        torch.library.opcheck(operator, (images, *given_[1:], 2, 1, sum_))


@pytest.mark.parametrize("separable", [False, True])
def test_inference_has_no_derivative(separable: bool) -> None:
    x, depthwise, *rest = example(2, 4, 5, 6, 3, (3, 3), separable)
    y = torch.ops.nascore.conv(x.requires_grad_(), depthwise, *rest, 1, 1, None)
    with pytest.raises(RuntimeError, match="are for inference"):
        y.sum().backward()


@pytest.mark.parametrize("stride", [1, 2])
def test_torch_accepts_its_training(stride: int) -> None:
    x, *weights = example(3, 4, 5, 6, 3, (3, 3), True)
    away = x + x.sign() / 10  # from the corner of ReLU
    given_ = trained((away, *weights))
    torch.library.opcheck(torch.ops.nascore.sep_conv_norm.default, (*given_, stride, 1, 1e-5))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of float32, which is all that there is
        assert torch.autograd.gradcheck(
            lambda *tensors: sep_conv_norm(*tensors, stride)[0],
            given_,
            eps=1e-2,
            atol=5e-2,
            rtol=5e-2,
        )


def test_they_are_exported_and_compiled_whole() -> None:
    class Inference(torch.nn.Module):
        def forward(self, x: Tensor, *weights: Tensor) -> Tensor:
            return sep_conv(x, *weights)

    given_ = example(2, 4, 5, 6, 3, (3, 3), True)
    program = torch.export.export(Inference(), given_)
    assert "nascore.conv" in str(program.graph)
    wanted = sep_conv(*given_)
    assert torch.equal(program.module()(*given_), wanted)
    compiled = torch.compile(sep_conv, fullgraph=True, backend="eager")
    assert torch.equal(compiled(*given_), wanted)


def test_no_images_and_bad_input() -> None:
    x, depthwise, pointwise, scale, shift = example(2, 4, 5, 6, 3, (3, 3), True)
    assert sep_conv(x[:0], depthwise, pointwise, scale, shift).shape == (0, 3, 5, 6)
    wide = torch.ones(3, 4, 8, 8)
    for arguments, message in (
        ((x[0], depthwise, pointwise, scale, shift), r"x: expected \[N, C, H, W\]"),
        ((x[:, 1:], depthwise, pointwise, scale, shift), r"depthwise: expected \[3, 1, h, w\]"),
        ((x, depthwise, pointwise[:, 1:], scale, shift), r"pointwise: expected \[3, 4, 1, 1\]"),
        ((x, None, pointwise[:, 1:], scale, shift), r"weight: expected \[O, 4, h, w\]"),
        ((x, None, wide, scale, shift), "is smaller than the kernel"),
        ((x, depthwise, pointwise, scale[1:], shift), r"scale: expected \[3\], got \[2\]"),
        ((x.double(), depthwise, pointwise, scale, shift), "x: expected float32"),
        ((x, depthwise, pointwise, scale, shift, 0), "stride=0, dilation=1: at least 1"),
        ((x, depthwise, pointwise, scale, shift, 1, 1, x), "onto: expected"),
    ):
        with pytest.raises(ValueError, match=message):
            sep_conv(*arguments)
    with pytest.raises(ValueError, match="less than 2 numbers"):
        sep_conv_norm(x[:1, :, :1, :1], depthwise, pointwise, scale, shift)
    with pytest.raises(ValueError, match="one k x k with k odd, got 2 x 3"):
        sep_conv_norm(x, depthwise[:, :, :2], pointwise, scale, shift)
