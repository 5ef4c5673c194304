"""A picture of a run, as the report and a paper show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A drawing of a run for the report and for a paper."""

    name: str  # its file in --figures, such as "q-values"
    title: str
    caption: str  # what one sees, in one or two sentences
    draw: Callable[[Figure], None]  # onto an empty matplotlib figure
    size: tuple[float, float] = (7.0, 4.0)  # inches
