"""What becomes of a network whose layers go or shrink, and who decides it."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import agent_kit
from nascore import _core
from nascore.agents.compression import ActorCritic, RemovalPolicy, ShrinkagePolicy
from nascore.agents.policy_gradient import PolicyGradient
from nascore.networks import build_net
from nascore.networks.imported import imported
from nascore.networks.teachers import VGG, ResNet
from nascore.search import Compression
from nascore.spaces import Architecture, WholeNet
from nascore.spaces.compression import FACTORS, RemovalSpace, ShrinkageSpace, without
from nascore.spaces.layers import CHANNELS, KERNEL, OP, STRIDE, layers_of
from nascore.trial import Evaluation, Job, Trial

SHAPE = (3, 16, 16)
NAME = {code: name for name, (code, *_) in _core.OPS.items()}
RESNET = imported(ResNet(3, 10, (2, 2), (12, 20)), SHAPE)[0]
VGG_NET = imported(VGG(3, 10, (2, 2), (12, 20)), SHAPE)[0]
TEACHERS = [RESNET, VGG_NET]


def net_of(architecture: Architecture) -> _core.Net:
    return WholeNet().expand(architecture, SHAPE, 10)


def ops(architecture: Architecture) -> list[str]:
    return [NAME[row[OP]] for row in architecture.code]


def convolutions(architecture: Architecture) -> list[tuple[int, ...]]:
    return [row for row in architecture.code if NAME[row[OP]].startswith("conv")]


def runs(architecture: Architecture) -> bool:
    net = net_of(architecture)
    network = build_net(net)
    assert sum(p.numel() for p in network.parameters()) == net.params
    return network(torch.zeros(2, *SHAPE)).shape == (2, 10)


def job(number: int = 0) -> Job:
    return Job(number, RESNET, 0)


def evaluation(params: float, accuracy: float) -> Evaluation:
    return Evaluation({"params": params, "val_accuracy": accuracy}, "proxy")


# 1: the reward
@pytest.mark.parametrize(("saved", "factor"), [(0, 0), (0.5, 0.75), (0.8, 0.96), (0.9, 0.99)])
def test_reward(saved: float, factor: float) -> None:
    reward = Compression(1000, 0.8)
    assert reward(job(), evaluation(1000 * (1 - saved), 0.8)) == pytest.approx(factor)
    assert reward(job(), evaluation(1000 * (1 - saved), 0.4)) == pytest.approx(factor / 2)
    assert reward(job(), Evaluation({"params": 10.0}, "proxy", "invalid", "no")) == -1


def test_constrained_reward() -> None:
    reward = Compression(1000, 0.8, max_params=200, min_accuracy=0.5, rollouts=5, first=10)
    for iteration, epsilon in ((0, 1), (1, 0.7588), (5, 0.1975), (10, 0.0123), (15, 0), (99, 0)):
        assert reward.epsilon(iteration) == pytest.approx(epsilon, abs=1e-4)
        broken = reward(job(10 + 5 * iteration), evaluation(500, 0.8))
        assert broken == pytest.approx(epsilon - 1 + epsilon * 0.75, abs=1e-3)
        wrong = reward(job(10 + 5 * iteration + 4), evaluation(100, 0.4))
        assert wrong == pytest.approx(epsilon - 1 + epsilon * 0.99 / 2, abs=1e-3)
        kept = reward(job(10 + 5 * iteration), evaluation(200, 0.8))
        assert kept == pytest.approx(0.96)
    assert replace(reward, anneal=0)(job(10), evaluation(500, 0.8)) == -1


# 2: removal
@pytest.mark.parametrize("teacher", TEACHERS, ids=["resnet", "vgg"])
def test_fixed_layers_survive_an_all_remove(teacher: Architecture) -> None:
    space, layers = RemovalSpace(teacher), layers_of(teacher)
    everything = [size - 1 for size in space.heads]
    student = space.architecture(everything)
    assert runs(student)
    kept = ops(student)
    for i in layers.fixed:
        assert layers.name(i) in kept
    strided = [row for row in convolutions(teacher) if row[STRIDE] > 1]
    assert len([row for row in convolutions(student) if row[STRIDE] > 1]) == len(strided)
    assert student.code[1][OP] == teacher.code[1][OP]  # the first layer
    assert student.code[-1][:7] == teacher.code[-1][:7]
    if teacher is VGG_NET:  # nothing collapses there, so layers can be counted
        assert len(teacher.code) - len(student.code) == sum(everything)


def test_removed_convolutions_change_what_the_next_one_reads() -> None:
    first, second, third, fourth = (
        i for i, op in enumerate(ops(VGG_NET)) if op == "conv_bias"
    )  # 12, 12, 20, 20 outputs
    student = without(VGG_NET, {third})
    assert [row[CHANNELS] for row in convolutions(student)] == [12, 12, 20]
    taps, norm = 9, 2 * (20 - 12)  # of the third, which stays
    smaller = net_of(VGG_NET).params - (12 * 20 * taps + 20) - (20 - 12) * 20 * taps - norm
    assert net_of(student).params == smaller
    assert runs(student)
    student = without(VGG_NET, {second, fourth})
    assert [row[CHANNELS] for row in convolutions(student)] == [12, 20]
    assert first == 1


def test_a_block_without_convolutions_collapses_to_its_shortcut() -> None:
    layers = layers_of(RESNET)
    add = next(iter(layers.branches))
    [branch] = [b for b in layers.branches[add] if b]
    gone = {i for i in branch if layers.gives_width(i)}
    student = without(RESNET, gone)
    assert ops(student).count("add") == ops(RESNET).count("add") - 1
    assert runs(student)
    # With one convolution left, the sum stays, and that one gives its width.
    student = without(RESNET, {max(gone)})
    assert ops(student).count("add") == ops(RESNET).count("add")
    assert runs(student)


def test_the_shortcut_is_nobodys_to_remove() -> None:
    layers = layers_of(RESNET)
    pointwise = [i for i, row in enumerate(RESNET.code) if row[KERNEL] == 1]
    assert pointwise
    assert not set(pointwise) & set(layers.numbers)
    assert len(layers.numbers) == len(RESNET.code) - 1 - 4 - 2  # image, sums, shortcut


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(TEACHERS), st.booleans())
def test_every_residual_student_runs(seed: int, teacher: Architecture, shrinks: bool) -> None:
    space = ShrinkageSpace(teacher, 4) if shrinks else RemovalSpace(teacher)
    rng = np.random.default_rng(seed)
    student = space.architecture([int(rng.integers(size)) for size in space.heads])
    try:
        net = net_of(student)
    except ValueError:
        assert teacher is VGG_NET  # a pooling may leave no pixels there
        return
    assert np.array_equal(net.rows[:, :6], np.array([row[:6] for row in student.code]))
    assert runs(student)
    assert Architecture.from_json(student.to_json()) == student
    if not shrinks:
        assert net.params <= net_of(teacher).params


# 3: shrinkage
@pytest.mark.parametrize("teacher", TEACHERS, ids=["resnet", "vgg"])
def test_factor_1_everywhere_is_the_parent(teacher: Architecture) -> None:
    space = ShrinkageSpace(teacher)
    assert FACTORS[0] == 1
    assert space.architecture([0] * len(space.heads)) == teacher


def test_the_least_number_of_filters() -> None:
    space = ShrinkageSpace(VGG_NET)
    student = space.architecture([0, 0, 9] + [0] * (len(space.heads) - 3))  # 0.1 of 12
    assert [row[CHANNELS] for row in convolutions(student)] == [10, 12, 20, 20]
    wide = imported(VGG(3, 10, (2,), (40,)), SHAPE)[0]
    space = ShrinkageSpace(wide)
    for choice, width in ((3, 28), (9, 10)):  # 0.7 of 40 is 28.0 but for rounding
        student = space.architecture([0, 0, choice] + [0] * (len(space.heads) - 3))
        assert [row[CHANNELS] for row in convolutions(student)] == [width, 40]
    thin = imported(VGG(3, 10, (2,), (6,)), SHAPE)[0]
    space = ShrinkageSpace(thin)
    assert space.architecture([0, 0, 9] + [0] * (len(space.heads) - 3)) == thin


def test_in_a_residual_block_the_first_width_alone_is_free() -> None:
    space, layers = ShrinkageSpace(RESNET), layers_of(RESNET)
    for add, branches in layers.branches.items():
        for branch in branches:
            inside = [i for i in branch if i in layers.numbers and layers.gives_width(i)]
            free = [layers.free(i) for i in inside]
            strided = [RESNET.code[i][STRIDE] > 1 for i in inside]
            expected = [(False, False, not s) for s in strided[:1]] + [(False,) * 3] * (
                len(inside) - 1
            )
            assert free == expected, add
    smallest = space.architecture([size - 1 for size in space.heads])
    assert runs(smallest)
    assert net_of(smallest).params < net_of(RESNET).params


def test_strided_convolutions_may_lose_width_alone() -> None:
    fixed, freed = ShrinkageSpace(RESNET, 4), ShrinkageSpace(RESNET, 4, strided=True)
    layers = layers_of(RESNET)
    more = [k for k, (a, b) in enumerate(zip(fixed.heads, freed.heads, strict=True)) if a != b]
    rows = [RESNET.code[layers.numbers[k // 3]] for k in more]
    assert [k % 3 for k in more] == [2]  # the width of the one that begins a block
    assert rows[0][STRIDE] == 2
    student = freed.architecture([9 if k in more else 0 for k in range(len(freed.heads))])
    [narrow] = [r for r in convolutions(student) if r[STRIDE] == 2 and r[KERNEL] == 3]
    assert narrow[CHANNELS] == 4
    assert runs(student)


def test_spaces_pickle() -> None:
    for space in (RemovalSpace(RESNET), ShrinkageSpace(RESNET, 7, strided=True)):
        again = pickle.loads(pickle.dumps(space))
        assert (again.parent, again.heads) == (space.parent, space.heads)
        with pytest.raises(ValueError, match="does not tell which decisions"):
            space.actions(RESNET)


# The agents
def make(seed: int, shrinks: bool = False, critic: bool = False, **changes: Any) -> PolicyGradient:
    options: dict[str, Any] = {"batch": 3, "lr": 0.01, "entropy": 0.0, **changes}
    if shrinks:
        space: Any = ShrinkageSpace(VGG_NET)
        policy: Any = ShrinkagePolicy(space, seed, 6, "log")
    else:
        space = RemovalSpace(RESNET)
        policy = RemovalPolicy(space, seed, 6, "log")
    if critic:
        return ActorCritic(space, seed, policy, **options)
    return PolicyGradient(space, seed, clip=None, epochs=1, controller=policy, **options)


@pytest.mark.parametrize("shrinks", [False, True])
@pytest.mark.parametrize("critic", [False, True])
def test_agents(shrinks: bool, critic: bool) -> None:
    def fresh(seed: int) -> PolicyGradient:
        return make(seed, shrinks, critic)

    agent_kit.a_seed_fixes_the_history(fresh)
    agent_kit.state_survives_a_file(fresh)
    agent_kit.results_may_come_late_and_out_of_order(fresh)


@pytest.mark.parametrize("shrinks", [False, True])
def test_a_decision_has_the_same_probability_alone_and_in_its_episode(shrinks: bool) -> None:
    agent = make(1, shrinks)
    proposals = agent.ask(4)
    tokens, head, legal, action = agent.decisions([p.actions for p in proposals])
    log_probs = agent.controller(tokens, head, legal).gather(-1, action[..., None])[..., 0]
    drawn = torch.tensor([p.log_prob for p in proposals])
    torch.testing.assert_close(log_probs.sum(1), drawn, rtol=1e-4, atol=1e-4)


# 5: the policy gradient
@pytest.mark.parametrize("critic", [False, True])
def test_a_layer_whose_removal_pays_is_removed(critic: bool) -> None:
    agent = make(0, critic=critic, lr=0.03, batch=5)
    bandit = next(k for k, size in enumerate(agent.space.heads) if size == 2)

    def chance() -> float:
        with torch.no_grad():
            return (
                agent.controller(*agent.decisions([agent.ask(1)[0].actions])[:3])[0, bandit, 1]
                .exp()
                .item()
            )

    assert chance() < 0.7
    for number in range(60):
        proposals = agent.ask(5)
        agent.tell(
            [Trial(number, p, Evaluation({}, "table"), float(p.actions[bandit])) for p in proposals]
        )
    assert chance() > 0.9


def test_equal_rewards_move_nothing() -> None:
    agent = make(0)
    before = {k: v.clone() for k, v in agent.controller.state_dict().items()}
    for number in range(4):
        agent.tell([Trial(number, p, Evaluation({}, "table"), 0.7) for p in agent.ask(3)])
    for name, value in agent.controller.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=1e-7)


# 6: who sees what
def test_the_bidirectional_policy_sees_the_last_layer_from_the_first() -> None:
    def first_layers(shrinks: bool, change: float) -> torch.Tensor:
        agent = make(0, shrinks)
        policy: Any = agent.controller
        policy.descriptions = policy.descriptions.clone()
        policy.descriptions[-1] += change
        _, head, legal, _ = agent.decisions([agent.ask(1)[0].actions])
        tokens = torch.zeros_like(head)
        tokens[:, 1:] = policy.first[:-1]
        with torch.no_grad():
            return policy(tokens, head, torch.ones_like(legal))[0, 0]

    assert not torch.equal(first_layers(False, 0.0), first_layers(False, 9.0))
    assert torch.equal(first_layers(True, 0.0), first_layers(True, 9.0))


def test_a_policy_fits_another_network() -> None:
    for kind, space in ((RemovalPolicy, RemovalSpace), (ShrinkagePolicy, ShrinkageSpace)):
        one, other = kind(space(RESNET), 0, 6), kind(space(VGG_NET), 1, 6)
        other.load_state_dict(one.state_dict())
