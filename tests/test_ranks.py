"""Two processes that train one network, started by torchrun as a user starts them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import safetensors.torch
import torch

import ranks_work
from cli_kit import nascore, searching
from nascore import cli_parts, tasks
from nascore.networks import ranks


@dataclass(frozen=True)
class Work:
    run: Path
    folder: Path
    done: subprocess.CompletedProcess[str]


def torchrun(*command: object, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*launcher, "--nproc-per-node", "2", *map(str, command)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """What two processes left that were killed in their last training."""
    folder = tmp_path_factory.mktemp("ranks")
    run = folder / "run"
    done = nascore(*searching(run, "--trials", 2, "--limit-train", 192))
    assert done.status == 0, done.err
    return Work(run, folder, torchrun("ranks_work.py", run, folder))


def weights(model: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(model / "model.safetensors")


def test_two_processes_train_as_one_does(work: Work) -> None:
    first, second = (
        torch.load(work.folder / f"plain-{rank}.pt", weights_only=True) for rank in (0, 1)
    )
    alone = ranks_work.plain(tasks.load("digits", limit_train=128)).state_dict()
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value)
        assert torch.equal(first[name], second[name])


def test_two_processes_train_a_compiled_network_as_one_does_a_plain_one(work: Work) -> None:
    """Translated, but not to C++, which takes too long for two of them."""
    first, second = (
        torch.load(work.folder / f"compiled-{rank}.pt", weights_only=True) for rank in (0, 1)
    )
    alone = ranks_work.plain(tasks.load("digits", limit_train=128)).state_dict()
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-5)
        assert torch.equal(first[name], second[name])


@pytest.mark.slow  # two translations by a C++ compiler
@pytest.mark.timeout(900)
def test_two_processes_translate_and_train(work: Work) -> None:
    out = work.folder / "translated"
    done = torchrun(
        *("-m", "nascore", "retrain", work.run, "--out", out, "--epochs", 2, "--compile"),
        timeout_s=800,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 2/2") == 1
    assert "Test accuracy" in done.stdout
    assert (out / "model.safetensors").exists()


def test_a_killed_training_goes_on_exactly(work: Work) -> None:
    assert (work.folder / "parts" / "checkpoint.pt").exists(), work.done.stderr
    parts, fewer = work.folder / "parts", work.folder / "fewer"
    assert not (parts / "model.safetensors").exists()
    shutil.copytree(parts, fewer)
    options = ("--out", parts, *ranks_work.LONG)
    done = torchrun("-m", "nascore", "retrain", work.run, *options)
    assert done.returncode == 0, done.stderr
    assert "epoch 2/4" not in done.stdout
    assert done.stdout.count("epoch 3/4") == 1  # one process prints
    whole, resumed = weights(work.folder / "whole"), weights(parts)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    cards = [json.loads((work.folder / m / "model.json").read_text()) for m in ("whole", "parts")]
    assert cards[0].pop("command") != cards[1].pop("command")
    assert cards[0] == cards[1]
    # One process goes on where two were.
    alone = nascore("retrain", work.run, "--out", fewer, *ranks_work.LONG)
    assert alone.status == 0, alone.err
    assert "epoch 2/4" not in alone.out
    for name, value in weights(fewer).items():  # batch norm goes by other statistics there
        if value.is_floating_point():
            torch.testing.assert_close(value, whole[name], rtol=0.1, atol=0.1)


def test_what_several_processes_refuse(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in (0, 1):
        message = "time_limit_s: several processes cannot stop at the same step"
        assert (work.folder / f"refused-{rank}").read_text() == message
    monkeypatch.setattr(cli_parts.out, "quiet", False)  # as it was, after this test
    monkeypatch.setattr(ranks, "count", lambda: 3)
    monkeypatch.setattr(ranks, "rank", lambda: 1)
    assert ranks.share(66) == slice(22, 44)
    with pytest.raises(ValueError, match=r"batch of 64 images cannot be shared equally by 3 proc"):
        ranks.share(64)
    done = nascore("retrain", work.run, "--ensemble", 2, "--out", work.folder / "ensemble")
    assert done.status == 2
    assert "ensemble: its members are trained one by one, not by 3 processes" in done.err


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    message = "torchrun started 3 processes, torch finds 2 GPUs; give --nproc-per-node 2"
    with pytest.raises(ValueError, match=message), ranks.joined():
        pass


def test_one_process_is_alone() -> None:
    with ranks.joined():
        assert (ranks.count(), ranks.rank(), ranks.by_first(lambda: "x")) == (1, 0, "x")
        assert ranks.share(7) == slice(0, 7)
