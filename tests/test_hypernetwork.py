"""Graph hypernetworks: messages, decoders, and networks with generated weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from nascore import _core
from nascore.agents.random import Random
from nascore.networks import Network, build_net
from nascore.spaces import (
    Architecture,
    BlockSpace,
    CellSpace,
    CellStack,
    Chain,
    LayerSpace,
    Skeleton,
    SkipNet,
    SkipSpace,
    SumDagSpace,
)
from nascore.surrogates.decoders import Decoder, fan_in_scale, tiled
from nascore.surrogates.hypernetwork import Design, HyperNetwork
from nascore.surrogates.net_graphs import KINDS, NetGraphs, pack

GHN = Design(width=16, message_width=8, passes=1, hidden=8, channels=8, kernel=3)
GHN2 = replace(Design.ghn2(), width=16, message_width=8, channels=8, kernel=5)
PLAIN = replace(GHN, stacked=False)
SMALL = Skeleton(stem_width=4, blocks=1, widths=(4, 8))
CONV, SEP, ADD, CONCAT = (1, 3, 1), (17, 3, 1), (5, 0, 1), (6, 0, 1)
CELLS = CellSpace(blocks=1)
CELL = "avg3(0)+id(1)"
IMAGES = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def dag(*rows: tuple[int, ...]) -> Architecture:
    return Architecture.of("dag", rows)


def net_of(block: Architecture, skeleton: Skeleton = SMALL, classes: int = 10) -> _core.Net:
    return skeleton.expand(block, (1, 8, 8), classes)


def random_nets(n: int, nodes: int = 5, seed: int = 0) -> list[_core.Net]:
    proposals = Random(SumDagSpace(nodes), seed).ask(n)
    return [net_of(proposal.architecture) for proposal in proposals]


def chain(n: int, first: int = 3, last: str = "flatten") -> _core.Net:
    """The input, n - 2 convolutions, the first one's kernel `first`, and `last`, in a row."""
    kernels = [first, *[3] * (n - 3)]
    rows = [[0, 0, 0, 1, 1, 1, 3, 1, 1]] + [[1, k, k, 1, 1, 1, 3, 1, 1] for k in kernels]
    rows.append([_core.OPS[last][0], 0, 0, 1, 1, 1, 3, 1, 1])
    return _core.Net.from_rows(np.array(rows), [[], *([i] for i in range(n - 1))])


def weights(network: Network) -> dict[str, torch.Tensor]:
    """All that was generated, by name."""
    return {
        f"{path}.{name}": value
        for path, module in network.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, torch.Tensor)
    }


def same(one: Network, other: Network) -> bool:
    mine, theirs = weights(one), weights(other)
    return mine.keys() == theirs.keys() and all(
        torch.allclose(value, theirs[name], atol=1e-6) for name, value in mine.items()
    )


def updates(graphs: NetGraphs) -> int:
    return sum(len(step.nodes) for part in graphs.parts for step in part.sweep)


# Messages


@pytest.mark.parametrize("n", [3, 4, 9])
def test_a_full_pass_joins_the_ends_of_a_chain_and_a_synchronous_step_does_not(n: int) -> None:
    assert updates(pack([chain(n)], stacked=False)) == 2 * n - 1
    assert updates(pack([chain(n)], "synchronous", stacked=False)) == n
    for schedule, joined in (("forward-backward", True), ("synchronous", False)):
        # In float32 the little that arrives from the other end may be rounded off.
        hyper = HyperNetwork(replace(PLAIN, schedule=schedule)).double()
        embeddings, node_of = hyper.embed(
            [chain(n), chain(n, last="global_pool"), chain(n + 1), chain(n + 1, first=5)]
        )
        one, other, third, fourth = (embeddings[list(nodes)] for nodes in node_of)
        assert torch.equal(one[0], other[0]) != joined
        assert torch.equal(third[-1], fourth[-1]) != joined


