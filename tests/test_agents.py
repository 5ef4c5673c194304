"""Every agent through the contract kit, and what is particular to each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import agent_kit
from agent_kit import evolution, policy_gradient, predicted_rewards, q_learning, ranked
from nascore.agents.alphax_settings import ALPHAX, AlphaXConfig
from nascore.agents.anchors import LayerController
from nascore.agents.mcts import AlphaX
from nascore.agents.q_learning import epsilon_at
from nascore.agents.random import Random
from nascore.agents.ranked import Ranked
from nascore.agents.unique_q_learning import UniqueQLearning
from nascore.spaces import ChoicesSpace, SkipSpace
from nascore.trial import Agent, Evaluation, Trial
from toys import SubsetSpace


def random(seed: int) -> Agent:
    return Random(agent_kit.SPACE, seed)


def unique(seed: int) -> Agent:
    return q_learning(seed, kind=UniqueQLearning, shaping=False)


def q_by_depth(seed: int) -> Agent:
    return q_learning(seed, by_depth=True)


def alphax(seed: int) -> Agent:
    """Our settings, with a small network."""
    return AlphaX(agent_kit.SPACE, seed, replace(ALPHAX, hidden=(8,), epochs=3, completions=20))


def alphax_paper(seed: int) -> Agent:
    """The published settings, with a small network that learns early."""
    return AlphaX(agent_kit.SPACE, seed, AlphaXConfig(hidden=(8,), retrain_every=10))


def alphax_in_python(seed: int) -> Agent:
    """A space that the core does not know, and values that orders of the same things share."""
    config = replace(ALPHAX, hidden=(8,), epochs=3, completions=20, transpositions=True)
    return AlphaX(SubsetSpace(12, 4), seed, config)


def alphax_below(seed: int) -> Agent:
    """The published settings below two layers, values shared."""
    config = AlphaXConfig(hidden=(8,), retrain_every=10, transpositions=True)
    return AlphaX(agent_kit.SPACE, seed, config, agent_kit.SPACE.prefix("[(1,1,3,0,0)]"))


@pytest.mark.parametrize(
    "make",
    [
        random,
        evolution,
        q_learning,
        q_by_depth,
        unique,
        policy_gradient,
        predicted_rewards,
        ranked,
        alphax,
        alphax_paper,
        alphax_in_python,
        alphax_below,
    ],
)
def test_contract(make) -> None:
    agent_kit.check(make)


def test_contract_of_the_layer_controller() -> None:
    space = SkipSpace((2, 3, 5))
    agent_kit.check(
        lambda seed: LayerController(space, seed, deeper_every=12, units=8, batch=3, lr=0.01)
    )


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


def test_q_learning_by_depth_sees_the_step_alone() -> None:
    space = ChoicesSpace((3, 3))
    agent = q_learning(0, space, by_depth=True, alpha=0.5, replay=0)
    agent._sweep([((0, 1), 1.0), ((2, 1), 0.0)])
    keys, *_ = agent.table.state()
    assert sorted(keys.ravel().tolist()) == [0, 1]
    # Of the last step: 0, then half-way to 1, then half-way to 0; of the first, r/T + the best.
    assert agent.table.values(np.array([[1]], np.int16))[0].tolist() == [0, 0.25, 0]
    assert agent.table.values(np.array([[0]], np.int16))[0].tolist() == [0.5, 0, 0.125]


def test_evolution_changes_one_decision_of_the_best_of_the_young() -> None:
    space = ChoicesSpace((4,) * 5)
    agent = evolution(0, space, population=5, sample=50)  # so many draws meet the best
    told: list[Trial] = []
    for number in range(60):
        [proposal] = agent.ask(1)
        if len(told) >= 5:
            best = max(told[-5:], key=lambda trial: trial.reward)
            pairs = zip(best.proposal.actions, proposal.actions, strict=True)
            assert sum(a != b for a, b in pairs) == 1
        # Ever worse: the best is the oldest alive, and it dies.
        told.append(Trial(number, proposal, Evaluation({}, "table"), -float(number)))
        agent.tell(told[-1:])


def test_evolution_is_at_home_where_nothing_can_change() -> None:
    agent = evolution(0, ChoicesSpace((1, 1)), population=1)
    agent_kit.history(agent, [1])
    assert [p.actions for p in agent.ask(2)] == [(0, 0)] * 2


@pytest.mark.parametrize("change", [{"population": 0}, {"sample": 0}])
def test_evolution_needs_members(change) -> None:
    with pytest.raises(ValueError, match="at least 1 of each"):
        evolution(0, **change)


def test_ranks_know_no_units() -> None:
    rewards = [3.0, 5.0, 1.0, 3.0, 9.0]
    agent = Ranked(Random(agent_kit.SPACE, 0))
    assert [agent._rank(reward) for reward in rewards] == [0.5, 1, 0, 0.5, 1]
    scaled = Ranked(Random(agent_kit.SPACE, 0))
    assert [scaled._rank(100 * reward - 7) for reward in rewards] == [0.5, 1, 0, 0.5, 1]


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
