"""Does it learn? Agents on the block table that ships with the package, at equal budget.

    python benchmarks/evidence.py [--seeds 50] [--trials 160]

Prints Markdown: BlockQNN against random search, shaped rewards against unshaped ones, and how well
short training, with and without the early-stop penalties, orders blocks as long training does.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats

from nascore import methods, tables
from nascore.agents.random import Random
from nascore.evaluators.table import TableEvaluator, read_table
from nascore.methods import blockqnn
from nascore.search import AskTell, EarlyStop, Search
from nascore.search.rewards import early_stop
from nascore.spaces import BlockSpace
from nascore.trial import Agent

# The checkout's, since `make evidence` may just have written it, not the installed copy.
TABLE = Path(__file__).parents[1] / "python/nascore/tables/blocks_digits.csv"
FIRST_SEED = 100  # the small preset was chosen on others
SPACE = BlockSpace(tables.MAX_LAYERS)
Floats = npt.NDArray[np.float64]


def searches(seeds: int, trials: int) -> dict[str, dict[str, Floats]]:
    """Per agent and figure, one number per seed."""
    table = read_table(TABLE)
    config = replace(methods.config("blockqnn", "small"), trials=trials)
    unshaped = replace(config, shaping=False)
    reward = EarlyStop(config.mu, config.rho, config.floor)
    evaluator = TableEvaluator(table, "short")

    agents: Mapping[str, Callable[[int], Agent]] = {
        "BlockQNN": lambda seed: blockqnn.agent(config, SPACE, seed),
        "BlockQNN without shaping": lambda seed: blockqnn.agent(unshaped, SPACE, seed),
        "random": lambda seed: Random(SPACE, seed),
    }
    found: dict[str, dict[str, Floats]] = {}
    for name, make in agents.items():
        rows = []
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            stage = AskTell(make(seed), evaluator, reward, trials, batch=config.batch)
            history = list(Search(name, {}, "table", seed, [stage]))
            best = max(history, key=lambda trial: trial.reward)
            long = [
                v for k, v in table[best.architecture.hash].items() if k.startswith("long_test")
            ]
            late = [trial.reward for trial in history[-(trials // 4) :]]
            distinct = len({trial.architecture.hash for trial in history})
            rows.append((best.reward, 100 * np.mean(long), np.mean(late), distinct))
        found[name] = dict(zip(FIGURES, np.array(rows).T, strict=True))
    return found


FIGURES = (
    "best reward",
    "its long test accuracy, %",
    "mean reward of the last quarter",
    "distinct blocks",
)


def interval(values: Floats) -> str:
    """Mean and its 95 % confidence interval."""
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return f"{values.mean():.2f} ± {half:.2f}"


def paired(one: Floats, other: Floats) -> str:
    """The mean difference of pairs, how many were won and lost, and the sign test's two-sided p."""
    difference = one - other
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    p = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    return f"{interval(difference)}, {wins}:{losses}, p = {p:.2g}"


def orders() -> list[tuple[str, float]]:
    """Kendall's tau of cheap signals with the long training's accuracy, over the whole table."""
    rows = [row for row in read_table(TABLE).values() if row["longest_path"] > 0]
    column = {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def mean(what: str) -> Floats:
        # Rounded, so that equal means are ties, whatever was added first.
        return np.mean([column[f"{what}_{seed}"] for seed in tables.SEEDS], axis=0).round(9)

    config = methods.config("blockqnn", "paper")
    penalised = [
        early_stop(100 * accuracy, 2 * row["macs"] / 1e6, row["density"], config.mu, config.rho)
        for row, accuracy in zip(rows, column["short_val_0"], strict=True)
    ]
    long = mean("long_test")
    signals = {
        "short validation accuracy, one seed": column["short_val_0"],
        "the same with the penalties of eq. 7": np.array(penalised),
        "short validation accuracy, mean of the seeds": mean("short_val"),
        "long validation accuracy, one seed": column["long_val_0"],
        "log parameters": np.log(column["params"]),
        "log multiply-adds": np.log(column["macs"]),
    }
    taus = [
        (name, float(stats.kendalltau(signal, long).statistic)) for name, signal in signals.items()
    ]
    between = stats.kendalltau(column["long_test_0"], column["long_test_1"]).statistic
    short = stats.kendalltau(column["short_val_0"], column["short_val_1"]).statistic
    return [
        *taus,
        ("long test accuracy, one seed against the other", float(between)),
        ("short validation accuracy, one seed against the other", float(short)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--trials", type=int, default=160)
    given = parser.parse_args()
    found = searches(given.seeds, given.trials)
    print(f"{given.trials} trials, {given.seeds} seeds, mean ± 95 % interval:\n")
    print(f"| agent | {' | '.join(FIGURES)} |\n| --- |{' --- |' * len(FIGURES)}")
    for name, figures in found.items():
        print(f"| {name} | {' | '.join(interval(figures[f]) for f in FIGURES)} |")
    print("\nPaired differences over seeds, with the sign test's two-sided p:\n")
    for one, other in (("BlockQNN", "random"), ("BlockQNN", "BlockQNN without shaping")):
        for figure in FIGURES[:3]:
            print(
                f"- {one} - {other}, {figure}: {paired(found[one][figure], found[other][figure])}"
            )
    print("\n| orders all blocks | Kendall's tau with long test accuracy |\n| --- | --- |")
    for name, tau in orders():
        print(f"| {name} | {tau:.3f} |")


if __name__ == "__main__":
    main()
