"""The numbers that agents get."""

from __future__ import annotations

import math

import pytest

from nascore.search import Accuracy, EarlyStop
from nascore.search.rewards import early_stop
from nascore.trial import Evaluation, Job
from toys import SPACE

JOB = Job(0, SPACE.architecture((0, 0, 0)), 1)


def evaluation(accuracy: float, macs: float, density: float, status: str = "ok") -> Evaluation:
    metrics = {"val_accuracy": accuracy, "macs": macs, "density": density}
    return Evaluation(metrics, "proxy", status)


def test_the_formula() -> None:
    assert early_stop(70.0, math.e, 1.0, mu=1.0, rho=8.0) == pytest.approx(69.0)
    assert early_stop(70.0, 1.0, math.e, mu=1.0, rho=8.0) == pytest.approx(62.0)
    assert early_stop(70.0, math.e, math.e, mu=0.5, rho=2.0) == pytest.approx(67.5)


def test_a_multiply_add_is_two_operations() -> None:
    assert EarlyStop()(JOB, evaluation(0.7, math.e * 1e6 / 2, 1.0)) == pytest.approx(69.0)


@pytest.mark.parametrize(
    "worthless",
    [
        evaluation(0.9, 1e6, 1.0, "timed out"),  # failed
        Evaluation({}, "proxy", "lost worker"),  # failed, and nothing known
        evaluation(0.9, 1e6, 0.0),  # an empty block
        evaluation(0.1, 1e9, 5.0),  # below the floor
    ],
)
def test_the_floor(worthless: Evaluation) -> None:
    assert EarlyStop(floor=5.0)(JOB, worthless) == 5.0


def test_accuracy_is_in_percent_or_as_it_is() -> None:
    assert Accuracy(scale=1.0)(JOB, evaluation(0.5, 1.0, 1.0)) == 0.5
    assert Accuracy()(JOB, evaluation(0.5, 1.0, 1.0)) == 50.0
    assert Accuracy(floor=-1.0)(JOB, evaluation(0.5, 1.0, 1.0, "not finite")) == -1.0
