"""Connectivities as decisions, and the residual networks that they make."""

from __future__ import annotations

import itertools
from dataclasses import asdict, replace
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import space_kit
from nascore import tasks
from nascore.evaluators.train import TrainEvaluator
from nascore.networks import Recipe
from nascore.spaces import Architecture, ChoicesSpace, ConnectionSpace, ResidualNet
from nascore.spaces.wiring import wire
from nascore.trial import Job

SHAPE = (3, 8, 8)
RESNEXT = ResidualNet.small()
RESNET = replace(RESNEXT, kind="resnet", blocks=4)
nets = st.builds(
    ResidualNet,
    kind=st.sampled_from(["resnet", "resnext"]),
    blocks=st.integers(2, 4),
    widths=st.sampled_from([(8,), (8, 16), (4, 4, 8)]),
    stem_width=st.sampled_from([4, 8]),
    branches=st.integers(1, 4),
    bottleneck=st.integers(1, 3),
    across=st.booleans(),
)


def test_every_connectivity_has_one_walk() -> None:
    space = ConnectionSpace((1, 3, 4), 2)
    walked = space_kit.random_walk(space, 5000, seed=1)[-1]
    found = {architecture.code for architecture in space.decode(walked)}
    ways = itertools.product(*(itertools.combinations(range(n), min(2, n)) for n in (1, 3, 4)))
    assert found == set(ways)
    assert len(found) == comb(3, 2) * comb(4, 2)


def test_features_are_the_mask() -> None:
    space = ConnectionSpace((3, 4), 2)
    state = space.start(1)
    for pick in (0, 2, 1):
        state = space.step(state, np.array([pick], np.int32))
    assert space.features(state).tolist() == [[1, 0, 1, 0, 1, 0, 0]]
    assert space.observe(state).tolist() == [[3, 1]]
    assert space.legal(state).tolist() == [[False, False, True, True]]
    assert space.head(state).tolist() == [1]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (((0,), (0, 1)), r"nodes that read \(1, 2\) candidates; those here read \(2, 2\)"),
        (((0, 1), (2, 1)), "pick 3 is 1; node 1 takes 3 to 3 there, in rising order"),
        (((0, 3), (0, 1)), "pick 1 is 3; node 0 takes 1 to 2 there, in rising order"),
    ],
)
def test_a_wrong_connectivity_is_refused(code: tuple[tuple[int, ...], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConnectionSpace((3, 4), 2).architecture(code)


def test_a_wrong_space_is_refused() -> None:
    for candidates, fan_in, message in (
        ((), 1, "candidates is empty"),
        ((3,), 0, "fan_in=0 must be at least 1"),
        ((3, 0), 1, "a node with 0 candidates; it may have 1 to 32767"),
    ):
        with pytest.raises(ValueError, match=message):
            ConnectionSpace(candidates, fan_in)


def test_candidates() -> None:
    assert RESNET.candidates == (1, 2, 3, 1, 2, 3)  # within a group
    assert replace(RESNET, across=True).candidates == (1, 2, 3, 4, 1, 2, 3)
    assert RESNEXT.candidates == (4,) * 8
    assert replace(RESNEXT, across=True).candidates == (4,) * 12
    assert ResidualNet().candidates == (8,) * 48  # {29, 8, 8}


@given(nets, st.data())
def test_dead_modules_are_those_that_do_not_lead_on(net: ResidualNet, data: st.DataObject) -> None:
    reads = tuple(
        tuple(sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1)))) for n in net.candidates
    )
    modules = net.modules
    edges = {
        (i, j)
        for j, m in enumerate(modules)
        for i in (m.candidates if m.node is None else [m.candidates[k] for k in reads[m.node]])
    }
    reached = {i for i, m in enumerate(modules) if m.block == modules[-1].block}
    while more := {i for i, j in edges if j in reached} - reached:
        reached |= more
    assert net.alive(reads) == reached
    expanded = net.expand(Architecture.of("connection", reads), SHAPE, 10)
    wired = wire(net, SHAPE, 10, reads)
    assert (expanded.rows == wired.net.rows).all()
    assert {module for module, place in wired.parts if module >= 0 and place >= 0} == reached
    read = {j for inputs in expanded.inputs for j in inputs}
    assert read == set(range(len(expanded.inputs) - 1))  # every row leads to the logits
    assert expanded.params <= net.expand(net.full, SHAPE, 10).params


def test_the_size_is_that_of_resnext() -> None:
    """ResNeXt-29, 8 branches of 64 (Xie et al., 2017): 34.4 million parameters."""
    net = ResidualNet(bottleneck=64)
    params = net.expand(net.full, (3, 32, 32), 10).params
    norms = 2 * 3 * sum(net.widths)  # ours has one for every branch's output, theirs for the sum
    assert round((params - 7 * norms) / 1e6, 1) == 34.4


def test_what_is_no_residual_network_is_refused() -> None:
    for change, message in (
        ({"kind": "resnest"}, "unknown kind 'resnest'; did you mean 'resnet'"),
        ({"blocks": 0}, "blocks=0 must be 1 to 128"),
        ({"widths": ()}, r"widths=\(\) must be 1 to 16 numbers"),
        ({"widths": (8, 0)}, r"widths=\(8, 0\) must be at least 1 each"),
        ({"branches": 0}, "branches=0 must be 1 to 1024"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(RESNEXT, **change)  # type: ignore[arg-type]
    for code, message in (
        (((0,),), "a connectivity of 1 nodes; this has 8"),
        (((0,), (), *[(0,)] * 6), r"node 1 reads \(\): give 0 to 3, in rising order"),
        (((1, 0), *[(0,)] * 7), r"node 0 reads \(1, 0\): give 0 to 3"),
        (((4,), *[(0,)] * 7), r"node 0 reads \(4,\): give 0 to 3"),
    ):
        with pytest.raises(ValueError, match=message):
            RESNEXT.expand(Architecture.of("connection", code), SHAPE, 10)
    with pytest.raises(ValueError, match="space 'choices' has no connectivity"):
        RESNEXT.expand(ChoicesSpace([2]).architecture([1]), SHAPE, 10)


def test_resized() -> None:
    assert RESNEXT.resized() == RESNEXT == ResidualNet(**asdict(RESNEXT))
    wider = RESNEXT.resized(width=32)
    assert (wider.widths, wider.stem_width, wider.bottleneck) == ((32, 64), 32, 8)
    with pytest.raises(ValueError, match="a connectivity is of its very blocks"):
        RESNEXT.resized(blocks=9)


def test_a_connectivity_trains_like_any_network() -> None:
    recipe = Recipe(1, 64, "sgd", 0.05, restarts=0)
    tiny = replace(RESNEXT, widths=(8,), stem_width=8)
    evaluator = TrainEvaluator(tasks.load("digits"), tiny, recipe)
    [found] = evaluator.evaluate([Job(0, tiny.simplest, 1)])
    assert found.ok
    assert found.metrics["params"] == tiny.expand(tiny.simplest, (1, 8, 8), 10).params
