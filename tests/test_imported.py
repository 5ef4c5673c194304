"""Users' modules as rows: the same outputs, the same parameters, and what is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from nascore import _core, tasks
from nascore.networks import build
from nascore.networks.imported import imported
from nascore.networks.teachers import VGG, ResNet
from nascore.spaces import NASNET_A, BlockSpace, CellStack, Skeleton, WholeNet

SHAPE = (3, 16, 16)


def shaken(module: nn.Module) -> nn.Module:
    """With statistics and weights that are not those of a fresh module."""
    generator = torch.Generator().manual_seed(1)
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            for values in (m.weight, m.bias, m.running_mean, m.running_var):
                values.data.uniform_(0.5, 1.5, generator=generator)
    return module.eval()


class Styles(nn.Module):
    """The ways in which users write the same things."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 5, padding=2)
        self.norm = nn.BatchNorm2d(8, eps=1e-3)
        self.depthwise = nn.Conv2d(8, 8, 3, padding="same", groups=8, bias=False)
        self.valid = nn.Conv2d(8, 6, 3)
        self.dilated = nn.Conv2d(8, 6, (1, 3), padding=(0, 2), dilation=2, bias=False)
        self.group_norm = nn.GroupNorm(1, 12)
        self.drop = nn.Dropout(0.3)
        self.linear = nn.Linear(12 * 4, 20)
        self.head = nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)), inplace=True)
        x += self.depthwise(x)
        x = torch.cat([self.valid(x), F.avg_pool2d(self.dilated(x), 3, 1)], dim=1)
        x = F.max_pool2d(self.group_norm(x).relu(), 3, stride=2, padding=1)
        x = F.avg_pool2d(x, 3)
        x = x.view(x.size(0), -1)
        return self.head(self.drop(torch.relu(self.linear(x))))


@pytest.mark.parametrize(
    "module",
    [
        ResNet(3, 10, (1, 2), (8, 12)),
        VGG(3, 10, (1, 2), (8, 12)),
        Styles(),
        nn.Sequential(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Identity(),
                      nn.Linear(6 * 36, 10)),
    ],
    ids=["resnet", "vgg", "styles", "lenet"],
)  # fmt: skip
def test_outputs_and_parameters_are_equal(module: nn.Module) -> None:
    shaken(module)
    architecture, network = imported(module, SHAPE)
    images = torch.randn(4, *SHAPE)
    torch.testing.assert_close(network(images), module(images), rtol=1e-5, atol=1e-5)
    net = WholeNet().expand(architecture, SHAPE, 10)
    assert net.params == sum(p.numel() for p in module.parameters())
    assert net.params == sum(p.numel() for p in network.parameters())


def test_published_teachers_have_their_sizes() -> None:
    for module, params in (
        (ResNet(3, 10, (2, 2, 2, 2), (64, 128, 256, 512)), 11_173_962),
        (ResNet(3, 100, (2, 2, 2, 2), (64, 128, 256, 512)), 11_220_132),
        (VGG(3, 10, (2, 2, 4, 4, 4), (64, 128, 256, 512, 512)), 20_040_522),
    ):
        assert sum(p.numel() for p in module.parameters()) == params


def test_the_module_stays_as_it_was() -> None:
    module = Styles().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    imported(module, SHAPE)
    assert module.training
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


def test_our_own_networks_are_modules_too() -> None:
    task = tasks.load("digits")
    block = BlockSpace().architecture("[(1,1,3,0,0),(2,2,3,0,0),(3,5,0,1,2)]")
    network = build(block, task, Skeleton(8, blocks=1, widths=(8, 12)), seed=1)
    shaken(network)
    architecture, again = imported(network, task.shape)
    images = torch.randn(4, *task.shape)
    torch.testing.assert_close(again(images), network(images), rtol=1e-5, atol=1e-5)
    names = {code: name for name, (code, *_) in _core.OPS.items()}
    assert "conv" not in {names[row[0]] for row in architecture.code}  # each layer by itself


def test_a_network_of_cells_is_imported() -> None:
    task = tasks.load("digits")
    stack = CellStack(1, filters=2, stem_width=4)
    network = shaken(build(NASNET_A, task, stack, seed=1))
    _, again = imported(network, task.shape)
    images = torch.randn(2, *task.shape)
    torch.testing.assert_close(again(images), network(images), rtol=1e-4, atol=1e-5)


class Odd(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.conv = nn.Conv2d(3, 10, 3, padding=1)
        self.strange = {
            "swish": nn.Hardswish(),
            "padding": nn.Conv2d(10, 10, 3, padding=2),
            "mirror": nn.Conv2d(10, 10, 3, padding=1, padding_mode="reflect"),
            "ceil": nn.MaxPool2d(2, ceil_mode=True),
            "adaptive": nn.AdaptiveAvgPool2d(2),
            "instance": nn.InstanceNorm2d(10),
            "linear": nn.Linear(16, 4),
        }.get(kind, nn.Identity())
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.strange(self.conv(x))
        if self.kind == "sigmoid":
            x = torch.sigmoid(x)
        elif self.kind == "parameter":
            x = x * self.weight
        elif self.kind == "twice":
            x = self.conv(x[:, :3])
        elif self.kind == "branch" and x.sum() > 0:
            x = -x
        elif self.kind == "image":
            return x
        return x.mean((2, 3))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("swish", r"layer 'strange' is Hardswish\(\); known are convolution"),
        ("padding", "layer 'strange' is Conv2d.*neither unpadded nor padded by half"),
        ("mirror", "layer 'strange' is Conv2d.*padded by no zeros"),
        ("ceil", "layer 'strange' is MaxPool2d.*not known"),
        ("adaptive", "layer 'strange' is AdaptiveAvgPool2d.*to one pixel"),
        ("instance", "layer 'strange' is InstanceNorm2d"),
        ("linear", "layer 'strange' is Linear on an image"),
        ("sigmoid", r"layer 'sigmoid' is sigmoid\(\)"),
        ("parameter", "layer '.*' is a tensor of the module itself"),
        ("twice", "layer 'getitem.*' is"),
        ("branch", "torch.fx cannot trace Odd"),
        ("image", "the module gives an image"),
    ],
)
def test_what_is_not_known_is_named(kind: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        imported(Odd(kind), SHAPE)


def test_images_that_are_too_small_name_the_layer() -> None:
    with pytest.raises(ValueError, match=r"layer '7': row .*empty.*for images of"):
        imported(VGG(3, 10, (1, 1, 1), (4, 4, 4)).eval(), (3, 2, 2))
