"""Texts that come as a list or through standard input."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from minibert.errors import InputError
from minibert.features.corpus.sources.lines import numbered_lines, text_of, without_end


class TextList:
    """The texts of a list. Raises InputError for one that is no string or has no UTF-8."""

    name = "the texts given"

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = list(texts)
        for number, text in enumerate(self._texts, start=1):
            if not isinstance(text, str):
                raise InputError(f"text {number:,} is of the type {type(text).__name__}; expected a string")
            try:
                text.encode("utf-8")
            except UnicodeEncodeError:
                raise InputError(
                    f"text {number:,} is not UTF-8: it holds half of a surrogate pair; give whole characters"
                ) from None
        self._number = 0

    def fingerprint(self) -> Mapping[str, Any]:
        """How many they are, and the sha256 of their lengths and bytes."""
        digest = hashlib.sha256()
        for text in self._texts:
            data = text.encode("utf-8")
            digest.update(len(data).to_bytes(8, "little") + data)
        return {"kind": "list", "texts": len(self._texts), "sha256": digest.hexdigest()}

    def texts(self, start: Mapping[str, Any] | None = None) -> Iterator[str]:
        """The texts behind `start`; InputError where there are none at all."""
        if not self._texts:
            raise InputError("there are no texts; give at least one")
        first = 0 if start is None else start["text"]
        for number, text in enumerate(self._texts[first:], start=first + 1):
            self._number = number
            yield text

    def position(self) -> Mapping[str, Any]:
        """How many came."""
        return {"text": self._number}

    def done(self) -> tuple[int, int | None]:
        """In texts."""
        return self._number, len(self._texts)

    def check_unchanged(self) -> None:
        """It cannot have changed."""


@runtime_checkable
class Bytes(Protocol):
    """What is read of a stream: as files open for reading bytes have it."""

    def read(self, size: int, /) -> bytes:
        """So many bytes at most; none at the end."""
        ...

    def readline(self, size: int, /) -> bytes:
        """A line, or so many bytes of it at most."""
        ...


class Stream:
    """The lines of a stream that can be read once, such as standard input.

    To go on behind a place, the same bytes must come again up to it: they are read, compared by their sha256, and left out.
    """

    def __init__(self, stream: Bytes, name: str = "standard input") -> None:
        self.name = name
        self._stream = stream
        self._digest = hashlib.sha256()
        self._place, self._line = 0, 1

    def fingerprint(self) -> Mapping[str, Any]:
        """Nothing but the kind: what will come is not known yet, and `position` has the sha256 of what came."""
        return {"kind": "stream"}

    def texts(self, start: Mapping[str, Any] | None = None) -> Iterator[str]:
        """The texts behind `start`. Raises InputError for what is no UTF-8, nothing at all, or another beginning than before."""
        try:
            if start is not None:
                self._skip(start)
            for line in numbered_lines(self._stream.readline, self.name, self._place, self._line):
                self._digest.update(line.data)
                self._place, self._line = line.place + len(line.data), line.number + 1
                yield without_end(text_of(line, self.name))
        except OSError as problem:
            raise InputError(f"{self.name} cannot be read: {problem.strerror or problem}") from None
        if self._place == 0:
            raise InputError(f"{self.name} is empty; expected a text a line")

    def position(self) -> Mapping[str, Any]:
        """The byte, the line, and the sha256 of all bytes before."""
        return {"byte": self._place, "line": self._line, "sha256": self._digest.hexdigest()}

    def done(self) -> tuple[int, int | None]:
        """In bytes, of a number that is not known."""
        return self._place, None

    def check_unchanged(self) -> None:
        """What was read is read."""

    def _skip(self, start: Mapping[str, Any]) -> None:
        while self._place < start["byte"]:
            data = self._stream.read(min(1 << 20, start["byte"] - self._place))
            if not data:
                break
            self._digest.update(data)
            self._place += len(data)
        self._line = start["line"]
        if self._digest.hexdigest() != start["sha256"]:
            raise InputError(
                f"{self.name} does not begin as it did before: the first {start['byte']:,} bytes differ; give the same input, or "
                "start anew with --restart"
            )
