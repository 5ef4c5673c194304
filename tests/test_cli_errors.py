"""What a person does wrong ends as one line that says how to mend it, and changes nothing."""

from __future__ import annotations

import io
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch

from agent_kit import judge
from cli_kit import nascore, searching
from nascore import load_model, methods, tasks
from nascore.agents.q_learning import QLearning
from nascore.networks import accuracy
from nascore.search import Store
from nascore.spaces import ChoicesSpace
from task_kit import paint, pixels
from toys import toy_search


def refused(message: str, *arguments: object) -> None:
    """Runs a command that must fail with one line in which the pattern `message` is found."""
    done = nascore(*arguments)
    assert done.status == 2, done.out
    assert done.out == ""
    assert re.fullmatch(rf"error: .*(?:{message}).*\n", done.err), done.err


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but the lock, which says who wrote last."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock"
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A search whose time was up at once: all of a run but its trials."""
    done = nascore(*searching(tmp_path / "run", "--trials", 8, "--time-limit", 0))
    assert (done.status, done.err) == (0, "")
    return tmp_path / "run"


def test_an_unknown_method(tmp_path: Path) -> None:
    message = "unknown method 'blockqn'; did you mean 'blockqnn' or 'faster_blockqnn'\\?"
    refused(message, *searching(tmp_path / "run", method="blockqn"))
    known = ", ".join(methods.names())
    refused(f"unknown method 'x'; known: {known}", *searching(tmp_path / "run", method="x"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--preset smal", "unknown preset 'smal'; did you mean 'small'\\?"),
        ("--set recipe.epoch=3", "unknown key 'epoch'; did you mean 'epochs'\\?"),
        ("--set trails=3", "unknown key 'trails'; did you mean 'trials'\\?"),
        ("--set trials", "setting 'trials': write it as key=value"),
        ("--set recipe=3", "recipe is a group; set one of recipe.epochs, recipe.batch, "),
        ("--set trials.few=3", "trials.few: trials is a single value, it has no 'few'"),
        ("--set batch=many", "batch=many: expected int, got 'many'"),
        ("--set batch=0", "batch=0: a group has at least one trial"),
        ("--set in_flight=3", "in_flight=3 must be a multiple of batch=4"),
        ("--set skeleton.widths=8", r"skeleton.widths=8: expected a list such as \(1, 2\), got 8"),
        ("--set skeleton.widths=(8,8,8,8,8)", "an image of 1x8x8 is too small for 5 groups"),
        ("--set recipe.epochs=0", "recipe: epochs=0 must be at least 1"),
        ("--set recipe.optimizer=adam2", "'adam2' is not one of 'adam', 'sgd'"),
        ("--set max_layers=0", "max_layers=0 must be 1 to "),
        ("--set alpha=0", r"alpha=0[.0]* must be in \(0, 1\]"),
        ("--set epsilon=((2.0,1),)", r"schedule=\(\(2.0, 1\),\): give .* 0 <= epsilon <= 1"),
        ("--trials 0", "trials=0: a search needs at least one trial"),
        ("--workers 0", "workers=0: at least one must do the work"),
        ("--seed -1", r"seed=-1 must be 0 to 2\*\*64 - 1"),
        (f"--seed {2**64}", rf"seed={2**64} must be 0 to 2\*\*64 - 1"),
        ("--limit-train 5", "limit_train=5 must be at least 10, one image of each class"),
        ("--limit-train 5000", "and at most 1087, the size of the train part"),
    ],
)
def test_bad_settings(tmp_path: Path, arguments: str, message: str) -> None:
    refused(message, *searching(tmp_path / "run", *arguments.split()))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("arguments", ["--order sideways", "--trials many", "--werkers 2"])
def test_arguments_that_are_none(tmp_path: Path, arguments: str) -> None:
    done = nascore(*searching(tmp_path / "run", *arguments.split()))
    assert done.status == 2
    assert arguments.split()[0] in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "run").exists()


def one_class(folder: Path) -> None:
    paint(folder, {"cat": 9}, 8, 8)


def few_of_a_class(folder: Path) -> None:
    paint(folder, {"cat": 9, "dog": 2}, 8, 8)


def broken_image(folder: Path) -> None:
    paint(folder, {"cat": 9, "dog": 9}, 8, 8)
    image = folder / "dog" / "004.png"
    image.write_bytes(image.read_bytes()[:60])


def odd_image(folder: Path) -> None:
    paint(folder, {"cat": 9}, 8, 8)
    paint(folder, {"dog": 9}, 8, 9)


def empty_train_part(folder: Path) -> None:
    (folder / "train").mkdir(parents=True)
    paint(folder / "test", {"cat": 9, "dog": 9}, 8, 8)


def class_without_training_images(folder: Path) -> None:
    paint(folder / "train", {"cat": 9, "dog": 9}, 8, 8)
    paint(folder / "test", {"cat": 3, "fox": 3}, 8, 8)


def no_images(folder: Path) -> None:
    (folder / "cat").mkdir(parents=True)


def a_file(folder: Path) -> None:
    folder.write_text("no folder")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (one_class, "a task needs training images of two classes or more; found 'cat'"),
        (few_of_a_class, "class 'dog' has 2 training images; splitting needs at least 3 of each"),
        (broken_image, r"images/dog/004.png is not a readable image \(.*\); replace it"),
        (odd_image, r"dog/000.png has 9x8 pixels, but .*/cat/000.png has 8x8; resize"),
        (empty_train_part, "images has images in test, but none in train"),
        (class_without_training_images, "class 'fox' has images, but none to train on"),
        (no_images, "no images in .*images: expected parquet files, or images as CLASS/image.png"),
        (a_file, "images is a file; give an .npz file, or a folder of images"),
        (lambda folder: None, "there is no folder .*images; give the path of a folder of images"),
    ],
)
def test_bad_images(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    images = tmp_path / "images"
    make(images)
    refused(message, *searching(tmp_path / "run", task=images))
    assert not (tmp_path / "run").exists()


def test_an_unknown_task(tmp_path: Path, run: Path) -> None:
    message = "unknown task 'digit'; did you mean 'digits'\\?"
    refused(message, *searching(tmp_path / "other", task="digit"))
    assert not (tmp_path / "other").exists()
    refused("'nobody/nothing' is no folder here", *searching(tmp_path, task="nobody/nothing"))


def foreign_database(folder: Path) -> str:
    folder.mkdir()
    with closing(sqlite3.connect(folder / "run.db")) as database:
        database.execute("CREATE TABLE songs (name)")
    return "is not a run: its database has no table 'meta'"


def garbage(folder: Path) -> str:
    folder.mkdir()
    (folder / "run.db").write_bytes(b"garbage " * 1000)
    return "the database of run .* cannot be used: file is not a database"


def torn(folder: Path) -> str:
    assert nascore(*searching(folder, "--time-limit", 0)).status == 0
    whole = (folder / "run.db").read_bytes()
    (folder / "run.db").write_bytes(whole[: len(whole) // 2])
    return "the database of run .* cannot be used: database disk image is malformed"


def something_else(folder: Path) -> str:
    folder.mkdir()
    (folder / "notes.txt").write_text("not a run")
    return "is not the folder of a run: it has no run.db"


def nothing(folder: Path) -> str:
    return "is not the folder of a run: it has no run.db"


@pytest.mark.parametrize("make", [foreign_database, garbage, torn, something_else, nothing])
def test_a_folder_that_is_no_run(tmp_path: Path, make: Callable[[Path], str]) -> None:
    folder = tmp_path / "run"
    message = make(folder)
    before = contents(tmp_path)
    for command in ("show", "resume", "retrain"):
        refused(message, command, folder)
    assert contents(tmp_path) == before


def test_a_search_does_not_write_over_other_data(tmp_path: Path) -> None:
    foreign_database(tmp_path / "other")
    garbage(tmp_path / "garbage")
    (tmp_path / "file").write_text("not a folder")
    before = contents(tmp_path)
    refused(r"holds other data \(songs\): choose another place", *searching(tmp_path / "other"))
    refused("file is not a database", *searching(tmp_path / "garbage"))
    refused("cannot create the run folder .*file: File exists", *searching(tmp_path / "file"))
    assert contents(tmp_path) == before


def test_a_search_that_began_from_python(tmp_path: Path) -> None:
    config = methods.config("random", "small")
    search = methods.build("random", tasks.load("digits"), config)
    Store.create(tmp_path / "run", search.meta).close()
    refused("run was begun from Python; go on with it there", "resume", tmp_path / "run")
    Store.create(tmp_path / "toy", toy_search(8).meta).close()
    refused("toy was begun from Python; go on with it there", "resume", tmp_path / "toy")


def test_images_that_changed(tmp_path: Path) -> None:
    paint(tmp_path / "images", {"a": 9, "b": 9}, 8, 8)
    begin = searching(tmp_path / "run", "--time-limit", 0, task=tmp_path / "images")
    assert nascore(*begin).status == 0
    paint(tmp_path / "images", {"b": 1}, 8, 8)
    before = contents(tmp_path / "run")
    refused("images are no longer those that .*run began with", "resume", tmp_path / "run")
    assert contents(tmp_path / "run") == before


def test_a_q_table_from_another_space(run: Path) -> None:
    foreign = QLearning(
        ChoicesSpace((3, 3)),
        0,
        trials=8,
        schedule=((1.0, 1),),
        alpha=0.1,
        gamma=1.0,
        initial_q=0.0,
        replay=0,
        shaping=True,
    )
    foreign.tell(judge(0, foreign.ask(4)))
    state = io.BytesIO()
    torch.save(foreign.state_dict(), state)
    with Store.open(run, write=True) as store:
        store.snapshot(0, state.getvalue())
    before = contents(run)
    refused("a Q-table from another space: its observations have 2", "resume", run)
    assert contents(run) == before


def test_nothing_to_retrain(run: Path) -> None:
    refused("run has no trial that succeeded; see `nascore show`", "retrain", run)
    refused("trial=3: .*run has no such trial; see `nascore show", "retrain", run, "--trial", 3)
    refused("run has no trial that succeeded", "retrain", run, "--ensemble", 2)
    assert not (run / "model").exists()


def test_what_cannot_be_retrained(run: Path, tmp_path: Path) -> None:
    with Store.open(run, write=True) as store:
        config = methods.config_from_json("blockqnn", store.meta["config"])
        search = methods.build("blockqnn", tasks.load("digits"), config)
        trials = list(search.run(store))
    [failed] = [trial for trial in trials if not trial.evaluation.ok]
    before = contents(run)
    message = f"trial={failed.number} failed: empty block"
    refused(message, "retrain", run, "--trial", failed.number)
    distinct = len({t.architecture.hash for t in trials if t.evaluation.ok})
    message = f"ensemble=.*run has {distinct} distinct networks that succeeded; give 2 to as many"
    for k in (-1, 0, 1, distinct + 1):
        refused(message, "retrain", run, "--ensemble", k)
    refused("trial=0 and ensemble=2: give one", "retrain", run, "--ensemble", 2, "--trial", 0)
    refused("unknown task 'digit'", "retrain", run, "--task", "digit")
    refused("blocks=0", "retrain", run, "--blocks", 0)
    refused("stem_width=0 must be 1 to", "retrain", run, "--width", 0)
    refused("recipe: epochs=0 must be at least 1", "retrain", run, "--epochs", 0)
    refused("cannot create the run folder .*: File exists", "retrain", run, "--out", run / "run.db")
    paint(tmp_path / "tiny", {"a": 9, "b": 9}, 1, 1)
    refused("an image of 1x1x1 is too small", "retrain", run, "--task", tmp_path / "tiny")
    assert contents(run) == before

    # A finished model keeps its head: data of more classes need a network of their own.
    assert nascore("retrain", run).status == 0
    twelve = tasks.from_arrays(pixels(60, 8, 8), torch.arange(60).numpy() % 12, name="twelve")
    with pytest.raises(ValueError, match="the network has 10 outputs, twelve has 12 classes"):
        accuracy(load_model(run / "model"), twelve, "test", "cpu")
