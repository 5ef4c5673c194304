"""The figure of each page's idea, as SVG within the page, in the colours of its theme."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

Point = tuple[float, float]
LINE = 15  # between two lines of text


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """Lines of text, their middle at (x, y)."""
    lines = words.split("\n")
    top = y - LINE * (len(lines) - 1) / 2 + 4
    return "".join(
        f'<text class="{kind}" x="{x}" y="{top + LINE * i:g}">{escape(line)}</text>'
        for i, line in enumerate(lines)
    )


def box(x: float, y: float, words: str, kind: str, w: float = 100, h: float = 40) -> str:
    """A box whose middle is (x, y); its kind is its colour."""
    return (
        f'<rect class="{kind}" x="{x - w / 2:g}" y="{y - h / 2:g}" width="{w:g}" height="{h:g}" '
        f'rx="6"/>{text(x, y, words)}'
    )


def ring(x: float, y: float, words: str, kind: str, r: float = 15) -> str:
    return f'<circle class="{kind}" cx="{x:g}" cy="{y:g}" r="{r:g}"/>{text(x, y, words)}'


def arrow(*points: Point, kind: str = "") -> str:
    way = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f'<polyline class="way {kind}" points="{way}"/>'


def curve(start: Point, through: Point, end: Point, kind: str = "") -> str:
    (a, b), (c, d), (e, f) = start, through, end
    return f'<path class="way {kind}" d="M{a:g},{b:g} Q{c:g},{d:g} {e:g},{f:g}"/>'


def loop() -> list[str]:
    names = [
        ("agent\nchooses", "agent"),
        ("code", "code"),
        ("graph", "code"),
        ("network", "net"),
        ("short\ntraining", "train"),
        ("reward", "reward"),
    ]
    xs = [60 + 120 * i for i in range(6)]
    parts = [box(x, 40, words, kind, 88) for x, (words, kind) in zip(xs, names, strict=True)]
    parts += [arrow((x + 44, 40), (x + 74, 40)) for x in xs[:-1]]
    return [*parts, arrow((660, 60), (660, 100), (60, 100), (60, 62)), text(360, 116, "learns")]


def blockqnn() -> list[str]:
    rows = ["1  conv 3×3  of 0", "2  max 3×3  of 0", "3  add  of 1, 2", "4  end"]
    parts = [box(80, 30 + 36 * i, row, "code", 140, 28) for i, row in enumerate(rows)]
    parts += [text(80, 172, "Network Structure Code"), arrow((152, 84), (178, 84))]
    parts += [
        ring(235, 25, "0", "code"),
        box(205, 84, "conv", "net", 48, 28),
        box(268, 84, "max", "net", 48, 28),
        box(235, 143, "add", "net", 48, 28),
        arrow((229, 40), (208, 69)),
        arrow((241, 40), (264, 69)),
        arrow((209, 98), (228, 128)),
        arrow((264, 98), (243, 128)),
        text(235, 172, "block"),
        arrow((295, 84), (335, 84)),
    ]
    stack = ["stem", "4 × block", "pool", "4 × block", "pool", "4 × block"]
    parts += [box(385, 18 + 27 * i, words, "net", 90, 22) for i, words in enumerate(stack)]
    parts += [text(385, 180, "network"), arrow((432, 84), (470, 84))]
    parts += [box(525, 84, "12 epochs:\naccuracy", "train", 104), arrow((579, 84), (612, 84))]
    parts += [box(666, 84, "− ln MFLOPs\n− 8 ln density", "reward", 106)]
    back = arrow((666, 106), (666, 206), (80, 206), (80, 184))
    return [*parts, back, text(370, 221, "reward / T for each of the T rows, into the Q values")]


def faster_blockqnn() -> list[str]:
    return [
        box(70, 90, "Q-learning\ndraws blocks", "agent", 110, 48),
        arrow((126, 90), (178, 90)),
        box(240, 90, "LSTM reads\nthe code", "code", 116, 48),
        arrow((298, 80), (400, 40)),
        arrow((298, 100), (400, 140)),
        text(335, 38, "99 %"),
        text(335, 146, "1 %"),
        box(470, 36, "predicted accuracy", "code", 140),
        box(470, 144, "true training", "train", 140),
        arrow((541, 36), (606, 80)),
        arrow((541, 144), (606, 100)),
        box(660, 90, "reward of\nequation 7", "reward", 106, 48),
        arrow((470, 165), (470, 186), (240, 186), (240, 116), kind="dashed"),
        text(355, 200, "fitted again to all true trainings"),
        arrow((660, 65), (660, 8), (70, 8), (70, 64)),
    ]


def metaqnn() -> list[str]:
    layers = ["image", "conv\n64, 3×3", "conv\n128, 5×5", "pool\n2, 2", "dense\n128", "end"]
    xs = [50 + 122 * i for i in range(6)]
    kinds = ["code", "net", "net", "net", "net", "train"]
    boxes = zip(xs, layers, kinds, strict=True)
    parts = [box(x, 90, words, kind, 84, 44) for x, words, kind in boxes]
    parts += [arrow((x + 42, 90), (x + 78, 90)) for x in xs[:-1]]
    for x in xs[1:4]:  # what might have been chosen
        parts += [arrow((x - 80, 84), (x - 44, 30), kind="dashed"), text(x - 30, 22, "Q = …")]
    parts += [text(660, 128, "accuracy\nof 20 epochs")]
    parts += [arrow((620, 150), (620, 170), (50, 170), (50, 114))]
    return [*parts, text(340, 185, "Q(s, u) moves towards the best Q of what follows, end first")]


def nasnet() -> list[str]:
    words = ["input 1", "input 2", "op 1", "op 2", "join"]
    parts = []
    for i, word in enumerate(words):
        x = 45 + 66 * i
        parts += [box(x, 40, "LSTM", "agent", 52, 30), arrow((x, 56), (x, 76)), text(x, 88, word)]
        parts += [arrow((x + 26, 40), (x + 40, 40))] if i < 4 else []
    parts += [text(180, 112, "5 times for each of two cells"), arrow((330, 60), (372, 60))]
    parts += [
        box(420, 24, "h", "code", 34, 26),
        box(480, 24, "h before", "code", 66, 26),
        box(420, 74, "sep 5×5", "net", 62, 26),
        box(490, 74, "avg 3×3", "net", 62, 26),
        box(455, 122, "add", "net", 50, 26),
        arrow((420, 38), (420, 60)),
        arrow((482, 38), (488, 60)),
        arrow((422, 88), (446, 108)),
        arrow((488, 88), (464, 108)),
        text(455, 150, "a block of a cell"),
        arrow((528, 74), (566, 74)),
    ]
    stack = ["N × Normal", "Reduction", "N × Normal", "Reduction", "N × Normal"]
    parts += [box(620, 20 + 27 * i, name, "net", 98, 22) for i, name in enumerate(stack)]
    parts += [arrow((620, 142), (620, 182), (8, 182), (8, 40), (18, 40))]
    return [*parts, text(330, 197, "validation accuracy, less its moving average, by PPO")]


def nas_rl() -> list[str]:
    parts = []
    for i in range(4):
        x = 90 + 160 * i
        parts += [box(x, 40, f"LSTM: layer {i + 1}", "agent", 116, 34), arrow((x, 58), (x, 84))]
        parts += [box(x, 104, "height, width,\nfilters", "net", 116)]
        parts += [arrow((x + 58, 104), (x + 100, 104))] if i < 3 else []
    parts += [arrow((148 + 160 * i, 40), (188 + 160 * i, 40)) for i in range(3)]
    parts += [
        curve((90, 126), (250, 170), (402, 127)),
        curve((250, 126), (410, 176), (562, 127), kind="dashed"),
        text(250, 164, "skip drawn"),
        text(430, 164, "not drawn"),
        text(
            330, 196, "an anchor in each layer gives the probability of a skip from every earlier"
        ),
    ]
    return parts


def irlas() -> list[str]:
    points = [(70, 120), (110, 90), (95, 140), (150, 125), (130, 60), (60, 70), (170, 90)]
    parts = [ring(x, y, "", "net", 6) for x, y in points]
    parts += [ring(275, 45, "", "reward", 10), text(275, 22, "expert's block")]
    parts += [text(105, 165, "blocks that policies draw"), arrow((150, 95), (250, 54))]
    parts += [text(215, 92, "w"), arrow((330, 90), (370, 90))]
    return [
        *parts,
        text(350, 70, "learned first,\nwithout training"),
        box(450, 45, "accuracy", "train", 120, 34),
        box(450, 135, "λ · wᵀμ(block)", "reward", 120, 34),
        text(450, 90, "+"),
        arrow((512, 50), (560, 82)),
        arrow((512, 130), (560, 98)),
        box(640, 90, "BlockQNN's\nQ-learning", "agent", 150, 48),
    ]


def alphax() -> list[str]:
    nodes = {
        "a": (170, 25, "9"),
        "b": (100, 80, "6"),
        "c": (240, 80, "2"),
        "d": (60, 135, "4"),
        "e": (140, 135, "1"),
        "f": (60, 190, ""),
    }
    parts = [ring(x, y, words, "code") for x, y, words in nodes.values()]
    for one, other in ("ab", "ac", "bd", "be", "df"):
        (x, y, _), (u, v, _) = nodes[one], nodes[other]
        kind = "" if one + other in ("ab", "bd", "df") else "dashed"
        parts += [arrow((x + (u - x) * 0.3, y + 14), (u + (x - u) * 0.25, v - 17), kind=kind)]
    parts += [text(330, 30, "1 walk down by UCB1"), text(128, 178, "2 a new state")]
    return [
        *parts,
        arrow((78, 196), (365, 196), (365, 166)),
        text(220, 212, "3 finish it at random, many times"),
        box(365, 145, "one is trained", "train", 130, 36),
        box(365, 90, "10 are predicted", "code", 130, 36),
        arrow((432, 145), (486, 124)),
        arrow((432, 90), (486, 112)),
        box(540, 118, "mean of\nboth", "reward", 100, 44),
        arrow((592, 118), (660, 118), (660, 8), (170, 8)),
        text(600, 160, "4 to all states on the way"),
    ]


def ghn() -> list[str]:
    places = {"a": (60, 30), "b": (25, 90), "c": (95, 90), "d": (60, 150)}
    parts = [ring(x, y, "", "code", 11) for x, y in places.values()]
    for one, other in ("ab", "ac", "bd", "cd"):
        (x, y), (u, v) = places[one], places[other]
        parts += [arrow((x + (u - x) / 4, y + 12), (u - (u - x) / 5, v - 13), kind="both")]
    steps = [
        ("messages,\nforth and back", "agent"),
        ("weights of\nevery node", "code"),
        ("accuracy,\nuntrained", "net"),
        ("the best 10\nare trained", "train"),
    ]
    parts += [text(60, 180, "a random block"), arrow((112, 90), (150, 90))]
    for i, (words, kind) in enumerate(steps):
        parts += [box(208 + 146 * i, 90, words, kind, 112, 48)]
        parts += [arrow((265 + 146 * i, 90), (294 + 146 * i, 90))] if i < 3 else []
    parts += [arrow((354, 116), (354, 160), (208, 160), (208, 118))]
    return [*parts, text(282, 176, "trained first, by the loss of random blocks")]


def maskconnect() -> list[str]:
    parts = []
    before, after = {(0, 0), (2, 0), (1, 1), (2, 1)}, {(0, 0), (2, 0), (0, 1), (2, 1)}
    for left, chosen in ((60, before), (440, after)):
        for row in range(3):
            gone = chosen is after and row == 1
            parts += [
                box(left, 34 + 54 * row, f"module {row + 1}", "gone" if gone else "net", 90, 30)
            ]
        for j, y in enumerate((50, 124)):
            parts += [box(left + 190, y, f"module {j + 4}", "net", 90, 30)]
            for row in range(3):
                if (row, j) in chosen or chosen is before:
                    kind = "" if (row, j) in chosen else "dashed"
                    parts += [arrow((left + 46, 34 + 54 * row), (left + 143, y), kind=kind)]
    return [
        *parts,
        text(
            155, 180, "each batch draws K inputs by the masks;\nall masks learn from its gradient"
        ),
        arrow((310, 88), (385, 88)),
        text(
            535, 180, "the K largest stay, what nobody reads\nis removed, the weights are trained"
        ),
    ]


def n2n() -> list[str]:
    parts = [text(62, 16, "teacher"), text(296, 16, "layers removed"), text(530, 16, "shrunk")]
    for i in range(5):
        y = 42 + 28 * i
        parts += [box(62, y, "conv 64", "net", 100, 22)]
        if i in (0, 2, 4):
            parts += [box(296, y, "conv 64", "net", 100, 22)]
            parts += [
                box(530, y, f"conv {(30, 0, 14, 0, 40)[i]}", "net", (64, 0, 58, 0, 76)[i], 22)
            ]
    return [
        *parts,
        arrow((116, 98), (242, 98)),
        text(178, 80, "keep or remove\nby a two-way LSTM"),
        arrow((350, 98), (474, 98)),
        text(412, 80, "how much width\nby another"),
        arrow((62, 172), (62, 200), (530, 200), (530, 172), kind="dashed"),
        text(296, 214, "learns the teacher's logits"),
        box(660, 98, "R = C (2 − C) ·\naccuracy / teacher's", "reward", 130, 48),
        arrow((572, 98), (592, 98)),
    ]


def baselines() -> list[str]:
    parts = [ring(60 + 44 * i, 60, "", "code", 15) for i in range(7)]
    return [
        *parts,
        text(60, 92, "oldest dies"),
        text(320, 92, "newest"),
        arrow((148, 40), (148, 14), (440, 14), (440, 38)),
        text(290, 28, "the best of a random sample"),
        box(440, 60, "one decision\nchanged", "agent", 110, 44),
        arrow((497, 60), (536, 60)),
        box(590, 60, "trained", "train", 104, 36),
        arrow((590, 80), (590, 122), (324, 122), (324, 102)),
    ]


FIGURES: dict[str, tuple[Callable[[], list[str]], int, str]] = {
    "loop": (loop, 126, "An agent's choices become a trained network, whose score it learns from"),
    "blockqnn": (blockqnn, 232, "A code, its block, the network of it, and the reward"),
    "faster_blockqnn": (faster_blockqnn, 212, "Most rewards predicted, a few measured"),
    "metaqnn": (metaqnn, 196, "A network written layer by layer, and the way back of its reward"),
    "nasnet": (nasnet, 208, "A recurrent controller writes cells, which are stacked"),
    "nas_rl": (nas_rl, 206, "A recurrent controller writes layers with skip connections"),
    "irlas": (irlas, 180, "A direction that sets the expert apart becomes part of the reward"),
    "alphax": (alphax, 228, "Selection, expansion, simulation and backing up in a tree"),
    "ghn": (ghn, 192, "A graph network generates a block's weights; the best are trained"),
    "maskconnect": (maskconnect, 206, "Connections drawn by masks, then frozen"),
    "n2n": (n2n, 224, "A teacher loses layers, then width"),
    "baselines": (baselines, 134, "Regularized evolution: a queue of members"),
}


def figure(name: str) -> str:
    """The figure of a page, to be put into it as it is."""
    draw, height, title = FIGURES[name]
    marker = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto-start-reverse"><path d="M0,0 L8,4 L0,8 z"/></marker></defs>'
    )
    return (
        f'<div class="figure"><svg viewBox="0 0 730 {height}" role="img" aria-label="{title}">'
        f"{marker}{''.join(draw())}</svg></div>"
    )
