"""Which trained weights a run keeps, and who starts from them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import cli_kit
from nascore import methods, tasks
from nascore.agents.alphax_settings import AlphaXConfig
from nascore.agents.mcts import AlphaX
from nascore.search import AskTell, Pool, RunError, Search, Store
from nascore.spaces import BlockSpace, ChoicesSpace
from nascore.trial import Evaluation, Proposal, Trial, WeightsRef
from test_loop import Cut, CutStore, Uneven
from toys import ToyAgent, ToyEvaluator, accuracy, toy_search


def in_folder(run: Path) -> list[str]:
    return sorted(file.name for file in (run / "weights").iterdir())


def best(trials: list[Trial], keep: int) -> list[str]:
    own = [t for t in trials if t.repeat_of is None]
    return sorted(
        t.evaluation.weights for t in sorted(own, key=lambda t: (-t.reward, t.number))[:keep]
    )


def test_the_best_few_stay(tmp_path: Path) -> None:
    search = toy_search(40, batch=2, keep_weights=3)
    told: list[Trial] = []
    with Store.create(tmp_path / "run", search.meta) as store:
        for trial in search.run(store):
            told.append(trial)
            if len(told) % 2 == 0:  # whole groups are told
                assert in_folder(tmp_path / "run") == best(told, 3)
    assert sum(trial.proposal.init_from is not None for trial in told) > 30


def test_what_is_to_be_read_stays_until_then(tmp_path: Path) -> None:
    search = toy_search(40, batch=2, in_flight=8, keep_weights=1)
    starts: list[int] = []
    with Store.create(tmp_path / "run", search.meta) as store:
        for trial in search.run(store):  # the evaluator would raise
            starts.append(trial.proposal.init_from)
            evaluations = (
                store.evaluation(p.proposal.init_from)
                for p in store.pending(0)
                if p.proposal.init_from is not None
            )
            assert {e.weights for e in evaluations} <= set(in_folder(tmp_path / "run"))
        assert in_folder(tmp_path / "run") == best(store.trials(), 1)
    assert len(set(starts)) > 2


@pytest.mark.parametrize("order", ["fixed", "arrival"])
def test_many_workers_find_what_they_start_from(order: Any, tmp_path: Path) -> None:
    search = toy_search(60, Uneven(), batch=2, in_flight=8, keep_weights=2)
    with (
        ThreadPoolExecutor(4) as executor,
        Store.create(tmp_path / "run", search.meta) as store,
    ):
        history = list(search.run(store, Pool(executor, 4), order=order))
    assert len(history) == 60
    assert sum(trial.proposal.init_from is not None for trial in history) > 40
    assert in_folder(tmp_path / "run") == best(history, 2)
    if order == "fixed":
        assert history == list(search)


def test_a_search_without_weights_leaves_none(tmp_path: Path) -> None:
    search = toy_search(4)
    with Store.create(tmp_path / "run", search.meta) as store:
        assert all(trial.evaluation.weights is None for trial in search.run(store))
    assert not list((tmp_path / "run" / "weights").iterdir())


def test_a_search_in_memory_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    search = toy_search(20, keep_weights=2)
    running = search.run()
    history = [next(running)]
    assert len(list(tmp_path.iterdir())) == 1
    history += running
    assert list(tmp_path.iterdir()) == []
    assert list(search) == history
    assert history != list(toy_search(20))


@pytest.mark.parametrize("shape", [{"batch": 1}, {"batch": 2, "in_flight": 4}])
def test_no_cut_changes_the_history(shape: dict[str, int], tmp_path: Path) -> None:
    """The process ends after its n-th transaction, for every n, and leaves a torn file."""
    settings = {**shape, "keep_weights": 2, "snapshot_every": 4}
    unbroken = list(toy_search(9, **settings))
    assert any(trial.proposal.init_from is not None for trial in unbroken)
    for cut in range(1, 60):
        run = tmp_path / str(cut)
        with CutStore.create(run, toy_search(9, **settings).meta) as store:
            store.left = cut
            try:
                list(toy_search(9, **settings).run(store))
                break
            except Cut:
                pass
        (run / "weights" / "torn.partial").touch()
        with Store.open(run, write=True) as store:
            list(toy_search(9, **settings).run(store))
            assert store.trials() == unbroken
        assert in_folder(run) == best(unbroken, 2)
    assert cut > 6


def test_a_repeat_has_the_same_start(tmp_path: Path) -> None:
    history = list(toy_search(150, batch=2, keep_weights=1))
    first: dict[tuple[str, WeightsRef | None], Trial] = {}
    for trial in history:
        start = trial.proposal.init_from
        ref = None if start is None else history[start].evaluation.weights
        earlier = first.setdefault((trial.architecture.hash, ref), trial)
        assert trial.repeat_of == (None if earlier is trial else earlier.number)
        assert trial.evaluation == earlier.evaluation
    architectures = {architecture for architecture, _ in first}
    assert len(architectures) < len(first) < len(history)


def test_a_start_that_there_is_not_is_refused(tmp_path: Path) -> None:
    class Wrong(ToyAgent):
        def ask(self, n: int) -> list[Proposal]:
            return [replace(p, init_from=0 if self.asked > 1 else None) for p in super().ask(n)]

    stage = AskTell(Wrong(0), ToyEvaluator(), accuracy, 4)
    with pytest.raises(ValueError, match="wants the weights of trial 0, which left none"):
        list(Search("toy", {"trials": 4}, "toy", 0, [stage]))
    with pytest.raises(ValueError, match="keep_weights=-1"):
        AskTell(Wrong(0), ToyEvaluator(), accuracy, 4, keep_weights=-1)


def test_a_run_behind_a_url_has_no_place_for_weights(tmp_path: Path) -> None:
    search = toy_search(4, keep_weights=2)
    with (
        Store.create(f"sqlite:///{tmp_path / 'team.db'}", search.meta) as store,
        pytest.raises(RunError, match="keeps files, so it needs a folder"),
    ):
        list(search.run(store))


def test_a_start_survives_json() -> None:
    block = BlockSpace().architecture("[(1,1,3,0,0),(2,1,5,1,0)]")
    proposal = Proposal(block, (1, 2), init_from=7)
    text = json.dumps(proposal.to_json())
    assert Proposal.from_json(json.loads(text)) == proposal
    old = {name: value for name, value in json.loads(text).items() if name != "init_from"}
    assert Proposal.from_json(old).init_from is None


# AlphaX.

TINY = (
    "block.max_layers=3",
    "block.recipe.epochs=2",
    "block.skeleton.widths=(8,8)",
    "trials=16",
    "batch=4",
    "agent.relatives=4",
)


def alphax(*settings: str, seed: int = 0) -> Search:
    config = methods.with_settings(methods.config("alphax", "small"), [*TINY, *settings])
    return methods.build("alphax", tasks.load("digits", limit_train=128), config, seed)


def test_alphax_inherits_and_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    unbroken = list(alphax())
    children = [t for t in unbroken if t.proposal.init_from is not None and t.evaluation.ok]
    assert children
    assert all("inherited" in trial.metrics for trial in children)
    run = tmp_path / "run"
    with Store.create(run, alphax().meta) as store:
        list(islice(alphax().run(store), 10))
    with Store.open(run, write=True) as store:
        list(alphax().run(store))
        assert cli_kit.history(store.trials()) == cli_kit.history(unbroken)
    assert in_folder(run) == best([t for t in unbroken if t.evaluation.ok], 4)


def test_alphax_inherits_nothing_where_it_was_not_asked_to(tmp_path: Path) -> None:
    search = alphax("agent.relatives=0", "trials=8")
    with Store.create(tmp_path / "run", search.meta) as store:
        assert all(trial.proposal.init_from is None for trial in search.run(store))
    assert not list((tmp_path / "run" / "weights").iterdir())


def test_a_full_disk_ends_the_run_and_loses_nothing(tmp_path: Path) -> None:
    """In a process of its own, whose files may not grow past 100 kB: the weights are larger."""
    run = tmp_path / "run"
    result = cli_kit.with_little_disk("test_kept_weights", "fill", run)
    assert f"RunError: disk full while writing {run}: free space and run" in result.stderr
    with Store.open(run, write=True) as store:
        assert len(store.trials()) < 6
        assert set(in_folder(run)) <= {t.evaluation.weights for t in store.evaluated()}
        list(large().run(store))
        assert cli_kit.history(store.trials()) == cli_kit.history(list(large()))


def large() -> Search:
    return alphax(
        "block.skeleton.widths=(64,64)", "block.recipe.epochs=1", "trials=4", "batch=2", seed=2
    )


def fill(run: str) -> None:
    search = large()
    with Store.create(run, search.meta) as store:
        list(search.run(store))


def test_the_nearest_relative_is_chosen() -> None:
    space = ChoicesSpace((9,) * 6)
    agent = AlphaX(space, 0, AlphaXConfig(members=0, relatives=3))
    codes = [(1, 2, 3, 4, 5, 6), (1, 2, 3, 0, 0, 0), (1, 2, 3, 4, 0, 0), (1, 2, 0, 0, 0, 0)]
    for number, code in enumerate(codes):
        proposal = Proposal(space.architecture(code), code)
        evaluation = Evaluation({}, "table", weights=WeightsRef(f"{number}"))
        agent.tell([Trial(number, proposal, evaluation, 10.0 - number)])
    for code, start in (
        ((1, 2, 3, 4, 5, 0), 0),
        ((1, 2, 3, 4, 8, 8), 2),  # the latest of equals
        ((1, 2, 3, 8, 8, 8), 2),
        ((1, 2, 0, 0, 0, 0), 2),  # the fourth is not among the best
        ((8, 2, 3, 4, 5, 6), None),
    ):
        assert agent._relative(code) == start
    agent.tell([Trial(9, Proposal(space.architecture(codes[0]), codes[0]), evaluation, 99.0, 0)])
    assert agent._relative(codes[0]) == 0  # a repeat left nothing of its own
    with pytest.raises(ValueError, match="relatives=-1"):
        AlphaXConfig(relatives=-1)
