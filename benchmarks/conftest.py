"""One thread and the processor's time, so that whoever else is at work counts little.

A benchmark of several threads is marked to take the clock's:
`@pytest.mark.benchmark(timer=time.perf_counter)`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from side_by_side import Compare, machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("benchmark") is None:
            item.add_marker(pytest.mark.benchmark(timer=time.process_time))


@pytest.fixture
def compare(benchmark: Any, request: pytest.FixtureRequest) -> Compare:
    return Compare(benchmark, request.node.get_closest_marker("benchmark").kwargs["timer"])


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    machine_info.update(machine())


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.section("nascore beside others")
    terminalreporter.line(", ".join(f"{key} {value}" for key, value in machine().items()))
    for row in Compare.rows:
        terminalreporter.line(row)
