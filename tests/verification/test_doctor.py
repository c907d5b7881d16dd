"""The doctor: every sickness, planted in a copy of a tiny checkpoint, is found in the right row, and the verdict follows."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sick_checkpoints import (
    KEY,
    QUERY,
    SCALE,
    TOKENS,
    VOCABULARY,
    WORDS,
    capitalise,
    claim_a_huge_header,
    claim_a_huge_tensor,
    claim_everything,
    configure,
    copy_the_query,
    cut_the_weights,
    finding_at,
    forget_the_training,
    give_one_twice,
    healthy_checkpoint,
    keep_only_keras,
    leave_a_pointer,
    link_to_nothing,
    places,
    rename,
    repeat_the_layer,
    set_to,
    store,
    swap_scale_and_bias,
    untie_the_kernel,
    vocabulary,
    write,
)

from minibert import CheckpointError, FetchError
from minibert.checkpoints.integrity import Verdict, sha256_of, write_record
from minibert.strict_json import parse_json_object
from minibert.verification.doctor import Finding, examine
from minibert.verification.doctor.examination import CHECKS, finding_of
from minibert.verification.doctor.patient import Patient

# Hundreds of sick folders: the checks of shapes are on where the arrays are computed, in the tests of the model and of traces.
pytestmark = pytest.mark.usefixtures("without_shape_checks")


def one_finding(folder: Path, group: str, subject: str) -> Finding:
    """What one check finds, without all others."""
    (check,) = (check for check in CHECKS if (check.group, check.subject) == (group, subject))
    finding = finding_of(check, Patient(folder))
    assert finding is not None
    return finding


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return healthy_checkpoint(tmp_path / "tiny")


@pytest.fixture
def without_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the checks that compute with the model, which take a second or two."""
    kept = tuple(check for check in CHECKS if check.group not in ("agreement", "cost"))
    monkeypatch.setattr("minibert.verification.doctor.examination.CHECKS", kept)