def slow(hyper: HyperNetwork, net: _core.Net) -> torch.Tensor:
    """Embeddings `[n, D]` by forward and backward passes, node after node, of an unstacked net."""
    gnn, n = hyper.gnn, len(net.rows)
    graphs = pack([net], stacked=False)
    h = list(hyper.kinds(graphs.kinds + hyper.offsets).sum(1))
    if hyper.design.shapes:
        sizes = zip(hyper.shapes, graphs.shapes.T, strict=True)
        more = torch.cat([table(numbers) for table, numbers in sizes], 1)
        h = [a + b for a, b in zip(h, more, strict=True)]
    reads = [sorted(set(inputs)) for inputs in net.inputs]
    readers: list[list[int]] = [[v for v in range(n) if u in reads[v]] for u in range(n)]
    for _ in range(hyper.design.passes):
        order = [(v, reads) for v in range(n)] + [(v, readers) for v in reversed(range(n - 1))]
        for v, neighbours in order:
            message = sum((gnn.message(h[u]) for u in neighbours[v]), torch.zeros_like(h[v]))
            far = distances(neighbours, v) if gnn.virtual is not None else {}
            message = message + sum(gnn.virtual(h[u]) / s for u, s in far.items())
            h[v] = gnn.update(message[None], h[v][None])[0]
    return torch.stack(h)


def distances(neighbours: Sequence[Sequence[int]], v: int) -> dict[int, int]:
    found, front, steps = {v: 0}, [v], 0
    while front:
        steps += 1
        front = sorted({u for w in front for u in neighbours[w]} - found.keys())
        found |= dict.fromkeys(front, steps)
    return {u: s for u, s in found.items() if s}


