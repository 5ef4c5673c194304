"""Networks as rows: their shapes, their wiring and their cost."""

from __future__ import annotations

import numpy as np
import pytest

import space_kit
from nascore import _core
from nascore.spaces import (
    Architecture,
    BlockSpace,
    Skeleton,
)

OP = {name: code for name, (code, _, _) in _core.OPS.items()}
NAME = {code: name for name, code in OP.items()}
PADDED = ("conv", "max_pool", "avg_pool", "stem")


def block(text: str) -> Architecture:
    return BlockSpace(32).architecture(text)


def plain(net: _core.Net) -> list[tuple[str, tuple[int, int, int], tuple[int, ...]]]:
    """Per row: operation with its kernel, shape, inputs."""
    rows = []
    for (op, kernel, *_, c, h, w), inputs in zip(net.rows.tolist(), net.inputs, strict=True):
        rows.append((f"{NAME[op]}{kernel or ''}", (c, h, w), inputs))
    return rows


def reference_cost(net: _core.Net) -> tuple[int, int, int]:
    """params, macs and peak_bytes by their definitions, in plain Python."""
    rows = net.rows.tolist()
    params = macs = 0
    for (op, k, _, _, _, groups, c, h, w), inputs in zip(rows, net.inputs, strict=True):
        if NAME[op] in ("conv", "stem"):
            weights = c * (rows[inputs[0]][6] // groups) * k * k
            params += weights + 2 * c
            macs += weights * h * w
        elif NAME[op] == "linear":
            params += c * rows[inputs[0]][6] + c
            macs += c * rows[inputs[0]][6]
    peak = 0
    for now in range(len(rows)):
        alive = [
            i for i in range(now + 1) if i == now or any(i in reads for reads in net.inputs[now:])
        ]
        peak = max(peak, sum(4 * int(np.prod(rows[i][6:])) for i in alive))
    return params, macs, peak


def check_rows(net: _core.Net) -> None:
    """Every row reads earlier ones, and has the shape that its operation makes of theirs."""
    rows = net.rows.tolist()
    assert NAME[rows[0][0]] == "input"
    for i, ((op, k, k_width, stride, dilation, groups, *out), inputs) in enumerate(
        zip(rows, net.inputs, strict=True)
    ):
        assert all(0 <= j < i for j in inputs)
        assert (dilation, groups, k_width) == (1, 1, k)
        name = NAME[op]
        shapes = [tuple(rows[j][6:]) for j in inputs]
        if name == "input":
            assert not shapes
            continue
        c, h, w = shapes[0]
        if name in PADDED:
            padding = k // 2 if k % 2 else 0
            sides = [(side + 2 * padding - k) // stride + 1 for side in (h, w)]
            assert out[1:] == sides
            assert len(shapes) == 1
        if name in ("max_pool", "avg_pool"):
            assert out[0] == c
        elif name == "add":
            assert set(shapes) == {tuple(out)}
            assert len(shapes) >= 2
        elif name == "concat":
            assert out == [sum(s[0] for s in shapes), h, w]
            assert len({s[1:] for s in shapes}) == 1
            assert len(shapes) >= 2
        elif name == "relu":
            assert shapes == [tuple(out)]
        elif name == "global_pool":
            assert out == [c, 1, 1]
    assert [NAME[row[0]] for row in rows[-3:]] == ["relu", "global_pool", "linear"]


def test_a_residual_block_by_hand() -> None:
    net = Skeleton(8, 1, False, 1, (8, 16)).expand(
        block("[(1,1,3,0,0),(2,1,5,1,0),(3,5,0,0,2)]"), (3, 6, 5), 10
    )
    assert plain(net) == [
        ("input", (3, 6, 5), ()),
        ("stem3", (8, 6, 5), (0,)),
        ("conv3", (8, 6, 5), (1,)),
        ("conv5", (8, 6, 5), (2,)),
        ("add", (8, 6, 5), (1, 3)),
        ("max_pool2", (8, 3, 2), (4,)),
        ("conv3", (16, 3, 2), (5,)),
        ("conv5", (16, 3, 2), (6,)),
        ("conv1", (16, 3, 2), (5,)),  # the thinner input of the add
        ("add", (16, 3, 2), (8, 7)),
        ("relu", (16, 3, 2), (9,)),
        ("global_pool", (16, 1, 1), (10,)),
        ("linear", (10, 1, 1), (11,)),
    ]
    weights = [3 * 8 * 9, 8 * 8 * 9, 8 * 8 * 25, 8 * 16 * 9, 16 * 16 * 25, 8 * 16]
    pixels = [30, 30, 30, 6, 6, 6]
    assert net.params == sum(weights) + 2 * (8 * 3 + 16 * 3) + 16 * 10 + 10
    assert net.macs == sum(w * p for w, p in zip(weights, pixels, strict=True)) + 16 * 10
    # Around the first block's second convolution, which the add's other input outlives.
    assert net.peak_bytes == 4 * 3 * 8 * 30


def test_3f6_leaves_are_concatenated_and_widths_sum() -> None:
    net = Skeleton(8, 1, False, 2, (16,)).expand(block("[(1,1,3,0,0),(2,2,3,0,0)]"), (1, 4, 4), 2)
    assert plain(net)[2:8] == [
        ("conv3", (16, 4, 4), (1,)),
        ("max_pool3", (8, 4, 4), (1,)),
        ("concat", (24, 4, 4), (2, 3)),
        ("conv3", (16, 4, 4), (4,)),
        ("max_pool3", (24, 4, 4), (4,)),
        ("concat", (40, 4, 4), (5, 6)),
    ]


def test_parallel_edges_sum_and_repeat() -> None:
    small = Skeleton(8, 1, False, 1, (16,))
    for op, width in (("add", 8), ("concat", 16)):
        twice = block(f"[(1,4,0,0,0),(2,{OP[op]},0,0,1)]")
        assert plain(small.expand(twice, (1, 4, 4), 2))[2] == (op, (width, 4, 4), (1, 1))


def test_one_projection_serves_parallel_edges() -> None:
    kinds = ["input", "conv", "add", "output"]
    nodes = np.array([[OP[k], 3 * (k == "conv"), 1, 1] for k in kinds], np.int32)
    edges = np.array([[0, 1], [0, 2], [1, 2], [0, 2], [2, 3]], np.int32)
    graph = _core.Graph.from_arrays(nodes, edges)
    net = _core.expand(graph, Skeleton(8, 1, False, 1, (16,)).core(), 1, 4, 4, 2)
    assert plain(net)[2:5] == [
        ("conv3", (16, 4, 4), (1,)),
        ("conv1", (16, 4, 4), (1,)),
        ("add", (16, 4, 4), (3, 2, 3)),
    ]


def test_an_add_of_equal_inputs_keeps_their_width() -> None:
    pools = block("[(1,2,3,0,0),(2,3,3,0,0),(3,5,0,1,2)]")
    net = Skeleton(8, 1, False, 1, (16,)).expand(pools, (1, 4, 4), 2)
    assert plain(net)[4] == ("add", (8, 4, 4), (2, 3))


def test_an_empty_block_is_its_input() -> None:
    net = Skeleton(8, 1, False, 3, (16, 16)).expand(block("[]"), (1, 4, 4), 2)
    names = " ".join(name for name, _, _ in plain(net))
    assert names == "input stem3 max_pool2 relu global_pool linear"


def test_skeleton_forms() -> None:
    conv = block("[(1,1,3,0,0)]")
    for skeleton, side, last in [
        (Skeleton.cifar(), 32, (128, 8, 8)),
        (Skeleton.imagenet(), 224, (512, 7, 7)),
        (Skeleton.small(), 8, (32, 4, 4)),
        (Skeleton.small(), 28, (32, 14, 14)),
    ]:
        net = skeleton.expand(conv, (3, side, side), 10)
        check_rows(net)
        rows = plain(net)
        assert rows[-3][1] == last
        convs = [shape[0] for name, shape, _ in rows if name == "conv3"]
        assert convs == [w for w in skeleton.widths for _ in range(skeleton.blocks)]
    imagenet = plain(Skeleton.imagenet().expand(conv, (3, 224, 224), 10))
    assert imagenet[1:3] == [("stem3", (64, 112, 112), (0,)), ("max_pool3", (64, 56, 56), (1,))]


@pytest.mark.parametrize(
    ("skeleton", "shape"),
    [
        (Skeleton.cifar(), (3, 32, 32)),
        (Skeleton.imagenet(), (3, 65, 33)),
        (Skeleton(4, 2, True, 3, (4, 10, 7)), (1, 29, 40)),
    ],
)
def test_rows_and_costs_of_random_blocks(skeleton: Skeleton, shape: tuple[int, int, int]) -> None:
    space = BlockSpace(12)
    states = space_kit.random_walk(space, 500, seed=1)[-1]
    architectures = space.decode(states)
    costs = _core.nsc_cost(states.reshape(-1, 12, 5), skeleton.core(), *shape, 10).tolist()
    built = 0
    for architecture, batched in zip(architectures, costs, strict=True):
        if batched == [-1, -1, -1]:
            with pytest.raises(ValueError, match="would be"):
                skeleton.expand(architecture, shape, 10)
            continue
        net = skeleton.expand(architecture, shape, 10)
        assert (net.params, net.macs, net.peak_bytes) == tuple(batched)
        check_rows(net)
        if built < 20:  # the reference is slow
            assert reference_cost(net) == tuple(batched)
        built += 1
    assert built > 250


def reordered(code: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> list[list[int]]:
    """The same block with its layers written in another order."""
    waiting = {row[0]: row for row in code if row[1] != OP["terminal"]}
    number = {0: 0}
    rows = []
    while waiting:
        ready = [i for i, row in waiting.items() if row[3] in number and row[4] in number]
        old = int(rng.choice(ready))
        _, op, kernel, p, q = waiting.pop(old)
        number[old] = len(rows) + 1
        binary = op in (OP["add"], OP["concat"])
        rows.append([number[old], op, kernel, number[p], number[q] if binary else 0])
    return rows


def test_isomorphic_blocks_have_the_same_params_and_macs() -> None:
    space, skeleton = BlockSpace(9), Skeleton(4, 1, False, 1, (5, 9))
    rng = np.random.default_rng(2)
    moved = 0
    for architecture in space.decode(space_kit.random_walk(space, 300, seed=2)[-1]):
        other = space.architecture(reordered(architecture.code, rng))
        assert other.hash == architecture.hash
        nets = [skeleton.expand(a, (1, 8, 8), 10) for a in (architecture, other)]
        assert len({(net.params, net.macs) for net in nets}) == 1
        moved += other != architecture
    assert moved > 100


def doubling(layers: int) -> str:
    """Concatenations of the two widest rows so far."""
    rows = [(1, 4, 0, 0, 0), (2, 6, 0, 0, 1)]
    rows += [(i, 6, 0, i - 2, i - 1) for i in range(3, layers + 1)]
    return str(rows)


def test_a_network_too_wide_is_refused_before_anything_is_built() -> None:
    skeleton = Skeleton.cifar()
    for layers in (23, 32):
        wide = block(doubling(layers))
        with pytest.raises(ValueError, match="no side may pass 1048576"):
            skeleton.expand(wide, (3, 32, 32), 10)
        codes = np.array([wide.code], np.int16)
        assert _core.nsc_cost(codes, skeleton.core(), 3, 32, 32, 10).tolist() == [[-1] * 3]


def test_a_sum_beyond_64_bits_is_refused() -> None:
    most = 1 << 20
    skeleton = Skeleton(most, 1, False, 1, (most,))
    conv = block("[(1,1,5,0,0)]")
    net = skeleton.expand(conv, (most, 30, 30), 10)
    assert net.macs == 25 * 900 * most**2 + 9 * 900 * most**2 + 10 * most
    with pytest.raises(ValueError, match="64 bits"):
        skeleton.expand(conv, (most, 3000, 3000), 10)
    codes = np.array([conv.code], np.int16)
    costs = _core.nsc_cost(codes, skeleton.core(), most, 3000, 3000, 10)
    assert costs.tolist() == [[-1] * 3]


def test_a_graph_that_is_no_block_is_refused() -> None:
    def expand(nodes: list[tuple[str, int, int]], edges: list[tuple[int, int]]) -> None:
        graph = _core.Graph.from_arrays(
            np.array([(OP[op], k, s, 1) for op, k, s in nodes], np.int32),
            np.array(edges, np.int32),
        )
        _core.expand(graph, Skeleton.small().core(), 1, 8, 8, 10)

    ends = [("input", 0, 1), ("output", 0, 1)]
    with pytest.raises(ValueError, match="node 2, linear, has no place in a block"):
        expand([*ends, ("linear", 0, 1)], [(0, 2), (2, 1)])
    with pytest.raises(ValueError, match="node 2, conv, reads nothing"):
        expand([*ends, ("conv", 3, 1)], [(0, 1), (2, 1)])
    with pytest.raises(ValueError, match="node 2, conv, needs a kernel"):
        expand([*ends, ("conv", 0, 1)], [(0, 2), (2, 1)])
    with pytest.raises(ValueError, match="height and width must agree"):
        expand([*ends, ("conv", 3, 2), ("add", 0, 1)], [(0, 2), (0, 3), (2, 3), (3, 1)])
    with pytest.raises(ValueError, match="a block has one input, this graph 2"):
        expand([*ends, ("input", 0, 1)], [(0, 1), (2, 1)])
