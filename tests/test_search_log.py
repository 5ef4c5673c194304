"""What TensorBoard is told of a search."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cli_kit import nascore, searching, told
from nascore.results.search_log import search_log
from nascore.trial import Trial


def events(logs: Path) -> EventAccumulator:
    return EventAccumulator(str(logs), size_guidance={"images": 0}).Reload()


def scalars(found: EventAccumulator, name: str) -> dict[int, float]:
    return {event.step: event.value for event in found.Scalars(name)}


def bests(trials: list[Trial]) -> list[Trial]:
    """The best until each trial."""
    good = [[t for t in trials[: i + 1] if t.evaluation.ok] for i in range(len(trials))]
    return [max(some, key=lambda t: t.rank) for some in good if some]


def test_curves_and_drawings_also_of_a_search_that_goes_on(tmp_path: Path) -> None:
    run, logs = tmp_path / "run", tmp_path / "logs"
    # No training begins after so long: the first command does nothing, or not all.
    some = (*searching(run, "--trials", 6), "--tensorboard", logs, "--time-limit", 0.3)
    assert nascore(*some).status == 0
    done = nascore("resume", run, "--tensorboard", logs)
    assert (done.status, done.err) == (0, "")
    trials, found = told(run), events(logs)
    assert len(trials) == 6
    rewards = scalars(found, "reward")
    assert rewards == pytest.approx({i + 1: t.reward for i, t in enumerate(trials)})
    accuracies = {i + 1: t.evaluation.accuracy for i, t in enumerate(trials) if t.evaluation.ok}
    assert scalars(found, "val_accuracy") == pytest.approx(accuracies)
    best = bests(trials)
    first = len(trials) - len(best)
    for metric in ("val_accuracy", "params", "macs"):
        known = {first + i + 1: t.metrics[metric] for i, t in enumerate(best)}
        assert scalars(found, f"best/{metric}") == pytest.approx(known)
    steps = [first + i + 1 for i, t in enumerate(best) if i == 0 or t is not best[i - 1]]
    drawn = found.Images("best")
    assert [image.step for image in drawn] == steps
    assert all(image.encoded_image_string.startswith(b"\x89PNG") for image in drawn)


def test_what_was_written_after_the_last_told_trial_is_replaced(tmp_path: Path) -> None:
    assert nascore(*searching(tmp_path / "run", "--trials", 4)).status == 0
    trials, logs = told(tmp_path / "run"), tmp_path / "logs"
    with search_log(logs, []) as log:  # killed before the fourth was in the run's log
        for trial in trials:
            log(trial)
    with search_log(logs, trials[:3]) as log:
        log(trials[3])
    rewards = events(logs).Scalars("reward")
    assert [event.step for event in rewards] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("missing", "extra"),
    [("torch.utils.tensorboard", "tensorboard"), ("matplotlib.figure", "report")],
)
def test_a_missing_extra_is_named_before_there_is_a_run(
    missing: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    done = nascore(*searching(tmp_path / "run"), "--tensorboard", tmp_path / "logs")
    assert done.status == 2
    assert f"pip install 'nascore[{extra}]'" in done.err
    assert not list(tmp_path.iterdir())
