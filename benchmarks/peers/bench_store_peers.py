"""Random search with every trial stored on disk, beside optuna's with its own storages."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import optuna
from optuna.storages.journal import JournalFileBackend

from nascore.agents.random import Random
from nascore.search import Accuracy, AskTell, Search, Store
from nascore.spaces import Architecture, ChoicesSpace
from nascore.trial import Evaluation, Job
from side_by_side import Compare, Route

SIZE, CHOICES, TRIALS, FEW = 5, 6, 1000, 50
WORTH = np.random.default_rng(0).random((CHOICES, SIZE)).tolist()


def worth(code: tuple[int, ...]) -> float:
    return sum(row[c] for row, c in zip(WORTH, code, strict=True)) / CHOICES


class Worth:
    """An evaluator without repeats, as optuna knows none."""

    def __init__(self) -> None:
        self.numbers = count()

    def key(self, architecture: Architecture) -> str:
        return str(next(self.numbers))

    def evaluate(self, jobs: list[Job]) -> list[Evaluation]:
        return [Evaluation({"val_accuracy": worth(j.architecture.code)}, "table") for j in jobs]


def test_trials(compare: Compare, tmp_path: Path) -> None:
    folders = (tmp_path / str(i) for i in count())

    def ours() -> list[tuple[tuple[int, ...], float]]:
        agent = Random(ChoicesSpace((SIZE,) * CHOICES), 0)
        stage = AskTell(agent, Worth(), Accuracy(scale=1.0), TRIALS, batch=20)
        search = Search("bench", {}, "table", 0, [stage])
        with Store.create(next(folders), search.meta) as store:
            trials = list(search.run(store))
        return [(t.proposal.architecture.code, t.reward) for t in trials]

    def theirs(storage: optuna.storages.BaseStorage) -> list[tuple[tuple[int, ...], float]]:
        def objective(trial: optuna.Trial) -> float:
            sizes = range(CHOICES)
            return worth(tuple(trial.suggest_int(f"choice {i}", 0, SIZE - 1) for i in sizes))

        sampler = optuna.samplers.RandomSampler(0)
        study = optuna.create_study(storage=storage, sampler=sampler, direction="maximize")
        study.optimize(objective, FEW)
        return [(tuple(t.params.values()), t.value) for t in study.trials]

    def by_sql() -> list[tuple[tuple[int, ...], float]]:
        return theirs(optuna.storages.RDBStorage(f"sqlite:///{next(folders)}.db"))

    def by_journal() -> list[tuple[tuple[int, ...], float]]:
        backend = JournalFileBackend(f"{next(folders)}.log")
        return theirs(optuna.storages.JournalStorage(backend))

    def agree(*found: list[tuple[tuple[int, ...], float]]) -> None:
        assert [len(trials) for trials in found] == [TRIALS, FEW, FEW]
        assert all(abs(worth(code) - value) < 1e-12 for trials in found for code, value in trials)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    compare(
        "random search, six choices of five, every trial on disk",
        "trials",
        {
            "nascore": Route(ours, TRIALS),
            "optuna, SQLite": Route(by_sql, FEW),
            "optuna, journal file": Route(by_journal, FEW),
        },
        agree,
    )
