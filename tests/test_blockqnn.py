"""What a faithful BlockQNN must show: the numbered list of its specification, one test each."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from agent_kit import q_learning
from nascore import _core, methods, tables
from nascore.agents.q_learning import epsilon_at
from nascore.evaluators.table import read_table
from nascore.methods import blockqnn
from nascore.search import Accuracy, AskTell, Search, Workers
from nascore.search.rewards import early_stop
from nascore.spaces import BlockSpace, Skeleton
from toys import ToyEvaluator


def test_1_schedule() -> None:
    config = methods.config("blockqnn", "paper")
    assert sum(n for _, n in config.epsilon) == 178
    assert config.trials == 178 * config.batch == 11_392
    epsilons = [epsilon_at(config.epsilon, i, config.trials) for i in range(config.trials)]
    assert epsilons.count(1.0) == 95 * 64 == 6_080
    assert epsilons[-1] == 0.1
    assert all(a >= b for a, b in pairwise(epsilons))
    # An iteration of 64 blocks has one epsilon.
    assert all(len(set(epsilons[i : i + 64])) == 1 for i in range(0, config.trials, 64))


def test_2_codes() -> None:
    space = BlockSpace(23)
    for proposal in q_learning(0, space, alpha=0.01).ask(200):
        code = proposal.architecture.code
        assert space.architecture(code) == proposal.architecture
        assert space.architecture(proposal.architecture.text) == proposal.architecture
        for index, kind, _, pred1, pred2 in code[:-1]:
            assert pred1 < index
            assert pred2 < index
            if kind in (5, 6):
                assert pred1 != pred2
        assert code[-1][1] == 7
        # The walk ended by choosing the terminal, or at the largest index.
        assert proposal.actions[-1] == 0 or len(proposal.actions) == 23


def test_3_legal_actions() -> None:
    space = BlockSpace(23)
    state = space.start(1)
    counts = []
    for _ in range(22):
        counts.append(int(space.legal(state).sum()))
        state = space.step(state, np.array([1], np.int32))
    assert counts[:5] == [9, 19, 31, 45, 61]
    assert counts == [3 * p + 4 * p + p + p * (p - 1) + 1 for p in range(1, 23)]
    assert counts[-1] == 639


def test_4_shaping() -> None:
    space = BlockSpace(4)
    agent = q_learning(0, space, alpha=0.01)
    actions = space.actions(space.architecture("[(1,1,3,0,0),(2,1,3,1,0),(3,1,3,2,0),(4,1,3,3,0)]"))
    agent._sweep([((*actions[:3], 0), 1.0)])  # three layers and the terminal: T = 4
    values = []
    state = space.start(1)
    for action in (*actions[:3], 0):
        values.append(agent.table.values(space.observe(state))[0, action])
        state = space.step(state, np.array([action], np.int32))
    assert values[-1] == pytest.approx(0.01)
    # Before the end: alpha * (r_T / T + gamma * max Q(next)), swept from the end.
    expected = 0.01
    for value in values[-2::-1]:
        expected = 0.01 * (1 / 4 + expected)
        assert value == pytest.approx(expected)


def test_4_shaped_rewards_of_five_steps() -> None:
    space = BlockSpace(5)
    seen: list[float] = []
    agent = q_learning(0, space, alpha=1.0, gamma=0.0)
    actions = (1, 1, 1, 1, 0)
    agent._sweep([(actions, 1.0)])
    state = space.start(1)
    for action in actions:
        seen.append(float(agent.table.values(space.observe(state))[0, action]))
        state = space.step(state, np.array([action], np.int32))
    # Alpha 1 and gamma 0 leave the rewards themselves in the table.
    assert seen == pytest.approx([0.2, 0.2, 0.2, 0.2, 1.0])


def test_5_reward_and_density() -> None:
    assert early_stop(70.0, math.e, 1.0, mu=1.0, rho=8.0) == pytest.approx(69.0)
    chain = BlockSpace(4).architecture("[(1,1,3,0,0),(2,1,3,1,0),(3,1,3,2,0),(4,1,3,3,0)]").graph
    assert chain is not None
    # Ours counts the edge from the block's input, so that density is never 0; the count of edges
    # between the four layers alone would be 3/4.
    assert chain.density() == 1.0
    between = [(a, b) for a, b in chain.edges.tolist() if a != 0 and b != len(chain.nodes) - 1]
    assert len(between) / chain.layers() == 3 / 4


def test_6_leaves_are_concatenated() -> None:
    block = BlockSpace(3).architecture("[(1,1,3,0,0),(2,1,5,0,0)]")
    net = Skeleton(stem_width=8, blocks=1, widths=(8,)).expand(block, (1, 8, 8), 10)
    concat = _core.OPS["concat"][0]
    [row] = [row for row in net.rows.tolist() if row[0] == concat]
    assert row[_core.NET_COLUMNS.index("channels")] == 16


def test_7_shaping_reaches_a_score_sooner() -> None:
    def iterations(shaping: bool, seed: int) -> int:
        """Proposals until the mean reward of the last 20 passes 60."""
        space = BlockSpace(3)
        agent = q_learning(
            seed,
            space,
            trials=400,
            schedule=((1.0, 2), (0.5, 1), (0.1, 1)),
            replay=4,
            shaping=shaping,
        )
        # A surrogate that wants 3x3 convolutions: each decision has its own merit.
        stage = AskTell(agent, ToyEvaluator(), convolutions, 400, batch=8)
        rewards = [t.reward for t in Search("toy", {}, "toy", seed, [stage])]
        means = np.convolve(rewards, np.ones(20) / 20, "valid")
        above = np.flatnonzero(means > 60)
        return int(above[0]) if above.size else 400

    def convolutions(job, evaluation) -> float:
        return 100 * sum(row[1] == 1 and row[2] == 3 for row in job.architecture.code) / 3

    shaped = [iterations(True, seed) for seed in range(8)]
    plain = [iterations(False, seed) for seed in range(8)]
    assert np.mean(shaped) < np.mean(plain)


def test_8_rank_correlations_with_long_training() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    import evidence

    taus = dict(evidence.orders())
    rows = list(read_table(tables.BLOCKS).values())
    signal = [row["short_val_0"] for row in rows if row["longest_path"] > 0]
    long = [row["long_test_0"] + row["long_test_1"] for row in rows if row["longest_path"] > 0]
    assert taus["short validation accuracy, one seed"] == pytest.approx(kendall(signal, long))
    # Whether the penalties of eq. 7 help is for the data to say; both figures are there to compare.
    assert -1 <= taus["the same with the penalties of eq. 7"] <= 1


def kendall(one: list[float], other: list[float]) -> float:
    """Tau-b by its definition, over all pairs."""
    x = np.sign(np.subtract.outer(one, one).round(9))
    y = np.sign(np.subtract.outer(other, other).round(9))
    return float((x * y).sum() / np.sqrt((x**2).sum() * (y**2).sum()))


def test_9_a_killed_worker_loses_no_block() -> None:
    agent = q_learning(0, BlockSpace(5), trials=24)
    evaluator = ToyEvaluator(sleep_s=0.01, faults={2: "die", 7: "die"})
    stage = AskTell(agent, evaluator, Accuracy(), 24, batch=4, in_flight=4)
    with Workers(2, retries=0) as workers:
        trials = list(Search("toy", {}, "toy", 0, [stage]).run(executor=workers, order="arrival"))
    assert sorted(trial.number for trial in trials) == list(range(24))
    lost = {trial.number for trial in trials if trial.evaluation.status == "lost worker"}
    repeats = {trial.number for trial in trials if trial.repeat_of in lost}
    assert lost - repeats == {2, 7}
    assert all(trial.reward == 0 for trial in trials if trial.number in lost)


def test_small_is_the_same_method_at_another_size() -> None:
    paper, small = methods.config("blockqnn", "paper"), methods.config("blockqnn", "small")
    assert type(paper) is type(small) is blockqnn.Config
    assert small.epsilon == paper.epsilon
    assert replace(small, trials=1).trials == 1
    with pytest.raises(ValueError, match="trials=0"):
        replace(small, trials=0)
