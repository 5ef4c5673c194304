"""The log of a run: every ask, result and tell is one transaction, so that a kill loses nothing."""

from __future__ import annotations

import os
import re
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from nascore.search import database, folder
from nascore.search.database import meta as _meta
from nascore.search.database import snapshots as _snapshots
from nascore.search.database import trials as _trials
from nascore.search.folder import RunError
from nascore.trial import FIDELITIES, Evaluation, Proposal, Trial

FORMAT = 1  # raise it when the tables change

# Made once: making one costs as much as running it, which is done for every trial.
_FINISH = _trials.update().where(_trials.c.number == sa.bindparam("of"))
_PASSWORD = re.compile(r"(://[^:/@]*:)[^@]*@")
_FIDELITY = sa.case(
    {name: i for i, name in enumerate(FIDELITIES)},
    value=_trials.c.evaluation["fidelity"].as_string(),
)
_EVALUATION = sa.select(_trials.c.evaluation).where(_trials.c.number == sa.bindparam("of"))


@dataclass(frozen=True)
class Asked:
    """A proposal in the log, not yet told; `trial` is there as soon as it is evaluated."""

    number: int
    proposal: Proposal
    repeat_of: int | None
    event: int
    trial: Trial | None = None


@dataclass(frozen=True)
class Event:
    """What an agent went through: it proposed `asked`, or else it was told `told`."""

    asked: tuple[Proposal, ...] = ()
    told: tuple[Trial, ...] = ()


