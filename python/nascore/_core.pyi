"""
The compiled core of nascore: arrays in, arrays out.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

__all__: list[str] = [
    "CELL_COMBINES",
    "CELL_MAX_BLOCKS",
    "CELL_OPS",
    "KERNELS",
    "MASK_ONE",
    "NET_COLUMNS",
    "OPS",
    "PROGRAM_COLUMNS",
    "BlockSpace",
    "CellStack",
    "ChoicesSpace",
    "ConnectionSpace",
    "DagSpace",
    "EdgeDagSpace",
    "Graph",
    "LayerSpace",
    "Net",
    "Program",
    "PythonSpace",
    "QTable",
    "Skeleton",
    "SkipSpace",
    "Space",
    "SumDagSpace",
    "Tree",
    "cell_hash",
    "draw_bernoulli",
    "draw_categorical",
    "draw_k",
    "expand",
    "expand_cells",
    "expand_layers",
    "expand_skips",
    "graph_hash",
    "instruction_set",
    "instruction_sets",
    "integers",
    "masked_sum_backward_f32",
    "masked_sum_backward_f64",
    "masked_sum_f32",
    "masked_sum_f64",
    "multiply_adds",
    "normal",
    "nsc_cost",
    "nsc_hash",
    "nsc_message",
    "nsc_parse",
    "nsc_print",
    "nsc_validate",
    "pack_channels",
    "pack_convolution",
    "pack_depthwise",
    "padded",
    "philox4x32",
    "run_program",
    "separable_backward",
    "separable_forward",
    "uniform",
    "use_instruction_set",
]

class Graph:
    """
    A block as a labelled directed acyclic multigraph; immutable.
    """
    @staticmethod
    def from_arrays(
        nodes: numpy.typing.NDArray[numpy.int32], edges: numpy.typing.NDArray[numpy.int32]
    ) -> Graph:
        """
        The graph of nodes `[V, 4]` (op, kernel, stride, dilation), edges `[E, 2]`.

        ValueError names the node or edge that is wrong.
        """
    @staticmethod
    def from_cell(
        code: numpy.typing.NDArray[numpy.int16], outputs: collections.abc.Sequence[int], stride: int
    ) -> Graph:
        """
        The graph of a cell's blocks `[B, 5]` that gives the states `outputs`, not cleaned;
        `stride` is that of the operations on its inputs.

        ValueError says which block or output breaks which rule.
        """
    @staticmethod
    def from_dag(
        rows: numpy.typing.NDArray[numpy.int32], edges: numpy.typing.NDArray[numpy.int32]
    ) -> Graph:
        """
        The graph of nodes `[V, 3]` (op, kernel, dilation) that sum what they read.

        Edges `[E, 2]` are between nodes numbered from 1, 0 being the input; the last
        row joins the result. Not cleaned. ValueError names the node that is wrong.
        """
    @staticmethod
    def from_nsc(code: numpy.typing.NDArray[numpy.int16]) -> Graph:
        """
        The graph of a code `[L, 5]`, output attached, not cleaned.

        ValueError says which row breaks which rule.
        """
    def clean(self) -> Graph:
        """
        The graph of the same function, without no-ops and dead nodes.
        """
    def density(self) -> float:
        """
        Edges that do not end in the output, over layers; 0 if none.
        """
    def hash(self) -> str:
        """
        32 hex digits, equal if and only if the graphs are isomorphic.
        """
    def layers(self) -> int:
        """
        The number of nodes that are neither input nor output.
        """
    def longest_path(self) -> int:
        """
        Layers on the longest way from an input to the output.
        """
    def order(self) -> list[int]:
        """
        The nodes in topological order: inputs first, among ready ones the lowest.
        """
    @property
    def edges(self) -> numpy.typing.NDArray[numpy.int32]:
        """
        from, to; parallel edges repeated: `[E, 2]`.
        """
    @property
    def nodes(self) -> numpy.typing.NDArray[numpy.int32]:
        """
        op, kernel, stride, dilation: `[V, 4]`.
        """

class Program:
    """
    A network as data, which `run_program` runs.
    """
    @property
    def inputs(self) -> list[tuple[int, int, int]]:
        """
        Channels, height and width of each.
        """
    @property
    def instructions(self) -> numpy.typing.NDArray[numpy.int32]:
        """
        int32 `[I, 26]`, columns PROGRAM_COLUMNS.
        """
    @property
    def outputs(self) -> list[tuple[int, int, int]]:
        """
        Channels, height and width of each.
        """
    @property
    def slots(self) -> list[tuple[int, int, int]]:
        """
        Per instruction with weights: its number, the net's row whose weights it has, and
        the first of that row's channels.
        """
    @property
    def weights(self) -> int:
        """
        How many numbers.
        """

class Skeleton:
    """
    The fixed outside of a network: stem, groups of blocks, classifier.
    """
    def __init__(
        self,
        stem_width: int,
        stem_stride: int,
        stem_pool: bool,
        blocks: int,
        widths: collections.abc.Sequence[int],
        depthwise: bool = False,
    ) -> None:
        """
        ValueError names the field that is out of range.
        """

class CellStack:
    """
    The fixed outside of a network of cells: stem, groups, classifier.
    """
    def __init__(
        self,
        normal: int,
        filters: int,
        stem_width: int,
        stem_stride: int,
        stem_cells: int,
        reductions: int,
        auxiliary: bool,
    ) -> None:
        """
        ValueError names the field that is out of range.
        """

class Net:
    """
    A whole network as rows in the order in which they run.
    """
    @staticmethod
    def from_rows(
        rows: numpy.typing.NDArray[numpy.int64],
        inputs: collections.abc.Sequence[collections.abc.Sequence[int]],
        repair: bool = False,
        seams: collections.abc.Sequence[int] = [],
        exits: collections.abc.Sequence[int] = [],
    ) -> Net:
        """
        The network of rows int64 `[R, 9]`, columns NET_COLUMNS, and per row those it reads.

        With `repair` shapes become what the inputs make them, channels of convolutions and
        linear layers aside, and groups what divides these. `seams` end repeated blocks; `exits`
        are rows of logits that answer before the last row. ValueError names the row that cannot
        be built, the rule and what it should be.
        """
    def __getstate__(self) -> tuple[typing.Any, ...]: ...
    def __setstate__(self, arg0: tuple[typing.Any, ...]) -> None: ...
    def of_signals(self) -> Net:
        """
        This network of images (C, L, L) made one of signals (C, L): heights are 1, and kernels
        keep their width alone.
        """
    def program(
        self,
        inputs: collections.abc.Sequence[int],
        outputs: collections.abc.Sequence[int],
        batch_statistics: bool = False,
    ) -> Program:
        """
        The Program that computes rows `outputs` from rows `inputs`.

        With `batch_statistics` batch norms go by each batch. ValueError where an output needs
        the image beside the inputs, or the network is too large.
        """
    @property
    def exit_macs(self) -> list[int]:
        """
        Multiply-adds until each exit has answered, then until the last row has: of all that
        leads to it or to an exit that costs no more alone.
        """
    @property
    def exits(self) -> list[int]:
        """
        Rows of logits that answer before the last one, by rising cost of each alone.
        """
    @property
    def inputs(self) -> list[tuple[int, ...]]:
        """
        Per row, the rows that it reads.
        """
    @property
    def macs(self) -> int:
        """
        Multiply-adds of convolutions and linear layers for one image.
        """
    @property
    def params(self) -> int:
        """
        Trainable parameters.
        """
    @property
    def peak_bytes(self) -> int:
        """
        Most float32 activation bytes alive at once for one image, in inference.
        """
    @property
    def rows(self) -> numpy.typing.NDArray[numpy.int64]:
        """
        int64 `[R, 9]`, columns NET_COLUMNS.
        """
    @property
    def seams(self) -> list[int]:
        """
        Rows that end one repeated block and begin the next.
        """
    @property
    def signal(self) -> bool:
        """
        Whether it is of signals (C, L), not of images.
        """
    @property
    def signatures(self) -> list[str]:
        """
        Per row a name of its own, a hash of it and of what feeds it; networks that have a part
        in common call it by the same name. A block's inside is named by the block alone.
        """

class Space:
    """
    A decision process over batches of states `[n, W]`.
    """
    def actions(
        self, state: numpy.typing.NDArray[numpy.int16]
    ) -> numpy.typing.NDArray[numpy.int32]:
        """
        The way back from finished states: int32 `[n, max_steps]`, -1 after the last action.
        """
    def done(self, state: numpy.typing.NDArray[numpy.int16]) -> numpy.typing.NDArray[numpy.bool]:
        """
        bool `[n]`.
        """
    def features(
        self, state: numpy.typing.NDArray[numpy.int16]
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        What a network reads, float32 `[n, F]`.
        """
    def head(self, state: numpy.typing.NDArray[numpy.int16]) -> numpy.typing.NDArray[numpy.int32]:
        """
        Which of the heads decides next, int32 `[n]`.
        """
    def key(self, state: numpy.typing.NDArray[numpy.int16]) -> numpy.typing.NDArray[numpy.uint64]:
        """
        uint64 `[n, 2]`, equal for states below which the same is found, whatever led to them.
        """
    def legal(self, state: numpy.typing.NDArray[numpy.int16]) -> numpy.typing.NDArray[numpy.bool]:
        """
        bool `[n, A]`; all False where a state is finished.
        """
    def observe(
        self, state: numpy.typing.NDArray[numpy.int16]
    ) -> numpy.typing.NDArray[numpy.int16]:
        """
        What a table is keyed on, int16 `[n, V]`.
        """
    def start(self, n: int) -> numpy.typing.NDArray[numpy.int16]:
        """
        `n` states with nothing decided, int16 `[n, W]`.
        """
    def step(
        self, state: numpy.typing.NDArray[numpy.int16], action: numpy.typing.NDArray[numpy.int32]
    ) -> numpy.typing.NDArray[numpy.int16]:
        """
        The states after the actions int32 `[n]`; a finished one stays as it is.

        ValueError names the item and the action that is illegal.
        """
    @property
    def heads(self) -> tuple[int, ...]:
        """
        Sizes of the kinds of decision; A is the largest.
        """
    @property
    def max_steps(self) -> int:
        """
        Decisions of the longest walk.
        """

