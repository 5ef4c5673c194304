"""Tables of every setting of a method or a space, from its Config: values, meaning, source."""

from __future__ import annotations

import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import sources

from nascore import methods
from nascore.methods import _anytime, _problem
from nascore.networks.recipe import Recipe

# What is searched by a method that works in several spaces: name, paper's and small values.
SPACES = {
    "block": (_problem.BlockProblem(), _problem.SMALL_BLOCK),
    "layer": (_problem.LayerProblem(), _problem.SMALL_LAYER),
    "cell": (_problem.CellProblem(), _problem.SMALL_CELL),
    "skip": (_problem.SkipProblem(), _problem.SMALL_SKIP),
    "dag": (_problem.DagProblem(), _problem.SMALL_DAG),
    "connection": (_problem.ConnectionProblem(), _problem.SMALL_CONNECTION),
    "anytime": (_anytime.AnytimeProblem(), _anytime.SMALL_ANYTIME),
}
# What a recipe has where it does without.
OFF = {
    "auxiliary": 0.0,
    "clip": None,
    "cutout": 0,
    "drop_path_depth": False,
    "drop_path_keep": 1.0,
    "ema": 0.0,
    "label_smoothing": 0.0,
    "levels": (),
    "nesterov": False,
    "patience": None,
    "validate_last": 1,
}
HEAD = "| setting | `paper` | `small` | what it is | source of the paper's value |\n"
RULE = "| --- | --- | --- | --- | --- |\n"

Row = tuple[str, Any, Any, str, str]  # key, paper's value, small value, meaning, source


def table(name: str) -> str:
    """The tables, as Markdown, of a method, or of a space as `space NAME`."""
    kind, _, space = name.rpartition(" ")
    if kind == "space":
        paper, small = SPACES[space]
    else:
        paper, small = (methods.config(name, preset) for preset in ("paper", "small"))
    groups: dict[str, list[Row]] = {}
    for row in rows(name, paper, small):
        group, dot, _ = row[0].rpartition(".")
        groups.setdefault(group if dot else "", []).append(row)
    text = _table(groups.pop(""))
    for group, members in groups.items():
        body = _table(members).replace("\n", "\n    ").rstrip()
        text += f'\n??? note "`{group}.…`: {sources.group(group)}"\n\n    {body}\n'
    return text


def rows(name: str, paper: Any, small: Any, prefix: str = "") -> Iterator[Row]:
    """Every setting, nested ones too; those of the other spaces have a page of their own."""
    says = remarks(type(paper))
    for field in fields(paper):
        key = prefix + field.name
        ours, theirs = getattr(paper, field.name), getattr(small, field.name)
        elsewhere = not prefix and field.name in SPACES and not name.startswith("space ")
        if elsewhere and (name, field.name) != ("ghn", "dag"):
            continue
        if is_dataclass(ours):
            yield from rows(name, ours, theirs, f"{key}.")
        else:
            remark = says[field.name]
            meaning = sources.meaning(name, key, re.sub(r"\bchoice\b[:;]?\s*", "", remark))
            source = sources.source(name, key, "choice" in remark)
            if OFF.get(field.name, ...) == ours and isinstance(paper, Recipe):
                source = "not used"
            yield key, ours, theirs, meaning, source


@cache
def remarks(kind: type) -> dict[str, str]:
    """The comment beside each field of a dataclass, its bases' too."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not is_dataclass(base):
            continue
        name = ""
        for token in tokenize.generate_tokens(io.StringIO(inspect.getsource(base)).readline):
            line = re.match(r"    (\w+): ", token.line)
            if token.type == tokenize.NAME and line and token.string == line[1]:
                name = token.string
                found[name] = ""
            elif token.type == tokenize.COMMENT and line and name == line[1]:
                found[name] = token.string.lstrip("# ")
    return {field.name: found.get(field.name, "") for field in fields(kind)}


def _table(members: list[Row]) -> str:
    return (
        HEAD
        + RULE
        + "".join(
            f"| `{key}` | {_value(ours)} | {_value(theirs)} | {meaning} | {source} |\n"
            for key, ours, theirs, meaning, source in members
        )
    )


def _value(value: Any) -> str:
    if isinstance(value, float):
        text = f"{value:.4g}"
    elif isinstance(value, int) and not isinstance(value, bool):
        text = f"{value:,}"
    elif isinstance(value, tuple) and len(value) > 8:
        if isinstance(value[0], tuple):  # a schedule of epsilon
            return "<br>".join(f"{a:g} × {b:,}" for a, b in value)
        text = ", ".join(map(str, value))
    elif isinstance(value, tuple) and all(isinstance(x, float) for x in value):
        text = ", ".join(f"{x:.3g}" for x in value) or "none"
    elif isinstance(value, tuple):
        text = ", ".join(map(str, value)) or "none"
    else:
        text = {True: "yes", False: "no", None: "none"}.get(value, str(value))
    return text.replace("|", "\\|")
