"""Block codes and graphs for tests: random, relabelled, mutated, and near-symmetric on purpose."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

import networkx as nx
import numpy as np
import numpy.typing as npt

Code = npt.NDArray[np.int16]  # [L, 5]
Edges = Iterable[tuple[int, int]]

UNARY = [(1, 1), (1, 3), (1, 5), (2, 1), (2, 3), (3, 1), (3, 3), (4, 0)]  # type, kernel
ADD, CONCAT = 5, 6


def code_of(rows: Iterable[tuple[int, int, int, int]]) -> Code:
    """A code from (type, kernel, pred1, pred2) rows, numbered here."""
    return np.array([(i + 1, *row) for i, row in enumerate(rows)], np.int16).reshape(-1, 5)


def random_code(rng: np.random.Generator, layers: int) -> Code:
    """A valid code of `layers` rows, one in three of them an add or a concat."""
    rows = []
    for index in range(1, layers + 1):
        if index > 1 and rng.random() < 1 / 3:
            first, second = rng.choice(index, 2, replace=False)
            rows.append((int(rng.choice([ADD, CONCAT])), 0, first, second))
        else:
            rows.append((*UNARY[rng.integers(len(UNARY))], rng.integers(index), 0))
    return code_of(rows)


def is_pair(row: npt.NDArray[np.int16]) -> bool:
    return int(row[1]) in (ADD, CONCAT)


def relabelled(code: Code, rng: np.random.Generator) -> Code:
    """The same block with its rows in another order and its pairs of predecessors swapped."""
    waiting = set(range(1, len(code) + 1))
    name = {0: 0}
    rows = []
    while waiting:
        ready = [
            i
            for i in waiting
            if all(int(p) in name for p in code[i - 1, 3 : 4 + is_pair(code[i - 1])])
        ]
        chosen = ready[rng.integers(len(ready))]
        waiting.remove(chosen)
        row = code[chosen - 1]
        first, second = name[int(row[3])], name[int(row[4])]
        if is_pair(row) and rng.random() < 0.5:
            first, second = second, first
        rows.append((int(row[1]), int(row[2]), first, second if is_pair(row) else 0))
        name[chosen] = len(rows)
    return code_of(rows)


def mutated(code: Code, rng: np.random.Generator) -> Code:
    """The code with one label or one edge changed; still valid, perhaps still isomorphic."""
    code = code.copy()
    row = code[rng.integers(len(code))]
    index = int(row[0])
    if is_pair(row) and (index == 2 or rng.random() < 0.5):
        row[1] = ADD + CONCAT - row[1]
    elif is_pair(row):
        row[3] = rng.choice([p for p in range(index) if p != row[4]])
    elif index == 1 or rng.random() < 0.5:
        row[1:3] = UNARY[rng.integers(len(UNARY))]
    else:
        row[3] = rng.integers(index)
    return code


def incidence(edges: Edges, vertices: int, pair: int = ADD) -> Code:
    """An undirected graph as a block: a convolution for each vertex, an add for each edge."""
    return code_of(
        [(1, 3, 0, 0)] * vertices + [(pair, 0, first + 1, second + 1) for first, second in edges]
    )


def cycles(*lengths: int) -> Code:
    """Disjoint cycles, which colour refinement cannot tell from any others of equal sum."""
    graph = nx.disjoint_union_all([nx.cycle_graph(length) for length in lengths])
    return incidence(graph.edges, sum(lengths))


def copies(part: Iterable[tuple[int, int, int, int]], times: int) -> Code:
    """Equal parts side by side, each a list of rows whose predecessor 0 is the block's input."""
    rows: list[tuple[int, int, int, int]] = []
    for _ in range(times):
        base = len(rows)
        rows += [(t, k, p and p + base, q and q + base) for t, k, p, q in part]
    return code_of(rows)