class BlockSpace(Space):
    """
    Blocks of up to `max_layers` layers, row by row.
    """
    def __init__(self, max_layers: int) -> None: ...

class ChoicesSpace(Space):
    """
    A product of choices of the given sizes.
    """
    def __init__(self, sizes: collections.abc.Sequence[int]) -> None: ...

class ConnectionSpace(Space):
    """
    Nodes that read `fan_in` of their candidates each.
    """
    def __init__(self, candidates: collections.abc.Sequence[int], fan_in: int) -> None: ...

class LayerSpace(Space):
    """
    Chains of up to `max_layers` layers for square images of a size.
    """
    def __init__(
        self,
        size: int,
        max_layers: int,
        widths: collections.abc.Sequence[int],
        dense: collections.abc.Sequence[int],
        strict: bool,
    ) -> None: ...

class PythonSpace(Space):
    """
    A space written in Python (`nascore.trial.Space`), for what walks spaces.
    """
    def __init__(self, space: typing.Any) -> None: ...

class DagSpace(Space):
    """
    Blocks drawn as graphs of summing nodes.
    """
    def graph(self, state: numpy.typing.NDArray[numpy.int16]) -> Graph:
        """
        The graph of one finished state `[1, W]`, not cleaned.
        """
    def hash(self, state: numpy.typing.NDArray[numpy.int16]) -> numpy.typing.NDArray[numpy.uint64]:
        """
        Canonical hashes (high, low) of the cleaned graphs of finished states: `[n, 2]`.
        """