BAD: list[tuple[Callable[[Path], Any], str, str, str]] = [
    (cut_the_weights, "files", "weights", "it is cut short"),
    (claim_a_huge_header, "files", "weights", "it claims a header of 4,611,686,018,427,387,904 bytes"),
    (claim_a_huge_tensor, "files", "weights", "it is cut short: its tensors take 4,398,046,511,104 bytes"),
    (leave_a_pointer("model.safetensors"), "files", "weights", "model.safetensors is a pointer of Git LFS"),
    (leave_a_pointer("vocab.txt"), "files", "stand-ins", "vocab.txt is a pointer of Git LFS"),
    (lambda folder: (folder / "vocab.txt").write_text("<!DOCTYPE html>"), "files", "stand-ins", "vocab.txt is a web page"),
    (link_to_nothing, "files", "stand-ins", "special_tokens_map.json is a link that leads nowhere"),
    (lambda folder: (folder / "model.safetensors").unlink(), "files", "weights", "it holds no weights"),
    (keep_only_keras, "files", "weights", "it holds tf_model.h5, a format that this version does not read"),
    (lambda folder: (folder / "config.json").unlink(), "configuration", "file", "neither config.json nor bert_config.json"),
    (lambda folder: (folder / "config.json").write_text("{"), "configuration", "file", "is not valid JSON"),
    (lambda folder: configure(folder, rotary=True), "configuration", "keys", "might change numbers: rotary = True"),
    (lambda folder: configure(folder, hidden_size=...), "configuration", "sizes", "lacks hidden_size"),
    (lambda folder: configure(folder, model_type="roberta"), "configuration", "keys", "model_type is 'roberta'"),
    (lambda folder: configure(folder, num_attention_heads=5), "configuration", "sizes", "does not divide"),
    (claim_everything, "weights", "layers", "2 layers (the last is number 1, from 0), the configuration says 1,000"),
    (lambda folder: configure(folder, num_hidden_layers=1), "weights", "layers", "the configuration says 1"),
    (lambda folder: store(folder, without="pooler.dense.bias"), "weights", "missing", "1 parameter without a tensor: pooler"),
    (lambda folder: rename(folder, "roberta.{}".format), "weights", "layers", "no layer under BERT's names"),
    (lambda folder: store(folder, lora=np.ones(3, np.float32)), "weights", "unexpected", "1 tensor too many: lora [3]"),
    (
        lambda folder: configure(folder, vocab_size=38),
        "weights",
        "mis-shaped",
        "is [37, 24], the configuration calls for [38, 24]",
    ),
    (lambda folder: store(folder, **{QUERY: np.ones((24, 24), np.int8)}), "weights", "mis-typed", "query.weight is int8"),
    (give_one_twice, "weights", "given twice", "are the same parameter"),
    (vocabulary(*VOCABULARY, "more"), "vocabulary", "rows", "1 token would have no vector"),
    (
        vocabulary(*VOCABULARY[:-2]),
        "vocabulary",
        "rows",
        "35 tokens and 37 rows in the table of word embeddings: the last 2 have",
    ),
    (vocabulary(*VOCABULARY[:4], "[unused1]", *VOCABULARY[5:]), "vocabulary", "special tokens", "lacks [MASK]"),
    (vocabulary(*VOCABULARY, "the"), "vocabulary", "file", "holds the token 'the' twice"),
    (lambda folder: (folder / "vocab.txt").write_bytes(b"[PAD]\n\xff\n"), "vocabulary", "file", "is not UTF-8"),
    (
        lambda folder: write(folder, "tokenizer_config.json", {"tokenizer_class": "RobertaTokenizer"}),
        "tokenizer",
        "loading",
        "tokenizer_class is 'RobertaTokenizer'",
    ),
    (
        lambda folder: store(folder, **{QUERY: set_to(np.nan, (3, 5))}),
        "values",
        "finite",
        "1 NaN and 0 infinite values in 1 tensor",
    ),
    (lambda folder: store(folder, **{WORDS: set_to(-np.inf, 7)}), "values", "finite", "0 NaN and 24 infinite values"),
    (lambda folder: store(folder, **{QUERY: set_to(0.0)}), "values", "constant", f"one number throughout: {QUERY} (0)"),
    (lambda folder: store(folder, **{SCALE: set_to(0.0)}), "values", "constant", f"one number throughout: {SCALE} (0)"),
    (forget_the_training, "values", "constant", "the model was never trained"),
    (swap_scale_and_bias, "values", "LayerNorm", f"in {SCALE}; the first has the mean"),
    (lambda folder: store(folder, **{SCALE: set_to(-65504.0, 3)}), "values", "magnitude", "1 value of exactly ±65,504"),
]


@pytest.mark.usefixtures("without_the_model")
@pytest.mark.parametrize(("plant_it", "group", "subject", "found"), BAD, ids=[f"{row[1]}-{row[3][:25]}" for row in BAD])
def test_what_is_bad_is_found_and_is_the_verdict(folder: Path, plant_it: Any, group: str, subject: str, found: str):
    plant_it(folder)
    checkup = examine(folder)
    finding = finding_at(checkup, group, subject)
    assert found in finding.found
    assert (finding.status, checkup.state) == ("bad", "sick")
    assert finding.advice
    assert checkup.verdict.startswith(f"sick: {finding.found.rstrip('.')}")


