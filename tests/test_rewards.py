"""The numbers that agents get."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nascore.search import Accuracy, Constrained, EarlyStop, Targets
from nascore.search.rewards import cost_factor, early_stop
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


SOFT, HARD = (-0.07, -0.07), (0.0, -1.0)
COST = st.floats(1e-3, 1e12)


def costing(macs: float, accuracy: float = 0.5) -> Evaluation:
    return evaluation(accuracy, macs, 1.0)


def test_the_factor_of_the_paper() -> None:
    """MnasNet, section 3: twice the latency for 5 % more accuracy is worth the same."""
    once, twice = (a * cost_factor(ms, 80, *SOFT) for a, ms in ((0.70, 60), (0.70 * 1.05, 120)))
    assert once == pytest.approx(twice, rel=1e-3)
    # Figure 3: an accuracy of 0.5 at a target of 80 ms, hard above and soft below.
    assert [0.5 * cost_factor(ms, 80, *HARD) for ms in (20, 80, 160)] == [0.5, 0.5, 0.25]
    soft = [0.5 * cost_factor(ms, 80, *SOFT) for ms in (20, 80, 160)]
    assert soft == pytest.approx([0.5510, 0.5, 0.4763], abs=1e-4)


@given(COST, COST, COST, st.sampled_from([SOFT, HARD]))
def test_the_dearer_is_never_worth_more(
    one: float, other: float, target: float, exponents: tuple[float, float]
) -> None:
    assert cost_factor(target, target, *exponents) == 1
    cheap, dear = sorted((one, other))
    factors = [cost_factor(cost, target, *exponents) for cost in (cheap, dear)]
    assert factors[0] >= factors[1] > 0
    assert math.isfinite(factors[0])


def test_what_costs_nothing_is_worth_something_finite() -> None:
    assert cost_factor(0, 100, *SOFT) == pytest.approx(1e6**0.07)


def test_a_constrained_reward() -> None:
    both = Targets(max_params=100, max_macs=1000)
    metrics = {"val_accuracy": 0.8, "params": 200.0, "macs": 500.0}
    worth = Constrained(Accuracy(scale=1.0), both)(JOB, Evaluation(metrics, "proxy"))
    assert worth == pytest.approx(0.8 * 2**-0.07 * 2**0.07)
    hard = Targets(max_params=100, max_macs=1000, constraint="hard")
    worth = Constrained(Accuracy(), hard)(JOB, Evaluation(metrics, "proxy"))
    assert worth == pytest.approx(80 / 2)
    slow = Targets(latency_ms=2)
    worth = Constrained(Accuracy(), slow)(
        JOB, Evaluation({"generated_accuracy": 0.8, "latency_ms": 4.0}, "hypernet")
    )
    assert worth == pytest.approx(80 * 2**-0.07)


@pytest.mark.parametrize("constraint", ["soft", "hard"])
@given(
    floor=st.floats(-50, 50),
    worth=st.floats(-100, 100),
    one=st.floats(1, 1e12),
    other=st.floats(1, 1e12),
)
def test_the_cheaper_of_equals_is_never_worse(
    constraint: Any, floor: float, worth: float, one: float, other: float
) -> None:
    """Whatever the floor is, a reward that falls below it included."""
    reward: Callable[[Job, Evaluation], float] = lambda _, e: worth if e.ok else floor  # noqa: E731
    constrained = Constrained(reward, Targets(max_macs=10_000, constraint=constraint))
    cheap, dear = (constrained(JOB, costing(macs)) for macs in sorted((one, other)))
    assert cheap >= dear
    if worth >= floor:
        assert dear >= floor
    assert constrained(JOB, costing(10_000)) == pytest.approx(worth)
    assert constrained(JOB, evaluation(0.9, 1.0, 1.0, "timed out")) == floor


def test_a_cost_that_nobody_tells() -> None:
    reward = Constrained(Accuracy(), Targets(max_params=10))
    with pytest.raises(ValueError, match=r"tells no 'params'; it tells val_accuracy, macs, den"):
        reward(JOB, costing(5))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "no target: give latency_ms, max_params or max_macs"),
        ({"constraint": "hard"}, "no target"),
        ({"max_macs": 0}, "max_macs=0 must be above 0"),
        ({"latency_ms": -1.0}, "latency_ms=-1.0 must be above 0"),
        ({"latency_ms": math.nan}, "latency_ms=nan must be above 0"),
        ({"latency_ms": 1.0, "batch": 0}, "batch=0 must be at least 1"),
        ({"max_macs": 5, "device": "cpu"}, "device and batch are those of latency_ms"),
        ({"max_macs": 5, "batch": 8}, "device and batch are those of latency_ms"),
        ({"max_macs": 5, "constraint": "sof"}, "unknown constraint 'sof'; did you mean 'soft'"),
    ],
)
def test_targets_that_cannot_be(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Targets(**wrong)
