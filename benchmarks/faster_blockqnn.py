"""Are predicted rewards worth it? Faster BlockQNN on the block table that ships with the package.

    python benchmarks/faster_blockqnn.py [--seeds 20] [--splits 5]

Prints Markdown: how well the predictor orders blocks it was not trained on, beside their size
alone; and what searches reach with a quarter of BlockQNN's trainings: with the LSTM, with a line
through the logarithms of parameters and multiply-adds in its place, and by chance.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats

sys.path.append(str(Path(__file__).parent))
from evidence import FIRST_SEED, SPACE, TABLE, interval, paired
from nascore import methods, tables
from nascore.agents.random import Random
from nascore.evaluators.table import TableEvaluator, read_table
from nascore.methods import blockqnn, faster_blockqnn
from nascore.search import AskTell, Search
from nascore.spaces import Architecture
from nascore.tables.make import blocks
from nascore.trial import Agent, Trial

Floats = npt.NDArray[np.float64]
ROWS = read_table(TABLE)
FULL = replace(methods.config("blockqnn"), max_layers=tables.MAX_LAYERS)
FASTER = replace(methods.config("faster_blockqnn"), max_layers=tables.MAX_LAYERS)
# More blocks than a search trains, so a wider network and more steps than the small preset.
WIDER = replace(FASTER.predictor, hidden=64, steps=300, lr=5e-3)


class Line:
    """Accuracy as a linear function of the logarithms of parameters and multiply-adds."""

    fitted = False

    def fit(
        self, blocks: Sequence[Architecture], numbers: npt.ArrayLike, accuracies: npt.ArrayLike
    ) -> None:
        known, wanted = self._features(numbers), np.asarray(accuracies)
        self.weights = np.linalg.lstsq(known, wanted, rcond=None)[0]
        self.spread = float(np.std(wanted - known @ self.weights))
        self.fitted = True

    def predict(
        self, blocks: Sequence[Architecture], numbers: npt.ArrayLike
    ) -> tuple[Floats, Floats]:
        mean = (self._features(numbers) @ self.weights).clip(0, 1)
        return mean, np.full(len(mean), self.spread)

    @staticmethod
    def _features(numbers: npt.ArrayLike) -> Floats:
        logs = np.log(np.asarray(numbers, float).reshape(-1, 3))
        return np.column_stack([np.ones(len(logs)), logs[:, 1:]])

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


def orders(splits: int) -> dict[tuple[str, int, str], Floats]:
    """Kendall's tau on the held-out half, by signal, number of known blocks and kind of blocks."""
    found = [block for block in blocks(tables.MAX_LAYERS) if block.graph and block.graph.layers()]
    rows = [ROWS[block.hash] for block in found]
    truth = np.array([(row["short_val_0"] + row["short_val_1"]) / 2 for row in rows]).round(9)
    numbers = np.array([(6, row["params"], row["macs"]) for row in rows])
    kinds = [{row[1] for row in block.code[:-1]} for block in found]
    masks = {
        "all": np.ones(len(found), bool),
        "with a convolution": np.array([1 in kind for kind in kinds]),
        "convolutions alone": np.array([kind == {1} for kind in kinds]),
    }
    taus: dict[tuple[str, int, str], list[float]] = {}
    for split in range(splits):
        order = np.random.default_rng(split).permutation(len(found))
        test = order[len(order) // 2 :]
        guesses = {
            ("log parameters", 0): numbers[test, 1],
            ("log multiply-adds", 0): numbers[test, 2],
        }
        for n in (50, 100, 200, len(order) // 2):
            known = order[:n]
            of_known, of_test = ([found[i] for i in part] for part in (known, test))
            for name, used in (
                ("LSTM", numbers),
                ("LSTM, size not told", np.ones_like(numbers)),
            ):
                model = faster_blockqnn.predictor(replace(FASTER, predictor=WIDER), split)
                model.fit(of_known, used[known], truth[known])
                guesses[name, n] = model.predict(of_test, used[test])[0]
        for (name, n), guess in guesses.items():
            for kind, mask in masks.items():
                tau = stats.kendalltau(guess[mask[test]], truth[test][mask[test]]).statistic
                taus.setdefault((name, n, kind), []).append(tau)
    return {key: np.array(values) for key, values in taus.items()}


def history(agent: Agent, trials: int, batch: int, seed: int) -> list[Trial]:
    stage = AskTell(agent, TableEvaluator(ROWS, "short"), FULL.reward(), trials, batch=batch)
    return list(Search("table", {}, "table", seed, [stage]))


def searches(seeds: int) -> dict[str, Floats]:
    """Per search a row per seed: trainings, best reward, its long test accuracy in percent."""
    table = TableEvaluator(ROWS, "short")
    found: dict[str, list[tuple[float, ...]]] = {}
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        full = history(blockqnn.agent(FULL, SPACE, seed), FULL.trials, FULL.batch, seed)
        quarter = trainings(full) // 4
        config = replace(FASTER, trials=quarter, warm_up=8)
        lstm, line = (faster_blockqnn.agent(config, SPACE, seed, table.known) for _ in range(2))
        line.predictor = Line()  # type: ignore[assignment]
        by_chance = history(Random(SPACE, seed), FULL.trials, 1, seed)
        trained = [t for t in by_chance if t.repeat_of is None][:quarter]
        runs = {
            "BlockQNN": full,
            "Faster BlockQNN": history(lstm, quarter, config.batch, seed),
            "Faster BlockQNN, a line for the LSTM": history(line, quarter, config.batch, seed),
            "random": trained,
        }
        for name, trials in runs.items():
            found.setdefault(name, []).append((trainings(trials), *figures(trials)))
    return {name: np.array(rows) for name, rows in found.items()}


def trainings(trials: Sequence[Trial]) -> int:
    return sum(trial.repeat_of is None for trial in trials)


def figures(trials: Sequence[Trial]) -> tuple[float, float]:
    best = max(trials, key=lambda trial: trial.reward)
    row = ROWS[best.architecture.hash]
    long = [value for name, value in row.items() if name.startswith("long_test")]
    return best.reward, 100 * float(np.mean(long))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--splits", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = searches(given.seeds)
    print(f"Searches, {given.seeds} seeds, mean ± 95 % interval:\n")
    print("| search | trainings | best reward | its long test accuracy, % |")
    print("| --- | --- | --- | --- |")
    for name, rows in found.items():
        print(f"| {name} | {' | '.join(interval(column) for column in rows.T)} |")
    print("\nPaired differences of the best reward, with the sign test's two-sided p:\n")
    for one, other in (
        ("Faster BlockQNN", "BlockQNN"),
        ("Faster BlockQNN", "random"),
        ("Faster BlockQNN", "Faster BlockQNN, a line for the LSTM"),
    ):
        print(f"- {one} - {other}: {paired(found[one][:, 1], found[other][:, 1])}")
    taus = orders(given.splits)
    kinds = list(dict.fromkeys(kind for *_, kind in taus))
    print(f"\nKendall's tau on the held-out half, mean of {given.splits} splits:\n")
    print(f"| signal | known blocks | {' | '.join(kinds)} |\n| --- |{' --- |' * (1 + len(kinds))}")
    for name, n in dict.fromkeys((name, n) for name, n, _ in taus):
        cells = [f"{taus[name, n, kind].mean():.3f}" for kind in kinds]
        print(f"| {name} | {n or ''} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
