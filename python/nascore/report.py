"""What a run was asked, did and found, as one page that opens from disk."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from nascore import _core, methods
from nascore.agents.q_learning import epsilon_at
from nascore.files import write_whole
from nascore.results import drawings, page, tables, trial_sections
from nascore.results.curves import History, foreseen, front, growth, spread
from nascore.results.pictures import Picture
from nascore.results.svg import save
from nascore.results.tables import COLUMNS, best_trials, fronts
from nascore.search import RunError, Store
from nascore.spaces import Architecture
from nascore.trial import Trial

_LAYERS = 200  # rows of a network's table


def write(
    store: Store, file: Path, *, beside: Sequence[Store] = (), figures: Path | None = None
) -> None:
    """Writes the page of a run, which may still go on, to `file`.

    `beside` are runs of random search at the same task, drawn as a band. In the folder `figures`
    goes every picture as SVG and PNG. Raises ValueError for a run without a trial and for a run
    beside it that is of another kind, OSError where it cannot write.
    """
    report = _Report(store, beside)
    write_whole(file, report.html().encode())
    if figures is not None:
        for picture in report.pictures():
            save(picture, figures)


class _Report:
    def __init__(self, store: Store, beside: Sequence[Store]) -> None:
        self.meta: Mapping[str, Any] = store.meta
        self.name = store.name
        self.run = _history(store)
        if not self.run.trials:
            raise ValueError(f"run {store.name} has no result yet: look again when it has one")
        self.others = [_random(other, self.meta) for other in beside]
        self.config: Any = None
        self.own: list[Picture] = []
        self.unseen = ""  # why the method's own pictures are missing
        self.figures: dict[str, float] = {}
        if (method := self.meta["method"]) in methods.names():  # else begun from Python
            self.config = methods.config_from_json(method, self.meta["config"])
            try:
                self.own = methods.pictures(method, self.config, store)
            except RunError as error:  # what another version proposed is not gone through again
                self.unseen = str(error)
            self.figures = methods.figures(method, self.config, self.run.trials)
        self.best = best_trials(self.run.trials, 10)
        self.drawn = {t.number: self._drawing(t) for t in self.best}
        self.common = self._common()

    def pictures(self) -> list[Picture]:
        """Everything that the page draws."""
        drawn = [picture for picture in self.drawn.values() if picture]
        return [*drawn, *(one for group in self.common.values() for one in group), *self.own]

    def html(self) -> str:
        meta = self.meta
        failed = sum(not t.evaluation.ok for t in self.run.trials)
        repeats = sum(t.repeat_of is not None for t in self.run.trials)
        facts = {"trials": f"{len(self.run.trials):,} of {_wanted(meta):,}"}
        if self.best:
            facts |= {
                name: format(self.best[0].metrics[metric], form)
                for name, metric, form in COLUMNS
                if metric in self.best[0].metrics
            }
        facts |= {"failed": f"{failed:,}", "repeats saved": f"{repeats:,}"}
        sections = [self._winner(), *self._curves(), trial_sections.ranking(self.best, self.drawn)]
        sections += [self._own(), trial_sections.saved(self.run.trials)]
        sections += [trial_sections.failures(self.run.trials), self._asked()]
        title = f"{meta['method']} on {Path(str(meta['task'])).name}"
        lead = f"{self.name}, seed {meta['seed']}, as of {time.strftime('%Y-%m-%d %H:%M')}"
        return page.page(title, lead, facts, filter(None, sections))

    def _asked(self) -> str:
        meta = self.meta
        known = {
            "command": meta.get("command"),
            "method": self._description(),
            "task": meta["task"],
            "training images": meta.get("limit_train"),
            "seed": meta["seed"],
            "order": meta.get("order"),
            "workers": meta.get("workers"),
            "begun": _date(meta.get("begun")),
            "versions": _listed(meta.get("versions") or {"nascore": meta.get("nascore")}),
            "machine": _listed(meta.get("machine") or {}),
        }
        rows = [
            [page.cell(name), page.cell("", str(value), f"<code>{escape(str(value))}</code>")]
            for name, value in known.items()
            if value not in (None, "")
        ]
        asked = page.card(page.table(("", ""), rows))
        return page.section("asked", "What was asked", page.beside(asked, self._settings()))

    def _description(self) -> str:
        name = str(self.meta["method"])
        return f"{name}: {methods.describe(name)}" if self.config is not None else name

    def _settings(self) -> str:
        if self.config is None:
            return page.card(page.text("Its settings are in config.json."))
        presets = {p: methods.config(self.meta["method"], p) for p in methods.PRESETS}
        told = {p: methods.differing(self.config, preset) for p, preset in presets.items()}
        preset = self.meta.get("preset") or min(told, key=lambda p: len(told[p]))
        rows = [[page.cell(text) for text in row] for row in told[preset]]
        title = f"<h3>Settings that differ from the preset {preset}</h3>"
        shown = page.table(("setting", "here", preset), rows) if rows else page.text("None does.")
        return page.card(title, shown)

    def _net(self, architecture: Architecture) -> _core.Net | None:
        """The whole network; None where the run does not say for which images, or it is none."""
        shape = self.meta.get("shape")
        if self.config is None or shape is None:
            return None
        try:
            net: _core.Net = self.config.skeleton.expand(
                architecture, tuple(shape), self.meta["classes"]
            )
        except ValueError:  # a failed one
            return None
        return net

    def _drawing(self, trial: Trial) -> Picture | None:
        """None where there is nothing to draw, or too much."""
        net = None if trial.architecture.graphs else self._net(trial.architecture)
        name = f"trial-{trial.number}"
        try:
            return drawings.picture(trial.architecture, name, f"Trial {trial.number}", net)
        except ValueError:
            return None

    def _winner(self) -> str:
        if not self.best:
            return page.section("winner", "The best", page.text("No trial has succeeded yet."))
        best = self.best[0]
        drawn = self.drawn[best.number]
        facts = [
            [page.cell(name.replace("_", " ")), page.cell(tables.number(value), value)]
            for name, value in best.metrics.items()
        ]
        facts.insert(0, [page.cell("reward"), page.cell(tables.number(best.reward), best.reward)])
        about = page.card(
            page.table(("metric", "value"), facts),
            "<h3>Code</h3>",
            page.code(best.architecture.text),
        )
        shown = page.drawing(drawn) if drawn else page.card(self._layers(best))
        title = f"The best: trial {best.number}"
        return page.section("winner", title, page.beside(shown, about))

    def _layers(self, trial: Trial) -> str:
        net = self._net(trial.architecture)
        if net is None:
            return page.text("It has no graph, and the run does not say of which images it is.")
        rows = drawings.layers(net)
        more = f" The first {_LAYERS} are listed." if len(rows) > _LAYERS else ""
        note = f"With {len(rows):,} operations the network is too large to draw.{more}"
        cells = [
            [page.cell(str(i), i), page.cell(what), page.cell(f"{c} x {h} x {w}")]
            for i, (what, c, h, w) in enumerate(rows[:_LAYERS])
        ]
        return page.text(note) + page.table(("row", "operation", "result"), cells)

    def _common(self) -> dict[str, list[Picture]]:
        run = self.run
        if not run.good:
            return {}
        timed = sum(t.number in run.seconds for t in run.good)  # others are not told yet
        overs = ["trials"] + ["seconds"] * (timed > 1)
        seen = foreseen(run)
        name, groups = self._groups()
        return {
            "accuracy": [growth(run, self.others, over) for over in overs],
            "distribution": [spread(groups, name)] if groups else [],
            "pareto": [front(run, cost, best) for cost, best in fronts(run.trials).items()],
            "predicted": [seen] if seen else [],
        }

    def _groups(self) -> tuple[str, dict[str, list[float]]]:
        """Accuracies per epsilon, where there is a schedule of it, else per tenth of the search."""
        trials = [t for t in self.run.good if t.evaluation.fidelity == self.run.main]
        schedule = getattr(self.config, "epsilon", None)
        groups: dict[str, list[float]] = {}
        for trial in trials:
            if schedule is None:
                key = f"{10 * (trial.number * 10 // max(len(self.run.trials), 1) + 1)} %"
            elif trial.number < self.config.trials:
                asked = trial.number // self.config.batch * self.config.batch
                key = f"{epsilon_at(schedule, asked, self.config.trials):g}"
            else:  # a finalist, which no epsilon chose
                continue
            groups.setdefault(key, []).append(trial.evaluation.accuracy)
        return ("tenth of the search" if schedule is None else "epsilon"), groups

    def _curves(self) -> list[str]:
        titles = {
            "accuracy": "What it reached, and when",
            "distribution": "How good the trials were",
            "pareto": "Accuracy and cost",
            "predicted": "What it foresaw",
        }
        return [
            page.section(name, titles[name], page.pictures(shown))
            for name, shown in self.common.items()
            if shown
        ]

    def _own(self) -> str:
        """What only this method has to show."""
        parts = [page.pictures(self.own)] if self.own else []
        if self.unseen:
            parts.append(page.text(f"The method's own pictures cannot be drawn: {self.unseen}"))
        if self.figures:
            rows = [
                [page.cell(k), page.cell(tables.number(v), v)]
                for k, v in sorted(self.figures.items())
            ]
            parts.append(page.card(page.table(("figure", "value"), rows)))
        title = f"Inside {self.meta['method']}"
        return page.section("own", title, *parts) if parts else ""


def _history(store: Store) -> History:
    trials, told = store.evaluated(), store.told_at()
    begun = store.meta.get("begun") or min(told.values(), default=0.0)
    return History(trials, {number: at - begun for number, at in told.items()})


def _random(store: Store, mine: Mapping[str, Any]) -> History:
    if store.meta["method"] != "random":
        raise ValueError(f"beside: {store.name} is of {store.meta['method']}; give runs of random")
    for key in ("task", "limit_train"):
        if store.meta.get(key) != mine.get(key):
            raise ValueError(
                f"beside: {store.name} has another {key} than the run: {store.meta.get(key)!r}, "
                f"not {mine.get(key)!r}; search at random on the same task"
            )
    history = _history(store)
    if not history.good:
        raise ValueError(f"beside: {store.name} has no result yet")
    return history


def _wanted(meta: Mapping[str, Any]) -> int:
    return int(meta.get("trials") or meta["config"].get("trials") or 0)


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def _date(seconds: float | None) -> str | None:
    return None if seconds is None else time.strftime("%Y-%m-%d %H:%M %Z", time.localtime(seconds))
