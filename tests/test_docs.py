"""Every snippet and command of the documentation runs as it is printed.

Where one is too dear, a comment before its block, `<!-- test: --set KEY=VALUE --trials N -->`, has
what is appended to the commands that know it; `<!-- test: replace A = B -->` puts B in A's place.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import shellingham
import typer.main

import nascore
from cli_kit import nascore as run_nascore
from nascore import cli, methods

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))
BLOCK = re.compile(
    r"((?:^<!-- test: .*? -->\n)*)"
    r'^```(\w*)(?: title="(.*?)")?\n(.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
# Programs that are not ours: what may be asked of them.
OTHERS = {
    "make": re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE),
    "ray": ["start", "stop"],
}
EXTRAS = set(
    re.findall(
        r"^(\w+) = \[",
        (ROOT / "pyproject.toml")
        .read_text()
        .partition("[project.optional-dependencies]")[2]
        .partition("\n[project.scripts]")[0],
        re.MULTILINE,
    )
)


class Page:
    """Runs a page's blocks in order, in one folder, Python's with the same names."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, patch
        self.names: dict[str, object] = {"__name__": "__main__"}

    def python(self, code: str, title: str, marks: list[str]) -> None:
        if title:  # a method, in a file of its own
            (self.folder / title).write_text(code)
            self.patch.setattr(methods, "__path__", [*methods.__path__, str(self.folder)])
            return
        exec(compile(code, "the page", "exec"), self.names)

    def commands(self, text: str, marks: list[str]) -> None:
        more = [mark for mark in marks if not mark.startswith("replace ")]
        words = shlex.split(" ".join(more))
        extras = list(zip(words[::2], words[1::2], strict=True))
        unused = set(extras)
        for mark in set(marks) - set(more):
            old, new = mark.removeprefix("replace ").split(" =")
            assert old in text, f"nothing to replace: {old}"
            text = text.replace(old, new.strip())
        for line in lines(text):
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                self.patch.setenv(*words.pop(0).split("=", 1))
            if words[:1] == ["nascore"]:
                fitting = [extra for extra in extras if known(words[1:], *extra)]
                unused -= set(fitting)
                arguments = [*words[1:], *(part for extra in fitting for part in extra)]
                done = run_nascore(*arguments)
                assert done.status == 0, f"{line}\n{done.out}\n{done.err}"
            else:
                check_foreign(words)
        assert not unused, f"no command knows {unused}"


def lines(text: str) -> Iterator[str]:
    """The commands of a block: where some have a `$`, the others are what is printed."""
    whole = text.replace("\\\n", " ").splitlines()
    prompted = [line.removeprefix("$ ") for line in whole if line.startswith("$ ")]
    yield from (line for line in prompted or whole if line.split("#")[0].strip())


def known(words: list[str], flag: str, value: str) -> bool:
    """Whether a command takes an option, and its method a setting."""
    command = typer.main.get_command(cli.app).commands.get(words[0])  # type: ignore[attr-defined]
    if command is None or flag not in {name for p in command.params for name in p.opts}:
        return False
    if flag == "--set":
        try:
            methods.with_settings(methods.config(words[1], "small"), [value])
        except ValueError:
            return False
    return True


def check_foreign(words: list[str]) -> None:
    program, *rest = words
    if program == "pip":
        for extra in re.findall(r"\[([\w,]+)\]", " ".join(rest)):
            assert set(extra.split(",")) <= EXTRAS, f"no extra {extra}"
    elif program == "torchrun":
        assert rest[2:5] == ["-m", "nascore", "retrain"], f"unknown: {' '.join(words)}"
    elif program == "python" and rest[0] != "-m":
        assert (ROOT / rest[0]).exists(), f"no file {rest[0]}"
    else:
        assert rest[0] in OTHERS[program], f"unknown: {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES)
def test_its_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / page).read_text()
    if "--install-completion" in text:  # at home; Ray keeps a token there, for all of a process
        monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(shellingham, "detect_shell", lambda: ("bash", "/bin/bash"))
    monkeypatch.syspath_prepend(str(tmp_path))
    ran = Page(tmp_path, monkeypatch)
    try:
        for comments, language, title, body in BLOCK.findall(text):
            marks = re.findall(r"<!-- test: (.*?) -->", comments)
            if language == "python":
                ran.python(body, title, marks)
            else:
                assert language in ("", "console", "sh", "bash"), f"who runs {language}?"
                ran.commands(body, marks)
    finally:
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
                del sys.modules[name]


def test_no_block_escapes() -> None:
    for page in PAGES:
        text = (DOCS / page).read_text()
        assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(BLOCK.findall(text)), page


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(DOCS / "_hooks"))
    import settings

    return settings


def test_every_setting_has_a_meaning_and_a_source(tables) -> None:
    subjects = {
        name: (methods.config(name, "paper"), methods.config(name, "small"))
        for name in methods.names()
    } | {f"space {name}": pair for name, pair in tables.SPACES.items()}
    for name, pair in subjects.items():
        for key, _, _, meaning, source in tables.rows(name, *pair):
            assert meaning, f"{name}: say what {key} is, beside it or in docs/_hooks/sources.py"
            assert source, f"{name}: say in docs/_hooks/sources.py where {key} is from"


def test_the_tables_show_what_configs_hold(tables) -> None:
    table = tables.table("metaqnn")
    assert "| `initial_q` | 0.5 | 0.5 |" in table
    assert "| `recipe.epochs` | 20 | 6 |" in table
    assert "| table 2 † |" in table
    assert "| † |" not in table


def test_every_method_has_a_page_with_figure_settings_and_commands() -> None:
    texts = [(DOCS / page).read_text() for page in PAGES if page.startswith("systems/")]
    for name in methods.names():
        [text] = [text for text in texts if f"{{{{ settings {name} }}}}" in text]
        assert "{{ figure " in text
        assert f"$ nascore search {name} " in text
        assert "differs from the paper" in text


def test_every_public_name_is_in_the_reference() -> None:
    text = (DOCS / "reference" / "api.md").read_text()
    for name in nascore.__all__:
        assert re.search(rf"\b{name}\b", text), f"{name} is not in the reference"
