"""The masked sum beside plain torch: values, gradients of every mask, layouts, threads."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nascore import _core
from nascore.ops import masked_dots, masked_dots_ref, masked_sum, masked_sum_ref


def example(
    shape: tuple[int, ...], n: int, per_sample: bool = False, dtype: torch.dtype = torch.float64
) -> tuple[list[Tensor], Tensor]:
    """Inputs, and masks of which every second is 0."""
    draw = torch.Generator().manual_seed(len(shape) + n)
    inputs = [torch.randn(shape, generator=draw, dtype=dtype) for _ in range(n)]
    masks = torch.rand((shape[0], n) if per_sample else (n,), generator=draw, dtype=dtype)
    masks[..., ::2] = 0
    return [x.requires_grad_() for x in inputs], masks.requires_grad_()


def gradients(y: Tensor, inputs: list[Tensor], mask: Tensor) -> list[Tensor]:
    weights = torch.arange(y.numel(), dtype=y.dtype).reshape(y.shape).cos()
    return [y, *torch.autograd.grad((y * weights).sum(), [*inputs, mask])]


@settings(deadline=None)  # the first call loads the operator
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=4).map(tuple), st.integers(1, 9), st.booleans()
)
def test_values_and_gradients_are_those_of_the_reference(
    shape: tuple[int, ...], n: int, per_sample: bool
) -> None:
    inputs, mask = example(shape, n, per_sample)
    ours = gradients(masked_sum(inputs, mask), inputs, mask)
    theirs = gradients(masked_sum_ref(inputs, mask), inputs, mask)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("per_sample", [False, True])
def test_more_than_a_chunk_in_float32(per_sample: bool) -> None:
    inputs, mask = example((3, 5, 37, 41), 4, per_sample)
    exact = gradients(masked_sum_ref(inputs, mask), inputs, mask)
    single = [x.detach().float().requires_grad_() for x in (*inputs, mask)]
    ours = gradients(masked_sum(single[:-1], single[-1]), single[:-1], single[-1])
    torch.testing.assert_close(ours, [x.float() for x in exact], rtol=1e-5, atol=1e-4)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 17), min_size=1, max_size=4).map(tuple),
    st.integers(1, 9),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_the_gradients_of_masks_alone(shape: tuple[int, ...], n: int, dtype: torch.dtype) -> None:
    inputs, mask = example(shape, n, dtype=dtype)
    grad = gradients(masked_sum(inputs, mask), inputs, mask)[0].detach()
    given_ = [x.detach() for x in inputs]
    dots = masked_dots(grad, given_)
    assert torch.equal(dots, torch.autograd.grad(masked_sum(inputs, mask), mask, grad)[0])
    exact = masked_dots_ref(grad.double(), [x.double() for x in given_])
    scale = masked_dots_ref(grad.abs().double(), [x.abs().double() for x in given_])
    last = grad.mT.contiguous().mT if grad.dim() > 1 else grad  # of another layout
    for found in (dots, masked_dots(last, given_), masked_dots_ref(grad, given_)):
        assert found.dtype == dtype
        assert ((found - exact).abs() <= 16 * torch.finfo(dtype).eps * scale).all()


def test_channels_last_stays_and_other_layouts_are_taken() -> None:
    inputs, mask = example((2, 3, 5, 7), 3)
    last = [x.detach().contiguous(memory_format=torch.channels_last) for x in inputs]
    y = masked_sum(last, mask)
    assert y.is_contiguous(memory_format=torch.channels_last)
    mixed = [last[0], *(x.detach() for x in inputs[1:])]
    views = [x.detach().mT.contiguous().mT for x in inputs]
    want = masked_sum_ref(inputs, mask)
    for given_ in (last, mixed, views):
        torch.testing.assert_close(masked_sum(given_, mask), want)


def test_what_is_masked_is_not_read() -> None:
    x = torch.ones(2, 3)
    y = masked_sum([x, torch.full_like(x, torch.nan)], torch.tensor([2.0, 0.0]))
    assert torch.equal(y, 2 * x)


def test_the_bits_are_those_of_one_thread() -> None:
    inputs, mask = example((4, 16, 33, 31), 8, dtype=torch.float32)
    found = []
    threads = torch.get_num_threads()
    for n in (1, 2):
        torch.set_num_threads(n)
        found.append(gradients(masked_sum(inputs, mask), inputs, mask))
    torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("per_sample", [False, True])
def test_torch_accepts_the_operator(per_sample: bool) -> None:
    inputs, mask = example((2, 3, 2), 3, per_sample)
    torch.library.opcheck(torch.ops.nascore.masked_sum.default, (inputs, mask))
    grad = torch.randn(2, 3, 2, dtype=torch.float64)
    detached = [x.detach() for x in inputs]
    torch.library.opcheck(
        torch.ops.nascore.masked_sum_backward.default, (grad, detached, mask.detach())
    )
    torch.library.opcheck(torch.ops.nascore.masked_dots.default, (grad, detached))
    torch.autograd.gradcheck(lambda m, *xs: masked_sum(xs, m), (mask, *inputs))


def test_it_is_exported_whole() -> None:
    class Sum(torch.nn.Module):
        def forward(self, x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
            return masked_sum([x, y], mask)

    x, mask = torch.randn(3, 4), torch.tensor([0.5, 1.0])
    program = torch.export.export(Sum(), (x, x, mask))
    assert "nascore.masked_sum" in str(program.graph)
    torch.testing.assert_close(program.module()(x, x, mask), 1.5 * x)


def test_bad_input_is_refused_at_the_seam() -> None:
    x = torch.ones(2, 3)
    for inputs, mask, message in (
        ([], torch.ones(0), "at least one"),
        ([x, torch.ones(2, 4)], torch.ones(2), r"number 1 is torch.float32 \[2, 4\]"),
        ([x, x], torch.ones(3), r"2 inputs want \[2\] or \[2, 2\], not \[3\]"),
        ([x], torch.ones(1, dtype=torch.float64), "mask: it is torch.float64"),
        ([x.half()], torch.ones(1).half(), "for float32 and float64, not torch.float16"),
    ):
        with pytest.raises(ValueError, match=message):
            masked_sum(inputs, mask)
    with pytest.raises(ValueError, match=r"number 1 is torch.float32 \[3\]"):
        masked_dots(torch.ones(3), [x])


def test_the_instruction_set_is_told() -> None:
    assert _core.instruction_set() in _core.instruction_sets()
