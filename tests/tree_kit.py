"""The slow way to what the core's tree does: objects, dictionaries, one node after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from nascore import _core
from nascore.spaces.core_space import CoreSpace

_TIES, _WALKS = 20, 21  # the core's random streams


@dataclass(eq=False)
class PlainNode:
    parent: PlainNode | None = None
    action: int = -1
    prior: float = 0.0
    total: float = 0.0
    visits: int = 0
    pending: int = 0
    children: list[PlainNode] = field(default_factory=list)


class PlainTree:
    """`_core.Tree` in plain Python; nodes are objects."""

    def __init__(
        self,
        space: CoreSpace,
        rule: str,
        c: float,
        seed: int,
        prefix: Sequence[int] = (),
        open_after: int = 1,
    ) -> None:
        self.space, self.rule, self.c, self.seed = space, rule, c, seed
        self.prefix, self.open_after = tuple(prefix), open_after
        self.root = PlainNode()
        self.begun = self.drawn = 0

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
                node.children = [PlainNode(node, action, prior) for action in legal]
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
            return child.total / n + 2 * self.c * math.sqrt(2 * math.log(above) / n)
        mean = child.total / n if n else node.total / above
        return mean + self.c * math.sqrt(above) * child.prior / (1 + n)

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

    def simulate(self, n: int, value: Callable[[np.ndarray], float]) -> None:
        for _ in range(n):
            end = self.select()
            self.back_up(end, value(self.complete(end)))

    def reroot(self, action: int) -> None:
        [self.root] = [child for child in self.root.children if child.action == action]
        self.root.parent = None
        self.prefix = (*self.prefix, action)


def same(plain: PlainTree, tree: _core.Tree) -> bool:
    """Whether every node has the same actions, visits, sums and priors, breadth first or not."""
    _, counters, action, children, first, visits, total, prior = tree.state()
    pairs = [(plain.root, 0)]
    for node, i in pairs:
        if (node.visits, node.total, len(node.children)) != (visits[i], total[i], children[i]):
            return False
        for k, child in enumerate(node.children):
            at = int(first[i]) + k
            if (child.action, child.prior) != (action[at], prior[at]):
                return False
            pairs.append((child, at))
    return len(pairs) == tree.size and counters.tolist() == [plain.begun, plain.drawn]
