"""The page on a run, as text and in a browser."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import method_kit
from browser_kit import opened, says_what_is_near, sorts
from cli_kit import nascore, searching, shown, told
from nascore import report, tasks
from nascore.methods import blockqnn
from nascore.search import Accuracy, AskTell, Search, Store
from nascore.trial import Evaluation, Trial
from toys import ToyAgent, ToyEvaluator, toy_search

SECTIONS = {
    "winner",
    "accuracy",
    "distribution",
    "pareto",
    "best",
    "own",
    "saved",
    "failures",
    "asked",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search with its report, beside two random ones."""
    folder = tmp_path_factory.mktemp("report")
    assert nascore(*searching(folder / "run", "--trials", 16)).status == 0
    settings = [
        part
        for setting in method_kit.fitted("random", "block", method_kit.TINY["block"])
        for part in ("--set", setting)
    ]
    for seed in (0, 1):
        arguments = ("--seed", seed, "--trials", 12, "--out", folder / f"random-{seed}")
        done = nascore("search", "random", "--task", "digits", *settings, *arguments)
        assert done.status == 0, done.err
    beside = [part for i in (0, 1) for part in ("--beside", folder / f"random-{i}")]
    done = nascore("report", folder / "run", *beside, "--figures", folder / "figures")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"The report is {folder / 'run' / 'report.html'}: open it")
    return folder / "run"


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


class Outline(HTMLParser):
    """The sections of a page, its scripts, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: set[str] = set()
        self.scripts = 0
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "section":
            self.sections.add(given["id"] or "")
        self.scripts += tag == "script"
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            value = given.get(name)
            if value and not value.startswith(("#", "data:")):
                self.loads.append(value)


def outline(html: str) -> Outline:
    found = Outline()
    found.feed(html)
    return found


def test_the_page_has_everything_and_loads_nothing(run: Path, html: str) -> None:
    page = outline(html)
    assert page.sections >= SECTIONS
    assert (page.scripts, page.loads) == (1, [])
    assert "url(" not in re.sub(r"url\(#", "", html)
    assert "nascore search blockqnn --task digits" in html
    assert "2 random searches" in html
    best = shown(run)["best"]
    assert f"The best: trial {best['number']}" in html
    assert f"{best['metrics']['params']:,.0f}" in html
    names = {path.name for path in (run.parent / "figures").iterdir()}
    assert names >= {
        f"{name}.{kind}"
        for name in ("accuracy-trials", "accuracy-seconds", "pareto-params", "q-values")
        for kind in ("svg", "png")
    }


def points(html: str, picture: str) -> list[Any]:
    """What a picture says to who comes near its points."""
    figure = html[html.index(f'<figure id="{picture}"') :]
    tips = re.search(r'data-tips="(.*?)"', figure)
    assert tips
    found: list[Any] = json.loads(unescape(tips[1]))
    return found


def test_every_trial_and_every_point_of_the_front_says_its_name(run: Path, html: str) -> None:
    good = {t.number for t in told(run) if t.evaluation.ok and t.repeat_of is None}
    said = {int(text.split()[1]) for *_, text in points(html, "accuracy-trials")}
    assert said == good
    front = {int(t.split()[1]) for *_, t in points(html, "pareto-params") if "on the front" in t}
    assert front == set(shown(run)["pareto"]["params"])


def test_what_comes_from_outside_is_text(tmp_path: Path) -> None:
    evil = '<script>alert("x")</script>'
    search = toy_search(12)
    evil_search = Search(search.method, {"trials": evil}, evil, 0, search.stages)
    with Store.create(tmp_path / "run", {**evil_search.meta, "command": evil}) as store:
        list(evil_search.run(store))
        report.write(store, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert outline(html).scripts == 1
    assert evil not in html
    assert "&lt;script&gt;" in html


class Failing(ToyEvaluator):
    """Whatever the architecture."""

    def _evaluate(self, job: Any) -> Evaluation:
        return Evaluation({}, "table", "invalid", "no <good>")


def test_a_run_whose_every_trial_failed(tmp_path: Path) -> None:
    search = Search("toy", {}, "toy", 0, [AskTell(ToyAgent(0), Failing(), Accuracy(), 4)])
    with Store.create(tmp_path / "run", search.meta) as store:
        list(search.run(store))
        report.write(store, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert "No trial has succeeded yet." in html
    assert "no &lt;good&gt;" in html


def test_a_run_that_goes_on(tmp_path: Path) -> None:
    search = toy_search(40)
    with Store.create(tmp_path / "run", search.meta) as store:
        for trial in search.run(store):
            if trial.number == 9:
                with Store.open(tmp_path / "run") as reader:
                    report.write(reader, tmp_path / "page.html")
                break
    assert "10 of 40" in (tmp_path / "page.html").read_text()


def test_a_run_whose_only_good_trial_is_not_told(tmp_path: Path) -> None:
    class FirstFail(ToyEvaluator):
        def _evaluate(self, job: Any) -> Evaluation:
            found = super()._evaluate(job)
            return Evaluation({}, "table", "invalid", "none") if job.number < 2 else found

    search = toy_search(4, FirstFail(), batch=2)
    with Store.create(tmp_path / "run", search.meta) as store:

        def write(trial: Trial) -> None:
            if trial.number == 2:
                report.write(store, tmp_path / "page.html")

        list(search.run(store, on_result=write))
    html = (tmp_path / "page.html").read_text()
    assert len(points(html, "accuracy-trials")) == 1
    assert "accuracy-seconds" not in html


def test_thousands_of_trials_are_thinned(tmp_path: Path) -> None:
    search = toy_search(3000, batch=100)
    with Store.create(None, search.meta) as store:
        list(search.run(store))
        report.write(store, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert len(points(html, "accuracy-trials")) <= 2001
    assert len(html) < 2_000_000


def test_a_run_of_another_version(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    with closing(sqlite3.connect(tmp_path / "run" / "run.db")) as database, database:
        database.execute("update meta set value = '12' where key = 'seed'")
        database.execute("delete from snapshots")
    done = nascore("report", tmp_path / "run")
    assert (done.status, done.err) == (0, "")
    page = unescape((tmp_path / "run" / "report.html").read_text())
    assert "own pictures cannot be drawn: " in page
    assert "no longer proposes what the log says" in page


def test_what_cannot_be_reported(run: Path, tmp_path: Path) -> None:
    search = toy_search(4)
    with Store.create(tmp_path / "empty", search.meta):
        pass
    for arguments, message in (
        ((tmp_path / "empty",), "has no result yet"),
        ((run, "--beside", run), "is of blockqnn; give runs of random"),
        ((tmp_path / "none",), "none"),
        (("sqlite:///x.db#run",), "has no folder for a page; give a file"),
    ):
        done = nascore("report", *arguments)
        assert done.status == 2
        assert message in done.err
    task = tasks.from_arrays(np.zeros((40, 8, 8), np.uint8), np.arange(40) % 2, name="other")
    config = blockqnn.small()
    assert blockqnn.build(task, config, 0).meta["shape"] == [1, 8, 8]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_in_a_browser(run: Path, browser: Any, width: int, scheme: str) -> None:
    with opened(browser, run / "report.html", width, scheme) as page:
        sorts(page, ".ranking")
        says_what_is_near(page, "pareto-params")
        page.click(".thumb >> nth=0")
        assert page.is_visible("dialog svg")
        page.click("dialog")
        assert not page.is_visible("dialog")
