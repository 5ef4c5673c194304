"""Trained models as plain PyTorch, torch.export, ONNX and a Hugging Face folder."""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

import anytime_kit
import nascore as package
import space_kit
from cli_kit import nascore, searching, shown
from nascore import tasks
from nascore.cli_export import _chosen
from nascore.networks import Recipe
from nascore.results import export as exports
from nascore.results.export import difference, export
from nascore.results.source_text import quoted
from nascore.retrain import load_model, retrain, retrain_ensemble
from nascore.spaces import (
    NASNET_A,
    AnySkeleton,
    Architecture,
    BlockSpace,
    CellSpace,
    CellStack,
    Chain,
    EdgeDagSpace,
    LayerSpace,
    ResidualNet,
    Skeleton,
    SkipNet,
    SkipSpace,
    WholeNet,
)
from nascore.spaces.whole_net import whole_net
from nascore.tasks import Task

WRITE = exports._write_source

BLOCK = BlockSpace().architecture("[(1,1,3,0,0),(2,1,3,1,0),(3,5,0,0,2)]")
POOLED = BlockSpace().architecture("[(1,3,3,0,0),(2,1,1,1,0),(3,2,3,0,0),(4,6,0,2,3)]")
TINY = Skeleton(stem_width=4, blocks=2, widths=(4, 6))
DAG = EdgeDagSpace().architecture([(1, 1, 1, 0), (1, 3, 1, 0, 1), (2, 3, 1, 1), (6, 0, 1, 0, 2, 3)])
LAYERS = LayerSpace(8, 6, (8, 16), (32, 16)).architecture("C(8,3),P(2,2),C(16,3),FC(32),SM")
CELLS = CellStack(normal=2, filters=2, stem_width=4, reductions=1, auxiliary=True)
WIRED = ResidualNet("resnext", 2, (4, 8), 4, branches=2, bottleneck=2)
DENSE = SkipSpace((3,), (1, 3), (1, 3), (1,), (4, 6)).architecture(
    ((3, 1, 1, 4), (1, 3, 1, 6, 1), (3, 3, 1, 4, 1, 2))
)


def student() -> Architecture:
    """As N2N leaves one: a whole network of widths that nothing repeats."""
    net = TINY.expand(BLOCK, (1, 8, 8), 10)
    rows = [[int(number) for number in row] for row in net.rows]
    rows[2][6] = 3  # what the first convolution gives to the second
    return whole_net(rows, [list(inputs) for inputs in net.inputs])


NETS: dict[str, tuple[Architecture, AnySkeleton]] = {
    "block": (BLOCK, TINY),
    "pooled": (POOLED, TINY),
    "depthwise": (BLOCK, Skeleton(4, 1, False, 1, (4, 6), depthwise=True)),
    "cell": (NASNET_A, CELLS),
    "small_cell": (CellStack.simplest, CellStack(1, 2, stem_width=4, reductions=1)),
    "dag": (DAG, TINY),
    "layer": (LAYERS, Chain()),
    "skip": (DENSE, SkipNet()),
    "connection": (WIRED.simplest, WIRED),
    "anytime": (anytime_kit.random_ones(1, 4)[0], anytime_kit.NET),
    "student": (student(), WholeNet()),
}


@pytest.fixture(scope="module")
def digits() -> Task:
    return tasks.load("digits")


