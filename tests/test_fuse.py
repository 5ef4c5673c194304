"""Fused networks beside the modules that they stand for, on every space's networks."""

from __future__ import annotations

import multiprocessing
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import nascore
from nascore.agents.random import Random
from nascore.networks import Network, build_net
from nascore.networks.fuse import Fused, fuse
from nascore.ops import cell
from nascore.spaces import (
    AnytimeNet,
    AnytimeSpace,
    BlockSpace,
    CellSpace,
    CellStack,
    Chain,
    EdgeDagSpace,
    LayerSpace,
    Skeleton,
    SkipNet,
    SkipSpace,
    SumDagSpace,
)
from nascore.spaces.published import NASNET_A, irlas_mobile
from nascore.surrogates.hypernetwork import use_batch_statistics

SPACES = [
    (BlockSpace(8), Skeleton(8, 1, True, 2, (8, 12))),
    (BlockSpace(8), Skeleton(8, 1, True, 2, (8, 12), depthwise=True)),
    (EdgeDagSpace(), Skeleton.small()),
    (SumDagSpace(6), Skeleton.small()),
    (LayerSpace(64, 6, (4, 8), (16,)), Chain()),
    (CellSpace(), CellStack(1, 6, stem_width=5, auxiliary=True)),
    (SkipSpace((6,), strides=(1, 2)), SkipNet()),
    (AnytimeSpace((5, 4, 2)), AnytimeNet(4, (4, 6, 8))),
]


def trained(net: Any, seed: int = 0) -> Network:
    """A network whose norms have something to fold."""
    network = build_net(net, seed)
    draw = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)):
            nn.init.uniform_(module.weight, -1.5, 1.5, generator=draw)
            nn.init.normal_(module.bias, generator=draw)
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            module.running_mean.normal_(generator=draw)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2, generator=draw)
    return network.eval()


def nets(space: Any, skeleton: Any, size: int, seed: int, n: int) -> list[Any]:
    found = []
    for proposal in Random(space, seed).ask(n):
        try:
            found.append(skeleton.expand(proposal.architecture, (3, size, size + 1), 10))
        except ValueError:  # too wide, or an empty block
            continue
    return [net for net in found if net.macs < 5e7]


def images(samples: int, size: int) -> Tensor:
    draw = torch.Generator().manual_seed(samples)
    return torch.randn(samples, 3, size, size + 1, generator=draw)


def far(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm().clamp(min=1e-30))  # all may be 0


@pytest.mark.parametrize(
    ("space", "skeleton"), SPACES, ids=[type(space).__name__ for space, _ in SPACES]
)
@pytest.mark.parametrize("by_batch", [False, True], ids=["running", "batch"])
@given(seed=st.integers(0, 10**6), samples=st.integers(1, 5), size=st.sampled_from([16, 21]))
@settings(max_examples=6, deadline=None)
def test_fused_networks_give_what_the_modules_give(
    space: Any, skeleton: Any, by_batch: bool, seed: int, samples: int, size: int
) -> None:
    for net in nets(space, skeleton, size, seed, 2):
        network = trained(net, seed)
        if by_batch:
            use_batch_statistics(network)
            samples = 64  # of few, a norm by the batch magnifies rounding
        x = images(samples, size)
        with torch.inference_mode():
            pairs = zip(fuse(network).exits(x), network.exits(x), strict=True)
            assert all(far(found, wanted) < 1e-4 for found, wanted in pairs)


def test_published_networks_are_fused() -> None:
    stack = CellStack(2, 8, stem_width=6)
    for net in (stack.expand(NASNET_A, (3, 32, 33), 10), irlas_mobile((3, 32, 33), 10)):
        network, x = trained(net), images(2, 32)
        with torch.inference_mode():
            assert far(fuse(network)(x), network(x)) < 1e-4


def a_network() -> Network:
    stack = CellStack(1, 8, stem_width=6)
    return trained(stack.expand(NASNET_A, (3, 16, 17), 10))


def test_no_convolution_of_torch_is_left() -> None:
    fused, x = fuse(a_network()), images(2, 16)
    with torch.inference_mode(), torch.profiler.profile() as profile:
        fused(x)
        cell([x], fused.program, fused.weights, fused.shapes)
    names = {event.key for event in profile.key_averages()}
    assert "nascore::cell" in names
    assert not [name for name in names if "conv" in name or "batch_norm" in name]


def test_a_part_of_a_network_has_any_inputs_and_outputs() -> None:
    network, x = a_network(), images(3, 16)
    results = {0: x}
    with torch.inference_mode():
        for call in network.plan:
            module = network.get_submodule(call.name)
            results[call.row] = module(*(results[j] for j in call.inputs))
        first, last = network.net.seams[:2]
        part = Fused(network, (1, first), (last, first, 1))
        found = part.exits(results[1], results[first])
    for row, y in zip((last, first, 1), found, strict=True):
        assert far(y, results[row]) < 1e-4
    with pytest.raises(ValueError, match="the outputs need row 0, the image, beside the inputs"):
        Fused(network, (first,), (last,))
    with pytest.raises(ValueError, match="row 999 is not one of the net's"):
        Fused(network, (0,), (999,))


def test_any_layout_and_no_images_at_all() -> None:
    fused, x = fuse(a_network()), images(4, 16)
    with torch.inference_mode():
        wanted = fused(x)
        for given_ in (x.contiguous(memory_format=torch.channels_last), x.mT.contiguous().mT):
            assert torch.equal(fused(given_), wanted)
        assert torch.equal(fused(x[::2]), wanted[::2])
        assert fused(x[:0]).shape == (0, 10)


