"""The tables of a run's log, and a connection whose every failure says what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from nascore.search.folder import RunError, disk_full

tables = sa.MetaData()
meta = sa.Table(
    "meta",
    tables,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
)
trials = sa.Table(
    "trials",
    tables,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("stage", sa.Integer, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("proposal", sa.JSON, nullable=False),
    sa.Column("repeat_of", sa.Integer),
    sa.Column("ask_event", sa.Integer, nullable=False),
    sa.Column("evaluation", sa.JSON(none_as_null=True)),
    sa.Column("reward", sa.Double),
    sa.Column("tell_event", sa.Integer),
    sa.Column("told_at", sa.Double),
)
snapshots = sa.Table(
    "snapshots",
    tables,
    sa.Column("stage", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("event", sa.Integer, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
)


class Database:
    """One connection to the database at `url`; `run` is what its RunErrors call the run.

    The tables are in the `schema`, so that a server's database holds many runs.
    """

    def __init__(self, url: str | sa.URL, run: str, schema: str | None = None) -> None:
        self.run, self.schema = run, schema
        try:
            engine = sa.create_engine(url)
        except ImportError as error:
            hint = "pip install 'nascore[postgres]', and begin the URL with postgresql+psycopg://"
            raise ImportError(f"{run} needs a driver of its database ({error}): {hint}") from error
        except sa.exc.ArgumentError as error:
            raise RunError(f"{run} is no URL of a database: {error}") from error
        if schema and engine.dialect.name == "sqlite":
            raise RunError(f"{run}: an SQLite file holds one run; leave #{schema} out")
        self._engine = engine.execution_options(schema_translate_map={None: schema})
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _set_up_sqlite)
        with self._errors():
            self._connection = self._engine.connect()

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """All of it is written, or nothing; raises RunError."""
        with self._errors(), self._connection.begin():
            yield self._connection

    def rows(self, query: sa.Select[Any], **values: Any) -> Sequence[Any]:
        with self.transaction() as connection:
            return connection.execute(query, values).all()

    def table_names(self) -> set[str]:
        with self.transaction() as connection:
            return set(sa.inspect(connection).get_table_names(self.schema))

    def prepare(self) -> None:
        """Makes the schema; an SQLite file is set so that its readers never block its writer."""
        if self._engine.dialect.name == "sqlite":
            with self._errors():
                self._connection.connection.cursor().execute("PRAGMA journal_mode=WAL")
        elif self.schema:
            with self.transaction() as connection:
                connection.execute(sa.schema.CreateSchema(self.schema, if_not_exists=True))

    def check(self) -> None:
        """Raises RunError unless this is a whole database that holds a run."""
        if self._engine.dialect.name == "sqlite":
            with self.transaction() as connection:
                verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
            if verdict != "ok":
                raise self._broken(" ".join(verdict.split()))
        missing = set(tables.tables) - self.table_names()
        if missing:
            raise RunError(f"{self.run} is not a run: its database has no table {min(missing)!r}")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.IntegrityError as error:
            raise RunError(f"run {self.run} is being written by another process") from error
        except sa.exc.DBAPIError as error:
            reason = str(error.orig)
            # SQLite calls a full disk by its name, a used-up quota or file size limit an I/O error.
            if "is full" in reason or "disk I/O" in reason:
                raise disk_full(self.run) from error
            raise self._broken(reason) from error

    def _broken(self, reason: str) -> RunError:
        return RunError(
            f"the database of run {self.run} cannot be used: {reason}; where it is damaged, "
            "`sqlite3 run.db .recover` saves what is left of it"
        )


def _set_up_sqlite(connection: Any, _: object) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")  # a commit survives the end of the process
