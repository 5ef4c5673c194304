"""What a faithful layer controller (Zoph & Le, ICLR 2017) must show, and its space of skips."""

from __future__ import annotations

import pickle
from itertools import islice

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nascore import _core, methods, tasks
from nascore.agents.anchors import AnchorController, LayerController
from nascore.agents.random import Random
from nascore.networks import Recipe, build_net, fit
from nascore.networks.modules import Pad, Stem
from nascore.search import Accuracy
from nascore.spaces import Architecture, SkipNet, SkipSpace
from nascore.trial import Agent, Evaluation, Job, Trial

SPACE = SkipSpace((2, 3, 5), (1, 3), (1, 3, 5), (1, 2), (4, 6))
NAMES = {code: name for name, (code, *_) in _core.OPS.items()}


def agent_of(space: SkipSpace = SPACE, seed: int = 0, **changes: object) -> LayerController:
    """An agent whose small controller is far from uniform."""
    return LayerController(
        space, seed, **{"deeper_every": 6, "units": 7, "init": 1.0, "batch": 4, **changes}
    )


def test_layer_i_has_a_bit_for_each_layer_before_it() -> None:
    space = SkipSpace()
    assert space.heads == (8, 4, 4, 4, *[2] * 19)  # depth, height, width, filters, the bits
    for depth, layers in enumerate(space.depths):
        state = space.step(space.start(1), np.array([depth], np.int32))
        heads = []
        while not space.done(state)[0]:
            heads.append(int(space.head(state)[0]))
            state = space.step(state, np.array([0], np.int32))
        assert heads == [h for i in range(layers) for h in (1, 2, 3, *range(4, 4 + i))]
    predicted = SkipSpace(strides=(1, 2, 3))
    assert predicted.heads == (8, 4, 4, 3, 4, *[2] * 19)


def plain_log_prob(controller: AnchorController, space: SkipSpace, actions: list[int]) -> float:
    """Of one episode, from the weights alone: an LSTM step by step, a sigmoid for each bit."""
    weights = dict(controller.named_parameters())
    state, total, at = None, torch.zeros(()), 1
    fed = weights["embedding.weight"][0]
    anchors: list[Tensor] = []
    sizes = space.heads[1 : 1 + len(space.kinds)]

    def read(x: Tensor) -> Tensor:
        nonlocal state
        seen, state = controller.lstm(x[None, None], state)
        return seen[0, 0]

    for layer in range(space.depths[actions[0]]):
        row = space.heads[0]
        for size in sizes:
            scores = weights["scores.weight"] @ read(fed) + weights["scores.bias"]
            total = total + scores[row : row + size].log_softmax(0)[actions[at]]
            fed = weights["embedding.weight"][1 + row + actions[at]]
            row, at = row + size, at + 1
        anchors.append(read(fed))
        fed = torch.zeros_like(fed)
        for j in range(layer):
            inner = (
                weights["previous.weight"] @ anchors[j] + weights["current.weight"] @ anchors[-1]
            )
            p = torch.sigmoid(weights["v.weight"][0] @ torch.tanh(inner))
            total = total + (p if actions[at] else 1 - p).log()
            fed = fed + actions[at] * weights["feedback"][j]
            at += 1
    assert at == len(actions)
    return total.item()


def test_log_prob_has_the_bernoulli_terms() -> None:
    agent = agent_of()
    proposals = agent.ask(18)
    assert {len(p.architecture.code) for p in proposals} == {2, 3, 5}
    for proposal in proposals:
        expected = plain_log_prob(agent.controller, SPACE, list(proposal.actions))
        assert proposal.log_prob == pytest.approx(expected, rel=1e-5)


def test_learning_sees_what_sampling_saw() -> None:
    """Networks of all depths in one batch: what is asked and what the update starts from."""
    agent = agent_of()
    proposals = agent.ask(18)
    decisions = agent.decisions([p.actions for p in proposals])
    log_probs = agent.controller(*decisions[:3])
    assert log_probs.exp().sum(-1)[:, 1:].allclose(torch.ones(18, SPACE.max_steps - 1))
    new = log_probs.gather(-1, decisions.action[..., None])[..., 0]
    for row, (_, terms) in zip(new, agent.state_dict()["pending"], strict=True):
        assert torch.allclose(row[: len(terms)], torch.tensor(terms), atol=1e-5)
        assert (row[len(terms) :] == 0).all()
    parts = torch.autograd.grad(new.sum(), list(agent.controller.parameters()))
    assert all((part != 0).any() and part.isfinite().all() for part in parts)


def test_a_network_of_one_layer_has_no_bits() -> None:
    agent = agent_of(SkipSpace((1,)))
    [proposal] = agent.ask(1)
    assert len(proposal.actions) == 4
    assert proposal.log_prob == pytest.approx(
        plain_log_prob(agent.controller, agent.space, list(proposal.actions)), rel=1e-5
    )


