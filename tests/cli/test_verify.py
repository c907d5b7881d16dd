"""`minibert verify`: what can be held against what, what is printed, and the exit status."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from minibert import load, record
from minibert.checkpoints.integrity import weights_sha256
from minibert.checkpoints.registry import weights_folder
from minibert.cli.main import main
from minibert.cli.verify import _known_as
from minibert.verification import Reference, Trace, plant, record_numpy
from minibert.verification.reference import is_trace_path

GOLDENS = Path(__file__).parent.parent / "goldens"
GELU = GOLDENS / "tiny" / "gelu"
REFERENCE = GELU / "reference.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A small checkpoint with a vocabulary."""
    shutil.copytree(GELU, tmp_path / "checkpoint")
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "the",
        "a",
        "cat",
        "sat",
        *(f"[unused{place}]" for place in range(9, 37)),
    ]
    (tmp_path / "checkpoint" / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    return str(tmp_path / "checkpoint")


@pytest.fixture
def inputs() -> dict[str, np.ndarray]:
    return Reference.read(REFERENCE).inputs


@pytest.fixture
def trace(tmp_path: Path, inputs: dict[str, np.ndarray]) -> str:
    record(load(GELU), inputs).save(tmp_path / "trace.safetensors")
    return str(tmp_path / "trace.safetensors")


@pytest.fixture
def faulty_trace(tmp_path: Path, inputs: dict[str, np.ndarray]) -> str:
    record(plant(load(GELU), "gelu_tanh", layer=1), inputs).save(tmp_path / "faulty.safetensors")
    return str(tmp_path / "faulty.safetensors")


def test_the_default_checkpoint_is_held_against_its_stored_references(minilm_folder, capsys):
    assert main(["verify", "minilm-l6"]) == 0
    shown = capsys.readouterr().out
    for name in ("embeddings.output", *(f"layers.{layer}.output" for layer in range(6)), "pooler.output"):
        assert name in shown
    assert "minilm-l6 agrees: 15 texts, 8 intermediates each" in shown.splitlines()
    assert shown.splitlines()[-1] == "9 published values hold"


def test_a_changed_model_parts_and_the_reason_is_named(minilm_folder, monkeypatch, capsys):
    from minibert.checkpoints.loading import load as load_checkpoint

    monkeypatch.setattr("minibert.cli.verify.load", lambda folder: plant(load_checkpoint(folder), "kernel_untransposed", layer=2))
    assert main(["verify"]) == 1
    shown = capsys.readouterr().out
    assert "minilm-l6 PARTS: parts first at layers.2.output" in shown
    assert "It parts first at layers.2.attention.value. The likely reason: a square kernel that was not transposed" in shown


def test_weights_that_the_references_were_not_recorded_from_are_refused(tiny_folder, minilm_folder, monkeypatch, capsys):
    monkeypatch.setattr("minibert.cli.verify.resolve", lambda name: tiny_folder)
    assert main(["verify", "minilm-l6"]) == 2
    assert "was recorded from weights with sha256" in capsys.readouterr().err


@pytest.mark.parametrize("reference", [[], ["numpy"], ["--against", "numpy"], ["--text", "the cat", "--text", "a"]])
def test_a_folder_is_held_against_the_numpy_bert(folder: str, reference: list[str], capsys):
    assert main(["verify", folder, *reference]) == 0
    shown = capsys.readouterr().out
    assert "against the truth, the parameters of checkpoint in minibert's NumPy BERT, float64" in shown
    assert f"{folder} agrees: {2 if '--text' in reference else 12} texts, 33 intermediates each" in shown
    assert "29 more intermediates are compared; --all shows them" in shown


def test_all_intermediates_can_be_shown(folder: str, capsys):
    assert main(["verify", folder, "--all"]) == 0
    assert "layers.1.attention.probabilities" in capsys.readouterr().out


def test_float64_agrees_with_the_numpy_bert(folder: str, capsys):
    assert main(["verify", folder, "--dtype", "float64", "--all"]) == 0


def test_fewer_bits_part_and_are_named(folder: str, capsys):
    assert main(["verify", folder, "--dtype", "bfloat16"]) == 1
    assert "numbers rounded to bfloat16" in capsys.readouterr().out


@pytest.mark.parametrize("reference", [[str(GELU)], ["--against", str(REFERENCE)]])
def test_a_trace_is_held_against_its_checkpoint_or_a_stored_reference(trace: str, reference: list[str], monkeypatch, capsys):
    monkeypatch.setattr("minibert.cli.verify.find_weights", lambda sha256: GELU)
    monkeypatch.setattr("minibert.cli.verify._checkpoint_of", lambda trace, path: GELU)
    assert main(["verify", trace, *reference]) == 0
    assert f"{trace} agrees: 4 texts, 33 intermediates each" in capsys.readouterr().out


def test_two_traces_are_compared(trace: str, faulty_trace: str, monkeypatch, capsys):
    monkeypatch.setattr("minibert.cli.verify._checkpoint_of", lambda trace, path: GELU)
    assert main(["verify", faulty_trace, trace]) == 1
    shown = capsys.readouterr().out
    assert "It parts first at layers.1.feed_forward.activation. The likely reason: tanh GELU" in shown
    assert main(["verify", trace, faulty_trace]) == 2
    assert "itself parts from the truth, first at layers.1.feed_forward.activation" in capsys.readouterr().err


def test_a_model_is_run_on_the_inputs_of_a_trace(trace: str, capsys):
    assert main(["verify", str(GELU), trace]) == 0
    assert "agrees: 4 texts, 33 intermediates each" in capsys.readouterr().out


def test_the_report_is_written(folder: str, faulty_trace: str, tmp_path: Path, capsys):
    for name in ("report.json", "report.csv", "report.html"):
        assert main(["verify", faulty_trace, str(GELU), "--output", str(tmp_path / name)]) == 1
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["agrees"] is False
    assert "tanh GELU" in report["diagnosis"]
    assert "tanh GELU" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.long
def test_the_sweep_shows_every_precision_and_is_written(folder: str, tmp_path: Path, capsys):
    assert main(["verify", folder, "--sweep", "--text", "the cat", "--output", str(tmp_path / "sweep.csv")]) == 0
    shown = capsys.readouterr().out
    assert "float64" in shown
    assert "bfloat16" in shown
    assert (tmp_path / "sweep.csv").read_text(encoding="utf-8").count("\n") > 8


def test_nan_is_named_where_it_stands_first(inputs: dict[str, np.ndarray], tmp_path: Path, capsys):
    trace = record_numpy(GELU, inputs, dtype=np.float32)
    trace["layers.0.attention.context"][0, 1, 2] = np.nan
    trace.save(tmp_path / "nan.safetensors")
    assert main(["verify", str(tmp_path / "nan.safetensors"), str(GELU)]) == 1
    shown = capsys.readouterr().out
    assert "parts first at layers.0.attention.context, where the error is nan" in shown
    assert "the first value that is no finite number is nan in layers.0.attention.context at [0, 1, 2]" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "'nowhere' is neither a folder here nor a name in the registry"),
        ([str(GELU), "what"], "'what' is no reference; expected numpy, transformers, the path of a trace"),
        ([str(GELU), "numpy", "--against", "numpy"], "the reference was given twice"),
        ([str(REFERENCE)], "reference.safetensors is no trace: it holds no tensor inputs.input_ids"),
        ([str(GELU), str(REFERENCE), "--text", "a"], "--text was given beside a reference that has its own inputs"),
        ([str(GELU), "--sweep", "--dtype", "float32"], "--dtype was given beside --sweep"),
        ([str(GELU), "numpy", "--sweep"], "a reference was given beside --sweep"),
        ([str(GELU), "--device", "tpu"], "--device tpu: JAX finds none here, only cpu"),
        ([str(GELU)], "neither vocab.txt nor tokenizer.json"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments: list[str], message: str, capsys):
    assert main(["verify", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_trace_that_does_not_name_its_checkpoint_needs_one(trace: str, capsys):
    assert main(["verify", trace]) == 2
    assert (
        f"{trace} does not name its checkpoint; give the checkpoint: minibert verify {trace} CHECKPOINT"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("option", [["--dtype", "float32"], ["--text", "a"], ["--device", "cpu"]])
def test_options_for_models_are_refused_for_traces(trace: str, option: list[str], capsys):
    assert main(["verify", trace, *option]) == 2
    assert f"{option[0]} is for models that run here" in capsys.readouterr().err


def test_a_checkpoint_is_held_against_another_one(folder: str, tmp_path: Path, capsys):
    shutil.copytree(folder, tmp_path / "other")
    assert main(["verify", folder, str(tmp_path / "other")]) == 0
    assert "the parameters of other in minibert's NumPy BERT" in capsys.readouterr().out
    configuration = json.loads((tmp_path / "other" / "config.json").read_text())
    (tmp_path / "other" / "config.json").write_text(json.dumps(configuration | {"hidden_act": "relu"}))
    assert main(["verify", folder, str(tmp_path / "other")]) == 1
    assert "parts first at layers.0.feed_forward.activation" in capsys.readouterr().out


def test_a_checkpoint_of_other_sizes_is_refused(folder: str, capsys):
    assert main(["verify", folder, str(GELU.parent / "silu")]) == 2
    assert "hidden_size is 24 in the trace's configuration and 18 in that of the checkpoint that gives" in capsys.readouterr().err


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="newer Pythons find arguments behind options")
def test_an_argument_behind_the_options_is_refused_with_a_hint(capsys):
    with pytest.raises(SystemExit):
        main(["verify", str(GELU), "--dtype", "float32", "numpy"])
    assert "unrecognized arguments: numpy; what is no option belongs before the options" in capsys.readouterr().err


def test_what_a_trace_lacks_is_said(trace: str, tmp_path: Path, capsys):
    whole = Trace.read(trace)
    partial = {name: whole[name] for name in whole if not name.startswith("layers.0.")}
    Trace(partial, whole.inputs, whole.metadata).save(tmp_path / "partial.safetensors")
    assert main(["verify", str(tmp_path / "partial.safetensors"), str(GELU)]) == 0
    assert "the trace lacks 13 intermediates of the model: layers.0.attention.query, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "report.txt"], "report.txt ends in '.txt'; it is written as .html, .json, .csv"),
        (["--sweep", "--output", "sweep.html"], "sweep.html ends in '.html'; it is written as .json, .csv, .png, .svg, .pdf"),
        (["--output", "absent/report.html"], "absent/report.html cannot be written: its folder does not exist"),
    ],
)
def test_where_a_report_cannot_go_is_said_first(folder: str, arguments: list[str], message: str, monkeypatch, capsys):
    monkeypatch.setattr("minibert.cli.verify.load", None)
    assert main(["verify", folder, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_trace_cannot_be_swept(trace: str, capsys):
    assert main(["verify", trace, "--sweep"]) == 2
    assert "is a trace, and --sweep runs a checkpoint" in capsys.readouterr().err


# With the programs that users run: those that `make test` has compiled in less time round otherwise, as a single token shows.
@pytest.mark.reference
@pytest.mark.parametrize("name", ["batch", "one_token", "pair", "single", "unicode"])
def test_the_default_checkpoint_agrees_with_each_of_its_stored_references_at_every_name(name: str, minilm_folder, capsys):
    assert main(["verify", "minilm-l6", str(weights_folder() / "references" / "minilm-l6" / f"{name}.safetensors")]) == 0


def test_a_report_says_what_was_held_against_what(trace: str, tmp_path: Path, capsys):
    for ending in ("json", "html"):
        assert main(["verify", trace, str(GELU), "--output", str(tmp_path / f"report.{ending}")]) == 0
    compared = json.loads((tmp_path / "report.json").read_text())["compared"]
    assert compared["subject"] == trace
    assert compared["trace"].startswith("minibert Bert, compiled, float32, cpu, ")
    assert compared["reference"].startswith("computed: minibert NumpyBert, float64, cpu, ")
    assert compared["inputs"] == "4 texts in rows of 6 tokens"
    assert "inputs: 4 texts in rows of 6 tokens" in (tmp_path / "report.html").read_text()


@pytest.fixture
def published(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """A published value of the small checkpoint, which is known by its weights; a test changes it and calls `write`."""
    hidden = record_numpy(GELU, {"input_ids": [[2, 5, 3]]})["layers.1.output"]
    common = {
        "checkpoint": "small",
        "publisher": "someone",
        "sources": ["a test"],
        "tolerance": {"kind": "printed", "decimals": 3},
    }
    record = {"quantity": "last_hidden_state", "hidden_act": "gelu_erf", "input": {"texts": ["the"]}, "values": hidden.tolist()}
    entity = {"quantity": "entities", "input": "the", "values": [["DET", "the"]]}
    known = {"small": {"weights_sha256": [weights_sha256(Path(folder))[1]]}}
    whole = {"about": ["for a test"], "checkpoints": known, "records": [common | record, common | entity]}
    monkeypatch.setattr("minibert.verification.published.records.weights_folder", lambda: tmp_path)
    return whole


def write_published(published: dict, tmp_path: Path) -> None:
    (tmp_path / "published.json").write_text(json.dumps(published), encoding="utf-8")


def test_what_was_published_of_the_weights_is_checked_and_shown(folder: str, published: dict, tmp_path: Path, capsys):
    write_published(published, tmp_path)
    assert main(["verify", folder, "--output", str(tmp_path / "report.json")]) == 0
    shown = capsys.readouterr().out
    assert f"{folder} agrees: 12 texts, 33 intermediates each" in shown
    assert "last_hidden_state │ someone │ the" in shown
    assert shown.splitlines()[-1] == "1 published value holds; 1 not checked (needs a token-classification head)"
    notes = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["notes"]
    assert any(note.startswith("last_hidden_state of 'the', published by someone: agrees") for note in notes)


def test_a_checkpoint_that_parts_from_what_was_published_is_named(folder: str, published: dict, tmp_path: Path, capsys):
    published["records"][0]["values"][0][1][7] += 0.25
    write_published(published, tmp_path)
    assert main(["verify", folder]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"{folder}, last_hidden_state of 'the', published by someone: PARTS, with a difference of 0.25 where")


@pytest.mark.parametrize("option", [["--against", "numpy"], ["--text", "the cat"]])
def test_published_values_belong_to_the_checkpoint_alone(folder: str, published: dict, option: list[str], tmp_path: Path, capsys):
    write_published(published, tmp_path)
    assert main(["verify", folder, *option]) == 0
    assert "someone" not in capsys.readouterr().out


@pytest.mark.parametrize("option", [["--dtype", "float64"], ["--precision", "default"]])
def test_published_values_are_of_true_float32(folder: str, published: dict, option: list[str], tmp_path: Path, capsys):
    write_published(published, tmp_path)
    assert main(["verify", folder, *option]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1].startswith(f"2 published values are not checked with {option[0]} {option[1]}")
    assert "someone" not in shown


def test_a_folder_with_the_weights_of_the_default_checkpoint_has_its_published_values(minilm_folder: Path, tmp_path: Path):
    shutil.copytree(minilm_folder, tmp_path / "copy")
    assert _known_as(str(tmp_path / "copy"), tmp_path / "copy") == "minilm-l6"
    assert _known_as("minilm-l6", minilm_folder) == "minilm-l6"


@pytest.fixture
def google(tmp_path: Path) -> Path:
    """Google's checkpoint with a vocabulary."""
    folder = Path(shutil.copytree(GOLDENS / "tensor_bundles" / "google", tmp_path / "google"))
    words = [f"w{place}" for place in range(load(folder).config.vocab_size - 5)]
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    return folder


def test_a_zip_and_a_prefix_are_checkpoints_too(google: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("MINIBERT_HOME", str(tmp_path / "home"))
    zipped = shutil.make_archive(str(tmp_path / "google"), "zip", google)
    assert main(["verify", zipped, str(google / "bert_model.ckpt")]) == 0
    assert "agrees: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "is_trace"),
    [
        ("transformers_folders/model/model.safetensors", False),
        ("transformers_folders/torch_zip/pytorch_model.bin", False),
        ("flax_files/bert.msgpack", False),
        ("tensor_bundles/google/bert_model.ckpt.index", False),
        ("tensor_bundles/google/bert_model.ckpt", False),
        ("tensor_bundles/google", False),
        ("tiny/gelu/reference.safetensors", True),
    ],
)
def test_weights_are_told_from_traces(path: str, is_trace: bool):
    assert is_trace_path(GOLDENS / path) == is_trace


def test_a_file_of_weights_is_verified(folder: str, capsys):
    assert main(["verify", str(Path(folder) / "model.safetensors")]) == 0
    assert "agrees: " in capsys.readouterr().out
