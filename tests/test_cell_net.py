"""Networks of cells: their rows and their modules."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode

import cell_kit
import nascore
from cell_kit import RECIPE, SMALL_CELL, TINY
from nascore import _core
from nascore.networks import build_net
from nascore.networks.modules import MODULES, Row
from nascore.spaces import NASNET_A, NASNET_A_PAPER, CellSpace, CellStack

ANY = CellSpace(combine=cell_kit.COMBINES)
NAME = {code: name for name, (code, *_) in _core.OPS.items()}
CHANNELS = _core.NET_COLUMNS.index("channels")


def reads_both(architecture: nascore.Architecture) -> bool:
    """Whether both cells read both inputs, so that no row is left out."""
    return all({0, 1} <= {s for row in blocks for s in row[:2]} for blocks, _ in architecture.code)


@pytest.mark.parametrize(
    ("stack", "shape"),
    [
        (TINY, (1, 8, 8)),
        (CellStack(2, 6), (3, 32, 32)),
        (CellStack(1, 12, stem_width=5, stem_stride=2, stem_cells=2), (3, 97, 61)),
    ],
)
def test_rows_are_the_references(stack: CellStack, shape: tuple[int, int, int]) -> None:
    cells = [a for a in cell_kit.random_cells(ANY, 100, seed=3) if reads_both(a)]
    assert len(cells) > 50
    for architecture in [*cells, NASNET_A, NASNET_A_PAPER]:
        net = stack.expand(architecture, shape, 10)
        expected = cell_kit.Reference(architecture, stack, shape)
        assert Counter(cell_kit.lines_of(net)) == Counter(expected.lines)
        assert tuple(net.rows[-3, CHANNELS:]) == expected.last


def test_1f2_pairs_build_and_run_and_cost_what_their_rows_say() -> None:
    for architecture in cell_kit.random_cells(ANY, 12, seed=4):
        net = TINY.expand(architecture, (1, 8, 8), 10)
        network = build_net(net).eval()
        shapes: dict[int, tuple[int, ...]] = {}
        for i, module in enumerate(network.children(), 1):
            module.register_forward_hook(
                lambda _m, _x, y, i=i, shapes=shapes: shapes.update({i: tuple(y.shape[1:])})
            )
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            logits = network(torch.randn(2, 1, 8, 8))
        assert logits.isfinite().all()
        assert counter.get_total_flops() == 2 * 2 * net.macs
        assert sum(p.numel() for p in network.parameters()) == net.params
        for i, shape in shapes.items():
            assert shape == tuple(net.rows[i, CHANNELS : CHANNELS + len(shape)])


def test_1f2_a_reduction_halves_and_five_unread_results_have_five_times_the_channels() -> None:
    cell = " ".join(["max3(0)+avg3(1)"] * 5)
    stack = CellStack(2, 8, stem_width=8)
    net = stack.expand(CellSpace().architecture(f"{cell} / {cell}"), (3, 32, 32), 10)
    rows = net.rows[[NAME[op] == "concat" for op in net.rows[:, 0]], CHANNELS:].tolist()
    groups = [(40, 32, 32)] * 2 + [(80, 16, 16)] * 3 + [(160, 8, 8)] * 3
    assert [tuple(row) for row in rows] == groups


def test_1f4_only_operations_on_the_inputs_of_a_reduction_have_stride_2() -> None:
    for architecture in cell_kit.random_cells(ANY, 50, seed=5):
        for (blocks, _), graph, stride in zip(
            architecture.code, architecture.graphs, (1, 2), strict=True
        ):
            fed = {int(b) for a, b in graph.edges if NAME[int(graph.nodes[a, 0])] == "input"}
            for node, (op, _, step, _) in enumerate(graph.nodes.tolist()):
                combines = NAME[op] in ("add", "concat", "output")
                assert step == (stride if node in fed and not combines else 1)
            reads = sum(state < 2 for block in blocks for state in block[:2])
            assert stride == 1 or (graph.nodes[:, 2] == 2).sum() == reads


def test_1f5_a_separable_operation_is_two_pairs_with_batch_norm_after_each_pair() -> None:
    stack = CellStack(1, 4, stem_width=4, reductions=0)
    net = stack.expand(CellSpace(1).architecture("sep5(0)+id(1) / id(0)+id(1)"), (1, 8, 8), 2)
    names = " ".join(NAME[op] for op in net.rows[:, 0])
    assert names == "input stem conv sep_conv sep_conv drop_path add relu global_pool linear"
    pair = build_net(net).row_003_sep_conv
    kinds = [type(module).__name__ for module in pair.children()]
    assert kinds == ["Conv2d", "Conv2d", "BatchNorm2d"]
    x = torch.randn(2, 4, 8, 8)
    y = F.conv2d(x.relu(), pair.depthwise.weight, padding=2, groups=4)
    y = F.batch_norm(F.conv2d(y, pair.pointwise.weight), None, None, training=True)
    torch.testing.assert_close(pair.train()(x), y)
    assert pair.pointwise.bias is pair.depthwise.bias is None


def test_1f6_nasnet_a_has_the_published_sizes() -> None:
    net = CellStack.cifar().expand(NASNET_A, (3, 32, 32), 10)
    assert CellStack.cifar().title(NASNET_A) == "6 @ 768"
    assert net.params == 3_328_234  # 3.3M
    with_head = replace(CellStack.cifar(), auxiliary=True).expand(NASNET_A, (3, 32, 32), 10)
    assert with_head.params == net.params
    mobile = CellStack.imagenet().expand(NASNET_A, (3, 224, 224), 1000)
    assert CellStack.imagenet().title(NASNET_A) == "4 @ 1056"
    assert mobile.params == pytest.approx(5.3e6, rel=0.01)
    assert mobile.macs == pytest.approx(564e6, rel=0.02)
    large = replace(CellStack.imagenet(), normal=6, filters=168, stem_width=96)
    assert large.title(NASNET_A) == "6 @ 4032"
    net = large.expand(NASNET_A, (3, 331, 331), 1000)
    assert net.params == pytest.approx(88.9e6, rel=0.005)
    assert net.macs == pytest.approx(23.8e9, rel=0.005)


def test_1f7_scheduled_drop_path() -> None:
    recipe = replace(RECIPE, drop_path_keep=0.6, drop_path_depth=True)
    depths = [(cell + 1) / 20 for cell in range(20)]
    assert [recipe.keep_at(0.0, depth) for depth in depths] == [1.0] * 20
    assert recipe.keep_at(1.0, depths[0]) == pytest.approx(0.98)
    assert recipe.keep_at(1.0, depths[19]) == pytest.approx(0.60)
    assert recipe.keep_at(0.5, depths[9]) == pytest.approx(0.9)
    in_time = replace(recipe, drop_path_depth=False)
    assert [in_time.keep_at(t, depths[0]) for t in (0, 0.5, 1)] == pytest.approx([1, 0.8, 0.6])
    path = MODULES["drop_path"](Row(0, 5, 5, 20, 1, 1, 4, 8, 8), ())
    assert path.depth == depths[4]
    x = torch.ones(4000, 2, 3, 3)
    assert path.train()(x) is x
    path.keep = 0.6
    kept = path(x)[:, 0, 0, 0]
    assert set(kept.tolist()) == {0.0, torch.tensor(1 / 0.6).item()}
    assert (path(x) == path(x)).float().mean() < 0.9
    assert (kept > 0).float().mean().item() == pytest.approx(0.6, abs=0.04)
    assert (path(x).std((1, 2, 3)) == 0).all()  # a sample as a whole
    assert path.eval()(x) is x


def test_1f7_paths_are_in_every_cell_but_not_behind_identities() -> None:
    stack = CellStack(6, 2, stem_width=2)
    net = stack.expand(CellSpace(1).architecture("max3(0)+id(1) / id(0)+conv3(1)"), (1, 8, 8), 2)
    paths = net.rows[[NAME[op] == "drop_path" for op in net.rows[:, 0]]]
    assert paths[:, 1].tolist() == list(range(1, 21))  # one in each cell
    assert set(paths[:, 3].tolist()) == {20}


def test_a_factorised_reduction_reads_even_and_odd_pixels() -> None:
    for side in (6, 7):
        module = MODULES["factorized_reduce"](
            Row(0, 1, 1, 2, 1, 1, 5, 0, 0), [Row(0, 0, 0, 1, 1, 1, 3, side, side)]
        ).train()
        assert (module.even.out_channels, module.odd.out_channels) == (2, 3)
        x = torch.randn(4, 3, side, side)
        shifted = torch.zeros(4, 3, side + 1, side + 1)
        shifted[:, :, :side, :side] = x.relu()
        parts = [
            torch.einsum("oi,nihw->nohw", module.even.weight[..., 0, 0], x.relu()[..., ::2, ::2]),
            torch.einsum("oi,nihw->nohw", module.odd.weight[..., 0, 0], shifted[..., 1::2, 1::2]),
        ]
        expected = F.batch_norm(torch.cat(parts, 1), None, None, training=True)
        torch.testing.assert_close(module(x), expected)


def test_norms_and_valid_windows_compute_what_they_are_called() -> None:
    x = torch.randn(3, 4, 6, 6)
    row = Row(0, 3, 3, 3, 1, 1, 4, 0, 0)
    layer = MODULES["layer_norm"](row, [row])
    torch.testing.assert_close(layer(x), F.layer_norm(x, (4, 6, 6)))
    torch.testing.assert_close(MODULES["instance_norm"](row, [row])(x), F.instance_norm(x))
    torch.testing.assert_close(MODULES["avg_pool_valid"](row, [row])(x), F.avg_pool2d(x, 3, 3))
    conv = MODULES["conv_valid"](row, [row])
    y = F.batch_norm(F.conv2d(x, conv.conv.weight, stride=3), None, None, training=True)
    torch.testing.assert_close(conv(x), y.relu())


def test_a_cell_that_does_not_read_the_one_before_it_leaves_no_dead_rows() -> None:
    architecture = CellSpace(1).architecture("max3(1)+max3(1) / max3(1)+max3(1)")
    net = CellStack(2, 4).expand(architecture, (3, 32, 32), 10)
    read = {j for inputs in net.inputs for j in inputs}
    assert read == set(range(len(net.rows) - 1))
    assert build_net(net)(torch.randn(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("side", [8, 32])
def test_an_auxiliary_head_runs_in_training_alone(side: int) -> None:
    stack = replace(TINY, auxiliary=True)
    architecture = CellSpace(2).architecture(f"{SMALL_CELL} / {SMALL_CELL}")
    net = stack.expand(architecture, (1, side, side), 10)
    plain = TINY.expand(architecture, (1, side, side), 10)
    assert (net.params, net.macs, net.peak_bytes) == (plain.params, plain.macs, plain.peak_bytes)
    network = build_net(net).train()
    assert len(network.ends) == 2
    ran: list[str] = []
    for name, module in network.named_children():
        module.register_forward_hook(lambda _m, _x, _y, name=name: ran.append(name))
    x = torch.randn(4, 1, side, side)
    assert network(x).shape == (4, 10)
    assert len(ran) == len(plain.rows) - 1
    assert not any("valid" in name for name in ran)
    logits, auxiliary = network.heads(x)
    assert logits.shape == auxiliary.shape == (4, 10)
    assert len(ran) == len(plain.rows) - 1 + len(net.rows) - 1
    widths = [m.conv.out_channels for n, m in network.named_children() if "conv_valid" in n]
    assert widths == [128, 768]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normal": 0}, "normal=0 must be 1 to 341 with 2 reductions"),
        ({"filters": 0}, "filters=0 must be 1 to"),
        ({"filters": 1}, "filters=1 must be a multiple of 1, at least 2, with 0 stem_cells"),
        ({"filters": 6, "stem_cells": 2}, "filters=6 must be a multiple of 4, at least 8"),
        ({"stem_width": 0}, "stem_width=0"),
        ({"stem_stride": 0}, "stem_stride=0"),
        ({"stem_cells": 9}, "stem_cells=9 must be 0 to 8"),
        ({"reductions": -1}, "reductions=-1 must be 0 to 16"),
        ({"reductions": 0, "auxiliary": True}, "reductions=0 must be 1 or more with an auxiliary"),
    ],
)
def test_a_wrong_stack_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CellStack(), **change)


def test_a_stack_takes_cells_alone_and_of_no_endless_width() -> None:
    block = nascore.BlockSpace().architecture("[(1,1,3,0,0)]")
    with pytest.raises(ValueError, match="space 'block' is no pair of cells"):
        CellStack().expand(block, (3, 32, 32), 10)
    with pytest.raises(ValueError, match="no side may pass"):
        CellStack(1, 2**19).expand(NASNET_A, (3, 32, 32), 10)
    resized = CellStack().resized(blocks=7, width=96)
    assert asdict(resized) == {**asdict(CellStack()), "normal": 7, "filters": 96, "stem_width": 288}


def test_the_winner_has_a_skeleton_of_its_own() -> None:
    config = nascore.methods.with_settings(nascore.methods.config("random"), ["space=cell"])
    assert config.final_skeleton == config.cell.final_skeleton
    assert config.final_skeleton.auxiliary
    assert not config.skeleton.auxiliary
    blocks = nascore.methods.config("random")
    assert blocks.final_skeleton == blocks.skeleton
    paper = nascore.methods.config("random", "paper").cell
    assert (paper.skeleton.normal, paper.final_skeleton.normal, paper.recipe.epochs) == (2, 6, 20)
    assert paper.final_skeleton.title(NASNET_A) == "6 @ 768"
