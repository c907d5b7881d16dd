"""Checkpoints of a training that are damaged, lost or cannot be written: what serves in their place, and what is told."""

import contextlib
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_training import OBJECTIVE, BagOfWords, differing, short_training, small_options, small_rows

from minibert.errors import CheckpointError
from minibert.training import checkpoints
from minibert.training.checkpoints import DamagedCheckpointWarning, TrainingCheckpoints
from minibert.training.loop import Trained, fit

pytestmark = pytest.mark.long


class StopError(Exception):
    """What ends a training in these tests where it is."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return short_training(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that ended behind its sixth step of eight: states 4 and 6, the best of 4."""
    folder = tmp_path_factory.mktemp("stopped")

    def stop(record: dict[str, Any]) -> None:
        if record["step"] == 8:
            raise StopError

    with pytest.raises(StopError):
        short_training(folder, report=stop)
    assert sorted(os.listdir(folder / "states")) == ["4", "4.json", "6", "6.json"]
    assert sorted(os.listdir(folder / "best")) == ["4", "4.json"]
    return folder


@pytest.fixture
def folder(stopped: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(stopped, tmp_path / "training"))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


DAMAGES: list[Callable[[Path], Any]] = [truncate, flip, grow, Path.unlink]


def files_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def steps_restored(states: Path) -> tuple[int, list[str]]:
    """From how many steps a training would go on, and the warnings."""
    like = {"step": np.zeros(())}
    with warnings.catch_warnings(record=True) as caught, pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("always")
        patch.setattr(checkpoints, "_read", lambda folder, like: folder.name)
        found = TrainingCheckpoints(states).restore(like)
    assert found is not None
    return int(found.arrays), [str(one.message) for one in caught if issubclass(one.category, DamagedCheckpointWarning)]


def test_whatever_file_of_the_newest_is_damaged_the_one_before_serves_and_the_file_is_named(folder: Path):
    states = folder / "states"
    files = files_of(states / "6")
    # Of tensors, their tables and orbax's own notes.
    assert len(files) > 5
    for path in files:
        content = path.read_bytes()
        for damage in DAMAGES:
            if damage in (truncate, flip) and not content:
                continue
            damage(path)
            step, told = steps_restored(states)
            assert step == 4
            assert len(told) == 1
            assert str(path.relative_to(states / "6")) in told[0] and "going on from the checkpoint before it" in told[0]
            path.write_bytes(content)
    assert steps_restored(states) == (6, [])


def test_any_byte_of_the_record_that_is_flipped_is_noticed_unless_it_says_the_same(folder: Path):
    states = folder / "states"
    record = states / "6.json"
    whole = record.read_bytes()
    damaged = [whole[:length] for length in range(0, len(whole), 97)]
    damaged += [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(0, len(whole), 11)]
    for content in damaged:
        with contextlib.suppress(ValueError):
            # Another space between two values, or a digit that no number shows.
            if json.loads(content) == json.loads(whole):
                continue
        record.write_bytes(content)
        step, told = steps_restored(states)
        assert (step, len(told)) == (4, 1), content
        assert "6.json" in told[0]


def test_what_does_not_belong_to_a_checkpoint_is_noticed(folder: Path):
    stranger = folder / "states" / "6" / "stranger"
    for make in (stranger.touch, lambda: stranger.symlink_to("nowhere"), lambda: os.mkfifo(stranger)):
        make()
        step, told = steps_restored(folder / "states")
        assert step == 4 and "'stranger' does not belong there" in told[0]
        stranger.unlink()


def damage_none(folder: Path) -> None:
    pass


def damage_newest(folder: Path) -> None:
    flip(max(files_of(folder / "states" / "6"), key=lambda path: path.stat().st_size))


def remove_newest(folder: Path) -> None:
    shutil.rmtree(folder / "states" / "6")


def damage_record(folder: Path) -> None:
    truncate(folder / "states" / "6.json")


def leave_unfinished(folder: Path) -> None:
    shutil.copytree(folder / "states" / "6", folder / "states" / "8")
    shutil.copytree(folder / "states" / "6", folder / "states" / "8.orbax-checkpoint-tmp")
    (folder / "states" / ".8.json.x").write_text("{")
    shutil.copytree(folder / "best" / "4", folder / "best" / "8")
    (folder / "best" / "link").symlink_to(folder / "states" / "6")


@pytest.mark.parametrize("damage", [damage_none, damage_newest, remove_newest, damage_record, leave_unfinished])
def test_after_damage_the_training_ends_in_the_same_bits_and_nothing_is_left_over(
    damage: Callable[[Path], None], folder: Path, undisturbed: Trained
):
    damage(folder)
    is_damaged = damage not in (damage_none, leave_unfinished)
    with pytest.warns(DamagedCheckpointWarning, match="6") if is_damaged else contextlib.nullcontext():
        trained = short_training(folder)
    assert differing(trained.model, undisturbed.model) == []
    assert trained.records == undisturbed.records
    assert sorted(os.listdir(folder / "states")) == ["6", "6.json", "8", "8.json"]
    assert {name.removesuffix(".json") for name in os.listdir(folder / "best")} <= {"4", "8"}


