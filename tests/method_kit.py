"""The contract of a method. `check(name)` runs all of it but the golden run.

A golden run is 200 trials of a method with an evaluator that costs nothing, as kept in
`tests/golden/NAME.json`. After a change that is meant to change what a method proposes, run
`python tests/method_kit.py`, which writes these files anew, and say why in the commit.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import typing
from collections.abc import Iterable, Sequence
from dataclasses import FrozenInstanceError, asdict, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from nascore import methods, tasks
from nascore.search import Search, Store
from nascore.trial import Trial
from toys import ToyEvaluator

# For each space, settings of networks that train in a moment, and of a search without training.
TINY = {
    "anytime": ("nodes=(2,1,1)", "recipe.epochs=1", "skeleton.widths=(4,4,8)"),
    "block": (
        "max_layers=3",
        "recipe.epochs=1",
        "skeleton.widths=(8,8)",
        "skeleton.stem_width=8",
    ),
    "dag": (
        "max_nodes=4",
        "recipe.epochs=1",
        "skeleton.widths=(8,8)",
        "skeleton.stem_width=8",
    ),
    "connection": (
        "recipe.epochs=1",
        "skeleton.widths=(8,)",
        "skeleton.stem_width=8",
    ),
    "layer": ("max_layers=3", "recipe.epochs=2", "widths=(4,8)", "dense=(16,)"),
    "cell": ("blocks=1", "recipe.epochs=1", "skeleton.filters=2", "skeleton.stem_width=4"),
    "skip": ("depths=(2,3)", "filters=(4,8)", "recipe.epochs=2", "recipe.lr=0.05"),
    "net": ("blocks=(1,2)", "widths=(4,8)"),
}
TOY = {
    "anytime": ("nodes=(2,2,1)",),
    "block": ("max_layers=4",),
    "cell": ("blocks=2",),
    "connection": (),
    "dag": ("max_nodes=5",),
    "layer": ("max_layers=4",),
    "skip": ("depths=(3,4)",),
    "net": ("blocks=(1,1)", "widths=(4,8)"),
}
PREFIX = {
    "anytime": "[0,1,1]",
    "block": "[(1,2,3,0,0),(2,1,1,1,0)]",
    "cell": "max3(0)+id(1)",
    "connection": "[0]",
    "dag": "[3]",
    "layer": "C(16,3),P(2,2)",
    "skip": "[0,2]",
}
# Of the methods that have but one, where it is not blocks.
SPACE = {
    "maskconnect": "connection",
    "metaqnn": "layer",
    "nasnet": "cell",
    "nas_rl": "skip",
    "n2n": "net",
}
# Of the methods that have no evaluator but a stage that trains: settings that do so in a moment.
OWN = {
    "maskconnect": (
        "trials=2",
        "learn.epochs=2",
        "tune.epochs=1",
        "skeleton.kind=resnet",
        "skeleton.blocks=3",
        "skeleton.widths=(4,)",
        "skeleton.stem_width=4",
    ),
}
# What makes a search tiny besides, by method.
QUICK = {
    "faster_blockqnn": (
        "warm_up=2",
        "refit_every=20",
        "share=0.2",
        "predictor.hidden=8",
        "predictor.epochs=5",
        "top=2",
        "top_recipe.epochs=2",
    ),
    "ghn": (
        *("dag.nodes=4", "train_nodes=3", "training.epochs=1", "training.batch=512", "top=2"),
        *("design.width=8", "design.passes=1", "design.channels=16"),
    ),
    "n2n": (
        "units=4",
        "teacher_recipe.epochs=2",
        "teacher_recipe.batch=128",
        "recipe.epochs=1",
        "final.epochs=2",
        "students=2",
    ),
}
GOLDEN = Path(__file__).parent / "golden"


def check(name: str) -> None:
    its_description_is_one_line(name)
    configs_are_frozen_and_survive_json(name)
    for space in spaces(name):
        a_search_trains_networks(name, space)
    a_seed_fixes_the_history(name)
    a_stopped_run_goes_on_as_if_it_had_not(name)
    a_tree_may_begin_at_a_prefix(name)


def search(
    name: str,
    settings: Sequence[str],
    seed: int = 0,
    *,
    prefix: str | None = None,
    free: bool = True,
) -> Search:
    """The small search with other settings; a free one has an evaluator that costs nothing."""
    config = methods.with_settings(methods.config(name, "small"), settings)
    if prefix is not None:
        config = methods.with_prefix(name, config, prefix)
    built = methods.build(name, tasks.load("digits"), config, seed)
    for stage in built.stages if free else ():
        if hasattr(stage, "evaluator"):
            stage.evaluator = ToyEvaluator()
    return built


def spaces(name: str) -> Sequence[str]:
    """Those that the method searches, the one that it begins with first."""
    if name in SPACE:
        return [SPACE[name]]
    kind = typing.get_type_hints(type(methods.config(name))).get("space")
    return typing.get_args(kind) or ["block"]


def fitted(name: str, space: str, settings: Sequence[str], *more: str) -> Sequence[str]:
    """A space's settings as the method takes them: in a group where it has several spaces."""
    if len(spaces(name)) == 1:
        return (*settings, *more)
    return (f"space={space}", *(f"{space}.{setting}" for setting in settings), *more)


