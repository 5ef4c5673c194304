"""The CUDA kernels beside eager torch (cuDNN, for the convolutions) and torch.compile, on a device.

Timed by CUDA events, one call of each in turn; a copy of the same device is the probe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from bench_cells import STEM, a_network
from nascore.networks.fuse import Fused
from nascore.ops import masked_sum, sep_conv_norm
from torch_routes import Part

_cuda = pytest.importorskip("nascore._cuda", reason="built without CUDA: no nvcc, or turned off")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

NAMES = {torch.float32: "f32", torch.bfloat16: "bf16"}
each_type = pytest.mark.parametrize("dtype", list(NAMES), ids=NAMES.get)


def seconds_of(routes: dict[str, Callable[[], object]], repeats: int = 50) -> dict[str, float]:
    """The median of each."""
    for run in routes.values():
        for _ in range(3):
            run()
    times: dict[str, list[tuple[Any, Any]]] = {name: [] for name in routes}
    for _ in range(repeats):
        for name, run in routes.items():
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            run()
            end.record()
            times[name].append((begin, end))
    torch.cuda.synchronize()
    return {
        name: sorted(begin.elapsed_time(end) for begin, end in pairs)[repeats // 2] / 1e3
        for name, pairs in times.items()
    }


def tell(benchmark: Any, what: str, routes: dict[str, Callable[[], object]], moved: int) -> None:
    """`moved` bytes are the fewest; the probe moves as many."""
    source = torch.empty(moved // 2, dtype=torch.uint8, device="cuda")
    to = torch.empty_like(source)
    seconds = seconds_of({**routes, "copy": lambda: to.copy_(source)})
    ours = seconds["nascore"]
    rivals = "; ".join(
        f"{name} {1e6 * s:.1f} us ({s / ours:.2f}x)"
        for name, s in seconds.items()
        if name != "copy"
    )
    share = seconds["copy"] / ours
    print(f"\n{what} on {torch.cuda.get_device_name()}: {rivals}; {share:.0%} of a copy's rate")
    benchmark.extra_info.update(seconds)
    benchmark(lambda: (routes["nascore"](), torch.cuda.synchronize()))


def sparse_sum(inputs: list[Tensor], mask: Tensor, active: list[int]) -> Tensor:
    """What torch would run who knows on the host which are active."""
    y = inputs[active[0]] * mask[active[0]]
    for j in active[1:]:
        y = torch.addcmul(y, inputs[j], mask[j])
    return y


@each_type
def test_masked_sum(benchmark: Any, dtype: torch.dtype) -> None:
    n, shape, active = 8, (64, 64, 32, 32), [1, 3, 4, 6]
    inputs = [torch.randn(shape, device="cuda", dtype=dtype) for _ in range(n)]
    mask = torch.zeros(n, device="cuda", dtype=dtype)
    mask[active] = 0.5
    compiled = torch.compile(sparse_sum)
    wanted = sparse_sum(inputs, mask, active)
    torch.testing.assert_close(masked_sum(inputs, mask), wanted, rtol=0.02, atol=0.02)
    routes: dict[str, Callable[[], object]] = {
        "nascore": lambda: masked_sum(inputs, mask),
        "eager": lambda: sparse_sum(inputs, mask, active),
        "compile": lambda: compiled(inputs, mask, active),
    }
    moved = (len(active) + 1) * wanted.numel() * wanted.element_size()
    tell(benchmark, f"masked sum, 4 of {n}, {NAMES[dtype]}", routes, moved)


def dense_gradients(grad: Tensor, inputs: list[Tensor], mask: Tensor) -> list[Tensor]:
    of_inputs = [grad * m for m in mask]
    return [*of_inputs, torch.stack([(grad * x).sum(dtype=torch.float32) for x in inputs])]


@each_type
def test_masked_sum_backward(benchmark: Any, dtype: torch.dtype) -> None:
    n, shape = 8, (64, 64, 32, 32)
    inputs = [torch.randn(shape, device="cuda", dtype=dtype) for _ in range(n)]
    mask, grad = torch.rand(n, device="cuda", dtype=dtype), torch.randn_like(inputs[0])
    compiled = torch.compile(dense_gradients)
    ours = torch.ops.nascore.masked_sum_backward
    for mine, theirs in zip(
        ours(grad, inputs, mask), dense_gradients(grad, inputs, mask), strict=True
    ):
        torch.testing.assert_close(mine.float(), theirs.float(), rtol=0.02, atol=8.0)
    routes: dict[str, Callable[[], object]] = {
        "nascore": lambda: ours(grad, inputs, mask),
        "eager": lambda: dense_gradients(grad, inputs, mask),
        "compile": lambda: compiled(grad, inputs, mask),
    }
    moved = (2 * n + 1) * grad.numel() * grad.element_size()
    tell(benchmark, f"masked sum backward, {n}, {NAMES[dtype]}", routes, moved)


@each_type
@pytest.mark.parametrize(("channels", "side", "samples"), [(48, 32, 128), (48, 32, 1), (16, 8, 1)])
@pytest.mark.parametrize(("separable", "kernel"), [(True, 3), (True, 5), (False, 3)])
def test_convolutions(
    benchmark: Any,
    separable: bool,
    kernel: int,
    channels: int,
    side: int,
    samples: int,
    dtype: torch.dtype,
) -> None:
    """ReLU and convolution of channels-last images; torch's rivals have the same layout."""
    x = torch.randn(samples, channels, side, side, device="cuda", dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    taps = torch.randn(kernel, kernel, channels, 1 if separable else channels, device="cuda")
    taps /= taps[..., :1].numel() ** 0.5
    mix = torch.randn(channels, channels, device="cuda") / channels**0.5
    bias, y = torch.randn(channels, device="cuda"), torch.empty_like(x)
    shape = _cuda.ConvShape(
        **dict.fromkeys(("height", "width", "out_height", "out_width"), side),
        **dict.fromkeys(("in_channels", "out_channels", "in_stride", "out_stride"), channels),
        **dict.fromkeys(("kernel_h", "kernel_w"), kernel),
        **dict.fromkeys(("pad_top", "pad_left"), kernel // 2),
        samples=samples,
        relu=True,
    )
    run = getattr(_cuda, f"{'sep_' if separable else ''}conv_{NAMES[dtype]}")
    weights = [taps, mix, bias] if separable else [taps, bias]
    addresses = [t.data_ptr() for t in (x, *weights)]
    stream = torch.cuda.current_stream().cuda_stream

    last = torch.channels_last
    first = taps.permute(2, 3, 0, 1) if separable else taps.permute(3, 2, 0, 1)
    first, shift = first.to(dtype).contiguous(memory_format=last), bias.to(dtype)
    second = mix.T[:, :, None, None].to(dtype).contiguous(memory_format=last)

    def torchs() -> Tensor:
        if not separable:
            return F.conv2d(x.relu(), first, shift, padding=kernel // 2)
        mixed = F.conv2d(x.relu(), first, padding=kernel // 2, groups=channels)
        return F.conv2d(mixed, second, shift)

    run(*addresses, shape, y.data_ptr(), stream)
    allowed = 1e-2 if dtype == torch.float32 else 0.1  # cuDNN may take TF32
    torch.testing.assert_close(y, torchs(), rtol=allowed, atol=allowed)
    compiled = torch.compile(torchs)
    routes: dict[str, Callable[[], object]] = {
        "nascore": lambda: run(*addresses, shape, y.data_ptr(), stream),
        "eager": torchs,
        "compile": compiled,
    }
    moved = 2 * x.numel() * x.element_size() + 4 * sum(w.numel() for w in weights)
    what = f"{'separable ' if separable else ''}convolution {kernel}x{kernel}, {list(x.shape)}"
    tell(benchmark, f"{what}, {NAMES[dtype]}", routes, moved)


@each_type
@pytest.mark.parametrize(("channels", "side", "samples"), [(44, 32, 128), (16, 8, 128)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_training(
    benchmark: Any, kernel: int, channels: int, side: int, samples: int, dtype: torch.dtype
) -> None:
    """Separable convolution and batch norm, forward and backward, of channels-last images; torch
    runs as under autocast, with weights in x's type and a norm in float32."""
    last = torch.channels_last
    x = torch.randn(samples, channels, side, side, device="cuda", dtype=dtype).to(
        memory_format=last
    )
    grad = torch.randn_like(x)
    taps = torch.randn(channels, 1, kernel, kernel, device="cuda") / kernel
    mix = torch.randn(channels, channels, 1, 1, device="cuda") / channels**0.5
    scale, shift = torch.rand(channels, device="cuda") + 0.5, torch.randn(channels, device="cuda")
    given = [t.requires_grad_() for t in (x, taps, mix, scale, shift)]

    def torchs(x: Tensor, taps: Tensor, mix: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        y = F.conv2d(x.relu(), taps.to(x.dtype), padding=kernel // 2, groups=channels)
        y = F.conv2d(y, mix.to(x.dtype))
        return F.batch_norm(y, None, None, scale, shift, True)

    def step(run: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        return torch.autograd.grad(run(*given), given, grad)

    def ours(*arguments: Tensor) -> Tensor:
        return sep_conv_norm(*arguments)[0]

    allowed = 1e-2 if dtype == torch.float32 else 0.1  # cuDNN may take TF32
    for mine, theirs in zip(step(ours), step(torchs), strict=True):
        assert (mine - theirs).norm() <= allowed * theirs.norm()
    compiled = torch.compile(torchs)
    routes: dict[str, Callable[[], object]] = {
        "nascore": lambda: step(ours),
        "eager": lambda: step(torchs),
        "compile": lambda: step(compiled),
    }
    # x in both passes, y, both gradients; what is before the norm is written, and read in both.
    moved = 8 * x.numel() * x.element_size()
    what = f"training a separable convolution {kernel}x{kernel}, {list(x.shape)}"
    tell(benchmark, f"{what}, {NAMES[dtype]}", routes, moved)


@each_type
@pytest.mark.parametrize(("channels", "side", "samples"), [(16, 8, 1), (16, 8, 1024), (44, 32, 64)])
def test_cells(benchmark: Any, channels: int, side: int, samples: int, dtype: torch.dtype) -> None:
    """The Normal cell of NASNet-A in one launch; torch's rivals have its type, channels last."""
    network = a_network(channels, side)
    seam = network.net.seams[0]
    fused = Fused(network, (STEM,), (seam,)).to("cuda", dtype)
    part = Part(network.cuda(), (STEM,), seam).eval()
    part = part.to(dtype=dtype, memory_format=torch.channels_last)
    x = torch.randn(samples, channels, side, side, device="cuda", dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    compiled = torch.compile(part)
    with torch.inference_mode():
        wanted = part(x)
        allowed = 1e-2 if dtype == torch.float32 else 5e-2  # cuDNN may take TF32
        most = allowed * float(wanted.abs().max())
        torch.testing.assert_close(fused(x), wanted, rtol=allowed, atol=most)
        routes: dict[str, Callable[[], object]] = {
            "nascore": lambda: fused(x),
            "eager": lambda: part(x),
            "compile": lambda: compiled(x),
        }
        moved = x.element_size() * (x.numel() + wanted.numel()) + 4 * fused.weights.numel()
        tell(benchmark, f"NASNet-A cell, {list(x.shape)}, {NAMES[dtype]}", routes, moved)
