import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from minibert.checkpoints.tensors import open_checkpoint
from minibert.cli.main import main

GOLDENS = Path(__file__).parent.parent / "goldens"

FILMS_AND_CARS = (
    "That movie was absolutely fantastic.",
    "This film is creative and surprising.",
    "Ford is an American multinational automaker.",
)


@pytest.fixture(autouse=True)
def no_compilation_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    # The commands switch it on for the whole process; here the other tests must not find it on.
    monkeypatch.setattr("minibert.cli.main.keep_compiled_programs", lambda: None)


def standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_embed_shows_how_similar_texts_are(minilm_folder, capsys):
    assert main(["embed", *FILMS_AND_CARS]) == 0
    assert "cosine" in capsys.readouterr().out


def test_embed_writes_npy_npz_and_jsonl_with_the_same_vectors(minilm_folder, tmp_path, capsys):
    for suffix in ("npy", "npz", "jsonl"):
        assert main(["embed", *FILMS_AND_CARS, "--output", str(tmp_path / f"vectors.{suffix}")]) == 0
        assert "cosine" in capsys.readouterr().out
    vectors = np.load(tmp_path / "vectors.npy")
    archive = np.load(tmp_path / "vectors.npz")
    rows = [json.loads(line) for line in (tmp_path / "vectors.jsonl").read_text().splitlines()]
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    assert np.array_equal(archive["vectors"], vectors)
    assert archive["texts"].tolist() == list(FILMS_AND_CARS)
    assert np.array_equal(np.array([row["vector"] for row in rows], np.float32), vectors)
    assert [row["text"] for row in rows] == list(FILMS_AND_CARS)


def test_embed_reads_a_text_a_line_from_standard_input(minilm_folder, tmp_path, monkeypatch):
    standard_input(monkeypatch, "first\r\nzweite Zeile é\n\nlast".encode())
    assert main(["embed", "-", "--output", str(tmp_path / "vectors.jsonl")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "vectors.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == ["first", "zweite Zeile é", "", "last"]


def test_embed_warns_of_texts_that_were_cut(minilm_folder, capsys):
    assert main(["embed", "word " * 300, "short"]) == 0
    assert "1 of 2 texts were cut at 256 tokens" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "message"), [(b"", "standard input is empty"), (b"good\n\xff\xfe\n", "not UTF-8 at byte 5, in line 2")]
)
def test_embed_refuses_input_that_is_no_text(minilm_folder, data, message, monkeypatch, capsys):
    standard_input(monkeypatch, data)
    assert main(["embed", "-"]) == 2
    assert message in capsys.readouterr().err


