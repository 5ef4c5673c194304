"""What each method draws of a run of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import method_kit
from nascore import methods, report
from nascore.agents.policy_gradient import PolicyGradient
from nascore.methods import _pictures, alphax, blockqnn, nasnet
from nascore.results import svg
from nascore.results.tree_pictures import most_visited, places
from nascore.results.trial_pictures import rank_correlation, running_mean
from nascore.search import Store, restore

TRIALS = 40
# What a report of each method must show.
SHOWN = {
    "alphax": {"tree"},
    "blockqnn": {"q-values", "q-growth"},
    "evolution": set(),
    "faster_blockqnn": {"q-values"},
    "ghn": {"ranking"},
    "irlas": {"expert", "q-values", "q-growth"},
    "maskconnect": {"masks"},
    "metaqnn": {"q-values", "q-growth"},
    "n2n": {"students", "compression", "widths"},
    "nas_rl": {"probabilities", "entropy"},
    "nasnet": {"probabilities", "entropy"},
    "random": set(),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Store]]:
    """A whole run of every method; what a method trains of its own is tiny."""
    folder, stores = tmp_path_factory.mktemp("runs"), {}
    for name in methods.names():
        settings = method_kit.toy(name, TRIALS)
        if name in ("ghn", "faster_blockqnn"):  # whose last stage measures what was foreseen
            settings = method_kit.tiny(name, method_kit.spaces(name)[0])
        if name == "faster_blockqnn":
            settings = [*settings, "trials=16", "warm_up=4", "refit_every=4", "share=0.5"]
        free = name not in ("ghn", "faster_blockqnn")
        built = method_kit.search(name, settings, free=free)
        stores[name] = Store.create(folder / name, built.meta)
        list(built.run(stores[name]))
    yield stores
    for store in stores.values():
        store.close()


def config_of(store: Store) -> Any:
    return methods.config_from_json(store.meta["method"], store.meta["config"])


@pytest.mark.parametrize("name", methods.names())
def test_every_picture_draws(name: str, runs: dict[str, Store], tmp_path: Path) -> None:
    store = runs[name]
    drawn = methods.pictures(name, config_of(store), store)
    assert {picture.name for picture in drawn} >= SHOWN[name]
    for picture in drawn:
        assert picture.title
        assert picture.caption.endswith(".")
        svg.save(picture, tmp_path)
        assert (tmp_path / f"{picture.name}.png").stat().st_size > 1000
        text = svg.svg(picture)
        assert text.startswith("<svg")
        assert "nan" not in text.partition("<defs>")[0]


@pytest.mark.parametrize("name", methods.names())
def test_pictures_of_a_run_that_has_just_begun(name: str, tmp_path: Path) -> None:
    settings = method_kit.toy(name, TRIALS)
    if name == "ghn":  # which trains a hypernetwork before its first trial
        return
    built = method_kit.search(name, settings)
    with Store.create(tmp_path / "run", built.meta) as store:
        config = config_of(store)
        assert methods.pictures(name, config, store) == []
        for _ in islice(built.run(store), 1):
            pass
        for picture in methods.pictures(name, config, store):
            svg.svg(picture)


def test_the_tree_that_is_drawn_is_the_searchs(runs: dict[str, Store]) -> None:
    store = runs["alphax"]
    config = config_of(store)
    space = _pictures.space_of(config.problem, store)
    learner = alphax.agent(config, space, 0)
    restore(learner, store)
    _, _, action, children, first, visits, total, *_ = learner.tree.state()
    whole = [table.astype(np.int64) for table in (action, children, first, visits)]
    action, children, first, visits = whole
    nodes = most_visited(action, children, first, visits, total, 6)
    assert len(nodes.number) == 6
    assert len(set(nodes.number.tolist())) == 6
    assert (nodes.visits == visits[nodes.number]).all()
    assert nodes.value == pytest.approx(total[nodes.number] / nodes.visits)
    for i, parent in enumerate(nodes.parent.tolist()):
        if i:
            above = nodes.number[parent]
            assert first[above] <= nodes.number[i] < first[above] + children[above]
            assert nodes.depth[i] == nodes.depth[parent] + 1
            assert nodes.visits[i] <= nodes.visits[parent]
    left_out = set(range(len(visits))) - set(nodes.number.tolist())
    drawn = set(nodes.number.tolist())
    parents = {
        child: node for node in drawn for child in range(first[node], first[node] + children[node])
    }
    least = min(nodes.visits)
    assert all(visits[child] <= least for child in left_out & parents.keys())
    across = places(nodes)
    for depth in set(nodes.depth.tolist()):
        here = across[nodes.depth == depth]
        assert len(np.unique(here)) == len(here)  # no node hides another


@pytest.mark.parametrize("name", ["alphax", "faster_blockqnn"])
def test_what_was_predicted_is_drawn_against_what_was_measured(
    name: str, runs: dict[str, Store], tmp_path: Path
) -> None:
    """Once, in a column of its own, and only where it was said before the measurement."""
    store = runs[name]
    trials = store.trials()
    said = [t for t in trials if t.proposal.prediction is not None]
    assert said
    assert all(0 <= t.proposal.prediction <= 1 for t in said)
    for trial in trials:
        assert trial.metrics.get("predicted_accuracy") == trial.proposal.prediction
    figures = methods.figures(name, config_of(store), trials)
    assert figures["predicted trials"] == len([t for t in said if t.evaluation.ok])
    assert -1 <= figures["Kendall's tau of predictions"] <= 1
    report.write(store, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert html.count(">Predicted against measured<") == 1


def test_what_generated_weights_reach_is_drawn_once_against_what_was_measured(
    runs: dict[str, Store], tmp_path: Path
) -> None:
    report.write(runs["ghn"], tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert html.count(">Predicted against measured<") == 1
    assert html.lower().count("against measured<") == 1


def test_q_values_are_those_of_the_agent(runs: dict[str, Store]) -> None:
    store = runs["blockqnn"]
    config = config_of(store)
    space = _pictures.space_of(config, store)
    learner = blockqnn.agent(config, space, 0)
    restore(learner, store)
    greedy = _pictures.greedy_way(space, learner.table, config.initial_q)
    state = space.start(1)
    for row, chosen, action in zip(greedy.values, greedy.best, greedy.actions, strict=True):
        values = learner.table.values(space.observe(state))[0]
        tried = space.legal(state)[0] & (values != config.initial_q)
        assert values[action] == values[tried].max() == row[int(chosen)] == np.nanmax(row)
        state = space.step(state, np.array([action], np.int32))
    again = blockqnn.agent(config, space, 0)
    growth = _pictures.grown(again, store, config.initial_q)
    assert growth.told[-1] == len(store.trials())
    assert (np.diff(growth.told) > 0).all()
    assert learner.epsilon == growth.epsilon[-1]
    assert growth.epsilon[0] >= growth.epsilon[-1]


def test_probabilities_are_those_of_the_controller(runs: dict[str, Store]) -> None:
    store = runs["nasnet"]
    config = config_of(store)
    space = _pictures.space_of(config, store)
    found = _pictures.probabilities(nasnet.agent(config, space, 0), store, config)
    assert found.told[-1] == len(store.trials())
    for values, labels in found.panels.values():
        assert values.shape == (len(found.told), len(labels))
        assert values.sum(1) == pytest.approx(np.ones(len(values)), abs=1e-5)
    for values in found.entropies.values():
        assert ((values >= 0) & (values <= 1 + 1e-6)).all()
    learner: PolicyGradient = nasnet.agent(config, space, 0)
    restore(learner, store)
    recent = [trial.proposal.actions for trial in store.trials()][-_pictures.RECENT :]
    log_probs, decisions, real = _pictures.wants(learner, recent)
    name, (values, labels) = next(iter(found.panels.items()))
    head = _pictures._panels(space, config)[0][name][0]
    chosen = np.exp(log_probs)[real & np.isin(decisions.head.numpy(), head)]
    assert values[-1] == pytest.approx(chosen[:, : len(labels)].mean(0), abs=1e-6)


def test_running_mean_and_rank_correlation() -> None:
    values = np.array([1.0, np.nan, 3.0, 5.0, 7.0])
    assert running_mean(values, 2).tolist() == [1, 1, 3, 4, 6]
    assert np.isnan(running_mean(np.array([np.nan, 1.0]), 3)[0])
    assert rank_correlation(np.arange(4.0), np.arange(4.0) ** 2) == 1
    assert np.isnan(rank_correlation(np.ones(3), np.arange(3.0)))
