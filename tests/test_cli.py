"""Every command, as a person or a program uses it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

import cli_kit
import nascore as package
from cli_kit import PROGRAM, history, nascore, searching, shown, told, unbroken
from nascore import methods, tasks
from task_kit import paint
from test_faults import told as told_so_far
from test_faults import wait_for


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete search; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    done = nascore(*searching(folder, "--trials", 8))
    assert (done.status, done.err) == (0, "")
    (folder.parent / "output").write_text(done.out)
    return folder


def test_version_and_help() -> None:
    assert nascore("--version").out == f"{package.__version__}\n"
    done = nascore("--help")
    assert done.status == 0
    for command in ("methods", "tasks", "search", "resume", "show", "retrain"):
        assert re.search(rf"\b{command}\b", done.out)
        assert nascore(command, "--help").status == 0


def test_methods_and_tasks_are_listed() -> None:
    listed = nascore("methods").out.splitlines()
    assert [line.split()[0] for line in listed] == methods.names()
    listed = nascore("tasks").out.splitlines()
    assert [line.split()[0] for line in listed[:-1]] == list(tasks.names())
    assert "folder of images" in listed[-1]


def test_a_search_shows_how_it_goes_and_what_it_found(run: Path) -> None:
    output = (run.parent / "output").read_text()
    last = (
        r"^8/8 trials, best accuracy 0\.\d{4}(, \d failed)?, "
        r"[\d.,e+]+ trials/min, 1 worker, 0:00 left$"
    )
    assert re.search(last, output, re.M)
    assert output.endswith(
        f"Next: nascore retrain {run}    trains the best from scratch and tests it\n"
    )
    shown_later = nascore("show", run).out
    assert shown_later in output
    lines = shown_later.splitlines()
    assert lines[0].startswith("blockqnn on digits, seed 0, 8 of 8 trials, ")
    assert lines[1].split() == [
        "trial",
        "reward",
        "val.",
        "accuracy",
        "parameters",
        "multiply-adds",
    ]
    good = [t for t in shown(run)["trials"] if t["status"] == "ok"]
    best = sorted(good, key=lambda trial: -trial["reward"])[:5]
    assert [int(line.split()[0]) for line in lines[2:7]] == [t["number"] for t in best]
    for trial, line in zip(best, lines[7:12], strict=True):
        code = json.dumps([tuple(row) for row in trial["architecture"]["code"]])
        assert line.replace(" ", "") == f"{trial['number']}:" + re.sub(
            r"\[(\d[^]]*)\]", r"(\1)", code.replace(" ", "")
        )
    assert lines[12].split()[:2] == ["Pareto", "front"]
    on_a_front = {n for front in shown(run)["pareto"].values() for n in front}
    assert {int(line.split()[0]) for line in lines[13:]} <= on_a_front


def test_show_as_json(run: Path) -> None:
    data = shown(run)
    assert list(data) == ["method", "task", "seed", "trials", "best", "pareto"]
    assert (data["method"], data["task"], data["seed"]) == ("blockqnn", "digits", 0)
    keys = ["number", "status", "fidelity", "reward", "metrics", "architecture"]
    assert [list(trial) for trial in data["trials"]] == [keys] * 8
    assert [trial["number"] for trial in data["trials"]] == list(range(8))
    assert [trial["reward"] for trial in data["trials"]] == [t.reward for t in told(run)]
    good = [trial for trial in data["trials"] if trial["status"] == "ok"]
    assert data["best"] == max(good, key=lambda trial: trial["reward"])
    assert data["best"] == json.loads((run / "best.json").read_text())
    wanted = {"val_accuracy", "val_loss", "params", "macs", "peak_bytes", "density", "seconds"}
    assert all(wanted <= trial["metrics"].keys() for trial in good)


def test_show_counts_results_before_the_agent_has_them(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    with sqlite3.connect(copy / "run.db") as database:
        database.execute("UPDATE trials SET tell_event = NULL")
    database.close()
    whole, untold = (json.loads(nascore("show", path, "--json").out) for path in (run, copy))
    assert untold == whole
    assert "8 of 8 trials" in nascore("show", copy).out


def test_a_complete_run_is_not_run_again(run: Path) -> None:
    before = told(run)
    done = nascore("resume", run)
    assert done.status == 0
    assert done.out.startswith(f"{run} is complete: 8 trials.\n")
    assert f"Next: nascore retrain {run}" in done.out
    again = nascore(*searching(run, "--trials", 8))
    assert again.status == 2
    assert f"{run} already holds a run: continue it by `nascore resume {run}`" in again.err
    assert told(run) == before


def test_the_time_is_up(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for command in (searching(run, "--trials", 8), ["resume", run]):
        done = nascore(*command, "--time-limit", 0)
        assert (done.status, done.err) == (0, "")
        assert done.out.endswith(
            f"The time is up, 8 trials are left. Go on with:  nascore resume {run}\n"
        )
        assert "Next:" not in done.out
    assert shown(run)["trials"] == []
    assert shown(run)["best"] is None


def test_results_are_told_as_they_arrive(tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = ("--order", "arrival", "--workers", 2, "--trials", 6, "--seed", 5)
    done = nascore(*searching(run, *arguments))
    assert (done.status, done.err) == (0, "")
    assert json.loads((run / "config.json").read_text())["order"] == "arrival"
    data = shown(run)
    assert (data["method"], data["seed"]) == ("blockqnn", 5)
    assert [trial["number"] for trial in data["trials"]] == list(range(6))
    assert f"{run} is complete" in nascore("resume", run).out


def test_ctrl_c_stops_cleanly_and_a_second_process_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = searching(run, "--trials", 24)
    process = subprocess.Popen(
        [PROGRAM, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that the signal reaches the workers too, as in a terminal
    )
    wait_for(lambda: told_so_far(run) > 0 or process.poll() is not None)
    refused = nascore("resume", run)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert refused.status == 2
    assert f"run {run} is being written by process {process.pid} on " in refused.err
    assert process.returncode == 130
    assert out.endswith(f"\nStopped; nothing is lost. Go on with:  nascore resume {run}\n")
    assert err == ""
    assert 0 < len(told(run)) < 24
    assert nascore("resume", run, "--workers", 2).status == 0
    assert history(told(run)) == history(unbroken(24))


def test_a_run_belongs_to_no_folder_that_one_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path / "images", {"a": 9, "b": 9}, 8, 8)
    monkeypatch.chdir(tmp_path)
    done = nascore("search", "random", "--task", "images", "--time-limit", 0)
    assert done.status == 0
    run = tmp_path / "runs" / "random-images-0"
    assert run.is_dir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert nascore("resume", run, "--time-limit", 0).status == 0


def test_a_program_sees_a_status_and_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [PROGRAM, "show", tmp_path], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"error: {tmp_path} is not the folder of a run: it has no run.db\n"
    assert list(tmp_path.iterdir()) == []


def test_settings_reach_the_run(tmp_path: Path) -> None:
    arguments = ("--preset", "paper", "--limit-train", 200, "--trials", 9, "--time-limit", 0)
    assert nascore(*searching(tmp_path / "run", *arguments)).status == 0
    kept = json.loads((tmp_path / "run" / "config.json").read_text())
    assert kept["limit_train"] == 200
    config = methods.config_from_json("blockqnn", kept["config"])
    assert config == methods.with_settings(
        methods.config("blockqnn", "paper"), [*cli_kit.SETTINGS, "trials=9"]
    )
