"""Codes that are rows of integers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_WORDS = {3: "three", 5: "five"}


def integer_rows(code: npt.ArrayLike, width: int, name: str) -> npt.NDArray[np.int16]:
    """The rows `[L, width]` of a code; ValueError, with its `name`, where they are not that."""
    try:
        given = np.asarray(code)
    except ValueError:  # ragged
        given = np.empty(1)
    if given.ndim != 2 or given.shape[1] != width or given.dtype.kind not in "iu":
        raise ValueError(f"{name} is rows of {_WORDS[width]} integers, got {code!r}")
    rows = given.astype(np.int16)
    if (rows != given).any():
        raise ValueError(f"{name} is of 16-bit integers, got {code!r}")
    return rows
