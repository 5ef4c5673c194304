"""Every method through the contract kit and its golden run; settings from text."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest

import method_kit
from nascore import methods, tasks
from nascore.methods._settings import from_json, with_settings
from nascore.spaces import Skeleton


@pytest.mark.parametrize("name", methods.names())
def test_contract(name: str) -> None:
    method_kit.check(name)


@pytest.mark.parametrize("name", methods.names())
def test_golden_run(name: str) -> None:
    kept = json.loads((method_kit.GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    assert len(kept) >= 10
    assert method_kit.golden_run(name) == kept


def test_no_golden_run_is_left_over() -> None:
    assert sorted(file.stem for file in method_kit.GOLDEN.iterdir()) == methods.names()


def test_names() -> None:
    assert {"blockqnn", "random"} <= set(methods.names())
    assert not any(name.startswith("_") for name in methods.names())


def test_unknown_names_have_near_matches() -> None:
    with pytest.raises(ValueError, match="unknown method 'blokqnn'; did you mean 'blockqnn'"):
        methods.config("blokqnn")
    with pytest.raises(ValueError, match="unknown method '_problem'"):
        methods.describe("_problem")
    with pytest.raises(ValueError, match="unknown preset 'pape'; did you mean 'paper'"):
        methods.config("random", "pape")


def test_the_config_of_another_method_is_refused() -> None:
    task = tasks.load("digits")
    for method, other in (("random", "blockqnn"), ("blockqnn", "random")):
        with pytest.raises(ValueError, match=rf"{method} wants one from .*config\('{method}'\)"):
            methods.build(method, task, methods.config(other))


@dataclass(frozen=True)
class Inner:
    size: int = 1
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Outer:
    """One field of every kind that a config may have."""

    inner: Inner = Inner()
    count: int = 3
    rate: float = 0.5
    on: bool = True
    name: str = "x"
    kind: Literal["a", "b"] = "a"
    limit: float | None = None
    pair: tuple[int, float] = (1, 2.0)
    plan: tuple[tuple[float, int], ...] = ((1.0, 2),)

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"count={self.count} must not be negative")


@pytest.mark.parametrize(
    ("setting", "changes"),
    [
        ("count=4", {"count": 4}),
        (" count = 4 ", {"count": 4}),
        ("rate=2", {"rate": 2.0}),
        ("rate=1e-3", {"rate": 0.001}),
        ("on=false", {"on": False}),
        ("on=False", {"on": False}),
        ("name=y", {"name": "y"}),
        ("name=a=b", {"name": "a=b"}),
        ("name='4'", {"name": "4"}),
        ("kind=b", {"kind": "b"}),
        ("limit=3", {"limit": 3.0}),
        ("limit=none", {"limit": None}),
        ("limit=None", {"limit": None}),
        ("pair=(2,3)", {"pair": (2, 3.0)}),
        ("plan=[(1,5),(0.5,6)]", {"plan": ((1.0, 5), (0.5, 6))}),
        ("plan=()", {"plan": ()}),
        ("inner.size=7", {"inner": Inner(7)}),
        ("inner.sizes=[4]", {"inner": Inner(sizes=(4,))}),
    ],
)
def test_settings(setting: str, changes: dict[str, Any]) -> None:
    config = with_settings(Outer(), [setting])
    assert config == replace(Outer(), **changes)
    assert [type(value) for value in vars(config).values()] == [
        type(value) for value in vars(replace(Outer(), **changes)).values()
    ]


def test_later_settings_win() -> None:
    assert with_settings(Outer(), ["count=4", "inner.size=7", "count=5"]) == Outer(Inner(7), 5)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("count", "setting 'count': write it as key=value"),
        ("cuont=4", "unknown key 'cuont'; did you mean 'count'"),
        ("inner.sise=4", "unknown key 'sise'; did you mean 'size'"),
        ("inner=4", "inner is a group; set one of inner.size, inner.sizes"),
        ("count.x=4", "count.x: count is a single value, it has no 'x'"),
        ("count=1.5", "count=1.5: expected int, got 1.5"),
        ("count=True", "count=True: expected int, got True"),
        ("count=none", "count=none: expected int, got None"),
        ("count=-1", "count=-1 must not be negative"),
        ("rate=fast", "rate=fast: expected float, got 'fast'"),
        ("rate=true", "rate=true: expected float, got True"),
        ("on=1", "on=1: expected bool, got 1"),
        ("name=4", "name=4: expected str, got 4"),
        ("kind=c", "kind=c: 'c' is not one of 'a', 'b'"),
        ("pair=3", r"pair=3: expected a list such as \(1, 2\), got 3"),
        ("pair=(1,2,3)", r"expected 2 values, got \(1, 2, 3\)"),
        ("plan=((1,'x'),)", "expected int, got 'x'"),
        ("inner.sizes=(1,'x')", "inner.sizes=.*: expected int, got 'x'"),
    ],
)
def test_bad_settings(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}|^{setting.split('=')[0]}=.*{message}"):
        with_settings(Outer(), [setting])


def test_from_json_takes_lists_for_tuples() -> None:
    data = {"stem_width": 8, "widths": [8, 16]}
    assert from_json(Skeleton, data) == Skeleton(stem_width=8, widths=(8, 16))
    data = {"inner": {"size": 2, "sizes": [3]}, "plan": [[1, 2]], "rate": 1}
    assert from_json(Outer, data) == Outer(Inner(2, (3,)), rate=1.0, plan=((1.0, 2),))
