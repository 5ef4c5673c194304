"""Networks timed while nothing trains beside them, and searches that aim at a cost."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import evaluator_kit
import method_kit
from cli_kit import SETTINGS, nascore, searching, shown, told
from nascore import methods, tasks
from nascore.evaluators import TableEvaluator, TrainEvaluator, latency
from nascore.evaluators.latency import Timed, device_name, latency_ms
from nascore.evaluators.table import read_table
from nascore.networks import Recipe
from nascore.search import Constrained, RunError, Search, Store, Targets, Workers
from nascore.search.rewards import cost_factor
from nascore.spaces import BlockSpace, Skeleton
from nascore.tables import BLOCKS
from nascore.trial import Job, Trial
from toys import ToyEvaluator

SPACE = BlockSpace()
EMPTY, CONV, POOL = (
    SPACE.architecture(f"[({row})]") for row in ("1,7,0,0,0", "1,1,3,0,0", "1,2,3,0,0")
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is measured in a test is not known before; decoded images are those of the session."""
    folder = tmp_path / "cache"
    (folder / "latency").mkdir(parents=True)
    decoded = Path(os.environ["NASCORE_CACHE"]) / "tasks"
    decoded.mkdir(exist_ok=True)
    (folder / "tasks").symlink_to(decoded)
    monkeypatch.setenv("NASCORE_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def train() -> TrainEvaluator:
    return TrainEvaluator(
        tasks.load("digits", limit_train=256),
        Skeleton(stem_width=4, blocks=1, widths=(4, 8)),
        Recipe(1, 64, "adam", 0.01),
        device="cpu",
    )


class Sleeper(nn.Module):
    """Takes `seconds`, and notes how it was called."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.seen: set[tuple[Any, ...]] = set()
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        how = (self.training, torch.is_inference_mode_enabled(), torch.get_num_threads())
        self.seen.add((*how, tuple(images.shape), images.dtype, images.device.type))
        self.calls += 1
        time.sleep(self.seconds)
        return images


def test_milliseconds_of_a_batch_in_evaluation() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    module = Sleeper(0.01)
    assert 10 <= latency_ms(module, (3, 8, 8), "cpu", batch=2, n_threads=1) < 20
    assert module.seen == {(False, True, 1, (2, 3, 8, 8), torch.float32, "cpu")}
    assert torch.equal(torch.get_rng_state(), before)
    assert module.calls > 10


def test_a_median_does_not_mind_the_first_calls() -> None:
    class SlowAtFirst(Sleeper):
        def forward(self, images: Tensor) -> Tensor:
            self.seconds = 0.2 if self.calls < 2 else 0.005
            return super().forward(images)

    assert 5 <= latency_ms(SlowAtFirst(0), (1, 2, 2), "cpu") < 12


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu(train: TrainEvaluator) -> None:
    timed = Timed(train, "cuda", batch=8)
    assert 0 < timed.latency(CONV) < 1000
    assert device_name("cuda") == torch.cuda.get_device_name()
    module = nn.Sequential(*(nn.Conv2d(64, 64, 3, padding=1) for _ in range(8)))
    few, many = (latency_ms(module, (64, 64, 64), "cuda", batch) for batch in (1, 256))
    assert many > 4 * few  # it waits for the device


def test_the_contract_of_evaluators(train: TrainEvaluator) -> None:
    timed = Timed(train, "cpu", deadline_s=100)
    conv, pool, empty = evaluator_kit.check(timed, [CONV, POOL, EMPTY])
    for one, plain in zip((conv, pool, empty), (CONV, POOL, EMPTY), strict=True):
        [without] = train.evaluate([Job(0, plain, 7)])
        metrics = dict(one.metrics)
        assert metrics.pop("latency_ms", 1.0) > 0
        assert evaluator_kit.timeless(replace(one, metrics=metrics)) == evaluator_kit.timeless(
            without
        )
    assert "latency_ms" in conv.metrics
    assert "latency_ms" not in empty.metrics


def test_a_second_time_is_looked_up(
    train: TrainEvaluator, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []

    def measure(*_: object) -> float:
        measured.append(1)
        return float(len(measured))

    monkeypatch.setattr(latency, "latency_ms", measure)
    timed = Timed(train, "cpu")
    assert [timed.latency(CONV), timed.latency(POOL), timed.latency(CONV)] == [1, 2, 1]
    with latency._alone():  # nobody is waited for
        assert timed.latency(CONV) == 1
    assert Timed(replace(train, recipe=Recipe(9, 64, "sgd", 0.1)), "cpu").latency(CONV) == 1
    assert pickle.loads(pickle.dumps(timed)).latency(POOL) == 2
    # What else is measured is another measurement.
    others = [
        replace(timed, batch=2),
        replace(timed, threads=2),
        replace(timed, evaluator=replace(train, skeleton=replace(train.skeleton, stem_width=8))),
    ]
    assert [other.latency(CONV) for other in others] == [3, 4, 5]
    monkeypatch.setattr(latency, "device_name", lambda _: "another processor")
    assert timed.latency(CONV) == 6
    for broken in ("", "{}", "[1]", '{"latency_ms": "soon"}', '{"latency_ms": 0}'):
        for file in (cache / "latency").glob("*.json"):
            file.write_text(broken)
        count = len(measured)
        assert timed.latency(CONV) == timed.latency(CONV) == count + 1


def test_a_cache_that_cannot_be_written(
    train: TrainEvaluator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NASCORE_CACHE", str(tmp_path / "file"))
    with pytest.raises(RunError, match=r"cannot keep latencies in .*/file .*set NASCORE_CACHE"):
        Timed(train).latency(CONV)


def test_what_cannot_be_timed(train: TrainEvaluator) -> None:
    with pytest.raises(ValueError, match="ToyEvaluator builds no network that could be timed"):
        Timed(ToyEvaluator())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="device 'tpu'"):
        Timed(train, "tpu")


def test_a_batch_that_does_not_fit_is_a_failed_trial(
    train: TrainEvaluator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate more")

    monkeypatch.setattr(latency, "latency_ms", full)
    [found] = Timed(train, batch=4096).evaluate([Job(0, CONV, 1, weights=tmp_path)])
    evaluator_kit.an_evaluation_is_sound(found)
    assert (found.status, found.metrics["params"] > 0) == ("out of memory", True)
    assert found.message == "timing a batch of 4096: CUDA out of memory."
    assert found.weights is not None  # they lie in the folder, so the store must know of them
    monkeypatch.setattr(latency, "latency_ms", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Timed(train).latency(CONV)


# Processes that only hold locks: a fork starts them at once, and they use no torch.
_fork = multiprocessing.get_context("fork")


def _note(file: Path, what: str, began: float) -> None:
    with file.open("a") as log:
        log.write(f"{what} {began} {time.monotonic()}\n")


def _hold(file: Path, what: str, hold: Callable[[], Any], times: int, until: Path) -> None:
    """Holds a lock again and again, without a pause."""
    for _ in range(times):
        if until.exists():
            return
        with hold():
            began = time.monotonic()
            time.sleep(0.02)
            _note(file, what, began)


def _start(target: Callable[..., None], *arguments: object) -> Any:
    process = _fork.Process(target=target, args=arguments)
    process.start()
    return process


def test_nothing_trains_beside_a_timing(tmp_path: Path) -> None:
    log, done = tmp_path / "log", tmp_path / "done"
    trainers = [_start(_hold, log, "train", latency._beside_others, 500, done) for _ in range(3)]
    timers = [_start(_hold, log, "time", latency._alone, 8, done) for _ in range(2)]
    for timer in timers:
        timer.join(10)  # though there is always somebody who trains, timings get their turn
        assert timer.exitcode == 0
    done.touch()
    for trainer in trainers:
        trainer.join(10)
        assert trainer.exitcode == 0
    rows = [line.split() for line in log.read_text().splitlines()]
    spans = sorted((float(began), float(ended), what) for what, began, ended in rows)
    together = set()
    for i, (_, ended, what) in enumerate(spans):
        for began, _, other in spans[i + 1 :]:
            if began < ended:
                together.add(frozenset((what, other)))
    assert together == {frozenset({"train"})}  # trainings do run beside each other
    assert sum(what == "time" for *_, what in spans) == 16


@pytest.mark.parametrize("hold", [latency._alone, latency._beside_others])
def test_a_killed_process_lets_go(tmp_path: Path, hold: Callable[[], Any]) -> None:
    log = tmp_path / "log"

    def sleep() -> None:
        with hold():
            log.touch()
            time.sleep(60)

    holder = _start(sleep)
    waiter = None
    try:
        wait_for(log.exists)
        # One that waits to be alone, and keeps others out meanwhile, is killed as well.
        waiter = _start(_hold, log, "time", latency._alone, 1, tmp_path / "never")
        time.sleep(0.2)
        assert waiter.is_alive()
        waiter.kill()
        waiter.join()
    finally:
        holder.kill()
        holder.join()
    began = time.monotonic()
    with latency._alone():
        pass
    with latency._beside_others(), latency._beside_others():
        pass
    assert time.monotonic() - began < 5


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@dataclass(frozen=True)
class Deadly(Timed):
    """Kills its process while it times its first network."""

    mark: Path = Path()

    def _measure(self, architecture: Any) -> float:
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._measure(architecture)


def blockqnn(trials: int, **targets: Any) -> Search:
    config = methods.with_settings(
        methods.config("blockqnn"), [*SETTINGS, f"trials={trials}", "batch=2"]
    )
    built = methods.build("blockqnn", tasks.load("digits"), config)
    return methods.with_targets(built, Targets(**targets)) if targets else built


def test_a_worker_killed_while_it_times_holds_up_nobody(tmp_path: Path) -> None:
    search = blockqnn(4, latency_ms=1.0, device="cpu")
    [stage] = search.stages
    stage.evaluator = Deadly(**vars(stage.evaluator), mark=tmp_path / "killed")
    with Workers(2) as workers:
        trials = list(search.run(executor=workers))
    assert (tmp_path / "killed").exists()
    assert len(trials) == 4
    for trial in trials:
        assert trial.evaluation.ok == ("latency_ms" in trial.metrics)
        assert trial.evaluation.status in ("ok", "invalid")
    assert any(trial.evaluation.ok for trial in trials)


def test_waiting_is_not_an_evaluations_time(train: TrainEvaluator) -> None:
    [stage] = blockqnn(4, latency_ms=1.0).stages
    assert stage.evaluator.deadline_s == 600
    assert stage.deadline_s == 4 * 600

    @dataclass(frozen=True)
    class Told(TrainEvaluator):
        def evaluate(self, jobs: Any) -> Any:
            assert [job.deadline_s for job in jobs] == [600]
            return super().evaluate(jobs)

    told = replace(stage.evaluator, evaluator=Told(**vars(train)))
    [found] = told.evaluate([Job(0, CONV, 1, deadline_s=2400)])
    assert found.ok


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
