"""What holds of every operator: torch compiles and exports it whole, threads run it at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nascore import fuse, ops
from nascore.networks import build_net
from nascore.ops.cell import cell
from nascore.spaces import CellStack
from nascore.spaces.published import NASNET_A

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(4, 6, 9, 7, generator=DRAW)
DEPTHWISE, POINTWISE = torch.randn(6, 1, 3, 3), torch.randn(5, 6, 1, 1)
DENSE, SCALE, SHIFT = torch.randn(5, 6, 3, 3), torch.rand(5) + 0.5, torch.randn(5)
MASK, WEIGHTS = torch.tensor([0.5, 0.0, 1.0]), torch.arange(40, dtype=torch.int32).reshape(4, 10)
FUSED = fuse(
    build_net(CellStack(1, 8, stem_width=8, reductions=0).expand(NASNET_A, (6, 9, 7), 3)).eval()
)
Function = Callable[..., Any]
# Each with what it is called with, images or rows first.
OPERATORS: dict[str, tuple[Function, tuple[Tensor, ...]]] = {
    "masked_sum": (lambda x, y, m: ops.masked_sum([x, y, x], m), (X, X.flip(0), MASK)),
    "masked_sum, each its own": (
        lambda x, m: ops.masked_sum([x, x, x], m),
        (X, torch.rand(4, 3, generator=DRAW)),
    ),
    "masked_dots": (lambda x, y: ops.masked_dots(x, [x, y]), (X, X.flip(0))),
    "conv": (ops.conv, (X, DENSE, SCALE, SHIFT)),
    "sep_conv": (ops.sep_conv, (X, DEPTHWISE, POINTWISE, SCALE, SHIFT)),
    "sep_conv_norm": (ops.sep_conv_norm, (X, DEPTHWISE, POINTWISE, SCALE, SHIFT)),
    "cell": (lambda x, w: cell([x], FUSED.program, w, FUSED.shapes), (X, FUSED.weights)),
    "draw_k": (lambda w: ops.draw_k(w, 3, 5, 1, 2), (WEIGHTS,)),
    "draw_bernoulli": (lambda w: ops.draw_bernoulli(w, 5, 1, 2), (WEIGHTS,)),
    "draw_categorical": (lambda w: ops.draw_categorical(w, w >= 0, 5, 1, 2), (WEIGHTS,)),
}
every = pytest.mark.parametrize(("run", "given"), OPERATORS.values(), ids=OPERATORS)


def parts(found: Any) -> list[Tensor]:
    return [found] if isinstance(found, Tensor) else list(found)


def same(found: Any, wanted: Any) -> bool:
    pairs = zip(parts(found), parts(wanted), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@every
def test_torch_compiles_it_whole(run: Function, given: tuple[Tensor, ...]) -> None:
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    assert same(compiled(*given), run(*given))


@every
def test_torch_exports_it_whole(run: Function, given: tuple[Tensor, ...]) -> None:
    class Module(nn.Module):
        def forward(self, *arguments: Tensor) -> Any:
            return run(*arguments)

    program = torch.export.export(Module(), given)
    assert "nascore." in str(program.graph)
    assert same(program.module()(*given), run(*given))


@every
def test_threads_run_it_at_once(run: Function, given: tuple[Tensor, ...]) -> None:
    wanted = run(*given)
    with ThreadPoolExecutor(4) as threads:
        assert all(same(f, wanted) for f in threads.map(lambda _: run(*given), range(40)))


@every
def test_any_layout_is_taken(run: Function, given: tuple[Tensor, ...]) -> None:
    strided = [t.repeat_interleave(2, -1)[..., ::2] for t in given]
    assert not strided[0].is_contiguous()
    for found, wanted in zip(parts(run(*strided)), parts(run(*given)), strict=True):
        torch.testing.assert_close(found, wanted)


@every
def test_no_images_give_none(run: Function, given: tuple[Tensor, ...]) -> None:
    first = given[0]
    none = [t[:0] if t.shape[0] == first.shape[0] and t is not MASK else t for t in given]
    if run is ops.sep_conv_norm:
        with pytest.raises(ValueError, match="less than 2 numbers"):  # of which there is no mean
            run(*none)
        return
    for found, full in zip(parts(run(*none)), parts(run(*given)), strict=True):
        if found.dim() > 1 or full.dtype == torch.int32:
            assert found.shape == (0, *full.shape[1:])
        else:  # sums over the images
            assert torch.equal(found, torch.zeros_like(full))


def test_a_draw_of_what_is_traced_still_refuses_wrong_weights() -> None:
    draw = torch.compile(lambda w: ops.draw_k(w, 3, 5, 1, 2), fullgraph=True, backend="aot_eager")
    with pytest.raises(ValueError, match="row 0"):
        draw(WEIGHTS - 1)


def test_importing_the_package_brings_nothing_heavy_but_torch() -> None:
    code = (
        "import sys, torch; before = set(sys.modules); import nascore;"
        "print(*{m.partition('.')[0] for m in set(sys.modules) - before})"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {"sklearn", "scipy", "pandas", "matplotlib", "ray", "datasets", "onnx", "PIL"}
    assert not heavy & set(found.stdout.split())
