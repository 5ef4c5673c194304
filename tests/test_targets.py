"""Searches that aim at a cost."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

import method_kit
from cli_kit import nascore, searching, shown, told
from nascore import methods, tasks
from nascore.evaluators import TableEvaluator
from nascore.evaluators.table import read_table
from nascore.search import Constrained, RunError, Store, Targets
from nascore.search.rewards import cost_factor
from nascore.tables import BLOCKS
from nascore.trial import Job, Trial
from targets_kit import blockqnn

pytestmark = pytest.mark.usefixtures("latencies")


def winner(trials: list[Trial]) -> Trial:
    return max((trial for trial in trials if trial.evaluation.ok), key=lambda trial: trial.rank)


def on_the_table(seed: int, **targets: Any) -> list[Trial]:
    """BlockQNN on 894 blocks that were truly trained."""
    config = methods.with_settings(methods.config("blockqnn"), ["max_layers=3"])
    search = methods.build("blockqnn", tasks.load("digits"), config, seed)
    search.stages[0].evaluator = TableEvaluator(read_table(BLOCKS))
    if targets:
        search = methods.with_targets(search, Targets(**targets))
    return list(search)


def test_a_target_makes_winners_cheaper_and_agents_thrifty() -> None:
    def macs(trials: list[Trial]) -> float:
        return winner(trials).metrics["macs"]

    def late(trials: list[Trial]) -> float:
        return fmean(trial.metrics.get("macs", 0.0) for trial in trials[-40:])

    seeds = range(3)
    free = [on_the_table(seed) for seed in seeds]
    hard = [on_the_table(seed, max_macs=60_000, constraint="hard") for seed in seeds]
    for plain, bounded in zip(free, hard, strict=True):
        assert macs(bounded) < 1.1 * 60_000 < 400_000 < macs(plain)
        assert late(bounded) < 0.5 * late(plain)  # it learned where to look
    # Soft: as in the paper, twice the cost for 5 % of the reward, whatever the target is.
    soft = [on_the_table(seed, max_macs=60_000) for seed in seeds]
    assert fmean(map(macs, soft)) < fmean(map(macs, free))
    other = on_the_table(0, max_macs=600_000)
    assert winner(other).architecture == winner(soft[0]).architecture


@pytest.mark.parametrize("method", methods.names())
def test_every_method_with_a_reward_takes_targets(method: str) -> None:
    targets = Targets(max_params=50, max_macs=1_000_000)
    plain = method_kit.search(method, method_kit.toy(method, 24))
    if method in ("maskconnect", "n2n"):
        reason = "no reward" if method == "maskconnect" else "of its own for size; set its max_p"
        with pytest.raises(ValueError, match=f"^{method} .*{reason}"):
            methods.with_targets(plain, targets)
        return
    search = methods.with_targets(plain, targets)
    assert search.trials == plain.trials
    for trial in search:
        [stage, *others] = [stage for stage in search.stages if stage.trials]
        stages = {*map(type, (stage.reward, *(other.reward for other in others)))}
        assert stages == {Constrained}
        worth = stage.reward.reward(Job(trial.number, trial.architecture, 0), trial.evaluation)
        factor = cost_factor(100, 50, -0.07, -0.07)
        factor *= cost_factor(trial.metrics["macs"], 1e6, -0.07, -0.07)
        assert trial.reward == pytest.approx(worth * factor)


def test_predicted_rewards_follow_too() -> None:
    plain = method_kit.search("faster_blockqnn", method_kit.toy("faster_blockqnn", 24))
    search = methods.with_targets(plain, Targets(max_macs=5))
    assert isinstance(search.stages[0].agent.reward, Constrained)
    with pytest.raises(ValueError, match=r"^latency_ms=1: faster_blockqnn predicts most rewards"):
        methods.with_targets(plain, Targets(latency_ms=1.0))


def test_a_ghn_ranks_by_latency() -> None:
    settings = method_kit.tiny("ghn", "block")
    search = methods.with_targets(
        method_kit.search("ghn", settings, free=False), Targets(latency_ms=0.1, constraint="hard")
    )
    trials = [trial for trial in search if trial.evaluation.ok]
    generated = [t for t in trials if t.evaluation.fidelity == "hypernet"]
    trained = [t for t in trials if t.evaluation.fidelity == "proxy"]
    assert generated
    assert trained
    known = {t.architecture.hash: t.metrics["latency_ms"] for t in generated}
    for t in trained:
        assert t.metrics["latency_ms"] == known[t.architecture.hash]  # from the cache
    plain = search.stages[-1].reward.reward
    for t in trials:
        worth = plain(Job(t.number, t.architecture, 0), t.evaluation)
        assert t.reward == pytest.approx(worth * cost_factor(t.metrics["latency_ms"], 0.1, 0, -1))


def test_targets_are_a_part_of_the_run(tmp_path: Path) -> None:
    aimed = blockqnn(4, max_macs=100_000)
    with Store.create(tmp_path / "run", aimed.meta) as store:
        before = list(islice(aimed.run(store), 2))
    with Store.open(tmp_path / "run", write=True) as store:
        for other in (blockqnn(4), blockqnn(4, max_macs=200_000)):
            with pytest.raises(RunError, match="of another search: its targets is"):
                next(other.run(store))
        after = list(blockqnn(4, max_macs=100_000).run(store))
    whole = method_kit.timeless(blockqnn(4, max_macs=100_000))
    assert method_kit.timeless([*before, *after]) == whole


def test_a_run_of_before_there_were_targets_goes_on(tmp_path: Path) -> None:
    search = blockqnn(4)
    meta = {name: value for name, value in search.meta.items() if name != "targets"}
    with Store.create(tmp_path / "run", meta) as store:
        assert len(list(search.run(store))) == 4


def test_the_command_line(tmp_path: Path) -> None:
    run = tmp_path / "run"
    costs = ("--latency-ms", 0.5, "--device", "cpu", "--batch", 2, "--constraint", "hard")
    done = nascore(*searching(run, "--trials", 4, *costs, "--time-limit", 0))
    assert (done.status, done.err) == (0, "")
    done = nascore("resume", run)
    assert (done.status, done.err) == (0, "")
    meta = json.loads((run / "config.json").read_text())
    assert meta["targets"] == {
        "latency_ms": 0.5,
        "max_params": None,
        "max_macs": None,
        "device": "cpu",
        "batch": 2,
        "constraint": "hard",
    }
    good = [trial for trial in told(run) if trial.evaluation.ok]
    assert all(trial.metrics["latency_ms"] > 0 for trial in good)
    data = shown(run)
    assert list(data["pareto"]) == ["params", "macs", "latency_ms"]
    [fastest, *_] = data["pareto"]["latency_ms"]
    least = min(trial.metrics["latency_ms"] for trial in good)
    assert data["trials"][fastest]["metrics"]["latency_ms"] == least
    text = nascore("show", run).out
    assert "latency ms" in text
    assert "Pareto front" in text
    again = told(run)
    assert nascore("resume", run).status == 0
    assert told(run) == again  # what was measured stays


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--device", "cpu"), "no target: give latency_ms, max_params or max_macs"),
        (("--max-macs", 5, "--batch", 2), "device and batch are those of latency_ms"),
        (("--max-params", 0), "max_params=0 must be above 0"),
        (("--latency-ms", 1, "--device", "tpu"), "device 'tpu': known are"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: tuple[object, ...], message: str) -> None:
    done = nascore(*searching(tmp_path / "run", *options))
    assert done.status == 2
    assert done.err.startswith(f"error: {message}")
    assert not (tmp_path / "run").exists()
