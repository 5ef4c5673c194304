"""What a faithful MetaQNN must show: the numbered list of its specification, one test each."""

from __future__ import annotations

from fractions import Fraction
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import method_kit
import space_kit
from cli_kit import nascore
from nascore import _core, methods
from nascore.agents.q_learning import epsilon_at
from nascore.agents.unique_q_learning import UniqueQLearning
from nascore.methods import metaqnn
from nascore.retrain import load_model
from nascore.search import Accuracy, AskTell, Search
from nascore.spaces import Chain, LayerSpace
from nascore.trial import Evaluation, Proposal, Space, Trial
from toys import ToyEvaluator

SPACE = LayerSpace()
SMALL = LayerSpace(8, 3, (8, 16), (32,))


def agent_of(space: Space, seed: int = 0, **changes: object) -> UniqueQLearning:
    """The paper's agent, with one draw of replay."""
    paper = methods.config("metaqnn", "paper")
    settings = {
        "trials": paper.trials,
        "schedule": paper.epsilon,
        "alpha": paper.alpha,
        "gamma": paper.gamma,
        "initial_q": paper.initial_q,
        "replay": 1,
        "shaping": False,
    }
    return UniqueQLearning(space, seed, **{**settings, **changes})


def trial(number: int, proposal: Proposal, reward: float) -> Trial:
    return Trial(number, proposal, Evaluation({"val_accuracy": reward}, "table"), reward)


def proposal(space: LayerSpace, text: str) -> Proposal:
    architecture = space.architecture(text)
    return Proposal(architecture, space.actions(architecture))


def merit(proposed: Proposal) -> float:
    """A cheap surrogate: each decision has its own merit, convolutions the most."""
    kinds = [row[0] for row in proposed.architecture.code]
    return kinds.count(1) / (1 + len(kinds))


def test_1_schedule_counts_new_models() -> None:
    config = methods.config("metaqnn", "paper")
    assert config.trials == sum(n for _, n in config.epsilon) == 2_700
    epsilons = [epsilon_at(config.epsilon, i, config.trials) for i in range(config.trials)]
    assert [(e, len(list(run))) for e, run in groupby(epsilons)] == list(config.epsilon)
    assert epsilons.count(1.0) == 1_500

    agent = agent_of(LayerSpace(8, 4))
    hashes, seen = [], []
    for number in range(2_700):
        seen.append(agent.epsilon)
        [one] = agent.ask(1)
        agent.tell([trial(number, one, merit(one))])
        hashes.append(one.architecture.hash)
    assert seen == epsilons
    assert len(set(hashes)) == 2_700
    # Known ones were drawn too, learned from, and not counted.
    assert agent.state_dict()["drawn"] > 2_700
    assert len(agent.state_dict()["memory"]) == agent.state_dict()["drawn"]


def test_1_what_is_drawn_again_before_its_reward_is_learned_from_when_it_comes() -> None:
    agent = agent_of(SMALL, schedule=((1.0, 1),))
    asked = agent.ask(40)
    assert len({p.architecture for p in asked}) == 40
    drawn = agent.state_dict()["drawn"]
    assert drawn > 40
    assert not agent.state_dict()["memory"]
    agent.tell([trial(i, p, 0.5) for i, p in enumerate(asked)])
    assert len(agent.state_dict()["memory"]) == drawn


def test_1_a_space_that_is_used_up_does_not_hold_the_search() -> None:
    agent = agent_of(LayerSpace(8, 1, (8,), ()), schedule=((1.0, 1),))
    trials = list(
        Search("t", {}, "t", 0, [AskTell(agent, ToyEvaluator(), Accuracy(), 12, batch=3)])
    )
    assert len({t.architecture for t in trials}) == 8  # 3 convolutions or none, then SM or GAP
    assert sum(t.repeat_of is not None for t in trials) == 4


