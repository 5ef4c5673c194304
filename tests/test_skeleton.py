"""Skeletons as values, and what does not fit into them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nascore import _core
from nascore.spaces import BlockSpace, ChoicesSpace, Skeleton


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stem_width": 0}, "stem_width=0 must be 1 to 1048576"),
        ({"stem_stride": 0}, "stem_stride=0 must be"),
        ({"blocks": 0}, "blocks=0 must be 1 to 341 with 3 groups"),
        ({"blocks": 342}, "blocks=342 must be 1 to 341"),
        ({"widths": ()}, r"len\(widths\)=0 must be 1 to 1024"),
        ({"widths": (8, -1)}, "a width=-1 must be 1 to 1048576"),
    ],
)
def test_a_wrong_skeleton_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(Skeleton(), **change)


def test_a_skeleton_from_json_equals_the_first() -> None:
    assert Skeleton(widths=[1, 2]) == Skeleton(widths=(1, 2))  # type: ignore[arg-type]
    assert hash(Skeleton.small()) == hash(dataclasses.replace(Skeleton.small()))


def test_what_does_not_fit_is_refused() -> None:
    conv = BlockSpace().architecture("[(1,1,3,0,0)]")
    with pytest.raises(ValueError, match="image of 3x2x9 is too small for 3 groups"):
        Skeleton.cifar().expand(conv, (3, 2, 9), 10)
    with pytest.raises(ValueError, match="classes=0 must be 1 to"):
        Skeleton.cifar().expand(conv, (3, 32, 32), 0)
    with pytest.raises(ValueError, match="height=0 must be 1 to"):
        Skeleton.cifar().expand(conv, (3, 0, 32), 10)
    with pytest.raises(ValueError, match="space 'choices' has no graph"):
        Skeleton.cifar().expand(ChoicesSpace([2]).architecture([1]), (3, 32, 32), 10)
    codes = np.array([conv.code, [[1, 1, 3, 0, 0], [2, 1, 3, 5, 0]]], np.int16)
    with pytest.raises(ValueError, match="code 1, row 2: pred1=5"):
        _core.nsc_cost(codes, Skeleton.cifar().core(), 3, 32, 32, 10)


def test_resized() -> None:
    skeleton = Skeleton(24, 1, True, 4, (32, 64, 128))
    assert skeleton.resized() == skeleton
    assert skeleton.resized(blocks=2) == Skeleton(24, 1, True, 2, (32, 64, 128))
    assert skeleton.resized(width=80) == Skeleton(60, 1, True, 4, (80, 160, 320))
    with pytest.raises(ValueError, match="stem_width=0"):
        skeleton.resized(width=0)