@pytest.fixture(scope="module")
def model(digits: Task, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Trains the network of a name, once."""
    root = tmp_path_factory.mktemp("models")
    quick = tasks.load("digits", limit_train=60)
    recipe = Recipe(1, 30, "adam", 2**-7)

    def trained(name: str) -> Path:
        if not (out := root / name / "model").exists():
            if name == "ensemble":
                retrain_ensemble([BLOCK, POOLED], quick, TINY, recipe, 1, out, "cpu")
            else:
                retrain(NETS[name][0], quick, NETS[name][1], recipe, 1, out, "cpu")
        return out

    return trained


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("exported", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def raw_images(task: Task, n: int) -> Tensor:
    return torch.from_numpy(task.split("test")[0][:n].copy())


def logits(network: torch.nn.Module, task: Task, images: Tensor) -> Tensor:
    mean, std = (torch.tensor(each).view(-1, 1, 1) for each in (task.mean, task.std))
    with torch.inference_mode():
        return network((images / 255 - mean) / std)


@pytest.mark.parametrize("name", [*NETS, "ensemble"])
def test_the_source_of_every_space(
    name: str, model: Callable[[str], Path], digits: Task, tmp_path: Path
) -> None:
    folder = model(name)
    card = json.loads((folder / "model.json").read_text())
    if name in ("cell", "ensemble"):  # a fresh Python takes seconds; below, this one is enough
        path = export(folder, "source", tmp_path / "net.py", digits).path
    else:
        path = tmp_path / "net.py"
        WRITE(load_model(folder), card, path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.pt", "net.py"]
    text = path.read_text()
    assert "nascore." not in text
    assert "safetensors" not in text
    ours, module = load_model(folder), imported(path)
    images = raw_images(digits, 5)
    plain = module.load()
    with torch.inference_mode():
        theirs = plain(module.normalise(images))
    images = images / 255
    mean, std = (torch.tensor(card[each]).view(-1, 1, 1) for each in ("mean", "std"))
    with torch.inference_mode():
        expected = ours((images - mean) / std)
    torch.testing.assert_close(theirs, expected)
    if name == "anytime":
        found = plain.exits((images - mean) / std)
        for a, b in zip(found, ours.exits((images - mean) / std), strict=True):
            torch.testing.assert_close(a, b)
    if name != "cell":  # its auxiliary head stays behind
        assert sum(p.numel() for p in plain.parameters()) == card["params"]
    if (ruff := shutil.which("ruff", path=str(Path(sys.executable).parent))) is not None:
        for check in (["format", "--diff"], ["check"]):
            program = [ruff, *check, "--isolated", "--no-cache", str(path)]
            checked = subprocess.run(program, capture_output=True, text=True, check=False)
            assert checked.returncode == 0, checked.stdout


def test_a_repeated_block_is_one_class(model: Callable[[str], Path], tmp_path: Path) -> None:
    folder, path = model("cell"), tmp_path / "net.py"
    WRITE(load_model(folder), json.loads((folder / "model.json").read_text()), path)
    text = path.read_text()
    assert text.count("class ReductionCell") == 1
    assert text.count("= NormalCell") == 4
    assert text.count("class NormalCell") == 2  # one follows a reduction, and halves what it reads
    assert "x = self.stem(images)\n        cell1 = self.cell1(x, x)" in text


@pytest.mark.parametrize("text", ["plain", 'a "b"', "it's", "a\\b", "\u00e4", "\n", "'\""])
def test_class_names_survive(text: str) -> None:
    assert eval(quoted(text)) == text


@pytest.mark.parametrize("name", ["small_cell", "anytime", "ensemble"])
def test_pt2_takes_any_batch(
    name: str, model: Callable[[str], Path], digits: Task, tmp_path: Path
) -> None:
    done = export(model(name), "pt2", tmp_path / "net.pt2")
    program = torch.export.load(done.path).module()
    network = load_model(model(name))
    for n in (1, 3, 40):
        images = torch.randn(n, 1, 8, 8)
        torch.testing.assert_close(program(images), network(images), rtol=1e-4, atol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt2"]


@pytest.mark.parametrize("name", ["layer", "small_cell"])
def test_onnx_takes_any_batch(name: str, model: Callable[[str], Path], tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    records: list[logging.LogRecord] = []
    listener = logging.Handler()
    listener.emit = records.append  # type: ignore[method-assign]
    before = logging.root.manager.disable
    logging.getLogger("torch.onnx").addHandler(listener)
    try:
        done = export(model(name), "onnx", tmp_path / "net.onnx")
    finally:
        logging.getLogger("torch.onnx").removeHandler(listener)
    assert not records  # of what torch's exporter lacks
    assert logging.root.manager.disable == before
    session = onnxruntime.InferenceSession(str(done.path))
    network = load_model(model(name))
    for n in (1, 3, 40):
        images = torch.randn(n, 1, 8, 8)
        (found,) = session.run(["logits"], {"images": images.numpy()})
        torch.testing.assert_close(
            torch.from_numpy(found), network(images).detach(), rtol=1e-4, atol=1e-4
        )
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_onnx_names_its_extra(
    model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"pip install 'nascore\[export\]'"):
        export(model("block"), "onnx", tmp_path / "new" / "net.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["block", "ensemble"])
def test_the_hub_folder(name: str, model: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "hub"
    done = export(model(name), "hub", out)
    if name == "block":  # over the one that is there
        done = export(model(name), "hub", out)
    assert (done.path, done.images) == (out, 32)
    files = {path.name for path in out.iterdir()}
    assert {"README.md", "config.json", "model.py", "model.pt"} <= files
    assert ("model.safetensors" if name == "block" else "member-2") in files
    card = json.loads((model(name) / "model.json").read_text())
    config = json.loads((out / "config.json").read_text())
    assert config.items() >= card.items()
    readme = (out / "README.md").read_text()
    assert readme.startswith("---\nlibrary_name: pytorch\n")
    assert f"| Test accuracy | {card['test_accuracy']:.4f} |" in readme
    assert f"| Parameters | {card['params']:,} |" in readme
    assert " ms for one image (median, torch " in readme
    assert f"nascore {package.__version__}" in readme
    assert f"nascore.export('{model(name)}', 'hub')" in readme
    assert "\nfrom model import load, normalise\n" in readme
    images = torch.randn(3, 1, 8, 8)
    ours, theirs = load_model(model(name)), package.load_model(out)
    assert torch.equal(ours(images), theirs(images))
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match="is no exported folder; name another"):
        export(model(name), "hub", tmp_path / "mine")


def broken(model: object, card: object, path: Path) -> None:
    """A writer whose weights are not the model's."""
    WRITE(model, card, path)
    state = torch.load(path.with_suffix(".pt"))
    state["classifier.bias"][0] += 0.01
    torch.save(state, path.with_suffix(".pt"))


@pytest.mark.parametrize("kind", ["source", "hub"])
def test_another_answer_is_an_error_and_leaves_nothing(
    kind: str, model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "old.py"
    if kind == "source":
        export(model("block"), kind, out)
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.setattr(exports, "_write_source", broken)
    with pytest.raises(ValueError, match=r"differs from the model by .* more than 1e-04"):
        export(model("block"), kind, tmp_path / "new" / "net.py")
    with pytest.raises(ValueError, match="nothing was written"):
        export(model("block"), kind, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_source_that_needs_this_package_is_an_error(
    model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def needy(model: object, card: object, path: Path) -> None:
        WRITE(model, card, path)
        path.write_text(f"{path.read_text()}\nimport nascore\n")

    monkeypatch.setattr(exports, "_write_source", needy)
    with pytest.raises(ValueError, match=r"source does not run: .*nascore.*; nothing was written"):
        export(model("block"), "source", tmp_path / "net.py")
    assert list(tmp_path.iterdir()) == []


def test_what_counts_as_the_same() -> None:
    a = torch.tensor([[2.0, -4.0]])
    assert difference([a], [a]) == 0
    assert difference([a], [a + 3e-4]) == pytest.approx(7.5e-5, rel=0.01)
    for other in (a + 5e-4, a * float("nan")):
        with pytest.raises(ValueError, match="of the largest logit"):
            difference([a], [other])
    with pytest.raises(ValueError, match="another shape"):
        difference([a], [a[:, :1]])


def test_what_is_refused(model: Callable[[str], Path], digits: Task, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown format 'tflite'"):
        export(model("block"), "tflite", tmp_path / "x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"name a file that ends in \.py"):
        export(model("block"), "source", tmp_path / "x")
    with pytest.raises(ValueError, match="neither the folder of a model nor that of a run"):
        export(tmp_path, "source")
    images = torch.randint(0, 256, (60, 6, 6), dtype=torch.uint8).numpy()
    small = tasks.from_arrays(images, torch.arange(60).numpy() % 10, name="small")
    with pytest.raises(ValueError, match=r"small has images of shape \(1, 6, 6\); the model takes"):
        export(model("block"), "source", tmp_path / "x.py", small)
    copy = shutil.copytree(model("block"), tmp_path / "copy")
    card = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps(card | {"task": "mine"}))
    with pytest.raises(ValueError, match=r"trained on 'mine', whose images are not found: .*task"):
        export(copy, "source")
    export(copy, "source", task=digits)
    assert (copy / "export" / "copy.py").exists()


def test_a_model_of_resized_images(tmp_path: Path) -> None:
    task = tasks.load("digits", limit_train=40, image_size=12)
    retrain(BLOCK, task, TINY, Recipe(1, 20, "adam", 2**-7), 1, tmp_path / "m", "cpu")
    assert export(tmp_path / "m", "source").images == 32


def test_the_command(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert nascore(*searching(run, "--trials", 6)).status == 0
    done = nascore("export", run, "--format", "source")
    assert done.status == 2
    assert f"{run} has no trained model yet; first:  nascore retrain {run}" in done.err
    assert nascore("retrain", run).status == 0
    done = nascore("export", run, "--format", "hub")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("Compared on 32 validation images: largest difference ")
    readme = (run / "export" / "hub" / "README.md").read_text()
    for command in ("search blockqnn --task digits", f"retrain {run}\n", f"export {run} --format"):
        assert f"\nnascore {command}" in readme

    good = [t for t in shown(run)["trials"] if t["status"] == "ok"]
    best, least = shown(run)["best"], min(good, key=lambda t: t["metrics"]["params"])
    assert best["metrics"]["params"] > least["metrics"]["params"]
    limit = ("--max-params", int(least["metrics"]["params"]))
    done = nascore("export", run, "--format", "source", *limit)
    assert done.status == 2
    number = int(done.err.split("first:")[1].split("--trial")[1])
    assert f"first:  nascore retrain {run} --trial {number}" in done.err
    assert nascore("retrain", run, *limit).status == 0
    for choice in (limit, ("--trial", number)):
        done = nascore("export", run, "--format", "source", *choice)
        assert (done.status, done.err) == (0, "")
        source = run / f"model-{number}" / "export" / f"model_{number}.py"
        assert f"Done: {source}, its weights in {source.with_suffix('.pt')}" in done.out
    params = sum(p.numel() for p in imported(source).load().parameters())
    assert params == least["metrics"]["params"]
    assert _chosen(str(run), best["number"], None, None) == run / "model"

    for arguments, message in (
        (("--max-macs", 1), "max_macs=1: the smallest trial left has "),
        (("--trial", 0, "--max-params", 9), "trial=0 and max_params: give one of the two"),
    ):
        done = nascore("export", run, "--format", "source", *arguments)
        assert (done.status, message in done.err) == (2, True)
    done = nascore("export", run / "model", "--format", "source", "--trial", 1)
    assert "is one model: a trial is chosen of a run" in done.err


def test_random_networks_keep_their_answers(digits: Task) -> None:
    """Of many wirings of each space, without a training."""
    from nascore.networks import build_net
    from nascore.results.source import write_source

    space, images = BlockSpace(max_layers=8), torch.randn(2, 1, 8, 8)
    walks = space.decode(space_kit.random_walk(space, 12, 3)[-1])
    cases = [(each, TINY) for each in walks]
    cases += [(each, anytime_kit.NET) for each in anytime_kit.random_ones(12, 5)]
    cells = CellSpace(3)
    drawn = cells.decode(space_kit.random_walk(cells, 12, 4)[-1])
    cases += [(each, CELLS) for each in drawn]
    cases += [(each, replace(CELLS, normal=1)) for each in drawn]
    for architecture, skeleton in cases:
        net = skeleton.expand(architecture, (1, 8, 8), 10)
        network = build_net(net, 1).eval()
        card = {
            "mean": [0.5],
            "std": [0.2],
            "class_names": list("0123456789"),
            "architecture": architecture.to_json(),
        }
        text, state = write_source([network], card, "A network.")
        scope: dict[str, object] = {"__name__": "exported"}
        exec(compile(text, "exported", "exec"), scope)
        plain = scope["Network"]()  # type: ignore[operator]
        plain.load_state_dict(state)
        with torch.inference_mode():
            assert torch.equal(plain.eval()(images), network(images)), architecture.text
