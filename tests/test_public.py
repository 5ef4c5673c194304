"""What `import nascore` gives, and what the README shows of it."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

import nascore
from nascore import cli

README = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")
FENCED = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
SNIPPETS = [text for language, text in FENCED if language == "python"]
COMMANDS = [
    line
    for language, text in FENCED
    for line in text.splitlines()
    if language != "python" and line.startswith("nascore ")
]

HEAVY = {"torch", "numpy", "sqlalchemy", "sklearn", "datasets", "matplotlib", "PIL"}


@pytest.mark.parametrize("module", ["nascore", "nascore.cli"])
def test_imports_are_quick(module: str) -> None:
    program = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "nascore" in loaded
    assert not loaded & HEAVY


def test_every_public_name_is_there_and_explained() -> None:
    assert dir(nascore) == nascore.__all__ == sorted(nascore.__all__)
    assert set(nascore.__all__) == {*nascore._HOMES, *nascore._MODULES, "has_cuda"}
    for name in nascore.__all__:
        assert inspect.getdoc(getattr(nascore, name)), name
    with pytest.raises(AttributeError, match="module 'nascore' has no attribute 'biuld'"):
        nascore.biuld  # noqa: B018


@pytest.mark.parametrize(("devices", "answer"), [(None, False), (0, False), (2, True)])
def test_cuda_takes_kernels_and_a_device(
    devices: int | None, answer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = None if devices is None else SimpleNamespace(device_count=lambda: devices)
    monkeypatch.delattr(nascore, "_cuda", raising=False)
    monkeypatch.setitem(sys.modules, "nascore._cuda", module)  # None: as if it were not built
    assert nascore.has_cuda() is answer


def test_the_readme_has_what_is_tested_here() -> None:
    assert SNIPPETS
    assert README.count("import nascore") == sum(text.count("import nascore") for text in SNIPPETS)
    assert {line.split()[1] for line in COMMANDS} >= {"search", "resume", "show", "retrain"}


def test_the_python_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        "__name__": "__main__"
    }  # later snippets may use what earlier ones made
    for text in SNIPPETS:
        exec(compile(text, "README.md", "exec"), names)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_of_the_readme_exist(line: str) -> None:
    name, *arguments = shlex.split(line, comments=True)[1:]
    commands = typer.main.get_command(cli.app).commands
    assert commands[name].make_context(name, arguments).args == []  # raises for an unknown option


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = nascore.BlockSpace().architecture("[(1,1,3,0,0)]")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"drawings need matplotlib: pip install 'nascore\[rep"):
        nascore.draw(block, tmp_path / "block.svg")
