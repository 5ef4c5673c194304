"""A picture of a run, as the report and a paper show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours (2008), darker where those are pale, then those of lines behind.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#a8558a", "#8a6d00", "#56565a")
GRID, MUTED = "#d1d1d1", "#555555"


@dataclass(frozen=True)
class Picture:
    """A drawing of a run for the report and for a paper."""

    name: str  # its file in --figures, such as "q-values"
    title: str
    caption: str  # what one sees, in one or two sentences
    draw: Callable[[Figure], None]  # onto an empty matplotlib figure
    size: tuple[float, float] = (7.0, 4.0)  # inches
