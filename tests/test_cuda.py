"""The CUDA module, where this build has one: what it says without a device, and, marked `gpu`, its
kernels beside their references on one."""

from __future__ import annotations

import ctypes.util
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import nascore
from nascore.ops import masked_dots, masked_dots_ref, masked_sum, masked_sum_ref

_cuda = pytest.importorskip("nascore._cuda", reason="built without CUDA: no nvcc, or turned off")

TYPES = [torch.float32, torch.float16, torch.bfloat16]
NAMES = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}


def needs_device(test: Callable[..., None]) -> Callable[..., None]:
    skip = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    return pytest.mark.gpu(skip(test))


def stream() -> int:
    return torch.cuda.current_stream().cuda_stream


def test_device_count() -> None:
    count = _cuda.device_count()
    assert type(count) is int
    assert count >= 0
    assert nascore.has_cuda() is (count > 0)


def test_without_a_driver_there_is_no_device() -> None:
    if ctypes.util.find_library("cuda"):
        pytest.skip("this machine has a CUDA driver")
    assert _cuda.device_count() == 0
    shape = _cuda.ConvShape(
        **dict.fromkeys(("samples", "height", "width", "out_height", "out_width"), 1),
        **dict.fromkeys(("in_channels", "out_channels", "in_stride", "out_stride"), 1),
        **dict.fromkeys(("kernel_h", "kernel_w"), 1),
    )
    with pytest.raises(RuntimeError, match=r"CUDA: .*driver"):
        _cuda.conv_f32(0, 0, 0, shape, 0, 0)


def test_sizes_are_checked_before_the_launch() -> None:
    """So that they are told without a device, too."""
    sizes = dict.fromkeys(("height", "width", "out_height", "out_width"), 4)
    channels = dict.fromkeys(("in_channels", "out_channels", "in_stride", "out_stride"), 3)
    for change in ({"kernel_h": 0}, {"stride": 0}, {"in_stride": 2}, {"width": 0}):
        given = {"samples": 1, **sizes, **channels, "kernel_h": 3, "kernel_w": 3, **change}
        for kernel, weights in ((_cuda.conv_f32, (0,)), (_cuda.sep_conv_f16, (0, 0))):
            with pytest.raises(RuntimeError, match="CUDA: invalid argument"):
                kernel(0, *weights, 0, _cuda.ConvShape(**given), 0, 0)
    with pytest.raises(RuntimeError, match="CUDA: invalid argument"):
        _cuda.draw_k(0, rows=1, n=3, k=4, seed=0, stream=0, counter=0, **DRAWN)
    with pytest.raises(RuntimeError, match="CUDA: invalid argument"):
        _cuda.draw_bernoulli(0, 1, n=32768, seed=0, stream=0, counter=0, mask=0, **NOWHERE)
    with pytest.raises(RuntimeError, match="CUDA: invalid configuration"):
        _cuda.masked_sum_f32([0], 0, samples=1 << 32, size=1, out=0, cuda_stream=0)
    with pytest.raises(ValueError, match="of_inputs: one for each"):
        _cuda.masked_sum_backward_f32(0, [0], 0, 1, 1, [], 0, 0, 0)


NOWHERE = {"invalid": 0, "cuda_stream": 0}
DRAWN = {"drawn": 0, **NOWHERE}


def test_nothing_to_do_launches_nothing() -> None:
    _cuda.masked_sum_bf16([0, 0], 0, samples=0, size=5, out=0, cuda_stream=0)
    _cuda.draw_k(0, rows=0, n=3, k=2, seed=0, stream=0, counter=0, **DRAWN)


# The masked sum


def example(
    shape: tuple[int, ...], n: int, per_sample: bool, dtype: torch.dtype
) -> tuple[list[Tensor], Tensor, Tensor]:
    draw = torch.Generator().manual_seed(n)
    inputs = [torch.randn(shape, generator=draw).to("cuda", dtype) for _ in range(n)]
    mask = torch.rand((shape[0], n) if per_sample else (n,), generator=draw)
    mask[..., ::2] = 0
    return inputs, mask.to("cuda", dtype), torch.randn(shape, generator=draw).to("cuda", dtype)


def gradients(
    function: Callable[..., Tensor], inputs: list[Tensor], mask: Tensor, grad: Tensor
) -> list[Tensor]:
    leaves = [x.detach().requires_grad_() for x in (*inputs, mask)]
    y = function(leaves[:-1], leaves[-1])
    return [y.detach(), *torch.autograd.grad(y, leaves, grad)]


