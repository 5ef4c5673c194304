"""The parts of a report that tell of trials in words and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from nascore.results import page
from nascore.results.pictures import Picture
from nascore.results.tables import COLUMNS
from nascore.trial import Trial


def ranking(best: Sequence[Trial], drawn: Mapping[int, Picture | None]) -> str:
    """A table of the `best` with their drawings, by number; empty where there is none."""
    if not best:
        return ""
    known = [c for c in COLUMNS if any(c[1] in t.metrics for t in best)]
    rows = [
        [
            page.cell(str(t.number), t.number),
            page.cell(f"{t.reward:.4g}", t.reward),
            *(
                page.cell(format(t.metrics[m], form), t.metrics[m])
                if m in t.metrics
                else page.cell("")
                for _, m, form in known
            ),
            _thumb(t, drawn[t.number]),
        ]
        for t in best
    ]
    heads = ("trial", "reward", *(name for name, *_ in known), "")
    shown = page.card(page.table(heads, rows, sorts=True, kind="ranking"))
    note = page.text("A heading sorts, a drawing opens.")
    return page.section("best", "The ten best", note, shown)


def _thumb(trial: Trial, drawn: Picture | None) -> str:
    if drawn is None:
        return page.cell("", html=page.code(trial.architecture.text[:300]))
    return page.cell("", html=page.thumb(drawn))


def saved(trials: Sequence[Trial]) -> str:
    """How many evaluations were not needed."""
    distinct = len({t.architecture.hash for t in trials})
    repeats = sum(t.repeat_of is not None for t in trials)
    return page.section(
        "saved",
        "Duplicates",
        page.text(
            f"{len(trials):,} trials were of {distinct:,} distinct architectures, "
            "isomorphic ones counted once. "
            f"Known results saved {repeats:,} of the evaluations."
        ),
    )


def failures(trials: Sequence[Trial]) -> str:
    """What failed, why, and how often."""
    counts = Counter(
        (t.evaluation.status, t.evaluation.message) for t in trials if not t.evaluation.ok
    )
    rows = [
        [page.cell(status), page.cell(message), page.cell(f"{n:,}", n)]
        for (status, message), n in counts.most_common(20)
    ]
    more = len(counts) - len(rows)
    note = page.text(f"{more} rarer reasons are not listed.") if more else ""
    shown = page.text("None.")
    if rows:
        shown = page.card(page.table(("what", "why", "trials"), rows, sorts=True))
    return page.section("failures", "Failures", shown, note)
