"""Every agent through the contract kit, and what is particular to each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import agent_kit
from agent_kit import q_learning
from nascore.agents.mcts import ALPHAX, AlphaX, AlphaXConfig
from nascore.agents.q_learning import epsilon_at
from nascore.agents.random import Random
from nascore.spaces import ChoicesSpace
from nascore.trial import Agent


def random(seed: int) -> Agent:
    return Random(agent_kit.SPACE, seed)


def alphax(seed: int) -> Agent:
    """Our settings, with a small network."""
    return AlphaX(agent_kit.SPACE, seed, replace(ALPHAX, hidden=(8,), epochs=3, completions=20))


def alphax_paper(seed: int) -> Agent:
    """The published settings, with a small network that learns early."""
    return AlphaX(agent_kit.SPACE, seed, AlphaXConfig(hidden=(8,), retrain_every=10))


@pytest.mark.parametrize("make", [random, q_learning, alphax, alphax_paper])
def test_contract(make) -> None:
    agent_kit.check(make)


def test_random_is_uniform_at_every_step() -> None:
    first = [p.actions[0] for p in Random(agent_kit.SPACE, 0).ask(9_000)]
    counts = np.bincount(first, minlength=9)
    assert len(counts) == 9
    # Chi-square with 8 degrees of freedom: 26.1 is exceeded once in a thousand.
    assert ((counts - 1000) ** 2 / 1000).sum() < 26.1


def test_q_learning_at_epsilon_0_repeats_what_paid() -> None:
    agent = q_learning(0, schedule=((1.0, 1), (0.0, 1)), replay=0, alpha=1.0)
    agent_kit.history(agent, [1] * 50)
    assert agent.epsilon == 0
    [after] = agent.ask(1)
    state = agent.space.start(1)
    for action in after.actions:
        [values] = agent.table.values(agent.space.observe(state))
        assert values[action] == values[agent.space.legal(state)[0]].max()
        state = agent.space.step(state, np.array([action], np.int32))


def test_epsilon_is_stretched_to_the_budget() -> None:
    schedule = ((1.0, 1), (0.5, 2), (0.1, 1))
    assert [epsilon_at(schedule, i, 8) for i in range(8)] == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.1, 0.1]
    assert epsilon_at(schedule, 8, 8) == 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": ()}, "schedule"),
        ({"schedule": ((1.5, 1),)}, "epsilon"),
        ({"schedule": ((0.5, 0),)}, "iteration"),
        ({"replay": -1}, "replay=-1"),
        ({"alpha": 0.0}, "alpha"),
    ],
)
def test_bad_settings_are_refused(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        q_learning(0, **change)


def test_a_table_from_another_space_is_refused() -> None:
    agent = q_learning(0)
    agent_kit.history(agent, [4])
    with pytest.raises(ValueError, match="another space"):
        q_learning(0, ChoicesSpace((3, 3))).load_state_dict(agent.state_dict())
