"""The contract of an agent. `check(make)` runs all of it; `make(seed)` gives a fresh agent."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import torch

from nascore import tasks
from nascore.agents.evolution import Evolution
from nascore.agents.policy_gradient import PolicyGradient
from nascore.agents.predicted_rewards import PredictedRewards
from nascore.agents.q_learning import QLearning
from nascore.agents.ranked import Ranked
from nascore.evaluators.train import TrainEvaluator
from nascore.networks import Recipe
from nascore.search import EarlyStop
from nascore.spaces import BlockSpace, Skeleton
from nascore.surrogates.peephole import Peephole
from nascore.trial import Agent, Evaluation, Proposal, Space, Trial, WeightsRef

SPACE = BlockSpace(4)
TRAINING = {"steps": 10, "batch": 16, "lr": 1e-2, "weight_decay": 1e-3}


def q_learning(
    seed: int, space: Space = SPACE, kind: type[QLearning] = QLearning, **changes: Any
) -> QLearning:
    """An agent that explores half of its 100 trials."""
    settings: dict[str, Any] = {
        "trials": 100,
        "schedule": ((1.0, 2), (0.1, 2)),
        "alpha": 0.1,
        "gamma": 1.0,
        "initial_q": 0.0,
        "replay": 2,
        "shaping": True,
    }
    return kind(space, seed, **{**settings, **changes})


def predicted_rewards(seed: int, space: BlockSpace = SPACE, **changes: Any) -> PredictedRewards:
    """An agent that predicts soon, by a small network of little training, in a small skeleton."""
    task, skeleton = tasks.load("digits"), Skeleton(stem_width=8, blocks=1, widths=(8, 16))
    widths = {"embedding": 4, "hidden": 8, "members": 2}
    settings: dict[str, Any] = {
        "predictor": Peephole(space.max_layers, seed, **widths, **TRAINING),
        "known": TrainEvaluator(task, skeleton, Recipe.search()).known,
        "reward": EarlyStop(),
        "epochs": 12,
        "trained": 40,
        "warm_up": 6,
        "refit_every": 5,
        "chance": 0.25,
        "kappa": 1.0,
    }
    agent = q_learning(seed, space, PredictedRewards, **{"trials": 400, **settings, **changes})
    assert isinstance(agent, PredictedRewards)
    return agent


def evolution(seed: int, space: Space = SPACE, **changes: Any) -> Evolution:
    """A population that is full after a few trials."""
    return Evolution(space, seed, **{"population": 6, "sample": 3, **changes})


def policy_gradient(seed: int, space: Space = SPACE, **changes: Any) -> PolicyGradient:
    """A small controller that learns from every few trials."""
    settings: dict[str, Any] = {"units": 16, "batch": 3, "lr": 0.01, "epochs": 2}
    return PolicyGradient(space, seed, **{**settings, **changes})


def ranked(seed: int) -> Ranked:
    return Ranked(q_learning(seed))


def judge(first: int, proposals: Sequence[Proposal]) -> list[Trial]:
    """Trials with weights, and a reward that depends on nothing but the architecture."""
    trials = []
    for number, proposal in enumerate(proposals, first):
        reward = int(proposal.architecture.hash[:4], 16) / 655.36
        weights = WeightsRef(f"{number}")
        found = Evaluation({"val_accuracy": reward / 100}, "table", weights=weights)
        trials.append(Trial(number, proposal, found, reward))
    return trials


def history(agent: Agent, groups: Sequence[int], first: int = 0) -> list[Trial]:
    """What comes of asking for groups of these sizes, each told before the next is asked."""
    trials: list[Trial] = []
    for n in groups:
        told = judge(first + len(trials), agent.ask(n))
        agent.tell(told)
        trials += told
    return trials


def check(make: Callable[[int], Agent]) -> None:
    asks_give_legal_architectures(make)
    a_seed_fixes_the_history(make)
    state_survives_a_file(make)
    results_may_come_late_and_out_of_order(make)


def asks_give_legal_architectures(make: Callable[[int], Agent]) -> None:
    agent = make(0)
    space: Space = getattr(agent, "space", SPACE)
    for proposal in agent.ask(50):
        assert space.actions(proposal.architecture) == proposal.actions
        state = space.start(1)
        for action in proposal.actions:
            assert space.legal(state)[0, action]
            state = space.step(state, torch.tensor([action], dtype=torch.int32).numpy())
        assert space.done(state)[0]


def a_seed_fixes_the_history(make: Callable[[int], Agent]) -> None:
    groups = [8, 1, 3] * 4
    assert history(make(3), groups) == history(make(3), groups)
    assert history(make(3), groups) != history(make(4), groups)


def state_survives_a_file(make: Callable[[int], Agent]) -> None:
    agent = make(5)
    before = history(agent, [4] * 5)
    file = io.BytesIO()
    torch.save(agent.state_dict(), file)
    file.seek(0)
    other = make(5)
    other.load_state_dict(torch.load(file, weights_only=True))
    groups = [4] * 5
    assert history(agent, groups, len(before)) == history(other, groups, len(before))


def results_may_come_late_and_out_of_order(make: Callable[[int], Agent]) -> None:
    agent = make(6)
    first, second = judge(0, agent.ask(3)), judge(3, agent.ask(3))
    agent.tell(second[::-1])
    agent.tell(first[1:])
    agent.tell(first[:1])
    assert len(agent.ask(2)) == 2
