"""The slow way to what the core's tree does: objects, dictionaries, one node after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np

from nascore import _core
from nascore.spaces import BlockSpace
from nascore.trial import Space

_TIES, _WALKS = 20, 21  # the core's random streams

Key = Callable[[np.ndarray], Hashable]


@dataclass(eq=False)
class PlainState:
    """What the nodes of one state share."""

    key: Hashable
    total: float = 0.0
    visits: int = 0


@dataclass(eq=False)
class PlainNode:
    parent: PlainNode | None = None
    action: int = -1
    prior: float = 0.0
    total: float = 0.0
    visits: int = 0
    pending: int = 0
    children: list[PlainNode] = field(default_factory=list)
    shared: PlainState | None = None


class PlainTree:
    """`_core.Tree` in plain Python; nodes are objects, `key` tells what states share a value."""

    def __init__(
        self,
        space: Space,
        rule: str,
        c: float,
        seed: int,
        prefix: Sequence[int] = (),
        open_after: int = 1,
        key: Key | None = None,
    ) -> None:
        self.space, self.rule, self.c, self.seed = space, rule, c, seed
        self.prefix, self.open_after, self.key = tuple(prefix), open_after, key
        self.states: dict[Hashable, PlainState] = {}
        self.root = self._node(None, -1, 0.0)
        self.begun = self.drawn = 0

    def _node(self, parent: PlainNode | None, action: int, prior: float) -> PlainNode:
        node = PlainNode(parent, action, prior)
        if self.key is not None:
            key = self.key(self.state(self.path(node))[0])
            node.shared = self.states.setdefault(key, PlainState(key))
        return node

    def state(self, actions: Sequence[int]) -> np.ndarray:
        state = self.space.start(1)
        for action in actions:
            state = self.space.step(state, np.array([action], np.int32))
        return state

    def path(self, node: PlainNode) -> tuple[int, ...]:
        actions = []
        while node.parent is not None:
            actions.append(node.action)
            node = node.parent
        return (*self.prefix, *reversed(actions))

    def select(self) -> PlainNode:
        node, depth = self.root, 0
        while node.visits + node.pending >= self.open_after:
            state = self.state(self.path(node))
            if self.space.done(state)[0]:
                break
            if not node.children:
                legal = np.flatnonzero(self.space.legal(state)[0]).tolist()
                prior = float(np.float32(1) / np.float32(len(legal)))
                node.children = [self._node(node, action, prior) for action in legal]
            node = self._choose(node, depth)
            depth += 1
        self.begun += 1
        for above in self._up(node):
            above.pending += 1
        return node

    def _choose(self, node: PlainNode, depth: int) -> PlainNode:
        scores = [self._score(node, child) for child in node.children]
        best = [c for c, s in zip(node.children, scores, strict=True) if s == max(scores)]
        if len(best) == 1:
            return best[0]
        counter = (depth << 40) + self.begun
        return best[int(_core.integers(self.seed, _TIES, counter, 1, len(best))[0])]

    def _score(self, node: PlainNode, child: PlainNode) -> float:
        above, n = node.visits + node.pending, child.visits + child.pending
        if self.rule == "ucb1":
            if n == 0:
                return math.inf
            return self._mean(child) + 2 * self.c * math.sqrt(2 * math.log(above) / n)
        mean = self._mean(child)
        if math.isnan(mean):
            mean = self._mean(node)
        return mean + self.c * math.sqrt(above) * child.prior / (1 + n)

    def _mean(self, node: PlainNode) -> float:
        known = node if node.shared is None else node.shared
        visits = known.visits + node.pending
        return known.total / visits if visits else math.nan

    def _up(self, node: PlainNode | None) -> list[PlainNode]:
        nodes = []
        while node is not None:
            nodes.append(node)
            node = node.parent
        return nodes

    def complete(self, node: PlainNode) -> np.ndarray:
        """One completion, `[W]`."""
        state, step = self.state(self.path(node)), 0
        while not self.space.done(state)[0]:
            legal = np.flatnonzero(self.space.legal(state)[0])
            counter = (step << 40) + self.drawn
            wanted = _core.integers(self.seed, _WALKS, counter, 1, len(legal))[0]
            state = self.space.step(state, legal[wanted : wanted + 1].astype(np.int32))
            step += 1
        self.drawn += 1
        return state[0]

    def back_up(self, node: PlainNode, value: float, visits: int = 1, pending: int = -1) -> None:
        for above in self._up(node):
            above.total += value
            above.visits += visits
            above.pending += pending
            if above.shared is not None:
                above.shared.total += value
                above.shared.visits += visits

    def simulate(self, n: int, value: Callable[[np.ndarray], float]) -> None:
        for _ in range(n):
            end = self.select()
            self.back_up(end, value(self.complete(end)))

    def reroot(self, action: int) -> None:
        [self.root] = [child for child in self.root.children if child.action == action]
        self.root.parent = None
        self.prefix = (*self.prefix, action)
        nodes = [self.root]
        for node in nodes:
            nodes += node.children
        self.states = {n.shared.key: n.shared for n in nodes if n.shared is not None}


def same(plain: PlainTree, tree: _core.Tree) -> bool:
    """Whether every node has the same actions, visits, sums and priors, breadth first or not.

    With transpositions, also whether the same nodes share the same values.
    """
    _, counters, action, children, first, visits, total, prior, known, known_total = tree.state()
    pairs = [(plain.root, 0)]
    for node, i in pairs:
        if (node.visits, node.total, len(node.children)) != (visits[i], total[i], children[i]):
            return False
        for k, child in enumerate(node.children):
            at = int(first[i]) + k
            if (child.action, child.prior) != (action[at], prior[at]):
                return False
            pairs.append((child, at))
    ordered = sorted(pairs, key=lambda pair: pair[1])
    states = dict.fromkeys(node.shared for node, _ in ordered if node.shared is not None)
    if [(s.visits, s.total) for s in states] != list(zip(known, known_total, strict=True)):
        return False
    return len(pairs) == tree.size and counters.tolist() == [plain.begun, plain.drawn]


def choices_key(state: np.ndarray) -> Hashable:
    return tuple(state.tolist())


def block_key(space: BlockSpace) -> Key:
    """The hash of a finished block; the least of all orders of an unfinished one's layers."""

    def key(state: np.ndarray) -> Hashable:
        if space.done(state[None])[0]:
            return space.decode(state[None])[0].hash
        rows = [row for row in state.reshape(-1, 5).tolist() if row[1]]
        orders = []
        for order in permutations(range(1, len(rows) + 1)):
            name = dict(zip(range(len(rows) + 1), (0, *order), strict=True))
            named = [
                (name[i], op, kernel, *sorted((name[p], name[q] if op in (5, 6) else -1)))
                for i, op, kernel, p, q in rows
            ]
            orders.append(tuple(sorted(named)))
        return min(orders)

    return key
