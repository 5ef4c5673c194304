"""The separable convolution with its batch's norm on CUDA: what it says without a device, and,
marked `gpu`, values and gradients beside torch's in float64 on one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

from nascore.networks.modules import Row, SepConv, _fits_kernel
from nascore.ops import sep_conv_norm, sep_conv_norm_ref

_cuda = pytest.importorskip("nascore._cuda", reason="built without CUDA: no nvcc, or turned off")

NAMES = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}
each_type = pytest.mark.parametrize("dtype", list(NAMES), ids=NAMES.get)
SIZES = [(2, 9, 11, 5, 7), (8, 8, 8, 64, 64), (3, 17, 5, 44, 72)]  # N, H, W, C in, C out
ROW = Row(0, 3, 3, 1, 1, 1, 16, 8, 8)


def needs_device(test: Callable[..., None]) -> Callable[..., None]:
    skip = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    return pytest.mark.gpu(skip(test))


def shape_of(**changes: int) -> object:
    sizes = dict.fromkeys(("height", "width", "out_height", "out_width"), 8)
    channels = dict.fromkeys(("in_channels", "out_channels", "in_stride", "out_stride"), 12)
    window = {"kernel_h": 5, "kernel_w": 5, "pad_top": 2, "pad_left": 2}
    return _cuda.ConvShape(**{"samples": 2, **sizes, **channels, **window, **changes})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"samples": 0}, "argument"),
        ({"in_stride": 16}, "argument"),
        ({"out_stride": 16}, "argument"),
        ({"accumulate": True}, "argument"),
        ({"relu_after": True}, "argument"),
        ({"kernel_h": 0}, "argument"),
        ({"samples": 1 << 30, "height": 64, "out_height": 64}, "configuration"),
        ({"out_channels": 1 << 20, "out_stride": 1 << 20}, "configuration"),
    ],
)
def test_sizes_are_checked_before_the_launch(changes: dict[str, int], told: str) -> None:
    shape = shape_of(**changes)
    for name in NAMES.values():
        with pytest.raises(RuntimeError, match=f"CUDA: invalid {told}"):
            getattr(_cuda, f"sep_conv_norm_{name}")(*(0,) * 5, 0.1, shape, *(0,) * 6)
        with pytest.raises(RuntimeError, match=f"CUDA: invalid {told}"):
            getattr(_cuda, f"sep_conv_norm_backward_{name}")(*(0,) * 8, 0.1, shape, *(0,) * 7)


def test_a_workspace_that_is_not_aligned_is_refused() -> None:
    with pytest.raises(RuntimeError, match="CUDA: invalid argument"):
        _cuda.sep_conv_norm_f32(*(0,) * 5, 0.1, shape_of(), *(0,) * 4, 8, 0)


def test_the_workspace_holds_two_images_and_what_is_summed() -> None:
    shape = shape_of()
    assert _cuda.sep_conv_norm_workspace(shape) == 2 * 2 * 12  # a tile of each sample
    images = 2 * 2 * 8 * 8 * 12
    sums, partials = (2 + 4) * 12, 2 * 2 * 12 * 12 + 2 * 25 * 12
    for name, size in (("f32", 4), ("f16", 2), ("bf16", 2)):
        floats = getattr(_cuda, f"sep_conv_norm_backward_workspace_{name}")(shape)
        assert floats == sums + images * size // 4 + partials


@pytest.mark.parametrize("fused", [False, True])
def test_a_module_takes_it_on_cuda_where_it_is_told_to(
    fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen on images that only pretend to be on a device."""
    monkeypatch.setattr(SepConv, "fused_on_cuda", fused)
    module = SepConv(ROW, 12)
    with FakeTensorMode():
        for dtype in (*NAMES, torch.float64):
            x = torch.empty(2, 12, 8, 8, device="cuda", dtype=dtype)
            assert _fits_kernel(module, x) is (fused and dtype in NAMES)
        assert _fits_kernel(module, torch.empty(2, 12, 8, 8)) is True
        assert _fits_kernel(module.eval(), x.float()) is False


def windows() -> Iterator[tuple[int, int, int]]:
    """Kernel, stride, dilation."""
    yield from ((k, s, d) for k in (1, 3, 5, 7, 9) for s in (1, 2) for d in (1, 2))
    yield (3, 3, 1)


def example(
    samples: int, height: int, width: int, channels: int, out: int, kernel: int, dtype: torch.dtype
) -> list[Tensor]:
    draw = torch.Generator().manual_seed(kernel)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw).cuda()

    x = noise(samples, channels, height, width).to(dtype)
    taps, mix = noise(channels, 1, kernel, kernel) / kernel, noise(out, channels, 1, 1) / channels
    return [x, taps, mix, noise(out), noise(out)]


Route = Callable[..., tuple[Tensor, ...]]


