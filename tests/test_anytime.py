"""Networks that answer at exits on their way: their space, rows, costs, scores and search."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import evaluator_kit
import nascore
import space_kit
from nascore import _core, methods, tasks
from nascore.evaluators import HypernetEvaluator, TrainEvaluator
from nascore.methods._ghn import FILE
from nascore.networks import Recipe, accuracy, area, build_net, exit_scores
from nascore.networks.training import mean_over_exits
from nascore.retrain import retrain
from nascore.search import Area, Search, Store
from nascore.spaces import AnytimeNet, AnytimeSpace, Architecture
from nascore.surrogates.hyper_training import HyperTraining
from nascore.surrogates.hypernetwork import Design, HyperNetwork
from nascore.trial import Evaluation, Job, Limits, Trial

TASK = tasks.load("digits")
SPACE = AnytimeSpace((5, 4, 2))
NET = AnytimeNet(4, (4, 6, 8))
DESIGN = Design(width=8, message_width=8, passes=1, hidden=16, channels=16, kernel=3, fan_in=True)
CONV1, CONV3, SEP3, IDENTITY = (1, 1, 1), (1, 3, 1), (17, 3, 1), (4, 0, 1)
NAME = {code: name for name, (code, *_) in _core.OPS.items()}
PLAIN = ((*CONV1, 0, 0, 0),)


def found(*cells: Sequence[Sequence[int]]) -> Architecture:
    return Architecture.of("anytime", tuple(tuple(map(tuple, cell)) for cell in cells))


def random_ones(n: int, seed: int, space: AnytimeSpace = SPACE) -> list[Architecture]:
    return space.decode(space_kit.random_walk(space, n, seed)[-1])


def relabelled(architecture: Architecture, rng: np.random.Generator) -> Architecture:
    """The same network, the nodes of each cell in another order in which every edge goes on."""
    cells = []
    for cell in architecture.code:
        order: list[int] = []  # old numbers
        while len(order) < len(cell):
            ready = [
                v
                for v in range(1, len(cell) + 1)
                if v not in order and all(u == 0 or u in order for u in cell[v - 1][5:])
            ]
            order.append(int(rng.choice(ready)))
        new = {0: 0, **{v: i for i, v in enumerate(order, 1)}}
        rows = (cell[v - 1] for v in order)
        cells.append(tuple((*row[:5], *sorted(new[u] for u in row[5:])) for row in rows))
    return Architecture.of("anytime", tuple(cells))


# The area


@pytest.mark.parametrize(
    ("macs", "accuracies", "budget", "expected"),
    [
        ([25], [0.8], 100, 0.6),  # no exit but the last: three quarters of the time it has answered
        ([0], [0.8], 100, 0.8),
        ([100], [0.8], 100, 0.0),
        ([200], [0.8], 100, 0.0),
        ([10, 50], [0.5, 0.9], 100, (40 * 0.5 + 50 * 0.9) / 100),
        ([10, 50], [0.9, 0.5], 100, 0.81),  # the best so far, not the last
        ([10, 10, 50], [0.4, 0.5, 0.9], 100, (40 * 0.5 + 50 * 0.9) / 100),
        ([10, 150], [0.5, 0.9], 100, 0.45),  # what lies past the budget does not count
        ([10, 110, 150], [0.5, 0.7, 0.9], 100, 0.45),
    ],
)
def test_the_area_by_hand(macs, accuracies, budget, expected) -> None:
    assert area(macs, accuracies, budget) == pytest.approx(expected, abs=1e-12)


CURVES = st.lists(st.tuples(st.integers(0, 60), st.floats(0, 1)), min_size=1, max_size=8).map(
    lambda points: [*zip(*sorted(points), strict=True)]
)


@given(CURVES, st.integers(1, 50))
def test_the_area_is_the_mean_of_the_best_so_far(curve, budget: int) -> None:
    macs, accuracies = curve
    best = [
        max((a for m, a in zip(macs, accuracies, strict=True) if m <= b), default=0.0)
        for b in range(budget)
    ]
    assert area(macs, accuracies, budget) == pytest.approx(fmean(best), abs=1e-9)
    assert 0 <= area(macs, accuracies, budget) <= 1


@given(CURVES, st.integers(1, 50), st.integers(0, 7), st.floats(0, 1), st.integers(0, 60))
def test_more_accurate_cheaper_and_more_exits_are_never_worse(
    curve, budget: int, which: int, accuracy: float, cost: int
) -> None:
    macs, accuracies = curve
    k = which % len(macs)
    before = area(macs, accuracies, budget) - 1e-9
    better = [max(a, accuracy) if i == k else a for i, a in enumerate(accuracies)]
    assert area(macs, better, budget) >= before
    cheaper = sorted(zip([min(m, cost) for m in macs], accuracies, strict=True))
    assert area(*zip(*cheaper, strict=True), budget) >= before
    more = sorted([*zip(macs, accuracies, strict=True), (cost, accuracy)])
    assert area(*zip(*more, strict=True), budget) >= before
    worse = [min(a, accuracy) for a in accuracies]
    assert area(macs, worse, budget) <= before + 2e-9


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="a budget of 0 multiply-adds must be at least 1"):
        area([1], [0.5], 0)


def test_the_reward_reads_the_area_of_its_fidelity() -> None:
    job = Job(0, found(PLAIN), 0)
    metrics = {"val_accuracy": 0.9, "val_area": 0.5, "generated_area": 0.25}
    assert Area()(job, Evaluation(metrics, "proxy")) == 50
    assert Area(scale=1.0)(job, Evaluation(metrics, "hypernet")) == 0.25
    assert Area(floor=-1)(job, Evaluation(metrics, "proxy", "too large", "why")) == -1


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


# Scores


def test_the_loss_is_the_mean_over_exits() -> None:
    network = build_net(NET.expand(random_ones(1, 3)[0], TASK.shape, 10))
    images, labels = torch.randn(5, 1, 8, 8), torch.arange(5)
    mean = mean_over_exits(network, images, lambda logits: F.cross_entropy(logits, labels))
    each = [F.cross_entropy(logits, labels).item() for logits in network.exits(images)]
    assert len(each) > 3
    assert mean.item() == pytest.approx(fmean(each))
    torch.autograd.backward(mean)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_exits_are_scored_as_networks_of_their_own() -> None:
    net = NET.expand(random_ones(1, 3)[0], TASK.shape, 10)
    network = build_net(net)
    scores = exit_scores(network, TASK, "valid", "cpu")
    assert scores[-1] == accuracy(network, TASK, "valid", "cpu")
    for k, score in enumerate(scores):

        class One(torch.nn.Module):
            def __init__(self, k: int) -> None:
                super().__init__()
                self.network, self.k = network, k

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.network.exits(x)[self.k]

        assert accuracy(One(k), TASK, "valid", "cpu") == score


BUDGET = 60_000
RECIPE = Recipe(2, 128, "adam", 1e-2, restarts=0)
WITH_EXIT = found(((*CONV3, 0, 1, 0),), PLAIN, ((*SEP3, 1, 1, 0),))
WITHOUT = found(((*CONV3, 0, 0, 0),), PLAIN, ((*SEP3, 1, 0, 0),))
WIDE = found(((17, 5, 1, 0, 0, 0),) * 9, PLAIN, PLAIN)


def test_trained_networks_have_the_area_of_their_exits() -> None:
    evaluator = TrainEvaluator(
        *(TASK, NET, RECIPE), Limits(params=2500), device="cpu", budget=BUDGET
    )
    with_exit, without, wide = evaluator_kit.check(evaluator, [WITH_EXIT, WITHOUT, WIDE])
    assert wide.status == "too large"
    net = NET.expand(WITHOUT, TASK.shape, 10)
    assert net.exits == []
    assert (
        0.1
        < without.metrics["val_area"]
        == pytest.approx(without.accuracy * (1 - net.macs / BUDGET))
    )
    assert with_exit.metrics["macs"] == NET.expand(WITH_EXIT, TASK.shape, 10).macs
    last = with_exit.accuracy * (1 - with_exit.metrics["macs"] / BUDGET)
    assert last < with_exit.metrics["val_area"] < 1
    keys = {replace(evaluator, budget=b).key(WITHOUT) for b in (None, BUDGET, 2 * BUDGET)}
    assert len(keys) == 3


def test_a_retrained_network_is_tested_at_each_exit(tmp_path: Path) -> None:
    retrain(WITH_EXIT, TASK, NET, RECIPE, 0, tmp_path / "model", "cpu")
    network = nascore.load_model(tmp_path / "model")
    assert isinstance(network, nascore.networks.Network)
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    net = NET.expand(WITH_EXIT, TASK.shape, 10)
    scores = exit_scores(network, TASK, "test", "cpu", RECIPE.batch)
    expected = [[m, s.accuracy] for m, s in zip(net.exit_macs, scores, strict=True)]
    assert card["test_exits"] == expected
    assert len(expected) == 3
    assert card["test_accuracy"] == expected[-1][1]
    assert card["macs"] == expected[-1][0]


def hyper_training() -> HyperTraining:
    recipe = Recipe(2, 256, "adam", 1e-2, clip=5.0, restarts=0)
    return HyperTraining(DESIGN, TASK, AnytimeSpace((2, 2, 1)), NET, recipe, device="cpu")


def test_generated_networks_have_the_area_of_their_exits(tmp_path: Path) -> None:
    training = hyper_training()
    training.run_epoch()
    training.save(tmp_path / FILE)
    evaluator = HypernetEvaluator(
        *(TASK, NET, DESIGN, FILE), Limits(params=2500), device="cpu", budget=BUDGET
    )
    several = random_ones(4, 5)
    evaluations = evaluator_kit.check(evaluator, [WITH_EXIT, WIDE, *several], tmp_path)
    assert evaluations[1].status == "too large"
    net = NET.expand(WITH_EXIT, TASK.shape, 10)
    [network] = training.hyper([net])
    scores = exit_scores(network, TASK, "valid", "cpu", 64)
    accuracies = [score.accuracy for score in scores]
    metrics = evaluations[0].metrics
    assert metrics["generated_area"] == area(net.exit_macs, accuracies, BUDGET)
    assert metrics["generated_accuracy"] == accuracies[-1]
    rng = np.random.default_rng(0)
    for architecture, evaluation in zip(several, evaluations[2:], strict=True):
        job = Job(0, relabelled(architecture, rng), 0, files=tmp_path)
        [again] = evaluator.evaluate([job])
        assert again.ok == evaluation.ok
        if again.ok:
            wanted = pytest.approx(evaluation.metrics["generated_area"], abs=2e-3)
            assert again.metrics["generated_area"] == wanted
    plain = replace(evaluator, budget=None).evaluate([Job(0, WITH_EXIT, 0, files=tmp_path)])
    assert "generated_area" not in plain[0].metrics


@pytest.mark.parametrize("design", [DESIGN, replace(Design.ghn2(), width=8, channels=16, kernel=5)])
def test_gradients_of_all_exits_reach_the_hypernetwork(design: Design) -> None:
    hyper = HyperNetwork(design)
    nets = [NET.expand(architecture, TASK.shape, 10) for architecture in random_ones(3, 6)]
    images, labels = torch.randn(8, 1, 8, 8), torch.arange(8)
    networks = hyper(nets)
    assert all(not list(network.parameters()) for network in networks)
    for network in networks:
        for logits in network.exits(images):
            hyper.zero_grad()
            torch.autograd.backward(F.cross_entropy(logits, labels), retain_graph=True)
            for part in (hyper.gnn, hyper.decoder, hyper.kinds, hyper.roles):
                norms = [p.grad.norm() for p in part.parameters() if p.grad is not None]
                assert max(norms) > 0
                assert all(map(torch.isfinite, norms))


def test_upsampling_is_told_from_every_other_operation() -> None:
    hyper = HyperNetwork(DESIGN)
    rows = [[0, 0, 0, 1, 1, 1, 1, 4, 4], [4, 0, 0, 1, 1, 1, 1, 4, 4]]
    rows += [[11, 0, 0, 1, 1, 1, 1, 1, 1], [12, 0, 0, 1, 1, 1, 2, 1, 1]]
    starts = set()
    for op in ("identity", "relu", "pad", "upsample"):
        rows[1][0] = _core.OPS[op][0]
        net = _core.Net.from_rows(np.array(rows), [[], [0], [1], [2]])
        starts.add(tuple(hyper.embed([net])[0][1].tolist()))
    assert len(starts) == 4


# The search

TINY = (
    *("space=anytime", "anytime.nodes=(3,2,1)", "train_nodes=2", "anytime.recipe.epochs=1"),
    *("anytime.skeleton.widths=(4,4,4)", "anytime.skeleton.stem_width=4", "training.epochs=2"),
    *("anytime.budget=40000", "training.batch=512", "test_batch=256", "design.width=8"),
    *("design.passes=1", "design.channels=16", "trials=6", "batch=3", "top=2"),
)


def search() -> Search:
    config = methods.with_settings(methods.config("ghn"), TINY)
    return methods.build("ghn", TASK, config, 0)


def plain(trials: Sequence[Trial]) -> list[tuple[object, ...]]:
    return [(t.number, t.proposal, evaluator_kit.timeless(t.evaluation), t.reward) for t in trials]


def test_a_search_ranks_by_generated_area_and_trains_the_best(tmp_path: Path) -> None:
    with Store.create(tmp_path / "run", search().meta) as store:
        running = search().run(store)
        for _ in range(7):  # into the last stage
            next(running)
        running.close()
    with Store.open(tmp_path / "run", write=True) as store:
        list(search().run(store))
        trials, best = store.trials(), store.best()
    whole = list(search())
    assert plain(trials) == plain(whole)
    ranked, trained = trials[:6], trials[6:]
    assert all(t.reward == 100 * t.metrics["generated_area"] for t in ranked)
    assert all("val_area" not in t.metrics for t in ranked)
    assert all(t.reward == 100 * t.metrics["val_area"] for t in trained)
    chosen = sorted(ranked, key=lambda t: (-t.reward, t.number))[:2]
    for before, after in zip(chosen, trained, strict=True):
        assert before.architecture == after.architecture
        for name in ("generated_area", "generated_accuracy"):
            assert after.metrics[name] == before.metrics[name]
    assert best is not None
    assert best.reward == max(t.reward for t in trained)
    config = methods.with_settings(methods.config("ghn"), TINY)
    figures = methods.figures("ghn", config, trials)
    wanted = fmean(t.metrics["val_area"] for t in trained)
    assert figures["mean val_area of the trained"] == pytest.approx(wanted)


def test_the_published_space_builds() -> None:
    config = replace(methods.config("ghn", "paper"), space="anytime")
    problem = config.anytime
    assert problem.nodes == (24, 16, 8)
    space = problem.space(TASK)
    assert (space.max_steps, space.scales) == (5 * 48, 3)
    operations = 8
    assert math.prod(space.heads) == (operations * 3 * 2) ** 48 * math.prod(
        math.factorial(n) ** 2 for n in (24, 16, 8)
    )
    assert methods.build("ghn", TASK, config).trials == 1010
    for architecture in random_ones(3, 7, space):
        net = problem.skeleton.expand(architecture, (3, 32, 32), 10)
        assert [len(cell) for cell in architecture.code] == [24, 16, 8]
        assert len(net.seams) == 3
        assert 50_000_000 < net.macs < 1_000_000_000
        with torch.device("meta"):
            network = nascore.networks.Network(net)
        assert net.params == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("anytime.nodes=(3,2)",), r"2 cells in nodes=\(3, 2\), 3 in skeleton.widths"),
        (("anytime.budget=0",), "budget=0 multiply-adds must be at least 1"),
    ],
)
def test_wrong_settings_are_refused(settings: Sequence[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        methods.with_settings(methods.config("ghn"), settings)


def test_too_many_scales_for_the_images_are_refused() -> None:
    config = methods.with_settings(methods.config("ghn"), ("space=anytime", "anytime.scales=5"))
    with pytest.raises(ValueError, match="scales=5, but images of digits have sides of 8; 4 at"):
        methods.build("ghn", TASK, config)
