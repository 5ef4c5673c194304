"""Ways to one result, timed in turn: ratios to each other and to what the machine can do."""

from __future__ import annotations

import gc
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from nascore import _core

Clock = Callable[[], float]
_TRIAD = 8 << 20  # elements of each array: 96 MB, in no cache
_STEPS = 500_000  # of multiply-adds: a millisecond
_SECONDS, _TURNS = 2, range(3, 51)  # for all turns of a comparison, and how many there may be
_QUICK = 0.1  # seconds


class Route(NamedTuple):
    """One way to the result; `work` units of it in a call."""

    run: Callable[[], Any]
    work: float = 1


class Compare:
    """Compares ours with others and keeps a row of the table for each."""

    rows: tuple[str, ...] = (
        "| work | nascore | beside it | ratio | of the machine |",
        "| --- | --- | --- | --- | --- |",
    )

    def __init__(self, benchmark: Any, clock: Clock) -> None:
        self.benchmark, self.clock = benchmark, clock

    def __call__(
        self,
        work: str,
        unit: str,
        routes: Mapping[str, Route],
        agree: Callable[..., object],
        *,
        gflop: float = 0,
        gbytes: float = 0,
    ) -> None:
        """Units per second of every route, the median of its turns; the first is ours.

        `agree` takes what the routes return, in order, and asserts what these must share. `gflop`
        or `gbytes` is the least that a call of ours does or moves; the last column is that per
        second, as a share of the machine's own multiply-adds or triad in the same turns.
        """
        found, once = {}, {}
        for name, route in routes.items():
            found[name], once[name] = self._timed(route.run)
        agree(*found.values())
        if self.benchmark.disabled:
            self.benchmark(lambda: None)
            return
        del found
        quick = [name for name, seconds in once.items() if seconds < _QUICK]
        once |= {name: self._timed(routes[name].run)[1] for name in quick}  # the first was cold
        turns = min(max(int(_SECONDS / (2 * sum(once.values()))), _TURNS.start), _TURNS.stop)
        (name, ours), *others = routes.items()
        seconds: dict[str, list[float]] = {other: [] for other, _ in others}
        probe, least = (multiply_adds, gflop) if gflop else (triad, gbytes)
        probed: list[float] = []

        def turn() -> None:
            gc.collect()
            if least:
                probed.append(probe(self.clock))
            for other, route in (*others, (name, ours)):
                if other in quick:  # what it reads is in the cache, as if it were alone
                    route.run()
                if other != name:
                    seconds[other].append(self._timed(route.run)[1])

        self.benchmark.pedantic(ours.run, setup=turn, rounds=turns)
        median = self.benchmark.stats.stats.median
        rate = ours.work / median
        beside = {o: route.work / statistics.median(seconds[o]) for o, route in others}
        share = least / median / statistics.median(probed) if least else None
        self.benchmark.extra_info.update(
            {"work": work, "unit": unit, name: rate, **beside, "of_machine": share}
        )
        cells = (
            work,
            f"{_told(rate)} {unit}/s",
            "; ".join(f"{other} {_told(r)}" for other, r in beside.items()),
            "; ".join(f"{_told(rate / r)}" for r in beside.values()),
            "" if share is None else f"{share:.0%} of {'GFLOP/s' if gflop else 'GB/s'}",
        )
        row = f"| {' | '.join(cells)} |"
        Compare.rows += (row,)
        print(f"\n{row}")

    def _timed(self, run: Callable[[], Any]) -> tuple[Any, float]:
        began = self.clock()
        found = run()
        return found, self.clock() - began


def multiply_adds(clock: Clock) -> float:
    """GFLOP/s of independent multiply-adds on all of torch's threads."""
    began = clock()
    done = _core.multiply_adds(_STEPS)
    return done / (clock() - began) / 1e9


def triad(clock: Clock) -> float:
    """GB/s of a = b + s c, as STREAM counts them, on all of torch's threads."""
    if not _arrays:
        _arrays.extend(torch.ones(_TRIAD) for _ in range(3))
    a, b, c = _arrays
    began = clock()
    torch.add(b, c, alpha=2.0, out=a)
    return 3 * 4 * _TRIAD / (clock() - began) / 1e9


_arrays: list[torch.Tensor] = []


def machine() -> dict[str, Any]:
    """What the figures depend on; the rates are of one thread, per second of processor time."""
    torch.set_num_threads(1)
    rates = [(multiply_adds(time.process_time), triad(time.process_time)) for _ in range(9)]
    gflops, gbytes = (round(statistics.median(r), 1) for r in zip(*rates, strict=True))
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "instructions": _core.instruction_set(),
        "gflop_per_s": gflops,
        "gb_per_s": gbytes,
    }


def _told(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"