def test_the_bits_are_those_of_one_thread() -> None:
    fused = fuse(a_network())
    threads = torch.get_num_threads()
    with torch.inference_mode():
        for samples in (1, 8):
            found = []
            for n in (1, 2):
                torch.set_num_threads(n)
                found.append(fused(images(samples, 16)))
            torch.set_num_threads(threads)
            assert torch.equal(*found)


def test_threads_run_at_once() -> None:
    fused, x = fuse(a_network()), images(8, 16)
    wanted, start = fused(x), threading.Barrier(4)

    def many(_: int) -> bool:
        start.wait()
        return all(torch.equal(fused(x), wanted) for _ in range(20))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(many, range(4)))


def _child(answer: Any, fused: Fused, x: Tensor) -> None:
    answer.put(fused(x).tolist())


def test_a_forked_child_runs_it() -> None:
    fused, x = fuse(a_network()), images(16, 16)
    wanted = fused(x)  # a team of threads is there
    context = multiprocessing.get_context("fork")
    answer = context.Queue()
    child = context.Process(target=_child, args=(answer, fused, x))
    child.start()
    assert torch.equal(torch.tensor(answer.get(timeout=60)), wanted)
    child.join()


def test_torch_accepts_the_operator() -> None:
    fused, x = fuse(a_network()), images(2, 16)
    arguments = ([x], fused.program, fused.weights, fused.shapes)
    torch.library.opcheck(torch.ops.nascore.cell.default, arguments)
    program = torch.export.export(fused, (x,))
    assert torch.equal(program.module()(x), fused(x))
    compiled = torch.compile(fused, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x), fused(x))


def test_a_trace_has_the_operator() -> None:
    fused, x = fuse(a_network()), images(2, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        traced = torch.jit.trace(fused, images(3, 16))
    assert torch.equal(traced(x), fused(x))


def test_it_is_a_module_like_others() -> None:
    fused, x = fuse(a_network()), images(2, 16)
    other = fuse(trained(a_network().net, 5))
    assert not torch.equal(other(x), fused(x))
    other.load_state_dict(fused.state_dict())
    assert torch.equal(other(x), fused(x))


def test_defaults_of_torch_have_no_say() -> None:
    network, x = a_network(), images(2, 16)
    wanted = fuse(network)(x)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(fuse(network)(x), wanted)
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"):
        assert torch.equal(fuse(network)(x), wanted)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_16_bits_are_for_cuda(dtype: torch.dtype) -> None:
    """The type of a module is that of its images: its weights stay as they are."""
    fused, x = fuse(a_network()), images(2, 16)
    wanted, packed = fused(x), fused.weights.clone()
    assert (fused.half() if dtype is torch.float16 else fused.bfloat16()) is fused
    assert torch.equal(fused.weights, packed)
    assert set(fused.state_dict()) == {"weights"}
    with pytest.raises(
        ValueError, match=f"on a CPU a program runs in torch.float32, not in {dtype}"
    ):
        fused(x.to(dtype))
    with pytest.raises(ValueError, match=f"expected {dtype}, the module's type, got torch.float32"):
        fused(x)
    fused.to("meta")  # a device without numbers, of any type
    arguments = (fused.program, fused.weights, fused.shapes)
    there = x.to("meta", dtype)
    assert [y.dtype for y in cell([there], *arguments)] == [dtype]
    with pytest.raises(ValueError, match=r"inputs\[1\]: torch.float32, where inputs\[0\] has"):
        cell([there, x.to("meta")], *arguments)
    with pytest.raises(ValueError, match=rf"torch.float32 or .*{dtype}.* got torch.float64 of 4"):
        cell([x.to("meta").double()], *arguments)
    again = fuse(a_network()).to(dtype).float()
    assert torch.equal(again(x), wanted)
    assert far(fuse(a_network().to(dtype))(x), wanted) < 0.1  # of a network of 16 bits


def test_bad_input_is_refused_at_the_seam() -> None:
    with pytest.raises(ValueError, match="Linear is no network of nascore"):
        nascore.fuse(nn.Linear(2, 2))
    mixed = a_network()
    norm = next(m for m in mixed.modules() if isinstance(m, nn.BatchNorm2d))
    norm.running_mean = norm.running_var = None
    with pytest.raises(ValueError, match="some batch norms have running statistics"):
        fuse(mixed)
    fused, x = fuse(a_network()), images(2, 16)
    with pytest.raises(ValueError, match=r"expected \[n, C, H, W\] of \(3, 16, 17\)"):
        fused(x.mT)
    with pytest.raises(ValueError, match="a program runs on the CPU, got a tensor on meta"):
        fused(x.to("meta"))
    with pytest.raises(ValueError, match="argument 2 is longer than argument 1"):
        fused.exits()
    with pytest.raises(ValueError, match=r"expected \[n, C, H, W\] .* got \[\]"):
        fused(torch.tensor(1.0))
    program, weights, shapes = fused.program, fused.weights, fused.shapes
    for arguments, message in (
        (([], program, weights, shapes), "give at least one"),
        (([x.double()], program, weights, shapes), r"inputs\[0\]: expected torch.float32"),
        (([x], program.long(), weights, shapes), "program: expected torch.int32"),
        (([x], program[:, :3], weights, shapes), "program: expected"),
        (([x], program, weights[:-1], shapes), "its weights lie beyond"),
        (([x], program, weights, []), "shapes: three numbers"),
        (([x], program, weights, [11, 1, 1]), "it writes 10 numbers where there are 11"),
        (([x[:, :, 1:]], program, weights, shapes), "it reads 816 numbers where there are 765"),
    ):
        with pytest.raises(ValueError, match=message):
            cell(*arguments)
