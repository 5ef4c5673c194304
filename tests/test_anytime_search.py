"""Networks that answer at exits on their way: their areas, scores and the search for them."""

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

import evaluator_kit
import nascore
from anytime_kit import (
    CONV3,
    NET,
    PLAIN,
    SEP3,
    TASK,
    found,
    random_ones,
    relabelled,
)
from nascore import _core, methods
from nascore.evaluators import HypernetEvaluator, TrainEvaluator
from nascore.methods._ghn import FILE
from nascore.networks import Recipe, accuracy, area, build_net, exit_scores
from nascore.networks.training import mean_over_exits
from nascore.retrain import retrain
from nascore.search import Area, Search, Store
from nascore.spaces import AnytimeSpace
from nascore.surrogates.hyper_training import HyperTraining
from nascore.surrogates.hypernetwork import Design, HyperNetwork
from nascore.trial import Evaluation, Job, Limits, Trial

DESIGN = Design(width=8, message_width=8, passes=1, hidden=16, channels=16, kernel=3, fan_in=True)


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
    assert scores[-1] == pytest.approx(accuracy(network, TASK, "valid", "cpu"), rel=1e-5)
    for k, score in enumerate(scores):

        class One(torch.nn.Module):
            def __init__(self, k: int) -> None:
                super().__init__()
                self.network, self.k = network, k

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.network.exits(x)[self.k]

        assert accuracy(One(k), TASK, "valid", "cpu") == pytest.approx(score, rel=1e-5)


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


@pytest.mark.parametrize("method", ["random", "evolution", "alphax"])
def test_true_trainings_are_rewarded_by_their_area(method: str) -> None:
    settings = [s for s in TINY if s.startswith(("space", "anytime"))]
    config = methods.with_settings(methods.config(method), [*settings, "trials=3"])
    trials = list(methods.build(method, TASK, config, 0))
    assert len(trials) == 3
    assert all(t.reward == 100 * t.metrics["val_area"] for t in trials if t.evaluation.ok)
    assert any(t.metrics.get("val_area") != t.metrics.get("val_accuracy") for t in trials)


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
