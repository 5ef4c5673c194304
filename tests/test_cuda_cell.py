"""Whole programs on a CUDA device beside the CPU's."""

from __future__ import annotations

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


def needs_device(test: Any) -> Any:
    skip = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    return pytest.mark.gpu(skip(test))


def by_batch() -> Fused:
    network = a_network()
    use_batch_statistics(network)
    return fuse(network)


def test_what_does_not_run_is_told_before_the_launch() -> None:
    def workspace(program: Tensor, samples: int, inputs: list[int], outputs: list[int]) -> int:
        floats: int = _cuda.cell_workspace(
            program.data_ptr(), len(program), 1 << 20, samples, inputs, outputs
        )
        return floats

    fused, sizes = by_batch(), ([3 * 16 * 17], [10])
    with pytest.raises(ValueError, match="a batch norm by the batch does not run on CUDA"):
        workspace(fused.program, 2, *sizes)
    program = fuse(a_network()).program
    with pytest.raises(ValueError, match="it reads 816 numbers where there are 815"):
        workspace(program, 2, [815], [10])
    with pytest.raises(ValueError, match="at most 16 inputs and outputs"):
        workspace(program, 2, [816], [10] * 17)
    with pytest.raises(ValueError, match="inputs and outputs: a size for each"):
        _cuda.cell(program.data_ptr(), 0, 1, 0, 0, 2, [], [3], [], [], 0, 0, 0)
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match=r"CUDA: .*driver"):
            workspace(program, 2, *sizes)


def test_shared_memory_is_taken_where_it_suffices() -> None:
    """On an A100: of a cell of 8 x 8 or 16 x 16, not of one of 32 x 32."""
    for side, channels, fits in ((8, 44, True), (16, 16, True), (32, 32, False)):
        net = CellStack(1, channels, stem_width=channels).expand(NASNET_A, (3, side, side), 10)
        first, last = net.seams[:2]
        rows = net.program([1, first], [last], False).instructions
        most = 163 << 10
        arguments = (rows.ctypes.data, len(rows))
        taken, wanted = (_cuda.cell_shared(*arguments, most_) for most_ in (most, 1 << 40))
        assert (taken == wanted <= most) is fits
        assert taken <= most


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
def test_no_images_and_what_is_not_a_number() -> None:
    fused, x = fuse(a_network()).cuda(), images(3, 16).cuda()
    with torch.inference_mode():
        assert fused(x[:0]).shape == (0, 10)
        x[1] = torch.nan
        assert fused(x).isnan().any(1).tolist() == [False, True, False]
