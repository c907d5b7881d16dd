"""The doctor: what the model computes and costs, what stops no check, and the forms of a checkup."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from sick_checkpoints import (
    KEY,
    QUERY,
    VOCABULARY,
    WORDS,
    claim_everything,
    configure,
    cut_the_weights,
    finding_at,
    healthy_checkpoint,
    places,
    set_to,
    store,
    vocabulary,
)

from minibert import CheckpointError, load
from minibert.strict_json import parse_json_object
from minibert.verification.doctor import Checkup, Finding, Row, examine
from minibert.verification.doctor.examination import CHECKS, Check, finding_of
from minibert.verification.doctor.patient import NotCheckedError, Patient
from minibert.verification.doctor.tensor_statistics import PIECE, statistics_of
from minibert.verification.faults import FAULTS, plant
from minibert.verification.sample_texts import PAIR, TEXTS

# Hundreds of sick folders: the checks of shapes are on where the arrays are computed, in the tests of the model and of traces.
pytestmark = pytest.mark.usefixtures("without_shape_checks")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return healthy_checkpoint(tmp_path / "tiny")


def test_a_model_that_computes_something_else_is_found_and_diagnosed(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("minibert.verification.doctor.patient.load", lambda path: plant(load(path), "gelu_tanh", layer=1))
    checkup = examine(folder)
    assert places(checkup, "bad") == [("agreement", "intermediates")]
    finding = finding_at(checkup, "agreement", "intermediates")
    assert "parts first at layers.1.feed_forward.activation" in checkup.verdict
    assert f"The likely reason: {FAULTS['gelu_tanh'].meaning}" in finding.found
    assert checkup.comparison.first_disagreement.name == "layers.1.feed_forward.activation"


def test_nan_in_the_weights_is_named_in_what_is_computed(folder: Path):
    store(folder, **{QUERY: set_to(np.nan, (3, 5))})
    checkup = examine(folder)
    assert finding_at(checkup, "agreement", "intermediates").found.endswith("first in layers.0.attention.query.")


def test_what_overflows_in_float32_alone_is_named(folder: Path):
    store(folder, **{QUERY: lambda kernel: kernel * 1e25, KEY: lambda kernel: kernel * 1e25})
    finding = finding_at(examine(folder), "agreement", "intermediates")
    assert finding.status == "bad"
    assert "in layers.0.attention.scores at" in finding.found
    assert "while in float64 all values are finite" in finding.found


def test_weights_too_large_for_float32_do_not_load(folder: Path):
    store(folder, **{QUERY: lambda kernel: kernel.astype(np.float64) * 1e300})
    checkup = examine(folder)
    assert "has values too large for param_dtype float32" in finding_at(checkup, "agreement", "loading").found
    assert finding_at(checkup, "agreement", "intermediates").found == "Not checked: the model does not load."


def test_without_a_tokenizer_random_ids_are_compared(folder: Path):
    (folder / "vocab.txt").unlink()
    checkup = examine(folder)
    assert finding_at(checkup, "agreement", "texts").found.startswith("Without a tokenizer: 12 rows of random ids")
    assert finding_at(checkup, "agreement", "intermediates").status == "good"


def test_a_model_of_a_single_token_type_sees_a_pair_as_one(folder: Path):
    store(folder, **{"embeddings.token_type_embeddings.weight": lambda table: table[:1]})
    configure(folder, type_vocab_size=1)
    assert finding_at(examine(folder), "agreement", "intermediates").status == "good"


def test_a_model_too_large_for_the_machine_is_not_computed(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("minibert.verification.doctor.patient.memory", lambda: 80_000)
    checkup = examine(folder)
    assert places(checkup, "warning") == [("agreement", "loading")]
    assert checkup.state == "usable"
    assert "takes at least 88.2 kB of memory; this machine has 80.0 kB" in finding_at(checkup, "agreement", "loading").found
    assert finding_at(checkup, "cost", "batch").found.startswith("Not checked")


def test_of_a_large_model_the_outputs_of_layers_are_compared(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("minibert.verification.doctor.agreement.MOST_VALUES", 1000)
    checkup = examine(folder)
    names = [row.name for row in checkup.comparison.rows]
    assert names == ["embeddings.output", "layers.0.output", "layers.1.output", "pooler.output"]


def test_weights_beyond_the_limit_are_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("minibert.verification.doctor.patient.LARGEST_WEIGHTS", 40_000)
    patient = Patient(folder)
    for check in CHECKS:
        if check.group == "values" or check.subject in ("sha256", "tied kernel", "equal rows"):
            assert "the weights hold 44.1 kB, over the limit of 40.0 kB" in finding_of(check, patient).found


def test_the_texts_are_a_dozen_and_of_all_kinds():
    assert len(TEXTS) + 1 == 12
    assert "" in TEXTS
    assert all(isinstance(text, str) and text for text in PAIR)
    assert any("[MASK]" in text for text in TEXTS)
    assert {"東", "é", "😀", "и"} <= set("".join(TEXTS))


def test_cost_is_measured_and_said_to_be_this_machines(folder: Path):
    checkup = examine(folder)
    one, batch = (finding_at(checkup, "cost", subject).facts for subject in ("one text", "batch"))
    assert (one["rows"], batch["rows"]) == (1, 8)
    assert 0.0 < one["milliseconds"] < 1000.0
    # A kept program would be read in less than that.
    assert finding_at(checkup, "cost", "compilation").facts["seconds"] > 0.05
    assert "this machine's" in finding_at(checkup, "cost", "machine").found


# The machinery.


def test_a_check_that_fails_does_not_stop_the_others(folder: Path):
    def surprise(patient: Patient) -> Finding:
        raise RuntimeError("surprise")

    finding = finding_of(Check("files", "surprise", surprise), Patient(folder))
    assert finding.status == "bad"
    assert "did not foresee: RuntimeError: surprise" in finding.found


def test_what_cannot_be_read_is_tried_once(folder: Path, monkeypatch: pytest.MonkeyPatch):
    cut_the_weights(folder)
    patient = Patient(folder)
    for _ in range(3):
        with pytest.raises(NotCheckedError, match="the weights cannot be read") as failure:
            _ = patient.stored
        assert "cut short" in failure.value.problem
        (folder / "model.safetensors").unlink(missing_ok=True)


def test_every_finding_that_needs_action_says_which(folder: Path):
    claim_everything(folder)
    vocabulary(*VOCABULARY, "more")(folder)
    for row in examine(folder).rows:
        assert bool(row.finding.advice) or row.finding.status in ("good", "note"), row


def test_statistics_over_pieces_are_those_of_the_whole():
    values = np.random.default_rng(0).normal(3.0, 2.0, (3, PIECE)).astype(np.float32)
    values[2, 7], values[2, 9] = np.nan, np.inf
    found = statistics_of(values)
    finite = values[np.isfinite(values)].astype(np.float64)
    assert (found.nans, found.infinities, found.first_broken) == (1, 1, (2, 7))
    assert (found.smallest, found.largest) == (finite.min(), finite.max())
    assert found.mean == pytest.approx(finite.mean(), rel=1e-12)
    assert found.deviation == pytest.approx(finite.std(), rel=1e-12)


def test_equal_bytes_alone_have_equal_digests():
    values = np.arange(6, dtype=np.float32)
    assert statistics_of(values).digest == statistics_of(values.copy()).digest
    others = (values.reshape(2, 3), values.view(np.float16), values + 1)
    assert len({statistics_of(array).digest for array in (values, *others)}) == 4


# The forms.

MARKUP = '<script>alert("it\'s")</script> &amp; \x1b[31m'


def test_the_page_is_well_formed_and_holds_no_markup_from_the_folder(folder: Path):
    hostile = folder.with_name("<b>&\"'")
    folder.rename(hostile)
    store(hostile, **{WORDS: lambda table: table[[0, 1, 2, 3, 4, *[5] * 2, *range(7, 37)]]})
    tokens = list(VOCABULARY)
    tokens[6] = '<script>alert("&")</script>'
    vocabulary(*tokens)(hostile)
    checkup = examine(hostile)
    text = checkup.to_html()
    root = ElementTree.fromstring(text)
    assert not {"script", "b", "link", "img"} & {element.tag for element in root.iter()}
    assert root.find("head/title").text == root.find(".//h1").text == "minibert doctor: <b>&\"'"
    assert tokens[6] in "".join(root.itertext())
    assert not re.search(r"src=|://|url\(|@import", text)
    marks = [element for element in root.iter("g") if "mark" in element.get("class", "").split()]
    assert len(marks) == len(checkup.comparison.rows)
    (texts,) = root.iter("ol")
    assert [item.text or "" for item in texts] == [*TEXTS, " + ".join(PAIR)]


def test_nothing_that_is_found_reaches_a_terminal_as_a_command():
    row = Row("files", "folder", Finding("bad", MARKUP, MARKUP))
    checkup = Checkup(Path("x"), (row,), None)
    assert "\x1b" not in checkup.verdict + row.finding.advice
    assert "<script>" not in checkup.to_html()


def test_what_could_not_be_checked_is_shown_once_for_each_reason(tmp_path: Path):
    checkup = examine(tmp_path)
    rows = dict(checkup.groups())["values"]
    assert len(rows) == 1
    assert rows[0].subject.startswith("finite, magnitude, constant")


def test_json_is_strict_and_holds_every_finding(folder: Path):
    checkup = examine(folder)
    read = parse_json_object(checkup.to_json().encode(), "the report", error=CheckpointError)
    assert (read["verdict"], read["state"], read["folder"]) == ("healthy", "healthy", str(folder))
    assert [(found["check"], found["subject"], found["status"]) for found in read["findings"]] == [
        (row.group, row.subject, row.finding.status) for row in checkup.rows
    ]
    assert read["comparison"]["agrees"] is True
    assert "minibert" in read["versions"]


def test_numbers_that_json_has_not_are_null():
    facts = {"worst_ratio": float("inf"), "names": ["\ud800"]}
    checkup = Checkup(Path("x"), (Row("agreement", "intermediates", Finding("bad", "a", "b", facts)),), None)
    (found,) = parse_json_object(checkup.to_json().encode(), "the report", error=CheckpointError)["findings"]
    assert found["facts"] == {"worst_ratio": None, "names": ["\N{REPLACEMENT CHARACTER}"]}
