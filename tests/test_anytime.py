"""Networks that answer at exits on their way: their codes, rows and costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import nascore
from anytime_kit import (
    CONV1,
    CONV3,
    IDENTITY,
    NET,
    PLAIN,
    SEP3,
    TASK,
    found,
    random_ones,
    relabelled,
)
from nascore import _core
from nascore.networks import build_net
from nascore.spaces import AnytimeNet, AnytimeSpace, Architecture

NAME = {code: name for name, (code, *_) in _core.OPS.items()}


# Codes


def test_decisions_by_hand() -> None:
    space = AnytimeSpace((2, 1), (("conv", 3), ("max_pool", 3)), scales=2)
    assert space.heads == (2, 2, 2, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1)
    made = [0, 1, 0, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0]
    [architecture] = space.decode(np.array([made], np.int16))
    first = ((1, 3, 1, 1, 0, 0), (2, 3, 1, 0, 1, 0, 1))
    assert architecture.code == (first, ((1, 3, 1, 0, 0, 0),))
    assert space.architecture(architecture.code) == architecture
    assert space.actions(architecture) == (0, 1, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0)
    twice = [*made[:8], 1, 1, *made[10:]]
    assert space.decode(np.array([twice], np.int16))[0].code[0][1] == (2, 3, 1, 0, 1, 1)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ((), "cells of at least one row"),
        (((),), "cells of at least one row"),
        (((1, 1, 1, 0, 0, 0),), "cell 1, node 1 is 1; it is"),
        ((((1, 1, 1, 0, 0),),), r"cell 1, node 1 is \(1, 1, 1, 0, 0\); it is \(op, kernel"),
        ((((1, 1, 1, 8, 0, 0),),), "cell 1, node 1: scale 8 must be 0 to 7"),
        ((((1, 1, 1, 0, 2, 0),),), "cell 1, node 1: exit 2 must be 0 or 1"),
        ((PLAIN, ((1, 1, 1, 0, 0, 1),)), r"cell 2, node 1: it reads \(1,\); each of 0 to 0 once"),
        (((*PLAIN, (1, 1, 1, 0, 0, 1, 0)),), r"node 2: it reads \(1, 0\); .* in rising order"),
        ((((99, 1, 1, 0, 0, 0),),), "op=99 is not an operation of a graph"),
        ((PLAIN * 32,), "cell 1 has 32 nodes; a cell has 1 to 31"),
    ],
)
def test_a_wrong_code_is_refused(code: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Architecture.of("anytime", code)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ((PLAIN,), r"cells of \[1\] nodes; this space has \(2, 1\)"),
        ((PLAIN * 2, ((3, 3, 1, 0, 0, 0),)), r"cell 2, node 1: \(3, 3, 1\) is no operation"),
        ((PLAIN * 2, ((1, 1, 1, 2, 0, 0),)), "cell 2, node 1: scale 2 must be below 2"),
    ],
)
def test_an_architecture_of_another_space_is_refused(code: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AnytimeSpace((2, 1), (("conv", 1),), 2).architecture(code)  # type: ignore[arg-type]
    three = found((*PLAIN, *PLAIN, (1, 1, 1, 0, 0, 0, 1, 2)))
    with pytest.raises(ValueError, match=r"a node of this space reads one or two"):
        AnytimeSpace((3,)).actions(three)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nodes": ()}, r"nodes=\(\): give each cell 1 to 31"),
        ({"nodes": (3, 32)}, r"nodes=\(3, 32\): give each cell 1 to 31"),
        ({"scales": 0}, "scales=0 must be 1 to 8"),
        ({"operations": (("convolve", 3),)}, "unknown operation 'convolve'"),
    ],
)
def test_a_wrong_space_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AnytimeSpace(**arguments)  # type: ignore[arg-type]


@given(st.integers(0, 2**32 - 1))
def test_numbering_does_not_count_and_all_else_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    [one] = random_ones(1, seed)
    other = relabelled(one, rng)
    assert one.hash == other.hash
    mine, theirs = (NET.expand(a, TASK.shape, 10) for a in (one, other))
    assert (mine.params, mine.macs) == (theirs.params, theirs.macs)
    assert mine.exit_macs == theirs.exit_macs
    c = int(rng.integers(len(one.code)))
    v = int(rng.integers(len(one.code[c])))
    row = one.code[c][v]
    for changed in (
        (*row[:3], (row[3] + 1) % 3, *row[4:]),
        (*row[:4], 1 - row[4], *row[5:]),
        (*(CONV1 if row[:3] != CONV1 else CONV3), *row[3:]),
    ):
        cells = [list(cell) for cell in one.code]
        cells[c][v] = changed
        assert found(*cells).hash != one.hash


def test_the_largest_cell_has_its_place_in_a_graph() -> None:
    rows = [(*CONV1, 0, 1, 0), *((*CONV1, 0, 1, v - 2, v - 1) for v in range(2, 32))]
    [graph] = found(rows).graphs
    assert len(graph.nodes) == 64
    assert found(rows).hash == relabelled(found(rows), np.random.default_rng(0)).hash


# Rows and costs


def test_rows_by_hand() -> None:
    """A 3x3 at half the size, a separable one at full size that reads both, with an exit."""
    cell = ((*CONV3, 1, 0, 0), (*SEP3, 0, 1, 0, 1), (*IDENTITY, 2, 0, 1))
    net = AnytimeNet(4, (6,)).expand(found(cell), (1, 9, 13), 10)
    lines = [
        (NAME[op], kernel, stride, (channels, height, width), inputs)
        for (op, kernel, _, stride, _, _, channels, height, width), inputs in zip(
            net.rows.tolist(), net.inputs, strict=True
        )
    ]
    assert lines == [
        ("input", 0, 1, (1, 9, 13), ()),
        ("stem", 3, 1, (4, 9, 13), (0,)),
        ("conv", 1, 1, (6, 9, 13), (1,)),  # to the cell's width
        ("max_pool", 2, 2, (6, 4, 6), (2,)),
        ("conv", 3, 1, (6, 4, 6), (3,)),
        ("upsample", 0, 1, (6, 9, 13), (4,)),
        ("add", 0, 1, (6, 9, 13), (2, 5)),
        ("sep_conv", 3, 1, (6, 9, 13), (6,)),
        ("sep_conv", 3, 1, (6, 9, 13), (7,)),
        ("relu", 0, 1, (6, 9, 13), (8,)),
        ("global_pool", 0, 1, (6, 1, 1), (9,)),
        ("linear", 0, 1, (10, 1, 1), (10,)),
        ("max_pool", 2, 2, (6, 2, 3), (4,)),
        ("identity", 0, 1, (6, 2, 3), (12,)),
        ("max_pool", 4, 4, (6, 2, 3), (8,)),  # the result is at the coarsest scale
        ("add", 0, 1, (6, 2, 3), (14, 13)),
        ("relu", 0, 1, (6, 2, 3), (15,)),
        ("global_pool", 0, 1, (6, 1, 1), (16,)),
        ("linear", 0, 1, (10, 1, 1), (17,)),
    ]
    assert net.exits == [11]
    assert net.seams == [15]
    before = (4 * 9 + 6 * 4) * 117 + 6 * 6 * 9 * 24 + 2 * (6 * 9 + 6 * 6) * 117
    assert net.exit_macs == [before + 60, before + 120] == [net.exit_macs[0], net.macs]


def row_macs(net: _core.Net) -> list[int]:
    out = []
    for row, inputs in zip(net.rows.tolist(), net.inputs, strict=True):
        op, kernel, _, _, _, _, channels, height, width = row
        given = net.rows[inputs[0], 6] if inputs else 0
        each = {
            "stem": channels * given * kernel**2,
            "conv": channels * given * kernel**2,
            "sep_conv": given * kernel**2 + given * channels,
            "linear": given * channels,
        }
        out.append(int(each.get(NAME[op], 0)) * height * width)
    return out


def test_an_exit_costs_what_leads_to_it_and_to_cheaper_ones() -> None:
    ties = 0
    for architecture in random_ones(60, 1):
        net = NET.expand(architecture, (3, 11, 8), 7)
        macs, inputs = row_macs(net), net.inputs
        feeds = [{i} for i in range(len(macs))]
        for i, read in enumerate(inputs):
            feeds[i].update(*(feeds[j] for j in read))
        alone = [sum(macs[i] for i in feeds[row]) for row in net.exits]
        assert alone == sorted(alone)
        expected = []
        for cost in alone:
            cheap = [k for k, other in enumerate(alone) if other <= cost]
            run = set().union(*(feeds[net.exits[k]] for k in cheap))
            expected.append(sum(macs[i] for i in run))
        assert net.exit_macs == [*expected, sum(macs)]
        ties += len(set(alone)) < len(alone)
    assert ties > 5


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 13)])
def test_networks_build_and_cost_what_their_modules_do(shape: tuple[int, int, int]) -> None:
    images = torch.randn(2, *shape)
    for architecture in random_ones(6, 2):
        net = NET.expand(architecture, shape, 10)
        network = build_net(net).eval()
        seen: dict[int, tuple[int, ...]] = {}
        for call in network.plan:
            if net.rows[call.row, 7:].max() > 1:  # an image
                network.get_submodule(call.name).register_forward_hook(
                    lambda _m, _x, y, row=call.row, seen=seen: seen.update({row: y.shape[2:]})
                )
        exits = sum(row[4] for cell in architecture.code for row in cell)
        assert len(net.exits) == exits == len(network.exit_rows) - 1
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            answers = network.exits(images)
        assert len(answers) == exits + 1 == len(net.exit_macs)
        assert all(logits.shape == (2, 10) and logits.isfinite().all() for logits in answers)
        assert counter.get_total_flops() == 2 * 2 * net.macs
        assert net.params == sum(p.numel() for p in network.parameters())
        assert torch.equal(answers[-1], network(images))
        assert all(sides == tuple(net.rows[row, 7:]) for row, sides in seen.items())
        assert len(seen) > 10
        assert network.ends == (len(net.rows) - 1,)  # no auxiliary head


def test_the_nearest_pixels_are_what_upsampling_gives() -> None:
    rows = np.array([[0, 0, 0, 1, 1, 1, 1, 2, 2], [31, 0, 0, 1, 1, 1, 1, 4, 5]])
    rows = np.concatenate([rows, [[11, 0, 0, 1, 1, 1, 1, 1, 1], [12, 0, 0, 1, 1, 1, 2, 1, 1]]])
    network = build_net(_core.Net.from_rows(rows, [[], [0], [1], [2]]))
    given = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    above, below = [1, 1, 1, 2, 2], [3, 3, 3, 4, 4]
    assert network.row_001_upsample(given).tolist() == [[[above, above, below, below]]]
    rows[1, 7] = 1
    with pytest.raises(ValueError, match=r"row 1, upsample, has shape 1x1x5; .* make it 1x2x5"):
        _core.Net.from_rows(rows, [[], [0], [1], [2]])


@pytest.mark.parametrize("exits", [[0], [18], [11, 11], [-1], [99], [8]])
def test_a_row_that_is_no_exit_is_refused(exits: list[int]) -> None:
    cell = ((*CONV3, 1, 0, 0), (*SEP3, 0, 1, 0, 1), (*IDENTITY, 2, 0, 1))
    net = AnytimeNet(4, (6,)).expand(found(cell), (1, 9, 13), 10)
    again = _core.Net.from_rows(net.rows, net.inputs, exits=net.exits, seams=net.seams)
    assert (again.exit_macs, again.seams, again.params) == (net.exit_macs, net.seams, net.params)
    with pytest.raises(ValueError, match=f"row {exits[-1]} is no exit"):
        _core.Net.from_rows(net.rows, net.inputs, exits=exits)
    with pytest.raises(ValueError, match="seam 2: seams are rows"):
        _core.Net.from_rows(net.rows, net.inputs, seams=[3, 2])


def test_what_cannot_be_expanded_is_refused() -> None:
    with pytest.raises(ValueError, match="2 cells in 3 widths"):
        NET.expand(found(PLAIN, PLAIN), (1, 8, 8), 10)
    with pytest.raises(ValueError, match="images of 3x8 have no pixels at scale 2"):
        AnytimeNet(4, (4,)).expand(found(((*CONV1, 2, 0, 0),)), (1, 3, 8), 10)
    with pytest.raises(ValueError, match="of space 'choices' is of no such cells"):
        NET.expand(Architecture.of("choices", (1,)), (1, 8, 8), 10)
    with pytest.raises(ValueError, match=r"stem_width=4, widths=\(\): give each at least 1"):
        AnytimeNet(4, ())
    with pytest.raises(ValueError, match="no blocks to set"):
        NET.resized(blocks=2)
    assert NET.resized(width=8) == AnytimeNet(8, (8, 12, 16))


def test_a_network_is_drawn(tmp_path: Path) -> None:
    nascore.draw(random_ones(1, 3)[0], tmp_path / "cells.svg")
    text = (tmp_path / "cells.svg").read_text()
    assert all(f"<!-- {title} -->" in text for title in ("Cell 1", "Cell 3", "exits", "output"))
