"""How well generated weights order unseen blocks, against trainings whose results are kept.

`python tests/test_ghn_ranks.py` trains the blocks and writes `tests/ghn_ranks.csv` anew.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from scipy import stats

from nascore import _core, tasks
from nascore.agents.random import Random
from nascore.networks import Recipe, accuracy, build_net, fit
from nascore.networks.scoring import data_on
from nascore.spaces import Architecture, Skeleton, SumDagSpace
from nascore.surrogates.hyper_training import HyperTraining
from nascore.surrogates.hypernetwork import Design, use_batch_statistics
from nascore.tasks import batches

TABLE = Path(__file__).parent / "ghn_ranks.csv"
TASK = tasks.load("digits")
OPS = (("identity", 0), ("conv", 1), ("conv", 3), ("max_pool", 3), ("avg_pool", 3))
SPACE, TRAINED_ON = SumDagSpace(4, OPS), SumDagSpace(3, OPS)
SKELETON = Skeleton(stem_width=4, blocks=1, widths=(4, 8))
DESIGN = Design(passes=1, channels=16, kernel=3, fan_in=True, layer_norm=True)
TRAINING = Recipe(20, 64, "adam", 5e-3, schedule="cosine", clip=5.0, restarts=0)
TRUTH = Recipe(12, 64, "sgd", 0.025, weight_decay=3e-4, schedule="cosine", clip=5.0, restarts=0)
BATCH = 64

Floats = npt.NDArray[np.float64]


def held_out(n: int) -> list[Architecture]:
    """Different random blocks with layers; the hypernetwork's are drawn from another stream."""
    agent, blocks = Random(SPACE, 9000), {}
    while len(blocks) < n:
        [proposal] = agent.ask(1)
        if proposal.architecture.graph.layers():
            blocks[proposal.architecture.hash] = proposal.architecture
    return list(blocks.values())


BLOCKS = held_out(36)
NETS = [SKELETON.expand(block, TASK.shape, TASK.classes) for block in BLOCKS]


def write_table() -> None:
    with TABLE.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["hash", "accuracy_0", "accuracy_1"])
        for i, (block, net) in enumerate(zip(BLOCKS, NETS, strict=True)):
            fits = [fit(build_net(net, s), TASK, TRUTH, s, "cpu") for s in (2 * i, 2 * i + 1)]
            rows.writerow([block.hash, *(f"{f.valid.accuracy:.4f}" for f in fits)])


@pytest.fixture(scope="module")
def truth() -> Floats:
    """The mean of two trainings of each block."""
    with TABLE.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["hash"] for row in rows] == [block.hash for block in BLOCKS]
    return np.array([[float(row[f"accuracy_{i}"]) for i in range(2)] for row in rows]).mean(1)


@pytest.fixture(scope="module")
def generated() -> Floats:
    """The accuracy of each block with the weights of a hypernetwork that saw smaller ones alone."""
    training = HyperTraining(DESIGN, TASK, TRAINED_ON, SKELETON, TRAINING, seed=1, device="cpu")
    for _ in range(TRAINING.epochs):
        training.run_epoch()
    with torch.no_grad():
        networks = training.hyper(NETS)
    return np.array([accuracy(n, TASK, "valid", "cpu", BATCH).accuracy for n in networks])


def briefly_trained(net: _core.Net, seed: int, steps: int = 10) -> float:
    """Accuracy after a few steps of SGD, by batch statistics as where weights are generated."""
    network = build_net(net, seed)
    use_batch_statistics(network)
    optimizer = torch.optim.SGD(network.parameters(), TRUTH.lr, 0.9, weight_decay=3e-4)
    data = batches(
        *data_on(torch.device("cpu"), TASK, "train"),
        *(BATCH, seed, 0, TASK.augment, TASK.mean, TASK.std),
    )
    for x, y in islice(data, steps):
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(network(x), y))
        optimizer.step()
    return accuracy(network, TASK, "valid", "cpu", BATCH).accuracy


def test_generated_weights_order_unseen_blocks_better_than_ten_steps_of_sgd(
    truth: Floats, generated: Floats, record_testsuite_property: Callable[[str, object], None]
) -> None:
    brief = np.array([briefly_trained(net, 100 + i) for i, net in enumerate(NETS)])
    better = truth >= np.median(truth)
    found = {}
    for name, signal in (("generated", generated), ("10 steps", brief)):
        found[name] = stats.pearsonr(signal, truth)[0]
        record_testsuite_property(f"Pearson, {name}", found[name])
        record_testsuite_property(
            f"Pearson, {name}, better half", stats.pearsonr(signal[better], truth[better])[0]
        )
    assert stats.pearsonr(generated, truth).pvalue < 0.001
    assert found["generated"] > max(0.5, found["10 steps"])


def test_the_ten_best_by_generated_weights_beat_ten_at_random(
    truth: Floats, generated: Floats
) -> None:
    best = np.argsort(-generated, kind="stable")[:10]
    assert truth[best].mean() > truth[:10].mean()  # the table's order is a random one
    assert truth[best].mean() > truth.mean()


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_table()