WARNINGS: list[tuple[Callable[[Path], Any], str, str, str]] = [
    (lambda folder: configure(folder, layer_norm_eps=1e-3), "configuration", "epsilon", "0.001, where BERT has 1e-12"),
    (
        lambda folder: configure(folder, architectures=["RobertaModel"]),
        "configuration",
        "architecture",
        "'RobertaModel': it calls itself no BERT",
    ),
    (
        lambda folder: write(folder, "bert_config.json", {"num_hidden_layers": 3}),
        "configuration",
        "two files",
        "num_hidden_layers is 2 in config.json and 3 in bert_config.json",
    ),
    (untie_the_kernel, "weights", "tied kernel", "cls.predictions.decoder.weight is stored and is not the table"),
    (lambda folder: (folder / "vocab.txt").unlink(), "vocabulary", "file", "neither vocab.txt nor tokenizer.json"),
    (
        lambda folder: configure(folder, pad_token_id=4),
        "vocabulary",
        "stated ids",
        "pad_token_id is 4 by config.json, but [PAD] has the id 0",
    ),
    (
        lambda folder: store(folder, **{WORDS: lambda table: table[[0, 1, 2, 3, 4, *[5] * 2, *range(7, 37)]]}),
        "vocabulary",
        "equal rows",
        "1 row of the table equal to another one: 'a' (5) = 'b' (6)",
    ),
    (lambda folder: store(folder, **{WORDS: set_to(0.0, 9)}), "vocabulary", "zero rows", "2 rows of the table all zero: 'e' (9)"),
    (capitalise, "tokenizer", "case", "the vocabulary looks cased, and these tokens can never come"),
    (
        lambda folder: write(folder, "tokenizer_config.json", {"do_lower_case": False, "model_max_length": 19}),
        "tokenizer",
        "case",
        "the vocabulary looks uncased, and words with capitals become [UNK]",
    ),
    (
        lambda folder: write(folder, "tokenizer_config.json", {"model_max_length": 512}),
        "tokenizer",
        "longest row",
        "model_max_length is 512 in tokenizer_config.json, but the model has 19 positions",
    ),
    (
        lambda folder: store(folder, **{"cls.predictions.bias": np.full(TOKENS, 65504.0, np.float32)}),
        "values",
        "magnitude",
        "37 values of exactly ±65,504",
    ),
    (lambda folder: store(folder, **{SCALE: lambda scale: -scale}), "values", "LayerNorm", f"below 0.001 in {SCALE}"),
    (lambda folder: store(folder, **{SCALE: set_to(1e3, 3)}), "values", "magnitude", f"{SCALE} (1e+03 at [3])"),
    (lambda folder: store(folder, **{QUERY: lambda kernel: kernel * 20}), "values", "spread", f"standard deviation: {QUERY} (1"),
    (lambda folder: store(folder, **{QUERY: lambda kernel: kernel * 1e-7}), "values", "spread", f"standard deviation: {QUERY} ("),
    (repeat_the_layer, "values", "equal layers", "layer 0 = layer 1"),
    (copy_the_query, "values", "equal kernels", f"{KEY} = {QUERY}"),
]


@pytest.mark.usefixtures("without_the_model")
@pytest.mark.parametrize(("plant_it", "group", "subject", "found"), WARNINGS, ids=[f"{row[1]}-{row[3][:25]}" for row in WARNINGS])
def test_what_needs_care_is_the_one_warning(folder: Path, plant_it: Any, group: str, subject: str, found: str):
    plant_it(folder)
    checkup = examine(folder)
    assert places(checkup, "warning") == [(group, subject)]
    finding = finding_at(checkup, group, subject)
    assert found in finding.found
    assert finding.advice
    assert checkup.state == "usable"
    assert checkup.verdict.startswith("usable, with care: ")