def test_embed_refuses_an_output_it_cannot_write_in_one_sentence(minilm_folder, tmp_path, capsys):
    for output, message in {
        str(tmp_path / "vectors.csv"): "expected one of .npy, .npz, .jsonl",
        str(tmp_path / "absent" / "vectors.npy"): "cannot be written: No such file or directory",
    }.items():
        assert main(["embed", "text", "--output", output]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_a_full_disk_leaves_the_old_file_and_no_other(minilm_folder, tmp_path, monkeypatch, capsys):
    path = tmp_path / "vectors.npy"
    path.write_bytes(b"before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert main(["embed", "text", "--output", str(path)]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("vectors.npy", b"before")]


def test_inspect_shows_activation_dtype_format_and_counts(minilm_folder, capsys):
    assert main(["inspect", str(minilm_folder)]) == 0
    shown = capsys.readouterr().out
    for fact in ("gelu_erf", "float32", "safetensors, 1 file, 90.9 MB", "22,713,216", "11,918,592", "30,522"):
        assert fact in shown


def test_inspect_names_the_tanh_gelu(capsys):
    assert main(["inspect", str(Path(__file__).parent.parent / "goldens" / "tiny" / "gelu_new")]) == 0
    assert "gelu_tanh" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_an_unknown_name_is_one_sentence_and_status_2(command, capsys):
    assert main([command, "minilm-l7"]) == 2
    error = capsys.readouterr().err
    assert "minilm-l7" in error
    assert "Traceback" not in error


def test_a_folder_without_a_configuration_is_named(tmp_path, capsys):
    save_file({"t": np.zeros(2)}, tmp_path / "model.safetensors")
    assert main(["verify", str(tmp_path)]) == 2
    assert f"{tmp_path} holds neither config.json nor bert_config.json" in capsys.readouterr().err


def test_weights_without_a_configuration_are_shown_and_cannot_be_loaded(tmp_path, capsys):
    save_file({"embeddings.word_embeddings.weight": np.zeros((3, 2))}, tmp_path / "model.safetensors")
    assert main(["inspect", str(tmp_path), "--tensors"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "every value is 0" in shown
    assert "It cannot be loaded" in shown
    assert "holds neither config.json nor bert_config.json" in shown


def test_inspect_shows_what_a_google_checkpoint_has_besides_a_model(capsys):
    assert main(["inspect", str(GOLDENS / "tensor_bundles" / "google")]) == 0
    shown = capsys.readouterr().out
    assert "masked LM head, next sentence head" in shown
    assert "92 tensors of an optimiser, global_step" in shown
    assert "tanh approximation of GELU, which Google's checkpoints mean by gelu" in shown


def test_inspect_lists_what_is_missing_and_what_is_unknown(tmp_path, capsys):
    shutil.copy(GOLDENS / "tiny" / "gelu" / "config.json", tmp_path)
    tensors = load_file(GOLDENS / "tiny" / "gelu" / "model.safetensors")
    tensors["surprise"] = tensors.pop("pooler.dense.bias")
    save_file(tensors, tmp_path / "model.safetensors")
    assert main(["inspect", str(tmp_path)]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "missing: pooler.dense.bias (our pooler.dense.bias), expected shape [24]" in shown
    assert "unexpected: surprise [24] is no parameter of this model" in shown


def test_inspect_names_heads_without_a_configuration_too(tmp_path, capsys):
    for name in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"):
        shutil.copy(GOLDENS / "transformers_folders" / "sharded" / name, tmp_path)
    assert main(["inspect", str(tmp_path)]) == 1
    output = capsys.readouterr().out
    assert "masked LM head, next sentence head" in output
    assert "It cannot be loaded" in output


def test_inspect_tells_the_whole_name_of_a_corrupt_tensor(tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(GOLDENS / "tiny" / "gelu", tmp_path / "folder")
    tensors = load_file(folder / "model.safetensors")
    name = "encoder.layer.1.attention.output.LayerNorm.weight"
    tensors[name][3] = np.nan
    save_file(tensors, folder / "model.safetensors")
    assert main(["inspect", str(folder), "--tensors"]) == 1
    [row] = [line for line in capsys.readouterr().out.splitlines() if "NaN" in line]
    assert name in row
    monkeypatch.setenv("COLUMNS", "60")
    main(["inspect", str(folder), "--tensors"])
    assert "…" not in capsys.readouterr().out


def test_inspect_finds_a_tensor_that_is_corrupt(tmp_path, capsys):
    folder = Path(shutil.copytree(GOLDENS / "tensor_bundles" / "google", tmp_path / "google"))
    data = folder / "bert_model.ckpt.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[open_checkpoint(folder).tensors["bert/pooler/dense/kernel"].offset] ^= 1
    data.write_bytes(content)
    assert main(["inspect", str(folder)]) == 0
    assert main(["inspect", str(folder), "--tensors"]) == 1
    assert "checksum" in capsys.readouterr().out


def test_an_unforeseen_error_is_no_bare_traceback(monkeypatch, capsys):
    def broken(*_):
        raise RuntimeError("surprise")

    monkeypatch.setattr("minibert.cli.inspect.resolve", broken)
    assert main(["inspect", "minilm-l6"]) == 3
    assert "a bug in minibert" in capsys.readouterr().err


def test_usage_errors_have_status_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["unheard-of"])
    assert stop.value.code == 2


def run_with(stream: str, *command: str, encoding: str = "utf-8") -> subprocess.CompletedProcess:
    """The real command in a shell that redirects a stream: `>/dev/full`, `>&-`, `<&-`."""
    line = f'exec "$0" -m minibert.cli.main "$@" {stream}'
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    return subprocess.run(["sh", "-c", line, sys.executable, *command], capture_output=True, text=True, env=environment)


@pytest.mark.long
def test_a_terminal_without_unicode_gets_the_table_all_the_same(minilm_folder):
    outcome = run_with("", "inspect", str(minilm_folder), encoding="ascii")
    assert outcome.returncode == 0, outcome.stderr
    assert "gelu_erf" in outcome.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_output_that_takes_nothing_is_one_sentence_and_status_2(minilm_folder):
    outcome = run_with(">/dev/full", "inspect", str(minilm_folder))
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("minibert: the system refused: [Errno 28]")
    assert outcome.stderr.count("\n") == 1


@pytest.mark.long
def test_closed_streams_are_no_bug(minilm_folder):
    assert run_with(">&-", "inspect", str(minilm_folder)).returncode == 0
    outcome = run_with("<&-", "embed", "-")
    assert outcome.returncode == 2
    assert "standard input is closed" in outcome.stderr


def test_a_link_keeps_pointing_at_the_file_that_is_written(minilm_folder, tmp_path):
    (tmp_path / "link.npy").symlink_to(tmp_path / "target.npy")
    assert main(["embed", "text", "--output", str(tmp_path / "link.npy")]) == 0
    assert (tmp_path / "link.npy").is_symlink()
    assert np.load(tmp_path / "target.npy").shape == (1, 384)


def test_verify_suggests_the_name_that_was_meant(capsys):
    assert main(["verify", "minilm-l7"]) == 2
    assert "did you mean minilm-l6" in capsys.readouterr().err


def test_verify_says_when_the_weights_are_gone(minilm_folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "config.json").write_bytes((minilm_folder / "config.json").read_bytes())
    monkeypatch.setattr("minibert.cli.verify.resolve", lambda name: tmp_path)
    assert main(["verify"]) == 2
    assert "has no weights that are read" in capsys.readouterr().err
