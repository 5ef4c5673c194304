"""Drawings, rankings and progress: what a person sees of a search."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from nascore.agents.random import Random
from nascore.networks import Epoch
from nascore.networks.scoring import Score
from nascore.results import drawings
from nascore.results.drawings import draw
from nascore.results.progress import Progress, decoding, training
from nascore.results.tables import best_trials, front_table, fronts, pareto, ranking, summary
from nascore.spaces import NASNET_A_PAPER, Architecture, BlockSpace, ChoicesSpace
from nascore.trial import Evaluation, Proposal, Trial

EMPTY = "[(1,7,0,0,0)]"
CONV = "[(1,1,3,0,0)]"
DIAMOND = "[(1,1,3,0,0),(2,1,5,1,0),(3,2,3,2,0),(4,3,3,0,0),(5,5,0,3,4),(6,6,0,0,5)]"
DOUBLE = "[(1,1,1,0,0),(2,4,0,1,0),(3,5,0,1,2)]"  # the identity cleaned away
SVG = "{http://www.w3.org/2000/svg}"


def block(code: str) -> Architecture:
    return BlockSpace().architecture(code)


def drawn(architecture: Architecture, folder: Path) -> tuple[Counter[str], list[float]]:
    """The words in the boxes of an SVG drawing, and the widths of its arrows."""
    path = folder / "block.svg"
    draw(architecture, path)
    text = path.read_text()
    words = Counter(re.findall(r"<!-- (.*?) -->", text))  # the letters themselves are curves
    groups = (g.findall(f"{SVG}path") for g in ElementTree.fromstring(text).iter(f"{SVG}g"))
    lines = [paths[0].attrib["style"] for paths in groups if len(paths) == 2]  # line and arrow head
    return words, sorted(float(re.search(r"stroke-width: ([\d.]+)", line)[1]) for line in lines)


@pytest.mark.parametrize(
    ("code", "words", "widths"),
    [
        (EMPTY, ["input", "output"], [1.2]),
        (CONV, ["input", "conv 3x3", "output"], [1.2] * 2),
        (DOUBLE, ["input", "conv 1x1", "add", "output"], [1.2, 1.2, 2.4]),
        (
            DIAMOND,
            [
                *("input", "conv 3x3", "conv 5x5", "max pool 3x3", "avg pool 3x3"),
                *("add", "concat", "output"),
            ],
            [1.2] * 9,
        ),
    ],
)
def test_a_drawing_has_every_node_and_edge(
    tmp_path: Path, code: str, words: list[str], widths: list[float]
) -> None:
    assert drawn(block(code), tmp_path) == (Counter(words), widths)


def test_a_drawing_as_pixels(tmp_path: Path) -> None:
    draw(block(CONV), str(tmp_path / "block.png"))
    pixels = np.asarray(Image.open(tmp_path / "block.png").convert("RGB")).reshape(-1, 3)
    conv_blue = np.all(pixels == (0x9E, 0xCA, 0xE1), axis=1).mean()
    assert 0.01 < conv_blue < 0.5


def test_large_blocks_are_drawn(tmp_path: Path) -> None:
    proposals = Random(BlockSpace(), 0).ask(200)
    largest = max(proposals, key=lambda p: p.architecture.graph.layers()).architecture
    graph = largest.graph
    assert graph.layers() > 15
    words, widths = drawn(largest, tmp_path)
    assert sum(words.values()) == len(graph.nodes)
    assert len(widths) == len({tuple(edge) for edge in graph.edges.tolist()})


def test_both_cells_are_drawn(tmp_path: Path) -> None:
    words, _ = drawn(NASNET_A_PAPER, tmp_path)
    assert (words["Normal cell"], words["Reduction cell"]) == (1, 1)
    graphs = NASNET_A_PAPER.graphs
    assert sum(words.values()) == 2 + sum(len(graph.nodes) for graph in graphs)
    assert (words["sep conv 7x7 /2"], words["output"]) == (2, 2)


def test_lines_run_down_between_the_boxes() -> None:
    for proposal in Random(BlockSpace(), 1).ask(100):
        graph = proposal.architecture.graph
        edges = [tuple(edge) for edge in graph.edges.tolist()]
        routes = drawings._layout(graph)
        assert set(routes) == set(edges) | {(n, n) for n in range(len(graph.nodes))}
        places = [routes[n, n][0] for n in range(len(graph.nodes))]
        passed = [point for route in routes.values() for point in route[1:-1]]
        columns: dict[float, list[float]] = {}
        for x, y in places + passed:
            columns.setdefault(y, []).append(x)
        for row in columns.values():
            assert all(b - a >= drawings._BOX[0] for a, b in pairwise(sorted(row)))
        for (a, b), route in routes.items():
            assert (route[0], route[-1]) == (places[a], places[b])
            assert a == b or all(below == y + 1 for (_, y), (_, below) in pairwise(route))


def test_what_has_no_graph_cannot_be_drawn(tmp_path: Path) -> None:
    architecture = ChoicesSpace((2, 2)).architecture((0, 1))
    with pytest.raises(ValueError, match="of the choices space has no graph to draw"):
        draw(architecture, tmp_path / "x.svg")
    assert not list(tmp_path.iterdir())


def trial(
    number: int,
    reward: float,
    *,
    accuracy: float = 0.5,
    code: str = CONV,
    repeat: int | None = None,
) -> Trial:
    metrics = {"val_accuracy": accuracy, "params": 12345.0, "macs": 6789012.0}
    evaluation = Evaluation(metrics, "proxy")
    return Trial(number, Proposal(block(code), ()), evaluation, reward, repeat)


def failure(number: int) -> Trial:
    evaluation = Evaluation({}, "proxy", "invalid", "empty block")
    return Trial(number, Proposal(block(EMPTY), ()), evaluation, 0.0)


TRIALS = [
    failure(0),
    trial(1, 50.0, accuracy=0.61, code=DOUBLE),
    trial(2, 70.0, accuracy=0.72),
    trial(3, 70.0, accuracy=0.72, repeat=2),
    trial(4, 70.0, accuracy=0.74, code=DIAMOND),
    trial(5, 40.0, accuracy=0.98),
]


def test_ranking() -> None:
    assert [t.number for t in best_trials(TRIALS, 3)] == [2, 4, 1]
    assert [t.number for t in best_trials(TRIALS, 9)] == [2, 4, 1]  # 5 is 2 once more
    screen = Console(file=StringIO(), width=80)
    screen.print(ranking(TRIALS, 2), soft_wrap=True)
    lines = [" ".join(line.split()) for line in screen.file.getvalue().splitlines()]
    assert lines == [
        "trial reward val. accuracy parameters multiply-adds",
        "2 70.00 0.7200 12,345 6,789,012",
        "4 70.00 0.7400 12,345 6,789,012",
        "2: [(1,1,3,0,0),(2,7,0,0,0)]",
        f"4: {DIAMOND[:-1]},(7,7,0,0,0)]",
    ]


def test_what_is_predicted_has_a_column_of_its_own_and_comes_after_what_is_measured() -> None:
    guess = Evaluation({"generated_accuracy": 0.9}, "hypernet")
    by_weights = replace(trial(6, 90.0, accuracy=0.9, code=DOUBLE), evaluation=guess)
    assert [t.number for t in best_trials([*TRIALS[2:], by_weights], 9)] == [2, 4, 6]
    screen = Console(file=StringIO(), width=80)
    screen.print(ranking([TRIALS[2], by_weights], 2), soft_wrap=True)
    lines = [line.split() for line in screen.file.getvalue().splitlines()]
    assert lines[1][:3] == ["2", "70.00", "0.7200"]
    assert lines[2][:3] == ["6", "90.00", "0.9000"]
    assert lines[0][2:7] == ["val.", "accuracy", "by", "generated", "weights"]
    measured, generated = screen.file.getvalue().splitlines()[1:3]
    assert measured.index("0.7200") < generated.index("0.9000")


SPACE = ChoicesSpace((10, 10))


def measured(number: int, accuracy: float, macs: float, fidelity: Any = "proxy") -> Trial:
    name = Evaluation({}, fidelity).accuracy_metric
    evaluation = Evaluation({name: accuracy, "params": 100.0, "macs": macs}, fidelity)
    choice = SPACE.architecture((number // 10, number % 10))
    return Trial(number, Proposal(choice, ()), evaluation, accuracy)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=25))
def test_the_pareto_front_is_what_nothing_beats(found: list[tuple[int, int]]) -> None:
    trials = [measured(i, a / 9, float(macs)) for i, (a, macs) in enumerate(found)]
    front = pareto(trials, "macs")
    points = [(t.metrics["macs"], t.evaluation.accuracy) for t in front]
    assert points == sorted(set(points))
    everything = {(t.metrics["macs"], t.evaluation.accuracy) for t in trials}
    for macs, accuracy in everything:
        beaten = any(
            m <= macs and a >= accuracy and (m, a) != (macs, accuracy) for m, a in everything
        )
        assert ((macs, accuracy) in points) is not beaten
    for t in front:  # of equals the first
        same = (t.metrics["macs"], t.evaluation.accuracy)
        assert t.number == min(i for i, (a, m) in enumerate(found) if (m, a / 9) == same)


def test_a_front_compares_what_was_measured_alike() -> None:
    proxies = [measured(1, 0.5, 10.0), measured(2, 0.7, 20.0), failure(0)]
    trained = measured(2, 0.9, 20.0, "full")  # the same, trained for longer
    generated = [measured(i, 0.99, 1.0, "hypernet") for i in range(3, 9)]
    assert pareto([*proxies, trained, *generated], "macs") == proxies[:2]
    assert pareto([proxies[0], trained, *generated], "macs") == [trained]  # as many, the surer
    assert pareto(generated, "macs") == []
    assert fronts(generated) == {}
    assert fronts(proxies) == {"params": [proxies[1]], "macs": proxies[:2]}
    assert pareto(proxies, "latency_ms") == []


def test_an_architecture_is_on_a_front_once() -> None:
    """Though it was timed twice, and from another start is more accurate."""
    slow, fast = measured(1, 0.8, 30.0), measured(1, 0.7, 10.0)
    assert pareto([slow, fast, measured(2, 0.75, 20.0)], "macs") == [fast, measured(2, 0.75, 20.0)]


def test_the_table_of_fronts() -> None:
    trials = [measured(i, 0.1 * i, 1000.0 * i**2) for i in range(1, 10)]
    assert front_table([], 6) is None
    assert front_table(trials[:1], 6) is None
    screen = Console(file=StringIO(), width=80)
    screen.print(front_table(trials, 4), soft_wrap=True)
    lines = [" ".join(line.split()) for line in screen.file.getvalue().splitlines()]
    assert lines == [
        "Pareto front val. accuracy parameters multiply-adds",
        "9 0.9000 100* 81,000*",
        "6 0.6000 100 36,000*",
        "4 0.4000 100 16,000*",
        "1 0.1000 100 1,000*",
    ]


def test_summary() -> None:
    meta = {"method": "random", "task": "digits", "seed": 3, "config": {"trials": 9}}
    text = "random on digits, seed 3, 5 of 9 trials, 1 saved by known results"
    assert summary(meta, TRIALS[1:]) == text
    lost = replace(TRIALS[0], evaluation=Evaluation({}, "proxy", "lost worker", "exit code -9"))
    assert summary(meta, [failure(0), lost, *TRIALS[2:], failure(1)]) == (
        f"{text}, 2 failed (empty block), 1 failed (lost worker)".replace("5 of 9", "7 of 9")
    )


def watched(console: Console) -> str:
    """What the console shows of a search of which two trials were done before."""
    with Progress(console, len(TRIALS), TRIALS[:2], workers=2) as progress:
        for result in TRIALS[2:]:
            progress.result(result)
            progress.result(result)  # told after it was heard of: it counts once
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_progress_elsewhere_is_lines() -> None:
    lines = watched(Console(file=StringIO()))
    # How many a minute is this machine's affair.
    lines = re.sub(r"[\d.,e+]+ trials/min", "N trials/min", lines).splitlines()
    assert lines == [
        "3/6 trials, best accuracy 0.7200, 1 failed, N trials/min, 2 workers, 0:00 left",
        "4/6 trials, best accuracy 0.7200, 1 failed, N trials/min, 2 workers, 0:00 left",
        "5/6 trials, best accuracy 0.7400, 1 failed, N trials/min, 2 workers, 0:00 left",
        "6/6 trials, best accuracy 0.9800, 1 failed, N trials/min, 2 workers, 0:00 left",
    ]


def test_lines_are_few() -> None:
    console = Console(file=StringIO())
    with Progress(console, 1000, []) as progress:
        for number in range(1000):
            progress.result(failure(number))
    lines = console.file.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == [f"{n}00/1000" for n in range(1, 11)]
    assert lines[0].startswith("100/1000 trials, best accuracy none yet, 100 failed, ")


@pytest.mark.parametrize("width", [40, 80, 140])
def test_progress_in_a_terminal_is_a_bar_and_a_line(width: int) -> None:
    text = watched(Console(file=StringIO(), force_terminal=True, width=width))
    text = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", text)
    bar, line = text.rstrip().replace("\r", "\n").splitlines()[-2:]
    assert len(bar.rstrip()) <= width
    assert len(line.rstrip()) <= width
    assert re.fullmatch(r"searching ━+ 6/6 0:00:0\d", bar.strip())
    whole = r"best accuracy 0\.9800, 1 failed, [\d.,e+]+ trials/min, 2 workers, 0:00 left"
    cut = r"best accuracy 0\.9800, 1 failed, .*…"
    assert re.fullmatch(cut if width == 40 else whole, line.strip())
    assert "6/6 trials" not in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (754, "12:34"), (3600 * 30, "30:00:00")]
)
def test_time_left(seconds: float, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=StringIO())
    with Progress(console, 2, []) as progress:
        progress._began = 0.0
        monkeypatch.setattr("nascore.results.progress.time.monotonic", lambda: seconds)
        progress.result(failure(0))
    assert console.file.getvalue().endswith(f", {text} left\n")


def test_training_tells_of_epochs() -> None:
    for terminal in (False, True):
        console = Console(file=StringIO(), force_terminal=terminal, width=120)
        with training(console, 2) as advance:
            advance(Epoch(1, 1.5, Score(0.25, 1.0), 0.5, 0.1, 100.0))
            advance(Epoch(2, 0.5, Score(0.75, 0.5), 0.5, 0.1, 100.0))
        text = console.file.getvalue()
        assert "loss 0.5000, validation 0.7500" in text
        assert text.startswith("epoch 1/2, loss 1.5000, validation 0.2500\n") is not terminal


def test_decoding_shows_only_where_there_is_a_terminal() -> None:
    for terminal in (False, True):
        console = Console(file=StringIO(), force_terminal=terminal, width=120)
        with decoding(console) as advance:
            advance(256, 512)
        assert ("decoding images" in console.file.getvalue()) is terminal
