"""`minibert doctor`: what it prints and writes, and its exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tiny_checkpoint import tiny_checkpoint

from minibert import CheckpointError
from minibert.cli.main import main
from minibert.strict_json import parse_json_object

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz.,!?:;"]


pytestmark = pytest.mark.usefixtures("no_compilation_cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "tiny", VOCABULARY)


def test_a_healthy_checkpoint_has_its_verdict_on_top_and_status_0(folder: Path, capsys):
    assert main(["doctor", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{folder}: healthy"
    for subject in ("sha256", "activation", "dtypes", "special tokens", "contradictions", "spread", "intermediates", "batch"):
        assert subject in "\n".join(lines)


def test_a_checkpoint_with_warnings_has_status_0(folder: Path, capsys):
    (folder / "vocab.txt").unlink()
    assert main(["doctor", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{folder}: usable, with care: ")
    assert "→ Copy the vocabulary" in shown


def test_a_sick_checkpoint_has_status_1_and_the_reason_on_top(folder: Path, capsys):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert main(["doctor", str(folder)]) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith(f"{folder}: sick: model.safetensors is a pointer of Git LFS, not the weights")


def test_an_empty_folder_is_sick_and_no_error(tmp_path: Path, capsys):
    assert main(["doctor", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "holds no files" in captured.out
    assert captured.err == ""


@pytest.mark.parametrize("name", ["minilm-l7", "./absent", "bert-large-cased"])
def test_no_such_folder_or_name_is_one_sentence_and_status_2(name: str, capsys):
    assert main(["doctor", name]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert name in captured.err
    assert captured.err.count("\n") == 1


def test_a_file_is_one_sentence_and_status_2(folder: Path, capsys):
    assert main(["doctor", str(folder / "model.safetensors")]) == 2
    assert "is a file; expected the folder that holds it" in capsys.readouterr().err


def test_the_page_and_the_json_are_written(folder: Path, tmp_path: Path, capsys):
    page, data = tmp_path / "report.htm", tmp_path / "report.json"
    assert main(["doctor", str(folder), "--html", str(page), "--json", str(data)]) == 0
    shown = capsys.readouterr().out
    assert f"wrote {page}" in shown
    assert f"wrote {data}" in shown
    root = ElementTree.fromstring(page.read_text())
    assert "healthy" in [paragraph.text for paragraph in root.iter("p")]
    assert "Max abs error of every intermediate, on a log scale" in [title.text for title in root.iter("h2")]
    assert parse_json_object(data.read_bytes(), "the report", error=CheckpointError)["verdict"] == "healthy"


def test_a_report_of_a_sick_folder_is_written_too(tmp_path: Path, capsys):
    (tmp_path / "sick").mkdir()
    data = tmp_path / "report.json"
    assert main(["doctor", str(tmp_path / "sick"), "--json", str(data)]) == 1
    assert json.loads(data.read_text())["state"] == "sick"


@pytest.mark.parametrize("option", ["--html", "--json"])
def test_a_report_that_cannot_be_written_is_said_before_the_work(folder: Path, option: str, capsys):
    assert main(["doctor", str(folder), option, str(folder / "absent" / "report")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "absent/report cannot be written: its folder does not exist" in captured.err


def test_it_needs_no_torch_and_no_transformers(folder: Path):
    program = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None; "
        f"from minibert.cli.main import main; sys.exit(main(['doctor', {str(folder)!r}]))"
    )
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": ""}
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.startswith(f"{folder}: healthy")


def test_files_that_cannot_be_written_are_refused_before_the_examination(folder: Path, tmp_path: Path, capsys):
    page = str(tmp_path / "page")
    assert main(["doctor", str(folder), "--html", page, "--json", page]) == 2
    assert main(["doctor", str(folder), "--html", str(tmp_path)]) == 2
    assert main(["doctor", str(folder), "--json", os.devnull]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [error.partition(";")[0] for error in errors] == [
        f"minibert: --html and --json both name {page}",
        f"minibert: {tmp_path} is no regular file",
        f"minibert: {os.devnull} is no regular file",
    ]