@needs_device
@pytest.mark.parametrize("dtype", TYPES, ids=NAMES.get)
@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("n", [1, 5, 70])
@pytest.mark.parametrize("shape", [(2, 8, 4, 4), (3, 5, 7, 3), (0, 4), (2, 0, 4), (4, 3000)])
def test_masked_sum_and_gradients(
    shape: tuple[int, ...], n: int, per_sample: bool, dtype: torch.dtype
) -> None:
    """At most twice the error of torch in the same type, against float64."""
    given = example(shape, n, per_sample, dtype)
    inputs, mask, grad = given
    exact = gradients(masked_sum_ref, [x.double() for x in inputs], mask.double(), grad.double())
    ours, torchs = (gradients(f, *given) for f in (masked_sum, masked_sum_ref))
    for mine, theirs, want in zip(ours, torchs, exact, strict=True):
        assert mine.dtype == dtype
        assert mine.shape == want.shape
        if not want.numel():
            continue
        error, allowed = ((x.double() - want).abs().amax().item() for x in (mine, theirs))
        assert error <= 2 * allowed + torch.finfo(dtype).eps * want.abs().amax().item()


@needs_device
@pytest.mark.parametrize("dtype", TYPES, ids=NAMES.get)
@pytest.mark.parametrize("n", [1, 5, 70])
def test_masked_dots(n: int, dtype: torch.dtype) -> None:
    inputs, _, grad = example((3, 5, 7, 31), n, False, dtype)
    dots = masked_dots(grad, inputs)
    assert dots.dtype == torch.float32
    torch.testing.assert_close(dots, masked_dots_ref(grad, inputs), rtol=1e-5, atol=1e-4)


@needs_device
def test_masked_sum_of_views_and_channels_last() -> None:
    inputs, mask, _ = example((2, 8, 5, 7), 3, False, torch.float32)
    want = masked_sum_ref(inputs, mask)
    last = [x.contiguous(memory_format=torch.channels_last) for x in inputs]
    y = masked_sum(last, mask)
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, want)
    unaligned = [torch.cat([x.flatten()[:1], x.flatten()])[1:].view_as(x) for x in inputs]
    torch.testing.assert_close(masked_sum(unaligned, mask), want)
    nan = torch.full_like(inputs[0], torch.nan)
    torch.testing.assert_close(masked_sum([nan, *inputs[1:]], mask), want)  # mask[0] is 0


@needs_device
def test_masked_sum_in_a_graph() -> None:
    inputs, mask, _ = example((4, 16, 8, 8), 6, True, torch.float32)
    torch.ops.nascore.masked_sum_backward(masked_sum(inputs, mask), inputs, mask)  # loads both
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = masked_sum(inputs, mask)
        of_mask = torch.ops.nascore.masked_sum_backward(y, inputs, mask)[-1]
    for x in (*inputs, mask):
        x.add_(1)
    graph.replay()
    torch.testing.assert_close(y, masked_sum_ref(inputs, mask))
    torch.testing.assert_close(
        of_mask[:, -1], (y * inputs[-1]).flatten(1).sum(1), rtol=1e-4, atol=1e-3
    )


@needs_device
def test_masked_sum_on_two_streams() -> None:
    """The work of each stream waits for that stream's own input alone."""
    examples = [example((8, 64, 32, 32), 8, False, torch.float32) for _ in range(2)]
    want = [masked_sum_ref(inputs, mask) for inputs, mask, _ in examples]
    torch.cuda.synchronize()
    streams, found = [torch.cuda.Stream() for _ in range(2)], []
    for side, (inputs, mask, _) in zip(streams, examples, strict=True):
        with torch.cuda.stream(side):
            torch.cuda._sleep(10_000_000)
            late = [x * 2 for x in inputs]
            found.append(masked_sum(late, mask))
    torch.cuda.synchronize()
    for y, right in zip(found, want, strict=True):
        torch.testing.assert_close(y, 2 * right)


@needs_device
def test_torch_accepts_the_operator_on_the_device() -> None:
    inputs, mask, _ = example((2, 3, 2), 3, False, torch.float32)
    leaves = [x.requires_grad_() for x in inputs]
    torch.library.opcheck(torch.ops.nascore.masked_sum.default, (leaves, mask.requires_grad_()))
    compiled = torch.compile(lambda m, *xs: masked_sum(xs, m), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(mask, *leaves), masked_sum_ref(leaves, mask))
    with pytest.raises(ValueError, match="float16 and bfloat16, not"):
        masked_sum([x.double() for x in inputs], mask.double())
