"""Runs in a real PostgreSQL server, which is started here where Debian's package is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from cli_kit import SETTINGS, nascore
from nascore.search import RunError, Store
from toys import ToyEvaluator, toy_search


def _programs() -> Path | None:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else places[-1] if places else None


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of an empty database of a server that listens on a socket of its own."""
    if (programs := _programs()) is None:
        pytest.skip("no PostgreSQL: apt-get install postgresql")
    as_root = os.geteuid() == 0
    user = "postgres" if as_root else None  # the server refuses to be root
    with tempfile.TemporaryDirectory(prefix="nascore-pg-", dir="/tmp") as folder:
        if as_root:
            shutil.chown(folder, "postgres")
        data = f"{folder}/data"
        made = [programs / "initdb", "-A", "trust", "-U", "nascore", "--no-sync", "-D", data]
        subprocess.run(made, check=True, capture_output=True, user=user, cwd=folder)
        options = [f"-k{folder}", "-clisten_addresses=", "-cfsync=off"]
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=user,
            cwd=folder,
        )
        try:
            ready = [programs / "pg_isready", "-q", "-h", folder]
            for _ in range(600):
                if subprocess.run(ready, check=False).returncode == 0:
                    break
                time.sleep(0.1)
            yield f"postgresql+psycopg://nascore@/postgres?host={folder}"
        finally:
            process.terminate()
            process.wait()


def test_a_run_is_the_same_as_in_memory(server: str) -> None:
    search = toy_search(30, batch=3, in_flight=3, snapshot_every=6)
    with Store.create(f"{server}#same", search.meta) as store:
        before = list(islice(search.run(store), 10))
    again = toy_search(30, batch=3, in_flight=3, snapshot_every=6)
    with Store.open(f"{server}#same", write=True) as store:
        after = list(again.run(store))
        everything = store.trials()
        best = store.best()
    assert before
    assert after
    assert everything == list(toy_search(30, batch=3, in_flight=3))
    assert best == max(everything, key=lambda t: t.rank)


def test_two_runs_are_written_at_once_and_read_meanwhile(server: str) -> None:
    failures: list[BaseException] = []

    def write(name: str, seed: int) -> None:
        try:
            search = toy_search(40, ToyEvaluator(sleep_s=0.01), seed=seed)
            with Store.create(f"{server}#{name}", search.meta) as store:
                list(search.run(store))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(f"team-{i}", i)) for i in (1, 2)]
    seen = set()
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for i in (1, 2):
            try:
                with Store.open(f"{server}#team-{i}") as store:
                    seen.add((i, len(store.trials())))
            except RunError:  # it is being made
                time.sleep(0.01)
    assert not failures
    assert all(any(run == i and 0 < n < 40 for run, n in seen) for i in (1, 2))
    for i in (1, 2):
        with Store.open(f"{server}#team-{i}") as store:
            assert store.trials() == list(toy_search(40, seed=i))


def test_a_run_has_one_writer(server: str) -> None:
    search = toy_search(8)
    with Store.create(f"{server}#one", search.meta) as first:
        running = search.run(first)
        list(islice(running, 4))
        with Store.open(f"{server}#one", write=True) as second:
            list(toy_search(8).run(second))
        with pytest.raises(RunError, match="being written by another process"):
            list(running)
    with pytest.raises(RunError, match="already holds a run"):
        Store.create(f"{server}#one", search.meta)


def test_on_the_command_line(server: str, tmp_path: Path) -> None:
    url = f"{server}#digits"
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    search = ["search", "blockqnn", "--task", "digits", "--trials", 4, *settings]
    done = nascore(*search, "--store", url)
    assert (done.status, done.err) == (0, "")
    assert len(json.loads(nascore("show", url, "--json").out)["trials"]) == 4
    assert "is complete" in nascore("resume", url).out
    assert nascore("retrain", url).err.startswith("error: out: ")
    done = nascore("retrain", url, "--out", tmp_path / "model")
    assert (done.status, done.err) == (0, "")
    both = nascore(*search, "--store", url, "--out", tmp_path)
    assert both.err.startswith("error: out=")


def test_what_is_no_server_says_so() -> None:
    with pytest.raises(RunError, match=r"^the database of run postgresql\+psycopg://me:\*\*\*@"):
        Store.open("postgresql+psycopg://me:secret@localhost:1/none#x")
    with pytest.raises(RunError, match="an SQLite file holds one run; leave #x out"):
        Store.open("sqlite:///some.db#x")
    with pytest.raises(RunError, match="no URL of a database"):
        Store.open("nonsense://")
    with pytest.raises(ImportError, match=r"pip install 'nascore\[postgres\]'"):
        Store.open("postgresql+pg8000://localhost/none")
