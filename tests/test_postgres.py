"""Runs in a real PostgreSQL server, which is started here where Debian's package is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import pytest

from cli_kit import SETTINGS, nascore
from nascore.search import RunError, Store
from toys import toy_search


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


# A process of a team: it stops half-way until a line comes, and goes on.
WRITER = """
import sys
from itertools import islice
from nascore.search import Store
from toys import ToyEvaluator, toy_search
search = toy_search(40, ToyEvaluator(sleep_s=0.02), seed=int(sys.argv[2]))
with Store.create(sys.argv[1], search.meta) as store:
    running = search.run(store)
    print(len(list(islice(running, 20))), flush=True)
    sys.stdin.readline()
    list(running)
"""


def test_two_processes_write_at_once_and_their_runs_are_shown_meanwhile(server: str) -> None:
    urls = [f"{server}#team-{i}" for i in (1, 2)]
    command = [sys.executable, "-c", WRITER]
    here = {"cwd": Path(__file__).parent, "stderr": subprocess.STDOUT, "text": True}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    writers = [
        subprocess.Popen([*command, url, str(seed)], **here, **pipes)
        for seed, url in enumerate(urls, 1)
    ]

    def shown() -> list[int]:
        done = [nascore("show", url, "--json") for url in urls]
        assert [d.err for d in done] == ["", ""]
        return [len(json.loads(d.out)["trials"]) for d in done]

    with ExitStack() as stack:
        for writer in writers:
            stack.enter_context(writer)
            stack.callback(writer.kill)
        assert [writer.stdout.readline() for writer in writers] == ["20\n"] * 2
        assert all(20 <= n <= 21 for n in shown())
        for writer in writers:
            writer.stdin.write("\n")
            writer.stdin.flush()
        while any(writer.poll() is None for writer in writers):
            assert all(20 <= n <= 40 for n in shown())
        assert [(w.stdout.read(), w.returncode) for w in writers] == [("", 0)] * 2
    for seed, url in enumerate(urls, 1):
        with Store.open(url) as store:
            assert store.trials() == list(toy_search(40, seed=seed))


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