def tiny(name: str, space: str) -> Sequence[str]:
    """Settings for 4 trials that train networks in a moment."""
    if name in OWN:
        return OWN[name]
    return fitted(name, space, TINY[space], "batch=4", "trials=4", *QUICK.get(name, ()))


def toy(name: str, trials: int) -> Sequence[str]:
    """Settings for a search that costs nothing, or for those of `OWN` little."""
    if name in OWN:
        return OWN[name]
    space = spaces(name)[0]
    return fitted(name, space, TOY[space], f"trials={trials}", *QUICK.get(name, ()))


def its_description_is_one_line(name: str) -> None:
    text = methods.describe(name)
    assert text[0].isupper()
    assert text.endswith(".")


def configs_are_frozen_and_survive_json(name: str) -> None:
    paper, small = (methods.config(name, preset) for preset in ("paper", "small"))
    assert type(paper) is type(small)
    assert paper != small
    assert methods.config(name) == small
    tinies = [methods.with_settings(small, tiny(name, space)) for space in spaces(name)]
    for config in (paper, small, *tinies):
        with pytest.raises(FrozenInstanceError):
            setattr(config, fields(config)[0].name, None)
        kept = json.loads(json.dumps(asdict(config), allow_nan=False))
        assert methods.config_from_json(name, kept) == config
    with pytest.raises(ValueError, match="unknown key 'sorcery'"):
        methods.config_from_json(name, {"sorcery": 1})


def a_search_trains_networks(name: str, space: str) -> None:
    built = search(name, tiny(name, space), seed=3, free=False)
    assert (built.method, built.task, built.seed) == (name, "digits", 3)
    config = methods.with_settings(methods.config(name, "small"), tiny(name, space))
    assert methods.config_from_json(name, built.meta["config"]) == config
    trials = list(built)
    assert [trial.number for trial in trials] == list(range(built.trials))
    good = [trial for trial in trials if trial.evaluation.ok]
    assert good
    assert all(0 < trial.evaluation.accuracy <= 1 for trial in good)


def a_seed_fixes_the_history(name: str) -> None:
    built = search(name, toy(name, 40), seed=3)
    trials = timeless(built)
    assert timeless(built) == timeless(search(name, toy(name, 40), seed=3)) == trials
    assert timeless(search(name, toy(name, 40), seed=4)) != trials


def a_stopped_run_goes_on_as_if_it_had_not(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with Store.create(folder, search(name, toy(name, 40)).meta) as store:
            stopped = search(name, toy(name, 40))
            before = list(islice(stopped.run(store), min(12, stopped.trials - 1)))
        with Store.open(folder, write=True) as store:
            after = list(search(name, toy(name, 40)).run(store))
            everything = store.trials()
    assert before
    assert after
    assert timeless(everything) == timeless(search(name, toy(name, 40)))


def timeless(trials: Iterable[Trial]) -> list[Trial]:
    """Trials without what the clock said."""
    clock = {"seconds", "images_per_s"}

    def without(trial: Trial) -> Trial:
        metrics = {name: value for name, value in trial.metrics.items() if name not in clock}
        return replace(trial, evaluation=replace(trial.evaluation, metrics=metrics))

    return [without(trial) for trial in trials]


def a_tree_may_begin_at_a_prefix(name: str) -> None:
    if not hasattr(methods.config(name), "prefix"):
        with pytest.raises(ValueError, match=f"{name} grows no tree.*these do: alphax"):
            search(name, (), prefix=PREFIX["block"])
        return
    for space in spaces(name):
        settings = fitted(name, space, TOY[space], "trials=16")
        built = search(name, settings, prefix=PREFIX[space])
        assert methods.config_from_json(name, built.meta["config"]).prefix == PREFIX[space]
        begins = built.stages[0].agent.space.prefix(PREFIX[space])
        proposals = [trial.proposal for trial in built]
        assert all(proposal.actions[: len(begins)] == begins for proposal in proposals)
        found = {proposal.architecture for proposal in proposals}
        assert len(found) > 8
        for wrong in ("nonsense", next(iter(found)).text):
            with pytest.raises(ValueError, match=r"^prefix '.*': "):
                search(name, settings, prefix=wrong)


def golden() -> list[str]:
    """The methods that have a golden run: what trainings find depends on how a processor rounds."""
    return [name for name in methods.names() if name not in OWN]


def golden_run(name: str) -> list[dict[str, Any]]:
    """What a method proposes and gets, 20 trials a row."""
    trials = list(search(name, toy(name, 200), seed=1))
    return [_digest(trials[first : first + 20]) for first in range(0, len(trials), 20)]


def _digest(trials: Sequence[Trial]) -> dict[str, Any]:
    codes = "\n".join(trial.architecture.text for trial in trials)
    return {
        "first_code": trials[0].architecture.text,
        "codes": hashlib.blake2b(codes.encode(), digest_size=8).hexdigest(),
        "mean_reward": round(sum(trial.reward for trial in trials) / len(trials), 6),
    }


if __name__ == "__main__":
    for method in golden():
        text = json.dumps(golden_run(method), indent=1)
        (GOLDEN / f"{method}.json").write_text(f"{text}\n", encoding="utf-8")
