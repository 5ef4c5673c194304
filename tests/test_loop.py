"""The order of asks and tells, and that no interruption changes it."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from nascore import _core
from nascore.search import AskTell, InProcess, Pool, RunError, Search, Store
from nascore.trial import Evaluation, Evaluator, Job, Proposal, Trial
from toys import SPACE, ToyAgent, ToyEvaluator, accuracy, toy_search

SHAPES = [
    {"batch": 1, "in_flight": 0},
    {"batch": 1, "in_flight": 3},
    {"batch": 4, "in_flight": 0},
    {"batch": 4, "in_flight": 8},
]
TRIALS = 18  # not a multiple of 4


class Uneven(ToyEvaluator):
    """Takes an unpredictable time."""

    def evaluate(self, jobs: Any) -> list[Evaluation]:
        time.sleep(time.perf_counter_ns() % 7 / 1000)
        return super().evaluate(jobs)


@pytest.fixture
def pool() -> Iterator[Pool]:
    with ThreadPoolExecutor(4) as executor:
        yield Pool(executor, 4)


def calls(search: Search) -> list[tuple[str, tuple[int, ...]]]:
    [stage] = search.stages
    assert isinstance(stage, AskTell)
    agent = stage.agent
    assert isinstance(agent, ToyAgent)
    return agent.calls


@pytest.mark.parametrize("shape", SHAPES)
def test_fixed_order_depends_on_nothing_but_its_shape(shape: dict[str, int], pool: Pool) -> None:
    alone, together = toy_search(TRIALS, **shape), toy_search(TRIALS, Uneven(), **shape)
    history = list(alone)
    assert list(together.run(executor=pool)) == history
    assert calls(together) == calls(alone)
    assert [t.number for t in history] == list(range(TRIALS))


@pytest.mark.parametrize("shape", SHAPES)
def test_an_ask_sees_exactly_what_its_place_says(shape: dict[str, int], pool: Pool) -> None:
    search = toy_search(TRIALS, Uneven(), **shape)
    list(search.run(executor=pool))
    told: list[int] = []
    for kind, numbers in calls(search):
        if kind == "ask":
            assert told == list(range(max(0, numbers[0] - shape["in_flight"])))
            assert len(numbers) == min(shape["batch"], TRIALS - numbers[0])
        else:
            assert len(numbers) == min(shape["batch"], TRIALS - numbers[0])
            told += numbers


def test_arrival_order_tells_at_once_and_keeps_all_workers_busy(pool: Pool, tmp_path: Path) -> None:
    class FirstIsSlow(ToyEvaluator):
        def evaluate(self, jobs: Any) -> list[Evaluation]:
            time.sleep(0.3 if jobs[0].number == 0 else 0.001)
            return super().evaluate(jobs)

    search = toy_search(TRIALS, FirstIsSlow())
    with Store.create(tmp_path, search.meta) as store:
        told = [t.number for t in search.run(store, pool, order="arrival")]
        log = [t.number for event in store.log(0) for t in event.told]
    assert sorted(told) == list(range(TRIALS))
    assert told == log
    assert told.index(0) >= 10  # nobody waited for it
    asks = [i for i, (kind, _) in enumerate(calls(search)) if kind == "ask"]
    assert asks[:4] == [0, 1, 2, 3]


@dataclass
class Repeating(ToyAgent):
    """Proposes one architecture `times`, then others; counts what it proposed until it was told."""

    times: int
    asked: int = 0
    unheard: int = 0
    heard: bool = False

    def ask(self, n: int) -> list[Proposal]:
        self.asked += n
        self.unheard += 0 if self.heard else n
        code = (0, 0, 0) if self.asked <= self.times else (1, self.asked % 4, 0)
        return [Proposal(SPACE.architecture(code), code)] * n

    def tell(self, trials: Sequence[Trial]) -> None:
        self.heard = True

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


def test_in_arrival_order_no_worker_waits_for_what_is_repeated(pool: Pool) -> None:
    """The first trial ends when another one runs, which is proposed after repeats of the first."""
    came = threading.Event()

    class Waiting(ToyEvaluator):
        def evaluate(self, jobs: Any) -> list[Evaluation]:
            if jobs[0].number:
                came.set()
            elif not came.wait(20):
                raise TimeoutError("workers had nothing to do")
            return super().evaluate(jobs)

    stage = AskTell(Repeating(6), Waiting(), accuracy, TRIALS)
    trials = list(Search("toy", {}, "toy", 0, [stage]).run(executor=pool, order="arrival"))
    assert sorted(t.number for t in trials) == list(range(TRIALS))
    assert [t.number for t in trials if t.repeat_of == 0] == [1, 2, 3, 4, 5]


def test_an_agent_of_one_idea_hears_of_it_before_the_search_is_over(pool: Pool) -> None:
    agent = Repeating(100)
    stage = AskTell(agent, ToyEvaluator(), accuracy, 100)
    assert (
        len(list(Search("toy", {}, "toy", 0, [stage]).run(executor=pool, order="arrival"))) == 100
    )
    assert agent.unheard == 8  # one at work, and others of which four count as if they were


def test_repeats_take_the_stored_result(tmp_path: Path, pool: Pool) -> None:
    search = toy_search(100, Uneven(marks=tmp_path), batch=10)
    history = list(search.run(executor=pool))
    first: dict[str, Trial] = {}
    for trial in history:
        earlier = first.setdefault(trial.architecture.hash, trial)
        if earlier is trial:
            assert trial.repeat_of is None
        else:
            assert trial.repeat_of == earlier.number
            assert trial.evaluation == earlier.evaluation
            assert trial.reward == earlier.reward
    assert 0 < len(first) < 64 < len(history)
    # Evaluated once each, even where the repeat was asked for while the first was running.
    assert len(list(tmp_path.iterdir())) == len(first)
    assert any(t.repeat_of is not None and t.number // 10 == t.repeat_of // 10 for t in history)


class Cut(BaseException):
    """The process ends here."""


class CutStore(Store):
    """The store of a process that ends after its n-th transaction, before the n+1-th."""

    left: int

    def _or_cut(self, write: Callable[..., Any], *arguments: Any) -> Any:
        result = write(*arguments)
        self.left -= 1
        if self.left == 0:
            raise Cut
        return result

    def ask(self, *arguments: Any) -> Any:
        return self._or_cut(super().ask, *arguments)

    def finish(self, *arguments: Any) -> Any:
        return self._or_cut(super().finish, *arguments)

    def tell(self, *arguments: Any) -> Any:
        return self._or_cut(super().tell, *arguments)

    def snapshot(self, *arguments: Any) -> Any:
        return self._or_cut(super().snapshot, *arguments)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_cut_changes_the_history(shape: dict[str, int], tmp_path: Path) -> None:
    """A process that ends after any of its transactions, and one that goes on."""
    trials, settings = 11, {**shape, "snapshot_every": 4}
    unbroken = list(toy_search(trials, **settings))
    assert any(t.repeat_of is not None for t in unbroken)
    cuts = 0
    for n in range(1, 100):
        marks = tmp_path / f"marks {n}"
        marks.mkdir()
        search = toy_search(trials, ToyEvaluator(marks=marks), **settings)
        url = f"sqlite:///{tmp_path / str(n)}"
        CutStore.left = n
        with CutStore.create(url, search.meta) as store, suppress(Cut):
            list(search.run(store))
            break
        cuts += 1
        search = toy_search(trials, ToyEvaluator(marks=marks), **settings)
        with Store.open(url, write=True) as store:
            told = store.trials()
            assert told + list(search.run(store)) == store.trials() == unbroken
        # Nothing that was finished was worked out again.
        work = Counter(path.name.split("-")[0] for path in marks.iterdir())
        assert work.total() == len(work)
    assert cuts > 15


@pytest.mark.parametrize("order", ["fixed", "arrival"])
def test_an_interruption_keeps_what_is_finished(order: Any, tmp_path: Path, pool: Pool) -> None:
    evaluator = ToyEvaluator(faults={7: "interrupt"})
    search = toy_search(TRIALS, evaluator, batch=3)
    history: list[Trial] = []
    with Store.create(tmp_path, search.meta) as store:
        with pytest.raises(KeyboardInterrupt):
            history.extend(search.run(store, order=order))
        assert store.evaluation(6) is not None
    search = toy_search(TRIALS, batch=3)
    with Store.open(tmp_path, write=True) as store:
        history += search.run(store, pool, order=order)
        assert sorted(history, key=lambda t: t.number) == store.trials()
        assert len(history) == TRIALS
        # The agent went through what the log says, whichever process it was in.
        replayed = ToyAgent(0)
        for event in store.log(0):
            if event.told:
                replayed.tell(event.told)
            else:
                assert tuple(replayed.ask(len(event.asked))) == event.asked
        [stage] = search.stages
        assert isinstance(stage, AskTell)
        assert stage.agent.state_dict() == replayed.state_dict()
        if order == "fixed":
            assert store.trials() == list(toy_search(TRIALS, batch=3))


def test_an_evaluation_that_its_executor_dropped_is_done_again() -> None:
    class Forgetful(InProcess):
        dropped = False

        def submit(self, evaluator: Evaluator, job: Job) -> Future[Evaluation]:
            if job.number == 5 and not self.dropped:
                self.dropped = True
                future: Future[Evaluation] = Future()
                future.cancel()
                return future
            return super().submit(evaluator, job)

    executor = Forgetful()
    assert list(toy_search(TRIALS).run(executor=executor)) == list(toy_search(TRIALS))
    assert executor.dropped


def test_a_probability_that_rounds_otherwise_is_no_other_proposal(tmp_path: Path) -> None:
    class Elsewhere(ToyAgent):
        def ask(self, n: int) -> list[Proposal]:
            proposals = super().ask(n)
            return [replace(p, log_prob=math.nextafter(p.log_prob or 0.0, 1)) for p in proposals]

    search = toy_search(TRIALS, ToyEvaluator(faults={7: "raise"}))
    with Store.create(tmp_path, search.meta) as store:
        with pytest.raises(FileNotFoundError):
            list(search.run(store))
        stage = AskTell(Elsewhere(0), ToyEvaluator(), accuracy, TRIALS)
        list(replace(search, stages=[stage]).run(store))
        codes = [t.architecture for t in store.trials()]
    assert codes == [t.architecture for t in toy_search(TRIALS)]


class Foreseeing(ToyAgent):
    """Proposes one architecture over and over, and expects something of it now and then."""

    def ask(self, n: int) -> list[Proposal]:
        [first] = super().ask(1)
        said = (0.25, None, 0.5)
        return [replace(first, prediction=said[i % 3]) for i in range(n)]


def test_a_prediction_is_of_its_own_proposal_not_of_an_equal_one() -> None:
    stage = AskTell(Foreseeing(0), ToyEvaluator(), accuracy, 6, batch=6)
    trials = list(Search("toy", {}, "toy", 0, [stage]))
    assert [t.repeat_of for t in trials] == [None, 0, 0, 0, 0, 0]
    assert [t.metrics.get("predicted_accuracy") for t in trials] == [0.25, None, 0.5] * 2
    assert len({t.metrics["val_accuracy"] for t in trials}) == 1


def test_a_bug_in_the_evaluator_ends_the_run_not_the_store(tmp_path: Path) -> None:
    search = toy_search(TRIALS, ToyEvaluator(faults={7: "raise"}))
    with Store.create(tmp_path, search.meta) as store:
        with pytest.raises(FileNotFoundError, match="a bug"):
            list(search.run(store))
        assert len(store.trials()) == 7
        assert store.trials() + list(toy_search(TRIALS).run(store)) == list(toy_search(TRIALS))


def test_the_time_limit_ends_a_run_after_what_runs(tmp_path: Path, pool: Pool) -> None:
    search = toy_search(TRIALS, ToyEvaluator(sleep_s=0.05), batch=12)
    with Store.create(tmp_path, search.meta) as store:
        start = time.monotonic()
        some = list(search.run(store, pool, time_limit_s=0.08))
        assert time.monotonic() - start < 0.3
        assert 4 <= len(some) < 12
        assert store.trials() == some
        rest = list(toy_search(TRIALS, batch=12).run(store))
        assert len(store.trials()) == len(some) + len(rest) == TRIALS


def test_a_time_limit_of_nothing_tells_nothing() -> None:
    assert list(toy_search(TRIALS).run(time_limit_s=0)) == []


def test_on_result_hears_of_all_results_before_the_agent(pool: Pool) -> None:
    search = toy_search(TRIALS, Uneven(), batch=6)
    heard: list[Trial] = []
    for trial in search.run(executor=pool, on_result=heard.append):
        assert trial in heard
        assert len(heard) >= trial.number // 6 * 6 + 6
    assert sorted(t.number for t in heard) == list(range(TRIALS))


def test_a_search_can_run_again() -> None:
    search = toy_search(TRIALS, batch=3)
    assert list(search) == list(search)


def test_stages_share_the_store_and_go_on_from_it(tmp_path: Path) -> None:
    def search() -> Search:
        stages = [AskTell(ToyAgent(s), ToyEvaluator(), accuracy, 5, batch=s) for s in (1, 2)]
        return Search("toy", {}, "toy", 0, stages)

    unbroken = list(search())
    assert [t.number for t in unbroken] == list(range(10))
    for cut in range(10):
        with Store.create(tmp_path / str(cut), search().meta) as store:
            run = search().run(store)
            for _ in range(cut):
                next(run)
            run.close()
        with Store.open(tmp_path / str(cut), write=True) as store:
            list(search().run(store))
            assert store.trials() == unbroken


def test_jobs_have_seeds_and_deadlines_of_their_own() -> None:
    jobs: list[Job] = []

    class Listening(ToyEvaluator):
        def evaluate(self, batch: Any) -> list[Evaluation]:
            jobs.extend(batch)
            return super().evaluate(batch)

    list(toy_search(TRIALS, Listening(), seed=5, deadline_s=2.5))
    assert all(job.deadline_s == 2.5 for job in jobs)
    assert {job.number: job.seed for job in jobs} == {
        job.number: _core.integers(5, 1, job.number, 1, 2**31)[0] for job in jobs
    }
    assert len({job.seed for job in jobs}) == len(jobs)


def test_a_run_of_another_search_is_refused(tmp_path: Path) -> None:
    with Store.create(tmp_path, toy_search(TRIALS, seed=1).meta) as store:
        with pytest.raises(RunError, match="of another search: its seed is 1, not 2"):
            toy_search(TRIALS, seed=2).run(store)
        list(islice(toy_search(TRIALS, seed=1).run(store), 10))
        other = Search("toy", {"trials": TRIALS}, "toy", 1, toy_search(TRIALS, seed=3).stages)
        with pytest.raises(RunError, match="no longer proposes what the log says"):
            list(other.run(store))
        assert len(list(toy_search(TRIALS, seed=1).run(store))) == TRIALS - 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trials": 0}, "trials=0"),
        ({"trials": 1, "batch": 0}, "batch=0"),
        ({"trials": 9, "batch": 4, "in_flight": 2}, "in_flight=2 must be a multiple of batch=4"),
        ({"trials": 9, "in_flight": -1}, "in_flight=-1"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        toy_search(**settings)


def test_an_order_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="order='random'"):
        toy_search(1).run(order="random")  # type: ignore[arg-type]  # on purpose
