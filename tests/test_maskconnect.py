"""MaskConnect as a search: one trial a training, which goes on from its last epoch."""

from __future__ import annotations

from pathlib import Path

import pytest

import method_kit
from nascore import methods, tasks
from nascore.methods import maskconnect
from nascore.networks import Recipe
from nascore.retrain import load_model, retrain
from nascore.search import Search, Store

SETTINGS = method_kit.OWN["maskconnect"]
TASK = tasks.load("digits")


def search(*more: str) -> Search:
    return method_kit.search("maskconnect", (*SETTINGS, *more))


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_training_goes_on_from_its_last_epoch(tmp_path: Path, epochs: int) -> None:
    told: list[tuple[str, int, int]] = []

    def stop(*progress: object) -> None:
        told.append(progress)  # type: ignore[arg-type]
        if len(told) == epochs:
            raise KeyboardInterrupt

    with Store.create(tmp_path / "run", search().meta) as store:
        with pytest.raises(KeyboardInterrupt):
            list(search().run(store, on_progress=stop))
        list(search().run(store, on_progress=lambda *progress: told.append(progress)))
        assert method_kit.timeless(store.trials()) == method_kit.timeless(search())
        left = (tmp_path / "run" / "weights").glob("maskconnect-*")  # of the report's, no more
        assert {path.name for path in left} == {f"maskconnect-{i}-masks.npy" for i in (0, 1)}
    one = [("learning the masks", n, 2) for n in (1, 2)] + [("training what they keep", 1, 1)]
    everything = one * 2
    # The epoch that was being told when it stopped was not yet kept, and is done again.
    assert told == everything[:epochs] + everything[epochs - 1 :]


def test_a_kill_before_a_trial_is_told_loses_nothing(tmp_path: Path) -> None:
    with Store.create(tmp_path / "run", search().meta) as store:
        [first, _] = search()
        store.ask(0, [first.proposal], ["key"], [None])
        trials = list(search().run(store))
    assert method_kit.timeless(trials) == method_kit.timeless(search())
    with Store.create(tmp_path / "other", search().meta) as store:
        store.ask(0, [first.proposal], ["key"], [None])
        store.finish([first])
        assert next(iter(search().run(store))) == first


def test_no_training_begins_when_the_time_is_up(tmp_path: Path) -> None:
    with Store.create(tmp_path / "run", search().meta) as store:
        assert list(search().run(store, time_limit_s=0)) == []
        assert list(search().run(store, time_limit_s=0.05)) == []
        assert len(list(search().run(store))) == 2


def test_a_trial_says_what_was_removed(tmp_path: Path) -> None:
    config = methods.with_settings(methods.config("maskconnect"), [*SETTINGS, "fan_in=1"])
    trials = list(methods.build("maskconnect", TASK, config))
    for trial in trials:
        metrics, net = trial.metrics, config.skeleton
        assert trial.evaluation.fidelity == "full"
        assert metrics["params_before"] == net.expand(net.full, TASK.shape, 10).params
        assert metrics["params"] == net.expand(trial.architecture, TASK.shape, 10).params
        dead = 3 - len(net.alive(trial.architecture.code))
        assert metrics["dead_modules"] == dead
        assert (metrics["params"] < metrics["params_before"]) == (dead > 0)
        assert 0 < metrics["frozen_accuracy"] < 1
        assert trial.proposal.actions == (0, trial.architecture.code[1][0])
    assert set(maskconnect.figures(config, trials)) == {
        "mean accuracy",
        "its deviation",
        "parameters removed",
    }
    assert maskconnect.figures(config, []) == {}
    recipe = Recipe(1, 64, "sgd", 0.05, restarts=0)
    found = trials[0].architecture
    trained = retrain(found, TASK, config.skeleton, recipe, 0, tmp_path / "model", "cpu")
    assert trained.params == trials[0].metrics["params"]
    load_model(tmp_path / "model")


def test_masks_may_be_drawn_each_by_itself() -> None:
    [k_of_n], [each] = (list(search(f"sampling={s}", "trials=1")) for s in ("k_of_n", "bernoulli"))
    assert k_of_n.evaluation.ok
    assert each.evaluation.ok
    assert k_of_n.metrics["val_loss"] != each.metrics["val_loss"]
    assert [len(reads) for reads in each.architecture.code] == [1, 2]  # the largest, all the same


def test_a_training_that_diverges_is_a_failed_trial() -> None:
    trials = list(search("learn.lr=1e30", "floor=-1.0", "trials=1"))
    assert [(t.evaluation.status, t.reward) for t in trials] == [("not finite", -1.0)]
    assert maskconnect.figures(methods.config("maskconnect"), trials) == {}


def test_wrong_settings_are_refused() -> None:
    for setting, message in (
        ("fan_in=0", "fan_in=0 must be at least 1"),
        ("mask_lr=-1", r"mask_lr=-1.0 must be 0 or more"),
        ("trials=0", "trials=0 must be at least 1"),
        ("skeleton.blocks=1", "no module has a choice of what it reads; give more blocks"),
    ):
        with pytest.raises(ValueError, match=message):
            search(setting)
