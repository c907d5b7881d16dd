"""The file of metrics: a line a record at once, begun anew by a run, read back as it was, and refused by its line."""

import json
import math
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert import InputError
from minibert.training.reports import MetricsFile, read_metrics

TRAINING = {"step": 10, "epoch": 0.5, "loss": 0.75, "learning_rate": 5e-05, "gradient_norm": 2.0}
EVALUATION = {"step": 20, "epoch": 1.0, "evaluation": {"accuracy": 0.5, "macro_f1": 0.25}}


def written(path: Path, *records: dict[str, Any]) -> Path:
    with MetricsFile(path) as report:
        for record in records:
            report(record)
    return path


def test_every_record_is_a_line_as_soon_as_it_comes(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    report = MetricsFile(path)
    report(TRAINING)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [TRAINING]
    report(EVALUATION)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [TRAINING, EVALUATION]
    report.close()


def test_a_run_begins_the_file_anew_with_its_first_record_and_not_earlier(tmp_path: Path):
    path = written(tmp_path / "metrics.jsonl", TRAINING, TRAINING)
    MetricsFile(path).close()
    assert read_metrics(path) == [TRAINING, TRAINING]
    assert read_metrics(written(path, EVALUATION)) == [EVALUATION]


def test_numbers_that_json_has_not_are_null_and_read_as_nan(tmp_path: Path):
    path = written(tmp_path / "metrics.jsonl", TRAINING | {"loss": math.nan}, EVALUATION | {"evaluation": {"f1": math.inf}})
    assert [line.count("null") for line in path.read_text().splitlines()] == [1, 1]
    first, second = read_metrics(path)
    assert math.isnan(first["loss"]) and math.isnan(second["evaluation"]["f1"])


numbers = st.floats(-1e300, 1e300, allow_nan=False)
places = {"step": st.integers(0, 1 << 40), "epoch": numbers}
# Halves of surrogate pairs are no text, and control characters are replaced: neither comes back.
names = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"))
records = st.one_of(
    st.fixed_dictionaries(places | dict.fromkeys(("loss", "learning_rate", "gradient_norm"), numbers)),
    st.fixed_dictionaries(places | {"evaluation": st.dictionaries(names, numbers)}),
)


@given(st.lists(records, max_size=5))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, given_records: list[dict[str, Any]]):
    path = tmp_path_factory.mktemp("metrics") / "metrics.jsonl"
    assert read_metrics(written(path, *given_records)) == given_records


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", r"line 2 is not valid JSON"),
        ('{"step": 1', r"line 2 is not valid JSON"),
        ("[]", r"line 2 is not valid JSON for minibert: expected an object, found list"),
        ('{"step": 1, "step": 2}', r"line 2 is not valid JSON for minibert: the key 'step' is given twice"),
        ('{"epoch": 1.0}', r"line 2: step is None; expected a whole number"),
        ('{"step": true, "epoch": 1.0}', r"line 2: step is True"),
        ('{"step": -1, "epoch": 1.0}', r"line 2: step is -1"),
        ('{"step": 1}', r"line 2 has no epoch"),
        ('{"step": 1, "epoch": 1, "loss": 1}', r"line 2 has no learning_rate; expected a record"),
        ('{"step": 1, "epoch": "one"}', r"line 2: 'epoch' is 'one'; expected a number or null"),
        ('{"step": 1, "epoch": 1, "evaluation": []}', r"line 2: evaluation is \[\]; expected an object"),
        ('{"step": 1, "epoch": 1, "evaluation": {"f1": false}}', r"line 2: 'f1' is False; expected a number"),
        ('{"step": 1, "epoch": 1, "evaluation": {"f1": 1' + "0" * 399 + "}}", r"line 2: 'f1' is 10+…; expected a number"),
        ('{"step": 1, "epoch": 1, "evaluation": {"f1": NaN}}', r"line 2 is not valid JSON for minibert: the value NaN"),
        ("\udcff", r"line 2 is not valid JSON for minibert: byte 0 is not UTF-8"),
    ],
)
def test_what_is_no_record_is_refused_by_its_line(line: str, message: str, tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f"{json.dumps(TRAINING)}\n{line}\n{json.dumps(TRAINING)}\n", errors="surrogateescape")
    with pytest.raises(InputError, match=rf"metrics\.jsonl, {message}"):
        read_metrics(path)


def test_an_empty_file_has_no_records(tmp_path: Path):
    (tmp_path / "metrics.jsonl").touch()
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_what_is_no_file_is_neither_read_nor_written(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for path, said in ((tmp_path / "absent", "does not exist"), (tmp_path, "regular file"), (tmp_path / "pipe", "regular file")):
        with pytest.raises(InputError, match=said):
            read_metrics(path)
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(InputError, match="is no regular file; give the name of a file"):
            MetricsFile(path)
    for path in (tmp_path / "absent" / "metrics.jsonl", tmp_path / "x\0y"):
        with pytest.raises(InputError, match="cannot be written: .*; give another file"):
            MetricsFile(path)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_a_disk_that_is_full_is_an_error(tmp_path: Path):
    report = MetricsFile(tmp_path / "metrics.jsonl")
    report._file.close()
    report._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
    report._is_begun = True
    with pytest.raises(
        InputError, match="cannot be written: No space left on device; give another file for the metrics, or make"
    ):
        report(TRAINING)
    report.close()
