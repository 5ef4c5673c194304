"""Text of a written source file: the fixed pieces, and lines broken as `ruff format` would."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

_WIDTH = 88

HEAD = '''"""{note}"""

{imports}from pathlib import Path

import torch
{functional}from torch import Tensor, nn

{constants}
'''

NORMALISE = '''
def normalise(images: Tensor) -> Tensor:
    """Images [n, C, H, W], uint8 or in 0..1, as the network takes them."""
    if images.dtype == torch.uint8:
        images = images / 255
    mean = torch.tensor(MEAN, device=images.device).view(-1, 1, 1)
    std = torch.tensor(STD, device=images.device).view(-1, 1, 1)
    return (images - mean) / std
'''

NORMALISE_SIGNALS = '''
def normalise(signals: Tensor) -> Tensor:
    """Signals [n, C, L], as they were given, as the network takes them."""
    mean = torch.tensor(MEAN, device=signals.device).view(-1, 1)
    std = torch.tensor(STD, device=signals.device).view(-1, 1)
    return (signals.float() - mean) / std
'''

TAIL = '''def load(weights: str | Path | None = None) -> Network:
    """The trained network in evaluation mode; the weights lie beside this file."""
    path = Path(__file__).with_suffix(".pt") if weights is None else weights
    network = Network()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()
'''

ENSEMBLE = '''class Network(nn.Module):
    """The mean of the class probabilities of its members."""

    def __init__(self) -> None:
        super().__init__()
{members}

    def forward(self, images: Tensor) -> Tensor:
        """Logarithms of probabilities [n, classes] of normalised images [n, C, H, W]."""
        each = torch.stack([member(images).log_softmax(1) for member in self.members])
        return each.logsumexp(0) - math.log(len(self.members))
'''

# What a file gets of these is what it uses.
LIBRARY = {
    "ConvNorm": '''class ConvNorm(nn.Module):
    """Convolution, batch norm."""

    def __init__(self, in_channels: int, channels: int, kernel, **options) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, bias=False, **options)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))
''',
    "ConvRelu": '''class ConvRelu(nn.Module):
    """Convolution with a bias, ReLU."""

    def __init__(self, in_channels: int, channels: int, kernel, **options) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, **options)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))
''',
    "ConvNormRelu": '''class ConvNormRelu(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, in_channels: int, channels: int, kernel, **options) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, bias=False, **options)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))
''',
    "ReluConvNorm": '''class ReluConvNorm(nn.Module):
    """ReLU, convolution, batch norm."""

    def __init__(self, in_channels: int, channels: int, kernel, **options) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, bias=False, **options)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(F.relu(x)))
''',
    "ReluSeparableNorm": '''class ReluSeparableNorm(nn.Module):
    """ReLU, depthwise convolution, pointwise convolution, batch norm."""

    def __init__(self, in_channels: int, channels: int, kernel, **options) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, kernel, groups=in_channels, bias=False, **options
        )
        self.pointwise = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.pointwise(self.depthwise(F.relu(x))))
''',
    "ReluHalveNorm": '''class ReluHalveNorm(nn.Module):
    """ReLU, half of the channels from the even pixels, half from the odd, batch norm."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.even = nn.Conv2d(in_channels, half, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(in_channels, channels - half, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        shifted = F.pad(x[:, :, 1:, 1:], (0, 1, 0, 1))
        return self.norm(torch.cat([self.even(x), self.odd(shifted)], 1))
''',
}


# What a network of signals has instead.
_SIGNALS = {
    "Conv2d": "Conv1d",
    "BatchNorm2d": "BatchNorm1d",
    "_pool2d": "_pool1d",
    "x[:, :, 1:, 1:], (0, 1, 0, 1)": "x[:, :, 1:], (0, 1)",
    "pixels": "numbers",
    "images": "signals",
    "[n, C, H, W]": "[n, C, L]",
}


def of_signals(text: str) -> str:
    """Classes for images, as they are for signals."""
    for image, signal in _SIGNALS.items():
        text = text.replace(image, signal)
    return text


def quoted(text: str) -> str:
    if '"' in text and "'" not in text and text.isprintable() and "\\" not in text:
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=not text.isprintable())


def tuple_of(name: str, items: Iterable[str]) -> list[str]:
    items = list(items)
    end = ",)" if len(items) == 1 else ")"
    return listing(f"{name} = (", items, ")", 0, one=f"{name} = ({', '.join(items)}{end}")


def listing(
    start: str, items: Sequence[str], end: str, indent: int, one: str | None = None
) -> list[str]:
    """On one line where it fits, else an item a line."""
    pad = " " * indent
    line = pad + (one or f"{start}{', '.join(items)}{end}")
    if len(line) <= _WIDTH:
        return [line]
    return [pad + start, *(f"{pad}    {item}," for item in items), pad + end]


def call(head: str, arguments: Sequence[str], indent: int, end: str = "") -> list[str]:
    """On one line, or its arguments on the next, or an argument a line."""
    pad = " " * indent
    inside = ", ".join(arguments)
    if len(f"{pad}{head}({inside}){end}") <= _WIDTH:
        return [f"{pad}{head}({inside}){end}"]
    if len(f"{pad}    {inside}") <= _WIDTH:
        return [f"{pad}{head}(", f"{pad}    {inside}", f"{pad}){end}"]
    return [f"{pad}{head}(", *(f"{pad}    {each}," for each in arguments), f"{pad}){end}"]


def total(prefix: str, operands: Sequence[str], indent: int) -> list[str]:
    """A sum, in brackets where it is too long for a line."""
    pad = " " * indent
    inside = " + ".join(operands)
    if len(f"{pad}{prefix}{inside}") <= _WIDTH:
        return [f"{pad}{prefix}{inside}"]
    if len(f"{pad}    {inside}") <= _WIDTH:
        return [f"{pad}{prefix}(", f"{pad}    {inside}", f"{pad})"]
    first, *others = operands
    lines = [f"{pad}    {first}", *(f"{pad}    + {other}" for other in others)]
    return [f"{pad}{prefix}(", *lines, f"{pad})"]


def concat(prefix: str, operands: Sequence[str], indent: int) -> list[str]:
    """Tensors side by side along the channels."""
    line = f"{prefix}torch.cat([{', '.join(operands)}], 1)"
    if indent + len(line) <= _WIDTH:
        return [" " * indent + line]
    pad = " " * indent
    return [*listing("parts = [", operands, "]", indent), f"{pad}{prefix}torch.cat(parts, 1)"]
