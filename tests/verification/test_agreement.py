"""The models against the stored references: every error within 1.5 times the reference's own float32 error."""

from pathlib import Path

import pytest

from minibert import Bert, compare, load, record
from minibert.verification import Reference, stored_references

ROOT = Path(__file__).parent.parent.parent
MINILM_REFERENCES = ["batch", "full_512", "one_token", "pair", "single", "unicode"]
MINILM_OUTPUTS = ["embeddings.output", *(f"layers.{layer}.output" for layer in range(6)), "pooler.output"]


def test_a_golden_model_agrees_at_every_name(tiny_folder: Path):
    reference = Reference.read(tiny_folder / "reference.safetensors")
    trace = record(load(tiny_folder), reference.inputs)
    report = compare(trace, reference)
    assert report.agrees, f"\n{report}"
    assert [row.name for row in report.rows] == list(trace)
    assert set(trace) == set(reference.truth)


def test_every_stored_reference_is_read():
    assert [reference.path.stem for reference in stored_references("minilm-l6")] == MINILM_REFERENCES


@pytest.mark.parametrize("index", range(len(MINILM_REFERENCES)), ids=MINILM_REFERENCES)
def test_minilm_agrees_at_every_output(minilm: Bert, index: int):
    reference = stored_references("minilm-l6")[index]
    report = compare(record(minilm, reference.inputs, MINILM_OUTPUTS), reference)
    assert [row.name for row in report.rows] == MINILM_OUTPUTS
    assert report.agrees, f"\n{report}"


def test_the_committed_references_stay_small():
    files = [*ROOT.glob("weights/references/**/*.safetensors"), *ROOT.glob("tests/goldens/**/*.safetensors")]
    total = sum(file.stat().st_size for file in files)
    assert len(files) >= 14
    assert total < 7 * 1024 * 1024
