"""`minibert record`: every implementation, the choice of names, texts from files, and bad input in one sentence."""

import hashlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoint import tiny_checkpoint

from minibert import Tokenizer, Trace, load, record
from minibert.cli.main import main
from minibert.model.tap import intermediate_names, layer_output_names
from minibert.verification import record_numpy

TEXTS = ["a b c", "c"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", *(f"[unused{place}]" for place in range(8, 37))]


pytestmark = pytest.mark.usefixtures("no_compilation_cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "tiny", VOCABULARY)


def recorded(folder: Path, *arguments: str, status: int = 0) -> Trace:
    output = folder.parent / "trace.safetensors"
    assert main(["record", str(folder), *arguments, "--output", str(output)]) == status
    return Trace.read(output)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["record", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_minibert_itself_is_recorded(folder: Path):
    trace = recorded(folder, *TEXTS)
    expected = record(load(folder), Tokenizer.load(folder)(TEXTS))
    assert list(trace) == list(expected) == intermediate_names(2)
    for name, values in expected.items():
        np.testing.assert_array_equal(trace[name], values, strict=True)
    np.testing.assert_array_equal(trace.inputs["input_ids"], [[2, 5, 6, 7, 3], [2, 7, 3, 0, 0]])


def test_the_trace_says_which_texts_and_which_weights(folder: Path):
    metadata = recorded(folder, *TEXTS, "--names", "pooler.output").metadata
    assert json.loads(metadata["texts"]) == TEXTS
    assert metadata["checkpoint_sha256"] == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert (metadata["implementation"], metadata["dtype"]) == ("minibert Bert, compiled", "float32")


def test_what_was_written_is_said(folder: Path, capsys: pytest.CaptureFixture[str]):
    recorded(folder, *TEXTS)
    output = folder.parent / "trace.safetensors"
    shown = capsys.readouterr().out
    assert f"wrote {output}, {output.stat().st_size:,} bytes: 2 texts of 5 tokens" in shown
    assert "33 intermediates: embeddings.word to pooler.output" in shown
    assert "computed by minibert Bert, compiled in float32 on " in shown
    recorded(folder, "a", "--names", "layers.*.output")
    assert "2 intermediates: layers.0.output, layers.1.output" in capsys.readouterr().out


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_numpy_bert_is_recorded(folder: Path, dtype: str):
    trace = recorded(folder, *TEXTS, "--implementation", "numpy", "--dtype", dtype)
    expected = record_numpy(folder, Tokenizer.load(folder)(TEXTS), dtype=dtype)
    assert list(trace) == list(expected)
    assert trace.metadata["dtype"] == dtype
    np.testing.assert_array_equal(trace["layers.1.output"], expected["layers.1.output"], strict=True)


def test_numpy_is_float64_unless_told_otherwise(folder: Path):
    assert recorded(folder, "a", "--implementation", "numpy", "--names", "pooler.output")["pooler.output"].dtype == np.float64


def test_minibert_in_float64_is_the_truth(folder: Path):
    trace = recorded(folder, *TEXTS, "--dtype", "float64", "--names", "layers.1.output")
    truth = recorded(folder, *TEXTS, "--implementation", "numpy", "--names", "layers.1.output")
    np.testing.assert_allclose(trace["layers.1.output"], truth["layers.1.output"], atol=1e-11, rtol=0.0)
    assert trace["layers.1.output"].dtype == np.float64


def test_in_bfloat16_something_is_lost_and_the_trace_says_so(folder: Path):
    trace = recorded(folder, *TEXTS, "--dtype", "bfloat16", "--names", "layers.1.output")
    assert trace.metadata["dtype"] == "bfloat16"
    exact = recorded(folder, *TEXTS, "--names", "layers.1.output")["layers.1.output"]
    assert 1e-4 < np.abs(trace["layers.1.output"] - exact).max() < 1.0


@pytest.mark.reference
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_transformers_is_recorded(folder: Path, attention: str):
    trace = recorded(folder, *TEXTS, "--implementation", "transformers", "--attention", attention)
    truth = recorded(folder, *TEXTS, "--implementation", "numpy")
    assert trace.metadata["implementation"] == f"transformers BertModel on torch, attention {attention}"
    assert len(trace) == (33 if attention == "eager" else 33 - 4)
    real = trace.inputs["attention_mask"].astype(bool)
    np.testing.assert_allclose(trace["layers.1.output"][real], truth["layers.1.output"][real], atol=1e-4)


@pytest.mark.reference
def test_of_a_pattern_sdpa_leaves_out_what_it_never_forms(folder: Path, capsys: pytest.CaptureFixture[str]):
    sdpa = ("--implementation", "transformers", "--attention", "sdpa")
    assert len(recorded(folder, "a", *sdpa, "--names", "layers.1.attention.*")) == 6
    output = str(folder.parent / "trace.safetensors")
    error = refusal(capsys, str(folder), "a", *sdpa, "--names", "layers.*.attention.scores", "--output", output)
    assert "--attention sdpa never forms layers.0.attention.scores, layers.1.attention.scores; give --attention eager" in error


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["layers.*.output"], ["layers.0.output", "layers.1.output"]),
        (["*.output"], ["embeddings.output", "pooler.output"]),
        (["pooler.output,embeddings.output", "layers.*.output"], layer_output_names(2)),
        (
            ["layers.1.feed_forward.*"],
            [f"layers.1.feed_forward.{part}" for part in ("intermediate", "activation", "projection", "output")],
        ),
        (["layers.0.attention.scores"], ["layers.0.attention.scores"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("implementation", ["minibert", "numpy"])
def test_names_and_patterns_choose(folder: Path, names: list[str], expected: list[str], implementation: str):
    options = [option for given in names for option in ("--names", given)]
    assert list(recorded(folder, "a", "--implementation", implementation, *options)) == expected


@pytest.mark.parametrize("name", ["layers.2.output", "layers.*", "*", "layers.*.querry", "a.b", ""])
def test_a_name_that_fits_nothing_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str):
    error = refusal(capsys, str(folder), "a", "--names", f"pooler.output,{name}", "--output", str(tmp_path / "t"))
    assert f"{name} is no intermediate of this model; the names are embeddings.word" in error


def test_texts_come_from_files_and_from_standard_input(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "texts.txt").write_text("a b c\nc\n")
    from_file = recorded(folder, "--file", str(tmp_path / "texts.txt"), "--names", "pooler.output")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a b c\r\nc")))
    from_input = recorded(folder, "-", "--names", "pooler.output")
    expected = recorded(folder, *TEXTS, "--names", "pooler.output")
    for trace in (from_file, from_input):
        assert json.loads(trace.metadata["texts"]) == TEXTS
        np.testing.assert_array_equal(trace["pooler.output"], expected["pooler.output"])


def test_texts_may_stand_behind_options(folder: Path, tmp_path: Path):
    arguments = ["record", str(folder), "--names", "pooler.output", *TEXTS, "--output", str(tmp_path / "t")]
    assert main(arguments) == 0
    assert json.loads(Trace.read(tmp_path / "t").metadata["texts"]) == TEXTS


def test_a_text_beyond_the_models_end_is_cut_with_a_word(folder: Path, capsys: pytest.CaptureFixture[str]):
    trace = recorded(folder, "a " * 17, "a " * 18, "a", "--names", "pooler.output")
    assert trace.inputs["input_ids"].shape == (3, 19)
    assert "warning: 1 of 3 texts were cut at 19 tokens" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is no text to record; give one, - for standard input, or --file PATH"),
        (["a", "--file", "x"], "--file was given beside other texts; give either"),
        (["-", "a"], "- (standard input) was given beside other texts; give either"),
        (["--file", "absent.txt"], "absent.txt does not exist; expected a UTF-8 file with a text a line"),
        (["a", "--attention", "sdpa"], "--attention is for transformers, and minibert computes this; leave it out"),
        (
            ["a", "--implementation", "numpy", "--dtype", "bfloat16"],
            "--dtype bfloat16 is none that numpy computes in; choose one of float64, float32",
        ),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
):
    assert message in refusal(capsys, str(folder), *arguments, "--output", str(tmp_path / "t"))


def test_an_output_that_cannot_be_written_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert "cannot be written: No such file" in refusal(capsys, str(folder), "a", "--output", str(tmp_path / "absent" / "t"))
    assert "is a folder; give the name of a file" in refusal(capsys, str(folder), "a", "--output", str(tmp_path))


def test_a_checkpoint_that_is_none_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert "did you mean minilm-l6" in refusal(capsys, "minilm-l7", "a", "--output", str(tmp_path / "t"))
    (folder / "vocab.txt").unlink()
    assert "vocab.txt" in refusal(capsys, str(folder), "a", "--output", str(tmp_path / "t"))
    (folder / "model.safetensors").write_bytes(b"no")
    for implementation in ("minibert", "numpy", "transformers"):
        error = refusal(capsys, str(folder), "a", "--implementation", implementation, "--output", str(tmp_path / "t"))
        assert "model.safetensors is not a sound safetensors file" in error


def test_without_torch_transformers_is_refused_with_what_to_install(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "torch", None)
    error = refusal(capsys, str(folder), "a", "--implementation", "transformers", "--output", str(tmp_path / "t"))
    assert "torch is not installed; run: pip install 'minibert[reference]'" in error


@pytest.mark.long
def test_more_than_fits_into_memory_is_refused_before_it_is_computed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "many.txt").write_text("a b c\n" * 1_000_000)
    error = refusal(capsys, str(folder), "--file", str(tmp_path / "many.txt"), "--output", str(tmp_path / "t"))
    assert "33 intermediates of 1,000,000 texts of 5 tokens take 16 GB; a trace is for a few texts" in error
