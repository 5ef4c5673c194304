"""Whole programs on a CUDA device beside the CPU's."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

from nascore.networks.fuse import Fused, fuse
from nascore.ops import cell
from nascore.spaces import NASNET_A, CellStack
from nascore.surrogates.hypernetwork import use_batch_statistics
from test_fuse import SPACES, a_network, far, images, nets, trained

_cuda = pytest.importorskip("nascore._cuda", reason="built without CUDA: no nvcc, or turned off")

SHORT = [torch.float16, torch.bfloat16]


def needs_device(test: Any) -> Any:
    skip = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    return pytest.mark.gpu(skip(test))


def by_batch() -> Fused:
    network = a_network()
    use_batch_statistics(network)
    return fuse(network)


def test_what_does_not_run_is_told_before_the_launch() -> None:
    def workspace(program: Tensor, samples: int, inputs: list[int], outputs: list[int]) -> int:
        elements: int = _cuda.cell_workspace_f32(
            program.data_ptr(), len(program), 1 << 20, samples, inputs, outputs
        )
        return elements

    fused, sizes = by_batch(), ([3 * 16 * 17], [10])
    with pytest.raises(ValueError, match="a batch norm by the batch does not run on CUDA"):
        workspace(fused.program, 2, *sizes)
    program = fuse(a_network()).program
    with pytest.raises(ValueError, match="it reads 816 numbers where there are 815"):
        workspace(program, 2, [815], [10])
    with pytest.raises(ValueError, match="at most 16 inputs and outputs"):
        workspace(program, 2, [816], [10] * 17)
    with pytest.raises(ValueError, match="inputs and outputs: a size for each"):
        _cuda.cell_bf16(program.data_ptr(), 0, 1, 0, 0, 2, [], [3], [], [], 0, 0, 0)
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match=r"CUDA: .*driver"):
            workspace(program, 2, *sizes)


def test_shared_memory_is_taken_where_it_suffices() -> None:
    """On an A100: of a small cell, not of one of 32 x 32; with 44 channels of 16 bits further."""
    for side, channels, fits in ((8, 44, 2), (16, 16, 2), (16, 44, 1), (32, 32, 0)):
        net = CellStack(1, channels, stem_width=channels).expand(NASNET_A, (3, side, side), 10)
        first, last = net.seams[:2]
        rows = net.program([1, first], [last], False).instructions
        most = 163 << 10
        arguments = (rows.ctypes.data, len(rows))
        found = []
        for kind in ("f16", "bf16", "f32"):
            shared = getattr(_cuda, f"cell_shared_{kind}")
            taken, wanted = (shared(*arguments, most_) for most_ in (most, 1 << 40))
            assert taken <= most
            found.append(taken == wanted)
        assert found == [fits > 0, fits > 0, fits > 1]


@needs_device
@pytest.mark.parametrize(
    ("space", "skeleton"), SPACES, ids=[type(space).__name__ for space, _ in SPACES]
)
@pytest.mark.parametrize(("size", "samples"), [(16, 3), (21, 300)])
def test_networks_give_what_they_give_on_the_cpu(
    space: Any, skeleton: Any, size: int, samples: int
) -> None:
    for net in nets(space, skeleton, size, 3, 3):
        fused, x = fuse(trained(net)), images(samples, size)
        with torch.inference_mode():
            wanted = fused.exits(x)
            found = fused.cuda().exits(x.cuda())
        for y, want in zip(found, wanted, strict=True):
            assert y.is_cuda
            assert far(y.cpu(), want) < 1e-5


@needs_device
@pytest.mark.parametrize("dtype", SHORT, ids=str)
@pytest.mark.parametrize(
    ("space", "skeleton"), SPACES, ids=[type(space).__name__ for space, _ in SPACES]
)
def test_of_16_bits_the_error_is_at_most_twice_torchs(
    space: Any, skeleton: Any, dtype: torch.dtype
) -> None:
    for net in nets(space, skeleton, 16, 3, 3):
        network = trained(net)
        fused, theirs = fuse(network).to("cuda", dtype), copy.deepcopy(network).to("cuda", dtype)
        x = images(64, 16).to(dtype)
        with torch.inference_mode():
            exact = network.double().exits(x.double())
            found, rival = fused.exits(x.cuda()), theirs.exits(x.cuda())
        for y, other, want in zip(found, rival, exact, strict=True):
            assert y.dtype is dtype
            assert y.shape == want.shape
            assert far(y.cpu().double(), want) <= 2 * far(other.cpu().double(), want)


def a_cell(side: int, channels: int) -> tuple[Fused, list[Tensor]]:
    """With images for it."""
    stack = CellStack(1, channels, stem_width=channels)
    network = trained(stack.expand(NASNET_A, (3, side, side + 1), 10))
    first, last = network.net.seams[:2]
    draw = torch.Generator().manual_seed(side)
    shapes = [tuple(network.net.rows[row][6:]) for row in (1, first)]
    given = [torch.randn(5, *map(int, shape), generator=draw) for shape in shapes]
    return Fused(network, (1, first), (last, first)), given


@needs_device
@pytest.mark.parametrize(("side", "channels"), [(8, 16), (8, 44), (32, 44), (33, 10)])
def test_a_cell_in_shared_memory_and_in_a_workspace(side: int, channels: int) -> None:
    part, given = a_cell(side, channels)
    on_device = [x.cuda() for x in given]
    wanted = part.exits(*given)
    found = part.cuda().exits(*on_device)
    for y, want in zip(found, wanted, strict=True):
        assert y.is_cuda
        assert far(y.cpu(), want) < 1e-5
    # Without the copy that the module keeps.
    arguments = (on_device, part.program, part.weights, part.shapes)
    assert all(map(torch.equal, cell(*arguments), found))
    torch.library.opcheck(
        torch.ops.nascore.cell.default, arguments, test_utils=("test_schema", "test_faketensor")
    )


@needs_device
@pytest.mark.parametrize("dtype", SHORT, ids=str)
@pytest.mark.parametrize(("side", "channels"), [(8, 16), (32, 44), (33, 10)])
def test_a_cell_of_16_bits(side: int, channels: int, dtype: torch.dtype) -> None:
    part, given = a_cell(side, channels)
    given = [x.to(dtype) for x in given]
    wanted = part.exits(*(x.float() for x in given))
    weights = part.weights
    part.to("cuda", dtype)
    assert torch.equal(part.weights.cpu(), weights)  # as they were, in float32
    on_device = [x.cuda() for x in given]
    arguments = (on_device, part.program, part.weights, part.shapes)
    for y, want in zip(cell(*arguments), wanted, strict=True):
        assert y.dtype is dtype
        assert far(y.cpu().float(), want) < (0.002 if dtype == torch.float16 else 0.015)
    torch.library.opcheck(
        torch.ops.nascore.cell.default, arguments, test_utils=("test_schema", "test_faketensor")
    )
    with pytest.raises(ValueError, match=r"inputs\[1\]: torch.float32, where inputs\[0\] has"):
        cell([on_device[0], on_device[1].float()], *arguments[1:])
    with pytest.raises(ValueError, match=r"inputs\[0\]: expected .* got torch.float64"):
        cell([x.double() for x in on_device], *arguments[1:])
    with pytest.raises(ValueError, match=r"module.s type, got torch\.float32"):
        part(*(x.float() for x in on_device))


@needs_device
def test_a_graph_captures_it_and_two_streams_run_it() -> None:
    fused, x = fuse(a_network()), images(64, 16)
    with torch.inference_mode():
        wanted = fused(x)
        fused.cuda()
        still = x.cuda()
        fused(still)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = fused(still)
        still.copy_(x.flip(0))
        graph.replay()
        assert far(y.cpu(), wanted.flip(0)) < 1e-5
        streams, found = [torch.cuda.Stream() for _ in range(2)], []
        torch.cuda.synchronize()
        for stream in streams * 5:
            with torch.cuda.stream(stream):
                found.append(fused(still))
        torch.cuda.synchronize()
        assert all(torch.equal(y, found[0]) for y in found)


@needs_device
def test_host_threads_run_cells_that_take_different_shared_memory() -> None:
    def often(size: tuple[int, int]) -> float:
        part, given = a_cell(*size)
        wanted, on_device = part(*given), [x.cuda() for x in given]
        part.cuda()
        torch.cuda.synchronize()
        with torch.cuda.stream(torch.cuda.Stream()):
            return max(far(part(*on_device).cpu(), wanted) for _ in range(200))

    with ThreadPoolExecutor(2) as pool:
        assert max(pool.map(often, [(8, 44), (16, 16)])) < 1e-5


@needs_device
def test_a_batch_norm_by_the_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="does not run on CUDA"):
        by_batch().cuda()(images(2, 16).cuda())


@needs_device
@pytest.mark.parametrize("dtype", [torch.float32, *SHORT], ids=str)
def test_no_images_and_what_is_not_a_number(dtype: torch.dtype) -> None:
    fused, x = fuse(a_network()).to("cuda", dtype), images(3, 16).to("cuda", dtype)
    with torch.inference_mode():
        assert fused(x[:0]).shape == (0, 10)
        x[1] = torch.nan
        assert fused(x).isnan().any(1).tolist() == [False, True, False]