class Store:
    """A run's log in a folder, behind a database URL, or (None) in memory: `create` or `open` it.

    A folder has one writer at a time, and holds `run.db`, `config.json` (the meta) and `best.json`.
    A URL's `#NAME` names one of the runs in that database, which are schemas of it.
    """

    def __init__(self, where: str | Path | None, *, write: bool) -> None:
        self.folder = _folder(where)
        self.name, schema = "in memory" if where is None else str(where), ""
        self.meta: dict[str, Any] = {}
        self.next_number = 0
        self._event = 0
        self._best: Trial | None = None
        self._lock = folder.lock(self.folder) if self.folder and write else None
        url: str | sa.URL = "sqlite://"
        if self.folder:  # no string: a folder's name may hold what means something in a URL
            url = sa.URL.create("sqlite", database=str(self.folder / "run.db"))
        elif where is not None:
            url, _, schema = str(where).partition("#")
            self.name = _PASSWORD.sub(r"\1***@", self.name)
        try:
            self._database = database.Database(url, self.name, schema or None)
        except BaseException:
            self._unlock()
            raise

    @classmethod
    def create(cls, where: str | Path | None, meta: Mapping[str, Any]) -> Store:
        """A new run, open for writing; raises RunError where there is one already."""
        if path := _folder(where):
            folder.make(path)
        store = cls(where, write=True)
        try:
            store._create(meta)
            store._load()
            store._write_files()
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def open(cls, where: str | Path, *, write: bool = False) -> Store:
        """An existing run; with `write`, to continue it, which one process may do at a time."""
        path = _folder(where)
        if path and not (path / "run.db").is_file():
            raise RunError(f"{where} is not the folder of a run: it has no run.db")
        store = cls(where, write=write)
        try:
            store._database.check()
            store._load()
            if write:
                store._write_files()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        self._database.close()
        self._unlock()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(
        self,
        stage: int,
        proposals: Sequence[Proposal],
        keys: Sequence[str],
        repeats: Sequence[int | None],
    ) -> list[Asked]:
        """Logs a group of proposals as one event, and numbers them on from the last."""
        event = self._event + 1
        asked = [
            Asked(self.next_number + i, proposal, repeat, event)
            for i, (proposal, repeat) in enumerate(zip(proposals, repeats, strict=True))
        ]
        rows = [
            {
                "number": a.number,
                "stage": stage,
                "key": key,
                "proposal": a.proposal.to_json(),
                "repeat_of": a.repeat_of,
                "ask_event": event,
            }
            for a, key in zip(asked, keys, strict=True)
        ]
        with self._database.transaction() as connection:
            connection.execute(_trials.insert(), rows)
        self._event = event
        self.next_number += len(asked)
        return asked

    def finish(self, trials: Sequence[Trial]) -> None:
        """Keeps results before the agent is told, so that a kill repeats no finished work."""
        rows = [
            {"of": t.number, "evaluation": t.evaluation.to_json(), "reward": t.reward}
            for t in trials
        ]
        with self._database.transaction() as connection:
            connection.execute(_FINISH, rows)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Logs as one event that the agent is told these finished trials."""
        event = self._event + 1
        update = _trials.update().where(_trials.c.number.in_([t.number for t in trials]))
        with self._database.transaction() as connection:
            connection.execute(update.values(tell_event=event, told_at=time.time()))
        self._event = event
        candidates = [t for t in (self._best, *trials) if t and t.evaluation.ok]
        best = max(candidates, key=lambda t: t.rank, default=None)
        if best is not self._best:
            self._best = best
            self._write_best()

    def snapshot(self, stage: int, state: bytes) -> None:
        """Keeps an agent's state after the last event, in place of the stage's earlier one."""
        row = {"stage": stage, "event": self._event, "state": state}
        with self._database.transaction() as connection:
            connection.execute(_snapshots.delete().where(_snapshots.c.stage == stage))
            connection.execute(_snapshots.insert(), row)

    def last_snapshot(self, stage: int) -> tuple[int, bytes] | None:
        """The last event that a stage's kept state includes, and the state."""
        rows = self._database.rows(sa.select(_snapshots).where(_snapshots.c.stage == stage))
        return (rows[0].event, rows[0].state) if rows else None

    def log(self, stage: int, after: int = 0) -> list[Event]:
        """A stage's events later than number `after`, in their order."""
        asked: dict[int, list[Proposal]] = {}
        told: dict[int, list[Trial]] = {}
        later = sa.or_(_trials.c.ask_event > after, _trials.c.tell_event > after)
        for row in self._rows(_trials.c.stage == stage, later):
            if row.ask_event > after:
                asked.setdefault(row.ask_event, []).append(Proposal.from_json(row.proposal))
            if row.tell_event is not None:
                told.setdefault(row.tell_event, []).append(_trial(row))
        events = {n: Event(asked=tuple(group)) for n, group in asked.items()}
        events |= {n: Event(told=tuple(group)) for n, group in told.items()}
        return [events[n] for n in sorted(events)]

    def pending(self, stage: int) -> list[Asked]:
        """What a stage asked and was not yet told, by number."""
        return [
            Asked(
                row.number,
                Proposal.from_json(row.proposal),
                row.repeat_of,
                row.ask_event,
                _trial(row) if row.evaluation else None,
            )
            for row in self._rows(_trials.c.stage == stage, _trials.c.tell_event.is_(None))
        ]

    def asked(self, stage: int) -> int:
        """How many proposals a stage has made."""
        query = sa.select(sa.func.count()).where(_trials.c.stage == stage)
        return int(self._database.rows(query)[0][0])

    def keys(self) -> dict[str, int]:
        """Of every evaluation key, the first trial that has it."""
        query = sa.select(_trials.c.key, sa.func.min(_trials.c.number)).group_by(_trials.c.key)
        return {row[0]: row[1] for row in self._database.rows(query)}

    def evaluation(self, number: int) -> Evaluation | None:
        """What was found out about a trial; None as long as it is not finished."""
        [[found]] = self._database.rows(_EVALUATION, of=number)
        return Evaluation.from_json(found) if found else None

    def trials(self) -> list[Trial]:
        """All trials that were told, by number."""
        return [_trial(row) for row in self._rows(_trials.c.tell_event.is_not(None))]

    def evaluated(self) -> list[Trial]:
        """All trials that have a result, told or not, by number."""
        return [_trial(row) for row in self._rows(_trials.c.evaluation.is_not(None))]

    def told_at(self) -> dict[int, float]:
        """When each told trial was, in seconds of `time.time`, by number."""
        columns = (_trials.c.number, _trials.c.told_at)
        told = sa.select(*columns).where(_trials.c.tell_event.is_not(None))
        return {row.number: row.told_at for row in self._database.rows(told)}

    def staleness(self) -> list[int]:
        """Of every told trial, how many others were told after it was asked for, before it."""
        columns = (_trials.c.ask_event, _trials.c.tell_event)
        told = sa.select(*columns).where(_trials.c.tell_event.is_not(None))
        rows = self._database.rows(told.order_by(_trials.c.number))
        events = sorted(row.tell_event for row in rows)
        return [bisect_left(events, r.tell_event) - bisect_left(events, r.ask_event) for r in rows]

    def best(self) -> Trial | None:
        """The told trial of the highest rank, failed ones aside."""
        return self._best

    def _rows(self, *conditions: sa.ColumnElement[bool]) -> Sequence[Any]:
        return self._database.rows(sa.select(_trials).where(*conditions).order_by(_trials.c.number))

    def _create(self, meta: Mapping[str, Any]) -> None:
        foreign = self._database.table_names() - set(database.tables.tables)
        if foreign:
            raise RunError(f"{self.name} holds other data ({min(foreign)}): choose another place")
        self._database.prepare()
        with self._database.transaction() as connection:
            database.tables.create_all(connection)
            if connection.execute(sa.select(_meta)).first():
                raise RunError(
                    f"{self.name} already holds a run: "
                    f"continue it by `nascore resume {self.name}`, or choose another place"
                )
            # The meta comes last: without it, a creation that was cut short starts over.
            rows = [{"key": key, "value": value} for key, value in meta.items()]
            connection.execute(_meta.insert(), [*rows, {"key": "format", "value": FORMAT}])

    def _load(self) -> None:
        self.meta = {row.key: row.value for row in self._database.rows(sa.select(_meta))}
        written = self.meta.pop("format", None)
        if written is None:
            raise RunError(f"run {self.name} was cut short while it was created: start it anew")
        if written != FORMAT:
            raise RunError(
                f"run {self.name} has format {written}, this version reads {FORMAT}: "
                "use the version that wrote it"
            )
        columns = (_trials.c.number, _trials.c.ask_event, _trials.c.tell_event)
        [latest] = self._database.rows(sa.select(*map(sa.func.max, columns)))
        self.next_number = 0 if latest[0] is None else latest[0] + 1
        self._event = max(latest[1] or 0, latest[2] or 0)
        told = sa.select(_trials).where(_trials.c.tell_event.is_not(None))
        with self._database.transaction() as connection:
            by_rank = (_FIDELITY.desc(), _trials.c.reward.desc(), _trials.c.number)
            rows = connection.execute(told.order_by(*by_rank))
            self._best = next((_trial(r) for r in rows if r.evaluation["status"] == "ok"), None)

    def _write_files(self) -> None:
        """States in files what the database says: a kill may have come between the two."""
        if self.folder:
            folder.write_json(self.folder / "config.json", self.meta)
        self._write_best()

    def _write_best(self) -> None:
        if self.folder and self._best:
            folder.write_json(self.folder / "best.json", trial_json(self._best))

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def trial_json(trial: Trial) -> dict[str, Any]:
    """A trial as other programs read it, in `best.json` and from `nascore show --json`."""
    return {
        "number": trial.number,
        "status": trial.evaluation.status,
        "fidelity": trial.evaluation.fidelity,
        "reward": trial.reward,
        "metrics": dict(trial.metrics),
        "architecture": trial.architecture.to_json(),
    }


def _folder(where: str | Path | None) -> Path | None:
    return None if where is None or "://" in str(where) else Path(where)


def _trial(row: Any) -> Trial:
    return Trial(
        row.number,
        Proposal.from_json(row.proposal),
        Evaluation.from_json(row.evaluation),
        row.reward,
        row.repeat_of,
    )
