"""What the pictures of every run show, and what they leave at the edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from nascore import methods
from nascore.methods import alphax
from nascore.results import curves, svg
from nascore.results.curves import History, growth
from nascore.results.tables import number
from nascore.spaces import Architecture
from nascore.trial import Evaluation, Proposal, Trial


def history(accuracies: Sequence[float], group: int = 1) -> History:
    """Trials of these accuracies, told in groups, a second each."""
    trials = []
    for i, accuracy in enumerate(accuracies):
        proposal = Proposal(Architecture.of("choices", (i,)), (i,))
        found = Evaluation({"val_accuracy": accuracy, "params": 10.0 * i}, "proxy")
        trials.append(Trial(i, proposal, found, 100 * accuracy))
    return History(trials, {i: 1.0 + i // group for i in range(len(trials))})


def test_of_trials_told_together_the_best_was_the_best() -> None:
    times, best = curves._so_far(history([0.3, 0.9, 0.5, 0.95], group=2), "proxy", "seconds")
    assert times.tolist() == [1, 1, 2, 2, 2]
    assert best.tolist() == [0.9, 0.9, 0.95, 0.95, 0.95]
    times, best = curves._so_far(history([0.3, 0.9, 0.5], group=3), "proxy", "trials")
    assert best.tolist() == [0.3, 0.9, 0.9, 0.9]


def test_a_few_bad_trials_do_not_set_the_scale() -> None:
    """They are at the edge, and still say what they are."""
    run = history([0.1, 0.9, 0.11, 0.95] + [0.9 + i / 1000 for i in range(40)])
    picture = growth(run, [], "trials")
    assert "Triangles are 2 trials below 0.90." in picture.caption
    text = svg.svg(picture)
    assert "trial 0\\naccuracy 0.1000" in text.replace("&quot;", '"')
    assert "0.2<" not in text
    even = growth(history([i / 44 for i in range(44)]), [], "trials")
    assert "Triangles" not in even.caption
    few = growth(history([0.1, 0.9, 0.95]), [], "trials")
    assert "Triangles" not in few.caption


def test_one_random_search_is_a_line_and_several_are_a_band() -> None:
    run, other = history([0.3, 0.9]), history([0.2, 0.8, 0.85])
    assert "The grey line is a random search." in growth(run, [other], "trials").caption
    assert "where 2 random searches were" in growth(run, [other, other], "seconds").caption
    svg.svg(growth(run, [other, other], "trials"))


def test_what_ended_but_was_not_told_has_no_place_in_time() -> None:
    """As the last stage of a running search, which is told as one group."""
    *told, last = history([0.3, 0.9, 0.5, 0.95]).trials
    full = replace(last, evaluation=replace(last.evaluation, fidelity="full"))
    run = History([*told, full], {t.number: 1.0 + t.number for t in told})
    picture = growth(run, [], "seconds")
    text = svg.svg(picture)
    assert "trial 2\\n" in text
    assert "trial 3\\n" not in text
    assert "3 of 4 points are drawn." in picture.caption
    assert "trial 3\\n" in svg.svg(growth(run, [], "trials"))


def test_a_random_search_that_was_told_nothing_has_no_band() -> None:
    run = history([0.3, 0.9])
    untold = History(run.trials)
    alone = growth(run, [untold], "seconds")
    assert "grey" not in alone.caption
    svg.svg(alone)
    assert "The grey line is a random search." in growth(run, [untold, run], "seconds").caption
    assert "where 2 random searches were" in growth(run, [untold, run], "trials").caption


@pytest.mark.parametrize(
    ("value", "text"),
    [(3910.2, "3,910"), (79514.0, "79,514"), (1.6457, "1.646"), (6.0, "6"), (0.98312, "0.9831")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_settings_that_differ() -> None:
    small = methods.config("alphax", "small")
    assert methods.differing(small, small) == []
    mine = replace(small, trials=7, agent=replace(small.agent, c=9.0))
    assert methods.differing(mine, small) == [
        ("trials", "7", str(small.trials)),
        ("agent.c", "9.0", str(small.agent.c)),
    ]
    assert len(methods.differing(alphax.paper(), small)) > 5
