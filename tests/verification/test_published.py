"""Published values: the data itself, what is refused of it, and the check of a checkpoint against it."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from minibert import Tokenizer, TraceError
from minibert.checkpoints.parameters import read_parameters
from minibert.checkpoints.registry import registry, weights_folder
from minibert.numpy_bert import NumpyBert, NumpyOutput
from minibert.verification.published import PublishedResult, check_published, published_values, read_published
from minibert.verification.published.records import OUT_OF_REACH, QUANTITIES

GELU = Path(__file__).parent.parent / "goldens" / "tiny" / "gelu"

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "cat", "sat", *(f"word{place}" for place in range(9, 37))]
IDS = [[2, 5, 7, 3], [2, 8, 3, 0]]
MASK = [[1, 1, 1, 1], [1, 1, 1, 0]]

Write = Callable[..., list[Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small checkpoint with both heads of pretraining and a vocabulary."""
    shutil.copytree(GELU, tmp_path / "checkpoint")
    random = np.random.default_rng(5)
    shapes = {
        "predictions.transform.dense.weight": (24, 24),
        "predictions.transform.dense.bias": (24,),
        "predictions.transform.LayerNorm.weight": (24,),
        "predictions.transform.LayerNorm.bias": (24,),
        "predictions.bias": (37,),
        "seq_relationship.weight": (2, 24),
        "seq_relationship.bias": (2,),
    }
    heads = {f"cls.{name}": random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(load_file(GELU / "model.safetensors") | heads, tmp_path / "checkpoint" / "model.safetensors")
    (tmp_path / "checkpoint" / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return tmp_path / "checkpoint"


@pytest.fixture
def written(tmp_path: Path) -> Write:
    """Reads records of the checkpoint "tiny" back from a file; each is given as the fields that are its own."""

    def write(*records: dict[str, Any]) -> list[Any]:
        common = {"checkpoint": "tiny", "publisher": "a test", "sources": ["this file"]}
        whole = {"about": ["for a test"], "checkpoints": {"tiny": {}}, "records": [common | record for record in records]}
        path = tmp_path / "published.json"
        path.write_text(json.dumps(whole), encoding="utf-8")
        return [record for record, _ in read_published(path)]

    return write


def truth(folder: Path, ids: list[list[int]], mask: list[list[int]] | None = None, **overrides: str) -> NumpyOutput:
    """The whole forward pass in float64, by the NumPy BERT alone."""
    oracle = NumpyBert(*read_parameters(folder, **overrides))
    return oracle(np.array(ids), None if mask is None else np.array(mask))


def hidden_states(folder: Path, **changes: Any) -> dict[str, Any]:
    values = truth(folder, IDS, MASK).hidden_states[-1][:, [0, -2]][:, :, [3, 4, -1]]
    return {
        "quantity": "last_hidden_state",
        "hidden_act": "gelu_erf",
        "input": {"input_ids": IDS, "attention_mask": MASK},
        "slice": [None, [0, -2], [3, 4, -1]],
        "values": values.tolist(),
        "tolerance": {"kind": "float32"},
    } | changes


def fill_mask(folder: Path, score: str | None, /, **changes: Any) -> dict[str, Any]:
    """The three best tokens at both [MASK]s of "the [MASK] sat" and "[MASK]"."""
    output = truth(folder, [[2, 5, 4, 8, 3], [2, 4, 3, 0, 0]], [[1] * 5, [1, 1, 1, 0, 0]])
    assert output.masked_lm_logits is not None
    logits = output.masked_lm_logits[[0, 1], [2, 1]]
    logarithms = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    scores = {"logit": logits, "probability": np.exp(logarithms), "loss": -logarithms}.get(score or "")
    best = np.argsort(-logits)[:, :3]
    values = [
        [[WORDS[one], int(one) if score == "logit" else None, None if scores is None else float(scores[row, one])] for one in ids]
        for row, ids in enumerate(best)
    ]
    return {
        "quantity": "fill_mask",
        "hidden_act": "gelu_erf",
        "input": {"texts": ["the [MASK] sat", "[MASK]"]},
        "values": values,
        "tolerance": {"kind": "float32" if score else "exact"},
    } | ({"score": score} if score else {}) | changes  # fmt: skip


def embedding(folder: Path, pooling: str, normalised: bool, mask: list[list[int]], **changes: Any) -> dict[str, Any]:
    hidden = truth(folder, IDS, mask).hidden_states[-1]
    real = np.array(mask)[:, :, None]
    vectors = hidden[:, 0] if pooling == "cls" else (hidden * real).sum(axis=1) / real.sum(axis=1)
    if normalised:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return {
        "quantity": "sentence_embedding",
        "hidden_act": "gelu_erf",
        "pooling": pooling,
        "normalised": normalised,
        "input": {"texts": ["the cat", "sat"], "attends_to_padding": mask != MASK},
        "values": vectors.tolist(),
        "tolerance": {"kind": "float32"},
    } | changes


def test_every_record_is_sound_and_every_name_is_the_registrys():
    records = read_published(weights_folder() / "published.json")
    assert len(records) == 57
    assert {record.quantity for record, _ in records} == set(QUANTITIES) | set(OUT_OF_REACH)
    whole = json.loads((weights_folder() / "published.json").read_text(encoding="utf-8"))
    assert set(whole["checkpoints"]) == {record["checkpoint"] for record in whole["records"]}
    named = {name for known_as in whole["checkpoints"].values() for name in known_as.get("registry", ())}
    assert len(named) == 10
    assert named <= set(registry())


def test_a_checkpoint_is_known_by_its_name_its_publishers_name_and_its_weights():
    assert len(published_values("minilm-l6")) == len(published_values("sentence-transformers/all-MiniLM-L6-v2")) == 9
    sha256 = "dab2c2bddcfb48ea430ef63fd76d46d67d704487844d967256a50dd7d7fd0a66"
    assert [record.checkpoint for record in published_values(sha256)] == ["prajjwal1/bert-tiny"]
    assert published_values("nothing") == []


def test_what_was_published_of_the_default_checkpoint_holds(minilm_folder: Path, minilm):
    report = check_published(minilm_folder, published_values("minilm-l6"), model=minilm)
    assert report.summary == "9 published values hold"
    # Those who computed with the tanh form are met a hundred times closer than the two forms are to one another.
    candle = next(result for result in report.results if result.record.quantity == "last_hidden_state")
    assert candle.difference < 6e-5


def test_the_tokens_that_were_published_of_the_uncased_vocabulary_hold(minilm_folder: Path):
    # The vocabulary of bert-base-uncased is that of the default checkpoint.
    records = [record for record in published_values("bert-base-uncased") if record.quantity in ("input_ids", "token_type_ids")]
    report = check_published(minilm_folder, records)
    assert report.summary == "3 published values hold"


def test_token_ids_that_were_published_are_those_of_their_tokens(minilm_folder: Path):
    tokenizer = Tokenizer.from_folder(minilm_folder)
    records = [record for record in published_values("bert-base-uncased") if record.quantity == "fill_mask"]
    candidates = [candidate for record in records for row in record.values for candidate in row]
    assert all(candidate.token in tokenizer.vocabulary.ids for candidate in candidates if candidate.token)
    named = [candidate for candidate in candidates if candidate.token and candidate.token_id]
    assert len(named) > 15
    assert all(tokenizer.vocabulary.ids[candidate.token] == candidate.token_id for candidate in named)


def every_quantity(folder: Path) -> list[dict[str, Any]]:
    output = truth(folder, IDS, MASK)
    assert output.pooler_output is not None and output.masked_lm_logits is not None and output.next_sentence_logits is not None
    of_ids = {"hidden_act": "gelu_erf", "input": {"input_ids": IDS, "attention_mask": MASK}, "tolerance": {"kind": "float32"}}
    vectors = np.array(embedding(folder, "mean", True, MASK)["values"])
    texts = {"texts": [["the cat", "sat"]]}
    tanh = truth(folder, IDS, MASK, hidden_act="gelu_tanh").hidden_states[-1]
    return [
        hidden_states(folder),
        hidden_states(folder, hidden_act="gelu_tanh", slice=[None, None, None], values=tanh.tolist()),
        of_ids | {"quantity": "pooler_output", "slice": [[1], [0, 5]], "values": output.pooler_output[1:, [0, 5]].tolist()},
        of_ids | {"quantity": "masked_lm_logits", "slice": [[0], [1], None], "values": output.masked_lm_logits[:1, 1:2].tolist()},
        of_ids | {"quantity": "next_sentence_logits", "values": output.next_sentence_logits.tolist()},
        *(fill_mask(folder, score) for score in ("probability", "logit", "loss", None)),
        embedding(folder, "mean", True, MASK),
        embedding(folder, "cls", False, MASK, tolerance={"kind": "cosine", "at_least": 0.999}),
        embedding(folder, "mean", False, [[1] * 4] * 2, tolerance={"kind": "stated", "atol": 1e-5, "rtol": 1e-5}),
        {
            "quantity": "cosine_similarity",
            "hidden_act": "gelu_erf",
            "pooling": "mean",
            "input": {"texts": ["the cat", "sat"]},
            "pairs": [[0, 1], [1, 1]],
            "values": [round(float(vectors[0] @ vectors[1]), 2), 1.0],
            "tolerance": {"kind": "printed", "decimals": 2},
        },
        {"quantity": "input_ids", "input": texts, "values": [[2, 5, 7, 3, 8, 3]], "tolerance": {"kind": "exact"}},
        {"quantity": "token_type_ids", "input": texts, "values": [[0, 0, 0, 0, 1, 1]], "tolerance": {"kind": "exact"}},
    ]  # fmt: skip


def test_every_quantity_of_a_checkpoint_is_met(folder: Path, written: Write):
    records = every_quantity(folder)
    assert {record["quantity"] for record in records} == set(QUANTITIES)
    report = check_published(folder, written(*records))
    assert report.agrees
    assert report.summary == f"{len(records)} published values hold", "\n".join(map(str, report.results))


def test_every_quantity_parts_where_what_was_published_is_another_one(folder: Path, written: Write):
    def changed(values: Any) -> Any:
        """The last number moved by 2 %, or by one where it is a whole number."""
        if isinstance(values, list):
            return [*values[:-1], changed(values[-1])]
        return values + 1 if isinstance(values, int) else values * 1.02 if isinstance(values, float) else values

    records = every_quantity(folder)
    for record in records:
        is_ranking = record["quantity"] == "fill_mask" and "score" not in record
        if is_ranking or record["tolerance"]["kind"] == "cosine":
            record["values"] = [row[::-1] for row in record["values"]]
        else:
            record["values"] = changed(record["values"])
    report = check_published(folder, written(*records))
    assert [str(result) for result in report.results if not result.parts] == []
    assert report.summary == f"0 published values hold; {len(records)} PART"


def test_a_better_token_that_was_not_published_parts(folder: Path, written: Write):
    for score in ("probability", "logit", "loss"):
        record = fill_mask(folder, score)
        record["values"] = [row[1:] for row in record["values"]]
        assert not check_published(folder, written(record)).agrees


def test_a_token_that_the_vocabulary_lacks_parts(folder: Path, written: Write):
    for score in ("probability", None):
        record = fill_mask(folder, score)
        record["values"][0][0][0] = "unheard"
        (result,) = check_published(folder, written(record)).results
        assert result.parts


def test_the_activation_is_the_publishers(folder: Path, written: Write):
    values = truth(folder, IDS, MASK).hidden_states[-1].tolist()
    (result,) = check_published(folder, written(hidden_states(folder, hidden_act="gelu_tanh", slice=None, values=values))).results
    assert result.parts
    assert 1e-4 < result.difference < 1e-1


@pytest.mark.parametrize(("decimals", "agrees"), [(4, True), (5, False)])
def test_what_was_printed_with_few_decimals_is_met_to_half_of_the_last_one(
    folder: Path, written: Write, decimals: int, agrees: bool
):
    values = (truth(folder, IDS, MASK).hidden_states[-1] + 4.9e-5).tolist()
    tolerance = {"kind": "printed", "decimals": decimals}
    (result,) = check_published(folder, written(hidden_states(folder, slice=None, values=values, tolerance=tolerance))).results
    assert result.agrees is agrees
    assert result.tolerance == pytest.approx(0.5 * 10.0**-decimals + 1e-5)


def test_what_the_checkpoint_lacks_is_said_and_not_checked(folder: Path, written: Write):
    of_ids = {"hidden_act": "gelu_erf", "input": {"input_ids": IDS}, "tolerance": {"kind": "float32"}}
    record = of_ids | {"quantity": "next_sentence_logits", "values": [[0.0, 1.0], [0.0, 1.0]]}
    records = written(
        fill_mask(folder, "loss"), record, of_ids | {"quantity": "pooler_output", "slice": [[0], [0]], "values": [[0.5]]}
    )
    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(("cls.", "pooler."))}
    save_file(kept, folder / "model.safetensors")
    report = check_published(folder, records)
    assert report.agrees
    assert report.summary == (
        "0 published values hold; 3 not checked (the checkpoint has no masked-language-model head; the checkpoint has no pooler)"
    )
    kept |= {name: tensor for name, tensor in tensors.items() if name.startswith("pooler.")}
    save_file(kept, folder / "model.safetensors")
    assert [result.unchecked for result in check_published(folder, records[1:2]).results] == [
        "the checkpoint has no next-sentence head"
    ]


def test_what_is_out_of_reach_or_doubtful_is_kept_and_not_checked(folder: Path, written: Write):
    records = written(
        {"quantity": "entities", "input": "Jane", "values": [["PER", "Jane"]], "tolerance": {"kind": "exact"}},
        hidden_states(folder, unchecked="cut in the source"),
    )
    report = check_published(folder, records)
    assert report.summary == "0 published values hold; 2 not checked (needs a token-classification head; cut in the source)"
    assert [result.verdict for result in report.results] == ["not checked"] * 2
    assert str(report.results[0]) == "entities of 'Jane', published by a test: not checked, needs a token-classification head"


def test_a_parting_value_is_named_with_its_publisher_and_its_note(folder: Path, written: Write):
    values = np.add(hidden_states(folder)["values"], 0.25).tolist()
    report = check_published(folder, written(hidden_states(folder), hidden_states(folder, values=values, note="hasty")))
    assert report.summary == "1 published value holds; 1 PARTS"
    (parting,) = report.parting
    said = "PARTS, with a difference of 0.25 where 1e-05 is allowed; its note: hasty"
    assert str(parting) == f"last_hidden_state of '8 ids', published by a test: {said}"


def test_no_number_never_agrees(folder: Path, written: Write):
    (record,) = written(hidden_states(folder))
    assert PublishedResult(record, math.nan, 1.0).parts


def test_weights_that_are_no_numbers_part(folder: Path, written: Write):
    tensors = load_file(folder / "model.safetensors")
    tensors["encoder.layer.1.output.LayerNorm.bias"] = np.full(24, np.nan, np.float32)
    records = written(hidden_states(folder), fill_mask(folder, "probability"), embedding(folder, "mean", True, MASK))
    save_file(tensors, folder / "model.safetensors")
    assert [result.verdict for result in check_published(folder, records).results] == ["PARTS"] * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slice": [[0], [0], [24]], "values": [[[0.5]]]}, r"an index of axis 2 lies outside of the shape \[1, 1, 24\]"),
        ({"slice": [[0], None, [0]], "values": [[[0.5]]]}, r"published of shape \[1, 1, 1\], computed of \[1, 4, 1\]"),
    ],
)
def test_a_record_that_does_not_fit_the_checkpoint_is_refused(folder: Path, written: Write, changes: Any, message: str):
    with pytest.raises(TraceError, match=message):
        check_published(folder, written(hidden_states(folder, **changes)))


