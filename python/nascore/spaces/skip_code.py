"""The code of layers with skips, as arrays: what each layer is, and what it reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_FORM = "a layer with skips is (height, width, stride, channels, and the layers that it reads)"


def skip_arrays(
    code: Sequence[Sequence[int]],
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_]]:
    """The numbers `[L, 4]` of the layers, and `[L, L]` whether one reads another.

    ValueError where a row is no layer, or reads what does not come before it or not in its order.
    """
    reads = np.zeros((len(code), len(code)), np.bool_)
    numbers = np.zeros((len(code), 4), np.int16)
    for i, row in enumerate(code):
        if len(row) < 4 or not all(type(number) is int for number in row):
            raise ValueError(f"layer {i + 1} is {row!r}; {_FORM}")
        if max(row[:4]) > np.iinfo(np.int16).max or min(row[:4]) < 1:
            raise ValueError(f"layer {i + 1} is {row!r}; its numbers are 1 to 32767")
        inputs = list(row[4:])
        if inputs != sorted(set(inputs)) or not all(1 <= j <= i for j in inputs):
            raise ValueError(
                f"layer {i + 1} reads {inputs}; it can read layers 1 to {i}, in their order"
            )
        numbers[i] = row[:4]
        reads[i, np.array(inputs, int) - 1] = True
    return numbers, reads
