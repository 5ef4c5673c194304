"""A file imports only from lower levels, or from its own folder without a circle."""

from __future__ import annotations

import ast
import subprocess
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import nascore
from nascore import _core

ROOT = Path(nascore.__file__).parent

LEVELS = {
    "_core": 2,
    "_cuda": 2,
    "files": 2,
    "machine": 2,
    "names": 2,
    "spaces": 3,
    "ops": 3,
    "tasks": 3,
    "trial": 4,
    "sampling": 5,
    "networks": 5,
    "search": 5,
    "surrogates": 6,
    "results": 6,
    "agents": 7,
    "evaluators": 7,
    "methods": 8,
    "compare": 9,
    "report": 9,
    "retrain": 9,
    "tables": 9,
    "__init__": 10,  # it only re-exports, lazily
    "cli_parts": 10,
    "cli_compare": 10,
    "cli_doctor": 11,
    "cli_export": 11,
    "cli_report": 11,
    "cli_retrain": 11,
    "cli_show": 11,
    "cli_targets": 10,
    "cli": 12,
    "__main__": 13,
}


def modules() -> list[str]:
    """Every module below the package, as a path without suffix: "search/loop"."""
    return sorted(str(p.relative_to(ROOT).with_suffix("")) for p in ROOT.rglob("*.py"))


def imports(module: str) -> set[str]:
    """The modules of the package that `module` imports anywhere, for type checking excepted."""
    tree = ast.parse((ROOT / f"{module}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {resolve(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: write imports in full"
            found |= {resolve(f"{node.module}.{alias.name}") for alias in node.names}
    return found - {None}


def resolve(name: str) -> str | None:
    """The module of the package that holds `name` ("nascore.search.Store"); None if foreign."""
    package, *parts = name.split(".")
    if package != "nascore":
        return None
    known = {*modules(), "_core", "_cuda"}
    for end in range(len(parts), -1, -1):
        for path in ("/".join(parts[:end]), "/".join([*parts[:end], "__init__"])):
            if path in known:
                return path
    raise AssertionError(f"{name} is in no module of the package")


def level(module: str) -> int:
    return LEVELS[module.split("/")[0]]


def test_the_walk_finds_imports() -> None:
    assert "search/store" in imports("search/loop")
    assert {"tasks/__init__", "methods/_problem"} <= imports("methods/blockqnn")


@pytest.mark.parametrize("module", modules())
def test_no_import_climbs(module: str) -> None:
    for other in imports(module):
        same_room = "/" in module and module.split("/")[0] == other.split("/")[0]
        assert level(other) < level(module) or same_room, f"{module} imports {other} above it"


def test_no_circles() -> None:
    graph = {
        m: {o for o in imports(m) if not o.endswith("__init__")}
        for m in modules()
        if m != "__init__"
    }
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("library", ["_core", "_cuda"])
def test_compiled_modules_link_nothing_heavy(library: str) -> None:
    files = list(Path(_core.__file__).parent.glob(f"{library}.*.so"))
    if not files:
        pytest.skip(f"{library} is not part of this build")
    linked = subprocess.run(["ldd", files[0]], capture_output=True, text=True, check=True).stdout
    assert "libstdc++" in linked
    for heavy in ("libtorch", "libcuda", "libcudart", "libc10"):
        assert heavy not in linked
