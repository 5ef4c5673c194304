"""A search to be killed: `python fault_driver.py RUN` starts it, or goes on with it."""

from __future__ import annotations

import sys
from pathlib import Path

from nascore.search import RunError, Search, Store, Workers
from toys import ToyEvaluator, toy_search


def search(sleep_s: float = 0.05) -> Search:
    return toy_search(
        120, ToyEvaluator(sleep_s), batch=4, in_flight=4, snapshot_every=16, keep_weights=4
    )


def main(folder: Path) -> None:
    try:
        store = Store.open(folder, write=True)
    except RunError:
        store = Store.create(folder, search().meta)
    with store, Workers(2) as workers:
        for _ in search().run(store, workers):
            pass


if __name__ == "__main__":
    main(Path(sys.argv[1]))
