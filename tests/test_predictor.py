"""The meta-DNN: what it learns, what it says of its doubt, and that it survives a file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch

import agent_kit
from nascore.agents.random import Random
from nascore.spaces import BlockSpace, ChoicesSpace
from nascore.surrogates.predictor import Predictor, normal_scores, states_after
from nascore.trial import Evaluation, Trial

SPACE = ChoicesSpace((5,) * 6)


def predictor(seed: int = 0, space: Any = SPACE, **changes: Any) -> Predictor:
    settings: dict[str, Any] = {
        "hidden": (32,),
        "members": 3,
        "epochs": 40,
        "batch": 64,
        "lr": 1e-2,
        "weight_decay": 0.0,
        "target": "rank",
        "fresh": True,
    }
    return Predictor(space, seed, **{**settings, **changes})


def planted(n: int, seed: int) -> list[Trial]:
    """Trials whose reward is a sum over the choices and a product of two."""
    worth = np.random.default_rng(0).random((6, 5))
    proposals = Random(SPACE, seed).ask(n)
    codes = np.array([p.architecture.code for p in proposals])
    rewards = worth[np.arange(6), codes].sum(1) / 6 + 0.3 * worth[0, codes[:, 0]] * (
        codes[:, 5] > 2
    )
    return [
        Trial(i, p, Evaluation({}, "table"), float(r))
        for i, (p, r) in enumerate(zip(proposals, rewards, strict=True))
    ]


def kendall(a: np.ndarray, b: np.ndarray) -> float:
    pairs = np.sign(a[:, None] - a) * np.sign(b[:, None] - b)
    return float(pairs.sum() / (len(a) * (len(a) - 1)))


@pytest.mark.parametrize("target", ["rank", "reward"])
def test_held_out_order_is_found_better_with_more_trials(target) -> None:
    held_out = planted(300, 9)
    truth = np.array([trial.reward for trial in held_out])
    found = []
    for n in (10, 40, 160):
        model = predictor(target=target)
        model.fit(planted(n, 1))
        mean, std = model.predict([trial.architecture for trial in held_out])
        assert mean.shape == std.shape == (300,)
        assert (std > 0).all()
        found.append(kendall(mean, truth))
    assert found == sorted(found)
    assert found[-1] > 0.6


def test_it_doubts_less_what_it_has_seen() -> None:
    model, seen, unseen = predictor(), planted(60, 1), planted(300, 9)
    model.fit(seen)
    doubts = [
        model.predict([t.architecture for t in trials])[1].mean() for trials in (seen, unseen)
    ]
    assert doubts[0] < doubts[1]


def test_members_are_trained_each_alone() -> None:
    """Three members together predict what each of them predicts by itself."""
    one, three = predictor(members=1), predictor(members=3)
    trials = planted(20, 1)
    states = states_after(SPACE, [trial.proposal.actions for trial in trials])
    rewards = np.array([trial.reward for trial in trials])
    three._weights = [w[:1].repeat(3, 1, 1) for w in three._start()]
    one._weights = [w[:1].clone() for w in three._weights]
    for model in (one, three):
        model.fresh, model.batch = False, len(trials)  # one batch: the order plays no part
        model.fit_states(states, rewards)
    mean, std = three.predict_states(states)
    np.testing.assert_allclose(mean, one.predict_states(states)[0], atol=1e-4)
    assert std.max() < 1e-4


def test_learning_goes_on_unless_fresh() -> None:
    trials = planted(30, 1)
    first = [trial.architecture for trial in trials]
    for fresh in (True, False):
        model = predictor(epochs=2, fresh=fresh)
        errors = []
        for _ in range(15):
            model.fit(trials)
            wanted = normal_scores(np.array([trial.reward for trial in trials]))
            errors.append(float(((model.predict(first)[0] - wanted) ** 2).mean()))
        assert (errors[-1] < errors[0] / 2) is not fresh


def test_state_survives_a_file() -> None:
    trials = planted(20, 1)
    one, other = predictor(fresh=False), predictor(fresh=False)
    one.fit(trials)
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    for model in (one, other):
        model.fit(trials)
    architectures = [trial.architecture for trial in trials]
    assert (one.predict(architectures)[0] == other.predict(architectures)[0]).all()
    with pytest.raises(ValueError, match="other layers"):
        predictor(hidden=(8,)).load_state_dict(one.state_dict())


def test_blocks_are_read_too() -> None:
    space = BlockSpace(4)
    trials = agent_kit.judge(0, Random(space, 0).ask(20))
    model = predictor(space=space)
    model.fit(trials)
    assert model.predict([trial.architecture for trial in trials])[0].shape == (20,)


def test_normal_scores() -> None:
    scores = normal_scores(np.array([3.0, 1.0, 2.0, 2.0]))
    assert scores[2] == scores[3]
    np.testing.assert_allclose(scores, [1.15035, -1.15035, 0, 0], atol=1e-5)


def test_what_is_refused() -> None:
    for changes, message in [({"members": 0}, "members=0"), ({"target": "x"}, "target='x'")]:
        with pytest.raises(ValueError, match=message):
            predictor(**changes)
    with pytest.raises(ValueError, match="not fitted"):
        predictor().predict([SPACE.architecture((0,) * 6)])
    with pytest.raises(ValueError, match="no trials"):
        predictor().fit([])
