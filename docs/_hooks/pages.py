"""What mkdocs puts into pages: `{{ settings NAME }}`, `{{ figure NAME }}`, `{{ commands }}`."""

from __future__ import annotations

import re
from typing import Any

import figures
import settings
import typer.main

from nascore.cli import app

_FILLED = re.compile(r"^\{\{ (settings|figure|commands) ?(.*?) \}\}$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    return _FILLED.sub(lambda found: _fill(found[1], found[2]), markdown)


def _fill(what: str, name: str) -> str:
    if what == "settings":
        return settings.table(name)
    return figures.figure(name) if what == "figure" else commands()


def commands() -> str:
    """Every command with its arguments and options, as the command line knows them."""
    text = ""
    group = typer.main.get_command(app)
    for name, command in sorted(group.commands.items()):  # type: ignore[attr-defined]
        words = [
            p.metavar or p.name.upper() for p in command.params if not p.opts[0].startswith("-")
        ]
        text += f"## nascore {' '.join([name, *words])}\n\n{command.help}\n\n"
        options = [p for p in command.params if p.opts[0].startswith("-")]
        if options:
            text += "| option | what it does | default |\n| --- | --- | --- |\n"
        for option in options:
            names = ", ".join(f"`{flag}`" for flag in (*option.opts, *option.secondary_opts))
            default = "" if option.default in (None, False, ()) else f"`{option.default}`"
            text += f"| {names} | {(option.help or '').replace('|', '&#124;')} | {default} |\n"
        text += "\n"
    return text
