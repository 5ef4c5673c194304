"""Random masks where their weights are, the same bits on a CPU and on CUDA.

A weight is int32, 0 to `_core.MASK_ONE`, which stands for 1. Row i of a draw is a function of its
weights and of (seed, stream, counter + i), seed and counter being 0 to 2**64 - 1.

The operators give a flag [1] beside what they draw, not 0 where a weight is none: on CUDA nothing
waits for it, so that a graph captures them. The functions wait, and raise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nascore import _core
from nascore.ops._library import cuda, library, require

_ROWS = "int seed, int stream, int counter) -> (Tensor, Tensor)"
library.define(f"draw_k(Tensor weights, int k, {_ROWS}")
library.define(f"draw_bernoulli(Tensor weights, {_ROWS}")
library.define(f"draw_categorical(Tensor weights, Tensor legal, {_ROWS}")
Drawn = tuple[Tensor, Tensor]
Fake = Callable[..., Drawn]
_MOST = 32767  # entries of a row, as in masks.hpp


def draw_k(weights: Tensor, k: int, seed: int, stream: int, counter: int) -> Tensor:
    """k distinct indices of each row of `weights` [R, n], in the order drawn: int32 [R, k].

    Each is drawn by the weights that are left, and where none is left by chance. Raises ValueError
    for weights, a k or types out of range.
    """
    return _valid(torch.ops.nascore.draw_k(weights, k, *_signed(seed, stream, counter)))


def draw_bernoulli(weights: Tensor, seed: int, stream: int, counter: int) -> Tensor:
    """Each entry true with probability weight / MASK_ONE: `weights` [R, n] -> bool [R, n].

    Raises ValueError for weights or types out of range.
    """
    return _valid(torch.ops.nascore.draw_bernoulli(weights, *_signed(seed, stream, counter)))


def draw_categorical(
    weights: Tensor, legal: Tensor, seed: int, stream: int, counter: int
) -> Tensor:
    """One index of each row by the `weights` [R, n] of those that are `legal`, bool: int32 [R].

    By chance where no legal one has weight. Raises ValueError for weights or types out of range,
    and where nothing of a row is legal.
    """
    drawn = torch.ops.nascore.draw_categorical(weights, legal, *_signed(seed, stream, counter))
    return _valid(drawn)


def _signed(seed: int, stream: int, counter: int) -> tuple[int, int, int]:
    """As torch passes integers: of 64 bits with a sign."""
    for name, number, bits in (
        ("seed", seed, 64),
        ("stream", stream, 32),
        ("counter", counter, 64),
    ):
        require(0 <= number < 1 << bits, f"{name}: expected 0 to 2**{bits} - 1, got {number}")
    half = 1 << 63
    return (seed + half) % (1 << 64) - half, stream, (counter + half) % (1 << 64) - half


def _valid(found: Drawn) -> Tensor:
    drawn, invalid = found
    told = f"weights: each must be 0 to {_core.MASK_ONE}, and in each row one must be legal"
    if torch.compiler.is_compiling():  # what is traced cannot wait for a number
        torch._assert_async(invalid == 0, told)
    else:
        require(not invalid.item(), told)
    return drawn


def _size(weights: Tensor, k: int = 1) -> tuple[int, int]:
    fits = weights.dtype == torch.int32 and weights.dim() == 2
    require(fits, f"weights: expected int32 [R, n], got {weights.dtype} {list(weights.shape)}")
    rows, n = weights.shape
    require(1 <= n <= _MOST, f"weights: rows have 1 to {_MOST} entries, not {n}")
    require(1 <= k <= n, f"k: expected 1 to {n}, the entries of a row, got {k}")
    return rows, n


def _check_legal(weights: Tensor, legal: Tensor) -> None:
    fits = legal.dtype == torch.bool and legal.shape == weights.shape
    wanted = f"bool {list(weights.shape)} on {weights.device}"
    got = f"{legal.dtype} {list(legal.shape)} on {legal.device}"
    require(fits and legal.device == weights.device, f"legal: expected {wanted}, got {got}")


def _fake_k(weights: Tensor, k: int, seed: int, stream: int, counter: int) -> Drawn:
    rows, _ = _size(weights, k)
    return weights.new_empty((rows, k)), weights.new_zeros(1)


def _fake_bernoulli(weights: Tensor, seed: int, stream: int, counter: int) -> Drawn:
    _size(weights)
    mask = torch.empty(weights.shape, dtype=torch.bool, device=weights.device)
    return mask, weights.new_zeros(1)


def _fake_categorical(
    weights: Tensor, legal: Tensor, seed: int, stream: int, counter: int
) -> Drawn:
    rows, _ = _size(weights)
    _check_legal(weights, legal)
    return weights.new_empty(rows), weights.new_zeros(1)


def _on_cpu(name: str, fake: Fake, weights: Tensor, *given: Any) -> Drawn:
    """Raises a ValueError that names the row and the entry."""
    *others, seed, stream, counter = given
    _, invalid = fake(weights, *given)
    bits = weights.contiguous().numpy().view(np.uint32)
    read = [x.numpy() if isinstance(x, Tensor) else x for x in others]
    drawn = getattr(_core, name)(bits, *read, seed % (1 << 64), stream, counter % (1 << 64))
    return torch.from_numpy(drawn), invalid


def _on_cuda(name: str, fake: Fake, weights: Tensor, *given: Any) -> Drawn:
    *others, seed, stream, counter = given
    found = fake(weights, *given)
    read = [x.contiguous() for x in (weights, *others) if isinstance(x, Tensor)]
    sizes = [*weights.shape, *(x for x in others if not isinstance(x, Tensor))]
    with torch.cuda.device(weights.device):
        getattr(cuda, name)(
            *(x.data_ptr() for x in read),
            *(*sizes, seed % (1 << 64), stream, counter % (1 << 64)),
            *(x.data_ptr() for x in found),
            torch.cuda.current_stream().cuda_stream,
        )
    return found


_operators: dict[str, Fake] = {
    "draw_k": _fake_k,
    "draw_bernoulli": _fake_bernoulli,
    "draw_categorical": _fake_categorical,
}
for _name, _fake in _operators.items():
    library.impl(_name, partial(_on_cpu, _name, _fake), "CPU")
    if cuda is not None:
        library.impl(_name, partial(_on_cuda, _name, _fake), "CUDA")
    torch.library.register_fake(f"nascore::{_name}", _fake, lib=library)
