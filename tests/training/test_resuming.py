"""A training that is interrupted anywhere and goes on ends in the bits of one that was not."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orbax.checkpoint
import pytest
from small_training import differing, short_training

from minibert.training import checkpoints
from minibert.training.checkpoints import TrainingCheckpoints
from minibert.training.loop import Trained

pytestmark = pytest.mark.long


class CrashError(BaseException):
    """What ends a training in these tests where it is; no Exception, which someone might handle."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return short_training(folder), folder


def assert_same(trained: Trained, undisturbed: Trained) -> None:
    assert differing(trained.model, undisturbed.model) == []
    assert trained.records == undisturbed.records
    assert (trained.best_step, trained.steps, trained.total_steps) == (undisturbed.best_step, 8, 8)


def assert_tidy(folder: Path) -> None:
    assert sorted(os.listdir(folder / "states")) == ["6", "6.json", "8", "8.json"]
    best = {path.name.removesuffix(".json") for path in (folder / "best").iterdir()}
    assert sorted(os.listdir(folder / "best")) == sorted([*best, *(f"{name}.json" for name in best)])


def test_with_and_without_checkpoints_the_training_is_the_same(undisturbed: tuple[Trained, Path]):
    assert differing(short_training(None).model, undisturbed[0].model) == []


def test_a_finished_training_is_not_made_again(undisturbed: tuple[Trained, Path]):
    trained, folder = undisturbed
    told: list[Any] = []
    assert_same(short_training(folder, evaluate=lambda *_: pytest.fail("evaluated again"), report=told.append), trained)
    assert told == trained.records


def crash_at(call: int, function: Callable[..., Any], *, afterwards: bool = False) -> Callable[..., Any]:
    """The function, but that its n-th call, counted from 1, ends in a crash, before it did anything or when it has done all."""
    calls = 0

    def crashing(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not afterwards:
            raise CrashError
        result = function(*arguments, **keywords)
        if calls == call:
            raise CrashError
        return result

    return crashing


# The third checkpoint is the state of a step of which the best model has just been written.
PLACES = [
    (orbax.checkpoint.StandardCheckpointer, "save", 3),
    (orbax.checkpoint.StandardCheckpointer, "wait_until_finished", 3),
    (checkpoints, "sync_tree", 3),
    (checkpoints, "write_atomically", 3),
    (checkpoints, "sync_folder", 3),
    (TrainingCheckpoints, "_remove", 1),
    (shutil, "rmtree", 2),
]


@pytest.mark.parametrize(("owner", "name", "call"), PLACES, ids=[name for _, name, _ in PLACES])
def test_a_crash_at_any_place_of_the_protocol_changes_nothing(
    owner: Any, name: str, call: int, undisturbed: tuple[Trained, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, crash_at(call, getattr(owner, name)))
        with pytest.raises(CrashError):
            short_training(tmp_path)
    assert_same(short_training(tmp_path), undisturbed[0])
    assert_tidy(tmp_path)


@pytest.mark.parametrize("afterwards", [False, True], ids=["best alone", "both"])
def test_a_crash_between_the_checkpoints_of_the_best_and_of_the_state_changes_nothing(
    afterwards: bool, undisturbed: tuple[Trained, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(TrainingCheckpoints, "save", crash_at(3, TrainingCheckpoints.save, afterwards=afterwards))
        with pytest.raises(CrashError):
            short_training(tmp_path)
    assert (tmp_path / "best" / "4.json").exists()
    assert (tmp_path / "states" / "4.json").exists() == afterwards
    assert_same(short_training(tmp_path), undisturbed[0])
    assert_tidy(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_training_killed_at_20_moments_ends_in_the_undisturbed_bits(tmp_path: Path):
    script = Path(__file__).with_name("kill_training.py")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(script.parent), *sys.path])}
    outcome = subprocess.run([sys.executable, script, tmp_path, "20"], capture_output=True, text=True, env=environment)
    assert outcome.returncode == 0, outcome.stderr
    found = json.loads(outcome.stdout)
    assert found["wrong"] == []
    assert found["kills"] == 20
    # The others in the middle of anything else.
    assert found["at_operations"] == 10
