"""A table written to a file and read again, for the tests of tables and of labels."""

import warnings
from pathlib import Path
from typing import Any

import pytest

from minibert import InputError
from minibert.training.data import Columns, TextExample, read_texts


def read(path: Path, content: str | bytes, columns: Columns | None = None, kind: str = "class") -> list[TextExample]:
    """What is read of a file of this content; a warning is an error."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_texts(path, columns, kind)


def labels(examples: list[TextExample]) -> list[Any]:
    return [example.label for example in examples]


def refusal(path: Path, content: str | bytes, columns: Columns | None = None, kind: str = "class") -> str:
    with pytest.raises(InputError) as problem:
        read(path, content, columns, kind)
    message = str(problem.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))
