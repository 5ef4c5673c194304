"""Pictures as SVG that takes its colours from the page around it, and as files for a paper."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nascore.results.pictures import GRID, MUTED, PALETTE, Picture

# What is drawn in these colours becomes, on the page, a colour of the reader's light or dark
# scheme. On paper they are what they are.
_INK = "#010101"
_SCHEME = {
    _INK: "currentColor",
    GRID: "var(--line)",
    MUTED: "var(--muted)",
    **{colour: f"var(--c{i})" for i, colour in enumerate(PALETTE)},
}
_STYLE: dict[Any, Any] = {
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.edgecolor": _INK,
    "axes.facecolor": "none",
    "axes.labelcolor": _INK,
    "boxplot.capprops.color": _INK,
    "boxplot.flierprops.markeredgecolor": _INK,
    "boxplot.whiskerprops.color": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "grid.color": GRID,
    "legend.frameon": False,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


class Sheet(Figure):
    """A figure that knows what to say about points of it."""

    tips: list[tuple[Axes, Sequence[float], Sequence[float], Sequence[str]]]


def hover(axes: Axes, xs: Sequence[float], ys: Sequence[float], texts: Sequence[str]) -> None:
    """Says on the page what each point is to whoever comes near it."""
    if isinstance(axes.figure, Sheet):
        axes.figure.tips.append((axes, xs, ys, texts))


def svg(picture: Picture) -> str:
    """The picture for the page: no fixed size, its text as text, colours of the page's scheme."""
    with mpl.rc_context({**_STYLE, "svg.fonttype": "none", "svg.hashsalt": picture.name}):
        sheet = _drawn(picture)
        file = io.StringIO()
        sheet.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"\n\s*", "\n", text)
    text = re.sub("|".join(_SCHEME), lambda found: _SCHEME[found[0]], text)
    tips = escape(json.dumps(_tips(sheet), ensure_ascii=False))
    width, height = (72 * side for side in picture.size)
    head = (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 {width:g} {height:g}" '
        f'style="--w:{width:.0f}" role="img" aria-label="{escape(picture.title)}" '
        f'data-tips="{tips}">'
    )
    return head + text[text.index(">") + 1 :]


def save(picture: Picture, folder: Path) -> None:
    """The picture as `NAME.svg` and `NAME.png` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({**_STYLE, "svg.hashsalt": picture.name}):
        sheet = _drawn(picture)
        sheet.savefig(folder / f"{picture.name}.svg", metadata={"Date": None})
        sheet.savefig(folder / f"{picture.name}.png", dpi=200)


def _drawn(picture: Picture) -> Sheet:
    # SVG counts in points, and so are the places of the tips.
    sheet = Sheet(figsize=picture.size, dpi=72, layout="constrained")
    sheet.tips = []
    picture.draw(sheet)
    return sheet


def _tips(sheet: Sheet) -> list[list[Any]]:
    """Points [x, y, text] in the SVG's own coordinates; only once it is laid out."""
    found: list[list[Any]] = []
    height = sheet.bbox.height
    for axes, xs, ys, texts in sheet.tips:
        for x, y, text in zip(xs, ys, texts, strict=True):
            right, up = axes.transData.transform((x, y))
            found.append([round(float(right), 1), round(float(height - up), 1), text])
    return found
