"""What the loop and its log cost per trial, where evaluations cost nothing.

The history is that of a bare loop without a log.
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from nascore.search import AskTell, Search, Store
from nascore.trial import Job, Trial

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from side_by_side import Compare, Route
from toys import ToyAgent, ToyEvaluator, accuracy

TRIALS, BATCH = 1000, 20


class Fresh(ToyEvaluator):
    """Knows no repeats: every trial is evaluated."""

    def key(self, architecture: Any, numbers: Any = count()) -> str:  # noqa: B008 - shared on purpose
        return str(next(numbers))


def bare() -> list[Trial]:
    agent, evaluator, history = ToyAgent(0), ToyEvaluator(), []
    for first in range(0, TRIALS, BATCH):
        group = []
        for number, proposal in enumerate(agent.ask(BATCH), first):
            job = Job(number, proposal.architecture, number)
            [evaluation] = evaluator.evaluate([job])
            group.append(Trial(number, proposal, evaluation, accuracy(job, evaluation)))
        agent.tell(group)
        history += group
    return history


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_trials_per_second(compare: Compare, place: str, tmp_path: Path) -> None:
    folders = (tmp_path / str(i) for i in count())

    def search() -> list[Trial]:
        stage = AskTell(ToyAgent(0), Fresh(), accuracy, TRIALS, batch=BATCH)
        search = Search("toy", {}, "toy", 0, [stage])
        with Store.create(next(folders) if place == "disk" else None, search.meta) as store:
            return list(search.run(store))

    def agree(ours: list[Trial], theirs: list[Trial]) -> None:
        assert ours == theirs

    compare(
        f"trials of a free evaluator, the log {'on disk' if place == 'disk' else 'in memory'}",
        "trials",
        {"nascore": Route(search, TRIALS), "a bare loop": Route(bare, TRIALS)},
        agree,
    )