def test_the_depth_rises_with_the_number_of_samples() -> None:
    config = methods.config("nas_rl", "paper")
    [stage] = methods.build("nas_rl", tasks.load("digits"), config).stages
    agent = stage.agent
    depths = {}
    for asked in (0, 1599, 3199, 4799, 6399, 7999, 9599, 11_199, 12_798):
        agent.load_state_dict({**agent.state_dict(), "asked": asked})
        pair = agent.ask(2)
        depths |= {asked + i: len(p.architecture.code) for i, p in enumerate(pair)}
    assert depths == {n: 6 + 2 * (n // 1600) for n in depths}
    assert depths[1599] == 6
    assert depths[1600] == 8
    assert depths[11_200] == depths[12_799] == 20
    assert config.trials == 12_800


def ops(code: tuple[tuple[int, ...], ...], shape: tuple[int, int, int] = (3, 8, 8)) -> list[str]:
    net = SkipNet().expand(SPACE.architecture(code), shape, 10)
    return [f"{NAMES[row[0]]}{inputs}" for row, inputs in zip(net.rows, net.inputs, strict=True)]


def test_a_layer_without_input_reads_the_image() -> None:
    found = ops(((3, 3, 1, 4), (1, 5, 1, 6)))
    assert found[:5] == ["input()", "stem(0,)", "relu(1,)", "stem(0,)", "relu(3,)"]


def test_what_nobody_reads_goes_to_the_classifier() -> None:
    found = ops(((3, 3, 1, 4), (1, 5, 1, 6), (3, 3, 1, 4, 1)))
    assert found[-3:] == ["concat(4, 6)", "global_pool(7,)", "linear(8,)"]
    assert ops(((3, 3, 1, 4), (1, 5, 1, 6, 1)))[-2:] == ["global_pool(4,)", "linear(5,)"]


def test_several_inputs_are_side_by_side_and_smaller_ones_padded() -> None:
    code = ((3, 3, 2, 4), (3, 3, 1, 6), (3, 1, 1, 4, 1, 2))
    assert ops(code)[5:9] == ["pad(2,)", "concat(5, 4)", "stem(6,)", "relu(7,)"]
    net = SkipNet().expand(SPACE.architecture(code), (3, 8, 8), 10)
    assert net.rows[2, -3:].tolist() == [4, 4, 4]
    assert net.rows[5, -3:].tolist() == [4, 8, 8]
    assert net.rows[6, -3:].tolist() == [10, 8, 8]


def test_padding_is_zeros_all_around() -> None:
    net = SkipNet().expand(SPACE.architecture(((1, 1, 2, 4), (1, 1, 1, 4))), (1, 5, 7), 2)
    [pad] = [module for module in build_net(net).modules() if isinstance(module, Pad)]
    padded = pad(torch.ones(2, 4, 3, 4))
    assert padded.shape == (2, 4, 5, 7)
    assert (padded[..., 1:4, 1:5] == 1).all()
    assert padded.sum() == 2 * 4 * 3 * 4


def plain_network(network: torch.nn.Module, code: tuple[tuple[int, ...], ...], x: Tensor) -> Tensor:
    """The network's layers wired by hand."""
    stems = [module for module in network.modules() if isinstance(module, Stem)]
    [linear] = [module for module in network.modules() if isinstance(module, torch.nn.Linear)]

    def join(parts: list[Tensor]) -> Tensor:
        height, width = (max(part.shape[side] for part in parts) for side in (2, 3))
        joined = []
        for part in parts:
            up, left = (height - part.shape[2]) // 2, (width - part.shape[3]) // 2
            whole = torch.zeros(*part.shape[:2], height, width)
            whole[:, :, up : up + part.shape[2], left : left + part.shape[3]] = part
            joined.append(whole)
        return torch.cat(joined, 1)

    outputs: list[Tensor] = []
    for stem, row in zip(stems, code, strict=True):
        outputs.append(F.relu(stem(join([outputs[j - 1] for j in row[4:]] or [x]))))
    read = {j for row in code for j in row[4:]}
    loose = [output for i, output in enumerate(outputs, 1) if i not in read]
    return linear(join(loose).mean((2, 3)))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31))