def test_where_all_are_damaged_nothing_is_trained(folder: Path):
    for step in (4, 6):
        flip(folder / "states" / str(step) / "manifest.ocdbt")
    with (
        pytest.warns(DamagedCheckpointWarning),
        pytest.raises(CheckpointError, match=r"states holds no checkpoint that is whole; start anew with --restart"),
    ):
        short_training(folder)


@pytest.mark.parametrize("damage", [shutil.rmtree, lambda folder: flip(folder / "manifest.ocdbt")], ids=["missing", "damaged"])
def test_a_best_checkpoint_that_is_not_whole_is_told_before_anything_is_trained(damage: Callable[[Path], Any], folder: Path):
    damage(folder / "best" / "4")
    sentence = r"the checkpoint of step 4 in .*best is needed and not whole: .*; bring it back, or start anew with --restart"
    with pytest.raises(CheckpointError, match=sentence):
        short_training(folder, report=lambda record: pytest.fail("went on"))


def test_a_best_checkpoint_without_its_record_is_told_as_well(folder: Path):
    (folder / "best" / "4.json").unlink()
    with pytest.raises(CheckpointError, match=r"4\.json does not exist; bring it back"):
        short_training(folder)


def test_checkpoints_of_another_model_are_refused_in_one_sentence(folder: Path):
    class Wider(BagOfWords):
        def __init__(self) -> None:
            super().__init__()
            self.word = nnx.Param(jnp.ones((41, 8)))

    rows = small_rows(16)
    with (
        pytest.warns(DamagedCheckpointWarning, match=r"the checkpoint .*6 cannot be read"),
        pytest.raises(CheckpointError, match="no checkpoint that is whole"),
    ):
        fit(Wider(), rows, OBJECTIVE, small_options(batch_size=4), folder=folder)


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path):
    (tmp_path / "states").touch()
    with pytest.raises(CheckpointError, match=r"states cannot be read: Not a directory; expected a folder"):
        short_training(tmp_path)


def failing(function: Callable[..., Any], call: int, problem: OSError) -> Callable[..., Any]:
    """The function, but that its n-th call, counted from 1, fails."""
    calls = 0

    def once(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise problem
        return function(*arguments, **keywords)

    return once


@pytest.mark.parametrize(
    ("owner", "name", "call"), [(os, "fsync", 1), (os, "fsync", 20), (Path, "replace", 1), (Path, "replace", 2)]
)
def test_a_write_that_fails_once_is_told_and_leaves_the_checkpoints_before_it(
    owner: Any, name: str, call: int, folder: Path, undisturbed: Trained, monkeypatch: pytest.MonkeyPatch
):
    before = {path: path.read_bytes() for path in files_of(folder)}
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing(getattr(owner, name), call, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
        with pytest.raises(CheckpointError, match=r"8(\.json)? cannot be written: No space left on device"):
            short_training(folder)
    kept = {path: path.read_bytes() for path in files_of(folder) if "8" not in path.relative_to(folder).parts[1]}
    assert kept == before
    trained = short_training(folder)
    assert differing(trained.model, undisturbed.model) == []
    assert trained.records == undisturbed.records


FULL_DISK = """
import resource, sys
from pathlib import Path
from small_training import short_training
from minibert.errors import CheckpointError

def fill(record):
    if record["step"] == int(sys.argv[2]):
        # No file may have more bytes: writes become short, and then fail.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))

try:
    short_training(Path(sys.argv[1]), report=fill)
except CheckpointError as problem:
    print(problem)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs RLIMIT_FSIZE")
@pytest.mark.parametrize(
    ("step", "then", "left"),
    [
        (6, "the checkpoints before it are whole: make room, then go on with --resume", ["2", "2.json", "4", "4.json"]),
        (2, "there is no checkpoint before it: make room, then begin again", []),
    ],
)
def test_a_full_disk_is_told_in_one_sentence_and_leaves_the_checkpoints_before_it(
    step: int, then: str, left: list[str], undisturbed: Trained, tmp_path: Path
):
    # JAX would otherwise want to write what it compiles.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    child = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path, str(step)],
        env=environment | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr
    assert "Traceback" not in child.stderr and "ERROR" not in child.stderr, child.stderr
    assert re.fullmatch(rf".*/{step} cannot be written: .*File too large.*; {then}\n", child.stdout), child.stdout
    # The next run removes what orbax' threads wrote while the process came to its end.
    assert sorted(name for name in os.listdir(tmp_path / "states") if "orbax" not in name) == left
    trained = short_training(tmp_path)
    assert not [name for name in os.listdir(tmp_path / "states") if "orbax" in name]
    assert differing(trained.model, undisturbed.model) == []
    assert trained.records == undisturbed.records
