"""Names of a network's rows: what they depend on, and that a plain reference agrees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import space_kit
from nascore import _core
from nascore.spaces import (
    BlockSpace,
    CellSpace,
    CellStack,
    Chain,
    LayerSpace,
    Skeleton,
    SkipNet,
    SkipSpace,
)

SPACE = BlockSpace(6)
SKELETON = Skeleton(8, 1, False, 2, (8, 16))
LAYERS = LayerSpace(8, 4, (4, 8), (8,))
STACK = CellStack(2, 8, reductions=1, stem_width=8)
ADD = _core.OPS["add"][0]


def expand(block: str, skeleton: Skeleton = SKELETON) -> _core.Net:
    return skeleton.expand(SPACE.architecture(block), (1, 8, 8), 10)


def reference(net: _core.Net) -> list[Hashable]:
    """The names by their definition: the nested tuples that the core hashes."""
    names: list[Hashable] = []
    places: list[Hashable] = []
    twins: Counter[Hashable] = Counter()
    seams = {row: number for number, row in enumerate(net.seams)}
    rows = net.rows.tolist()
    for i, ((*what, channels, _, _), inputs) in enumerate(zip(rows, net.inputs, strict=True)):
        read = [(places[j], rows[j][-3]) for j in inputs]
        if what[0] == ADD:
            read.sort(key=repr)
        place: Hashable = (*what, *(where for where, _ in read))
        twins[place] += 1
        place = (place, twins[place])
        names.append((place, channels, *(width for _, width in read)))
        places.append(("seam", seams[i]) if i in seams else place)
    return names


def agree(nets: list[_core.Net]) -> None:
    fast = [name for net in nets for name in net.signatures]
    slow = [name for net in nets for name in reference(net)]
    assert len(set(fast)) == len(set(slow)) == len(set(zip(fast, slow, strict=True)))
    for net in nets:
        assert len(set(net.signatures)) == len(net.rows) == len(net.signatures)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3))
def test_equal_names_are_equal_parts(seed: int, blocks: int) -> None:
    skeleton = Skeleton(8, 1, False, blocks, (8, 12))
    nets = []
    for block in SPACE.decode(space_kit.random_walk(SPACE, 12, seed)[-1]):
        with suppress(ValueError):  # too wide
            nets.append(skeleton.expand(block, (1, 8, 8), 10))
    assert len(nets) > 6
    agree(nets)


@pytest.mark.parametrize(
    ("space", "skeleton"),
    [
        (LAYERS, Chain()),
        (CellSpace(2), STACK),
        (SkipSpace((4,), (1, 3), (1, 3), (1,), (8, 12)), SkipNet()),
    ],
)
def test_equal_names_are_equal_parts_in_other_spaces(space, skeleton) -> None:
    found = space.decode(space_kit.random_walk(space, 20, seed=0)[-1])
    agree([skeleton.expand(architecture, (1, 8, 8), 10) for architecture in found])


def test_a_child_shares_all_cells_with_its_parent() -> None:
    """Another operation in the Normal cell is new in each of them, and all else is as it was."""
    space = CellSpace(2, combine=("add",))
    parent, child = (
        STACK.expand(
            space.architecture(f"sep5(0)+sep3(1) {op}(0)+sep3(1) / max3(0)+sep3(1) sep3(0)+id(1)"),
            (1, 8, 8),
            10,
        )
        for op in ("sep3", "sep5")
    )
    cells = 2 * STACK.normal + 1
    assert len(parent.seams) == cells
    rows, own = parent.rows.tolist(), set(child.signatures)
    convolutions = [i for i, row in enumerate(rows) if NAMES[row[0]] == "sep_conv"]
    new = [i for i in convolutions if parent.signatures[i] not in own]
    assert len(new) == 2 * 2 * STACK.normal  # a separable convolution is applied twice
    assert len(convolutions) == 36


def test_the_size_of_images_does_not_matter() -> None:
    block = SPACE.architecture("[(1,1,3,0,0),(2,2,3,1,0)]")
    small, large = (SKELETON.expand(block, (1, side, side), 10) for side in (8, 12))
    assert small.signatures == large.signatures


def test_the_order_of_an_add_does_not_matter() -> None:
    one = expand("[(1,1,3,0,0),(2,1,5,0,0),(3,5,0,1,2)]")
    other = expand("[(1,1,5,0,0),(2,1,3,0,0),(3,5,0,1,2)]")
    assert one.signatures != other.signatures
    assert set(one.signatures) == set(other.signatures)


def test_the_order_of_a_concat_does() -> None:
    one = expand("[(1,1,3,0,0),(2,1,5,0,0),(3,6,0,1,2),(4,1,1,3,0)]")
    other = expand("[(1,1,5,0,0),(2,1,3,0,0),(3,6,0,1,2),(4,1,1,3,0)]")
    assert [NAMES[row[0]] for row in one.rows.tolist()[2:6]] == ["conv", "conv", "concat", "conv"]
    assert set(one.signatures[:4]) == set(other.signatures[:4])
    assert not set(one.signatures[4:6]) & set(other.signatures)


NAMES = {code: name for name, (code, _, _) in _core.OPS.items()}


def test_who_reads_a_twin_is_told_from_who_reads_the_other() -> None:
    net = expand("[(1,1,3,0,0),(2,1,3,0,0),(3,1,1,1,0),(4,1,1,2,0),(5,5,0,3,4)]")
    assert len(set(net.signatures)) == len(net.rows)


@pytest.mark.parametrize(
    "child",
    ["[(1,1,3,0,0),(2,1,5,1,0),(3,1,1,2,0)]", "[(1,1,3,0,0),(2,1,5,1,0),(3,5,0,1,2)]"],
)
def test_a_child_calls_all_that_it_has_of_its_parent_the_same(child: str) -> None:
    """One layer more, in each of the four blocks; the classifier reads as many channels."""
    parent = expand("[(1,1,3,0,0),(2,1,5,1,0)]").signatures
    own = expand(child).signatures
    assert set(parent) <= set(own)


def test_a_wider_block_renames_only_what_reads_it() -> None:
    """A second leaf doubles the channels that the next block reads."""
    parent, child = (expand(f"[(1,1,3,0,0),(2,1,5,1,0){leaf}]") for leaf in ("", ",(3,1,1,1,0)"))
    kernels = [row[1] for row in parent.rows.tolist()]
    named = zip(kernels, parent.signatures, strict=True)
    # The input, the stem, the first block, the second convolution of the others.
    assert [k for k, name in named if name in child.signatures] == [0, 3, 3, 5, 5, 5, 5]


def test_chains_share_their_beginning() -> None:
    one, other = (
        Chain().expand(LAYERS.architecture(text), (1, 8, 8), 10).signatures
        for text in ("C(4,3),C(8,3),GAP", "C(4,3),C(8,1),GAP")
    )
    assert [a == b for a, b in zip(one, other, strict=True)] == [True] * 2 + [False] * (
        len(one) - 2
    )
