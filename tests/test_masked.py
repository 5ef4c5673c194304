"""Masked networks: what is drawn, what is learned, what is left."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nascore import tasks
from nascore.networks.masked import (
    MaskedNetwork,
    Sampling,
    build_masked,
    estimate_batch_norm,
)
from nascore.spaces import ResidualNet

TASK = tasks.load("digits")
RESNEXT = ResidualNet(blocks=2, widths=(6, 8), stem_width=6, branches=4, bottleneck=3)
RESNET = replace(RESNEXT, kind="resnet", blocks=4)
SKELETONS = [RESNEXT, RESNET, replace(RESNEXT, across=True), replace(RESNET, across=True)]
NAMES = ["resnext", "resnet", "resnext-across", "resnet-across"]
each = pytest.mark.parametrize("skeleton", SKELETONS, ids=NAMES)


def masked(
    skeleton: ResidualNet, fan_in: int = 2, seed: int = 0, sampling: Sampling = "k_of_n"
) -> MaskedNetwork:
    return build_masked(skeleton, TASK.shape, TASK.classes, fan_in, seed, sampling=sampling)


def images(n: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(n, *TASK.shape, generator=torch.Generator().manual_seed(seed))


def shuffled(network: MaskedNetwork, seed: int = 3) -> MaskedNetwork:
    """With masks that differ, and statistics and weights of batch norm that are not the first."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        network.masks.uniform_(0, 1, generator=generator)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.uniform_(-0.5, 0.5, generator=generator)
                module.running_mean.uniform_(-0.5, 0.5, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
    return network


def with_real_masks(network: MaskedNetwork, x: Tensor, masks: Tensor, active: object) -> Tensor:
    """The logits with every candidate times its mask: dense, slow, and in terms of the masks.

    ResNeXt's shortcuts carry what the `active` edges read, whatever the masks.
    """
    alive = network.skeleton.alive(active)  # type: ignore[arg-type]
    parts = torch.split(masks, network.candidates)
    results = {0: x}
    for row, name, inputs, _ in network.plan:
        if (gate := network.gates.get(row)) is None:
            results[row] = getattr(network, name)(*[results[j] for j in inputs])
            continue
        if gate.node is None:
            shares = torch.tensor([float(m in alive) for m in gate.modules], dtype=x.dtype)
        else:
            shares = parts[gate.node]
        total = sum((results[j] for j in gate.always), torch.zeros((), dtype=x.dtype))
        for share, j in zip(shares, gate.rows, strict=True):
            total = total + share * results[j]
        results[row] = total
    return results[network.ends[-1]]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(SKELETONS), st.integers(1, 5), st.integers(0, 2**31))
def test_1f1_every_forward_pass_reads_fan_in_distinct_candidates(
    skeleton: ResidualNet, fan_in: int, seed: int
) -> None:
    network = masked(skeleton, fan_in, seed)
    for step in range(3):
        network(images())
        assert int(network.step) == step + 1
        assert len(network.active) == len(skeleton.candidates)
        for chosen, n in zip(network.active, skeleton.candidates, strict=True):
            assert len(chosen) == len(set(chosen)) == min(fan_in, n)
            assert set(chosen) <= set(range(n))


def test_draws_are_of_the_seed_and_the_step_alone() -> None:
    draws = []
    for seed in (1, 1, 2):
        network = masked(RESNEXT, seed=seed)
        for _ in range(3):
            draws.append(network.draw())
            network.step += 1
    assert draws[:3] == draws[3:6] != draws[6:]
    assert draws[0] != draws[1]


def test_1f2_a_certain_mask_is_always_drawn() -> None:
    network = masked(RESNEXT, fan_in=1)
    with torch.no_grad():
        network.masks.zero_()
        network.masks[2::4] = 1
    for _ in range(20):
        network(images())
        assert network.active == [[2]] * 8
    with torch.no_grad():
        network.masks.fill_(float("nan"))  # a diverged training is told at the end of its epoch
    assert all(len(chosen) == 1 for chosen in network.draw())


