"""The contract of a method. `check(name)` runs all of it but the golden run.

A golden run is 200 trials of a method with an evaluator that costs nothing, as kept in
`tests/golden/NAME.json`. After a change that is meant to change what a method proposes, run
`python tests/method_kit.py`, which writes these files anew, and say why in the commit.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, asdict, fields
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from cli_kit import SETTINGS
from nascore import methods, tasks
from nascore.search import Search, Store
from nascore.trial import Trial
from toys import ToyEvaluator

LAYERS = ("max_layers=3", "batch=4", "recipe.epochs=2", "widths=(4,8)", "dense=(16,)")
TINY = {"metaqnn": (*LAYERS, "trials=4")}
TOY = ("max_layers=4", "trials=40")
GOLDEN = Path(__file__).parent / "golden"
GOLDEN_SETTINGS = ("max_layers=4", "trials=200")


def check(name: str) -> None:
    its_description_is_one_line(name)
    configs_are_frozen_and_survive_json(name)
    a_search_trains_networks(name)
    a_seed_fixes_the_history(name)
    a_stopped_run_goes_on_as_if_it_had_not(name)


def search(name: str, settings: Sequence[str], seed: int = 0, *, toy: bool = True) -> Search:
    """The small search with other settings; a toy one has an evaluator that costs nothing."""
    config = methods.with_settings(methods.config(name, "small"), settings)
    built = methods.build(name, tasks.load("digits"), config, seed)
    for stage in built.stages if toy else ():
        stage.evaluator = ToyEvaluator()
    return built


def tiny(name: str) -> Sequence[str]:
    """Settings for 4 trials that train networks in a moment."""
    return TINY.get(name, (*SETTINGS, "trials=4"))


def its_description_is_one_line(name: str) -> None:
    text = methods.describe(name)
    assert text[0].isupper()
    assert text.endswith(".")


def configs_are_frozen_and_survive_json(name: str) -> None:
    paper, small = (methods.config(name, preset) for preset in ("paper", "small"))
    assert type(paper) is type(small)
    assert paper != small
    assert methods.config(name) == small
    for config in (paper, small, methods.with_settings(small, tiny(name))):
        with pytest.raises(FrozenInstanceError):
            setattr(config, fields(config)[0].name, None)
        kept = json.loads(json.dumps(asdict(config), allow_nan=False))
        assert methods.config_from_json(name, kept) == config
    with pytest.raises(ValueError, match="unknown key 'sorcery'"):
        methods.config_from_json(name, {"sorcery": 1})


def a_search_trains_networks(name: str) -> None:
    built = search(name, tiny(name), seed=3, toy=False)
    assert (built.method, built.task, built.seed) == (name, "digits", 3)
    config = methods.with_settings(methods.config(name, "small"), tiny(name))
    assert methods.config_from_json(name, built.meta["config"]) == config
    trials = list(built)
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    good = [trial for trial in trials if trial.evaluation.ok]
    assert good
    assert all(0 < trial.metrics["val_accuracy"] <= 1 for trial in good)


def a_seed_fixes_the_history(name: str) -> None:
    built = search(name, TOY, seed=3)
    trials = list(built)
    assert list(built) == list(search(name, TOY, seed=3)) == trials
    assert list(search(name, TOY, seed=4)) != trials


def a_stopped_run_goes_on_as_if_it_had_not(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with Store.create(folder, search(name, TOY).meta) as store:
            before = list(islice(search(name, TOY).run(store), 12))
        with Store.open(folder, write=True) as store:
            after = list(search(name, TOY).run(store))
            everything = store.trials()
    assert before
    assert after
    assert everything == list(search(name, TOY))


def golden_run(name: str) -> list[dict[str, Any]]:
    """What a method proposes and gets, 20 trials a row."""
    trials = list(search(name, GOLDEN_SETTINGS, seed=1))
    return [_digest(trials[first : first + 20]) for first in range(0, len(trials), 20)]


def _digest(trials: Sequence[Trial]) -> dict[str, Any]:
    codes = "\n".join(trial.architecture.text for trial in trials)
    return {
        "first_code": trials[0].architecture.text,
        "codes": hashlib.blake2b(codes.encode(), digest_size=8).hexdigest(),
        "mean_reward": round(sum(trial.reward for trial in trials) / len(trials), 6),
    }


if __name__ == "__main__":
    for method in methods.names():
        text = json.dumps(golden_run(method), indent=1)
        (GOLDEN / f"{method}.json").write_text(f"{text}\n", encoding="utf-8")
