"""What a faithful IRLAS must show: the numbered list of its specification, one test each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import method_kit
from nascore import _core, methods
from nascore.agents.apprenticeship import (
    LEARNERS,
    MirrorStimuli,
    Planner,
    counts_of,
    distances,
    feature_counts,
    features,
    learn,
    max_margin,
    projection,
    rounds,
)
from nascore.agents.random import Random
from nascore.methods import blockqnn
from nascore.methods.irlas import Guided
from nascore.networks import build_net
from nascore.search import Accuracy, AskTell, Search
from nascore.spaces import Architecture, BlockSpace
from nascore.spaces.published import EXPERTS, irlas_mobile
from nascore.trial import Evaluation, Job, Trial

SPACE = BlockSpace(6)
EXPERT = EXPERTS["resnext"]
GAMMA = 0.5


@pytest.fixture(scope="module")
def topology() -> MirrorStimuli:
    return learn(SPACE, EXPERT, 0, GAMMA, 0.01, "max_margin")


def block(text: str) -> Architecture:
    return BlockSpace(32).architecture(text)


def random_blocks(n: int, seed: int, space: BlockSpace = SPACE) -> list[Architecture]:
    return [proposal.architecture for proposal in Random(space, seed).ask(n)]


# Features and their counts.


def counts_ref(architecture: Architecture, gamma: float) -> np.ndarray:
    """mu as its definition reads, one row and one feature at a time."""
    mu = np.zeros(23)
    for t, (index, kind, kernel, first, second) in enumerate(architecture.code):
        preds = {1: 1, 2: 1, 3: 1, 4: 1, 5: 2, 6: 2, 7: 0}[kind]
        mu[kind - 1] += gamma**t
        mu[7 + (0, 1, 3, 5).index(kernel)] += gamma**t
        mu[11 + (min(index - first, 5) if preds >= 1 else 0)] += gamma**t
        mu[17 + (min(index - second, 5) if preds == 2 else 0)] += gamma**t
    return mu


@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.5, 0.9, 1.0]))
@settings(max_examples=25, deadline=None)
def test_counts_are_those_of_the_definition(seed: int, gamma: float) -> None:
    blocks = random_blocks(8, seed, BlockSpace(23))
    expected = np.stack([counts_ref(b, gamma) for b in blocks])
    assert np.allclose(counts_of(blocks, gamma), expected, rtol=0, atol=1e-12)


def test_features_are_one_hot_and_padding_has_none() -> None:
    phi = features(np.array([(3, 1, 5, 1, 0), (0, 0, 0, 0, 0)], np.int16))
    assert set(np.unique(phi)) == {0.0, 1.0}
    assert phi.sum(1).tolist() == [4, 0]
    far = np.array([[(9, 6, 0, 1, 7)], [(32, 6, 0, 1, 30)]], np.int16)
    assert (features(far)[0] == features(far)[1]).all()  # 5 rows back stands for all beyond


def test_1_the_discount_makes_order_matter() -> None:
    one = block("[(1,1,1,0,0),(2,2,3,1,0),(3,1,5,2,0)]")
    other = block("[(1,1,5,0,0),(2,1,1,1,0),(3,2,3,2,0)]")
    assert not np.allclose(counts_of([one], 0.9), counts_of([other], 0.9))
    assert np.allclose(counts_of([one], 1.0), counts_of([other], 1.0))


# Learning w.


@pytest.mark.parametrize("kind", LEARNERS)
def test_2_the_expert_is_a_fixed_point(kind: str) -> None:
    planner = Planner(SPACE, 0, GAMMA)
    [goal] = counts_of([EXPERT], GAMMA)
    w, t = LEARNERS[kind](goal, goal[None])
    assert t == 0
    assert w @ (goal - goal) == 0
    assert list(rounds(planner, goal, goal, 0.01, kind)) == []
    assert planner._written == 0


def test_2_an_expert_that_is_chance_is_refused() -> None:
    with pytest.raises(ValueError, match=r"chance gives the expert.*choose another expert"):
        learn(SPACE, EXPERT, 0, 1e-9, 0.9, "max_margin")


@pytest.mark.parametrize(
    ("gamma", "epsilon", "message"),
    [(0.0, 0.01, "gamma=0.0"), (1.5, 0.01, "gamma=1.5"), (0.5, 0.0, "epsilon=0.0")],
)
def test_settings_out_of_range(gamma: float, epsilon: float, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message} must be in"):
        learn(SPACE, EXPERT, 0, gamma, epsilon, "max_margin")


def test_3_one_policy_gives_both_learners_the_same_direction() -> None:
    [goal, mu] = counts_of([EXPERT, *random_blocks(1, 1)], GAMMA)
    one, other = max_margin(goal, mu[None]), projection(goal, mu[None])
    gap = goal - mu
    for w, t in (one, other):
        assert np.allclose(w, gap / np.linalg.norm(gap))
        assert t == pytest.approx(np.linalg.norm(gap))


@pytest.mark.parametrize("kind", LEARNERS)
def test_3_t_never_rises_as_policies_are_added(kind: str) -> None:
    [goal, *policies] = counts_of([EXPERT, *random_blocks(30, 2)], GAMMA)
    margins = [LEARNERS[kind](goal, np.array(policies[:n])).t for n in range(1, 31)]
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(margins))
    assert margins[-1] < 0.9 * margins[0]


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_max_margin_is_the_optimum_of_its_programme(seed: int, n: int, k: int) -> None:
    policies = _core.uniform(seed, 99, 0, n * k).reshape(n, k)
    expert = _core.uniform(seed, 99, n * k, k) * 2
    w, t = max_margin(expert, policies)
    gaps = expert - policies
    if t > 1e-9:
        # Feasible, and as good as the dual's bound: strong duality proves the optimum.
        assert np.linalg.norm(w) == pytest.approx(1)
        assert (gaps @ w).min() == pytest.approx(t, abs=1e-9)
    # The dual by a general solver, which only approaches it.
    found = minimize(
        lambda a: ((a @ gaps) ** 2).sum(),
        np.full(n, 1 / n),
        jac=lambda a: 2 * gaps @ (a @ gaps),
        bounds=[(0, 1)] * n,
        constraints={"type": "eq", "fun": lambda a: a.sum() - 1, "jac": np.ones_like},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert t <= np.sqrt(found.fun) + 1e-9
    assert t == pytest.approx(np.sqrt(max(0.0, found.fun)), abs=1e-4)


def best_by_dynamic_programming(w: np.ndarray, gamma: float) -> float:
    """The most that w.mu can be over all blocks of SPACE."""
    terminal = features(np.array([(1, 7, 0, 0, 0)], np.int16))[0] @ w
    states = [SPACE.start(1)]
    while len(states) < SPACE.max_layers:
        states.append(SPACE.step(states[-1], np.ones(1, np.int32)))
    value = terminal
    for t in reversed(range(SPACE.max_layers)):
        n = int(SPACE.legal(states[t]).sum())
        following = SPACE.step(np.repeat(states[t], n, 0), np.arange(n, dtype=np.int32))
        q = features(following.reshape(n, -1, 5)[:, t]) @ w
        q[1:] += gamma * value  # action 0 ends the code
        value = q.max()
    return float(value)


@pytest.mark.parametrize("gamma", [0.5, 0.9])
def test_the_planner_finds_the_best_policy(gamma: float) -> None:
    planner = Planner(SPACE, 3, gamma)
    for seed in range(3):
        w = _core.uniform(seed, 98, 0, 23) - 0.5
        reached = planner.best_response(w) @ w
        assert reached == pytest.approx(best_by_dynamic_programming(w, gamma), abs=1e-9)


@pytest.mark.parametrize("kind", LEARNERS)
@pytest.mark.parametrize("expert", EXPERTS)
def test_4_the_expert_is_preferred_to_random_blocks(expert: str, kind: str) -> None:
    topology = learn(SPACE, EXPERTS[expert], 0, GAMMA, 0.01, kind)
    assert topology([EXPERTS[expert]]) == pytest.approx(1)
    assert np.linalg.norm(topology.w) == pytest.approx(1)
    scores = topology(random_blocks(1000, 7))
    assert (scores < 1).mean() >= 0.95
    assert abs(scores.mean()) < 0.1  # chance has 0


def test_4_a_residual_block_is_preferred_to_a_chain() -> None:
    topology = learn(SPACE, EXPERTS["resnet"], 0, GAMMA, 0.01, "max_margin")
    # As the paper on codes writes it, its input repeated by an identity, and as the expert itself.
    for residual, chain in (
        (
            "[(1,4,0,0,0),(2,1,3,1,0),(3,1,3,2,0),(4,5,0,1,3)]",
            "[(1,4,0,0,0),(2,1,3,1,0),(3,1,3,2,0),(4,1,3,3,0)]",
        ),
        ("[(1,1,3,0,0),(2,1,3,1,0),(3,5,0,0,2)]", "[(1,1,3,0,0),(2,1,3,1,0),(3,1,3,2,0)]"),
    ):
        better, worse = topology([block(residual), block(chain)])
        assert better > worse


def test_a_seed_fixes_w() -> None:
    one, same, other = (learn(SPACE, EXPERT, s, GAMMA, 0.01, "max_margin") for s in (4, 4, 5))
    assert (one.w == same.w).all()
    assert (one.w != other.w).any()


# The search.


def test_5_without_weight_it_is_blockqnn_bit_for_bit() -> None:
    size = ("max_layers=4", "trials=160")
    ours = list(method_kit.search("irlas", (*size, "topology_weight=0"), seed=5))
    assert ours == list(method_kit.search("blockqnn", size, seed=5))
    assert ours != list(method_kit.search("irlas", size, seed=5))


class Surrogate:
    """Accuracy that grows with the number of layers, and a noise of the block's own."""

    def key(self, architecture: Architecture) -> str:
        return architecture.hash

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        return [self._evaluate(job.architecture) for job in jobs]

    def _evaluate(self, block: Architecture) -> Evaluation:
        accuracy = 0.5 + 0.05 * layers(block) + 0.1 * int(block.hash[:6], 16) / 0xFFFFFF
        return Evaluation({"val_accuracy": accuracy}, "table")


