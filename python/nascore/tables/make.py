"""Make the block table: every distinct block of up to three layers, truly trained on digits.

    python -m nascore.tables.make [FILE]

Columns: hash, code, params, macs, peak_bytes, density, longest_path, and for every seed s the
validation and test accuracies, in 0..1, and the seconds of processor time of a `short` training, 6
epochs, and a `long` one, 18: short_val_s, short_test_s, short_seconds_s, long_val_s, long_test_s,
long_seconds_s. Blocks that FILE already holds are not trained again. Two processes train, one
thread each.
"""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.progress import track

from nascore import tasks
from nascore.networks import Recipe, accuracy, build_net, fit
from nascore.spaces import Architecture, BlockSpace, Skeleton
from nascore.tables import BLOCKS, MAX_LAYERS, SEEDS, read

# Narrow, so that blocks differ in what they reach and two cores are done in an hour.
SKELETON = Skeleton(stem_width=8, blocks=1, widths=(8, 16))
RECIPES = {
    "short": replace(Recipe.search(), epochs=6, batch=128, lr=5e-3),
    "long": replace(Recipe.search(), epochs=18, batch=128, lr=5e-3),
}
COLUMNS = [
    *("hash", "code", "params", "macs", "peak_bytes", "density", "longest_path"),
    *(f"{r}_{what}_{s}" for s in SEEDS for r in RECIPES for what in ("val", "test", "seconds")),
]


def blocks(max_layers: int) -> list[Architecture]:
    """One architecture for each distinct block, the one with the shortest code."""
    space = BlockSpace(max_layers)
    found: dict[str, Architecture] = {}
    states = space.start(1)
    while len(states):
        done = space.done(states)
        for architecture in space.decode(states[done]):
            kept = found.setdefault(architecture.hash, architecture)
            if len(architecture.code) < len(kept.code):
                found[architecture.hash] = architecture
        item, action = np.nonzero(space.legal(states))
        states = space.step(states[item], action.astype(np.int32))
    return sorted(found.values(), key=lambda a: (len(a.code), a.code))


def measure(architecture: Architecture) -> dict[str, str | float]:
    """One row of the table."""
    task = tasks.load("digits")
    net = SKELETON.expand(architecture, task.shape, task.classes)
    graph = architecture.graph
    assert graph is not None
    row: dict[str, str | float] = {
        "hash": architecture.hash,
        "code": architecture.text,
        "params": net.params,
        "macs": net.macs,
        "peak_bytes": net.peak_bytes,
        "density": round(graph.density(), 4),
        "longest_path": graph.longest_path(),
    }
    for seed in SEEDS:
        for name, recipe in RECIPES.items():
            model = build_net(net, seed)
            began = time.process_time()
            done = fit(model, task, recipe, seed, "cpu")
            seconds = time.process_time() - began
            assert done.valid is not None, f"{row['code']}: {done.status}, {done.message}"
            row[f"{name}_val_{seed}"] = round(done.valid.accuracy, 5)
            row[f"{name}_test_{seed}"] = round(accuracy(model, task, "test", "cpu").accuracy, 5)
            row[f"{name}_seconds_{seed}"] = round(seconds, 2)
    return row


def main(path: Path) -> None:
    wanted = blocks(MAX_LAYERS)
    # Whoever was killed may have left a torn last row.
    rows = [row for row in read(path) if None not in row.values()] if path.exists() else []
    _write(path, rows)
    have = {row["hash"] for row in rows}
    missing = [a for a in wanted if a.hash not in have]
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            futures = [pool.submit(measure, a) for a in missing]
            for future in track(as_completed(futures), f"{len(wanted)} blocks", len(futures)):
                writer.writerow(future.result())
                file.flush()
    # In the order of the codes, so that the same measurements are the same file.
    order = {a.hash: i for i, a in enumerate(wanted)}
    _write(path, sorted(read(path), key=lambda row: order[row["hash"]]))


def _write(path: Path, rows: Sequence[dict[str, str]]) -> None:
    part = path.with_name(f"{path.name}.part")
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(part, path)  # the hours in the old file are never at risk


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else BLOCKS)
