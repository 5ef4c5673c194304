"""Networks of signals [n, C, L]: the spaces of images over Conv1d."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import space_kit
from cli_kit import nascore, shown
from nascore import Store, _core, fuse, methods, tasks
from nascore.networks import Network, build, build_net, fit
from nascore.results.source import write_source
from nascore.retrain import load_model
from nascore.search.rewards import early_stop
from nascore.spaces import (
    AnySkeleton,
    AnytimeNet,
    AnytimeSpace,
    Architecture,
    BlockSpace,
    CellSpace,
    CellStack,
    Chain,
    LayerSpace,
    ResidualNet,
    Skeleton,
    SkipNet,
    SkipSpace,
)
from nascore.tasks import Augment, augment_batch, batches, resident

Array = npt.NDArray[Any]

KINDS = ("block", "depthwise", "cell", "layer", "skip", "connection", "anytime")


def random_architecture(kind: str, length: int, seed: int) -> tuple[AnySkeleton, Architecture]:
    """A network of `kind` that is drawn at random, for signals of `length`."""
    if kind == "connection":
        net = ResidualNet("resnet" if seed % 2 else "resnext", 2, (4, 6), 4, 2, 2, True)
        rng = np.random.default_rng(seed)
        picks = (np.flatnonzero(rng.random(n) < 0.5).tolist() or [n - 1] for n in net.candidates)
        return net, Architecture.of("connection", tuple(map(tuple, picks)))
    skeleton: AnySkeleton
    space: object
    if kind in ("block", "depthwise"):
        space, skeleton = BlockSpace(8), Skeleton(4, 1, False, 1, (4, 6), kind == "depthwise")
    elif kind == "cell":
        space = CellSpace(3)
        skeleton = CellStack(1, 4, stem_width=4, reductions=2, auxiliary=bool(seed % 2))
    elif kind == "layer":
        space, skeleton = LayerSpace(length, 8, (4, 6), (8, 6, 4)), Chain()
    elif kind == "anytime":
        space, skeleton = AnytimeSpace((4, 3), scales=2), AnytimeNet(4, (4, 6))
    else:
        space, skeleton = SkipSpace((4,), strides=(1, 2), filters=(4, 6)), SkipNet()
    [found] = space.decode(space_kit.random_walk(space, 1, seed)[-1])  # type: ignore[attr-defined, arg-type]
    return skeleton, found


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(length=st.integers(16, 100), channels=st.integers(1, 3), seed=st.integers(0, 2**31))
def test_costs_and_lengths_are_torchs(kind: str, length: int, channels: int, seed: int) -> None:
    skeleton, architecture = random_architecture(kind, length, seed)
    net = skeleton.expand(architecture, (channels, length), 5)
    assert net.signal
    assert set(net.rows[:, 7].tolist()) == {1}
    with torch.device("meta"):
        network = Network(net).eval()
        signals = torch.randn(2, channels, length)
    assert not any(isinstance(m, (nn.Conv2d, nn.BatchNorm2d)) for m in network.modules())
    heads = {call.name for call in network.training_plan}
    needed = {call.name for call in network.plan}
    aside = sum(
        p.numel() for name in heads - needed for p in network.get_submodule(name).parameters()
    )
    assert sum(p.numel() for p in network.parameters()) - aside == net.params
    shapes = {}
    for call in network.training_plan:
        network.get_submodule(call.name).register_forward_hook(
            lambda _, __, y, row=call.row: shapes.update({row: tuple(y.shape[1:])})
        )
    with FlopCounterMode(display=False) as counter:
        assert network(signals).shape == (2, 5)
    # torch counts two operations for a multiply-add, here for two signals
    assert counter.get_total_flops() == 2 * 2 * net.macs
    for row, shape in shapes.items():
        rows = net.rows[row, 6:].tolist()
        assert shape in ((rows[0], rows[2]), (rows[0],)), (row, shape, rows)


def test_stride_and_pooling_shorten() -> None:
    block = Architecture.of("block", ((1, 2, 3, 0, 0), (2, 7, 0, 0, 0)))
    net = Skeleton(4, 2, True, 1, (4, 4, 4)).expand(block, (1, 101), 3)
    pools = [row[8] for row in net.rows.tolist() if row[0] == _core.OPS["max_pool"][0]]
    assert net.rows[1, 8] == 51  # stem at stride 2
    assert pools[0] == 26  # 3 at stride 2
    assert 13 in pools
    assert 6 in pools  # 2 at stride 2 never pads


@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_is_an_image_of_one_row(kind: str) -> None:
    """By 1 x k convolutions over images 1 high; factorized_reduce alone differs there."""
    skeleton, architecture = random_architecture(kind, 24, 3)
    net = skeleton.expand(architecture, (2, 24), 4)
    if _core.OPS["factorized_reduce"][0] in net.rows[:, 0] or kind == "layer":
        pytest.skip("an image one row high has no row after its first")
    image = _core.Net.from_rows(net.rows, net.inputs)
    ours, other = build_net(net, 1).eval(), build_net(image, 1).eval()
    state = other.state_dict()
    other.load_state_dict(
        {name: value.reshape(state[name].shape) for name, value in ours.state_dict().items()}
    )
    x = torch.randn(3, 2, 24)
    torch.testing.assert_close(ours(x), other(x[:, :, None]), rtol=1e-4, atol=1e-5)


def test_it_pickles_and_learns() -> None:
    skeleton, architecture = random_architecture("cell", 40, 1)
    net = pickle.loads(pickle.dumps(skeleton.expand(architecture, (1, 40), 2)))
    assert net.signal
    network = build_net(net)
    generator = torch.Generator().manual_seed(0)
    phase = torch.rand(128, 1, 1, generator=generator)
    labels = torch.arange(128) % 2
    speed = (1 + 2 * labels)[:, None, None]
    x = torch.sin(6.28 * (phase + speed * torch.linspace(0, 1, 40)))
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(25):
        losses = [nn.functional.cross_entropy(logits, labels) for logits in network.heads(x)]
        optimizer.zero_grad()
        sum(losses).backward()  # type: ignore[union-attr]
        optimizer.step()
    assert (network.heads(x)[0].argmax(1) == labels).float().mean() > 0.95


def test_what_is_of_images_alone_says_so() -> None:
    net = Skeleton.small().expand(Skeleton.simplest, (1, 40), 2)
    with pytest.raises(ValueError, match="no fused program yet"):
        fuse(build_net(net))
    with pytest.raises(ValueError, match=r"images are \(C, H, W\), signals \(C, L\)"):
        Skeleton.small().expand(Skeleton.simplest, (40,), 2)


def waves(n: int, length: int = 24, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    phase = rng.random((n, 1))
    t = np.linspace(0, 1, length)
    return np.sin(6.28 * (phase + (1 + 2 * labels)[:, None] * t)) * 3 + 5, labels


def test_a_search_trains_on_signals_and_retrains_the_winner(tmp_path: Path) -> None:
    task = tasks.from_signals(*waves(200), test=waves(40, seed=1), name="waves")
    assert task.shape == (1, 24)
    images, labels = resident(task, "train", "cpu")
    before = images.clone()
    seen = torch.cat(
        [x for x, _ in batches(images, labels, 30, 0, 0, task.augment, task.mean, task.std)]
    )
    assert images.equal(before)
    assert abs(seen.mean()) < 0.01
    assert abs(seen.std() - 1) < 0.01
    changes = ["trials=2", "batch=2", "recipe.epochs=2", "recipe.batch=20", "recipe.lr=0.01"]
    changes += ["skeleton.widths=(6,6)", "max_layers=3"]
    config = methods.with_settings(methods.config("blockqnn", "small"), changes)
    search = methods.build("blockqnn", task, config, 0)
    with Store.create(tmp_path / "run", search.meta) as store:
        trials = list(search.run(store))
    assert [t.evaluation.status for t in trials] == ["ok", "ok"]
    net = config.skeleton.expand(trials[0].architecture, task.shape, task.classes)
    assert trials[0].metrics["params"] == net.params
    network = build(trials[0].architecture, task, config.skeleton)
    assert fit(network, task, config.recipe, 0, "cpu").status == "ok"
    other = tasks.from_signals(*waves(200, seed=2), test=waves(40, seed=1), name="waves")
    assert other.fingerprint != task.fingerprint


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search on signals of two channels in an .npz file, its winner retrained."""
    folder = tmp_path_factory.mktemp("signals")
    x, y = waves(200)
    np.savez(folder / "waves.npz", x_train=np.stack([x, -x], 1), y_train=y, signals=True)
    changes = ["recipe.epochs=2", "recipe.batch=20", "skeleton.widths=(6,6)", "max_layers=3"]
    asked = [part for change in changes for part in ("--set", change)]
    asked += ["--trials", "3", "--max-params", "400", "--latency-ms", "5", "--device", "cpu"]
    where = ("--task", folder / "waves.npz", "--out", folder / "run")
    done = nascore("search", "blockqnn", *where, "--set", "batch=3", *asked)
    assert (done.status, done.err) == (0, "")
    assert nascore("retrain", folder / "run", "--epochs", 3).status == 0
    return folder / "run"


