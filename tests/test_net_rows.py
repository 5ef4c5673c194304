"""Networks of given rows, which no space wrote."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

from nascore import _core
from nascore.agents.random import Random
from nascore.networks import build_net
from nascore.spaces import (
    BlockSpace,
    CellSpace,
    CellStack,
    Chain,
    EdgeDagSpace,
    LayerSpace,
    Skeleton,
    SkipNet,
    SkipSpace,
    SumDagSpace,
)

OP = {name: code for name, (code, _, _) in _core.OPS.items()}
NAME = {code: name for name, code in OP.items()}
PADDED = ("conv", "max_pool", "avg_pool", "stem")


def chain_rows() -> tuple[list[list[int]], list[list[int]]]:
    """image, convolution, pooling, ReLU, global pooling, linear."""
    rows = [
        [OP["input"], 0, 0, 1, 1, 1, 4, 9, 8],
        [OP["conv_bias"], 3, 5, 2, 1, 2, 6, 5, 4],
        [OP["avg_pool_valid"], 2, 3, 1, 1, 1, 6, 4, 2],
        [OP["batch_norm"], 0, 0, 1, 1, 1, 6, 4, 2],
        [OP["add"], 0, 0, 1, 1, 1, 6, 4, 2],
        [OP["global_pool"], 0, 0, 1, 1, 1, 6, 1, 1],
        [OP["linear"], 0, 0, 1, 1, 1, 3, 1, 1],
    ]
    return rows, [[], [0], [1], [2], [2, 3], [4], [5]]


def from_rows(rows: list[list[int]], inputs: list[list[int]]) -> _core.Net:
    return _core.Net.from_rows(np.array(rows), inputs)


def test_a_net_of_rows_costs_and_runs() -> None:
    net = from_rows(*chain_rows())
    assert net.params == 6 * 2 * 15 + 6 + 2 * 6 + 6 * 3 + 3
    assert net.macs == 6 * 2 * 15 * 20 + 6 * 3
    network = build_net(net)
    assert sum(p.numel() for p in network.parameters()) == net.params
    assert network(torch.zeros(2, 4, 9, 8)).shape == (2, 3)


WRITERS = [
    (BlockSpace(8), Skeleton(8, 1, True, 2, (8, 16))),
    (EdgeDagSpace(), Skeleton.small()),
    (SumDagSpace(6), Skeleton.small()),
    (LayerSpace(64, 6, (4, 8), (16,)), Chain()),
    (CellSpace(), CellStack.small()),
    (CellSpace(2), CellStack(1, 8, stem_width=8, stem_cells=1, auxiliary=True)),
    (SkipSpace((6,), strides=(1, 2)), SkipNet()),
]


@pytest.mark.parametrize(("space", "skeleton"), WRITERS, ids=lambda value: type(value).__name__)
def test_what_the_spaces_write_obeys_the_rules(space: Any, skeleton: Any) -> None:
    written = 0
    for proposal in Random(space, 5).ask(30):
        try:
            net = skeleton.expand(proposal.architecture, (3, 64, 64), 10)
        except ValueError:  # too wide, or an empty block
            continue
        written += 1
        again = _core.Net.from_rows(net.rows, net.inputs)
        assert (again.rows == net.rows).all()
        assert again.inputs == net.inputs
        assert (again.params, again.macs, again.peak_bytes) == (
            net.params,
            net.macs,
            net.peak_bytes,
        )
    assert written > 10


COLUMN = {name: i for i, name in enumerate(_core.NET_COLUMNS)}


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (1, "op", 99, "row 1 has op=99"),
        (1, "op", OP["terminal"], "row 1, terminal, has no place in a network"),
        (1, "op", OP["input"], "row 1, input, must be row 0"),
        (0, "op", OP["relu"], "row 0, relu, must be the input"),
        (1, "kernel", -1, "row 1 has kernel=-1; it must be 0 to"),
        (1, "kernel", 0, "row 1, conv_bias, has kernel=0; it must be 1 to 1024"),
        (1, "kernel_width", 2000, "row 1, conv_bias, has kernel_width=2000"),
        (1, "groups", 4, "row 1, conv_bias, has groups=4, which must divide"),
        (1, "channels", 0, "row 1, conv_bias, has shape 0x5x4; sides are 1 to"),
        (1, "height", 9, "row 1, conv_bias, has shape 6x9x4; its inputs make it 6x5x4"),
        (2, "dilation", 2, "row 2, avg_pool_valid, has dilation=2; it must be 1"),
        (2, "kernel", 6, "row 2, avg_pool_valid, has shape 6x4x2; its inputs make it empty"),
        (2, "channels", 5, "row 2, avg_pool_valid, has shape 5x4x2; its inputs make it 6x4x2"),
        (3, "kernel", 3, "row 3, batch_norm, has kernel=3; it must be 0"),
        (4, "channels", 7, "row 4, add, has shape 7x4x2; its inputs make it 6x4x2"),
        (6, "height", 2, "row 6, linear, has shape 3x2x1; its inputs make it 3x1x1"),
    ],
)
def test_a_bad_row_is_named(row: int, column: str, value: int, message: str) -> None:
    rows, inputs = chain_rows()
    rows[row][COLUMN[column]] = value
    with pytest.raises(ValueError, match=re.escape(message)):
        from_rows(rows, inputs)


@pytest.mark.parametrize(
    ("row", "reads", "message"),
    [
        (0, [0], "row 0, input, reads 1 rows; it needs 0"),
        (1, [], "row 1, conv_bias, reads 0 rows; it needs 1"),
        (1, [1], "row 1, conv_bias, reads row 1; rows read earlier ones"),
        (1, [-1], "row 1, conv_bias, reads row -1; rows read earlier ones"),
        (4, [2], "row 4, add, reads 1 rows; it needs two or more"),
        (4, [2, 1], "row 4, add, reads 6x4x2 and 6x5x4; they must be equal"),
        (5, [2], "row 4, add, is read by no row, and does not give the 3 logits"),
        (6, [4], "row 6, linear, reads an image; it needs a vector"),
    ],
)
def test_bad_inputs_are_named(row: int, reads: list[int], message: str) -> None:
    rows, inputs = chain_rows()
    inputs[row] = reads
    with pytest.raises(ValueError, match=re.escape(message)):
        from_rows(rows, inputs)


def test_rows_and_inputs_of_other_shapes_are_refused() -> None:
    rows, inputs = chain_rows()
    with pytest.raises(ValueError, match="rows has 7 rows, inputs 6"):
        from_rows(rows, inputs[:-1])
    with pytest.raises(ValueError, match=r"rows: expected int64 \[R, 9\]"):
        from_rows([row[:-1] for row in rows], inputs)
    with pytest.raises(ValueError, match="at least its input row"):
        _core.Net.from_rows(np.empty((0, 9), np.int64), [])
    vector = [OP["max_pool"], 1, 1, 1, 1, 1, 3, 1, 1]
    with pytest.raises(ValueError, match="row 7, max_pool, reads a vector; it needs an image"):
        from_rows([*rows, vector], [*inputs, [6]])


@pytest.mark.parametrize(
    ("op", "padded", "bias"),
    [
        ("conv_plain", True, False),
        ("conv_plain_valid", False, False),
        ("conv_bias_valid", False, True),
    ],
)
def test_single_convolutions(op: str, padded: bool, bias: bool) -> None:
    height, width = (5, 4) if padded else (4, 2)  # of 9 x 8 by 3 x 5 at stride 2
    rows = [
        [OP["input"], 0, 0, 1, 1, 1, 4, 9, 8],
        [OP[op], 3, 5, 2, 1, 2, 6, height, width],
        [OP["global_pool"], 0, 0, 1, 1, 1, 6, 1, 1],
    ]
    net = from_rows(rows, [[], [0], [1]])
    assert net.params == 6 * 2 * 15 + 6 * bias
    assert net.macs == 6 * 2 * 15 * height * width
    network = build_net(net)
    assert sum(p.numel() for p in network.parameters()) == net.params
    assert network(torch.zeros(2, 4, 9, 8)).shape == (2, 6)


def repaired(rows: list[list[int]], inputs: list[list[int]]) -> _core.Net:
    return _core.Net.from_rows(np.array(rows), inputs, repair=True)


def test_repair_leaves_what_fits() -> None:
    rows, inputs = chain_rows()
    assert repaired(rows, inputs).rows.tolist() == rows


def test_repair_makes_shapes_fit() -> None:
    rows, inputs = chain_rows()
    rows[0][6:] = [2, 12, 12]
    rows[1][COLUMN["channels"]] = 10
    net = repaired(rows, inputs)
    assert net.rows[:, 6:].tolist() == [
        [2, 12, 12],
        [10, 6, 6],
        [10, 5, 4],
        [10, 5, 4],
        [10, 5, 4],
        [10, 1, 1],
        [3, 1, 1],
    ]
    assert build_net(net)(torch.zeros(2, 2, 12, 12)).shape == (2, 3)


@pytest.mark.parametrize(
    ("channels", "width", "groups", "expected"),
    [
        (6, 6, 6, (6, 6)),  # depthwise
        (9, 6, 6, (9, 9)),  # depthwise, and more channels than it had
        (6, 8, 4, (8, 2)),  # grouped: the largest common divisor
        (5, 8, 4, (8, 1)),
    ],
)
def test_repair_of_groups(
    channels: int, width: int, groups: int, expected: tuple[int, int]
) -> None:
    rows, inputs = chain_rows()
    rows[0][COLUMN["channels"]] = channels
    rows[1][COLUMN["channels"]], rows[1][COLUMN["groups"]] = width, groups
    net = repaired(rows, inputs)
    assert (net.rows[1, COLUMN["channels"]], net.rows[1, COLUMN["groups"]]) == expected


def test_repair_still_refuses_what_cannot_be() -> None:
    rows, inputs = chain_rows()
    rows[0][6:] = [4, 2, 2]
    with pytest.raises(ValueError, match=r"row 2, avg_pool_valid, .* its inputs make it empty"):
        repaired(rows, inputs)
    rows, inputs = chain_rows()
    inputs[4] = [2, 1]
    with pytest.raises(ValueError, match="row 4, add, reads 6x4x2 and 6x5x4"):
        repaired(rows, inputs)