def test_as_many_values_as_there_are_masks(folder: Path, written: Write):
    with pytest.raises(TraceError, match=r"the input has 1 tokens \[MASK\], and values were published for 2"):
        check_published(folder, written(fill_mask(folder, "loss", input={"texts": ["the [MASK]", "sat"]})))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantity": "logits"}, "quantity is 'logits'; expected one of last_hidden_state"),
        ({"publisher": ""}, "publisher is ''; expected a text"),
        ({"sources": []}, r"sources is \[\]; expected a list of texts"),
        ({"checkpoint": "other"}, "is of 'other', which is not among the checkpoints"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'; expected one of gelu_erf"),
        ({"hidden_act": None}, "hidden_act is missing"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"input": {"input_ids": [[1, 2], [3]]}}, "expected whole numbers with 2 axes"),
        ({"input": {"input_ids": [[1, 2.5]]}}, "expected whole numbers with 2 axes"),
        ({"input": {"input_ids": [[1, 2]], "attention_mask": [[1]]}}, "input_ids, attention_mask have different shapes"),
        ({"input": {"texts": "the cat"}}, "expected a list of texts, or one of pairs of texts"),
        ({"input": {"texts": ["the cat", ["a", "b"]]}}, "expected a list of texts, or one of pairs of texts"),
        ({"input": {"texts": ["a"], "attends_to_padding": 1}}, "attends_to_padding is 1; expected true or false"),
        ({"input": {"words": ["a"]}}, "input_ids is missing"),
        ({"slice": [[0], [0]]}, "expected a list of indices, or null, for each of 3 axes"),
        ({"slice": [[0], [0], []]}, "expected a list of indices, or null, for each of 3 axes"),
        ({"slice": [None, None, [0, 1]]}, r"values is of shape \[2, 2, 3\]; its slice or pairs call for \[None, None, 2\]"),
        ({"values": [[0.5]]}, r"values is of shape \[1, 1\]"),
        ({"values": [[[0.5], [0.5, 1.0]]]}, "values is no array of numbers"),
        ({"values": None}, "values is missing"),
        ({"tolerance": {"kind": "close"}}, "kind is 'close'; expected one of stated"),
        ({"tolerance": {"kind": "stated", "atol": -1e-4, "rtol": 0.0}}, "atol is -0.0001; expected a number from 0"),
        ({"tolerance": {"kind": "stated", "atol": 1e-4}}, "rtol is missing"),
        ({"tolerance": {"kind": "float32", "atol": 1e-4}}, "unknown key 'atol'"),
        ({"tolerance": {"kind": "exact"}}, "floating-point numbers cannot be held to"),
        ({"pooling": "mean"}, "unknown key 'pooling'"),
        ({"note": 3}, "note is 3; expected a text"),
    ],
)  # fmt: skip
def test_a_malformed_record_is_refused_and_named(folder: Path, written: Write, changes: dict[str, Any], message: str):
    with pytest.raises(TraceError, match=rf"published\.json.*record 1.*{message}"):
        written(hidden_states(folder), hidden_states(folder, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": []}, "values is no list of the best tokens"),
        ({"values": [[["the", 5]]]}, r"expected \[token, id, score\]"),
        ({"values": [[[None, None, 0.5]]]}, r"expected \[token, id, score\]"),
        ({"values": [[["the", -1, 0.5]]]}, r"expected \[token, id, score\]"),
        ({"values": [[["the", 5, None]]]}, r"expected \[token, id, score\]"),
        ({"values": [[]]}, r"expected \[token, id, score\]"),
        ({"score": "chance"}, "score is 'chance'; expected one of probability, logit, loss"),
        ({"tolerance": {"kind": "exact"}}, "a ranking is exact, and only a ranking"),
    ],
)
def test_malformed_best_tokens_are_refused(folder: Path, written: Write, changes: dict[str, Any], message: str):
    with pytest.raises(TraceError, match=rf"record 0 \(fill_mask\): .*{message}"):
        written(fill_mask(folder, "probability", **changes))


@pytest.mark.parametrize("values", [[[2, 5], [3]], [["the"]], [], 2])
def test_malformed_ids_are_refused(written: Write, values: Any):
    with pytest.raises(TraceError, match=r"record 0 \(input_ids\): values is no list of whole numbers for each text"):
        written({"quantity": "input_ids", "input": {"texts": ["the"]}, "values": values, "tolerance": {"kind": "exact"}})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "expected an object"),
        ("{}", "about is missing"),
        ('{"about": ["x"], "checkpoints": {"a": {"names": ["b"]}}, "records": []}', "a: unknown key 'names'"),
        ('{"about": ["x"], "checkpoints": {}, "records": {}}', "records is no list"),
        ('{"about": ["x"], "checkpoints": {}, "records": [1]}', "record 0: expected an object, found 1"),
        ('{"about": ["x"], "checkpoints": {}, "records": [], "more": 1}', "unknown key 'more'"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: str, message: str):
    (tmp_path / "published.json").write_text(content, encoding="utf-8")
    with pytest.raises(TraceError, match=message):
        read_published(tmp_path / "published.json")
