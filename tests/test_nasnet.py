"""What a faithful NASNet search must show, beyond its cells and its controller's own tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from nascore import _core, methods, tasks
from nascore.agents.random import Random
from nascore.search import AskTell
from nascore.spaces import CellSpace
from nascore.trial import Agent, Evaluation, Proposal, Trial

Reward = Callable[[tuple[int, ...]], float]

HEADS = [size for b in range(5) for size in (2 + b, 2 + b, 13, 13, 2)] * 2


def stage_of(*settings: str, preset: str = "paper", seed: int = 0) -> AskTell:
    """The one stage of a search for cells."""
    config = methods.with_settings(methods.config("nasnet", preset), settings)
    [stage] = methods.build("nasnet", tasks.load("digits"), config, seed).stages
    return stage


def test_a_sample_is_fifty_decisions() -> None:
    agent = stage_of("init=1.0").agent
    assert list(agent.space.heads) == HEADS
    proposals = agent.ask(5)
    _, head, legal, action = decisions = agent.decisions([p.actions for p in proposals])
    assert (head == torch.arange(50)).all()
    assert (legal.sum(-1) == torch.tensor(HEADS)).all()
    terms = agent.controller(*decisions[:3]).gather(-1, action[..., None])[..., 0]
    for proposal, its_terms in zip(proposals, terms.tolist(), strict=True):
        assert len(proposal.actions) == len(its_terms) == 50
        assert proposal.log_prob == pytest.approx(sum(its_terms), rel=1e-5)


def test_twenty_children_to_an_update_make_a_thousand() -> None:
    paper = methods.config("nasnet", "paper")
    stage = stage_of()
    assert (paper.trials, paper.batch, stage.agent.batch) == (20_000, 20, 20)
    assert paper.trials // stage.agent.batch == 1_000
    assert paper.lr == 0.00035
    assert (paper.entropy, paper.baseline, paper.init) == (0.00001, 0.95, 0.1)
    stage = stage_of("blocks=1", "trials=60", "batch=20", "in_flight=20", "epochs=2")
    agent = stage.agent
    for group in range(3):
        tell(agent, agent.ask(20), 20 * group, lambda actions: 0.5)
    assert {int(state["step"]) for state in agent.optimizer.state.values()} == {3 * 2}


def tell(agent: Agent, proposals: Sequence[Proposal], first: int, reward: Reward) -> list[float]:
    """The agent is told; what it was told comes back."""
    trials = [
        Trial(i, p, Evaluation({}, "table"), reward(p.actions))
        for i, p in enumerate(proposals, first)
    ]
    agent.tell(trials)
    return [trial.reward for trial in trials]


def test_ppo_beats_random_search_on_a_table() -> None:
    """A number in 0..1 for each choice of the ten decisions on one block; seeds 0 to 4.

    With the settings of the small search, the mean of the last 40 of 240 rewards beats random
    search's by 0.1 at least, each time.
    """
    space = CellSpace(1)
    table = _core.uniform(0, 16, 0, 10 * 13).reshape(10, 13)

    def late(agent: Agent) -> float:
        rewards: list[float] = []
        for first in range(0, 240, 8):
            rewards += tell(
                agent, agent.ask(8), first, lambda actions: float(table[range(10), actions].mean())
            )
        return float(np.mean(rewards[-40:]))

    learned = [late(stage_of("blocks=1", preset="small", seed=seed).agent) for seed in range(5)]
    chance = [late(Random(space, seed)) for seed in range(5)]
    gains = np.subtract(learned, chance)
    assert gains.min() > 0.1, f"{gains.mean():.3f} with deviation {gains.std(ddof=1):.3f}: {gains}"