def results(
    run: Route, given: list[Tensor], grad: Tensor, dtype: torch.dtype | None, *window: int
) -> list[Tensor]:
    """What is computed and all gradients, in float64, of x and weights in `dtype`."""
    given = [(t if dtype is None else t.to(dtype)).detach().requires_grad_() for t in given]
    y, *statistics = run(*given, *window)
    of_all = torch.autograd.grad(y, given, grad.to(y.dtype))
    return [t.detach().double() for t in (y, *statistics, *of_all)]


@needs_device
@each_type
@pytest.mark.parametrize("window", list(windows()), ids=str)
def test_values_and_gradients(window: tuple[int, int, int], dtype: torch.dtype) -> None:
    """The error is at most twice that of torch, all of whose tensors have the type."""
    kernel, stride, dilation = window
    for size in SIZES:
        given = example(*size, kernel, dtype)
        with torch.no_grad():
            y = sep_conv_norm(*given, stride, dilation)[0]
        assert y.dtype == dtype
        assert y.is_contiguous(memory_format=torch.channels_last)
        grad = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to("cuda", dtype)
        wanted = results(sep_conv_norm_ref, given, grad, torch.float64, stride, dilation)
        found = results(sep_conv_norm, given, grad, None, stride, dilation)
        theirs = results(sep_conv_norm_ref, given, grad, dtype, stride, dilation)
        for i, (ours, exact, others) in enumerate(zip(found, wanted, theirs, strict=True)):
            error, allowed = (ours - exact).norm(), 2 * (others - exact).norm()
            if dtype == torch.float32:  # where cuDNN may happen to be right
                allowed = allowed + 2e-5 * exact.norm()
            assert error <= allowed + 1e-5 * exact.norm(), (size, i)


@needs_device
@pytest.mark.parametrize("offset", [10, 100])
def test_a_large_mean_costs_no_digits(offset: float) -> None:
    x, *weights = example(4, 8, 9, 6, 5, 3, torch.float32)
    given = [offset + x / 10, *(w.abs() for w in weights)]
    ours = sep_conv_norm(*given)[0].double()
    theirs = sep_conv_norm_ref(*(t.double() for t in given))[0]
    assert (ours - theirs).norm() < 2e-5 * offset * theirs.norm()


@needs_device
@each_type
def test_the_bits_are_the_same_in_every_run(dtype: torch.dtype) -> None:
    given = example(64, 16, 16, 48, 48, 5, dtype)
    grad = torch.randn_like(given[0])
    first = results(sep_conv_norm, given, grad, None)
    for _ in range(3):
        assert all(map(torch.equal, first, results(sep_conv_norm, given, grad, None)))


@needs_device
def test_a_graph_captures_both_passes_and_two_streams_run_them() -> None:
    given = [t.requires_grad_() for t in example(8, 9, 7, 20, 24, 3, torch.bfloat16)]
    y, raw, mean, variance = torch.ops.nascore.sep_conv_norm(*given, 1, 1, 1e-5)
    grad = torch.randn_like(y)
    saved = (given[0], raw, mean, variance, *given[1:4])

    def both() -> tuple[Tensor, ...]:
        with torch.no_grad():
            forward = torch.ops.nascore.sep_conv_norm(*given, 1, 1, 1e-5)
            return *forward, *torch.ops.nascore.sep_conv_norm_backward(grad, *saved, 1, 1, 1e-5)

    wanted = both()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = both()
    for t in captured:
        t.detach().zero_()
    graph.replay()
    assert all(map(torch.equal, captured, wanted))
    streams = [torch.cuda.Stream() for _ in range(2)]
    found = []
    for _ in range(8):
        for stream in streams:
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                found.append(both())
    torch.cuda.synchronize()
    assert all(all(map(torch.equal, one, wanted)) for one in found)


@needs_device
@each_type
@pytest.mark.parametrize("stride", [1, 2])
def test_torch_accepts_the_operator_on_the_device(dtype: torch.dtype, stride: int) -> None:
    given = [t.requires_grad_() for t in example(2, 7, 6, 5, 4, 3, dtype)]
    torch.library.opcheck(torch.ops.nascore.sep_conv_norm.default, (*given, stride, 1, 1e-5))


@needs_device
@each_type
def test_a_module_trains_by_it_as_without(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = SepConv(ROW, 12).cuda()
    x = torch.randn(16, 12, 8, 8, device="cuda")
    found = []
    for fused in (False, True):
        monkeypatch.setattr(SepConv, "fused_on_cuda", fused)
        module.norm.reset_running_stats()
        module.zero_grad()
        with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
            y = module(x)
        y.float().square().mean().backward()
        assert y.dtype == dtype
        of_weights = [parameter.grad.clone() for parameter in module.parameters()]
        statistics = [module.norm.running_mean.clone(), module.norm.running_var.clone()]
        found.append([y.detach().float(), *statistics, *of_weights])
    allowed = 1e-2 if dtype == torch.float32 else 0.05  # cuDNN may take TF32
    for ours, theirs in zip(*found, strict=True):
        assert (ours - theirs).norm() <= allowed * max(1.0, theirs.norm().item())
