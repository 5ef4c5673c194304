"""What an expert's topology does to a search: IRLAS on the block table that ships with the package.

    python benchmarks/irlas.py [--seeds 30] [--trials 160]

Prints Markdown: lambda = 0, which is BlockQNN, against larger ones and against random search, for
every expert. The accuracy part of a block's reward is the same for all; lambda's is not in it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import stats

import evidence
from nascore import methods
from nascore.agents.apprenticeship import MirrorStimuli, distances, learn
from nascore.agents.random import Random
from nascore.evaluators.table import TableEvaluator, read_table
from nascore.methods import blockqnn
from nascore.methods.irlas import Guided
from nascore.results.tables import best_trials
from nascore.search import AskTell, EarlyStop, Search
from nascore.spaces.published import EXPERTS
from nascore.trial import Agent, Job, Reward, Trial

FIRST_SEED = 200  # fixed before the first run; what was chosen was chosen on others
WEIGHTS = (10.0, 30.0, 100.0)
FIGURES = (
    "best accuracy part",
    "its mean, last quarter",
    "distance to the expert, last quarter",
    "operations of the ten best",
    "depth of the ten best",
    "distinct blocks",
)
Floats = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--trials", type=int, default=160)
    given = parser.parse_args()
    table = read_table(evidence.TABLE)
    config = replace(methods.config("irlas"), trials=given.trials)
    plain = EarlyStop(config.mu, config.rho, config.floor)
    evaluator = TableEvaluator(table, "short")

    def search(agent: Agent, reward: Reward, seed: int) -> list[Trial]:
        stage = AskTell(agent, evaluator, reward, given.trials, batch=config.batch)
        return list(Search("irlas", {}, "table", seed, [stage]))

    def guided(weight: float, topology: MirrorStimuli, seed: int) -> list[Trial]:
        agent = blockqnn.agent(config, evidence.SPACE, seed)
        return search(agent, Guided(plain, topology, weight, config.floor), seed)

    def figures(history: list[Trial], expert: str) -> list[float]:
        accuracy = [plain(Job(t.number, t.architecture, 0), t.evaluation) for t in history]
        blocks = [trial.architecture for trial in history]
        late = -(given.trials // 4)
        near = distances(blocks[late:], EXPERTS[expert], config.topology_gamma)
        graphs = [trial.architecture.graph for trial in best_trials(history, 10)]
        return [
            max(accuracy),
            float(np.mean(accuracy[late:])),
            float(near.mean()),
            float(np.mean([graph.layers() for graph in graphs])),
            float(np.mean([graph.longest_path() for graph in graphs])),
            float(len({block.hash for block in blocks})),
        ]

    seeds = range(FIRST_SEED, FIRST_SEED + given.seeds)
    by_chance = [search(Random(evidence.SPACE, seed), plain, seed) for seed in seeds]
    unguided = [search(blockqnn.agent(config, evidence.SPACE, s), plain, s) for s in seeds]
    print(f"{given.trials} trials, {given.seeds} seeds, mean ± 95 % interval\n")
    for expert, block in EXPERTS.items():
        learned = [
            learn(evidence.SPACE, block, s, config.topology_gamma, config.margin, config.learner)
            for s in seeds
        ]
        histories = {"random": by_chance, "lambda = 0": unguided}
        for weight in WEIGHTS:
            histories[f"lambda = {weight:g}"] = [
                guided(weight, topology, s) for topology, s in zip(learned, seeds, strict=True)
            ]
        found = {
            name: np.array([figures(history, expert) for history in many])
            for name, many in histories.items()
        }
        print(f"| {expert} | {' | '.join(FIGURES)} |\n| --- |{' --- |' * len(FIGURES)}")
        for name, values in found.items():
            print(f"| {name} | {' | '.join(map(evidence.interval, values.T))} |")
        print("\nPaired differences over seeds, with the sign test's two-sided p:\n")
        for weight in WEIGHTS:
            difference = found[f"lambda = {weight:g}"] - found["lambda = 0"]
            for name, column in zip(FIGURES, difference.T, strict=True):
                wins, losses = int((column > 0).sum()), int((column < 0).sum())
                p = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
                text = f"{evidence.interval(column)}, {wins}:{losses}, p = {p:.2g}"
                print(f"- lambda {weight:g} - 0, {name}: {text}")
        print(flush=True)


if __name__ == "__main__":
    main()
