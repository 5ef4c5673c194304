"""Networks timed while nothing trains beside them."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import evaluator_kit
from nascore import tasks
from nascore.evaluators import TrainEvaluator, latency
from nascore.evaluators.latency import Timed, device_name, latency_ms
from nascore.networks import Recipe
from nascore.search import RunError, Workers
from nascore.spaces import BlockSpace, Skeleton
from nascore.trial import Job
from targets_kit import blockqnn
from toys import ToyEvaluator

pytestmark = pytest.mark.usefixtures("latencies")

SPACE = BlockSpace()
EMPTY, CONV, POOL = (
    SPACE.architecture(f"[({row})]") for row in ("1,7,0,0,0", "1,1,3,0,0", "1,2,3,0,0")
)


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
    train: TrainEvaluator, latencies: Path, monkeypatch: pytest.MonkeyPatch
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
        for file in (latencies / "latency").glob("*.json"):
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
