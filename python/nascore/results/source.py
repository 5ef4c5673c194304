"""Trained networks as one readable file of plain PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from nascore.networks.build import Network
from nascore.results.source_body import Block, Body
from nascore.results.source_parts import IMAGE, Node, Part, classes_of, steps_and_parts
from nascore.results.source_text import (
    ENSEMBLE,
    HEAD,
    LIBRARY,
    NORMALISE,
    NORMALISE_SIGNALS,
    TAIL,
    listing,
    of_signals,
    quoted,
    tuple_of,
)


def write_source(
    networks: Sequence[Network], card: Mapping[str, Any], note: str
) -> tuple[str, dict[str, Tensor]]:
    """A Python file that needs torch alone, and the weights of its `Network`, by their names there.

    Of several networks it is the ensemble. Repeated blocks or cells become one class, in which
    what differs between them is an argument. `note` is the file's docstring.
    """
    nodes = [steps_and_parts(network, card) for network in networks]
    parts = [node for own in nodes for node in own if isinstance(node, Part)]
    blocks = [Block(name, alike) for name, alike in classes_of(parts)]
    by_part = {part: block for block in blocks for part in block.arguments}
    state: dict[str, Tensor] = {}
    classes = []
    for i, (network, own) in enumerate(zip(networks, nodes, strict=True)):
        alone = len(networks) == 1
        name = "Network" if alone else f"Member{i + 1}"
        text, modules = _class(name, network, own, by_part)
        classes.append(text)
        start = "" if alone else f"members.{i}."
        for key, value in network.state_dict().items():
            module, _, rest = key.partition(".")
            if module in modules:  # the others are of auxiliary heads
                state[f"{start}{modules[module]}.{rest}"] = value.detach().cpu().contiguous()
    if len(networks) > 1:
        members = [f"Member{i + 1}()" for i in range(len(networks))]
        made = "\n".join(listing("self.members = nn.ModuleList([", members, "])", 8))
        classes.append(ENSEMBLE.format(members=made))
    texts = [block.text for block in blocks]
    used = "\n".join([*texts, *classes])
    texts = [*(LIBRARY[name] for name in LIBRARY if f"{name}(" in used), *texts, *classes]
    signal = networks[0].net.signal
    constants = [
        "# Of the training signals, per channel."
        if signal
        else "# Of the training images, per channel, of pixels in 0..1.",
        *tuple_of("MEAN", map(repr, card["mean"])),
        *tuple_of("STD", map(repr, card["std"])),
        *tuple_of("CLASSES", map(quoted, card["class_names"])),
    ]
    body = "\n\n\n".join(text.strip("\n") for text in texts)
    if signal:
        body = of_signals(body)
    body = f"{(NORMALISE_SIGNALS if signal else NORMALISE).strip()}\n\n\n{body}"
    functional = "import torch.nn.functional as F\n" if "F." in body else ""
    imports = "import math\n" if len(networks) > 1 else ""
    head = HEAD.format(
        note=note, imports=imports, functional=functional, constants="\n".join(constants)
    )
    return f"{head}\n\n{body}\n\n\n{TAIL}", state


def _class(
    name: str, network: Network, nodes: Sequence[Node], blocks: Mapping[Part, Block]
) -> tuple[str, dict[str, str]]:
    """The class of a whole network, and the names there of the modules in `network`."""
    exits = tuple(network.exit_rows) if len(network.exit_rows) > 1 else ()
    given = "signals" if network.net.signal else "images"
    body = Body(nodes, {IMAGE: given}, {}, blocks, exits)
    lines = [
        f"class {name}(nn.Module):",
        f'    """{_summary(network, exits)}"""',
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *body.init,
        "",
    ]
    if exits:
        lines += [
            "    def forward(self, images: Tensor) -> Tensor:",
            '        """Logits [n, classes] of the last exit."""',
            "        return self.exits(images)[-1]",
            "",
            "    def exits(self, images: Tensor) -> list[Tensor]:",
            '        """The logits of every exit, the cheapest first."""',
            *body.forward,
        ]
    else:
        lines += [
            "    def forward(self, images: Tensor) -> Tensor:",
            '        """Logits [n, classes] of normalised images [n, C, H, W]."""',
            *body.forward,
        ]
    return "\n".join(lines), body.modules


def _summary(network: Network, exits: Sequence[int]) -> str:
    size = f"{network.net.params:,} parameters, {network.net.macs:,} multiply-adds"
    return f"{size}, {len(exits)} exits." if exits else f"{size}."
