"""The log of a run: what it keeps, whom it refuses, and how it fails."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest

import cli_kit
from nascore.search import RunError, Store, open_run, trial_json
from nascore.search.store import Asked, Event
from nascore.trial import Evaluation, Proposal, Trial
from toys import SPACE, toy_search

META = {"method": "toy", "config": {"trials": 3}, "task": "digits", "seed": 0}
PROPOSALS = [Proposal(SPACE.architecture(code), code) for code in [(0, 1, 2), (3, 2, 1), (1, 1, 1)]]
KEYS = [p.architecture.hash for p in PROPOSALS]


def finished(asked: Asked, reward: float, status: str = "ok") -> Trial:
    evaluation = Evaluation({"val_accuracy": reward / 100}, "table", status)
    return Trial(asked.number, asked.proposal, evaluation, reward, asked.repeat_of)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with three proposals, all of them finished, two told."""
    path = tmp_path / "run"
    with Store.create(path, META) as store:
        asked = store.ask(0, PROPOSALS, KEYS, [None] * 3)
        trials = [finished(a, reward) for a, reward in zip(asked, [0.1, 77.7, 99.9], strict=True)]
        store.finish(trials)
        store.tell(trials[:2])
    return path


def test_what_is_written_is_read(run: Path) -> None:
    with open_run(run) as store:
        assert store.meta == META
        assert [t.number for t in store.trials()] == [0, 1]
        assert [t.proposal for t in store.trials()] == PROPOSALS[:2]
        assert [t.reward for t in store.trials()] == [0.1, 77.7]
        assert [t.number for t in store.evaluated()] == [0, 1, 2]
        [pending] = store.pending(0)
        assert pending.number == 2
        assert pending.trial is not None
        assert pending.trial.reward == 99.9
        assert store.pending(1) == []
        assert store.asked(0) == 3
        assert store.next_number == 3
        assert store.keys() == {key: number for number, key in enumerate(KEYS)}
        assert store.evaluation(2) == pending.trial.evaluation
        told = tuple(store.trials())
        assert store.log(0) == [Event(asked=tuple(PROPOSALS)), Event(told=told)]
        assert store.log(0, after=1) == [Event(told=told)]
        assert store.log(0, after=2) == []
        best = store.best()
    # What was not told is not a trial yet, however good.
    assert best == told[1]
    assert json.loads((run / "best.json").read_text()) == trial_json(best)
    assert json.loads((run / "config.json").read_text()) == META
    assert set(trial_json(best)) >= {"number", "status", "fidelity", "reward", "metrics"}


def test_the_best_of_equals_is_the_first_and_never_a_failure(tmp_path: Path) -> None:
    with Store.create(tmp_path, META) as store:
        assert store.best() is None
        asked = store.ask(0, PROPOSALS, KEYS, [None] * 3)
        trials = [
            finished(asked[0], 60, "timed out"),
            finished(asked[1], 50),
            finished(asked[2], 50),
        ]
        store.finish(trials)
        store.tell(trials[:1])
        assert store.best() is None
        store.tell(trials[2:])
        store.tell(trials[1:2])
        assert store.best() == trials[1]
    with open_run(tmp_path) as store:
        assert store.best() == trials[1]


def test_a_snapshot_belongs_to_its_stage_and_event(tmp_path: Path) -> None:
    with Store.create(tmp_path, META) as store:
        store.snapshot(0, b"before all")
        store.ask(0, PROPOSALS, KEYS, [None] * 3)
        store.snapshot(0, b"after the ask")
        assert store.last_snapshot(1) is None
    with open_run(tmp_path) as store:
        assert store.last_snapshot(0) == (1, b"after the ask")


def test_one_writer_and_any_number_of_readers(run: Path) -> None:
    with Store.open(run, write=True) as writer:
        with pytest.raises(
            RunError, match=f"is being written by process {os.getpid()} on .* since"
        ):
            Store.open(run, write=True)
        with open_run(run) as reader:
            asked = writer.ask(0, PROPOSALS[:1], ["new"], [None])
            assert len(reader.trials()) == 2
            writer.finish([finished(asked[0], 1)])
            writer.tell([finished(asked[0], 1)])
            assert len(reader.trials()) == 3
    Store.open(run, write=True).close()


