"""How cost grows with the size of the tree, of codes, batches and networks, and with workers.

`python benchmarks/growth.py [PNG]` measures for some minutes and draws docs/images/growth.png.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch

from nascore import _core
from nascore.agents.random import Random
from nascore.networks import build_net
from nascore.networks.scoring import place
from nascore.search import AskTell, RayWorkers, Search, Watched
from nascore.spaces import BlockSpace, ChoicesSpace, Skeleton
from side_by_side import machine

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from graph_kit import random_code
from toys import ToyEvaluator, accuracy

NODES = 10_000_000
BLOCK = "[(1,1,3,0,0),(2,1,3,1,0),(3,5,0,0,2),(4,1,5,0,0),(5,2,3,4,0),(6,6,0,3,5)]"
Points = dict[float, float]


def seconds(run: Callable[[], Any], turns: int = 7) -> float:
    """Of the processor, the median; a turn lasts two milliseconds at least."""
    run()
    began = time.process_time()
    run()
    calls = 1 + int(2e-3 / (time.process_time() - began))
    found = []
    for _ in range(turns):
        began = time.process_time()
        for _ in range(calls):
            run()
        found.append((time.process_time() - began) / calls)
    return statistics.median(found)


def tree(transpositions: bool) -> Points:
    """Nodes -> simulations/s since the last point."""
    space = BlockSpace(12)
    weights = np.random.default_rng(0).integers(0, 9, space.features(space.start(1)).shape[1]) / 64
    grown = _core.Tree(space.core, "ucb1", 2.0, seed=1, transpositions=transpositions)
    found = {}
    for until in np.geomspace(1e5, NODES, 9):
        first, began = grown.visits(0), time.process_time()
        while grown.size < until:
            grown.simulate(1_000, weights)
        found[grown.size] = (grown.visits(0) - first) / (time.process_time() - began)
    each = grown.bytes / grown.size
    assert each <= (80 if transpositions else 48)
    print(f"{grown.size:,} nodes, transpositions {transpositions}: {each:.1f} bytes each")
    return found


def codes(work: Callable[[np.ndarray], Any]) -> Points:
    """Layers -> codes/s."""
    rng = np.random.default_rng(0)
    found = {}
    for layers in range(1, 24, 2):
        some = np.stack([random_code(rng, layers) for _ in range(2000)])
        found[layers] = len(some) / seconds(lambda some=some: work(some))
    return found


def batches(work: Callable[[int], Callable[[], Any]]) -> Points:
    """Items of a call -> items/s."""
    sizes = [1, 4, 16, 64, 256, 1024, 4096, 16384]
    return {n: n / seconds(work(n)) for n in sizes}


def hashing(n: int) -> Callable[[], Any]:
    rng = np.random.default_rng(0)
    some = np.stack([random_code(rng, 12) for _ in range(n)])
    return lambda: _core.nsc_hash(some)


def masking(n: int) -> Callable[[], Any]:
    weights = np.random.default_rng(0).integers(1, _core.MASK_ONE, (n, 16)).astype(np.uint32)
    return lambda: _core.draw_k(weights, 4, 1, 2, 3)


def network(width: int, batch: int) -> float:
    """GFLOP/s of one pass, two for a multiply-add."""
    block, skeleton = BlockSpace().architecture(BLOCK), Skeleton.small().resized(width=width)
    net = skeleton.expand(block, (3, 32, 32), 10)
    made = build_net(net).eval()
    place(made, torch.device("cpu"))
    x = torch.randn(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        return 2e-9 * net.macs * batch / seconds(lambda: made(x), turns=5)


def workers(n: int) -> float:
    """The share of the ideal speed-up that n of Ray's workers reach, where evaluations sleep."""
    space, trials, sleep_s = ChoicesSpace((10,) * 8), 80, 0.25

    def search(trials: int, sleep_s: float) -> Search:
        stage = AskTell(Random(space, 0), ToyEvaluator(sleep_s), accuracy, trials, batch=n)
        return Search("toy", {}, "toy", 0, [stage])

    with RayWorkers(n) as executor:
        list(search(n, 0).run(executor=executor))  # its processes start
        began = time.perf_counter()
        list(search(trials, sleep_s).run(executor=Watched(executor), order="arrival"))
        return trials * sleep_s / (time.perf_counter() - began) / n


def draw(path: Path, panels: dict[tuple[str, str], dict[str, Points]], title: str) -> None:
    figure, axes = plt.subplots(2, 3, figsize=(12, 6.5), layout="constrained")
    for axis, ((x, y), lines) in zip(axes.flat, panels.items(), strict=True):
        for name, points in lines.items():
            axis.plot(list(points), list(points.values()), "o-", ms=3, label=name)
        axis.set(xlabel=x, ylabel=y, ylim=(0, None))
        if max(map(max, lines.values())) > 100:
            axis.set_xscale("log")
        if any(lines):
            axis.legend(fontsize=8)
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, dpi=100)


def main(path: Path) -> None:
    os.environ["PYTHONPATH"] = os.pathsep.join([sys.path[-1], os.environ.get("PYTHONPATH", "")])
    torch.set_num_threads(1)
    found = machine()
    ceiling = found["gflop_per_s"]
    widths, images = (8, 16, 32, 64), (1, 4, 16, 64)
    by_width = {w: network(w, 16) for w in widths}
    by_batch = {n: network(16, n) for n in images}
    panels = {
        ("nodes of the tree", "simulations/s"): {
            "tree": tree(False),
            "with transpositions": tree(True),
        },
        ("layers of a code", "codes/s"): {
            "validated": codes(_core.nsc_validate),
            "hashed": codes(_core.nsc_hash),
        },
        ("items of a call", "items/s"): {
            "codes of 12 layers hashed": batches(hashing),
            "masks, 4 of 16": batches(masking),
        },
        ("channels of a network, batch 16", "GFLOP/s"): {
            "network": by_width,
            "multiply-adds": dict.fromkeys(widths, ceiling),
        },
        ("images of a batch, 16 channels", "GFLOP/s"): {
            "network": by_batch,
            "multiply-adds": dict.fromkeys(images, ceiling),
        },
        ("workers", "share of the ideal speed-up"): {
            "over Ray": {n: workers(n) for n in (1, 2, 4)}
        },
    }
    for (x, y), lines in panels.items():
        for name, points in lines.items():
            print(
                f"{y} by {x}, {name}: " + ", ".join(f"{k:,}: {v:,.3g}" for k, v in points.items())
            )
    draw(path, panels, ", ".join(f"{key} {value}" for key, value in found.items()))


if __name__ == "__main__":
    default = Path(__file__).parents[1] / "docs" / "images" / "growth.png"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
