"""The CUDA convolutions beside torch's in float64, on a device."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from nascore.ops import conv, conv_ref, sep_conv

_cuda = pytest.importorskip("nascore._cuda", reason="built without CUDA: no nvcc, or turned off")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

NAMES = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}
SIZES = [(2, 9, 11, 5, 7), (1, 8, 8, 64, 64), (2, 17, 5, 44, 72)]  # N, H, W, C in, C out
BEFORE = 8  # channels that belong to others


def windows() -> Iterator[tuple[int, int, int, int]]:
    """Kernel, stride, dilation."""
    for k in (1, 3, 5, 7):
        yield from ((k, k, s, d) for s in (1, 2) for d in (1, 2))
    yield from ((1, 7, 1, 1), (7, 1, 1, 1), (7, 1, 2, 1), (2, 2, 2, 1))


@pytest.mark.parametrize("dtype", list(NAMES), ids=NAMES.get)
@pytest.mark.parametrize("window", list(windows()), ids=str)
@pytest.mark.parametrize("separable", [False, True])
def test_convolutions(
    separable: bool, window: tuple[int, int, int, int], dtype: torch.dtype
) -> None:
    """Into a part of the channels of a concatenation, onto what is there."""
    kh, kw, s, d = window
    draw = torch.Generator().manual_seed(kh)
    for samples, height, width, cin, cout in SIZES:
        x = torch.randn(samples, height, width, cin + BEFORE, generator=draw).to("cuda", dtype)
        pads = (d * (kh // 2), d * (kw // 2)) if kh % 2 else (0, 0)
        out = [
            (size + 2 * pad - d * (k - 1) - 1) // s + 1
            for size, pad, k in zip((height, width), pads, (kh, kw), strict=True)
        ]
        y = torch.randn(samples, *out, cout + 2 * BEFORE, generator=draw).to("cuda", dtype)
        before, bias = y.clone(), torch.randn(cout, generator=draw).cuda()
        taps = torch.randn(kh, kw, cin, 1 if separable else cout, generator=draw).cuda()
        given = [taps]
        image = x[..., BEFORE:].double().relu().permute(0, 3, 1, 2)
        place = {"stride": s, "dilation": d, "padding": pads}
        if separable:
            of_channel = taps.double().permute(2, 3, 0, 1)
            given.append(torch.randn(cin, cout, generator=draw).cuda())
            mixed = F.conv2d(image, of_channel, groups=cin, **place)
            want = torch.einsum("nchw,co->nhwo", mixed, given[1].double())
        else:
            want = F.conv2d(image, taps.double().permute(3, 2, 0, 1), **place).permute(0, 2, 3, 1)
        shape = _cuda.ConvShape(
            samples=samples,
            height=height,
            width=width,
            in_channels=cin,
            out_channels=cout,
            in_stride=x.shape[-1],
            out_stride=y.shape[-1],
            out_height=out[0],
            out_width=out[1],
            kernel_h=kh,
            kernel_w=kw,
            stride=s,
            dilation=d,
            pad_top=pads[0],
            pad_left=pads[1],
            relu=True,
            relu_after=cin == 44,
            accumulate=True,
        )
        addresses = [t.data_ptr() for t in (x[..., BEFORE:], *given, bias)]
        own = slice(BEFORE, BEFORE + cout)
        kernel = getattr(_cuda, f"{'sep_' if separable else ''}conv_{NAMES[dtype]}")
        stream = torch.cuda.current_stream().cuda_stream
        kernel(*addresses, shape, y[..., BEFORE:].data_ptr(), stream)
        want = want + bias + before[..., own]
        if cin == 44:
            want = want.relu()
        error = (y[..., own].double() - want).abs().amax().item()
        allowed = 1e-5 if dtype == torch.float32 else torch.finfo(dtype).eps
        assert error <= allowed * want.abs().amax().item()
        y[..., own] = before[..., own]
        assert torch.equal(y, before)


@pytest.mark.parametrize("dtype", list(NAMES), ids=NAMES.get)
@pytest.mark.parametrize("separable", [False, True])
def test_the_operator(separable: bool, dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 12, 9, 7, generator=draw).to("cuda", dtype)
    shape, out = ((12, 1, 5, 5), 20) if separable else ((20, 12, 5, 5), 20)
    weight = torch.randn(shape, generator=draw).cuda()
    mix = torch.randn(out, 12, 1, 1, generator=draw).cuda()
    scale, shift = torch.randn(2, out, generator=draw).cuda()
    onto = torch.randn(2, out, 5, 4, generator=draw).to("cuda", dtype)
    given = (weight, mix) if separable else (weight,)
    run = sep_conv if separable else conv
    y = run(x, *given, scale, shift, stride=2, onto=onto)
    depthwise, dense = given if separable else (None, weight)
    exact = [None if t is None else t.double() for t in (depthwise, dense, scale, shift)]
    want = conv_ref(x.double(), *exact, stride=2, onto=onto.double())
    assert y.dtype == dtype
    assert y.is_contiguous(memory_format=torch.channels_last)
    allowed = 1e-5 if dtype == torch.float32 else torch.finfo(dtype).eps
    assert (y.double() - want).abs().amax() <= allowed * want.abs().amax()
    arguments = (x, depthwise, dense, scale, shift, 2, 1, onto)
    torch.library.opcheck(
        torch.ops.nascore.conv.default, arguments, test_utils=("test_schema", "test_faketensor")
    )
