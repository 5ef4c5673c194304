"""Searches of several stages: what one leaves to the next, which trial is the best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pytest

from nascore.files import write_whole
from nascore.search import AskTell, Run, RunError, Search, Store
from nascore.spaces import Architecture
from nascore.trial import Evaluation, Job, Trial
from toys import ToyAgent, ToyEvaluator, accuracy, toy_search

STEPS = 3


@dataclass
class Train:
    """Counts to STEPS in a file, as a training with checkpoints does."""

    trials = 0
    steps: int = 0  # of this process

    def run(self, run: Run) -> Iterator[Trial]:
        file = run.files / "count"
        count = int(file.read_text()) if file.exists() else 0
        while count < STEPS:
            if run.left_s() <= 0:
                return
            count += 1
            self.steps += 1
            write_whole(file, str(count).encode())
            run.on_progress("counting", count, STEPS)
        yield from ()


@dataclass(frozen=True)
class Guess(ToyEvaluator):
    """What the count makes of the accuracy, at a fidelity below the toy's own."""

    def key(self, architecture: Architecture) -> str:
        return f"guess-{architecture.hash}"

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        count = int((jobs[0].files / "count").read_text())
        return [
            replace(
                found, fidelity="hypernet", metrics={"generated_accuracy": found.accuracy / count}
            )
            for found in super().evaluate(jobs)
        ]


def search() -> Search:
    one = toy_search(6)
    [measure] = one.stages
    guess = AskTell(ToyAgent(0), Guess(), accuracy, 10, batch=2)
    return replace(one, stages=[Train(), guess, measure])


def test_a_later_stage_reads_what_an_earlier_one_left(tmp_path: Path) -> None:
    progress = []
    with Store.create(tmp_path / "run", search().meta) as store:
        assert store.meta["trials"] == search().trials == 16
        trials = list(search().run(store, on_progress=lambda *done: progress.append(done)))
    assert progress == [("counting", n, STEPS) for n in (1, 2, 3)]
    assert [t.number for t in trials] == list(range(16))
    assert [t.evaluation.fidelity for t in trials] == ["hypernet"] * 10 + ["table"] * 6
    for trial in trials[:10]:
        toy, *_ = ToyEvaluator().evaluate([Job(0, trial.architecture, 0)])
        assert trial.evaluation.accuracy == toy.accuracy / STEPS
    assert trials == list(search())  # a run in memory has a folder of its own for this


def test_the_best_is_of_those_that_were_measured(tmp_path: Path) -> None:
    def boast(job: Job, evaluation: Evaluation) -> float:
        return accuracy(job, evaluation) + (1000 if evaluation.fidelity == "hypernet" else 0)

    boastful = search()
    boastful.stages[1].reward = boast
    with Store.create(tmp_path / "run", boastful.meta) as store:
        trials = list(boastful.run(store))
        best = store.best()
    measured = [t for t in trials if t.evaluation.fidelity == "table"]
    assert best == max(measured, key=lambda t: t.reward)
    with Store.open(tmp_path / "run") as store:
        assert store.best() == best


@pytest.mark.parametrize("told", [0, 4, 10, 13])
def test_a_stopped_search_goes_on_in_its_stage(tmp_path: Path, told: int) -> None:
    with Store.create(tmp_path / "run", search().meta) as store:
        before = list(islice(search().run(store), told))
    again = search()
    with Store.open(tmp_path / "run", write=True) as store:
        after = list(again.run(store))
        assert store.trials() == list(search())
    assert len(before) == told
    assert after
    assert again.stages[0].steps == (0 if told else STEPS)


def test_a_training_stops_when_the_time_is_up(tmp_path: Path) -> None:
    with Store.create(tmp_path / "run", search().meta) as store:
        assert list(search().run(store, time_limit_s=0)) == []
        assert not (tmp_path / "run" / "weights" / "count").exists()
        assert len(list(search().run(store))) == 16


def test_a_run_behind_a_url_has_no_place_for_files(tmp_path: Path) -> None:
    with (
        Store.create(f"sqlite:///{tmp_path / 'team.db'}", search().meta) as store,
        pytest.raises(RunError, match="keeps files, so it needs a folder"),
    ):
        list(search().run(store))