def test_bernoulli_masks_are_drawn_each_by_itself() -> None:
    network = masked(RESNEXT, sampling="bernoulli")
    with torch.no_grad():
        network.masks.fill_(0.25)
    counts = []
    for _ in range(400):
        counts += map(len, network.draw())
        network.step += 1
    mean = sum(counts) / len(counts)
    assert abs(mean - 1) < 4 * (4 * 0.25 * 0.75 / len(counts)) ** 0.5
    assert set(counts) == {0, 1, 2, 3, 4}
    for _ in range(5):
        assert network(images()).isfinite().all()  # a node that reads nothing is no obstacle
    assert all(len(chosen) == 2 for chosen in network.largest())


@each
def test_1f3_the_gradient_of_every_mask_is_the_inner_product(skeleton: ResidualNet) -> None:
    network = shuffled(masked(skeleton)).double().eval()
    x, labels = images().double(), torch.arange(5)
    active = network.draw()
    binary = network._binary(active).double()

    def loss(masks: Tensor) -> Tensor:
        return F.cross_entropy(with_real_masks(network, x, masks, active), labels)

    weights = [p for n, p in network.named_parameters() if n != "masks"]
    logits = network.logits(x, active)
    of_loss = F.cross_entropy(logits, labels)
    found = torch.autograd.grad(of_loss, [network.masks, *weights], materialize_grads=True)
    binary.requires_grad_()
    dense = torch.autograd.grad(loss(binary), [binary, *weights])
    for one, other in zip(found, dense, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    with torch.no_grad():
        for i in range(len(binary)):
            step = torch.zeros_like(binary)
            step[i] = 1e-6
            slope = (loss(binary + step) - loss(binary - step)) / 2e-6
            torch.testing.assert_close(found[0][i], slope, rtol=1e-4, atol=1e-8)
    off = [bool(g != 0) for g, on in zip(found[0], binary, strict=True) if on == 0]
    assert sum(off) > len(off) / 2  # of those that are off, too


def test_1f4_masks_stay_in_0_to_1_and_inactive_ones_may_rise() -> None:
    x, labels = images(), torch.arange(5)
    network = masked(RESNEXT)
    active = network.draw()
    loss = F.cross_entropy(network.logits(x, active), labels)
    [gradient] = torch.autograd.grad(loss, network.masks, retain_graph=True)
    network.mask_lr = 0.1
    torch.autograd.backward(loss)
    expected = (0.5 - 0.1 * gradient).clamp(0, 1)
    torch.testing.assert_close(network.masks.detach(), expected)
    off = network._binary(active) == 0
    assert (network.masks.detach()[off & (gradient < 0)] > 0.5).sum() > 3
    assert network.masks.grad is None  # no optimizer moves them again
    for _ in range(3):
        network.mask_lr = 1e9
        torch.autograd.backward(F.cross_entropy(network(x), labels))
        assert ((network.masks == 0) | (network.masks == 1) | (gradient == 0)).all()
        assert network.masks.min() >= 0
        assert network.masks.max() <= 1


def plain(network: MaskedNetwork, x: Tensor, dense: bool = False) -> Tensor:
    """ResNeXt; or ResNet, where a block reads the one before it, or `dense` all of its group."""
    skeleton = network.skeleton
    names = {call.row: call.name for call in network.plan}

    def part(module: int, place: int, x: Tensor) -> Tensor:
        result: Tensor = getattr(network, names[network.parts[module, place]])(x)
        return result

    def shortcut(module: int, x: Tensor) -> Tensor:
        return part(module, -1, x) if (module, -1) in network.parts else x

    x = part(-1, 0, x)
    per_block = skeleton.branches if skeleton.kind == "resnext" else 1
    group: list[Tensor] = []
    for block in range(skeleton.blocks * len(skeleton.widths)):
        if dense and block % skeleton.blocks:
            x = sum(group[1:], group[0])
        elif block % skeleton.blocks == 0:
            group = []
        y = shortcut(block * per_block, x)
        for module in range(block * per_block, (block + 1) * per_block):
            z = part(module, 1, part(module, 0, x))
            y = y + (part(module, 2, z) if skeleton.kind == "resnext" else z)
        x = y
        group.append(x)
    return part(-1, 1, F.relu(x).mean((2, 3)))


def test_1f5_all_masks_on_are_the_plain_network_bit_for_bit() -> None:
    x = images()
    for skeleton in (RESNEXT, replace(RESNEXT, across=True)):
        network = shuffled(masked(skeleton, fan_in=4)).eval()
        assert torch.equal(network(x), plain(network, x))
        network.train()
        assert torch.equal(network(x), plain(network, x))
    network = shuffled(masked(RESNET, fan_in=3)).eval()
    torch.testing.assert_close(network(x), plain(network, x, dense=True), rtol=1e-6, atol=1e-6)
    before = [[n - 1] for n in RESNET.candidates]
    assert torch.equal(network.logits(x, before), plain(network, x))


@each
@pytest.mark.parametrize("fan_in", [1, 2])
def test_1f6_removing_dead_modules_changes_nothing_but_the_size(
    skeleton: ResidualNet, fan_in: int
) -> None:
    network = shuffled(masked(skeleton, fan_in)).eval()
    x = images()
    pruned = network.pruned().eval()
    torch.testing.assert_close(pruned(x), network(x), rtol=1e-6, atol=1e-6)
    alive = skeleton.alive(network.largest())
    names = {call.row: call.name for call in network.plan}
    first = {i for i in range(len(skeleton.modules)) if (i, -1) in network.parts}
    dead = sum(
        p.numel()
        for (module, place), row in network.parts.items()
        if module >= 0 and module not in alive and (place >= 0 or skeleton.kind == "resnet")
        for p in network.get_submodule(names[row]).parameters()
    )
    of_all = sum(p.numel() for name, p in network.named_parameters() if name != "masks")
    left = sum(p.numel() for p in pruned.parameters())
    assert left == of_all - dead
    assert left == skeleton.expand(network.architecture(), TASK.shape, TASK.classes).params
    assert first
    assert fan_in == 2 or dead > 0


@each
def test_1f8_evaluation_draws_nothing(skeleton: ResidualNet) -> None:
    network = shuffled(masked(skeleton)).eval()
    x = images()
    first = network(x)
    assert all(torch.equal(network(x), first) for _ in range(3))
    assert int(network.step) == 0
    parts = torch.split(network.masks.detach(), network.candidates)
    for chosen, part in zip(network.active, parts, strict=True):
        rest = [float(v) for i, v in enumerate(part) if i not in chosen]
        assert min(float(part[i]) for i in chosen) >= max(rest, default=0)
    with torch.no_grad():
        network.masks.fill_(0.5)
    assert network.largest() == [list(range(min(2, n))) for n in skeleton.candidates]


def test_batch_norm_is_estimated_as_the_mean_of_the_batches() -> None:
    network = shuffled(masked(RESNEXT)).pruned()
    momenta = {m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)}
    estimate_batch_norm(network, TASK, "cpu", 100)
    assert momenta == {m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)}
    stem = network.get_submodule(network.plan[0].name)
    x = torch.from_numpy(TASK.split("train")[0]).float() / 255
    x = (x - torch.tensor(TASK.mean)[:, None, None]) / torch.tensor(TASK.std)[:, None, None]
    with torch.no_grad():
        means = [stem.conv(b).mean((0, 2, 3)) for b in x.split(100) if len(b) == 100]
    torch.testing.assert_close(
        stem.norm.running_mean, torch.stack(means).mean(0), rtol=1e-4, atol=1e-5
    )