def layers(block: Architecture) -> int:
    assert block.graph is not None
    return block.graph.layers()


def guided(topology: MirrorStimuli, weight: float, seed: int) -> list[Trial]:
    config = methods.config("blockqnn")
    stage = AskTell(
        blockqnn.agent(config, SPACE, seed),
        Surrogate(),
        Guided(Accuracy(), topology, weight, 0.0),
        config.trials,
        batch=config.batch,
    )
    return list(Search("irlas", {}, "toy", seed, [stage]))


@pytest.fixture(scope="module")
def histories(topology: MirrorStimuli) -> dict[float, list[list[Trial]]]:
    weights = (0.0, 30.0, 100.0)
    return {weight: [guided(topology, weight, seed) for seed in range(4)] for weight in weights}


def test_5_a_larger_weight_brings_blocks_nearer(
    histories: dict[float, list[list[Trial]]],
) -> None:
    means = [
        np.mean([distances([t.architecture for t in h], EXPERT, GAMMA).mean() for h in runs])
        for runs in histories.values()
    ]
    assert means[0] > means[1] > means[2]


def test_6_the_released_network_has_its_published_size() -> None:
    assert irlas_mobile().params == 9_962_600
    net = irlas_mobile((3, 64, 64))
    assert net.params == 9_962_600  # they do not depend on the image
    network = build_net(net, seed=0).eval()
    assert sum(p.numel() for p in network.parameters()) == net.params
    with torch.inference_mode():
        logits = network(torch.zeros(1, 3, 64, 64))
    assert logits.shape == (1, 1000)
    assert logits.isfinite().all()
    blocks = [net.rows[i] for i, reads in enumerate(net.inputs) if len(reads) == 3]
    assert [row[-3] for row in blocks] == [96, 384, 768, 768, 768, 768, 1536]
    assert [row[-1] for row in blocks] == [16, 8, 4, 4, 4, 4, 2]


