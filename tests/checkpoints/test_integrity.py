"""What is told of a file for which no hash is known; the rest of these checks is seen through `fetch`."""

import io
import zipfile
from pathlib import Path

import pytest

from minibert.checkpoints.integrity import check_new
from minibert.checkpoints.registry import Entry, File, HubSource
from minibert.errors import FetchError


def torch_zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    return stream.getvalue()


def check(folder: Path, content: bytes, stated: dict[str, str] | None = None) -> str:
    """What is said of this content as weights of the old format."""
    (folder / "pytorch_model.bin").write_bytes(content)
    weights = File("pytorch_model.bin", None, None, False)
    entry = Entry("tiny", "made for a test", "MIT", HubSource("example/tiny", None), (weights,), ())
    return check_new(folder, entry, stated or {})[0].text


@pytest.mark.parametrize("content", [torch_zip(), b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."])
def test_both_formats_of_torch_are_taken_for_what_they_are(tmp_path: Path, content: bytes) -> None:
    assert check(tmp_path, content) == "no public hash known"


@pytest.mark.parametrize("content", [torch_zip()[:-30], b"PK\x03\x04", b"hello", b""])
def test_what_is_neither_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FetchError, match=r"pytorch_model\.bin"):
        check(tmp_path, content)


def test_the_hash_that_a_server_states_counts(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="its server states 0000"):
        check(tmp_path, torch_zip(), {"pytorch_model.bin": "0" * 64})
