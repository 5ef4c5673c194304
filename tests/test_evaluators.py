"""Every evaluator through the contract kit, and what is particular to each."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import evaluator_kit
from nascore import tasks
from nascore.evaluators import TableEvaluator, TrainEvaluator
from nascore.evaluators.table import read_table
from nascore.networks import Fit, Recipe
from nascore.spaces import Architecture, BlockSpace, ChoicesSpace, Skeleton
from nascore.trial import Evaluation, Job, Limits

SPACE = BlockSpace()
EMPTY = SPACE.architecture("[(1,7,0,0,0)]")
CONV = SPACE.architecture("[(1,1,3,0,0)]")
RESIDUAL = SPACE.architecture("[(1,4,0,0,0),(2,1,3,1,0),(3,1,3,2,0),(4,5,0,1,3)]")
POOL = SPACE.architecture("[(1,2,3,0,0)]")


def concats(n: int) -> Architecture:
    """Concatenations that double the width at every step but the first."""
    rows = [(1, 6, 0, 0, 0)] if n == 0 else [(1, 1, 1, 0, 0), (2, 6, 0, 0, 1)]
    rows += [(i, 6, 0, i - 2, i - 1) for i in range(3, n + 3)]
    return SPACE.architecture(rows)


@pytest.fixture(scope="module")
def train() -> TrainEvaluator:
    return TrainEvaluator(
        tasks.load("digits", limit_train=512),
        Skeleton(stem_width=6, blocks=1, widths=(8, 12)),
        Recipe(2, 32, "adam", 0.01),
        device="cpu",
    )


@pytest.fixture
def table(tmp_path: Path) -> TableEvaluator:
    lines = ["hash,code,params,macs,density,short_val_0,short_val_1,short_test_0,short_seconds_0"]
    lines += [f'{CONV.hash},"[(1,1,3,0,0)]",100,2000,1.0,0.5,0.75,0.1,3.5']
    lines += [f'{POOL.hash},"[(1,2,3,0,0)]",50,1000,1.0,0.25,0.25,0.9,2.5']
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return TableEvaluator(read_table(tmp_path / "table.csv"))


def one(
    evaluator: TrainEvaluator | TableEvaluator, block: Architecture, **job: float
) -> Evaluation:
    return evaluator.evaluate([Job(0, block, seed=1, **job)])[0]


def test_train_contract(train: TrainEvaluator) -> None:
    conv, residual, empty, wide = evaluator_kit.check(train, [CONV, RESIDUAL, EMPTY, concats(20)])
    for evaluation, block in ((conv, CONV), (residual, RESIDUAL)):
        assert (evaluation.status, evaluation.fidelity) == ("ok", "proxy")
        net = train.skeleton.expand(block, (1, 8, 8), 10)
        assert evaluation.metrics["params"] == net.params
        assert evaluation.metrics["macs"] == net.macs
        assert evaluation.metrics["peak_bytes"] == net.peak_bytes
        assert evaluation.metrics["val_accuracy"] > 0.15
        assert {"val_loss", "epochs", "seconds", "images_per_s"} <= evaluation.metrics.keys()
    assert conv.metrics["density"] == 1
    assert residual.metrics["density"] == 4 / 3
    assert residual.metrics["longest_path"] == 3
    assert (empty.status, empty.message) == ("invalid", "empty block")
    assert wide.status == "too large"
    assert "no side may pass" in wide.message


def test_train_pickles_small_and_shares_the_data(train: TrainEvaluator) -> None:
    one(train, CONV)
    assert len(pickle.dumps(train)) < 2000


@pytest.mark.parametrize("name", ["params", "macs", "peak_bytes"])
def test_a_block_past_a_limit_is_not_built(
    train: TrainEvaluator, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    cost = getattr(train.skeleton.expand(CONV, (1, 8, 8), 10), name)
    assert one(replace(train, limits=Limits(**{name: cost})), CONV).ok
    monkeypatch.setattr("nascore.evaluators.train.build_net", None)
    evaluation = one(replace(train, limits=Limits(**{name: cost - 1})), CONV)
    assert (evaluation.status, evaluation.metrics[name]) == ("too large", cost)
    assert evaluation.message == f"{name}={cost:,} passes the limit {cost - 1:,}"


def test_failures_of_the_training_are_statuses(
    train: TrainEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverging = replace(train, recipe=replace(train.recipe, lr=1e30, restarts=0))
    evaluation = one(diverging, CONV)
    assert (evaluation.status, evaluation.metrics["epochs"]) == ("not finite", 1)
    for evaluation in (
        one(replace(train, time_limit_s=1e-3), CONV),
        one(train, CONV, deadline_s=1e-3),
        one(replace(train, time_limit_s=60.0), CONV, deadline_s=1e-3),
    ):
        assert (evaluation.status, evaluation.message) == ("timed out", "in epoch 1")
    full = Fit("out of memory", "no more", None, None, 0, 0.1, 0.0)
    monkeypatch.setattr("nascore.evaluators.train.fit", lambda *_, **__: full)
    evaluation = one(train, CONV)
    assert (evaluation.status, evaluation.message) == ("out of memory", "no more")
    evaluator_kit.an_evaluation_is_sound(evaluation)


def test_job_seeds_matter(train: TrainEvaluator) -> None:
    jobs = [Job(i, CONV, seed) for i, seed in enumerate((1, 1, 2))]
    losses = [evaluation.metrics["val_loss"] for evaluation in train.evaluate(jobs)]
    assert losses[0] == losses[1] != losses[2]


def test_the_key_names_the_whole_setting(train: TrainEvaluator) -> None:
    same = SPACE.architecture("[(1,1,3,0,0),(2,1,3,1,0),(3,5,0,0,2)]")  # without the identity
    assert train.key(same) == train.key(RESIDUAL)
    changed = [
        replace(train, task=tasks.load("digits", limit_train=511)),
        replace(train, skeleton=Skeleton.small()),
        replace(train, recipe=replace(train.recipe, epochs=5)),
        replace(train, limits=Limits(params=1)),
        replace(train, time_limit_s=1.0),
    ]
    assert len({e.key(CONV) for e in [train, *changed]}) == 1 + len(changed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"skeleton": Skeleton(blocks=1, widths=(4,) * 5)}, "too small for 5 groups"),
        ({"device": "tpu"}, "device 'tpu'"),
    ],
)
def test_a_setting_that_cannot_work_stops_at_once(
    train: TrainEvaluator, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(train, **change)


def test_threads_stay_as_they_were(train: TrainEvaluator) -> None:
    before = torch.get_num_threads()
    one(train, CONV)
    assert torch.get_num_threads() == before


def test_table_contract(table: TableEvaluator) -> None:
    conv, pool, empty = evaluator_kit.check(table, [CONV, POOL, EMPTY])
    assert conv == Evaluation(
        {"params": 100, "macs": 2000, "density": 1, "val_accuracy": 0.625, "seconds": 3.5}, "table"
    )
    assert pool.metrics["val_accuracy"] == 0.25
    assert (empty.status, empty.message) == ("invalid", "empty block")


def test_table_of_one_seed(table: TableEvaluator) -> None:
    second = TableEvaluator(table.table, seed=1)
    assert one(second, CONV).metrics["val_accuracy"] == 0.75
    assert second.key(CONV) != table.key(CONV)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": "long"}, "no column 'long_val_0'; it has params, macs"),
        ({"seed": 2}, "no column 'short_val_2'"),
        ({"table": {}}, "it has no rows"),
    ],
)
def test_a_table_without_the_column(
    table: TableEvaluator, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(table, **change)


def test_an_architecture_that_the_table_lacks(table: TableEvaluator) -> None:
    with pytest.raises(ValueError, match=r"table of 2 architectures lacks .*\(2, 1, 3, 1, 0\)"):
        one(table, RESIDUAL)


def test_a_table_of_choices() -> None:
    space = ChoicesSpace([2, 3])
    choices = space.decode(torch.tensor([[0, 2], [1, 0]], dtype=torch.int16).numpy())
    rows = {a.hash: {"long_val_0": i / 4} for i, a in enumerate(choices)}
    evaluations = evaluator_kit.check(TableEvaluator(rows, "long"), choices)
    assert [e.metrics for e in evaluations] == [{"val_accuracy": 0.0}, {"val_accuracy": 0.25}]


@pytest.mark.parametrize(
    "text",
    ["a,b\n1,2\n", "hash,code,x\nabc,[],many\n", "hash,code,x\nabc,[]\n", "hash,code\nabc,[]\n"],
    ids=["foreign", "not a number", "short row", "no numbers"],
)
def test_a_file_that_is_no_table(tmp_path: Path, text: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(ValueError, match=r"table.csv, row 1: expected a hash, a code and numbers"):
        read_table(tmp_path / "table.csv")
