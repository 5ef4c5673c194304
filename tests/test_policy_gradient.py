"""What a faithful policy-gradient controller must show, on spaces of one and of many kinds."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

import agent_kit
from agent_kit import policy_gradient
from nascore import _core
from nascore.agents.controller import Controller
from nascore.agents.policy_gradient import entropy, surrogate
from nascore.agents.random import Random
from nascore.search import AskTell, Search, Store
from nascore.spaces import BlockSpace, ChoicesSpace
from nascore.trial import Agent, Evaluation, Trial
from toys import ToyEvaluator, accuracy

SIZES = (2, 3, 4, 3, 2)  # a head for each decision, of different sizes
CHOICES = ChoicesSpace(SIZES)


def test_log_prob_is_the_sum_of_the_decisions() -> None:
    agent = policy_gradient(0, CHOICES, init=1.0)
    proposals = agent.ask(20)
    _, head, legal, action = decisions = agent.decisions([p.actions for p in proposals])
    log_probs = agent.controller(*decisions[:3])
    assert (head == torch.arange(len(SIZES))).all()
    assert (legal.sum(-1) == torch.tensor(SIZES)).all()
    terms = log_probs.gather(-1, action[..., None])[..., 0]
    for proposal, sum_of_terms in zip(proposals, terms.sum(1).tolist(), strict=True):
        assert proposal.log_prob == pytest.approx(sum_of_terms, rel=1e-5)
    assert log_probs.exp().sum(-1).allclose(torch.ones(20, len(SIZES)))


def test_samples_follow_the_probabilities() -> None:
    agent = policy_gradient(0, ChoicesSpace((4,)), init=2.0)
    decisions = agent.decisions([(0,)])
    wanted = agent.controller(*decisions[:3])[0, 0].exp().detach().numpy()
    counts = np.bincount([p.actions[0] for p in agent.ask(4_000)], minlength=4)
    assert wanted.max() - wanted.min() > 0.1
    # Chi-square with 3 degrees of freedom: 16.3 is exceeded once in a thousand.
    assert ((counts - 4_000 * wanted) ** 2 / (4_000 * wanted)).sum() < 16.3


def test_every_decision_is_legal_and_finished_ones_cost_nothing() -> None:
    space = BlockSpace(5)
    agent = policy_gradient(1, space, init=2.0, clip=None, epochs=1)
    proposals = agent.ask(40)
    assert len({len(p.actions) for p in proposals}) > 1
    for proposal in proposals:
        state = space.start(1)
        for action in proposal.actions:
            assert space.legal(state)[0, action]
            state = space.step(state, np.array([action], np.int32))
        assert space.done(state)[0]
    alone = [agent.decisions([p.actions]) for p in proposals]
    together = agent.decisions([p.actions for p in proposals])
    losses = [agent.loss(d, torch.zeros(d.action.shape), torch.ones(1)).item() for d in alone]
    loss = agent.loss(together, torch.zeros(together.action.shape), torch.ones(40))
    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-5)


def gradient(agent, clip: float | None, shift: float = 0.0) -> torch.Tensor:
    """Of the surrogate alone, where old log-probabilities are the new ones minus `shift`."""
    episodes = [p.actions for p in policy_gradient(9, CHOICES, init=1.0).ask(6)]
    decisions = agent.decisions(episodes)
    log_probs = agent.controller(*decisions[:3])
    new = log_probs.gather(-1, decisions.action[..., None])[..., 0]
    advantage = torch.linspace(0.5, 2.0, len(episodes))
    gain = surrogate(new, new.detach() - shift, advantage, clip).sum()
    parts = torch.autograd.grad(gain, list(agent.controller.parameters()), allow_unused=True)
    return torch.cat([part.flatten() for part in parts if part is not None])


def test_the_first_inner_epoch_is_the_policy_gradient() -> None:
    agent = policy_gradient(2, CHOICES, init=0.5)
    ppo, reinforce = gradient(agent, 0.2), gradient(agent, None)
    assert reinforce.abs().max() > 0.01
    assert torch.allclose(ppo, reinforce, rtol=1e-4, atol=1e-6)


def test_what_was_drawn_is_what_the_update_starts_from() -> None:
    agent = policy_gradient(3, CHOICES, init=0.5)
    proposals = agent.ask(8)
    decisions = agent.decisions([p.actions for p in proposals])
    log_probs = agent.controller(*decisions[:3])
    new = log_probs.gather(-1, decisions.action[..., None])[..., 0]
    old = torch.tensor([terms for _, terms in agent.state_dict()["pending"]])
    assert torch.allclose((new - old).exp(), torch.ones(8, len(SIZES)), atol=1e-5)


def test_beyond_the_clip_nothing_is_gained() -> None:
    agent = policy_gradient(2, CHOICES, init=0.5)
    assert (gradient(agent, 0.2, shift=0.5) == 0).all()  # ratio 1.65, positive advantage
    assert (gradient(agent, 0.2, shift=-0.5) != 0).any()  # ratio 0.61: the way back is open
    new, old = torch.tensor([[1.3]]).log(), torch.zeros(1, 1)
    assert surrogate(new, old, torch.tensor([2.0]), 0.2).item() == pytest.approx(2.4)
    assert surrogate(new, old, torch.tensor([-2.0]), 0.2).item() == pytest.approx(-2.6)


def test_the_baseline_is_an_average_of_the_past() -> None:
    agent = policy_gradient(0, CHOICES, baseline=0.95)
    first, second = agent.ask(2)
    agent.tell([Trial(0, first, Evaluation({}, "table"), 1.0)])
    assert agent.baseline == 1
    agent.tell([Trial(1, second, Evaluation({}, "table"), 0.0)])
    assert agent.baseline == pytest.approx(0.95)


def test_entropy_is_of_the_whole_distribution() -> None:
    legal = torch.tensor([[[True, True, True, True], [True, True, False, False]]])
    log_probs = torch.zeros(1, 2, 4).masked_fill(~legal, -torch.inf).log_softmax(-1)
    log_probs.requires_grad_()
    value = entropy(log_probs, legal)
    assert torch.allclose(value, torch.tensor([[4.0, 2.0]]).log())
    assert torch.autograd.grad(value.sum(), log_probs)[0].isfinite().all()


def test_weights_are_a_function_of_the_seed() -> None:
    weights = []
    for seed in (0, 0, 1):
        controller = Controller((3, 2), 8, 0.1, seed)
        weights.append(torch.cat([p.detach().flatten() for p in controller.parameters()]))
    assert (weights[0] == weights[1]).all()
    assert (weights[0] != weights[2]).any()
    assert weights[0].abs().max() <= 0.1
    assert weights[0].abs().mean().item() == pytest.approx(0.05, rel=0.1)


def test_one_step_of_sampling_is_the_whole_pass() -> None:
    """Sampling steps through cells, learning runs whole sequences: two ways to the same numbers."""
    agent = policy_gradient(5, CHOICES, init=1.0)
    decisions = agent.decisions([p.actions for p in agent.ask(6)])
    for layers in (1, 2):
        controller = Controller(SIZES, 7, 0.5, seed=layers, layers=layers)
        together, memory = controller(*decisions[:3]), None
        for step in range(len(SIZES)):
            alone, memory = controller.decide(*(part[:, step] for part in decisions[:3]), memory)
            assert torch.allclose(alone, together[:, step], atol=1e-6)


@pytest.mark.parametrize(("batch", "epochs"), [(20, 1), (20, 10), (3, 2)])
def test_an_update_takes_a_batch_of_trials(batch: int, epochs: int) -> None:
    """20 children to an update, in groups of any size: 100 of them make 5 updates."""
    agent = policy_gradient(0, CHOICES, batch=batch, epochs=epochs)
    agent_kit.history(agent, [7] * 14 + [2])
    [steps] = {int(state["step"]) for state in agent.optimizer.state.values()}
    assert steps == 100 // batch * epochs


@pytest.mark.parametrize("change", [{}, {"clip": None, "epochs": 1}])
def test_it_learns_what_chance_does_not(change) -> None:
    """On a table of numbers in 0..1 for each of 6 decisions with 5 choices, seeds 0 to 4.

    The mean of the last 100 of 400 rewards beats random search's by 0.3 at least, each time.
    """
    space = ChoicesSpace((5,) * 6)
    table = _core.uniform(0, 16, 0, 30).reshape(6, 5)

    def late(agent: Agent) -> float:
        rewards: list[float] = []
        for number in range(40):
            trials = [
                Trial(
                    10 * number + i, p, Evaluation({}, "table"), table[range(6), p.actions].mean()
                )
                for i, p in enumerate(agent.ask(10))
            ]
            agent.tell(trials)
            rewards += [trial.reward for trial in trials]
        return float(np.mean(rewards[-100:]))

    chance = [late(Random(space, seed)) for seed in range(5)]
    learned = [late(policy_gradient(seed, space, batch=10, lr=0.02, **change)) for seed in range(5)]
    gains = np.subtract(learned, chance)
    assert gains.min() > 0.3, f"{gains.mean():.3f} with deviation {gains.std(ddof=1):.3f}: {gains}"


def test_a_stopped_search_goes_on_as_if_it_had_not(tmp_path: Path) -> None:
    """Stopped between two updates, with proposals in flight."""

    def search() -> Search:
        agent = policy_gradient(4, batch=4)
        stage = AskTell(agent, ToyEvaluator(), accuracy, 30, batch=3, in_flight=3, snapshot_every=8)
        return Search("toy", {"trials": 30}, "toy", 4, [stage])

    unbroken = list(search())
    with Store.create(tmp_path, search().meta) as store:
        list(islice(search().run(store), 13))
    with Store.open(tmp_path, write=True) as store:
        list(search().run(store))
        assert store.trials() == unbroken


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, "batch=0"),
        ({"units": 0}, "units=0"),
        ({"epochs": 0}, "epochs=0"),
        ({"clip": None, "epochs": 2}, "REINFORCE takes one step"),
        ({"clip": 1.5}, "clip=1.5"),
        ({"baseline": 1.0}, "baseline=1.0"),
    ],
)
def test_bad_settings_are_refused(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        policy_gradient(0, **change)


def test_a_trial_that_was_never_drawn_is_refused() -> None:
    agent = policy_gradient(0)
    [proposal] = Random(agent_kit.SPACE, 0).ask(1)
    with pytest.raises(ValueError, match=r"trial 7: .* were not drawn"):
        agent.tell([Trial(7, proposal, Evaluation({}, "table"), 1.0)])
