"""The options of `nascore search` that put costs into its reward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from nascore.search import Targets

_PANEL = "Costs in the reward"

Latency = Annotated[
    float | None,
    typer.Option(
        "--latency-ms",
        metavar="X",
        rich_help_panel=_PANEL,
        help="Target of a network's measured latency. Times vary, so the history does.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(rich_help_panel=_PANEL, help="Where latency is measured: cpu or cuda."),
]
Batch = Annotated[
    int | None, typer.Option(rich_help_panel=_PANEL, help="Images at once, for the latency.")
]
Params = Annotated[
    int | None, typer.Option(rich_help_panel=_PANEL, help="Target of a network's parameters.")
]
Macs = Annotated[
    int | None,
    typer.Option(rich_help_panel=_PANEL, help="Target of a network's multiply-adds."),
]
Constraint = Annotated[
    Literal["soft", "hard"] | None,
    typer.Option(
        rich_help_panel=_PANEL,
        help="soft (the default): half the cost is worth 5 % of the reward, wherever the target "
        "is; hard: only what passes the target pays, in proportion.",
    ),
]


def targets(
    latency_ms: float | None,
    max_params: int | None,
    max_macs: int | None,
    device: str | None,
    batch: int | None,
    constraint: Literal["soft", "hard"] | None,
) -> Targets | None:
    """The targets that were given; None where nothing was."""
    given = {name: value for name, value in locals().items() if value is not None}
    if not given:
        return None
    from nascore.search import Targets

    return Targets(**given)