def test_any_network_is_its_layers_wired_by_hand(seed: int) -> None:
    [proposal] = Random(SPACE, seed).ask(1)
    code = proposal.architecture.code
    net = SkipNet().expand(proposal.architecture, (2, 7, 5), 3)
    network = build_net(net, seed % 1000).eval()
    assert net.params == sum(p.numel() for p in network.parameters())
    images = torch.randn(3, 2, 7, 5, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        assert torch.allclose(network(images), plain_network(network, code, images), atol=1e-5)


def test_the_reward_is_the_cube_of_the_accuracy() -> None:
    reward = methods.config("nas_rl").reward()
    job = Job(0, SkipNet.simplest, 0)
    assert reward(job, Evaluation({"val_accuracy": 0.9}, "proxy")) == pytest.approx(0.729)
    assert reward(job, Evaluation({}, "proxy", "too large")) == 0
    assert Accuracy()(job, Evaluation({"val_accuracy": 0.9}, "proxy")) == pytest.approx(90)


def test_the_accuracy_is_the_best_after_one_of_the_last_epochs() -> None:
    paper = methods.config("nas_rl", "paper")
    assert (paper.recipe.epochs, paper.recipe.validate_last) == (50, 5)
    task = tasks.load("digits")
    net = SkipNet().expand(SPACE.architecture(((3, 3, 2, 4), (3, 3, 2, 6, 1))), task.shape, 10)
    found = {}
    for last in (1, 3):
        recipe = Recipe(5, 64, "sgd", 0.3, nesterov=True, restarts=0, validate_last=last)
        scores = []
        fitted = fit(build_net(net, 1), task, recipe, 1, "cpu", on_epoch=scores.append)
        alone = fit(build_net(net, 1), task, recipe, 1, "cpu")
        assert fitted.best == alone.best
        assert fitted.best == max((e.valid for e in scores[-last:]), key=lambda v: v.accuracy)
        found[last] = fitted.best.accuracy
    assert found[3] >= found[1]
    with pytest.raises(ValueError, match="nesterov=True must be off where momentum is 0"):
        Recipe(2, 64, "sgd", 0.1, momentum=0.0, nesterov=True)


def test_it_learns_what_chance_does_not() -> None:
    """The reward is the share of 3x3 layers and of skips from the layer before; seeds 0 to 2.

    The mean of the last 100 of 300 rewards beats random search's by 0.2 at least, each time.
    """
    space = SkipSpace((3,), (1, 3, 5), (1, 3, 5), (1,), (4, 8))

    def reward(architecture: Architecture) -> float:
        code = architecture.code
        square = [row[:2] == (3, 3) for row in code]
        chained = [i in row[4:] for i, row in enumerate(code) if i]
        return float(np.mean(square + chained))

    def late(agent: Agent) -> float:
        rewards: list[float] = []
        for number in range(0, 300, 10):
            trials = [
                Trial(i, p, Evaluation({}, "table"), reward(p.architecture))
                for i, p in enumerate(agent.ask(10), number)
            ]
            agent.tell(trials)
            rewards += [trial.reward for trial in trials]
        return float(np.mean(rewards[-100:]))

    learned = [late(LayerController(space, s, batch=10, lr=0.02, baseline=0.8)) for s in range(3)]
    chance = [late(Random(space, s)) for s in range(3)]
    gains = np.subtract(learned, chance)
    assert gains.min() > 0.2, f"{gains.mean():.3f} with deviation {gains.std(ddof=1):.3f}: {gains}"


def test_the_space_by_hand() -> None:
    code = ((3, 5, 2, 6), (1, 1, 1, 4), (3, 3, 1, 4, 1, 2))
    architecture = SPACE.architecture(code)
    assert SPACE.actions(architecture) == (1, 1, 2, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1)
    assert architecture.text == "[(3,5,2,6),(1,1,1,4),(3,3,1,4,1,2)]"
    state = SPACE.start(1)
    for action in islice(SPACE.actions(architecture), 16):
        state = SPACE.step(state, np.array([action], np.int32))
    assert SPACE.decode(state) == [architecture]
    assert SPACE.observe(state).tolist() == [[16, 1]]
    assert pickle.loads(pickle.dumps(SPACE)).options == SPACE.options


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ([(3, 3, 1, 4)], r"1 layers; this space has \(2, 3, 5\)"),
        ([(3, 3, 1, 4), (7, 3, 1, 4)], r"layer 2: height 7 is none of \(1, 3\)"),
        ([(3, 3, 1, 4), (3, 3, 1, 5)], r"layer 2: filters 5 is none of \(4, 6\)"),
        ([(3, 3, 1, 4, 1), (3, 3, 1, 4)], r"layer 1 reads \[1\]; it can read layers 1 to 0"),
        ([(3, 3, 1, 4), (3, 3, 1, 4, 1, 1)], r"layer 2 reads \[1, 1\]"),
        ([(3, 3, 1, 4), (3, 3, 1)], r"layer 2 is \(3, 3, 1\); a layer with skips is \(height"),
        ([(3, 3, 1, 4), (3, 3, 1, 1 << 15)], "its numbers are 1 to 32767"),
    ],
)
def test_wrong_codes_are_refused(code, message) -> None:
    with pytest.raises(ValueError, match=message):
        SPACE.architecture(code)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heights": (2,)}, r"height options \(2,\): the sides of a kernel are odd"),
        ({"strides": ()}, r"stride options \(\): give different numbers"),
        ({"filters": (4, 4)}, r"filters options \(4, 4\): give different numbers"),
        ({"depths": ()}, "depths is empty"),
        ({"depths": (3, 2)}, "a depth of 2 after 3"),
        ({"heights": (3,), "widths": (3,), "filters": (8,)}, "a layer has nothing to choose"),
    ],
)
def test_wrong_spaces_are_refused(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        SkipSpace(**arguments)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="deeper_every=0"):
        agent_of(deeper_every=0)
    with pytest.raises(ValueError, match="have no blocks"):
        SkipNet().resized(blocks=2)
    with pytest.raises(ValueError, match="space 'block' has no skips"):
        SkipNet().expand(Architecture.of("block", ((1, 7, 0, 0, 0),)), (1, 8, 8), 2)
