"""Do learned connections beat random ones, and all of them? By true trainings at equal budget.

    python benchmarks/maskconnect.py [--task digits] [--limit-train N] [--kind resnext] [--seeds 5]
        [--fan-in 2] [--learn 6] [--tune 9] [--mask-lr 0.5] [--out runs/maskconnect]

Every arm has the same network around it, the same images, epochs, recipe, order of images and
initial weights; only the masks differ: learned, drawn once at random, all on, and for ResNet the
previous block alone. A finished training is a file below `--out` and is not repeated. Prints
Markdown: test accuracy, parameters before and after dead modules are removed, intervals.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from evidence import FIRST_SEED, interval, paired
from nascore import methods, tasks
from nascore.agents.random import Random
from nascore.files import write_whole
from nascore.methods.maskconnect import Config
from nascore.networks import accuracy, fit
from nascore.networks.masked import build_masked, estimate_batch_norm
from nascore.spaces import Architecture, ConnectionSpace
from nascore.tasks import Task

LEARNED, RANDOM, FULL, PREVIOUS = "learned", "random", "full", "previous block"


def fixed(arm: str, config: Config, seed: int) -> Architecture | None:
    """The connectivity of an arm that learns none."""
    if arm == RANDOM:
        space = ConnectionSpace(config.skeleton.candidates, config.fan_in)
        return Random(space, seed).ask(1)[0].architecture
    return {FULL: config.skeleton.full, PREVIOUS: config.skeleton.simplest}.get(arm)


def train(arm: str, task: Task, config: Config, seed: int) -> dict[str, float]:
    """What one training comes to; an arm with fixed masks goes through the same two phases."""
    skeleton = config.skeleton
    given = fixed(arm, config, seed)
    fan_in = config.fan_in if given is None else max(map(len, given.code))
    rate = config.mask_lr if given is None else 0.0
    masked = build_masked(skeleton, task.shape, task.classes, fan_in, seed, rate)
    if given is not None:
        reads = zip(given.code, skeleton.candidates, strict=True)
        binary = [float(k in read) for read, count in reads for k in range(count)]
        with torch.no_grad():
            masked.masks.copy_(torch.tensor(binary))
    learned = fit(masked, task, config.learn, seed, "cpu")
    network = masked.pruned()
    estimate_batch_norm(network, task, "cpu", config.tune.batch)
    tuned = fit(network, task, config.tune, seed, "cpu")
    assert given is None or masked.architecture() == given
    return {
        "test": 100 * accuracy(network, task, "test", "cpu").accuracy,
        "valid": 100 * accuracy(network, task, "valid", "cpu").accuracy,
        "before": skeleton.expand(skeleton.full, task.shape, task.classes).params,
        "params": sum(p.numel() for p in network.parameters()),
        "seconds": learned.seconds + tuned.seconds,
    }


def results(arm: str, task: Task, config: Config, seed: int, out: Path) -> Mapping[str, float]:
    """Those of a training, which its file keeps."""
    file = out / f"{arm.replace(' ', '-')}-{seed}.json"
    told = {"task": task.fingerprint, "config": json.loads(json.dumps(asdict(config)))}
    if file.exists():
        kept = json.loads(file.read_text(encoding="utf-8"))
        if {name: kept[name] for name in told} != told:
            raise SystemExit(f"{file} is of other settings: name another --out")
        found: dict[str, float] = kept["found"]
        return found
    found = train(arm, task, config, seed)
    out.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps({**told, "found": found}).encode())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="digits")
    parser.add_argument("--limit-train", type=int)
    parser.add_argument("--kind", choices=("resnet", "resnext"), default="resnext")
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--branches", type=int, default=4)
    parser.add_argument("--fan-in", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--learn", type=int, default=6)
    parser.add_argument("--tune", type=int, default=9)
    parser.add_argument("--mask-lr", type=float, default=0.5)
    parser.add_argument("--out", type=Path, default=Path("runs/maskconnect"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    task = tasks.load(given.task, limit_train=given.limit_train)
    base: Config = methods.config("maskconnect")
    config = replace(
        base,
        skeleton=replace(
            base.skeleton, kind=given.kind, blocks=given.blocks, branches=given.branches
        ),
        fan_in=given.fan_in,
        mask_lr=given.mask_lr,
        learn=replace(base.learn, epochs=given.learn),
        tune=replace(base.tune, epochs=given.tune),
    )
    arms = [LEARNED, RANDOM, FULL, *([PREVIOUS] if given.kind == "resnet" else [])]
    found: dict[str, list[Mapping[str, float]]] = {arm: [] for arm in arms}
    for seed in range(FIRST_SEED, FIRST_SEED + given.seeds):
        for arm in arms:
            found[arm].append(results(arm, task, config, seed, given.out))
            print(f"seed {seed}, {arm}: {found[arm][-1]}", flush=True)

    def column(arm: str, name: str) -> np.ndarray:
        return np.array([one[name] for one in found[arm]])

    images = len(task.split("train")[0])
    print(
        f"\n{given.kind}, {task.name}: {images:,} images, {given.learn} + {given.tune} epochs, "
        f"fan-in {given.fan_in}, {given.seeds} seeds, mean ± 95 % interval:\n"
    )
    print("| connections | test accuracy, % | parameters | of | seconds |\n| --- |" + " --- |" * 4)
    for arm in arms:
        before = int(column(arm, "before")[0])
        print(
            f"| {arm} | {interval(column(arm, 'test'))} | {column(arm, 'params').mean():,.0f} | "
            f"{before:,} | {column(arm, 'seconds').mean():.0f} |"
        )
    print("\nPaired differences of test accuracy, with the sign test's two-sided p:\n")
    for arm in arms[1:]:
        print(f"- learned - {arm}: {paired(column(LEARNED, 'test'), column(arm, 'test'))}")


if __name__ == "__main__":
    main()