def test_a_second_process_behind_a_url_is_found_out(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    with Store.create(url, META) as first, Store.open(url, write=True) as second:
        first.ask(0, PROPOSALS, KEYS, [None] * 3)
        with pytest.raises(RunError, match="written by another process"):
            second.ask(0, PROPOSALS, KEYS, [None] * 3)
    with Store.open(url) as store:
        assert store.asked(0) == 3


def test_create_leaves_what_is_there_alone(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"already holds a run: continue it by `nascore resume"):
        Store.create(run, META)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    with sqlite3.connect(foreign / "run.db") as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    connection.close()
    with pytest.raises(RunError, match="holds other data"):
        Store.create(foreign, META)
    with pytest.raises(RunError, match="cannot create the run folder"):
        Store.create(foreign / "run.db", META)


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    run = tmp_path / "what? 100% #1"
    Store.create(run, META).close()
    assert (run / "run.db").is_file()
    assert list(tmp_path.iterdir()) == [run]
    with open_run(run) as store:
        assert store.meta == META


def test_a_creation_that_was_cut_short_starts_over(run: Path, tmp_path: Path) -> None:
    with sqlite3.connect(run / "run.db") as connection:
        connection.execute("DELETE FROM meta")
        connection.execute("DELETE FROM trials")
    connection.close()
    with pytest.raises(RunError, match="cut short"):
        open_run(run)
    Store.create(run, META).close()
    open_run(run).close()


def test_folders_that_are_not_runs(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no run\.db"):
        open_run(tmp_path / "missing")
    database = run / "run.db"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
    connection.close()
    with pytest.raises(RunError, match="format 99, this version reads 1"):
        open_run(run)
    with sqlite3.connect(database) as connection:
        connection.execute("DROP TABLE snapshots")
    connection.close()
    with pytest.raises(RunError, match="no table 'snapshots'"):
        open_run(run)
    database.write_bytes(b"not a database at all" * 1000)
    with pytest.raises(RunError, match="not a database"):
        open_run(run)


def test_a_damaged_database_is_named(run: Path) -> None:
    database = run / "run.db"
    size = database.stat().st_size
    database.write_bytes(database.read_bytes()[:4096] + b"\xff" * (size - 4096))
    with pytest.raises(RunError, match=r"cannot be used: .*`sqlite3 run\.db \.recover`"):
        open_run(run)


def fill(store: Store) -> None:
    """Tells trials until the disk is full."""
    for i in range(10_000):
        asked = store.ask(0, PROPOSALS, [f"{i}-{k}" for k in range(3)], [None] * 3)
        trials = [finished(a, 50.0 + i / 1000) for a in asked]
        store.finish(trials)
        store.tell(trials)
        print(len(store.trials()), flush=True)


def test_a_full_database_ends_the_run_and_loses_nothing(run: Path, capsys) -> None:
    with Store.open(run, write=True) as store:
        with store._database.transaction() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=20")
        with pytest.raises(RunError, match=r"disk full .* free space and run `nascore resume"):
            fill(store)
    told = int(capsys.readouterr().out.split()[-1])
    with Store.open(run, write=True) as store:
        assert len(store.trials()) == told
        assert json.loads((run / "best.json").read_text()) == trial_json(store.best())


def test_a_full_disk_ends_the_run_and_loses_nothing(run: Path) -> None:
    """In a process of its own, whose files may not grow past 100 kB."""
    result = cli_kit.with_little_disk("test_store", "fill_run", run)
    assert "RunError: disk full while writing" in result.stderr
    with Store.open(run, write=True) as store:
        assert len(store.trials()) == int(result.stdout.split()[-1])
        assert len(store.trials()) > 10
    assert "nascore resume" in result.stderr


def fill_run(run: str) -> None:
    with Store.open(run, write=True) as store:
        fill(store)


def test_other_databases_than_sqlite_speak_the_same_statements(tmp_path: Path) -> None:
    """A whole search behind a URL, interrupted and gone on with."""
    url = f"sqlite:///{tmp_path / 'team.db'}"
    search = toy_search(9, batch=3)
    with Store.create(url, search.meta) as store:
        first = search.run(store)
        history = [next(first) for _ in range(4)]
        first.close()
    with Store.open(url, write=True) as store:
        history = [*history[:3], *search.run(store)]
        assert store.trials() == list(toy_search(9, batch=3))
