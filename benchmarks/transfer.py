"""What inheriting weights saves, and what it does to the order of blocks: AlphaX's small search.

    python benchmarks/transfer.py [--children 24] [--parents 12] [--seeds 2] [--trials 60]

Prints how the accuracies of blocks that inherited agree with training from scratch, then searches
with and without at equal numbers of trials. All on digits, on one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from nascore import methods, tasks
from nascore.agents.mcts import AlphaX
from nascore.agents.random import Random
from nascore.evaluators import TrainEvaluator
from nascore.results.tables import best_trials
from nascore.spaces import Architecture
from nascore.trial import Evaluation, Job, Proposal, Trial

CONFIG = replace(methods.config("alphax", "small"), agent=methods.config("alphax").agent)
TASK = tasks.load("digits")
SCRATCH = CONFIG.problem.evaluator(TASK)
FEW = round(CONFIG.warm_epochs * SCRATCH.recipe.epochs)
SHORT = replace(SCRATCH, recipe=replace(SCRATCH.recipe, epochs=FEW))
SCALED = replace(SCRATCH, warm_epochs=CONFIG.warm_epochs)
FIRST_SEED = 100
RELATIVES = 16


def score(evaluations: Sequence[Evaluation]) -> np.ndarray:
    """Validation accuracies in percent; nan where a training failed."""
    return 100 * np.array([e.metrics.get("val_accuracy", np.nan) for e in evaluations])


def trained(evaluator: TrainEvaluator, blocks: Sequence[Architecture], seed: int) -> np.ndarray:
    jobs = [Job(i, block, seed + i) for i, block in enumerate(blocks)]
    return score(evaluator.evaluate(jobs))


def family(parents: int, children: int) -> tuple[list[Trial], list[Proposal], Path]:
    """Random blocks, trained; others that AlphaX would let start from them; the weights' folder."""
    folder = Path(tempfile.mkdtemp())
    space = CONFIG.problem.space(TASK)
    chance = Random(space, 1)
    agent = AlphaX(space, 0, replace(CONFIG.agent, relatives=RELATIVES))
    trials: list[Trial] = []
    while len(trials) < parents:
        [proposal] = chance.ask(1)
        job = Job(len(trials), proposal.architecture, len(trials), weights=folder)
        [evaluation] = SCRATCH.evaluate([job])
        if evaluation.ok:
            trials.append(Trial(job.number, proposal, evaluation, float(score([evaluation])[0])))
    agent.tell(trials)
    found: list[Proposal] = []
    seen = {trial.architecture.hash for trial in trials}
    while len(found) < children:
        [proposal] = chance.ask(1)
        block = proposal.architecture
        start = agent._relative(proposal.actions)
        if start is None or block.hash in seen or not block.graph.layers():
            continue
        seen.add(block.hash)
        found.append(replace(proposal, init_from=start))
    return trials, found, folder


def print_order(parents: int, children: int) -> None:
    trials, found, folder = family(parents, children)
    blocks = [proposal.architecture for proposal in found]
    start = [trials[proposal.init_from] for proposal in found]
    jobs = [
        Job(i, block, 4000 + i, init_from=trial.evaluation.weights, weights=folder)
        for i, (block, trial) in enumerate(zip(blocks, start, strict=True))
    ]
    scaled = SCALED.evaluate(jobs)
    share = np.array([e.metrics.get("inherited", np.nan) for e in scaled])
    first, second = (trained(SCRATCH, blocks, seed) for seed in (1000, 2000))
    full = (first + second) / 2
    got = {
        "inherited, epochs by share": score(scaled),
        f"inherited, {FEW} epochs": score(SHORT.evaluate(jobs)),
        f"from scratch, {FEW} epochs": trained(SHORT, blocks, 3000),
        "from scratch, all epochs, once": first,
        "the same, another seed": second,
    }
    parent = np.array([trial.reward for trial in start])
    print(
        "| | mean, % | spread | rank correlation with all epochs | what it adds, with the share |"
    )
    print("| --- | --- | --- | --- | --- |")
    for name, values in got.items():
        truth = {"from scratch, all epochs, once": second, "the same, another seed": first}
        rho = stats.spearmanr(values, truth.get(name, full), nan_policy="omit")[0]
        bias = stats.spearmanr(values - full, share, nan_policy="omit")[0]
        mean, spread = np.nanmean(values), np.nanstd(values)
        print(f"| {name} | {mean:.1f} | {spread:.1f} | {rho:.2f} | {bias:.2f} |")
    rho = stats.spearmanr(parent, full, nan_policy="omit")[0]
    epochs = np.mean([e.metrics["epochs"] for e in scaled if "epochs" in e.metrics])
    print(f"\nthe parent's accuracy: rank correlation {rho:.2f}; {len(blocks)} children")
    print(
        f"inherited: mean {share.mean():.2f}, median {np.median(share):.2f}; epochs {epochs:.2f}\n"
    )


def search(seed: int, trials: int, relatives: int) -> list[float]:
    """Seconds of processor time and epochs a trial, the best, its three best from scratch."""
    config = replace(CONFIG, trials=trials, agent=replace(CONFIG.agent, relatives=relatives))
    began = time.process_time()
    found = list(methods.build("alphax", TASK, config, seed))
    seconds = time.process_time() - began
    best = [trial.architecture for trial in best_trials(found, 3)]
    good = [t for t in found if t.evaluation.ok]
    return [
        seconds / trials,
        sum(t.metrics["epochs"] for t in good) / len(good),
        sum("inherited" in t.metrics for t in good) / len(good),
        max(t.reward for t in good),
        float(np.nanmean(trained(SCRATCH, best, 1))),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("parents", 12), ("children", 24), ("seeds", 2), ("trials", 60)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    print_order(given.parents, given.children)
    print("| seed | relatives | s of CPU a trial | epochs | inherited | best, % | 3 from scratch |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for seed in range(FIRST_SEED, FIRST_SEED + given.seeds):
        for relatives in (0, RELATIVES):  # in turn, since a machine's speed drifts
            row = " | ".join(f"{v:.2f}" for v in search(seed, given.trials, relatives))
            print(f"| {seed} | {relatives} | {row} |", flush=True)


if __name__ == "__main__":
    main()
