"""Agents compared on tiny tables: what is charged, what is written, what is refused."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import sys
from collections.abc import Iterable
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from cli_kit import nascore
from nascore import compare as module
from nascore.compare import AGENTS, Protocol, compare, search
from nascore.evaluators.scores import read_blocks, read_scores
from nascore.results.comparison import Comparison, Curve, differences, interval, lines
from nascore.results.comparison import table as results_table
from nascore.spaces import ChoicesSpace
from nascore.tables import BLOCKS, MAX_LAYERS
from nascore.trial import Proposal

SIZES = (2, 3, 2)
CODES = ["".join(map(str, code)) for code in itertools.product(*map(range, SIZES))]
# The reward is the code as a number; the cost of one that begins with 1 is 3, else 1.
ROWS = [(code, i, 100 - i, 1 + 2 * int(code[0])) for i, code in enumerate(CODES)]


def written(path: Path, rows: Iterable[Iterable[object]] = ROWS) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("code", "val", "test", "s"), *rows])
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return written(tmp_path / "table.csv")


def read(path: Path):
    return read_scores(path, "code", ["val", "test", "s"])


class Scripted:
    """Asks for these codes, then for the last one for ever."""

    def __init__(self, codes: Iterable[str]) -> None:
        self.codes = list(codes)
        self.rewards: list[float] = []

    def ask(self, n: int) -> list[Proposal]:
        assert n == 1
        code = self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]
        actions = tuple(map(int, code))
        return [Proposal(ChoicesSpace(SIZES).architecture(actions), actions)]

    def tell(self, trials) -> None:
        self.rewards += [trial.reward for trial in trials]


def script(monkeypatch: pytest.MonkeyPatch, *codes: str) -> Scripted:
    agent = Scripted(codes)
    monkeypatch.setitem(module.AGENTS, "scripted", lambda space, seed, trials: agent)
    return agent


def test_a_code_asked_for_again_is_charged_again(table, monkeypatch) -> None:
    agent = script(monkeypatch, "010", "010", "110", "000", "121")
    curve = search(read(table), Protocol("val", ("test",), 7, "s"), "scripted", 0)
    assert curve.spent.tolist() == [1, 2, 5, 6]  # 121 would make it 9
    assert curve.values.tolist() == [[2, 98], [2, 98], [8, 92], [8, 92]]
    assert agent.rewards == [2, 2, 8, 0]


def test_free_repeats_are_not_charged(table, monkeypatch) -> None:
    script(monkeypatch, "010", "010", "110", "010", "000", "001", "121")
    protocol = Protocol("val", (), 6, "s", free_repeats=True)
    curve = search(read(table), protocol, "scripted", 0)
    assert curve.spent.tolist() == [1, 1, 4, 4, 5, 6]


def test_a_budget_is_spent_to_the_last(table, monkeypatch) -> None:
    script(monkeypatch, "000")
    curve = search(read(table), Protocol("val", (), 4), "scripted", 0)
    assert curve.spent.tolist() == [1, 2, 3, 4]


def test_a_search_that_finds_nothing_new_ends(table, monkeypatch) -> None:
    script(monkeypatch, "000", "001")
    curve = search(read(table), Protocol("val", (), 5, free_repeats=True), "scripted", 0)
    assert curve.spent[-1] == 2
    assert len(curve.spent) == 1 + module._STUCK


def test_minimize_looks_for_the_least(table, monkeypatch) -> None:
    agent = script(monkeypatch, "110", "000", "121")
    curve = search(read(table), Protocol("val", (), 3, minimize=True), "scripted", 0)
    assert curve.values.tolist() == [[8], [0], [0]]
    assert agent.rewards == [-8, 0, -11]


@pytest.mark.parametrize("name", ["alphax", "alphax_no_tree", "alphax_paper"])
def test_the_scale_and_the_sign_of_rewards_change_nothing(name, tmp_path) -> None:
    """Ranks are the same; the predictor has learned when the search ends, the published has not."""
    sizes = (4, 4, 4)
    codes = list(itertools.product(*map(range, sizes)))
    rng = np.random.default_rng(0)
    worth = rng.random((3, 4))[range(3), codes].sum(1) + 0.01 * rng.random(len(codes))
    rows = [("".join(map(str, c)), w, 4 - 1000 * w, 1) for c, w in zip(codes, worth, strict=True)]
    scores = read(written(tmp_path / "t.csv", rows))
    found = [
        search(scores, Protocol(reward, ("val",), 30, minimize=minimize), name, 0)
        for reward, minimize in (("val", False), ("test", True))
    ]
    assert found[0].values[:, 0].tolist() == found[1].values[:, 1].tolist()


def test_every_agent_searches_both_kinds_of_space(table) -> None:
    blocks = read_blocks(BLOCKS, ["short_val_0"], MAX_LAYERS)
    for scores, reward in ((read(table), "val"), (blocks, "short_val_0")):
        done = compare(scores, Protocol(reward, (), 12), list(AGENTS), 2)
        assert list(done.curves) == list(AGENTS)
        for curves in done.curves.values():
            assert [curve.spent[-1] for curve in curves] == [12, 12]
            assert all((np.diff(curve.values[:, 0]) >= 0).all() for curve in curves)


def test_workers_change_nothing(table) -> None:
    calls: list[None] = []
    protocol = Protocol("val", ("test",), 8)
    names = ["random", "policy_gradient"]
    one, two = (
        compare(read(table), protocol, names, 3, workers=n, on_search=lambda: calls.append(None))
        for n in (1, 2)
    )
    assert len(calls) == 12
    for name in names:
        for a, b in zip(one.curves[name], two.curves[name], strict=True):
            assert (a.spent == b.spent).all()
            assert (a.values == b.values).all()
    assert len({tuple(curve.values[:, 0]) for curve in one.curves["random"]}) > 1


def test_parquet_is_read_as_csv_is(table, tmp_path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = dict(zip(("code", "val", "test", "s"), zip(*ROWS, strict=True), strict=True))
    parquet.write_table(arrow.table(columns), tmp_path / "table.parquet")
    one, other = read(table), read(tmp_path / "table.parquet")
    assert one.rows == other.rows
    assert all((one.columns[c] == other.columns[c]).all() for c in columns if c != "code")
    assert one.space.heads == SIZES


def test_what_is_written(table, tmp_path) -> None:
    out = tmp_path / "out"
    arguments = ("--table", table, "--reward", "val", "--report", "test", "--cost", "s")
    done = nascore(
        *("compare", *arguments, "--cost-budget", 9, "--agents", "random,evolution"),
        *("--seeds", 3, "--workers", 1, "--out", out),
    )
    assert (done.status, done.err) == (0, "")
    assert "a code asked for again is charged again" in done.out
    assert "evolution - random, test: " in done.out
    with (out / "summary.csv").open() as file:
        summary = list(csv.DictReader(file))
    with (out / "curves.csv").open() as file:
        curves = list(csv.DictReader(file))
    figures = ("mean", "std", "ci95_low", "ci95_high")
    assert list(summary[0]) == [
        *("agent", "seeds"),
        *(f"{column}_{figure}" for column in ("val", "test") for figure in figures),
    ]
    assert [(row["agent"], row["seeds"]) for row in summary] == [
        ("random", "3"),
        ("evolution", "3"),
    ]
    assert list(curves[0]) == ["agent", "seed", "evaluation", "spent", "val", "test"]
    for row in summary:
        last = {c["seed"]: float(c["val"]) for c in curves if c["agent"] == row["agent"]}
        assert float(row["val_mean"]) == pytest.approx(np.mean(list(last.values())))
        assert float(row["val_std"]) == pytest.approx(np.std(list(last.values()), ddof=1))
        assert float(row["test_mean"]) == pytest.approx(100 - float(row["val_mean"]))
    assert max(float(row["spent"]) for row in curves) <= 9
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "report.html").read_text()
    parts = re.findall(r'<section id="(\w+)">', page)
    assert parts == ["compared", "curves", "found", "differences"]
    for row in summary:
        name, mean = row["agent"], float(row["val_mean"])
        cells = f'<td data-value="{name}">{name}</td><td class="number" data-value="{mean}">'
        assert cells in page
    tips = [json.loads(unescape(one)) for one in re.findall(r'data-tips="(.*?)"', page)]
    assert len(tips) == 2  # a picture for each column
    ends = [text for _, _, text in tips[0] if text.startswith("evolution\n")]
    last = next(float(row["val_mean"]) for row in summary if row["agent"] == "evolution")
    assert float(ends[-1].split("\n")[2].split(" ± ")[0]) == pytest.approx(last, rel=1e-4)


def test_a_narrow_terminal_cuts_nothing() -> None:
    curve = Curve(np.array([1.0]), np.array([[93.7512345]]))
    console = Console(width=60, file=io.StringIO())
    console.print(results_table(Comparison(("accuracy" * 4,), {"random": [curve] * 2}, "trials")))
    printed = console.file.getvalue()
    assert "\u2026" not in printed  # an ellipsis
    assert sum(line.count("y") for line in printed.splitlines()[1:]) == 4  # of the name
    assert "93.7512" in printed


def test_the_table_that_ships(tmp_path) -> None:
    arguments = ("compare", "--trials", 5, "--seeds", 1, "--agents", "random", "--free-repeats")
    done = nascore(*arguments, "--workers", 1, "--out", tmp_path)
    assert (done.status, done.err) == (0, "")
    assert "894 architectures, a budget of 5 trials" in done.out
    assert "is not charged" in done.out


def test_statistics() -> None:
    values = np.array([[1.0], [2.0], [3.0], [4.0]])
    # t of 0.975 with 3 degrees of freedom is 3.1824; the standard error 1.2910 / 2.
    assert interval(values)[0] == pytest.approx(3.1824 * 1.29099 / 2, rel=1e-4)
    assert interval(values[:1]).tolist() == [0]

    def curves(found: list[float]) -> list[Curve]:
        return [Curve(np.ones(1), np.array([[value]])) for value in found]

    done = Comparison(("x",), {"random": curves([0] * 6), "a": curves([1, 1, 1, 1, 1, 0])}, "n")
    # All five that differ are higher: twice 1 / 32.
    [line] = lines(differences(done))
    assert line.startswith("a - random, x: +0.8333 ± ")
    assert line.endswith("higher in 5 seeds, lower in 0, sign test p = 0.062")
    assert differences(Comparison(("x",), {"a": curves([1])}, "n")) == []


def spoil(row: int, column: int, cell: object) -> list[tuple[object, ...]]:
    rows = [list(r) for r in ROWS]
    rows[row - 1][column] = cell
    return [tuple(r) for r in rows]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (spoil(4, 0, "01x"), "row 4: code is '01x'; expected a digit for each choice"),
        (spoil(4, 0, "01"), "row 4: code is '01' of 2 digits, row 1's is '000' of 3"),
        (spoil(4, 0, "000"), "row 4: code '000' is there already, in row 1"),
        (spoil(5, 1, "good"), "row 5: val is 'good', not a finite number"),
        (spoil(5, 2, "nan"), "row 5: test is 'nan', not a finite number"),
        (spoil(5, 3, ""), "row 5: s is '', not a finite number"),
        (ROWS[:3] + ROWS[4:], "11 of the 12 combinations of 2, 3, 2 choices; code '011' is the"),
        ([], "has no rows"),
        ([*ROWS[:2], ("010",)], "row 3: val is None, not a finite number"),
    ],
)
def test_bad_tables_are_named_by_row(rows, message, tmp_path) -> None:
    with pytest.raises(ValueError, match=rf"table.csv.*{re.escape(message)}"):
        read(written(tmp_path / "table.csv", rows))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reward", "vla"], "unknown column 'vla'; did you mean 'val'"),
        ([], "--table needs --reward"),
        (["--reward", "val", "--code", "ops"], "unknown column 'ops'"),
        (["--reward", "val", "--choices", "2,2,2"], "row 5: code '020': choice 1 is 2"),
        (["--reward", "val", "--choices", "2,3"], "row 1: code '000': 3 choices given"),
        (["--reward", "val", "--choices", "2,4,2"], "12 of the 16 combinations"),
        (["--reward", "val", "--choices", "2;3;2"], "write the sizes as 5,5,3"),
        (["--reward", "val", "--agents", "randon"], "unknown agent 'randon'; did you mean"),
        (["--reward", "val", "--agents", "random,random"], "'random' is there twice"),
        (["--reward", "val", "--seeds", 0], "seeds=0"),
        (["--reward", "val", "--trials", 0], "trials=0: a search needs at least one"),
        (["--reward", "val", "--cost", "s"], "--cost and --cost-budget go together"),
        (["--reward", "val", "--cost-budget", 9], "--cost and --cost-budget go together"),
        (["--reward", "val", "--cost", "val", "--cost-budget", 99], "row 1: val is 0; a cost is"),
        (["--reward", "val", "--cost", "s", "--cost-budget", 2], "the dearest costs 3"),
        (["--reward", "val", "--cost", "s", "--cost-budget", "inf"], "must be finite"),
        (
            ["--reward", "val", "--cost", "s", "--cost-budget", 9, "--trials", 3],
            "--trials and --cost-budget are two budgets",
        ),
    ],
)
def test_bad_commands(arguments, message, table, tmp_path) -> None:
    out = tmp_path / "out"
    done = nascore("compare", "--table", table, "--workers", 1, "--out", out, *arguments)
    assert done.status == 2
    assert done.err.startswith("error: ")
    assert message in done.err
    assert not out.exists()


def test_choices_need_a_table() -> None:
    done = nascore("compare", "--choices", "2,2")
    assert done.status == 2
    assert "give that as well" in done.err


@pytest.mark.parametrize(
    ("missing", "name"),
    [("pyarrow.parquet", "table.parquet"), ("matplotlib.figure", "table.csv")],
)
def test_a_missing_extra_is_named(missing, name, table, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    done = nascore("compare", "--table", tmp_path / name, "--reward", "val")
    assert done.status == 2
    assert "pip install 'nascore[" in done.err
