"""The code of a chain of layers as rows (kind, a, b), and as MetaQNN writes it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nascore.spaces.rows import integer_rows

_FORMS = {1: "C({},{})", 2: "P({},{})", 3: "FC({})", 4: "GAP", 5: "SM"}
_KINDS = {form.partition("(")[0]: kind for kind, form in _FORMS.items()}
_LAYER = re.compile(r"([A-Z]+)(?:\((\d+)(?:,(\d+))?\))?")
_MOST = np.iinfo(np.int16).max


def layer_text(code: Sequence[Sequence[int]]) -> str:
    """Such as "C(64,3),P(2,2),FC(128),SM"."""
    return ",".join(_FORMS[kind].format(*numbers) for kind, *numbers in code)


def layer_rows(code: str | npt.ArrayLike) -> npt.NDArray[np.int16]:
    """The rows `[L, 3]` of a text or of rows; ValueError where it is neither."""
    return _parsed(code) if isinstance(code, str) else integer_rows(code, 3, "a code of layers")


def _parsed(text: str) -> npt.NDArray[np.int16]:
    rows = []
    for part in re.split(r",(?![^(]*\))", re.sub(r"\s", "", text)):  # commas outside brackets
        match = _LAYER.fullmatch(part)
        name, *numbers = match.groups() if match else ("",)
        row = [_KINDS.get(name, 0), *(int(number or 0) for number in numbers)]
        if row[0] == 0 or layer_text([row]) != part or max(row) > _MOST:
            raise ValueError(
                f"{part!r} is no layer: write C(width,kernel), P(kernel,stride), FC(width), "
                "and SM or GAP at the end, with commas between"
            )
        rows.append(row)
    return np.array(rows, np.int16)
