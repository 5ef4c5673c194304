"""The relaxed block: its probabilities, its gradient, its training, its resumption."""

from __future__ import annotations

import io
import itertools
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import method_kit
from nascore import _core, methods, tasks
from nascore.agents.apprenticeship import MirrorStimuli, counts_of, features, learn
from nascore.agents.differentiable import (
    Differentiable,
    ExpectedTopology,
    _inverse,
    _write,
    chances,
    possible_rows,
)
from nascore.methods import irlas
from nascore.networks.relaxed import ADD, UNARY, Choices, Relaxed, build_relaxed
from nascore.search import Store
from nascore.spaces import BlockSpace, Skeleton
from nascore.spaces.published import EXPERTS
from nascore.trial import Trial

SPACE = BlockSpace(4)
TINY = (
    *("version=differentiable", "max_layers=4", "trials=12", "batch=4", "relaxed.epochs=3"),
    "relaxed.batch=256",
    *("recipe.epochs=1", "skeleton.widths=(4,8)", "skeleton.stem_width=4"),
)


@pytest.fixture(scope="module")
def topology() -> MirrorStimuli:
    return learn(SPACE, EXPERTS["resnet"], 0, 0.5, 0.01, "max_margin")


def relaxed(seed: int, layers: int = 4) -> Relaxed:
    """A block of random choices, in double precision."""
    block = Relaxed(layers).double()
    for i, parameter in enumerate(block.parameters()):
        draws = torch.from_numpy(_core.uniform(seed, 90 + i, 0, parameter.numel()))
        with torch.no_grad():
            parameter.copy_(3 * draws.view_as(parameter) - 1.5)
    return block


def draw(choices: Choices, n: int) -> list[list[tuple[int, ...]]]:
    with torch.no_grad():
        return [_write(choices, _inverse(iter(_core.uniform(7, 89, i << 8, 12)))) for i in range(n)]


def rows_and_chances(choices: Choices) -> tuple[np.ndarray, np.ndarray]:
    return possible_rows(len(choices.end)), chances(choices).detach().numpy()


def test_every_legal_row_has_a_chance_and_no_other() -> None:
    rows, likely = rows_and_chances(relaxed(0)())
    assert len(rows) == len(likely)
    legal = set()
    for index in range(1, 5):
        legal |= {(index, *op, p, 0) for op in UNARY for p in range(index)}
        legal |= {(index, 5, 0, p, q) for p, q in itertools.combinations(range(index), 2)}
        legal |= {(index + 1, 7, 0, 0, 0)}
    assert {tuple(row) for row in rows[likely > 0].tolist()} == legal
    assert (likely >= 0).all()
    assert likely[rows[:, 0] == 1].sum() == pytest.approx(1)
    assert likely[rows[:, 1] == 7].sum() == pytest.approx(1)  # every code ends once


def test_drawn_blocks_have_these_chances() -> None:
    choices = relaxed(1)()
    rows, likely = rows_and_chances(choices)
    n = 2000
    seen = Counter(row for code in draw(choices, n) for row in code)
    for row, chance in zip(rows.tolist(), likely.tolist(), strict=True):
        if row[1] == 7:
            continue
        spread = 5 * np.sqrt(n * chance * (1 - chance)) + 1
        assert abs(seen[tuple(row)] - n * chance) < spread, row


def test_expected_counts_are_the_mean_of_drawn_ones(topology: MirrorStimuli) -> None:
    choices = relaxed(2)()
    drawn = counts_of([SPACE.architecture(code) for code in draw(choices, 2000)], 0.5)
    rows, likely = rows_and_chances(choices)
    weights = likely * 0.5 ** (rows[:, 0] - 1.0)
    assert np.allclose(weights @ features(rows), drawn.mean(0), atol=0.05)
    mean = ((drawn - topology.chance) @ topology.slope).mean()
    expected = ExpectedTopology(topology, 4)(choices)
    assert expected.item() == pytest.approx(mean, abs=0.05)


def test_irlas_8_the_gradient_is_that_of_finite_differences(topology: MirrorStimuli) -> None:
    block, expected = relaxed(3), ExpectedTopology(topology, 4)
    expected(block()).backward()
    step = 1e-6
    for parameter in block.parameters():
        numeric = torch.zeros_like(parameter)
        for place in itertools.product(*map(range, parameter.shape)):
            sides = []
            for sign in (1, -1):
                with torch.no_grad():
                    parameter[place] += sign * step
                    sides.append(expected(block()).item())
                    parameter[place] -= sign * step
            numeric[place] = (sides[0] - sides[1]) / (2 * step)
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, numeric, atol=1e-8)
        assert parameter.grad.abs().max() > 0.01


