"""`nascore doctor`, `--version`, completion, and what pyproject.toml promises of extras."""

from __future__ import annotations

import os
import re
from importlib import metadata
from pathlib import Path

import pytest

import nascore
from cli_kit import nascore as run
from nascore import cli_doctor

ROOT = Path(__file__).parents[1]
FOR_DEVELOPERS = {"all", "docs", "lint", "test"}


def extras() -> dict[str, str]:
    text = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]\n")[2]
    return dict(re.findall(r"^(\w+) = (\[.*?\])$", text.partition("\n[project.")[0], re.M | re.S))


def states(out: str) -> dict[str, str]:
    return {line.split()[1]: line.split()[0] for line in out.splitlines()}


def test_a_whole_installation_is_well() -> None:
    done = run("doctor")
    assert done.status == 0, done.out
    found = states(done.out)
    wanted = ["nascore", "python", "core", "torch", "kernels", "openmp", "machine", "cache"]
    assert [what for what in wanted if found[what] != "ok"] == []
    assert nascore.__version__ in done.out
    assert re.search(r"kernels +differ from torch by \de-", done.out)


def test_it_knows_every_extra_of_users() -> None:
    ours = set(extras()) - FOR_DEVELOPERS
    assert ours <= set(cli_doctor.EXTRAS)
    provided = set(metadata.metadata("nascore").get_all("Provides-Extra", []))
    assert set(states(run("doctor").out)) >= {f"[{name}]" for name in ours & provided}


def test_all_is_all_of_them() -> None:
    [named] = re.findall(r"nascore\[([\w,]+)\]", extras()["all"])
    assert set(named.split(",")) == set(extras()) - FOR_DEVELOPERS


def test_it_says_how_to_get_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    have = metadata.version

    def version(name: str) -> str:
        if name == "matplotlib":
            raise metadata.PackageNotFoundError(name)
        return "1.9" if name == "ray" else have(name)

    monkeypatch.setattr(metadata, "version", version)
    done = run("doctor")
    assert done.status == 0  # nobody needs them
    assert states(done.out)["[report]"] == "missing"
    assert "pip install 'nascore[report]'" in done.out
    assert re.search(r"nascore\[ray\].*not 1.9", done.out)


def test_a_torch_that_is_too_old_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    have = metadata.version
    monkeypatch.setattr(
        metadata, "version", lambda name: "2.5.1" if name == "torch" else have(name)
    )
    done = run("doctor")
    assert done.status == 1
    assert states(done.out)["torch"] == "BROKEN"
    assert "torch>=2.6, not 2.5.1" in done.out


def test_a_wrong_kernel_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(
        nascore, "fuse", lambda network: lambda images: torch.ones(2, 10), raising=False
    )
    done = run("doctor")
    assert done.status == 1
    assert states(done.out)["kernels"] == "BROKEN"


def test_a_core_that_does_not_load_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def look() -> cli_doctor.Row:
        raise ImportError("libgomp.so.1: cannot open shared object file")

    monkeypatch.setitem(cli_doctor._LOOKS, "core", look)
    done = run("doctor")
    assert done.status == 1
    assert "ImportError: libgomp.so.1: cannot open" in done.out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_closed_cache_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setenv("NASCORE_CACHE", str(tmp_path / "cache"))
    assert states(run("doctor").out)["cache"] == "BROKEN"


def test_version() -> None:
    assert run("--version").out.strip() == nascore.__version__


def test_completion_knows_commands_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_NASCORE_COMPLETE", "complete_bash")
    for words, wanted in ("nascore ret", "retrain"), ("nascore search --tri", "--trials"):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        offered = run().out.split()
        assert wanted in offered
        assert "methods" not in offered  # only what begins so


def test_the_citation_names_this_version() -> None:
    yaml = pytest.importorskip("yaml")
    card = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert card["version"] == nascore.__version__
    assert card["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "authors"} <= set(card)
