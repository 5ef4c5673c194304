"""Masks as torch operators: the core's, and on a CUDA device the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nascore import _core
from nascore.ops import draw_bernoulli, draw_categorical, draw_k
from nascore.ops._library import cuda

ONE = _core.MASK_ONE
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
on_device = pytest.mark.parametrize(
    "device",
    [
        CPU,
        pytest.param(
            CUDA,
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(
                    cuda is None or not torch.cuda.is_available(), reason="no CUDA device"
                ),
            ],
        ),
    ],
    ids=str,
)
SIZES = [(1000, 5), (77, 16), (5, 131), (3, 3000), (2, 20000), (0, 4)]
words = st.integers(0, 2**64 - 1)


def weights(rows: int, n: int) -> Tensor:
    draw = torch.Generator().manual_seed(n)
    drawn = torch.randint(0, ONE + 1, (rows, n), generator=draw, dtype=torch.int32)
    drawn[:: max(rows // 7, 1)] = 0  # rows without any weight
    return drawn


def equal(found: Tensor, wanted: Any, device: torch.device) -> None:
    assert found.device.type == device.type
    assert np.array_equal(found.cpu().numpy(), wanted)
    assert found.cpu().numpy().dtype == wanted.dtype


@on_device
@settings(deadline=None, max_examples=25)
@given(st.sampled_from(SIZES), words, st.integers(0, 2**32 - 1), words)
def test_the_draws_are_the_core_s(
    device: torch.device, size: tuple[int, int], seed: int, stream: int, counter: int
) -> None:
    host, at = weights(*size), (seed, stream, counter)
    legal = host % 3 != 0
    legal[:, 0] = True
    there, allowed, bits = host.to(device), legal.to(device), host.numpy().view(np.uint32)
    k = min(size[1], 6)
    equal(draw_k(there, k, *at), _core.draw_k(bits, k, *at), device)
    equal(draw_bernoulli(there, *at), _core.draw_bernoulli(bits, *at), device)
    wanted = _core.draw_categorical(bits, legal.numpy(), *at)
    equal(draw_categorical(there, allowed, *at), wanted, device)


@on_device
def test_views_are_drawn_from_as_they_are(device: torch.device) -> None:
    host = weights(16, 40)
    there = host.to(device)
    for view in (slice(None, None, 2), slice(1, None)):
        bits = host[:, view].contiguous().numpy().view(np.uint32)
        equal(draw_k(there[:, view], 3, 1, 2, 3), _core.draw_k(bits, 3, 1, 2, 3), device)
        wanted = _core.draw_bernoulli(bits, 1, 2, 3)
        equal(draw_bernoulli(there[:, view], 1, 2, 3), wanted, device)


@on_device
def test_what_is_wrong_is_told(device: torch.device) -> None:
    given = torch.full((2, 3), 7, dtype=torch.int32, device=device)
    at = (0, 0, 0)
    for wrong in (ONE + 1, -1):
        bad = given.clone()
        bad[1, 2] = wrong
        with pytest.raises(ValueError, match="must be 0 to 65536"):
            draw_k(bad, 1, *at)
        with pytest.raises(ValueError, match="must be 0 to 65536"):
            draw_bernoulli(bad, *at)
    none = torch.zeros(2, 3, dtype=torch.bool, device=device)
    with pytest.raises(ValueError, match="legal"):
        draw_categorical(given, none, *at)
    with pytest.raises(ValueError, match=r"legal: expected bool \[2, 3\]"):
        draw_categorical(given, none[:1], *at)
    for k in (0, 4):
        with pytest.raises(ValueError, match="k: expected 1 to 3"):
            draw_k(given, k, *at)
    with pytest.raises(ValueError, match=r"weights: expected int32 \[R, n\]"):
        draw_k(given.long(), 1, *at)
    with pytest.raises(ValueError, match="weights: rows have 1 to 32767"):
        draw_bernoulli(given.new_zeros(1, 32768), *at)
    for name, wrong_at in (
        ("seed", (-1, 0, 0)),
        ("stream", (0, 1 << 32, 0)),
        ("counter", (0, 0, 1 << 64)),
    ):
        with pytest.raises(ValueError, match=f"{name}: expected 0 to"):
            draw_k(given, 1, *wrong_at)


@on_device
def test_torch_accepts_the_operators(device: torch.device) -> None:
    given, ops = weights(7, 9).to(device), torch.ops.nascore
    legal = torch.ones(7, 9, dtype=torch.bool, device=device)
    torch.library.opcheck(ops.draw_k.default, (given, 3, -5, 1, 2))
    torch.library.opcheck(ops.draw_bernoulli.default, (given, 5, 1, 2))
    torch.library.opcheck(ops.draw_categorical.default, (given, legal, 5, 1, 2))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_graph_captures_them() -> None:
    given = weights(64, 9).cuda()
    torch.ops.nascore.draw_k(given, 3, 5, 1, 2)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        drawn, invalid = torch.ops.nascore.draw_k(given, 3, 5, 1, 2)
    given.copy_(given.flip(1))
    graph.replay()
    wanted = _core.draw_k(given.cpu().numpy().view(np.uint32), 3, 5, 1, 2)
    equal(drawn, wanted, CUDA)
    assert not invalid.item()