def near_symmetric() -> dict[str, list[Code]]:
    """Blocks of at most 23 layers, grouped so that those of a group are hard to tell apart."""
    chains = {
        f"chains of {length}": [
            copies([(1, 3, step, 0) for step in range(length)], times)
            for times in range(1, 23 // length + 1)
        ]
        for length in range(1, 12)
    }
    cube = nx.hypercube_graph(3)
    cube = nx.convert_node_labels_to_integers(cube)
    k4k4 = nx.disjoint_union(nx.complete_graph(4), nx.complete_graph(4))
    regular = {
        "cycles of 6": [cycles(6), cycles(3, 3)],
        "cycles of 8": [cycles(8), cycles(4, 4), cycles(3, 5)],
        "cycles of 11": [
            cycles(11),
            cycles(3, 8),
            cycles(4, 7),
            cycles(5, 6),
            cycles(3, 3, 5),
            cycles(3, 4, 4),
        ],
        "cubic on 6": [
            incidence(nx.complete_bipartite_graph(3, 3).edges, 6),
            incidence(nx.circular_ladder_graph(3).edges, 6),
        ],
        "cubic on 8": [
            incidence(cube.edges, 8),
            incidence(nx.circulant_graph(8, [1, 4]).edges, 8),
            incidence(k4k4.edges, 8),
        ],
        "complete": [incidence(itertools.combinations(range(n), 2), n) for n in range(2, 7)],
        "stars": [incidence(nx.star_graph(n).edges, n + 1) for n in range(1, 12)],
    }
    parts = {
        "residual units": [(1, 3, 0, 0), (1, 3, 1, 0), (5, 0, 1, 2)],
        "sums with the input": [(1, 3, 0, 0), (5, 0, 0, 1)],
        "pairs": [(1, 3, 0, 0), (1, 3, 0, 0), (5, 0, 1, 2)],
        "diamonds": [(1, 3, 0, 0), (1, 3, 1, 0), (1, 3, 1, 0), (6, 0, 2, 3)],
        "double edges": [(1, 3, 0, 0), (4, 0, 1, 0), (5, 0, 1, 2)],
    }
    equal_parts = {
        name: [copies(part, times) for times in range(1, 23 // len(part) + 1)]
        for name, part in parts.items()
    }
    return {**chains, **regular, **equal_parts}


def strongly_regular() -> dict[str, nx.Graph]:
    """The two graphs srg(16,6,2,2) and the four srg(28,12,6,4), pairwise not isomorphic."""
    steps = [(0, 1), (1, 0), (1, 1)]
    shrikhande = nx.Graph(
        ((a, b), ((a + x) % 4, (b + y) % 4)) for a in range(4) for b in range(4) for x, y in steps
    )
    rook = nx.line_graph(nx.complete_bipartite_graph(4, 4))
    triangular = nx.line_graph(nx.complete_graph(8))
    switching_sets = {  # of Seidel: a matching, an 8-cycle, a triangle with a 5-cycle
        "chang 1": [(0, 1), (2, 3), (4, 5), (6, 7)],
        "chang 2": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (0, 7)],
        "chang 3": [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (5, 6), (6, 7), (3, 7)],
    }
    graphs = {"shrikhande": shrikhande, "rook": rook, "triangular": triangular}
    for name, switched in switching_sets.items():
        edges = [
            (a, b)
            for a, b in itertools.combinations(triangular, 2)
            if triangular.has_edge(a, b) != ((a in switched) != (b in switched))
        ]
        graphs[name] = nx.Graph(edges)
    return graphs


def used_matrices(size: int, max_edges: int) -> npt.NDArray[np.uint8]:
    """All upper triangular matrices `[n, V, V]` with every node between node 0 and the last."""
    pairs = list(itertools.combinations(range(size), 2))
    masks = np.arange(1 << len(pairs), dtype=np.uint32)
    chosen = np.stack([(masks >> k & 1).astype(np.uint8) for k in range(len(pairs))], axis=1)
    chosen = chosen[chosen.sum(1) <= max_edges]
    matrices = np.zeros((len(chosen), size, size), np.uint8)
    for k, (row, column) in enumerate(pairs):
        matrices[:, row, column] = chosen[:, k]
    leads_on = matrices[:, :-1].any(2).all(1)
    is_reached = matrices[:, :, 1:].any(1).all(1)
    return matrices[leads_on & is_reached]


def networkx_of(labels: Iterable[object], edges: Edges) -> nx.MultiDiGraph:
    """The graph as a networkx MultiDiGraph, labels under "label"."""
    graph = nx.MultiDiGraph()
    graph.add_nodes_from((node, {"label": label}) for node, label in enumerate(labels))
    graph.add_edges_from((int(first), int(second)) for first, second in edges)
    return graph


def isomorphic(one: nx.MultiDiGraph, other: nx.MultiDiGraph) -> bool:
    """networkx's verdict, made bearable where colour refinement leaves large classes.

    There a node is fixed and matched with every candidate in turn, and networkx judges each case.
    """
    names: dict[object, int] = {}
    colours = [
        [names.setdefault(graph.nodes[v]["label"], len(names)) for v in graph]
        for graph in (one, other)
    ]
    return _isomorphic((one, other), colours)


def _isomorphic(graphs: Sequence[nx.MultiDiGraph], colours: list[list[int]]) -> bool:
    colours = _refined(graphs, colours)
    sizes = Counter(colours[0])
    largest, size = sizes.most_common(1)[0]
    if size > 4 and sizes == Counter(colours[1]):
        fixed = colours[0].index(largest)
        return any(
            _isomorphic(graphs, [_marked(colours[0], fixed), _marked(colours[1], candidate)])
            for candidate, colour in enumerate(colours[1])
            if colour == largest
        )
    for graph, colour in zip(graphs, colours, strict=True):
        nx.set_node_attributes(graph, dict(enumerate(colour)), "colour")
    return bool(nx.vf2pp_is_isomorphic(*graphs, node_label="colour"))


def _marked(colour: list[int], node: int) -> list[int]:
    return [*colour[:node], -1, *colour[node + 1 :]]


def _refined(graphs: Sequence[nx.MultiDiGraph], colours: list[list[int]]) -> list[list[int]]:
    """Colours that both graphs share, split by the colours of neighbours; no hashing."""
    classes = 0
    while True:
        names: dict[object, int] = {}
        refined = []
        for graph, colour in zip(graphs, colours, strict=True):
            preds: list[list[int]] = [[] for _ in colour]
            succs: list[list[int]] = [[] for _ in colour]
            for first, second in graph.edges():
                preds[second].append(colour[first])
                succs[first].append(colour[second])
            around = zip(colour, map(sorted, preds), map(sorted, succs), strict=True)
            refined.append([names.setdefault(str(key), len(names)) for key in around])
        if len(names) == classes:
            return colours
        colours, classes = refined, len(names)