def test_a_block_that_is_sure_computes_what_it_says() -> None:
    """With all choices made, the relaxed rows are the operations of the code, unread ones out."""
    torch.manual_seed(0)
    network = build_relaxed(3, Skeleton(4, 1, False, 1, (4,)), 1, 2, seed=0).double().eval()
    with torch.no_grad():
        for layer, op in ((0, 1), (1, 7), (2, ADD)):  # conv 3x3, identity, add
            network.choices.ops[layer, op] = 50
        network.choices.preds[1, 1] = 50
        network.choices.preds[2, :2] = 50  # the add reads the input and layer 1
        [block] = network.blocks
        x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
        got = block(x, network.choices())
        start = block.project(x)
        one = block.rows[0][1](start)
        expected = torch.cat([torch.zeros_like(one), one, start + one], 1)
    assert torch.allclose(got, expected, atol=1e-10)


@pytest.mark.parametrize(("op", "module"), list(enumerate(UNARY)))
def test_operations_keep_the_shape(op: int, module: tuple[int, int]) -> None:
    network = build_relaxed(1, Skeleton(4, 1, False, 1, (4,)), 1, 2, seed=0)
    [block] = network.blocks
    assert block.rows[0][op](torch.randn(2, 4, 5, 7)).shape == (2, 4, 5, 7)
    assert SPACE.architecture([(1, *module, 0, 0)]).code[0][1:3] == module


def agent(topology: MirrorStimuli, weight: float = 0.3, seed: int = 0) -> Differentiable:
    config = methods.with_settings(
        methods.config("irlas"), (*TINY, f"topology_weight={100 * weight}", "choices_lr=0.1")
    )
    return irlas.relaxed_agent(tasks.load("digits", limit_train=320), config, topology, seed)


def choices_of(learner: Differentiable) -> Choices:
    with torch.no_grad():
        return Choices(*learner.network.choices())


def test_it_trains_weights_and_choices(topology: MirrorStimuli) -> None:
    learner = agent(topology)
    before = {name: value.clone() for name, value in learner.network.state_dict().items()}
    learner.ask(4)
    after = learner.network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"choices.ops", "choices.preds", "head.2.weight", "blocks.1.rows.0.1.1.weight"} <= moved


def test_the_weight_of_topology_draws_the_choices(topology: MirrorStimuli) -> None:
    reached = []
    for weight in (0.0, 10.0):
        learner = agent(topology, weight)
        learner.ask(12)
        reached.append(float(learner.topology(choices_of(learner))))
    assert reached[1] > reached[0] + 0.1


def test_its_state_survives_a_file(topology: MirrorStimuli) -> None:
    learner = agent(topology)
    learner.ask(4)
    file = io.BytesIO()
    torch.save(learner.state_dict(), file)
    file.seek(0)
    other = agent(topology, seed=1)
    other.seed = learner.seed
    other.load_state_dict(torch.load(file, weights_only=True))
    assert learner.ask(4) == other.ask(4)
    assert all(map(torch.equal, choices_of(learner), choices_of(other)))


def test_a_training_that_diverges_says_so(topology: MirrorStimuli) -> None:
    learner = agent(topology)
    with torch.no_grad():
        learner.network.head[2].bias.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"loss is nan in epoch 1; lower the learning rate"):
        learner.ask(4)


def search(*, free: bool) -> Any:
    return method_kit.search("irlas", TINY, seed=2, free=free)


def test_a_search_measures_what_it_proposes() -> None:
    trials = list(islice(search(free=False), 4))
    assert any(trial.evaluation.ok for trial in trials)
    assert all(trial.evaluation.fidelity == "proxy" for trial in trials)


def test_a_killed_search_goes_on_exactly_and_trains_little_again(tmp_path: Path) -> None:
    whole = list(search(free=True))
    assert len(whole) == 12
    results: list[Trial] = []

    def kill(trial: Trial) -> None:
        results.append(trial)
        if len(results) == 6:  # in the middle of the second batch
            raise KeyboardInterrupt

    built = search(free=True)
    with Store.create(tmp_path, built.meta) as store, pytest.raises(KeyboardInterrupt):
        list(built.run(store, on_result=kill))
    built = search(free=True)
    trained = count_epochs(built.stages[0].agent)
    with Store.open(tmp_path, write=True) as store:
        list(built.run(store))
        assert store.trials() == whole
    assert trained == [2, 3]  # the first of the three epochs was kept


def count_epochs(learner: Differentiable) -> list[int]:
    done: list[int] = []
    train = learner._train_epoch

    def counted() -> None:
        train()
        done.append(learner._epoch)

    learner._train_epoch = counted  # type: ignore[method-assign]
    return done
