"""The truth and the floor that the NumPy BERT computes."""

from pathlib import Path

import numpy as np
import pytest

from minibert import InputError, TraceError, compare, load, record
from minibert.verification import Reference, oracle_of, record_numpy
from minibert.verification.oracle import FLOAT64_BUDGET, RoundedAnew, computed_reference

GOLDENS = Path(__file__).parent.parent / "goldens" / "tiny"


@pytest.fixture(scope="module", params=["gelu", "gelu_new", "relu", "silu"])
def stored(request) -> Reference:
    return Reference.read(GOLDENS / request.param / "reference.safetensors")


def test_the_floor_is_of_the_size_of_torchs_own_errors(stored: Reference):
    computed = computed_reference(stored.path.parent, stored.inputs)
    ratios = [computed.floor[name].max() / floor.max() for name, floor in stored.floor.items() if floor.max() > 0]
    assert 0.5 <= np.median(ratios) <= 3.0
    assert max(ratios) <= 12.0


def test_torchs_float32_agrees_with_what_the_numpy_bert_computes(stored: Reference):
    report = compare(stored.float32, computed_reference(stored.path.parent, stored.inputs))
    assert report.agrees, report.verdict


def test_the_same_inputs_have_the_same_floor(stored: Reference):
    first, second = (computed_reference(stored.path.parent, stored.inputs, ["layers.1.output"]) for _ in range(2))
    np.testing.assert_array_equal(first.floor["layers.1.output"], second.floor["layers.1.output"])


def test_a_number_is_moved_by_less_than_to_the_next_one():
    bert = RoundedAnew(oracle_of(GOLDENS / "gelu"), seed=0)
    values = np.array([1.0, -3.5, 1e-30, 0.0], np.float32).repeat(1000)
    moved = bert.moved(values)
    assert (np.abs(moved - values) <= np.spacing(np.abs(values))).all()
    assert (moved != values).any()
    assert moved.dtype == np.float32


def test_sums_are_the_same_but_for_their_rounding():
    bert = RoundedAnew(oracle_of(GOLDENS / "gelu"), seed=0)
    random = np.random.default_rng(0)
    left, right = random.normal(size=(2, 3, 50)).astype(np.float32), random.normal(size=(50, 4)).astype(np.float32)
    np.testing.assert_allclose(bert.product(left, right), left @ right, rtol=0, atol=1e-5)


def test_of_float64_the_floor_makes_the_budget_1e_12(stored: Reference):
    computed = computed_reference(stored.path.parent, stored.inputs, dtype="float64")
    for name, floor in computed.floor.items():
        assert (1.5 * floor).tolist() == pytest.approx([FLOAT64_BUDGET * max(1.0, np.abs(computed.truth[name]).max())] * 4)


def test_only_the_names_asked_for_are_kept(stored: Reference):
    names = ["layers.0.attention.scores", "embeddings.sum"]
    assert list(record_numpy(stored.path.parent, stored.inputs, names)) == ["embeddings.sum", "layers.0.attention.scores"]
    with pytest.raises(TraceError, match=r"layers\.9\.output is no intermediate of this model"):
        record_numpy(stored.path.parent, stored.inputs, ["layers.9.output"])


@pytest.mark.parametrize("batch", [{"input_ids": np.array([[99]])}, {"input_ids": np.array([1])}])
def test_a_batch_that_the_model_cannot_take_is_an_error(batch: dict):
    with pytest.raises(InputError, match="input_ids"):
        record_numpy(GOLDENS / "gelu", batch)


@pytest.mark.usefixtures("without_shape_checks")
def test_a_batch_that_is_no_mapping_is_an_error():
    with pytest.raises(InputError, match="the batch is a list; expected the mapping that a Tokenizer returns"):
        record_numpy(GOLDENS / "gelu", [[1, 2]])


def test_eager_compiled_and_padded_models_agree(stored: Reference):
    model = load(stored.path.parent)
    padded = {name: np.pad(values, ((0, 3), (0, 5))) for name, values in stored.inputs.items()}
    assert compare(record(model, stored.inputs), model).agrees
    report = compare(record(model, padded), model)
    assert report.agrees, report.verdict
