"""A recurrent controller's whole loop, in architectures.

Each is sampled, scored by a table, learned from in batches of 20, and stored on disk. Beside it
the same in plain torch, one decision after the other, with one transaction of plain SQL a batch.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical

from nascore.agents.policy_gradient import PolicyGradient
from nascore.search import Accuracy, AskTell, Search, Store
from nascore.spaces import Architecture, ChoicesSpace
from nascore.trial import Evaluation, Job
from side_by_side import Compare, Route

BATCH, UNITS, LR, CLIP, ENTROPY, DECAY = 20, 100, 3.5e-4, 0.2, 1e-5, 0.95


@dataclass(frozen=True)
class Sum:
    """The mean over decisions of a number for each choice, by a table [decisions, choices]."""

    table: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, sizes: Sequence[int]) -> Sum:
        table = np.random.default_rng(0).random((len(sizes), max(sizes)))
        return cls(tuple(map(tuple, table.tolist())))

    def value(self, code: Sequence[int]) -> float:
        return sum(row[c] for row, c in zip(self.table, code, strict=True)) / len(code)

    def key(self, architecture: Architecture) -> str:
        return architecture.hash

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        values = [self.value(job.architecture.code) for job in jobs]
        return [Evaluation({"val_accuracy": value}, "table") for value in values]


class PlainController(nn.Module):
    """One LSTM cell, an embedding and a softmax for each decision."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(UNITS))
        self.cell = nn.LSTMCell(UNITS, UNITS)
        self.embeddings = nn.ModuleList(nn.Embedding(size, UNITS) for size in sizes)
        self.heads = nn.ModuleList(nn.Linear(UNITS, size) for size in sizes)
        for weight in self.parameters():
            nn.init.uniform_(weight, -0.1, 0.1)

    def forward(self, given: torch.Tensor | None, n: int) -> tuple[torch.Tensor, ...]:
        """Actions, their log-probabilities and entropies [n, T]; new ones where none are given."""
        x, state = self.start.expand(n, -1), None
        actions, log_probs, entropies = [], [], []
        for k, (embedding, head) in enumerate(zip(self.embeddings, self.heads, strict=True)):
            state = self.cell(x, state)
            choice = Categorical(logits=head(state[0]))
            action = choice.sample() if given is None else given[:, k]
            actions.append(action)
            log_probs.append(choice.log_prob(action))
            entropies.append(choice.entropy())
            x = embedding(action)
        return torch.stack(actions, 1), torch.stack(log_probs, 1), torch.stack(entropies, 1)


def plain(sizes: Sequence[int], trials: int, epochs: int, path: Path) -> list[float]:
    """The rewards of a search in plain torch that keeps what it did in the database `path`."""
    torch.manual_seed(0)
    score, controller = Sum.of(sizes), PlainController(sizes)
    optimizer = torch.optim.Adam(controller.parameters(), LR)
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE trials (number INTEGER PRIMARY KEY, code TEXT, reward REAL)")
    baseline, rewards = None, []
    for first in range(0, trials, BATCH):
        with torch.no_grad():
            actions, old, _ = controller(None, BATCH)
        codes = actions.tolist()
        told = [score.value(code) for code in codes]
        advantages = []
        for reward in told:
            past = reward if baseline is None else baseline
            baseline = DECAY * past + (1 - DECAY) * reward
            advantages.append(reward - baseline)
        gain = torch.tensor(advantages)[:, None]
        for _ in range(epochs):
            _, new, entropy = controller(actions, BATCH)
            ratio = (new - old).exp()
            clipped = torch.minimum(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain)
            loss = -(clipped + ENTROPY * entropy).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        rows = [(first + i, json.dumps(codes[i]), told[i]) for i in range(BATCH)]
        with database:
            database.executemany("INSERT INTO trials VALUES (?, ?, ?)", rows)
        rewards += told
    database.close()
    return rewards


@pytest.mark.parametrize(
    ("decisions", "epochs", "trials"), [(6, 1, 1000), (50, 1, 400), (50, 10, 200)]
)
def test_architectures_per_second(
    compare: Compare, tmp_path: Path, decisions: int, epochs: int, trials: int
) -> None:
    sizes = (5,) * decisions
    paths = (tmp_path / str(i) for i in count())

    def search() -> list[float]:
        agent = PolicyGradient(
            ChoicesSpace(sizes),
            0,
            units=UNITS,
            batch=BATCH,
            lr=LR,
            clip=CLIP,
            epochs=epochs,
            entropy=ENTROPY,
            baseline=DECAY,
        )
        stage = AskTell(agent, Sum.of(sizes), Accuracy(scale=1.0), trials, batch=BATCH)
        search = Search("bench", {}, "table", 0, [stage])
        with Store.create(next(paths), search.meta) as store:
            return [trial.reward for trial in search.run(store)]

    def agree(*found: list[float]) -> None:
        """Both learn: the last 100 rewards are above chance, and alike where there is time."""
        late = [float(np.mean(rewards[-100:])) for rewards in found]
        assert min(late) > float(np.mean(Sum.of(sizes).table))
        assert abs(late[0] - late[1]) < 0.1

    compare(
        f"controller and store: {decisions} decisions, {epochs} inner epochs",
        "architectures",
        {
            "nascore": Route(search, trials),
            "plain torch and SQL": Route(lambda: plain(sizes, trials, epochs, next(paths)), trials),
        },
        agree,
    )