@pytest.mark.parametrize("design", [PLAIN, replace(PLAIN, passes=3), GHN2])
def test_levels_of_several_graphs_at_once_are_as_good_as_node_after_node(design: Design) -> None:
    hyper = HyperNetwork(design, seed=1)
    nets = [*random_nets(3), chain(4), *random_nets(1, nodes=9)]
    embeddings, node_of = hyper.embed(nets)
    for net, nodes in zip(nets, node_of, strict=True):
        torch.testing.assert_close(embeddings[list(nodes)], slow(hyper, net), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("design", [GHN, GHN2, replace(GHN, passing=False, passes=2)])
def test_a_network_gets_the_same_weights_in_any_company(design: Design) -> None:
    hyper = HyperNetwork(design)
    nets = [*random_nets(3), *random_nets(1, nodes=9)]
    together = hyper(nets)
    for net, network in zip(nets, together, strict=True):
        assert same(hyper([net])[0], network)


@pytest.mark.parametrize("design", [GHN, GHN2])
def test_wiring_counts_and_numbering_does_not(design: Design) -> None:
    hyper = HyperNetwork(design)
    wired = dag((*CONV, 0), (*SEP, 1), (*CONV, 2), (*ADD, 3))
    other = dag((*CONV, 0), (*SEP, 1), (*CONV, 1, 2), (*ADD, 3))
    one, two = hyper([net_of(wired), net_of(other)])
    assert not torch.allclose(one(IMAGES), two(IMAGES))
    some = [name for name in weights(one) if "sep_conv" in name and name in weights(two)]
    assert some
    assert not all(torch.allclose(weights(one)[name], weights(two)[name]) for name in some)
    numbered = dag((*CONV, 0), (*SEP, 0), (*CONV, 2), (*ADD, 1, 3))
    renumbered = dag((*SEP, 0), (*CONV, 1), (*CONV, 0), (*ADD, 2, 3))
    one, two = hyper([net_of(numbered), net_of(renumbered)])
    torch.testing.assert_close(one(IMAGES), two(IMAGES), atol=1e-5, rtol=1e-4)


def test_a_node_starts_from_its_operation_and_from_its_shapes_where_they_count() -> None:
    block = dag((*CONV, 0), (*SEP, 1), (*ADD, 2))
    nets = [
        net_of(block),
        net_of(block, replace(SMALL, widths=(4, 12))),
        net_of(dag((*CONV, 0), (17, 3, 2, 1), (*ADD, 2))),  # dilated
    ]
    told = {}
    for design in (PLAIN, replace(PLAIN, shapes=True)):
        embeddings, node_of = HyperNetwork(design).embed(nets)
        plain, wide, dilated = (embeddings[list(nodes)] for nodes in node_of)
        assert not torch.allclose(plain, dilated)
        told[design.shapes] = not torch.allclose(plain, wide)
    assert told == {False: False, True: True}


def test_operations_may_be_one_hot() -> None:
    design = replace(PLAIN, width=sum(KINDS), one_hot=True)
    hyper = HyperNetwork(design, seed=1)
    net = random_nets(1)[0]
    graphs = pack([net], stacked=False)
    start = hyper.kinds(graphs.kinds + hyper.offsets).sum(1)
    assert (start.sum(1) == len(KINDS)).all()
    assert set(start.flatten().tolist()) == {0, 1}
    assert len(start.unique(dim=0)) == len(graphs.kinds.unique(dim=0)) > 3
    torch.testing.assert_close(hyper.embed([net])[0], slow(hyper, net), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("passing", [True, False])
def test_a_block_hears_of_the_one_before_it_only_where_that_is_passed_on(passing: bool) -> None:
    hyper = HyperNetwork(replace(GHN, passing=passing))
    nets = [
        CellStack.small().expand(CELLS.architecture(f"{op}(0)+id(1) / {CELL}"), (1, 8, 8), 10)
        for op in ("sep3", "sep5")
    ]
    first, second, last = nets[0].seams
    one, other = map(weights, hyper(nets))
    blocks: list[list[bool]] = [[], [], [], []]  # is it the same in both?
    for name, value in one.items():
        row = int(name[4:7])
        if value.ndim == 4 and value.shape == other[name].shape:
            blocks[(row > first) + (row > second) + (row > last)].append(
                torch.allclose(value, other[name], atol=1e-7)
            )
    assert not any(blocks[0])
    assert blocks[1]
    assert blocks[1] == [not passing] * len(blocks[1])
    assert not any(blocks[2]), "the Normal cell comes again"
    linear = next(name for name in one if name.endswith("linear.weight"))
    assert torch.allclose(one[linear], other[linear], atol=1e-7) != passing


def test_repeated_blocks_have_weights_of_their_own() -> None:
    net = net_of(dag((*CONV, 0), (*ADD, 1)), Skeleton(4, blocks=3, widths=(4,)))
    for passing in (True, False):
        [network] = HyperNetwork(replace(GHN, passing=passing))([net])
        kernels = [v for n, v in weights(network).items() if n.endswith("_conv.conv.weight")]
        _, second, third = kernels  # the first one's graph has the stem too
        assert torch.allclose(second, third, atol=1e-6) != passing


# Decoders


@given(
    st.tuples(st.integers(1, 19), st.integers(1, 19), st.integers(1, 7), st.integers(1, 7)),
    st.sampled_from(["mlp", "conv"]),
)
def test_a_weight_is_a_slice_of_the_largest_or_copies_of_it(
    shape: tuple[int, int, int, int], kind: str
) -> None:
    torch.manual_seed(0)
    decoder = Decoder(kind, 4, 6, 8, 5)
    embeddings = torch.randn(2, 4)
    whole = decoder.kernels(embeddings, (8, 8, 5, 5)).detach().numpy()
    height, width = min(shape[2], 5), min(shape[3], 5)
    top, left = (5 - height) // 2, (5 - width) // 2
    part = whole[:, : shape[0], : shape[1], top : top + height, left : left + width]
    places = [np.arange(side) % own for side, own in zip(shape, part.shape[1:], strict=True)]
    wanted = part[np.ix_([0, 1], *places)]
    np.testing.assert_allclose(decoder.kernels(embeddings, shape).detach(), wanted, atol=1e-6)


def test_twice_the_width_is_two_copies_and_nothing_shares_storage() -> None:
    torch.manual_seed(0)
    decoder = Decoder("mlp", 4, 6, 8, 3)
    embeddings = torch.randn(3, 4)
    narrow, wide = (decoder.kernels(embeddings, (o, 8, 3, 3)) for o in (8, 16))
    assert torch.equal(wide, torch.cat([narrow, narrow], 1))
    assert torch.equal(tiled(torch.arange(3)[None], (7,)), torch.tensor([[0, 1, 2, 0, 1, 2, 0]]))
    networks = HyperNetwork(GHN)([*random_nets(2), *random_nets(1)])
    made = [value for network in networks for value in weights(network).values()]
    assert len({value.untyped_storage().data_ptr() for value in made}) == len(made)
    assert all(value.untyped_storage().nbytes() == 4 * value.numel() for value in made)


@pytest.mark.parametrize(
    ("shape", "scale"),
    [
        ((8, 4, 3, 3), (2 / 36) ** 0.5),
        ((8, 1, 3, 3), (1 / 9) ** 0.5),
        ((8, 4, 1, 7), (1 / 28) ** 0.5),
        ((8, 4, 7, 1), (2 / 28) ** 0.5),
        ((10, 16), (2 / 16) ** 0.5),
    ],
)
def test_fan_in(shape: tuple[int, ...], scale: float) -> None:
    assert fan_in_scale(shape) == pytest.approx(scale)


def test_fan_in_scales_weights_and_bounds_the_others() -> None:
    net = random_nets(1)[0]
    [raw] = HyperNetwork(PLAIN)([net])
    [scaled] = HyperNetwork(replace(PLAIN, fan_in=True))([net])
    for name, value in weights(raw).items():
        wanted = (
            value * fan_in_scale(tuple(value.shape)) if value.ndim > 1 else (0.2 * value).tanh()
        )
        if name.endswith("norm.weight"):
            wanted = 2 * ((value - 1) / 2).sigmoid()
        torch.testing.assert_close(weights(scaled)[name], wanted)


# Networks with generated weights


@pytest.mark.parametrize(
    "design",
    [
        GHN,
        PLAIN,
        GHN2,
        replace(GHN, schedule="synchronous"),
        replace(GHN, decoder="conv"),
        replace(GHN2, stacked=True),
        replace(GHN, width=64, one_hot=True),
    ],
)
def test_gradients_reach_everything_and_a_network_has_no_parameters(design: Design) -> None:
    hyper = HyperNetwork(design)
    networks = hyper(random_nets(4))
    for network in networks:
        assert list(network.parameters()) == []
        assert list(network.buffers()) == []
    labels = torch.arange(6)
    torch.autograd.backward(sum(cross_entropy(net(IMAGES), labels) for net in networks))
    for name, parameter in hyper.named_parameters():
        if design.one_hot and name == "kinds.weight":  # a constant
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().sum() > 0, name


def other_nets() -> Iterator[_core.Net]:
    """Networks of every kind, sizes of images and numbers of classes."""
    yield net_of(BlockSpace().architecture("[(1,1,5,0,0),(2,2,3,0,0),(3,6,0,1,2)]"), classes=100)
    cells = Random(CellSpace(), 0).ask(1)[0].architecture
    stack = CellStack(1, 4, stem_width=8, reductions=2, auxiliary=True)
    yield stack.expand(cells, (3, 32, 32), 10)
    layers = Random(LayerSpace(16, 5, (16, 32), (24,)), 3).ask(1)[0].architecture
    yield Chain().expand(layers, (3, 16, 16), 10)
    skips = Random(SkipSpace((4,)), 0).ask(1)[0].architecture
    yield SkipNet().expand(skips, (3, 12, 12), 5)
    yield from random_nets(1, nodes=17)


@pytest.mark.parametrize("design", [GHN, GHN2])
def test_any_network_gets_weights_of_the_right_shapes(design: Design) -> None:
    hyper = HyperNetwork(design)
    nets = list(other_nets())
    for net, network in zip(nets, hyper(nets), strict=True):
        shapes = {name: value.shape for name, value in build_net(net).named_parameters()}
        assert {name: value.shape for name, value in weights(network).items()} == shapes
        _, channels, *size = net.rows[0, 5:].tolist()
        logits = network(torch.randn(3, channels, *size))
        assert logits.shape == (3, net.rows[-1, 6])
        assert logits.isfinite().all()


def test_batch_norm_goes_by_the_batch_alone() -> None:
    [network] = HyperNetwork(GHN)(random_nets(1))
    trained = network(IMAGES)
    assert torch.equal(network.eval()(IMAGES), trained)
    assert not torch.allclose(network(IMAGES[:3]), trained[:3])


def test_a_seed_fixes_the_hypernetwork() -> None:
    net = random_nets(1)[0]
    one, again, other = (HyperNetwork(GHN, seed=seed)([net])[0] for seed in (1, 1, 2))
    assert same(one, again)
    assert not same(one, other)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"passes": 0}, "passes=0 must be at least 1"),
        ({"longest": -1}, "longest=-1 must be 0 or more"),
        ({"width": 6, "shapes": True}, "width=6 must be a multiple of 4"),
        ({"one_hot": True}, "width=32 must be .* or more with one_hot"),
        ({"schedule": "backwards"}, "unknown schedule 'backwards'"),
        ({"decoder": "rnn"}, "unknown decoder 'rnn'"),
    ],
)
def test_wrong_designs_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Design(**settings)


def test_there_must_be_a_network() -> None:
    with pytest.raises(ValueError, match="nets is empty"):
        HyperNetwork(GHN)([])
