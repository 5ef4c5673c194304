"""A page of pictures and tables that opens from disk: one HTML file that loads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from nascore.results.pictures import Picture
from nascore.results.svg import svg

_WIDE = 7.5  # inches, from which on a picture has a row of its own
_TEMPLATE = Path(__file__).with_name("page.html")


def page(title: str, lead: str, facts: Mapping[str, str], sections: Iterable[str]) -> str:
    """A whole page; all texts are escaped, `sections` are HTML."""
    shown = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts.items()
    )
    body = (
        f'<header><h1>{escape(title)}</h1><p class="muted">{escape(lead)}</p>'
        f'<dl class="facts">{shown}</dl></header><main>{"".join(sections)}</main>'
    )
    head, tail = _TEMPLATE.read_text(encoding="utf-8").split("@BODY@")
    return head.replace("@TITLE@", escape(title)) + body + tail


def section(name: str, title: str, *parts: str) -> str:
    """A part of the page with a heading; `name` is where a link leads to it."""
    return f'<section id="{escape(name)}"><h2>{escape(title)}</h2>{"".join(parts)}</section>'


def text(words: str) -> str:
    return f"<p>{escape(words)}</p>"


def code(words: str) -> str:
    return f'<code class="long">{escape(words)}</code>'


def card(*parts: str) -> str:
    return f'<div class="card">{"".join(parts)}</div>'


def beside(*parts: str) -> str:
    """Parts in two columns, one below the other where there is no room."""
    return f'<div class="two">{"".join(parts)}</div>'


def pictures(shown: Sequence[Picture]) -> str:
    """Pictures with title and caption, as many beside each other as there is room for."""
    return f'<div class="pictures">{"".join(map(_figure, shown))}</div>'


def drawing(shown: Picture) -> str:
    """One picture in about its own size, however much room there is."""
    return _figure(shown, "drawing")


def thumb(shown: Picture) -> str:
    """A small picture that a click enlarges."""
    label = escape(f"Enlarge: {shown.title}")
    return f'<button class="thumb" aria-label="{label}">{svg(shown)}</button>'


def cell(shown: str, value: float | str | None = None, html: str | None = None) -> str:
    """A cell of a table that sorts by `value`; `html` goes below what is shown."""
    number = isinstance(value, (int, float))
    kind = ' class="number"' if number else ""
    by = escape(str(shown if value is None else value))
    return f'<td{kind} data-value="{by}">{escape(shown)}{html or ""}</td>'


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, sorts: bool = False, kind: str = ""
) -> str:
    """A table of `cell`s that scrolls in a box of its own; one with `sorts` by its headings."""
    body = list(rows)
    right = ['class="number"' in one for one in body[0]] if body else [False] * len(heads)
    first = "".join(
        f'<th scope="col"{" class=number" if number else ""}>'
        + (f"<button>{escape(head)}</button>" if sorts and head else escape(head))
        + "</th>"
        for head, number in zip(heads, right, strict=True)
    )
    lines = "".join(f"<tr>{''.join(one)}</tr>" for one in body)
    head = f"<thead><tr>{first}</tr></thead>" if any(heads) else ""
    return (
        f'<div class="scroll"><table class="{escape(kind)}">{head}'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _figure(shown: Picture, kind: str = "") -> str:
    title = f"<h3>{escape(shown.title)}</h3>" if shown.title else ""
    if not kind and shown.size[0] > _WIDE:
        kind = "wide"
    return (
        f'<figure id="{escape(shown.name)}" class="{kind}">{title}'
        f'<div class="scroll">{svg(shown)}</div>'
        f"<figcaption>{escape(shown.caption)}</figcaption></figure>"
    )
