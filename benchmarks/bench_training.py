"""`fit` beside a loop written by hand for the same network, without augmentation and validation.

The plain loop is what one writes first, the tuned one has what `fit` has: channels last and the
fused optimizer.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from nascore import tasks
from nascore.networks import Recipe, accuracy, build, fit
from nascore.spaces import BlockSpace, Skeleton
from nascore.tasks import Task
from side_by_side import Compare, Route

BLOCK = "[(1,1,3,0,0),(2,1,3,1,0),(3,5,0,0,2),(4,1,5,0,0),(5,2,3,4,0),(6,6,0,3,5)]"


def by_hand(network: nn.Module, task: Task, epochs: int, batch: int, *, tuned: bool) -> float:
    """Trains with Adam at 0.001; the validation accuracy, which `fit` takes too."""
    images, labels = (torch.tensor(array) for array in task.split("train"))
    mean, std = (255 * torch.tensor(v).view(1, -1, 1, 1) for v in (task.mean, task.std))
    if tuned:
        network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True if tuned else None)
    network.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(batch):
            if len(rows) < batch:
                break
            x = (images[rows].float() - mean) / std
            loss = F.cross_entropy(network(x), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return accuracy(network, task, "valid", "cpu").accuracy


def digits() -> Task:
    return tasks.load("digits", augment=tasks.Augment())


def colour() -> Task:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (640, 3, 32, 32), dtype=np.uint8)
    return tasks.from_arrays(images, np.arange(640) % 10, augment=tasks.Augment())


@pytest.mark.parametrize(
    ("make_task", "epochs", "batch"), [(digits, 4, 64), (digits, 4, 256), (colour, 1, 64)]
)
def test_fit_against_a_loop_by_hand(
    compare: Compare, make_task: Any, epochs: int, batch: int
) -> None:
    task = make_task()
    network = build(BlockSpace().architecture(BLOCK), task, Skeleton.small())
    recipe = Recipe(epochs, batch, "adam", 1e-3, restarts=0)
    images = epochs * (len(task.split("train")[0]) // batch * batch)

    def ours() -> float:
        fitted = fit(copy.deepcopy(network), task, recipe, 1, "cpu")
        assert fitted.status == "ok"
        assert fitted.valid is not None
        return fitted.valid.accuracy

    def by(tuned: bool) -> Route:
        run = lambda: by_hand(copy.deepcopy(network), task, epochs, batch, tuned=tuned)  # noqa: E731
        return Route(run, images)

    def agree(*accuracies: float) -> None:
        assert max(accuracies) - min(accuracies) < 0.15

    compare(
        f"training on {'x'.join(map(str, task.shape))}, batch {batch}",
        "images",
        {"nascore": Route(ours, images), "tuned by hand": by(True), "plain by hand": by(False)},
        agree,
    )