def test_7_a_larger_weight_finds_blocks_of_fewer_operations(
    histories: dict[float, list[list[Trial]]],
) -> None:
    def found(history: list[Trial]) -> float:
        best = sorted(history, key=lambda trial: -trial.reward)[:8]
        return float(np.mean([layers(trial.architecture) for trial in best]))

    plain, _, strong = (np.mean([found(h) for h in runs]) for runs in histories.values())
    assert strong < plain


def test_the_reward_keeps_the_floor(topology: MirrorStimuli) -> None:
    reward = Guided(Accuracy(-1.0), topology, 1000.0, -1.0)
    [worst] = sorted(random_blocks(200, 3), key=lambda b: float(topology([b])[0]))[:1]
    job = Job(0, worst, 0)
    assert topology([worst])[0] < 0
    assert reward(job, Evaluation({"val_accuracy": 0.5}, "table")) == -1
    assert reward(job, Evaluation({}, "table", "timed out")) == -1  # no F for a failed one
    best = reward(Job(0, EXPERT, 0), Evaluation({"val_accuracy": 0.5}, "table"))
    assert best == pytest.approx(1050)


def test_diversity_is_told() -> None:
    trials = list(method_kit.search("irlas", ("max_layers=4", "trials=40"), seed=1))
    figures = methods.figures("irlas", methods.config("irlas"), trials)
    assert figures["distinct blocks"] == len({t.architecture.hash for t in trials})
    ours = distances([t.architecture for t in trials], EXPERT, GAMMA)
    assert figures["mean distance to the expert"] == pytest.approx(ours.mean(), abs=1e-4)
    late = figures["mean distance to the expert, last quarter"]
    assert late == pytest.approx(ours[-10:].mean(), abs=1e-4)
    assert methods.figures("blockqnn", methods.config("blockqnn"), trials) == {}


def test_experts_are_the_published_topologies() -> None:
    assert distances([EXPERT], EXPERT, GAMMA) == [0]
    for name, path in (("resnext", 4), ("resnet", 3), ("densenet", 3)):
        graph = EXPERTS[name].graph
        assert graph is not None
        assert graph.longest_path() == path
        # The block's own input goes around the convolutions.
        assert 0 in [source for source, to in graph.edges.tolist() if to == graph.layers()]


def test_bad_settings() -> None:
    config = methods.config("irlas")
    with pytest.raises(ValueError, match=r"topology_weight=-1.0 must be 0 or more"):
        replace(config, topology_weight=-1.0)
    with pytest.raises(ValueError, match="expert=vgg"):
        methods.with_settings(config, ["expert=vgg"])
    assert feature_counts(np.zeros((1, 0, 5), np.int16), 0.5).shape == (1, 23)
