"""The code of a chain of layers as rows (kind, a, b), and as MetaQNN writes it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_FORMS = {1: "C({},{})", 2: "P({},{})", 3: "FC({})", 4: "GAP", 5: "SM"}
_LAYER = re.compile(r"C\((\d+),(\d+)\)|P\((\d+),(\d+)\)|FC\((\d+)\)|(GAP)|(SM)")
_MOST = np.iinfo(np.int16).max


def layer_text(code: Sequence[Sequence[int]]) -> str:
    """Such as "C(64,3),P(2,2),FC(128),SM"."""
    return ",".join(_FORMS[kind].format(*numbers) for kind, *numbers in code)


def layer_rows(code: str | npt.ArrayLike) -> npt.NDArray[np.int16]:
    """The rows `[L, 3]` of a text or of rows; ValueError where it is neither."""
    if isinstance(code, str):
        return _parsed(code)
    try:
        given = np.asarray(code)
    except ValueError:  # ragged
        given = np.empty(1)
    if given.ndim != 2 or given.shape[1] != 3 or given.dtype.kind not in "iu":
        raise ValueError(f"a code of layers is rows of three integers, got {code!r}")
    rows = given.astype(np.int16)
    if (rows != given).any():
        raise ValueError(f"a code of layers is of 16-bit integers, got {code!r}")
    return rows


def _parsed(text: str) -> npt.NDArray[np.int16]:
    rows = []
    for part in re.split(r",(?![^(]*\))", re.sub(r"\s", "", text)):
        match = _LAYER.fullmatch(part)
        numbers = [int(n) for n in match.groups() if n and n.isdecimal()] if match else []
        if match is None or max(numbers, default=0) > _MOST:
            raise ValueError(
                f"{part!r} is no layer: write C(width,kernel), P(kernel,stride), FC(width), "
                "and SM or GAP at the end, with commas between"
            )
        kind = next(
            k for k, form in _FORMS.items() if form.partition("(")[0] == part.partition("(")[0]
        )
        rows.append([kind, *numbers, 0, 0][:3])
    return np.array(rows, np.int16)
