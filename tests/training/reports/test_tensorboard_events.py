"""Events for TensorBoard: read back from the file, record by record, its checksums verified."""

import math
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from minibert import InputError
from minibert.checkpoints.formats.crc import crc32c
from minibert.training.reports import TensorBoardEvents

needs_tensorboard = pytest.mark.skipif(find_spec("tensorboardX") is None, reason="needs the extra 'tensorboard'")
TRAINING = {"step": 10, "epoch": 0.5, "loss": 0.75, "learning_rate": 0.5, "gradient_norm": 2.0}
EVALUATION = {"step": 20, "epoch": 1.0, "evaluation": {"accuracy": 0.5, "a b/ü": 0.25}}


def events_in(folder: Path) -> list[Any]:
    """The events of the one file in a folder: a length, its checksum, as many bytes, their checksum, and so on."""
    from tensorboardX.proto.event_pb2 import Event

    (path,) = folder.iterdir()
    assert path.name.startswith("events.out.tfevents.")
    data, events = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        content = data[12 : 12 + length]
        assert struct.unpack("<I", data[8:12]) == (masked(data[:8]),)
        assert struct.unpack("<I", data[12 + length : 16 + length]) == (masked(content),)
        events.append(Event.FromString(content))
        data = data[16 + length :]
    return events


def masked(data: bytes) -> int:
    checksum = crc32c(data)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def scalars(events: list[Any]) -> list[tuple[int, str, float]]:
    return [(event.step, value.tag, value.simple_value) for event in events for value in event.summary.value]


@needs_tensorboard
def test_records_are_scalars_over_steps_as_soon_as_they_come(tmp_path: Path):
    events = TensorBoardEvents(tmp_path / "new" / "events")
    events(TRAINING)
    expected = [(10, "train/loss", 0.75), (10, "train/learning_rate", 0.5), (10, "train/gradient_norm", 2.0)]
    assert scalars(events_in(tmp_path / "new" / "events")) == expected
    events(EVALUATION)
    events.close()
    expected += [(20, "evaluation/accuracy", 0.5), (20, "evaluation/a b/ü", 0.25)]
    assert scalars(events_in(tmp_path / "new" / "events")) == expected


@needs_tensorboard
def test_a_run_hides_what_earlier_ones_told_of_the_same_folder(tmp_path: Path):
    from tensorboardX.proto.event_pb2 import SessionLog

    with TensorBoardEvents(tmp_path):
        pass
    first, second = events_in(tmp_path)
    assert first.file_version == "brain.Event:2"
    assert second.session_log.status == SessionLog.START and second.step == 0


@needs_tensorboard
def test_numbers_that_are_not_finite_and_odd_names_are_written(tmp_path: Path):
    with TensorBoardEvents(tmp_path) as events:
        events(TRAINING | {"loss": math.nan, "gradient_norm": math.inf})
        events(EVALUATION | {"evaluation": {"\ud800": 1.0, "a\0b": 1e300}})
    (_, _, loss), _, (_, _, norm), *others = scalars(events_in(tmp_path))
    assert math.isnan(loss) and norm == math.inf
    assert others == [(20, "evaluation/\N{REPLACEMENT CHARACTER}", 1.0), (20, "evaluation/a\N{REPLACEMENT CHARACTER}b", math.inf)]


@needs_tensorboard
def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "events", tmp_path / "x\0y"):
        with pytest.raises(InputError, match="events for TensorBoard cannot be written to .*; give another folder"):
            TensorBoardEvents(folder)


def test_a_missing_tensorboardx_is_named_with_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tensorboardX.event_file_writer", None)
    with pytest.raises(InputError, match=r"not installed; run: pip install 'minibert\[tensorboard\]'"):
        TensorBoardEvents(tmp_path / "events")
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_reports_import_neither_tensorboardx_nor_matplotlib():
    code = "import sys, minibert.training.reports; print({'tensorboardX', 'matplotlib', 'torch'} & set(sys.modules))"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "set()"
