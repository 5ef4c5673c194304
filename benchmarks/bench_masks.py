"""Masks of k of n without replacement, beside NumPy and torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nascore import _core
from side_by_side import Compare, Route

ROWS = 50_000


@pytest.mark.parametrize(("n", "k"), [(16, 4), (8, 4), (8, 1), (32, 16)])
def test_k_of_n(compare: Compare, n: int, k: int) -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((ROWS, n), np.float32)
    masks[: ROWS // 2] = masks[0]  # one distribution, which all must agree on
    weights = np.rint(masks * _core.MASK_ONE).astype(np.uint32)
    as_tensor = torch.from_numpy(masks)

    def gumbel() -> np.ndarray:
        scores = np.log(masks) + rng.gumbel(size=masks.shape).astype(np.float32)
        return np.argpartition(scores, n - k, axis=1)[:, n - k :]

    def exponential() -> np.ndarray:  # the same distribution with less arithmetic
        scores = rng.standard_exponential(masks.shape, np.float32) / masks
        return np.argpartition(scores, k - 1, axis=1)[:, :k]

    def agree(*drawn: np.ndarray) -> None:
        shares = [np.bincount(np.ravel(d[: ROWS // 2]), minlength=n) / (ROWS // 2) for d in drawn]
        for share in shares[1:]:
            assert np.abs(share - shares[0]).max() < 0.02  # six standard deviations

    compare(
        f"masks, {k} of {n}",
        "rows",
        {
            "nascore": Route(lambda: _core.draw_k(weights, k, 1, 2, 3), ROWS),
            "NumPy, gumbel": Route(gumbel, ROWS),
            "NumPy, exponential": Route(exponential, ROWS),
            "torch.multinomial": Route(lambda: torch.multinomial(as_tensor, k).numpy(), ROWS),
        },
        agree,
    )
