"""Built modules against the rows they were built from."""

from __future__ import annotations

import copy
import pickle
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import space_kit
from nascore import _core, tasks
from nascore.networks import Network, build, build_net
from nascore.networks.modules import MODULES, Row
from nascore.spaces import Architecture, BlockSpace, Chain, LayerSpace, Skeleton

RESIDUAL = "[(1,4,0,0,0),(2,1,3,1,0),(3,1,3,2,0),(4,5,0,1,3),(5,7,0,0,0)]"
TINY = Skeleton(stem_width=4, blocks=1, widths=(4, 6))
SKELETONS = [
    (TINY, (1, 8, 8), 10),
    (Skeleton.small(), (1, 28, 28), 10),
    (Skeleton(32, blocks=2), (3, 32, 32), 100),
    (Skeleton(8, 2, True, 1, (8, 16, 24, 32)), (3, 65, 50), 7),
]


def random_blocks(n: int, seed: int = 0) -> list[Architecture]:
    """Blocks of every length up to the paper's 23 layers."""
    blocks = []
    for max_layers in (3, 6, 12, 23):
        space = BlockSpace(max_layers)
        blocks += space.decode(space_kit.random_walk(space, n // 4, seed)[-1])
    return blocks


def random_nets(n: int) -> Iterator[_core.Net]:
    for i, block in enumerate(random_blocks(n)):
        skeleton, shape, classes = SKELETONS[i % len(SKELETONS)]
        try:
            yield skeleton.expand(block, shape, classes)
        except ValueError as error:
            if "no side may pass" not in str(error):
                raise


def small_nets(n: int) -> list[_core.Net]:
    """Random nets that compute in milliseconds."""
    nets = [TINY.expand(block, (1, 8, 8), 10) for block in random_blocks(n)]
    return [net for net in nets if net.macs < 10_000_000]


def image_of(net: _core.Net, n: int = 1, device: str = "cpu") -> Tensor:
    return torch.randn(n, *net.rows[0, 6:].tolist(), device=device)


def costs_agree(n: int) -> None:
    checked = 0
    for net in random_nets(n):
        with torch.device("meta"):
            network = Network(net).eval()
        assert sum(p.numel() for p in network.parameters()) == net.params
        with FlopCounterMode(display=False) as counter:
            network(image_of(net, device="meta"))
        assert counter.get_total_flops() == 2 * net.macs
        checked += 1
    assert checked > 0.7 * n


def test_costs_are_those_of_the_module() -> None:
    costs_agree(200)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_costs_are_those_of_thousands_of_modules() -> None:
    costs_agree(4000)


def measured_peak(net: _core.Net) -> int:
    """The most bytes of results alive when a row has been computed; checks every row's shape."""
    network = build_net(net).eval()
    last_reader_of_image = max(i for i, inputs in enumerate(net.inputs) if 0 in inputs)
    image_bytes = 4 * int(net.rows[0, 6:].prod())  # the caller holds it; a row may still read it
    alive: dict[int, int] = {}
    totals = []

    def after_row(i: int, out: Tensor) -> None:
        assert out.shape[1:] == tuple(net.rows[i, 6 : 5 + out.dim()])
        alive[i] = out.numel() * out.element_size()
        weakref.finalize(out, alive.pop, i)
        totals.append(sum(alive.values()) + (image_bytes if i <= last_reader_of_image else 0))

    for i, (name, row) in enumerate(network.named_children(), 1):
        assert name.startswith(f"row_{i:03d}_")
        row.register_forward_hook(lambda _m, _x, out, i=i: after_row(i, out))
    with torch.inference_mode():
        network(image_of(net))
    return max(totals)


def test_shapes_and_peak_memory_are_those_of_the_rows() -> None:
    space = LayerSpace(8, 6, (4, 8), (16, 8))
    chains = space.decode(space_kit.random_walk(space, 24, seed=0)[-1])
    plain = Chain(dropout=False)  # which in evaluation returns its very input
    for net in [*small_nets(48), *(plain.expand(chain, (1, 8, 8), 10) for chain in chains)]:
        assert measured_peak(net) == net.peak_bytes


def test_leaves_are_concatenated() -> None:
    """3(f)6: a block with two leaves has the summed width."""
    block = BlockSpace().architecture("[(1,1,3,0,0),(2,1,5,0,0)]")
    network = build_net(Skeleton(8, blocks=1, widths=(6,)).expand(block, (3, 8, 8), 10))
    widths = []
    for module in network.children():
        module.register_forward_hook(lambda _m, _x, out: widths.append(out.shape[1]))
    network(torch.randn(2, 3, 8, 8))
    assert widths == [8, 6, 6, 12, 12, 12, 10]  # stem, two convolutions, block output, classifier


def module(
    op: str, kernel: int = 0, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Module:
    row = Row(0, kernel, kernel, stride, dilation, groups, 4, 0, 0)
    return MODULES[op](row, [row]).eval()


def test_operations_compute_what_they_are_called() -> None:
    x = torch.randn(2, 4, 7, 7)
    conv = module("conv", 3, groups=2, dilation=2)
    weight = conv.conv.weight
    expected = F.conv2d(x.clamp(min=0), weight, padding=2, dilation=2, groups=2)
    torch.testing.assert_close(conv(x), expected / (1 + 1e-5) ** 0.5)
    stem = module("stem", 3, stride=2)
    expected = F.conv2d(x, stem.conv.weight, stride=2, padding=1)
    torch.testing.assert_close(stem(x), expected / (1 + 1e-5) ** 0.5)
    assert torch.equal(module("avg_pool", 3)(torch.ones_like(x)), torch.ones_like(x))
    assert torch.equal(module("max_pool", 3)(-torch.ones_like(x)), -torch.ones_like(x))
    halved = x[:, :, :6, :6].unflatten(3, (3, 2)).unflatten(2, (3, 2)).amax((3, 5))
    assert torch.equal(module("max_pool", 2, stride=2)(x), halved)
    for op in ("max_pool", "avg_pool"):
        assert torch.equal(module(op, 1)(x), x)
    assert torch.equal(module("identity")(x), x)
    assert torch.equal(module("add")(x, x, x), 3 * x)
    assert torch.equal(module("concat")(x, -x), torch.cat([x, -x], 1))
    torch.testing.assert_close(module("global_pool")(x), x.flatten(2).mean(2))


def test_a_result_that_is_read_twice_is_not_changed_in_between() -> None:
    """Two convolutions, a pooling and the sum read the stem: none may work in place."""
    block = BlockSpace().architecture(
        "[(1,1,3,0,0),(2,1,1,0,0),(3,2,3,0,0),(4,5,0,0,1),(5,5,0,2,4),(6,5,0,3,5)]"
    )
    network = build_net(TINY.expand(block, (1, 8, 8), 10)).eval()
    stem = []
    network.row_001_stem.register_forward_hook(lambda _m, _x, out: stem.extend([out, out.clone()]))
    with torch.inference_mode():
        network(torch.randn(2, 1, 8, 8))
    assert torch.equal(*stem)


@pytest.fixture
def net() -> _core.Net:
    return TINY.expand(BlockSpace().architecture(RESIDUAL), (1, 8, 8), 10)


def test_initialisation_depends_on_the_seed_alone(net: _core.Net) -> None:
    before = torch.random.get_rng_state()
    one, same, other = (build_net(net, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["row_001_stem.conv.weight"], other["row_001_stem.conv.weight"])


def test_initialisation_is_he() -> None:
    wide = Skeleton(64, blocks=1, widths=(128,))
    network = build_net(wide.expand(BlockSpace().architecture(RESIDUAL), (3, 8, 8), 10))
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) > 2
    for conv in convolutions[1:]:
        fan_in = conv.weight[0].numel()
        assert conv.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.03)
        assert abs(conv.weight.mean().item()) < 0.03 * (2 / fan_in) ** 0.5
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        assert norm.weight.eq(1).all()
        assert norm.running_var.eq(1).all()
        assert not norm.bias.any()
        assert not norm.running_mean.any()


def test_every_parameter_learns() -> None:
    for net in small_nets(24):
        network = build_net(net)
        F.cross_entropy(network(image_of(net, 4)), torch.arange(4)).backward()
        missing = [name for name, p in network.named_parameters() if p.grad is None]
        assert not missing
        assert all(p.grad.isfinite().all() for p in network.parameters())


def test_state_deep_copies_and_pickles(net: _core.Net) -> None:
    network, x = build_net(net, 1), image_of(net, 3)
    network(x)  # moves the running statistics
    network.eval()
    loaded = build_net(net, 2)
    loaded.load_state_dict(network.state_dict())
    for other in (loaded.eval(), copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(other(x), network(x))


def test_compile_without_graph_breaks(net: _core.Net) -> None:
    network, x = build_net(net).eval(), image_of(net, 3)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), network(x))


def test_export_with_any_batch_size(net: _core.Net) -> None:
    network = build_net(net).eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(network, (image_of(net, 3),), dynamic_shapes=({0: batch},))
    x = image_of(net, 5)
    torch.testing.assert_close(program.module()(x), network(x))


def test_build_fits_the_task() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 3, 9, 11), dtype=np.uint8)
    task = tasks.from_arrays(images, np.arange(60) % 6, name="build-test")
    network = build(BlockSpace().architecture(RESIDUAL), task, TINY, seed=3)
    assert network(torch.randn(2, 3, 9, 11)).shape == (2, 6)