def test_the_latency_of_signals_is_in_the_reward(run: Path) -> None:
    found = shown(run)
    good = [t for t in found["trials"] if t["status"] == "ok"]
    assert good
    assert all(t["metrics"]["latency_ms"] > 0 for t in good)
    assert found["pareto"].keys() == {"params", "macs", "latency_ms"}
    config = methods.config("blockqnn", "small")
    for metrics, reward in ((t["metrics"], t["reward"]) for t in good):
        cost = metrics["params"] / 400 * metrics["latency_ms"] / 5
        plain = early_stop(
            100 * metrics["val_accuracy"],
            2 * metrics["macs"] / 1e6,
            metrics["density"],
            config.mu,
            config.rho,
        )
        assert reward == pytest.approx(max(plain, 0) * cost**-0.07)


@pytest.mark.parametrize("kind", ["source", "pt2", "onnx", "hub"])
def test_every_export_of_signals(run: Path, kind: str) -> None:
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
    done = nascore("export", run, "--format", kind)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("Compared on 32 validation images")
    takes = "It takes float32 [n, 2, 24]: signals, less the mean ["
    assert (takes in done.out) == (kind in ("pt2", "onnx"))
    folder, model = run / "export", load_model(run / "model")
    raw = torch.from_numpy(np.stack([waves(40, seed=4)[0]] * 2, 1)).float()
    card = json.loads((run / "model" / "model.json").read_text())
    mean, std = (torch.tensor(card[name]).view(-1, 1) for name in ("mean", "std"))
    with torch.inference_mode():
        expected = model((raw - mean) / std)
        if kind == "pt2":
            found = torch.export.load(folder / "model.pt2").module()((raw - mean) / std)
        elif kind == "onnx":
            session = onnxruntime_session(folder / "model.onnx")
            given = {"images": ((raw - mean) / std).numpy()}
            found = torch.from_numpy(session.run(["logits"], given)[0])
        else:
            scope = {"__name__": "exported", "__file__": str(folder / "model.py")}
            if kind == "hub":
                scope["__file__"] = str(folder / "hub" / "model.py")
                readme = (folder / "hub" / "README.md").read_text()
                assert "A classifier of signals" in readme
                assert "signals (2, 24) (C, L)" in readme
                assert "image" not in readme
            text = Path(scope["__file__"]).read_text()
            assert "image" not in text
            exec(compile(text, "exported", "exec"), scope)
            found = scope["load"]()(scope["normalise"](raw))  # type: ignore[operator]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def onnxruntime_session(path: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(path))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=6, deadline=None)
