"""The predictor in stages, and what predictors make of measured cells."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from dag_kit import read_cells
from nascore.sampling import states_after
from nascore.spaces import EdgeDagSpace
from nascore.surrogates.predictor import Predictor
from nascore.surrogates.stages import StagedPredictor
from test_predictor import SPACE, planted

SETTINGS = {
    "hidden": (32,),
    "members": 3,
    "epochs": 40,
    "batch": 64,
    "lr": 1e-2,
    "weight_decay": 1e-4,
    "target": "rank",
    "fresh": True,
    "bayesian": True,
}


def staged(stages: int, **changes) -> StagedPredictor:
    return StagedPredictor(SPACE, 0, stages, **{**SETTINGS, **changes})


def test_one_stage_is_a_predictor() -> None:
    trials = planted(40, 1)
    one, plain = staged(1), Predictor(SPACE, 0, **SETTINGS)
    architectures = [trial.architecture for trial in planted(30, 9)]
    for model in (one, plain):
        model.fit(trials)
    for a, b in zip(one.predict(architectures), plain.predict(architectures), strict=True):
        np.testing.assert_array_equal(a, b)


def test_each_stage_learns_the_better_half_and_decides_above_its_floor() -> None:
    model, trials = staged(3), planted(80, 1)
    learned = []
    for stage in model._stages:
        fit = stage.fit_scores
        stage.fit_scores = lambda states, scores, fit=fit: (
            learned.append(scores),
            fit(states, scores),
        )[-1]
    model.fit(trials)
    assert [len(scores) for scores in learned] == [80, 40, 20]
    assert [scores.min() for scores in learned[1:]] >= model._floors
    states = states_after(SPACE, [trial.proposal.actions for trial in planted(200, 9)])
    first, second, third = (stage.predict_states(states)[0] for stage in model._stages)
    expected = first.copy()
    on = first >= model._floors[0]
    expected[on] = np.maximum(second[on], model._floors[0])
    on &= expected >= model._floors[1]
    expected[on] = np.maximum(third[on], model._floors[1])
    np.testing.assert_allclose(model.predict_states(states)[0], expected, atol=1e-6)
    assert 0 < on.sum() < 200


def test_a_stage_of_few_trials_is_left_out() -> None:
    model = staged(4)
    model.fit(planted(20, 1))
    assert len(model._floors) == 1
    assert [stage.fitted for stage in model._stages] == [True, True, False, False]


def test_stages_survive_a_file() -> None:
    one, other = staged(2), staged(2)
    one.fit(planted(40, 1))
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    architectures = [trial.architecture for trial in planted(20, 9)]
    assert (one.predict(architectures)[0] == other.predict(architectures)[0]).all()
    with pytest.raises(ValueError, match="of 2 stages, this one has 1"):
        staged(1).load_state_dict(one.state_dict())


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="stages=0"):
        staged(0)
    with pytest.raises(ValueError, match="no trials"):
        staged(2).fit([])
    with pytest.raises(ValueError, match="not fitted"):
        staged(2).predict([SPACE.architecture((0,) * 6)])


def test_it_orders_measured_cells_better_with_more_of_them() -> None:
    """NAS-Bench-101: on cells held out, against the logarithm of the parameters."""
    path = Path(os.environ.get("NASCORE_TEST_DATA", ""), "nb101_500.csv")
    if not path.is_file():
        pytest.skip("NASCORE_TEST_DATA has no nb101_500.csv")
    cells, columns = read_cells(path)
    space, truth = EdgeDagSpace(), columns["val_accuracy"]
    states = states_after(space, [space.actions(cell) for cell in cells])
    taus = np.zeros((3, 3))
    for split in range(3):
        order = np.random.default_rng(split).permutation(len(cells))
        held_out = order[250:]
        for i, n in enumerate((25, 80, 250)):
            model = StagedPredictor(space, split, 1, **SETTINGS)
            model.fit_states(states[order[:n]], truth[order[:n]])
            mean, _ = model.predict_states(states[held_out])
            taus[split, i] = kendalltau(mean, truth[held_out]).statistic
        rival = kendalltau(np.log(columns["params"][held_out]), truth[held_out]).statistic
        assert taus[split, 2] > rival + 0.1
    assert (np.diff(taus.mean(0)) > 0).all()
