"""Result files are there whole or not at all, and nothing but a regular file is replaced."""

import os
from pathlib import Path

import pytest

from minibert import InputError
from minibert.atomic_write import write_atomically


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path):
    (tmp_path / "result").write_bytes(b"before")
    with pytest.raises(ZeroDivisionError), write_atomically(tmp_path / "result") as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("result", b"before")]


def test_the_file_behind_a_link_is_replaced_and_not_the_link(tmp_path: Path):
    (tmp_path / "link").symlink_to(tmp_path / "result")
    with write_atomically(tmp_path / "link") as file:
        file.write(b"whole")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "result").read_bytes() == b"whole"


def test_a_pipe_or_a_device_is_not_replaced(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe is no regular file"), write_atomically(tmp_path / "pipe"):
        pass
    assert (tmp_path / "pipe").is_fifo()