@given(length=st.integers(16, 60), channels=st.integers(1, 3), seed=st.integers(0, 2**31))
def test_the_source_of_random_networks(kind: str, length: int, channels: int, seed: int) -> None:
    skeleton, architecture = random_architecture(kind, length, seed)
    network = build_net(skeleton.expand(architecture, (channels, length), 3), 1).eval()
    card = {"mean": [0.5] * channels, "std": [0.2] * channels, "class_names": ["images", "b", "c"]}
    card["architecture"] = architecture.to_json()  # type: ignore[assignment]
    text, state = write_source([network], card, "A network.")
    scope: dict[str, Any] = {"__name__": "exported"}
    exec(compile(text, "exported", "exec"), scope)
    assert scope["CLASSES"] == ("images", "b", "c")
    plain = scope["Network"]()
    plain.load_state_dict(state)
    signals = torch.randn(2, channels, length)
    with torch.inference_mode():
        torch.testing.assert_close(plain.eval()(signals), network(signals))


def test_signals_in_a_file(tmp_path: Path) -> None:
    """[n, L] can be nothing else; [n, C, L] says so, as [n, H, W] are images."""
    x, y = waves(60)
    file = tmp_path / "waves.npz"
    np.savez(file, x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    task = tasks.load(file)
    assert task.shape == (1, 24)
    assert task.split("test")[0].dtype == np.float32
    with pytest.raises(ValueError, match=r"waves\.npz has signals, not images"):
        tasks.load(file, image_size=12)
    np.savez(file, x_train=np.stack([x, x], 1), y_train=y)
    with pytest.raises(ValueError, match=r"or with signals=True in the \.npz"):
        tasks.load(file)
    np.savez(file, x_train=np.stack([x, x], 1), y_train=y, signals=True)
    assert tasks.load(file).shape == (2, 24)
    np.savez(file, x_train=np.zeros((60, 4, 6)), y_train=y)
    assert tasks.load(file).shape == (1, 4, 6)


@pytest.mark.parametrize(
    ("signals", "message"),
    [
        (np.full((8, 20), np.nan), "signal 0 has a number that is not finite"),
        (np.zeros(8), r"must be numbers \[n, L\] or \[n, C, L\]"),
        (np.zeros((8, 2, 3, 4)), r"must be numbers \[n, L\] or \[n, C, L\]"),
        (np.array([["a"] * 20] * 8), r"must be numbers \[n, L\] or \[n, C, L\]"),
        (np.full((8, 20), 1e300), "not finite in float32"),
    ],
)
def test_bad_signals_are_refused(signals: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tasks.from_signals(signals, np.arange(8) % 2)


def test_signals_are_not_augmented() -> None:
    with pytest.raises(ValueError, match="signals are not augmented"):
        augment_batch(torch.zeros(2, 1, 9), Augment(pad=1), torch.Generator())
