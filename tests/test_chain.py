"""Chains of layers: their text, their networks, their training, and the way back from a folder."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import evaluator_kit
import space_kit
from nascore import _core, tasks
from nascore.evaluators import TrainEvaluator
from nascore.networks import Network, Recipe, accuracy, build_net, fit
from nascore.retrain import load_model, retrain
from nascore.spaces import Architecture, BlockSpace, Chain, LayerSpace
from nascore.trial import Limits

SPACE = LayerSpace(8, 6, (8, 16), (32, 16))
CHAIN = SPACE.architecture("C(8,3),P(2,2),C(16,3),FC(32),SM")
RECIPE = Recipe(2, 64, "adam", 2**-7, init="xavier")
NAME = {code: name for name, (code, _, _) in _core.OPS.items()}


def rows_of(net: _core.Net) -> list[tuple[str, tuple[int, ...]]]:
    return [(f"{NAME[op]}{kernel or ''}", (c, h, w)) for op, kernel, *_, c, h, w in net.rows]


def test_rows_by_hand() -> None:
    net = Chain().expand(CHAIN, (1, 8, 7), 10)
    assert rows_of(net) == [
        ("input", (1, 8, 7)),
        ("conv_relu3", (8, 8, 7)),
        ("max_pool_valid2", (8, 4, 3)),
        ("dropout1", (8, 4, 3)),
        ("conv_relu3", (16, 4, 3)),
        ("flatten", (192, 1, 1)),
        ("linear", (32, 1, 1)),
        ("relu", (32, 1, 1)),
        ("dropout2", (32, 1, 1)),
        ("linear", (10, 1, 1)),
    ]
    assert net.inputs == [(), *((i,) for i in range(9))]
    weights = [8 * 9, 8 * 16 * 9, 192 * 32, 32 * 10]
    assert net.params == sum(weights) + 8 + 16 + 32 + 10
    assert net.macs == weights[0] * 56 + weights[1] * 12 + weights[2] + weights[3]
    gap = Chain().expand(SPACE.architecture("C(8,1),GAP"), (1, 8, 8), 10)
    assert [name for name, _ in rows_of(gap)] == ["input", "conv_relu1", "global_pool", "linear"]


@pytest.mark.parametrize("space", [LayerSpace(32, 18), LayerSpace(28, 12), SPACE])
def test_a_module_costs_what_its_rows_say(space: LayerSpace) -> None:
    size = {19: 32, 13: 28, 7: 8}[space.max_steps]
    for chain in space.decode(space_kit.random_walk(space, 60, seed=0)[-1]):
        net = Chain().expand(chain, (3, size, size), 10)
        with torch.device("meta"):
            network = Network(net).eval()
        assert sum(p.numel() for p in network.parameters()) == net.params
        with FlopCounterMode(display=False) as counter:
            logits = network(torch.randn(1, 3, size, size, device="meta"))
        assert counter.get_total_flops() == 2 * net.macs
        assert logits.shape == (1, 10)


def test_forward_is_what_the_layers_say() -> None:
    network = build_net(Chain().expand(CHAIN, (1, 8, 8), 10), seed=1).eval()
    conv1, conv2 = (m for m in network.modules() if isinstance(m, nn.Conv2d))
    dense, classifier = (m for m in network.modules() if isinstance(m, nn.Linear))
    for bias in (conv1.bias, conv2.bias, dense.bias, classifier.bias):
        nn.init.normal_(bias)
    x = torch.randn(5, 1, 8, 8)
    y = torch.max_pool2d(conv1(x).relu(), 2, 2)
    y = conv2(y).relu().flatten(1)
    assert torch.allclose(network(x), classifier(dense(y).relu()), atol=1e-5)


def test_initialisations() -> None:
    net = Chain().expand(LayerSpace(8).architecture("C(64,5),C(64,5),SM"), (3, 8, 8), 10)
    for init, spread in (("he", math.sqrt(2 / (64 * 25))), ("xavier", math.sqrt(1 / (64 * 25)))):
        one, same, other = (build_net(net, seed, init) for seed in (1, 1, 2))
        weights = [m.state_dict()["row_002_conv_relu.conv.weight"] for m in (one, same, other)]
        assert (weights[0] == weights[1]).all()
        assert (weights[0] != weights[2]).any()
        assert weights[0].std().item() == pytest.approx(spread, rel=0.03)
        biases = [value for name, value in one.state_dict().items() if name.endswith("bias")]
        assert len(biases) == 3
        assert not any(bias.any() for bias in biases)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 6, 8, 14, 32]), st.booleans())
def test_codes_lead_back_and_what_is_seen_says_what_is_legal(
    seed: int, size: int, strict: bool
) -> None:
    space = LayerSpace(size, 7, (4, 8), (6, 3), strict)
    walk = space_kit.random_walk(space, 16, seed)
    for chain in space.decode(walk[-1]):
        assert space.architecture(chain.text) == space.architecture(chain.code) == chain
        assert Chain().expand(chain, (1, size, size), 2).rows[-1, -3] == 2
    legal: dict[bytes, bytes] = {}
    for state in walk:
        seen, allowed = space.observe(state), space.legal(state)
        for one, mask in zip(seen, allowed, strict=True):
            assert legal.setdefault(one.tobytes(), mask.tobytes()) == mask.tobytes()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("C(8,3),X,SM", "'X' is no layer: write C(width,kernel)"),
        ("C(8),SM", "'C(8)' is no layer"),
        ("C(99999,3),SM", "'C(99999,3)' is no layer"),
        ("", "'' is no layer"),
        ("C(8,3)", "the state is not finished"),
        ("C(8,7),SM", "layer 1, C(8,7), is no action of this space"),
        ("C(8,3),P(2,2),P(2,2),SM", "layer 3, P(2,2), may not follow P(2,2) at size 4"),
        ("P(2,2),SM", "layer 1, P(2,2), may not follow the image at size 8"),
        ("FC(16),SM", "layer 1, FC(16), may not follow the image at size 8"),
        ("SM,C(8,3)", "something follows the ending of the chain"),
        (",".join(["C(8,1)"] * 8), "the chain has 8 rows, this space takes 7"),
        ([[1, 8]], "a code of layers is rows of three integers"),
        ([[1, 8, 1], [2]], "a code of layers is rows of three integers"),
        ([[1, 99999, 3]], "a code of layers is of 16-bit integers"),
    ],
)
def test_wrong_codes(code: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        SPACE.architecture(code)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ([[1, 8, 3]], "one ending, SM or GAP, at its end"),
        ([[5, 0, 0], [5, 0, 0]], "one ending, SM or GAP, at its end"),
        ([[1, 8, 2], [5, 0, 0]], "layer 1, C(8,2), needs channels and an odd kernel"),
        ([[2, 0, 1], [5, 0, 0]], "layer 1, P(0,1), needs a kernel and a stride"),
        ([[3, 0, 0], [5, 0, 0]], "layer 1, FC(0), needs units"),
        ([[2, 9, 1], [5, 0, 0]], "layer 1, P(9,1), does not fit into 8x8; use larger images"),
        ([[3, 4, 0], [1, 8, 3], [5, 0, 0]], "layer 2, C(8,3), comes after a dense layer"),
        ([[3, 4, 0], [4, 0, 0]], "layer 2, GAP, comes after a dense layer"),
        ([[9, 4, 0], [5, 0, 0]], "layer 1, kind 9, is unknown"),
    ],
)
def test_codes_without_a_network(code: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        _core.expand_layers(np.array(code, np.int16), True, 1, 8, 8, 10)


def test_dropout_is_drawn_from_the_trainings_seed() -> None:
    digits = tasks.load("digits", limit_train=128)
    net = Chain().expand(CHAIN, (1, 8, 8), 10)

    def weights(seed: int) -> list[float]:
        network = build_net(net, 1)
        torch.rand(seed)  # what others drew before must not matter
        assert fit(network, digits, replace(RECIPE, epochs=1), seed, "cpu").status == "ok"
        return network.state_dict()["row_009_linear.weight"].flatten().tolist()

    before = torch.get_rng_state()
    first = weights(3)
    torch.rand(1)
    assert weights(3) == first != weights(4)
    torch.set_rng_state(before)
    fit(build_net(net, 1), digits, replace(RECIPE, epochs=1), 3, "cpu")
    assert (torch.get_rng_state() == before).all()


def test_a_block_is_no_chain() -> None:
    with pytest.raises(ValueError, match="of space 'block' is no chain"):
        Chain().expand(BlockSpace().architecture("[(1,1,3,0,0)]"), (1, 8, 8), 10)
    with pytest.raises(ValueError, match="no blocks and no width to set"):
        Chain().resized(blocks=2)
    assert Chain(dropout=False).resized() == Chain(dropout=False)


def test_training_and_the_way_back(tmp_path: Path) -> None:
    digits = tasks.load("digits", limit_train=512)
    wide = LayerSpace(8).architecture("C(512,1),C(512,5),SM")
    softmax = SPACE.architecture("SM")
    train = TrainEvaluator(digits, Chain(), RECIPE, Limits(params=1_000_000), device="cpu")
    good, large, linear = evaluator_kit.check(train, [CHAIN, wide, softmax])
    assert good.metrics["val_accuracy"] > 0.15
    assert good.metrics["params"] == Chain().expand(CHAIN, (1, 8, 8), 10).params
    assert (large.status, linear.status) == ("too large", "ok")

    found = retrain(CHAIN, digits, Chain(dropout=False), RECIPE, 3, tmp_path / "model", "cpu")
    network = load_model(found.path)
    assert accuracy(network, digits, "test", "cpu").accuracy == found.test_accuracy
    card = json.loads((found.path / "model.json").read_text())
    assert card["skeleton"] == {"dropout": False}
    assert Architecture.from_json(card["architecture"]) == CHAIN
