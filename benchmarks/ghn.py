"""How well generated weights order blocks: against true training, beside cheaper signals.

    python benchmarks/ghn.py [--task digits] [--held-out 40] [--nodes 7] [--epochs 60] [--out DIR]
    python benchmarks/ghn.py --part truth --out DIR    # or train, then report

Trains a hypernetwork, and for real held-out random blocks, each from two seeds. Prints Markdown:
for each signal its measured cost and its correlation with the mean accuracy of the two trainings,
over all blocks, with a bootstrapped interval, over all but the worst, and over their better half.
The rivals are training by 10 and by 100 steps, of SGD and of the truth's own optimizer where that
is another, and the logarithms of parameters and of multiply-adds; the ceiling is what one seed says
of the other. --truth-adam 0.01 was chosen after a look at the blocks of --seed 500.
Everything that was measured stays in DIR, and a run that was cut short goes on from there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from scipy import stats

from nascore import methods, tasks
from nascore.agents.random import Random
from nascore.evaluators import HypernetEvaluator
from nascore.methods import ghn
from nascore.networks import Recipe, accuracy, build_net, fit
from nascore.networks.scoring import data_on, find_device, place
from nascore.spaces import Architecture, Skeleton, SumDagSpace
from nascore.surrogates.hyper_training import HyperTraining
from nascore.surrogates.hypernetwork import use_batch_statistics
from nascore.tasks import Task, batches
from nascore.trial import Job

FILE = "hypernetwork.pt"
STEPS = (10, 100)
# GHN-2's for its truth, with the clipping of gradients without which blocks of pools diverge.
TRUTH = Recipe(50, 96, "sgd", 0.025, weight_decay=3e-4, schedule="cosine", restarts=0, clip=5.0)
SIGNALS = {
    "generated": "generated weights",
    "sgd_10": "10 steps of SGD",
    "sgd_100": "100 steps of SGD",
    "adam_10": "10 steps of Adam",
    "adam_100": "100 steps of Adam",
    "params": "log parameters",
    "macs": "log multiply-adds",
}


def config(arguments: argparse.Namespace) -> ghn.Config:
    small = ghn.small()
    width, reducing = arguments.width, arguments.reducing_stem
    skeleton = Skeleton(width, 1 + reducing, reducing, 1, (width, 2 * width))
    dag = replace(small.dag, nodes=arguments.nodes, skeleton=skeleton)
    recipe = replace(TRUTH, epochs=arguments.truth_epochs, batch=arguments.truth_batch)
    if arguments.truth_adam is not None:
        recipe = replace(recipe, optimizer="adam", lr=arguments.truth_adam, weight_decay=0.0)
    dag = replace(dag, recipe=recipe)
    found = replace(
        small,
        dag=dag,
        train_nodes=arguments.train_nodes,
        training=replace(small.training, epochs=arguments.epochs, lr=arguments.lr),
        meta_batch=arguments.meta_batch,
    )
    return methods.with_settings(found, arguments.settings)


def held_out(found: ghn.Config, n: int, seed: int) -> list[Architecture]:
    """Different blocks with layers, from a seed that no training draws from."""
    agent, blocks = Random(SumDagSpace(found.dag.nodes), seed), {}
    while len(blocks) < n:
        [proposal] = agent.ask(1)
        if proposal.architecture.graph.layers():
            blocks[proposal.architecture.hash] = proposal.architecture
    return list(blocks.values())


def train(found: ghn.Config, task: Task, folder: Path) -> None:
    training = HyperTraining(
        *(found.design, task, SumDagSpace(found.train_nodes), found.dag.skeleton, found.training),
        meta_batch=found.meta_batch,
        seed=1,
    )
    if (folder / FILE).exists():
        training.load(folder / FILE)
    while training.epoch < found.training.epochs:
        began = time.process_time()
        loss = training.run_epoch()
        training.save(folder / FILE)
        line = {"epoch": training.epoch, "loss": loss, "seconds": time.process_time() - began}
        append(folder / "train.jsonl", line)


def truth(
    found: ghn.Config, task: Task, blocks: list[Architecture], folder: Path, first: int
) -> None:
    recipe = found.dag.recipe
    rates = {"sgd": TRUTH.lr, recipe.optimizer: recipe.lr}
    for i, block in enumerate(blocks):
        if block.hash not in {line["hash"] for line in lines(folder / "truth.jsonl")}:
            net = found.dag.skeleton.expand(block, task.shape, task.classes)
            line = {"hash": block.hash, "params": np.log(net.params), "macs": np.log(net.macs)}
            for seed in range(2):
                began = time.process_time()
                network = build_net(net, first + 2 * i + seed)
                done = fit(network, task, recipe, first + 2 * i + seed)
                line[f"truth_{seed}"] = done.valid.accuracy if done.valid else 0.0
                line[f"truth_{seed}_seconds"] = time.process_time() - began
            for name, rate in rates.items():
                line |= steps(found, task, block, 100 * first + i, name, rate)
            append(folder / "truth.jsonl", line)


def steps(
    found: ghn.Config, task: Task, block: Architecture, seed: int, name: str, rate: float
) -> dict[str, float]:
    """Accuracies after a few steps, by batch statistics, as those of generated weights."""
    device = find_device("auto")
    images, labels = data_on(device, task, "train")
    net = found.dag.skeleton.expand(block, task.shape, task.classes)
    network = build_net(net, seed)
    use_batch_statistics(network)
    place(network, device)
    optimizer: torch.optim.Optimizer
    if name == "sgd":
        optimizer = torch.optim.SGD(network.parameters(), rate, 0.9, weight_decay=3e-4)
    else:
        optimizer = torch.optim.Adam(network.parameters(), rate)
    measured: dict[str, float] = {}
    done, seconds = 0, 0.0
    for epoch in range(max(STEPS)):
        for x, y in batches(
            *(images, labels, found.test_batch, seed, epoch),
            *(task.augment, task.mean, task.std),
        ):
            began = time.process_time()
            optimizer.zero_grad()
            torch.autograd.backward(F.cross_entropy(network(x), y))
            optimizer.step()
            done += 1
            seconds += time.process_time() - began
            if done in STEPS:
                began = time.process_time()
                score = accuracy(network, task, "valid", device, found.test_batch)
                measured[f"{name}_{done}"] = score.accuracy
                measured[f"{name}_{done}_seconds"] = seconds + time.process_time() - began
            if done == max(STEPS):
                return measured
    raise AssertionError("an epoch without a step")


def generated(
    found: ghn.Config, task: Task, blocks: list[Architecture], folder: Path
) -> Iterator[tuple[float, float]]:
    """Accuracy and seconds of each block."""
    skeleton, design = found.dag.skeleton, found.design
    evaluator = HypernetEvaluator(task, skeleton, design, FILE, batch=found.test_batch)
    evaluator.evaluate([Job(0, blocks[0], 0, files=folder)])  # reads the file
    for i, block in enumerate(blocks):
        began = time.process_time()
        [evaluation] = evaluator.evaluate([Job(i, block, 0, files=folder)])
        yield evaluation.metrics.get("generated_accuracy", 0.0), time.process_time() - began


def report(found: ghn.Config, task: Task, blocks: list[Architecture], folder: Path) -> str:
    measured = {line["hash"]: line for line in lines(folder / "truth.jsonl")}
    blocks = [block for block in blocks if block.hash in measured]
    rows = [dict(measured[block.hash]) for block in blocks]
    for row, (value, seconds) in zip(rows, generated(found, task, blocks, folder), strict=True):
        row |= {"generated": value, "generated_seconds": seconds}
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0] if name != "hash"}
    both = np.stack([columns["truth_0"], columns["truth_1"]])
    goal = both.mean(0)
    better = goal >= np.median(goal)
    cost = [line["seconds"] for line in lines(folder / "train.jsonl")]
    out = [
        f"{len(rows)} held-out blocks of {found.dag.nodes} nodes on {task.name}, trained twice, "
        f"{found.dag.recipe.epochs} epochs: {100 * goal.mean():.1f} % on average, from "
        f"{100 * goal.min():.1f} to {100 * goal.max():.1f}. Hypernetwork: {len(cost)} epochs on "
        f"blocks of {found.train_nodes} nodes, {sum(cost):.0f} CPU seconds.",
        "",
        "| signal | CPU s a block | Pearson | interval | without the worst | better half | Kendall "
        "| better half | best 10 by it, % |",
        f"|{' --- |' * 9}",
    ]
    for name, title in SIGNALS.items():
        if name not in columns:
            continue
        seconds = columns.get(f"{name}_seconds")
        spent = "0" if seconds is None else f"{seconds.mean():.2f}"
        top = np.argsort(-columns[name], kind="stable")[:10]
        out.append(
            row_of(title, spent, columns[name], goal, better, f"{100 * goal[top].mean():.1f}")
        )
    spent = f"{columns['truth_0_seconds'].mean():.2f}"
    out.append(row_of("one training, of the other", spent, both[0], both[1], better, "-"))
    return "\n".join(out)


def row_of(
    title: str,
    spent: str,
    signal: npt.NDArray[np.float64],
    goal: npt.NDArray[np.float64],
    better: npt.NDArray[np.bool_],
    top: str,
) -> str:
    rest = goal > goal.min()
    rng, both = np.random.default_rng(0), []
    for _ in range(5000):
        rows = rng.integers(len(goal), size=len(goal))
        if len(set(goal[rows])) > 1 and len(set(signal[rows])) > 1:
            both.append(stats.pearsonr(signal[rows], goal[rows])[0])
    low, high = np.percentile(both, [2.5, 97.5])
    everything = np.ones(len(goal), bool)
    pearson = [stats.pearsonr(signal[k], goal[k])[0] for k in (everything, rest, better)]
    kendall = [stats.kendalltau(signal[k], goal[k])[0] for k in (everything, better)]
    whole, *others = (f"{value:.2f}" for value in pearson + kendall)
    return f"| {' | '.join([title, spent, whole, f'{low:.2f} to {high:.2f}', *others, top])} |"


def settle(arguments: argparse.Namespace) -> None:
    """What is in the folder stays comparable: SystemExit where it is of other settings."""
    mine = {k: v for k, v in vars(arguments).items() if k not in ("part", "out", "held_out")}
    file = arguments.out / "settings.json"
    if not file.exists():
        file.write_text(json.dumps(mine, indent=1) + "\n")
    theirs = json.loads(file.read_text())
    other = sorted(k for k in mine.keys() | theirs.keys() if mine.get(k) != theirs.get(k))
    if other:
        said = ", ".join(f"{k}={theirs.get(k)!r}, not {mine.get(k)!r}" for k in other)
        raise SystemExit(f"{arguments.out} is of other settings: {said}; give another --out")


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(path: Path, line: dict[str, object]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("truth", "train", "report", "all"), default="all")
    parser.add_argument("--task", default="digits")
    parser.add_argument("--limit-train", type=int)
    parser.add_argument("--held-out", type=int, default=40)
    parser.add_argument("--nodes", type=int, default=7)
    parser.add_argument("--train-nodes", type=int, default=5)
    parser.add_argument("--width", type=int, default=16)
    help_text = "the stem strides and pools, as ImageNet's: a sixteenth of the work"
    parser.add_argument("--reducing-stem", action="store_true", help=help_text)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--lr", type=float, default=ghn.small().training.lr)
    parser.add_argument("--meta-batch", type=int, default=1)
    parser.add_argument("--truth-epochs", type=int, default=TRUTH.epochs)
    parser.add_argument("--truth-batch", type=int, default=TRUTH.batch)
    help_text = "Adam at this rate instead of SGD, with which short trainings come to their end"
    parser.add_argument("--truth-adam", type=float, metavar="RATE", help=help_text)
    parser.add_argument("--seed", type=int, default=100, help="of the held-out blocks")
    help_text = "settings of the method, such as design.passes=5"
    parser.add_argument("--set", nargs="+", default=[], dest="settings", help=help_text)
    parser.add_argument("--out", type=Path, default=Path("build/ghn"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    settle(arguments)
    task = tasks.load(arguments.task, limit_train=arguments.limit_train)
    found = config(arguments)
    blocks = held_out(found, arguments.held_out, arguments.seed)
    if arguments.part in ("truth", "all"):
        truth(found, task, blocks, arguments.out, arguments.seed)
    if arguments.part in ("train", "all"):
        train(found, task, arguments.out)
    if arguments.part in ("report", "all"):
        print(report(found, task, blocks, arguments.out))


if __name__ == "__main__":
    main()
