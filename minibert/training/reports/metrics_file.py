"""A training's records as lines of JSON: for `tail -f` while it runs, for charts and for other programs when it is done."""

import json
import math
from pathlib import Path
from typing import IO, Any

from minibert.errors import InputError, shown
from minibert.printable import printable_json
from minibert.strict_json import parse_json_object, read_regular_file
from minibert.training.loop import Record

MOST_BYTES = 64 << 20
"""Of a file that is read: some 400,000 lines, and at ten steps a line four million steps."""
OF_TRAINING = ("loss", "learning_rate", "gradient_norm")


class MetricsFile:
    """A file to which each record is appended as a line as soon as it comes: what `fit` calls as its `report`.

    What the file held before goes with the first record and not earlier, so that a run which cannot begin destroys nothing; a
    run that goes on reports the records of the earlier one first, and so they are in the file again.

    Args:
        path: a regular file, or none yet, in a folder that exists.

    Raises InputError, as does every call, where the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and not path.is_file():
            # A pipe would wait for a reader for ever.
            raise InputError(f"{path} is no regular file; give the name of a file to write metrics to")
        try:
            # Unbuffered: whoever reads along sees whole lines.
            self._file: IO[bytes] = open(path, "ab", buffering=0)  # noqa: SIM115
        except (OSError, ValueError) as problem:
            raise self._refusal(problem) from None
        self._is_begun = False

    def __call__(self, record: Record) -> None:
        """Append a record; NaN and infinity, which JSON has not, as null."""
        # On one line; a line's end within a name is written as \n.
        line = json.dumps(json.loads(printable_json(record)), ensure_ascii=False) + "\n"
        try:
            if not self._is_begun:
                self._file.truncate(0)
                self._is_begun = True
            self._file.write(line.encode())
        except OSError as problem:
            raise self._refusal(problem) from None

    def close(self) -> None:
        """Nothing can be appended any more."""
        self._file.close()

    def __enter__(self) -> "MetricsFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _refusal(self, problem: OSError | ValueError) -> InputError:
        reason = getattr(problem, "strerror", None) or problem
        return InputError(f"{self.path} cannot be written: {reason}; give another file for the metrics, or make room")


def read_metrics(path: Path) -> list[Record]:
    """The records of a file that MetricsFile wrote, in its order; a null is NaN again.

    Raises InputError, with the line, for what is no record, and for a file that is missing, no regular file or over 64 MB.
    """
    data = read_regular_file(path, error=InputError, max_bytes=MOST_BYTES)
    lines = data.removesuffix(b"\n").split(b"\n") if data else []
    return [_record(line, f"{path}, line {number:,}") for number, line in enumerate(lines, start=1)]


def _record(line: bytes, where: str) -> Record:
    record = parse_json_object(line, where, error=InputError)
    step = record.get("step")
    if type(step) is not int or step < 0:
        raise InputError(f"{where}: step is {shown(step)}; expected a whole number, as in a file of metrics that minibert wrote")
    record["epoch"] = _number(record, "epoch", where)
    if "evaluation" in record:
        metrics = record["evaluation"]
        if not isinstance(metrics, dict):
            raise InputError(f"{where}: evaluation is {shown(metrics)}; expected an object of metrics by their names")
        return record | {"evaluation": {name: _number(metrics, name, where) for name in metrics}}
    return record | {name: _number(record, name, where) for name in OF_TRAINING}


def _number(values: dict[str, Any], name: str, where: str) -> float:
    if name not in values:
        raise InputError(f"{where} has no {name}; expected a record of a training or of an evaluation, as minibert writes them")
    value = values[name]
    if value is None:
        return math.nan
    if type(value) not in (int, float) or abs(value) > 1e300:
        raise InputError(f"{where}: {shown(name)} is {shown(value)}; expected a number or null")
    return float(value)
