"""The LSTM that predicts a block's accuracy from its code."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from nascore.agents.random import Random
from nascore.spaces import Architecture, BlockSpace
from nascore.surrogates.canonical import canonical_rows
from nascore.surrogates.peephole import Peephole

SPACE = BlockSpace(6)


def peephole(seed: int = 0, **changes: Any) -> Peephole:
    settings: dict[str, Any] = {
        "embedding": 8,
        "hidden": 16,
        "members": 2,
        "steps": 20,
        "batch": 32,
        "lr": 1e-2,
        "weight_decay": 0.0,
    }
    return Peephole(6, seed, **{**settings, **changes})


def planted(n: int, seed: int) -> tuple[list[Architecture], list[list[float]], list[float]]:
    """Blocks, their numbers, and accuracies by the 3x3 convolutions and the epochs."""
    blocks = [proposal.architecture for proposal in Random(SPACE, seed).ask(n)]
    epochs = [6.0 if i % 2 else 12.0 for i in range(n)]
    numbers = [[e, 1e4, 1e6] for e in epochs]
    convs = [sum(row[1] == 1 and row[2] == 3 for row in block.code) for block in blocks]
    accuracies = [0.2 + 0.15 * min(c, 3) + 0.02 * e for c, e in zip(convs, epochs, strict=True)]
    return blocks, numbers, accuracies


def test_it_learns_from_codes_and_epochs() -> None:
    model = peephole(steps=200)
    model.fit(*planted(150, 1))
    blocks, numbers, truth = planted(150, 2)
    mean, std = model.predict(blocks, numbers)
    assert mean.shape == std.shape == (150,)
    assert (std > 0).all()
    assert ((mean - truth) ** 2).mean() < 0.3 * np.var(truth)
    longer, _ = model.predict(blocks, [[12.0, 1e4, 1e6]] * 150)
    shorter, _ = model.predict(blocks, [[6.0, 1e4, 1e6]] * 150)
    assert (longer - shorter).mean() == pytest.approx(0.12, abs=0.04)


def test_it_reads_as_torch_does() -> None:
    """One member against torch's own LSTM with the same weights, block by block."""
    model = peephole(members=1, steps=3)
    blocks, numbers, accuracies = planted(12, 1)
    model.fit(blocks, numbers, accuracies)
    weights = {name: w[0] for name, w in model._weights.items()}
    lstm = nn.LSTM(32, 16)
    order = torch.tensor([0, 1, 3, 2])  # torch has input, forget, cell, output
    with torch.no_grad():
        for name, ours in (("weight_ih_l0", "read"), ("weight_hh_l0", "recur")):
            getattr(lstm, name).copy_(weights[ours].T.view(4, 16, -1)[order].flatten(0, 1))
        bias = weights["gates"].view(4, 16)[order]
        bias[1] += 1  # ours remembers at first
        lstm.bias_ih_l0.copy_(bias.flatten())
        lstm.bias_hh_l0.zero_()
        predicted, _ = model.predict(blocks, numbers)
        scaled = model._scaled(numbers)
        for block, number, got in zip(blocks, scaled, predicted, strict=True):
            state = torch.zeros(16)
            if len(rows := canonical_rows(block)):
                columns = zip(("type", "kernel", "pred1", "pred2"), rows.T, strict=True)
                read = torch.cat([weights[name][torch.from_numpy(c)] for name, c in columns], 1)
                state = lstm(read)[0][-1]
            joined = torch.cat([state, number @ weights["numbers"]])
            hidden = (joined @ weights["join"] + weights["join_bias"][0]).relu()
            out = (hidden @ weights["out"] + weights["out_bias"][0]).item()
            mean, std = model._scale
            assert got == pytest.approx(min(1.0, max(0.0, out * std + mean)), abs=1e-5)


def test_members_learn_each_alone() -> None:
    blocks, numbers, accuracies = planted(20, 1)
    three, one = peephole(members=3), peephole(members=1)
    three._start = lambda: {n: w.repeat(3, 1, 1) for n, w in one._start().items()}  # type: ignore[method-assign]
    for model in (three, one):
        model.fit(blocks, numbers, accuracies)
    mean, std = three.predict(blocks, numbers)
    np.testing.assert_allclose(mean, one.predict(blocks, numbers)[0], atol=1e-3)
    assert std.max() < 1e-3


@st.composite
def renumbered(draw: st.DrawFn) -> tuple[Architecture, Architecture]:
    """A block and the same with its layers in another order."""
    block = Random(SPACE, draw(st.integers(0, 10_000))).ask(1)[0].architecture
    rows = [row for row in block.code if row[1] != 7]
    left, order = list(range(1, len(rows) + 1)), [0]
    while left:
        ready = [i for i in left if set(rows[i - 1][3:]) <= set(order)]
        order.append(draw(st.sampled_from(ready)))
        left.remove(order[-1])
    place = {old: new for new, old in enumerate(order)}
    code = [(place[i], op, k, place[p], place[q]) for i, op, k, p, q in rows]
    return block, SPACE.architecture(sorted(code))


@given(renumbered())
def test_the_order_of_equal_layers_changes_nothing(pair: tuple[Architecture, Architecture]) -> None:
    one, other = pair
    assert one.hash == other.hash
    assert canonical_rows(one).tolist() == canonical_rows(other).tolist()


@given(st.integers(0, 10_000))
def test_canonical_rows_are_a_code_of_the_block(seed: int) -> None:
    block = Random(SPACE, seed).ask(1)[0].architecture
    rows = canonical_rows(block).tolist()
    assume(not any(op in (5, 6) and p == q for op, _, p, q in rows))  # add(x, x) has no code
    assert len(rows) <= SPACE.max_layers
    assert SPACE.architecture([(i, *row) for i, row in enumerate(rows, 1)]).hash == block.hash


def test_state_survives_a_file() -> None:
    one, other = peephole(), peephole()
    blocks, numbers, accuracies = planted(40, 1)
    one.fit(blocks, numbers, accuracies)
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert (one.predict(blocks, numbers)[0] == other.predict(blocks, numbers)[0]).all()
    for model in (one, other):
        model.fit(blocks, numbers, accuracies)
    assert (one.predict(blocks, numbers)[0] == other.predict(blocks, numbers)[0]).all()
    with pytest.raises(ValueError, match="other widths: its 'type' has shape"):
        peephole(embedding=4).load_state_dict(one.state_dict())


def test_bad_input() -> None:
    blocks, numbers, accuracies = planted(4, 1)
    with pytest.raises(ValueError, match="members=0 must be at least 1"):
        peephole(members=0)
    with pytest.raises(ValueError, match="not fitted"):
        peephole().predict(blocks, numbers)
    with pytest.raises(ValueError, match="no blocks"):
        peephole().fit([], [], [])
    model = peephole(steps=1)
    model.fit(blocks, numbers, accuracies)
    assert [part.shape for part in model.predict([], [])] == [(0,), (0,)]
    deep = BlockSpace(8).architecture([(i, 1, 3, i - 1, 0) for i in range(1, 9)])
    with pytest.raises(ValueError, match="8 layers, this predictor reads 6"):
        model.predict([deep], [[12.0, 1e4, 1e6]])
