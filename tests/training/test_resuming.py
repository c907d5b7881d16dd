"""A training that is interrupted anywhere and goes on ends in the bits of one that was not."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orbax.checkpoint
import pytest
from small_training import OBJECTIVE, BagOfWords, accuracy_on, differing, small_options, small_rows

from minibert.training import checkpoints
from minibert.training.checkpoints import TrainingCheckpoints
from minibert.training.loop import Trained, fit

ROWS = small_rows(16)
MODEL = BagOfWords()


class CrashError(BaseException):
    """What ends a training in these tests where it is; no Exception, which someone might handle."""


def train(folder: Path | None, **arguments: Any) -> Trained:
    """Eight steps: states at each second one, evaluations at the fourth and the last."""
    options = small_options(batch_size=4, checkpoint_every=2, evaluate_every=4, log_every=3, learning_rate=0.05)
    return fit(
        MODEL,
        ROWS,
        OBJECTIVE,
        options,
        **{"evaluate": accuracy_on(ROWS), "best_by": "accuracy", "folder": folder} | arguments,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return train(folder), folder


def assert_same(trained: Trained, undisturbed: Trained) -> None:
    assert differing(trained.model, undisturbed.model) == []
    assert trained.records == undisturbed.records
    assert (trained.best_step, trained.steps, trained.total_steps) == (undisturbed.best_step, 8, 8)


def assert_tidy(folder: Path) -> None:
    assert sorted(os.listdir(folder / "states")) == ["6", "6.json", "8", "8.json"]
    best = {path.name.removesuffix(".json") for path in (folder / "best").iterdir()}
    assert sorted(os.listdir(folder / "best")) == sorted([*best, *(f"{name}.json" for name in best)])


def test_with_and_without_checkpoints_the_training_is_the_same(undisturbed: tuple[Trained, Path]):
    assert differing(train(None).model, undisturbed[0].model) == []


def test_a_finished_training_is_not_made_again(undisturbed: tuple[Trained, Path]):
    trained, folder = undisturbed
    told: list[Any] = []
    assert_same(train(folder, evaluate=lambda *_: pytest.fail("evaluated again"), report=told.append), trained)
    assert told == trained.records


def crash_at(call: int, function: Callable[..., Any], *, afterwards: bool) -> Callable[..., Any]:
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
    (checkpoints, "_bring_to_disk", 3),
    (checkpoints, "write_atomically", 3),
    (checkpoints, "sync_folder", 3),
    (TrainingCheckpoints, "save", 2),
    (TrainingCheckpoints, "save", 3),
    (TrainingCheckpoints, "_remove", 1),
    (shutil, "rmtree", 2),
]


@pytest.mark.parametrize("afterwards", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "name", "call"), PLACES, ids=[f"{name}-{call}" for _, name, call in PLACES])
def test_a_crash_at_any_place_of_the_protocol_changes_nothing(
    owner: Any,
    name: str,
    call: int,
    afterwards: bool,
    undisturbed: tuple[Trained, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, crash_at(call, getattr(owner, name), afterwards=afterwards))
        with pytest.raises(CrashError):
            train(tmp_path)
    assert_same(train(tmp_path), undisturbed[0])
    assert_tidy(tmp_path)
