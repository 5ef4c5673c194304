"""The core on another processor, as far as a compiler for it tells."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

CORE = Path(__file__).parents[1] / "csrc"
COMPILER = shutil.which("aarch64-linux-gnu-g++")
FLAGS = ["-std=c++17", "-ffp-contract=fast", "-Wall", "-Wextra", "-Werror", "-Wno-psabi"]


@pytest.mark.skipif(COMPILER is None, reason="no aarch64-linux-gnu-g++ (Debian's package)")
def test_the_core_compiles_for_arm() -> None:
    def compiled(source: Path) -> str:
        assert COMPILER is not None
        command = [
            COMPILER,
            *FLAGS,
            "-fopenmp",
            "-DNASCORE_ISA=baseline",
            f"-I{CORE}",
            "-c",
            str(source),
        ]
        done = subprocess.run([*command, "-o", "/dev/null"], capture_output=True, text=True)
        return done.stderr if done.returncode else ""

    sources = sorted((CORE / "nascore").rglob("*.cpp"))
    assert len(sources) > 30
    with ThreadPoolExecutor(2) as pool:
        assert "".join(pool.map(compiled, sources)) == ""