class EdgeDagSpace(DagSpace):
    """
    Nodes, then edges, then the end.
    """
    def __init__(
        self,
        operations: numpy.typing.NDArray[numpy.int32],
        max_nodes: int,
        max_edges: int,
        erasing: bool,
    ) -> None: ...

class SumDagSpace(DagSpace):
    """
    Node by node: operation, then inputs.
    """
    def __init__(self, operations: numpy.typing.NDArray[numpy.int32], nodes: int) -> None: ...

class SkipSpace(Space):
    """
    Layers of choices of the given sizes, and which they read.
    """
    def __init__(
        self, depths: collections.abc.Sequence[int], sizes: collections.abc.Sequence[int]
    ) -> None: ...

class QTable:
    """
    Tabular Q-learning: observation `[V]` -> `[A]` values.
    """
    def __init__(
        self, actions: int, observation_width: int, alpha: float, gamma: float, initial: float
    ) -> None:
        """
        Every value is `initial` until a sweep changes it.
        """
    def choose(
        self,
        observation: numpy.typing.NDArray[numpy.int16],
        legal: numpy.typing.NDArray[numpy.bool],
        epsilon: float,
        seed: int,
        stream: int,
        counter: int,
    ) -> numpy.typing.NDArray[numpy.int32]:
        """
        Epsilon-greedy actions int32 `[n]`, ties at random.

        Item i draws at counter + i: a uniform number of `stream`; where it is below epsilon,
        an integer of `stream + 1` among the legal actions, else one among the best of them,
        in ascending order. ValueError names an item without a legal action.
        """
    def load(
        self,
        keys: numpy.typing.NDArray[numpy.int16],
        row: numpy.typing.NDArray[numpy.int32],
        action: numpy.typing.NDArray[numpy.int32],
        value: numpy.typing.NDArray[numpy.float64],
    ) -> None:
        """
        Replaces all that was learned by what `state` gave.

        ValueError, and nothing replaced, where it comes from another space.
        """
    def state(
        self,
    ) -> tuple[
        numpy.typing.NDArray[numpy.int16],
        numpy.typing.NDArray[numpy.int32],
        numpy.typing.NDArray[numpy.int32],
        numpy.typing.NDArray[numpy.float64],
    ]:
        """
        All that was learned: keys int16 `[m, V]`, and of their values, where not `initial`,
        row and action int32 and value float64 `[e]`.
        """
    def sweep(
        self,
        observation: numpy.typing.NDArray[numpy.int16],
        actions: numpy.typing.NDArray[numpy.int32],
        legal: numpy.typing.NDArray[numpy.bool],
        rewards: numpy.typing.NDArray[numpy.float64],
    ) -> None:
        """
        Learns one trajectory of T steps, the last one first.

        ValueError, and nothing learned, names a step of an illegal action or no finite reward.
        """
    def values(
        self, observation: numpy.typing.NDArray[numpy.int16]
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        float64 `[n, A]`.
        """

class Tree:
    """
    Monte Carlo tree search over a space; nodes are numbers, the root 0.
    """
    def __init__(
        self,
        space: Space,
        rule: str = "ucb1",
        c: float = 2.0,
        seed: int = 0,
        prefix: collections.abc.Sequence[int] = [],
        open_after: int = 1,
        max_nodes: int = 4294967295,
        transpositions: bool = False,
    ) -> None:
        """
        The tree below the state that the actions `prefix` lead to.

        A simulation walks to the child of the best score until a node of fewer than
        `open_after` visits. With mean Q and n visits of a child, N of its parent, 'ucb1' is
        Q + 2c sqrt(2 ln N / n), unvisited children first; 'puct' is
        Q + c prior sqrt(N) / (1 + n), where Q is the parent's mean for an unvisited child.

        With `transpositions` Q is the mean of all simulations through any node whose state has
        the same key, while n and N stay those of the walked path.
        """
    def back_up(
        self, nodes: numpy.typing.NDArray[numpy.uint32], values: numpy.typing.NDArray[numpy.float64]
    ) -> None:
        """
        Gives waiting simulations their values float64 `[n]`.
        """
    def children(
        self, node: int
    ) -> tuple[
        numpy.typing.NDArray[numpy.int32],
        numpy.typing.NDArray[numpy.uint32],
        numpy.typing.NDArray[numpy.float64],
    ]:
        """
        Actions int32, visits uint32 and mean values float64 of a node's children, `[m]`.
        """
    def complete(
        self, nodes: numpy.typing.NDArray[numpy.uint32], k: int
    ) -> numpy.typing.NDArray[numpy.int16]:
        """
        `k` random completions of each node's state, int16 `[n, k, W]`.
        """
    def correct(
        self, nodes: numpy.typing.NDArray[numpy.uint32], values: numpy.typing.NDArray[numpy.float64]
    ) -> None:
        """
        Adds float64 `[n]` to the values of simulations that ended at the nodes.
        """
    def load(
        self,
        prefix: numpy.typing.NDArray[numpy.int32],
        counters: numpy.typing.NDArray[numpy.uint64],
        action: numpy.typing.NDArray[numpy.uint16],
        children: numpy.typing.NDArray[numpy.uint16],
        first: numpy.typing.NDArray[numpy.uint32],
        visits: numpy.typing.NDArray[numpy.uint32],
        total: numpy.typing.NDArray[numpy.float64],
        prior: numpy.typing.NDArray[numpy.float32],
        shared_visits: numpy.typing.NDArray[numpy.uint32],
        shared_total: numpy.typing.NDArray[numpy.float64],
    ) -> None:
        """
        Replaces all of it by what `state` gave.

        ValueError, and nothing replaced, where it is no tree of this space.
        """
    def path(self, node: int) -> tuple[int, ...]:
        """
        The decisions that lead to a node, those of `prefix` included.
        """
    def reroot(self, action: int) -> None:
        """
        Keeps what is below the root's child by that action; nodes are numbered anew.
        """
    def select(self, n: int) -> numpy.typing.NDArray[numpy.uint32]:
        """
        The nodes at which `n` further simulations end, uint32 `[n]`; each waits for its
        value and until then counts as a visit worth 0. ValueError where the tree is full.
        """
    def set_priors(self, node: int, priors: numpy.typing.NDArray[numpy.float32]) -> None:
        """
        The priors of a node's children, float32 `[A]`; uniform until set.
        """
    def simulate(self, n: int, weights: numpy.typing.NDArray[numpy.float64]) -> None:
        """
        `n` simulations, one after the other, each worth one random completion's features
        times `weights`, float64 `[F]`.
        """
    def state(
        self,
    ) -> tuple[
        numpy.typing.NDArray[numpy.int32],
        numpy.typing.NDArray[numpy.uint64],
        numpy.typing.NDArray[numpy.uint16],
        numpy.typing.NDArray[numpy.uint16],
        numpy.typing.NDArray[numpy.uint32],
        numpy.typing.NDArray[numpy.uint32],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float32],
        numpy.typing.NDArray[numpy.uint32],
        numpy.typing.NDArray[numpy.float64],
    ]:
        """
        All of it: prefix, counters of simulations and completions, and of each node action,
        children, first child, visits, sum of values, prior; with transpositions of each state,
        in the order of their first nodes, visits and sum of values. ValueError while one waits.
        """
    def undo(
        self, nodes: numpy.typing.NDArray[numpy.uint32], values: numpy.typing.NDArray[numpy.float64]
    ) -> None:
        """
        Takes back simulations that ended at the nodes with these values, float64 `[n]`.
        """
    def visits(self, node: int) -> int:
        """
        Simulations that went through a node and have a value.
        """
    @property
    def bytes(self) -> int:
        """
        All that the tree holds in memory.
        """
    @property
    def size(self) -> int:
        """
        Nodes.
        """

def cell_hash(
    codes: numpy.typing.NDArray[numpy.int16], all_outputs: bool, stride: int
) -> numpy.typing.NDArray[numpy.uint64]:
    """
    Canonical hashes (high, low) of the cleaned graphs of cells `[n, B, 5]`: `[n, 2]`.

    A cell gives the states that no block reads, or `all` of its own. ValueError names what
    is wrong with a code.
    """

def draw_bernoulli(
    weights: numpy.typing.NDArray[numpy.uint32], seed: int, stream: int, counter: int
) -> numpy.typing.NDArray[numpy.bool]:
    """
    Each entry true with probability weight / MASK_ONE: uint32 `[R, n]` -> bool `[R, n]`.
    """

def draw_categorical(
    weights: numpy.typing.NDArray[numpy.uint32],
    legal: numpy.typing.NDArray[numpy.bool],
    seed: int,
    stream: int,
    counter: int,
) -> numpy.typing.NDArray[numpy.int32]:
    """
    One index of each row by the weights uint32 `[R, n]` of those that are legal, bool
    `[R, n]`: int32 `[R]`. By chance where no legal one has weight.
    """

def draw_k(
    weights: numpy.typing.NDArray[numpy.uint32], k: int, seed: int, stream: int, counter: int
) -> numpy.typing.NDArray[numpy.int32]:
    """
    k distinct indices of each row of weights uint32 `[R, n]`, in the order drawn: int32
    `[R, k]`. Each is drawn by the weights that are left, and where none is left by chance.
    A weight is 0 to MASK_ONE; row i belongs to counter + i.
    """

def expand(
    graph: Graph, skeleton: Skeleton, channels: int, height: int, width: int, classes: int
) -> Net:
    """
    The network of a block's graph, taken as it is, in a skeleton.

    ValueError where it is too wide, the image too small, or the graph no block.
    """

def expand_cells(
    normal: Graph,
    reduction: Graph,
    stack: CellStack,
    channels: int,
    height: int,
    width: int,
    classes: int,
) -> Net:
    """
    The network of two cells' graphs, cleaned before, in their stack.

    ValueError where it is too wide, or a graph no cell.
    """

def expand_layers(
    code: numpy.typing.NDArray[numpy.int16],
    dropout: bool,
    channels: int,
    height: int,
    width: int,
    classes: int,
) -> Net:
    """
    The network of a layer code int16 `[L, 3]`: a chain, with dropout after every 2 layers.

    ValueError where it is too wide, the image too small, or the code no chain.
    """

def expand_skips(
    layers: numpy.typing.NDArray[numpy.int16],
    reads: numpy.typing.NDArray[numpy.bool],
    channels: int,
    height: int,
    width: int,
    classes: int,
) -> Net:
    """
    The network of layers int16 `[L, 4]` (height, width, stride, channels of a convolution),
    each of which reads the layers before it for which `reads` [L, L] holds.

    ValueError where it is too wide or the code is none.
    """

def graph_hash(
    labels: numpy.typing.NDArray[numpy.int16], adjacency: numpy.typing.NDArray[numpy.uint8]
) -> numpy.typing.NDArray[numpy.uint64]:
    """
    Canonical hashes (high, low) of graphs as they are: `[n, 2]`.

    `labels` `[n, V]` may be any numbers; `adjacency` `[n, V, V]` holds the number of edges
    i -> j; node 0 is the input, node V-1 the output. ValueError names a graph with a cycle.
    """

def instruction_set() -> str:
    """
    What the kernels use: avx512, avx2 or baseline.
    """

def instruction_sets() -> list[str]:
    """
    Those that this build and this processor have, the best one last.
    """

def integers(
    seed: int, stream: int, counter: int, n: int, bound: int
) -> numpy.typing.NDArray[numpy.uint32]:
    """
    Unbiased integers in [0, bound), `[n]`; number i belongs to counter + i.
    """

def masked_sum_backward_f32(
    grad: int,
    inputs: collections.abc.Sequence[int],
    mask: int,
    samples: int,
    size: int,
    of_inputs: collections.abc.Sequence[int],
    of_mask: int,
) -> None:
    """
    The gradients of the masked sum; an address of 0 where one of an input is not wanted.
    """

def masked_sum_backward_f64(
    grad: int,
    inputs: collections.abc.Sequence[int],
    mask: int,
    samples: int,
    size: int,
    of_inputs: collections.abc.Sequence[int],
    of_mask: int,
) -> None:
    """
    The gradients of the masked sum; an address of 0 where one of an input is not wanted.
    """

def masked_sum_f32(
    inputs: collections.abc.Sequence[int], mask: int, samples: int, size: int, out: int
) -> None:
    """
    out [samples, size] = the sum of mask [samples, n] times n inputs, at these addresses.
    """

def masked_sum_f64(
    inputs: collections.abc.Sequence[int], mask: int, samples: int, size: int, out: int
) -> None:
    """
    out [samples, size] = the sum of mask [samples, n] times n inputs, at these addresses.
    """

def multiply_adds(steps: int) -> float:
    """
    Keeps every lane of all OpenMP threads busy for so many steps; the operations done.
    """

def normal(seed: int, stream: int, counter: int, n: int) -> numpy.typing.NDArray[numpy.float64]:
    """
    Standard normal numbers, `[n]`; number i belongs to counter + i.
    """

def nsc_cost(
    codes: numpy.typing.NDArray[numpy.int16],
    skeleton: Skeleton,
    channels: int,
    height: int,
    width: int,
    classes: int,
) -> numpy.typing.NDArray[numpy.int64]:
    """
    params, macs and peak_bytes, int64 `[n, 3]`, of the cleaned blocks int16 `[n, L, 5]`.

    -1 where a network is too wide; ValueError where a code is wrong or the image too small.
    """

def nsc_hash(codes: numpy.typing.NDArray[numpy.int16]) -> numpy.typing.NDArray[numpy.uint64]:
    """
    Canonical hashes (high, low) of the cleaned graphs of codes `[n, L, 5]`: `[n, 2]`.

    ValueError names the code and the row of the first bad one.
    """

def nsc_message(code: numpy.typing.NDArray[numpy.int16]) -> str:
    """
    What is wrong with a code `[L, 5]`, row and rule; empty if it is valid.
    """

def nsc_parse(text: str) -> numpy.typing.NDArray[numpy.int16]:
    """
    The code `[L, 5]` of its list form, not validated; ValueError names the position.
    """

def nsc_print(code: numpy.typing.NDArray[numpy.int16]) -> str:
    """
    The list form of a code `[L, 5]`, without its padding.
    """

def nsc_validate(codes: numpy.typing.NDArray[numpy.int16]) -> numpy.typing.NDArray[numpy.int16]:
    """
    The first bad row of each code `[n, L, 5]`, 1-based, 0 where the code is valid: `[n]`.
    """

def pack_channels(
    scale: numpy.typing.NDArray[numpy.float32],
    shift: numpy.typing.NDArray[numpy.float32],
    packed: numpy.typing.NDArray[numpy.float32],
) -> None:
    """
    A scale and a shift `[channels]` into the start of `packed`.
    """

def pack_convolution(
    weights: numpy.typing.NDArray[numpy.float32],
    scale: numpy.typing.NDArray[numpy.float32],
    bias: numpy.typing.NDArray[numpy.float32],
    packed: numpy.typing.NDArray[numpy.float32],
) -> None:
    """
    Weights float32 `[out, in, height, width]`, each output channel times its scale `[out]`, and a
    bias `[out]`, as the kernels read them, into the start of `packed`.
    """

def pack_depthwise(
    weights: numpy.typing.NDArray[numpy.float32], packed: numpy.typing.NDArray[numpy.float32]
) -> None:
    """
    Depthwise weights float32 `[channels, 1, height, width]` into the start of `packed`.
    """

def padded(channels: int) -> int:
    """
    Channels rounded up to whole vectors.
    """

def philox4x32(
    counter: numpy.typing.NDArray[numpy.uint32], key: numpy.typing.NDArray[numpy.uint32]
) -> numpy.typing.NDArray[numpy.uint32]:
    """
    The Philox 4x32-10 block function of counters `[n, 4]` and keys `[n, 2]`: `[n, 4]`.
    """

def run_program(
    program: int,
    instructions: int,
    weights: int,
    weight_floats: int,
    samples: int,
    inputs: collections.abc.Sequence[int],
    input_floats: collections.abc.Sequence[int],
    outputs: collections.abc.Sequence[int],
    output_floats: collections.abc.Sequence[int],
) -> None:
    """
    Runs a program on float32 images [samples, H, W, C] at these addresses.

    `input_floats` and `output_floats` are of one sample each. ValueError where an instruction
    leaves these sizes.
    """

def separable_backward(
    samples: int,
    shape: typing.Annotated[collections.abc.Sequence[int], "FixedSize(7)"],
    weights: typing.Annotated[collections.abc.Sequence[int], "FixedSize(4)"],
    epsilon: float,
    read: typing.Annotated[collections.abc.Sequence[int], "FixedSize(5)"],
    of: typing.Annotated[collections.abc.Sequence[int], "FixedSize(5)"],
) -> None:
    """
    Its gradients, to the addresses `of` x and the weights; `read` are those of its result's
    gradient, of x, of the result before the norm, and of mean and variance.
    """

def separable_forward(
    samples: int,
    shape: typing.Annotated[collections.abc.Sequence[int], "FixedSize(7)"],
    weights: typing.Annotated[collections.abc.Sequence[int], "FixedSize(4)"],
    epsilon: float,
    x: int,
    found: typing.Annotated[collections.abc.Sequence[int], "FixedSize(4)"],
) -> None:
    """
    A separable convolution with its batch norm in training, on float32 images [samples, H, W, C].

    `shape`: channels, height, width, output channels, kernel, stride, dilation. `weights`: the
    addresses of depthwise, pointwise, scale and shift; `found`: of the result before the norm and
    after it, and of the mean and variance.
    """

def uniform(seed: int, stream: int, counter: int, n: int) -> numpy.typing.NDArray[numpy.float64]:
    """
    Uniform numbers in [0, 1), `[n]`; number i belongs to counter + i.
    """

def use_instruction_set(name: str) -> None:
    """
    Takes another than the best, for tests and benchmarks; ValueError where it is not there.
    """

CELL_COMBINES: tuple[str, ...]
CELL_MAX_BLOCKS: int = 12
CELL_OPS: tuple[str, ...]
KERNELS: tuple[str, ...]
MASK_ONE: int = 65536
NET_COLUMNS: tuple[str, ...]
OPS: dict[str, tuple[int, tuple[int, ...], int]]
PROGRAM_COLUMNS: tuple[str, ...]
