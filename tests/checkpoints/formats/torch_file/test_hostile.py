import os
from pathlib import Path

import pytest
from crafted_torch_files import MAGIC, entries_of, streamed, zipped
from hostile_containers import ENTRIES, HOSTILE_STREAMS, HOSTILE_ZIPS, OTHER_FILES, STREAM_GOOD, VALUES
from hostile_pickles import CUT_PICKLES, FLOODS, PICKLES
from limited_child import needs_linux, outcomes
from record_torch_files import FOLDER

from minibert.checkpoints.formats import opening
from minibert.checkpoints.formats.torch_file import open_torch_file
from minibert.errors import CheckpointError


def in_a_zip(pickle: bytes) -> bytes:
    return zipped(entries_of(pickle, {"0": VALUES}))


def in_a_stream(pickle: bytes) -> bytes:
    # References to storages have one part more there.
    return streamed(pickle.replace(b"tQ", b"NtQ"), {"0": (4, VALUES)})


HOSTILE = (
    {f"zip: {case}": found for case, found in HOSTILE_ZIPS.items()}
    | {f"stream: {case}": found for case, found in HOSTILE_STREAMS.items()}
    | {f"file: {case}": found for case, found in OTHER_FILES.items()}
    | {f"in a zip: {case}": (in_a_zip(pickle), message) for case, (pickle, message) in (PICKLES | CUT_PICKLES).items()}
    | {f"in a stream: {case}": (in_a_stream(pickle), message) for case, (pickle, message) in PICKLES.items()}
)

SAVED_FROM_SOMETHING_ELSE = {
    "torchscript": "TorchScript archive",
    "module": "'torch.nn.modules.linear.Linear'",
    "nested": "its keys are 'epoch', 'state_dict'",
    "tensor": "holds a tensor; expected a dict",
    "note": "its key 'note' holds a text",
    "protocol": "not of protocol 2",
    "uint16": "'torch._utils._rebuild_tensor_v3'",
    "sparse": "'torch._utils._rebuild_sparse_tensor'",
    "complex": "'torch.ComplexFloatStorage'",
    "negative": "lazy conjugate or negative",
}


def test_the_files_that_the_hostile_ones_are_made_from_are_sound(tmp_path: Path):
    (tmp_path / "zip").write_bytes(zipped(ENTRIES))
    (tmp_path / "stream").write_bytes(streamed(STREAM_GOOD, {"0": (4, VALUES)}))
    for name in ("zip", "stream"):
        assert open_torch_file(tmp_path / name)["a"].read().tobytes() == VALUES


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_an_error_that_names_it_and_what_is_wrong(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    data, message = HOSTILE[case]
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message) as problem:
        open_torch_file(path)
    assert str(path) in str(problem.value)
    assert len(str(problem.value)) < 2_000
    assert os.listdir(tmp_path) == ["pytorch_model.bin"]


@pytest.mark.parametrize("kind", SAVED_FROM_SOMETHING_ELSE)
def test_what_torch_saved_from_something_else_is_refused_by_name(kind: str):
    with pytest.raises(CheckpointError, match=SAVED_FROM_SOMETHING_ELSE[kind]):
        open_torch_file(FOLDER / f"other_{kind}.bin")


def test_a_file_beyond_the_budget_is_refused_before_it_is_read(tmp_path: Path):
    (tmp_path / "sparse").write_bytes(zipped(ENTRIES))
    os.truncate(tmp_path / "sparse", opening.MAX_FILE_BYTES + 1)
    with pytest.raises(CheckpointError, match="at most"):
        open_torch_file(tmp_path / "sparse")


OPEN_TORCH_FILE = "from minibert.checkpoints.formats.torch_file import open_torch_file as open_file"


@needs_linux
def test_hostile_files_take_less_than_200_mb_and_a_second(tmp_path: Path):
    for index, (data, _) in enumerate(HOSTILE.values()):
        (tmp_path / f"hostile-{index}").write_bytes(data)
    sparse = {
        "zeros": b"",
        "a-zip-without-end": zipped(ENTRIES),
        "a-stream-with-bytes-behind-it": streamed(STREAM_GOOD, {"0": (4, VALUES)}),
        "a-magic-number": MAGIC,
    }
    for size in (1 << 36, 1 << 40):
        for name, data in sparse.items():
            (tmp_path / f"{name}-{size}").write_bytes(data)
            os.truncate(tmp_path / f"{name}-{size}", size)
    for index, pickle in enumerate(FLOODS.values()):
        (tmp_path / f"flood-{index}-zip").write_bytes(in_a_zip(pickle))
        (tmp_path / f"flood-{index}-stream").write_bytes(in_a_stream(pickle))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link-to-nothing").symlink_to("nothing")
    (tmp_path / "link-to-zeros").symlink_to("/dev/zero")
    names = [*(str(path) for path in sorted(tmp_path.iterdir())), f"{tmp_path}/missing", "/dev/zero"]
    assert outcomes(names, opener=OPEN_TORCH_FILE) == dict.fromkeys(names, "refused")