NOTES: list[tuple[Callable[[Path], Any], str, str, str]] = [
    (lambda folder: (folder / "tf_model.h5").write_bytes(b""), "files", "other formats", "tf_model.h5: other weights beside"),
    (leave_a_pointer("tf_model.h5"), "files", "stand-ins", "tf_model.h5 is a pointer of Git LFS; minibert does not need it"),
    (lambda folder: configure(folder, layer_norm_eps=1e-5), "configuration", "epsilon", "1e-05, where BERT has 1e-12"),
    (lambda folder: configure(folder, hidden_act="relu"), "configuration", "activation", '"relu" in config.json means relu'),
    (lambda folder: shutil.copy(folder / "config.json", folder / "bert_config.json"), "configuration", "two files", "gelu_tanh"),
    (lambda folder: store(folder, without="pooler"), "weights", "pooler", "pooler_output will be None"),
    (
        lambda folder: rename(folder, lambda name: name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta")),
        "weights",
        "old names",
        "10 tensors under LayerNorm's old names",
    ),
    (
        lambda folder: store(folder, **{QUERY: lambda kernel: kernel.astype(ml_dtypes.bfloat16)}),
        "weights",
        "dtypes",
        "Mixed: 38 in float32, 1 in bfloat16",
    ),
    (vocabulary(*VOCABULARY[:-3], "[unused1]", "一", "!"), "vocabulary", "zero rows", "That is the padding"),
    (lambda folder: (folder / "tokenizer_config.json").unlink(), "tokenizer", "longest row", "minibert cuts at the model's 19"),
    (lambda folder: store(folder, **{"pooler.dense.bias": set_to(0.0)}), "values", "constant", "pooler.dense.bias (0)"),
]


@pytest.mark.usefixtures("without_the_model")
@pytest.mark.parametrize(("plant_it", "group", "subject", "found"), NOTES, ids=[f"{row[1]}-{row[3][:25]}" for row in NOTES])
def test_what_is_only_to_be_known_leaves_it_healthy(folder: Path, plant_it: Any, group: str, subject: str, found: str):
    plant_it(folder)
    checkup = examine(folder)
    finding = finding_at(checkup, group, subject)
    assert finding.status == "note"
    assert found in finding.found
    assert checkup.verdict == "healthy", [row.finding for row in checkup.rows if row.finding.status in ("warning", "bad")]


def test_a_healthy_checkpoint_is_healthy_in_every_check(folder: Path):
    checkup = examine(folder)
    assert checkup.verdict == "healthy"
    assert checkup.comparison.agrees
    assert not [row for row in checkup.rows if row.finding.found.startswith("Not checked")]
    expected = {("files", "sha256"), ("configuration", "head width"), ("vocabulary", "zero rows"), ("agreement", "texts")}
    assert set(places(checkup, "note")) == expected


@pytest.mark.reference
def test_minilm_is_healthy_and_the_only_note_is_true(minilm_folder: Path):
    checkup = examine(minilm_folder)
    assert checkup.verdict == "healthy"
    # Its pooler was never trained: it comes from a model of sentence vectors.
    assert places(checkup, "note") == [("values", "constant")]
    assert "pooler.dense.bias (0)" in finding_at(checkup, "values", "constant").found
    assert "the registry has it as minilm-l6" in finding_at(checkup, "files", "sha256").found
    assert {row.name for row in checkup.comparison.rows} >= {"embeddings.word", "layers.5.attention.scores", "pooler.output"}
    assert finding_at(checkup, "cost", "parameters").facts["parameters"] == 22_713_216


@pytest.mark.usefixtures("without_the_model")
def test_heads_and_buffers_are_left_aside_by_their_kind(folder: Path):
    store(folder, **{"cls.predictions.bias": np.arange(TOKENS, dtype=np.float32)})
    store(folder, **{"cls.predictions.decoder.weight": load_file(folder / "model.safetensors")[WORDS]})
    store(folder, **{"embeddings.position_ids": np.arange(19)[None]})
    checkup = examine(folder)
    found = finding_at(checkup, "weights", "left aside").found
    assert found == "2 tensors of the masked LM head, 1 buffer (embeddings.position_ids)."
    assert "stored again and equal" in finding_at(checkup, "weights", "tied kernel").found
    assert checkup.verdict == "healthy"


@pytest.mark.usefixtures("without_the_model")
def test_googles_file_means_the_tanh_approximation(folder: Path):
    (folder / "config.json").rename(folder / "bert_config.json")
    found = finding_at(examine(folder), "configuration", "activation").found
    assert found.startswith('"gelu" in bert_config.json means gelu_tanh: the tanh approximation')


@pytest.mark.usefixtures("without_the_model")
def test_a_foreign_prefix_is_named(folder: Path):
    rename(folder, "model.{}".format)
    assert 'The names begin with "model."' in finding_at(examine(folder), "weights", "missing").advice


@pytest.mark.usefixtures("without_the_model")
def test_unknown_keys_do_not_hide_the_rest(folder: Path):
    configure(folder, rotary=True, vocab_size=40)
    checkup = examine(folder)
    assert places(checkup, "bad") == [("configuration", "keys"), ("weights", "mis-shaped")]
    assert checkup.verdict.endswith("(and 1 more bad finding)")


@pytest.mark.usefixtures("without_the_model")
def test_swapped_scale_and_bias_are_guessed(folder: Path):
    swap_scale_and_bias(folder)
    assert "are the two swapped?" in finding_at(examine(folder), "values", "LayerNorm").found


@pytest.mark.usefixtures("without_the_model")
def test_files_that_contradict_each_other_are_named_with_the_one_that_counts(folder: Path):
    write(folder, "special_tokens_map.json", {"mask_token": "[UNK]"})
    write(folder, "tokenizer_config.json", {"mask_token": "[MASK]", "model_max_length": 19})
    finding = finding_at(examine(folder), "tokenizer", "contradictions")
    assert finding.status == "warning"
    assert "mask_token is '[UNK]' in special_tokens_map.json and '[MASK]' in tokenizer_config.json, which counts" in finding.found


@pytest.mark.usefixtures("without_the_model")
def test_a_vocabulary_without_case_may_keep_it(folder: Path):
    ideographs = [chr(0x4E00 + place) for place in range(TOKENS - 6)]
    vocabulary(*VOCABULARY[:5], "a", *ideographs)(folder)
    write(folder, "tokenizer_config.json", {"do_lower_case": False, "model_max_length": 19})
    assert finding_at(examine(folder), "tokenizer", "case").status == "note"


@pytest.mark.usefixtures("without_the_model")
def test_another_file_than_the_registrys_is_bad(folder: Path, monkeypatch: pytest.MonkeyPatch):
    home = folder.parent / "home"
    (home / "checkpoints").mkdir(parents=True)
    folder.rename(home / "checkpoints" / "minilm-l6")
    monkeypatch.setenv("MINIBERT_HOME", str(home))
    checkup = examine("minilm-l6")
    assert places(checkup, "bad") == [("files", "sha256")]
    assert "for minilm-l6: it is not the published file" in checkup.verdict


@pytest.mark.usefixtures("without_the_model")
def test_a_changed_file_beside_published_weights_is_named(minilm_folder: Path, tmp_path: Path):
    for path in minilm_folder.iterdir():
        if path.is_file():
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text((minilm_folder / "config.json").read_text().replace('"gelu"', '"gelu_new"'))
    finding = finding_at(examine(tmp_path), "files", "published")
    assert finding.found == "config.json differs from what was published with the weights of minilm-l6."


def keep_what_was_fetched(folder: Path) -> None:
    """Writes fetched.json, as `minibert fetch` does."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    verdicts = [Verdict(path.relative_to(folder).as_posix(), sha256_of(path), path.stat().st_size, "") for path in files]
    write_record(folder, "a server", tuple(verdicts))


@pytest.mark.usefixtures("without_the_model")
def test_what_is_as_it_was_fetched_is_said_to_be(folder: Path):
    (folder / "1_Pooling").mkdir()
    write(folder, "1_Pooling/config.json", {"pooling_mode_mean_tokens": True})
    keep_what_was_fetched(folder)
    checkup = examine(folder)
    assert checkup.verdict == "healthy"
    for subject in ("sha256", "files beside"):
        assert finding_at(checkup, "files", subject).found.endswith(". As fetched, by fetched.json.")
    assert "1_Pooling/config.json" in finding_at(checkup, "files", "files beside").facts["sha256"]


@pytest.mark.usefixtures("without_the_model")
def test_weights_in_which_two_kernels_were_exchanged_after_the_fetch_are_bad(folder: Path):
    keep_what_was_fetched(folder)
    before = sha256_of(folder / "model.safetensors")
    tensors = load_file(folder / "model.safetensors")
    store(folder, **{QUERY: tensors[KEY], KEY: tensors[QUERY]})
    after = sha256_of(folder / "model.safetensors")
    checkup = examine(folder)
    assert places(checkup, "bad") == [("files", "sha256")]
    finding = finding_at(checkup, "files", "sha256")
    assert finding.found.startswith(
        f"model.safetensors has sha256 {after[:12]}…, fetched.json has {before[:12]}…: not the file that was fetched. {after}. "
    )
    assert finding.advice == "Fetch the files again from where they are published."
    assert finding.facts["fetched"] == {"model.safetensors": before}


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "1_Pooling/config.json", "README.md"])
def test_another_file_than_the_fetched_one_is_bad(folder: Path, name: str):
    (folder / "1_Pooling").mkdir()
    for other in ("1_Pooling/config.json", "README.md"):
        (folder / other).write_text("{}")
    keep_what_was_fetched(folder)
    before = sha256_of(folder / name)
    (folder / name).write_text((folder / name).read_text() + "\n")
    finding = one_finding(folder, "files", "files beside")
    after = sha256_of(folder / name)
    assert (finding.status, finding.found) == (
        "bad",
        f"{name} has sha256 {after[:12]}…, fetched.json has {before[:12]}…: not the file that was fetched.",
    )
    assert finding.advice == "Fetch the files again from where they are published."
    assert finding.facts["fetched"] == {name: before}


def test_a_changed_checkpoint_of_the_registry_is_fetched_again_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch):
    keep_what_was_fetched(folder)
    configure(folder, layer_norm_eps=1e-5)
    (folder.parent / "checkpoints").mkdir()
    own = folder.rename(folder.parent / "checkpoints" / "bert-base-cased")
    monkeypatch.setenv("MINIBERT_HOME", str(folder.parent))
    assert one_finding(own, "files", "files beside").advice == "Run: minibert fetch bert-base-cased --force"


def test_the_registry_still_has_its_say_about_weights_that_are_not_the_fetched_ones(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    keep_what_was_fetched(folder)
    store(folder, **{SCALE: set_to(1.0)})
    (folder.parent / "checkpoints").mkdir()
    own = folder.rename(folder.parent / "checkpoints" / "minilm-l6")
    monkeypatch.setenv("MINIBERT_HOME", str(folder.parent))
    finding = one_finding(own, "files", "sha256")
    assert "not the file that was fetched. model.safetensors has sha256 " in finding.found
    assert finding.found.endswith("for minilm-l6: it is not the published file.")
    assert finding.advice == "Run: minibert fetch minilm-l6 --force"


def test_files_that_came_later_or_are_gone_are_named(folder: Path):
    tokenizer_config = (folder / "tokenizer_config.json").read_bytes()
    (folder / "tokenizer_config.json").unlink()
    (folder / "README.md").write_text("a model")
    keep_what_was_fetched(folder)
    (folder / "tokenizer_config.json").write_bytes(tokenizer_config)
    finding = one_finding(folder, "files", "files beside")
    assert finding.status == "good"
    assert finding.found.endswith(" The others are as fetched; fetched.json does not list tokenizer_config.json.")
    (folder / "README.md").unlink()
    finding = one_finding(folder, "files", "files beside")
    assert finding.status == "note"
    assert finding.found.endswith(" Fetched and not there now: README.md.")


def test_large_files_beside_are_held_to_the_size_that_was_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "tf_model.h5").write_bytes(bytes(2000))
    keep_what_was_fetched(folder)
    monkeypatch.setattr("minibert.verification.doctor.files.LARGEST_BESIDE", 1000)
    (folder / "tf_model.h5").write_bytes(b"1" * 2000)
    finding = one_finding(folder, "files", "files beside")
    assert finding.status == "good"
    assert "tf_model.h5" not in finding.facts["sha256"]
    assert finding.found.endswith("Too large to be hashed here, and of the size that was fetched: tf_model.h5.")
    (folder / "tf_model.h5").write_bytes(bytes(2001))
    finding = one_finding(folder, "files", "files beside")
    assert finding.status == "bad"
    assert finding.found == "tf_model.h5 has 2,001 bytes, fetched.json has 2,000: not the file that was fetched."


@pytest.mark.usefixtures("without_the_model")
@pytest.mark.parametrize(
    ("record", "found"),
    [
        ("{", "fetched.json is not valid JSON"),
        ('{"files": 3}', "expected a table of files"),
        ('{"files": {"vocab.txt": {"sha256": null, "size": 3}}}', "'vocab.txt' is not a file of the folder with its sha256"),
        (json.dumps({"files": {"../x": {"sha256": "0" * 64, "size": 3}}}), "'../x' is not a file of the folder"),
        (json.dumps({"files": {"/etc/passwd": {"sha256": "0" * 64, "size": 3}}}), "'/etc/passwd' is not a file of the folder"),
    ],
)
def test_a_broken_record_of_what_was_fetched_is_only_a_note(folder: Path, record: str, found: str):
    (folder / "fetched.json").write_text(record)
    checkup = examine(folder)
    assert checkup.verdict == "healthy"
    finding = finding_at(checkup, "files", "files beside")
    assert finding.status == "note"
    assert found in finding.found
    assert set(finding.facts["sha256"]) == {"config.json", "vocab.txt", "tokenizer_config.json"}


@pytest.mark.usefixtures("without_the_model")
def test_shards_are_hashed_one_by_one(folder: Path):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = {name: f"model-{place % 2}.safetensors" for place, name in enumerate(tensors)}
    for shard in set(names.values()):
        save_file({name: tensors[name] for name in tensors if names[name] == shard}, folder / shard)
    write(folder, "model.safetensors.index.json", {"weight_map": names})
    checkup = examine(folder)
    assert checkup.verdict == "healthy"
    assert set(finding_at(checkup, "files", "sha256").facts["sha256"]) == set(names.values())


def test_the_folder_above_is_told_where_to_look(folder: Path):
    above = examine(folder.parent)
    assert above.state == "sick"
    assert finding_at(above, "files", "weights").advice == f"Give the folder inside it: {folder}"


def test_an_empty_folder_is_sick_and_nothing_else_fails(tmp_path: Path):
    checkup = examine(tmp_path)
    assert checkup.verdict.startswith(f"sick: {tmp_path} holds no files")
    assert places(checkup, "bad") == [("files", "folder"), ("files", "weights"), ("configuration", "file")]
    assert checkup.comparison is None


def test_a_folder_of_garbage_is_sick_and_nothing_fails(tmp_path: Path):
    random = np.random.default_rng(0)
    for name in ("config.json", "bert_config.json", "model.safetensors", "vocab.txt", "tokenizer.json", "added_tokens.json"):
        (tmp_path / name).write_bytes(random.bytes(2000))
    (tmp_path / "tokenizer_config.json").mkdir()
    (tmp_path / os.fsdecode(b"\xff\x1b[31m")).write_bytes(b"")
    checkup = examine(tmp_path)
    assert checkup.state == "sick"
    assert not [row for row in checkup.rows if "did not foresee" in row.finding.found]
    assert "tokenizer_config.json is no regular file" in finding_at(checkup, "files", "stand-ins").found
    assert "\x1b" not in json.dumps(parse_json_object(checkup.to_json().encode(), "the report", error=CheckpointError))
    ElementTree.fromstring(checkup.to_html())


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.usefixtures("without_the_model")
def test_flipped_bytes_in_any_file_never_stop_it(folder: Path, seed: int):
    random = np.random.default_rng(seed)
    for path in folder.iterdir():
        content = bytearray(path.read_bytes())
        for place in random.integers(0, min(len(content), 5000), 3):
            content[place] ^= 1 << int(random.integers(0, 8))
        path.write_bytes(bytes(content))
    checkup = examine(folder)
    assert not [row.finding for row in checkup.rows if "did not foresee" in row.finding.found]


@pytest.mark.parametrize("name", ["no-such-name", "no/such/folder", ""])
def test_what_is_not_there_is_an_error(name: str):
    with pytest.raises(CheckpointError):
        examine(name)


def test_a_file_is_no_folder(folder: Path):
    with pytest.raises(CheckpointError, match="model.safetensors is a file; expected the folder that holds it"):
        examine(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("name", "content", "found", "advice"),
    [
        (
            "model-00001-of-00002.safetensors",
            b"version https://git-lfs.github.com/spec/v1\n",
            "a pointer of Git LFS",
            "git lfs pull",
        ),
        ("model.safetensors", b"Entry not found", "a server's error message", "Fetch the files again"),
        ("model.safetensors", b'{"error":"no"}', "a server's error message", "Fetch the files again"),
    ],
)
def test_what_stands_in_the_place_of_weights_is_named(folder: Path, name: str, content: bytes, found: str, advice: str):
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(content)
    if name.startswith("model-"):
        write(folder, "model.safetensors.index.json", {"weight_map": {"a": name}})
    finding = one_finding(folder, "files", "weights")
    assert finding.found == f"{name} is {found}, not the weights."
    assert advice in finding.advice


@pytest.mark.parametrize("name", ["tf_model.h5", "model.onnx", "model.fp16.safetensors"])
def test_weights_in_another_form_are_named_and_not_called_absent(folder: Path, name: str):
    (folder / "model.safetensors").rename(folder / name)
    assert f"it holds {name}, a format that this version does not read" in one_finding(folder, "files", "weights").found


def test_a_link_to_a_device_is_no_link_to_nowhere(folder: Path):
    (folder / "vocab.txt").unlink()
    (folder / "vocab.txt").symlink_to(os.devnull)
    assert "vocab.txt is a link to no regular file" in one_finding(folder, "files", "stand-ins").found


def test_an_empty_folder_around_a_checkpoint_says_which_to_give(folder: Path, tmp_path: Path):
    (tmp_path / "around").mkdir()
    folder.rename(tmp_path / "around" / "inside")
    assert one_finding(tmp_path / "around", "files", "folder").advice.endswith("around/inside")


def test_the_other_files_have_hashes_too(folder: Path):
    hashes = one_finding(folder, "files", "files beside").facts["sha256"]
    assert set(hashes) == {"config.json", "vocab.txt", "tokenizer_config.json"}
    assert hashes["vocab.txt"] == hashlib.sha256((folder / "vocab.txt").read_bytes()).hexdigest()


def test_a_head_that_the_configuration_names_and_nobody_has_is_noted(folder: Path):
    configure(folder, architectures=["BertForSequenceClassification"])
    assert "no tensor of a head is there" in one_finding(folder, "weights", "head").found


def test_an_architecture_that_is_no_list_is_looked_at(folder: Path):
    configure(folder, architectures="RobertaModel")
    assert "it calls itself no BERT" in one_finding(folder, "configuration", "architecture").found


def test_heads_too_wide_to_be_meant_are_a_warning(folder: Path):
    configure(folder, num_attention_heads=24)
    assert one_finding(folder, "configuration", "head width").status == "warning"


def test_a_broken_registry_is_not_the_checkpoints_fault(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def broken() -> dict:
        raise FetchError("registry.toml is broken")

    monkeypatch.setattr("minibert.verification.doctor.files.editions", broken)
    checkup = examine(folder)
    assert checkup.state == "healthy"
    assert "registry.toml is broken" in finding_at(checkup, "files", "published").found
