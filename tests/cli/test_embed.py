import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoint import TINY, VOCABULARY, WORDS, tiny_checkpoint

from minibert import Features
from minibert.cli.main import main
from minibert.features.corpus import ChunkSize, read_receipt
from minibert.features.corpus.options import CHUNK_SIZES

pytestmark = pytest.mark.usefixtures("no_compilation_cache")

SMALL = ChunkSize(16, 1 << 20)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The tiny model with a recipe of its own, that cuts texts at 16 tokens."""
    folder = tiny_checkpoint(tmp_path / "model", VOCABULARY)
    steps = [{"type": "sentence_transformers.models.Transformer", "path": ""}]
    steps.append({"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"})
    (folder / "modules.json").write_text(json.dumps(steps))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 16}')
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    return folder


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """100 lines, one of them longer than the model's limit."""
    random = np.random.default_rng(0)
    lines = [" ".join(random.choice(WORDS, random.integers(0, 15))) for _ in range(99)]
    path = tmp_path / "texts.txt"
    path.write_text("\n".join([*lines, "the bank " * 20]) + "\n")
    return path


@pytest.fixture
def embed(checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    """The command with the tiny model, in chunks of 16 texts."""
    monkeypatch.setitem(CHUNK_SIZES, "sentences", SMALL)
    return lambda *arguments: main(["embed", "--model", str(checkpoint), *map(str, arguments)])


@pytest.fixture
def refused(embed, capsys):
    """What the command says in its one sentence of refusal."""

    def run(*arguments: object) -> str:
        assert embed(*arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("minibert: ") and error.count("\n") == 1
        return error

    return run


@pytest.mark.parametrize("suffix", ["npy", "npz", "jsonl"])
def test_a_file_of_texts_becomes_vectors_with_a_receipt(suffix, embed, texts, checkpoint, tmp_path, capsys):
    output = tmp_path / f"vectors.{suffix}"
    assert embed("--file", texts, "--output", output) == 0
    printed = capsys.readouterr()
    assert f"wrote 100 vectors of 24 dimensions to {output} (100 texts; " in printed.out
    assert "warning: 1 of 100 texts were cut at 16 tokens" in printed.err
    lines = texts.read_text().splitlines()
    features = Features(checkpoint)
    expected = np.concatenate([np.asarray(features.sentences(lines[start : start + 16])) for start in range(0, 100, 16)])
    if suffix == "jsonl":
        found = np.array([json.loads(line)["vector"] for line in output.read_text().splitlines()], np.float32)
    else:
        found = np.load(output) if suffix == "npy" else np.load(output)["vectors"]
    assert np.array_equal(found, expected)
    receipt = read_receipt(output)
    assert receipt["weights_sha256"] == hashlib.sha256((TINY / "model.safetensors").read_bytes()).hexdigest()
    assert receipt["counts"] == {"texts": 100, "rows": 100, "width": 24, "truncated": 1}


@pytest.mark.long
def test_a_command_that_was_killed_goes_on_where_it_was(embed, texts, checkpoint, tmp_path, capsys):
    output, undisturbed = tmp_path / "vectors.npz", tmp_path / "undisturbed.npz"
    code = "import sys, minibert.features.corpus.job as job; from minibert.features.corpus import ChunkSize\n"
    code += "from minibert.cli.main import main; job.CHUNK_SIZES['sentences'] = ChunkSize(16, 1 << 20); main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "embed", "--model", str(checkpoint), "--file", str(texts), "--output", str(output)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    while process.poll() is None and not (tmp_path / ".vectors.npz.partial" / "progress.json").exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert embed("--file", texts, "--output", output) == 0
    assert embed("--file", texts, "--output", undisturbed) == 0
    assert output.read_bytes() == undisturbed.read_bytes()


def test_what_is_refused_is_refused_in_one_sentence(refused, texts, tmp_path):
    objects = tmp_path / "texts.jsonl"
    objects.write_text('{"text": "the bank"}\n' * 3 + '{"text": 5}\n')
    output = tmp_path / "vectors.npy"
    for arguments, said in (
        (("--file", objects), "the field 'text' in line 4 of"),
        (("--file", objects, "--field", "body"), "has no field 'body'; its fields are 'text'"),
        (("--file", TINY / "model.safetensors"), "holds a NUL at byte"),
        (("--file", tmp_path), "is a folder"),
        (("the bank", "--field", "text"), "--field belongs to files"),
        (("the bank", "--dim", "0"), "dim is 0; expected a whole number from 1 upwards"),
        (("the bank", "--level", "words", "--pool", "cls"), "pooling and normalize belong to sentences"),
        (("the bank", "--level", "words"), "expected one of .npz, .jsonl, .parquet"),
        (("the bank", "--device", "quantum"), "--device quantum cannot be used"),
        (("\udcff",), "text 1 is not UTF-8"),
    ):
        assert said in refused(*arguments, "--output", output)
    assert "--restart needs a file to write to" in refused("the bank", "--restart")
    assert "--level words needs a file to write to" in refused("the bank", "--level", "words")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "texts.jsonl", "texts.txt"]


def test_what_was_begun_with_another_model_is_refused_until_it_may_be_forgotten(
    embed, refused, texts, tmp_path, monkeypatch, capsys
):
    output = tmp_path / "vectors.npy"
    broken = tmp_path / "texts.jsonl"
    broken.write_text('{"text": "the bank"}\n' * 40 + '{"text": "the bank}\n')
    assert "line 41 of" in refused("--file", broken, "--output", output)
    assert not output.exists()
    broken.write_text('{"text": "the bank"}\n' * 41)
    assert "input.files[0].bytes was" in refused("--file", broken, "--output", output)
    assert embed("--file", broken, "--output", output, "--restart", "--quiet") == 0
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""
    assert np.load(output).shape == (41, 24)


def test_similarity_is_shown_for_a_few_texts_only(embed, texts, tmp_path, capsys):
    assert embed("the bank", "a river", "--output", tmp_path / "vectors.npy") == 0
    assert "cosine" in capsys.readouterr().out
    assert embed("--file", texts, "--output", tmp_path / "vectors.npy") == 0
    assert "cosine" not in capsys.readouterr().out


def test_the_input_is_no_output(refused, tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "a river"}\n')
    assert "is the file that is read; give another name" in refused("--file", path, "--output", path)
    assert path.read_text() == '{"text": "a river"}\n'


def test_a_long_text_of_a_file_is_named_by_its_number_and_what_is_kept_is_said(refused, tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("a river\n" * 40 + "the bank " * 20 + "\n")
    error = refused("--file", path, "--on-long", "error", "--output", tmp_path / "vectors.npy")
    assert "text 41 has more than 16 tokens" in error and "--on-long truncate" in error
    assert "32 texts before it are done and kept for this very input" in error and "--restart" in error


@pytest.mark.long
def test_workers_ignore_simulated_devices(checkpoint, texts, tmp_path):
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "minibert.cli.main", "embed", "--model", str(checkpoint), "--file", str(texts)]
    command += ["--output", str(tmp_path / "vectors.npy"), "--workers", "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "vectors.npy").shape == (100, 24)


def test_the_number_of_workers_is_a_number_or_cores(capsys):
    for text in ("-1", "many"):
        with pytest.raises(SystemExit):
            main(["embed", "a", "--workers", text])
        assert "is no number of processes; expected 0 for none" in capsys.readouterr().err


def test_an_empty_output_is_refused_and_not_left_out(refused):
    assert "expected one of .npy" in refused("a", "--output", "")