# CIFAR-10's, SVHN's and the released code's MNIST.
@pytest.mark.parametrize(("size", "limit"), [(32, 18), (32, 12), (28, 12)])
def test_2_walks(size: int, limit: int) -> None:
    space = LayerSpace(size, limit)
    *before, state = space_kit.random_walk(space, 40_000, seed=0)  # ends, so all walks terminate
    for unfinished in (states[~space.done(states)] for states in before):
        assert space.legal(unfinished)[:, 0].all()
    rows = state.reshape(len(state), -1, 3).astype(int)
    kinds, width = rows[:, :, 0], rows[:, :, 1]
    assert not ((kinds[:, 1:] == 2) & (kinds[:, :-1] == 2)).any()
    assert (kinds[:, 0] != 2).all()
    dense = kinds == 3
    assert dense.sum(1).max() == 2
    both = dense[:, 1:] & dense[:, :-1]
    assert (width[:, 1:] <= width[:, :-1])[both].all()
    # After a dense layer only another, or the classifier.
    assert np.isin(kinds[:, 1:][dense[:, :-1]], (3, 5)).all()
    layers = np.isin(kinds, (1, 2, 3)).sum(1)
    assert layers.max() == limit
    assert (np.isin(kinds, (4, 5)).sum(1) == 1).all()
    # The sizes before each layer; a dense one needs less than 8.
    side = np.full(len(rows), size)
    for kind, a, b in rows.transpose(1, 2, 0):
        assert (side[kind == 3] < 8).all()
        room = np.select([side > 7, side > 3], [8, 4], 1)
        assert (b <= room)[kind == 1].all()
        assert (a <= room)[kind == 2].all()
        pooled = -(-(side - a + 1) // np.maximum(b, 1))
        side = np.where(kind == 2, pooled, np.where(kind == 3, 1, side))


def after(space: LayerSpace, text: str) -> int:
    """How many actions are legal after the layers of `text`."""
    state = space.start(1)
    for action in proposal(space, f"{text},SM").actions[:-1]:
        state = space.step(state, np.array([action], np.int32))
    return int(space.legal(state).sum())


def test_3_action_counts() -> None:
    assert SPACE.legal(SPACE.start(1)).sum() == 14
    assert after(SPACE, "C(64,3)") == 17
    middle = "C(64,3),P(2,2),C(64,3),P(2,2),C(64,3),P(2,2),C(64,1)"  # 32, 16, 8, 4
    bottom = "C(64,3),P(5,3),C(64,3),P(5,3),C(64,1)"  # 32, 10, 2
    assert after(SPACE, middle) == 15
    assert after(SPACE, bottom) == 9
    # The released code asks for kernels below the bin: not even 1x1 fits the lowest.
    strict = LayerSpace(strict=True)
    assert after(strict, middle) == 15
    assert after(strict, bottom.removesuffix(",C(64,1)")) == 5  # 3 dense layers, two endings
    assert after(LayerSpace(max_layers=1), "C(64,3)") == 2


def test_3_bins_make_the_sizes_stochastic() -> None:
    def bins(size: int) -> int:
        space = LayerSpace(size)
        state = space.start(1)
        for action in proposal(space, "C(64,3),P(2,2),SM").actions[:2]:
            state = space.step(state, np.array([action], np.int32))
        return int(space.observe(state)[0, 4])

    assert [bins(size) for size in (18, 16, 14, 8, 7)] == [8, 8, 4, 4, 1]


def values(agent: UniqueQLearning, one: Proposal) -> list[float]:
    """The table's value of each decision of a proposal."""
    found, state = [], agent.space.start(1)
    for action in one.actions:
        found.append(float(agent.table.values(agent.space.observe(state))[0, action]))
        state = agent.space.step(state, np.array([action], np.int32))
    return found


def test_4_one_reverse_pass_carries_the_accuracy_by_the_maximum() -> None:
    one = proposal(SPACE, "C(64,3),C(64,3),SM")
    for accuracy, first in ((0.9, 0.9), (0.3, 0.5)):  # others stay at 0.5
        agent = agent_of(SPACE, alpha=1.0)
        agent._sweep([(one.actions, accuracy)])
        assert values(agent, one) == pytest.approx([first, first, accuracy])


def test_5_first_terminal_update() -> None:
    config = methods.config("metaqnn", "paper")
    assert (config.alpha, config.gamma, config.initial_q) == (0.01, 1.0, 0.5)
    agent = agent_of(SPACE)
    one = proposal(SPACE, "C(64,3),SM")
    agent._sweep([(one.actions, 0.9)])
    assert values(agent, one) == pytest.approx([0.5 + 0.01 * 0.004, 0.504])


def test_5_a_new_model_is_learned_from_by_replay() -> None:
    one = proposal(SPACE, "C(64,3),SM")
    agent = agent_of(SPACE, replay=100)
    agent.tell([trial(0, agent.ask(1)[0], 0.9)])
    told = agent.state_dict()["memory"][0][0]
    terminal = values(agent, Proposal(one.architecture, told))[-1]
    assert terminal == pytest.approx(0.9 - 0.4 * 0.99**100)


def test_6_exploration_is_uniform_and_ties_are_broken_at_random() -> None:
    for epsilon in (1.0, 0.0):  # nothing is learned, so that at 0 all are best
        agent = agent_of(LayerSpace(max_layers=1), schedule=((epsilon, 1),))
        first = [p.actions[0] for p in agent._draw(14_000)]
        counts = np.bincount(first, minlength=14)
        assert len(counts) == 14
        # Chi-square with 13 degrees of freedom: 34.5 is exceeded once in a thousand.
        assert ((counts - 1000) ** 2 / 1000).sum() < 34.5


def test_7_dropout() -> None:
    def rates(text: str, dropout: bool = True) -> list[Fraction]:
        net = Chain(dropout).expand(SPACE.architecture(text), (3, 32, 32), 10)
        drop = _core.OPS["dropout"][0]
        rows = [dict(zip(_core.NET_COLUMNS, row, strict=True)) for row in net.rows.tolist()]
        return [Fraction(row["kernel"], row["stride"]) for row in rows if row["op"] == drop]

    six = ",".join(["C(64,3)"] * 6)
    thirds = [Fraction(1, 6), Fraction(1, 3), Fraction(1, 2)]
    assert rates(f"{six},SM") == rates(f"{six},C(64,1),GAP") == thirds
    assert rates("C(64,3),SM") == rates(f"{six},SM", dropout=False) == []


def test_8_reward_rises_as_epsilon_falls() -> None:
    agent = agent_of(LayerSpace(16, 6), trials=540, replay=20, alpha=0.1)
    rewards: dict[float, list[float]] = {}
    for number in range(540):
        epsilon = agent.epsilon
        [one] = agent.ask(1)
        agent.tell([trial(number, one, merit(one))])
        rewards.setdefault(epsilon, []).append(merit(one))
    means = [float(np.mean(r)) for r in rewards.values()]
    assert list(rewards) == sorted(rewards, reverse=True)
    assert means[-1] > means[0] + 0.1
    assert all(b > a - 0.08 for a, b in pairwise(means))


def test_the_papers_best_network_has_its_size() -> None:
    text = "C(512,5),C(256,3),C(256,5),C(256,3),P(5,3),C(512,3),C(512,5),P(2,2),SM"
    net = Chain().expand(SPACE.architecture(text), (3, 32, 32), 10)
    last = 512 * 5 * 5 * 10 + 10
    assert net.params == 11_181_824 + last
    # The released code's sizes, and Caffe's, are 32, 10, 5. The paper's 11.26 million is that of a
    # classifier that sees 4 x 4, as where pooling gives ceil((n - f) / stride): 32, 9, 4.
    assert round((net.params - 512 * (5 * 5 - 4 * 4) * 10) / 1e6, 2) == 11.26


def test_training_is_the_papers() -> None:
    config = methods.config("metaqnn", "paper")
    rates = [config.recipe.lr_at(epoch) for epoch in (0, 4, 5, 10, 15, 19)]
    assert rates == pytest.approx([1e-3, 1e-3, 2e-4, 4e-5, 8e-6, 8e-6])
    assert (config.recipe.restarts, config.recipe.restart_factor) == (5, 0.4)
    rates = [config.final.lr_at(epoch) for epoch in range(300)]
    steps = [(pytest.approx(lr), len(list(run))) for lr, run in groupby(rates)]
    assert steps == [(0.025, 40), (0.0125, 40), (1e-4, 160), (1e-5, 60)]


def test_on_the_command_line(tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = [
        word for setting in method_kit.tiny("metaqnn", "layer") for word in ("--set", setting)
    ]
    done = nascore("search", "metaqnn", "--task", "digits", "--trials", 4, "--out", run, *settings)
    assert (done.status, done.err) == (0, "")
    assert "metaqnn on digits, seed 0, 4 of 4 trials, 0 saved by known results" in done.out
    assert "),SM" in done.out or "),GAP" in done.out
    done = nascore("retrain", run, "--epochs", 1)
    assert (done.status, done.err) == (0, "")
    assert "Test accuracy" in done.out
    assert load_model(run / "model")(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    done = nascore("retrain", run, "--blocks", 2)
    assert done.status == 2
    assert "a chain of layers has no blocks and no width to set" in done.err


def test_small_is_the_same_method_at_another_size() -> None:
    paper, small = methods.config("metaqnn", "paper"), methods.config("metaqnn", "small")
    assert type(paper) is type(small) is metaqnn.Config
    assert (small.epsilon, small.replay) == (paper.epsilon, paper.replay)
    with pytest.raises(ValueError, match="trials=0"):
        metaqnn.Config(trials=0)
    with pytest.raises(ValueError, match="replay=0: all learning is by replay"):
        agent_of(SMALL, replay=0)
