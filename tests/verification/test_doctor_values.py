"""The doctor: values that no trained BERT has, vocabularies of other weights, and what may not be read."""

import errno
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sick_checkpoints import (
    HIDDEN,
    LETTERS,
    QUERY,
    SCALE,
    VOCABULARY,
    WORDS,
    configure,
    forget_the_training,
    healthy_checkpoint,
    set_to,
    store,
    swap_scale_and_bias,
    vocabulary,
)

from minibert import TokenizerError
from minibert.tokenizer import Vocabulary
from minibert.verification.doctor import agreement, configuration, inventory, tokenizer_settings, weight_values
from minibert.verification.doctor import vocabulary as vocabulary_checks
from minibert.verification.doctor.patient import CONFIGURATION_REFUSED, NO_VOCABULARY, NotCheckedError, Patient
from minibert.verification.doctor.tensor_statistics import PIECE, statistics_of

# Hundreds of sick folders: the checks of shapes are on where the arrays are computed, in the tests of the model and of traces.
pytestmark = pytest.mark.usefixtures("without_shape_checks")

BIAS = "encoder.layer.1.output.dense.bias"
NORM_BIAS = SCALE.replace("weight", "bias")
TOKEN_TYPES = "embeddings.token_type_embeddings.weight"
POOLER = "pooler.dense.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return healthy_checkpoint(tmp_path / "tiny")


# Magnitude.


@pytest.mark.parametrize(
    ("name", "place", "value", "found"),
    [
        (BIAS, (17,), 1e30, f"{BIAS} (1e+30 at [17])"),
        (NORM_BIAS, (3,), -1e6, f"{NORM_BIAS} (-1e+06 at [3])"),
        (TOKEN_TYPES, (2, 5), 1e5, f"{TOKEN_TYPES} (1e+05 at [2, 5])"),
        (WORDS, (30, 1), 1e4, f"{WORDS} (1e+04 at [30, 1])"),
        (POOLER, (0, 0), 2e4, f"{POOLER} (2e+04 at [0, 0])"),
    ],
)
def test_one_value_that_no_bert_has_is_bad_wherever_it_stands(folder: Path, name: str, place, value: float, found: str):
    store(folder, **{name: set_to(value, place)})
    finding = weight_values.magnitude(Patient(folder))
    assert finding.status == "bad"
    assert found in finding.found
    assert finding.advice


def test_one_large_value_is_a_warning_and_a_smaller_one_is_not(folder: Path):
    store(folder, **{QUERY: set_to(-100.0, (4, 6))})
    finding = weight_values.magnitude(Patient(folder))
    assert (finding.status, f"{QUERY} (-100 at [4, 6])" in finding.found) == ("warning", True)
    store(folder, **{QUERY: set_to(99.0, (4, 6))})
    assert weight_values.magnitude(Patient(folder)).status == "good"


def test_the_largest_value_is_named_first(folder: Path):
    store(folder, **{BIAS: set_to(1e5, 0), QUERY: set_to(1e6, 0)})
    assert weight_values.magnitude(Patient(folder)).facts["names"] == [QUERY, BIAS]


def test_what_the_model_does_not_use_is_not_judged_by_its_size(folder: Path):
    store(
        folder, **{"cls.predictions.bias": np.full(37, 1e6, np.float32), "embeddings.position_ids": np.full(19, 1e5, np.float32)}
    )
    assert weight_values.magnitude(Patient(folder)).status == "good"


def test_where_float16_ended_is_said_beside_what_is_too_large(folder: Path):
    store(folder, **{BIAS: set_to(65504.0, 2)})
    finding = weight_values.magnitude(Patient(folder))
    assert finding.status == "bad"
    assert "1 value of exactly ±65,504" in finding.found
    assert "float32 or bfloat16" in finding.advice


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_the_place_of_the_largest_value_counts_over_all_pieces(dtype):
    values = np.ones((3, PIECE), dtype)
    values[0, 5], values[1, 7], values[1, 9], values[2, 1] = 2.0, np.nan, -8.0, 8.0
    found = statistics_of(values)
    assert (found.magnitude, found.furthest) == (8.0, (1, 9))


def test_statistics_without_a_finite_value_have_no_largest():
    found = statistics_of(np.full(3, np.inf, np.float32))
    assert (found.magnitude, found.furthest) == (0.0, None)


def test_values_whose_squares_are_too_large_have_their_spread():
    assert statistics_of(np.full(4, 1e300)).deviation == 0.0


# Spread.


def test_an_impossible_spread_is_bad(folder: Path):
    store(folder, **{QUERY: lambda kernel: kernel * 1e27})
    finding = weight_values.spread(Patient(folder))
    assert (finding.status, finding.facts["names"]) == ("bad", [f"{QUERY} (5e+26)"])


def test_a_spread_too_large_for_float64_is_bad(folder: Path):
    store(folder, **{QUERY: lambda kernel: kernel.astype(np.float64) * 1e300})
    assert weight_values.spread(Patient(folder)).status == "bad"


def test_a_kernel_far_below_those_of_other_layers_is_odd(folder: Path):
    store(folder, **{QUERY: lambda kernel: kernel * 0.005})
    finding = weight_values.spread(Patient(folder))
    assert (finding.status, QUERY in finding.found) == ("warning", True)


def test_a_tiny_spread_is_odd_where_no_other_layer_has_the_kernel(folder: Path):
    store(folder, **{POOLER: lambda kernel: kernel * 1e-7})
    finding = weight_values.spread(Patient(folder))
    assert (finding.status, POOLER in finding.found) == ("warning", True)


# LayerNorm.


def test_scale_and_bias_that_are_clearly_swapped_are_bad(folder: Path):
    swap_scale_and_bias(folder)
    finding = weight_values.layer_norms(Patient(folder))
    assert (finding.status, finding.facts["names"]) == ("bad", [SCALE])
    assert "are the two swapped?" in finding.found


@pytest.mark.parametrize(
    "changes",
    [
        {SCALE: lambda scale: -scale},
        {SCALE: set_to(0.0, slice(0, 22)), NORM_BIAS: set_to(0.4)},
        {SCALE: lambda scale: np.where(np.arange(HIDDEN) < 12, 0, 3).astype(np.float32), NORM_BIAS: set_to(1.0)},
        {SCALE: set_to(0.0, slice(0, 20)), NORM_BIAS: lambda bias: np.where(np.arange(HIDDEN) < 12, 0, 3).astype(np.float32)},
    ],
    ids=["negative", "small bias", "large scale", "half a bias"],
)
def test_low_scales_without_a_bias_like_a_scale_are_only_odd(folder: Path, changes: dict[str, Callable]):
    store(folder, **changes)
    finding = weight_values.layer_norms(Patient(folder))
    assert finding.status == "warning"
    assert "swapped" not in finding.found


# What was never trained.


def forget_a_layer(folder: Path, **others: float) -> None:
    """The vectors of layer 1 as they are before training, but for `others`, which are that number throughout."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name, array in tensors.items():
        if name.startswith("encoder.layer.1.") and array.ndim == 1:
            tensors[name] = np.full_like(array, others.get(name, float(name.endswith("LayerNorm.weight"))))
    save_file(tensors, path)


def test_a_layer_that_was_initialised_anew_is_bad_and_named(folder: Path):
    forget_a_layer(folder)
    finding = weight_values.constant(Patient(folder))
    assert finding.status == "bad"
    assert finding.found.startswith("Layer 1 of 2, from 0: never trained, or initialised anew.")


def test_a_layer_with_one_trained_vector_is_no_new_one(folder: Path):
    bias = load_file(folder / "model.safetensors")[BIAS]
    forget_a_layer(folder)
    store(folder, **{BIAS: bias})
    assert weight_values.constant(Patient(folder)).status == "note"


def test_a_layer_of_other_constants_is_no_new_one(folder: Path):
    forget_a_layer(folder, **{BIAS: 0.25})
    assert weight_values.constant(Patient(folder)).status == "note"


def test_a_layer_that_lacks_vectors_is_no_new_one(folder: Path):
    forget_a_layer(folder)
    store(folder, without=BIAS)
    assert weight_values.constant(Patient(folder)).status == "note"


def test_a_model_that_was_never_trained_is_bad(folder: Path):
    forget_the_training(folder)
    finding = weight_values.constant(Patient(folder))
    assert finding.status == "bad"
    assert finding.advice == "Its results are random; get the trained weights."


def test_constant_vectors_beside_kernels_of_another_spread_are_only_odd(folder: Path):
    forget_the_training(folder)
    store(folder, **{QUERY: lambda kernel: kernel * 2})
    finding = weight_values.constant(Patient(folder))
    assert (finding.status, "as if it was never trained" in finding.found) == ("warning", True)


def test_without_a_configuration_kernels_are_held_against_berts_own_initial_spread(folder: Path):
    forget_the_training(folder)
    (folder / "config.json").unlink()
    assert weight_values.constant(Patient(folder)).status == "warning"
    tensors = load_file(folder / "model.safetensors")
    small = {name: array * np.float32(0.04 if array.ndim == 2 else 1) for name, array in tensors.items()}
    save_file(small, folder / "model.safetensors")
    assert weight_values.constant(Patient(folder)).status == "bad"


# The vocabulary.


def pad_the_table(folder: Path, rows: int) -> None:
    store(folder, **{WORDS: np.random.default_rng(0).normal(0, 0.5, (rows, HIDDEN)).astype(np.float32)})


def test_a_vocabulary_without_a_line_is_bad(folder: Path):
    vocabulary(*VOCABULARY[:10], *VOCABULARY[11:])(folder)
    finding = vocabulary_checks.rows(Patient(folder))
    assert finding.status == "bad"
    assert "36 tokens and 37 rows in the table of word embeddings: the last 1 have no token" in finding.found
    assert "gives every token behind the first missing line the wrong vector" in finding.found


def test_a_table_padded_to_a_round_number_is_noted(folder: Path):
    pad_the_table(folder, 40)
    finding = vocabulary_checks.rows(Patient(folder))
    assert (finding.status, "padded to a round number, 40" in finding.found) == ("note", True)


@pytest.mark.parametrize(("tokens", "status"), [(289, "note"), (288, "bad")])
def test_a_table_is_padded_to_the_next_round_number_and_no_further(folder: Path, tokens: int, status: str):
    pad_the_table(folder, 296)
    vocabulary(*VOCABULARY, *(f"more{number}" for number in range(tokens - len(VOCABULARY))))(folder)
    assert vocabulary_checks.rows(Patient(folder)).status == status


def test_an_id_of_a_token_that_the_vocabulary_lacks_is_not_compared(folder: Path):
    vocabulary(*VOCABULARY[:4], *LETTERS)(folder)
    configure(folder, mask_token_id=4, cls_token_id=2)
    finding = vocabulary_checks.stated_ids(Patient(folder))
    assert (finding.status, finding.found) == ("good", "The configuration and the vocabulary agree on [PAD], [CLS].")


def test_a_fifth_of_capitalised_tokens_makes_a_vocabulary_cased(folder: Path):
    vocabulary(*VOCABULARY[:5], *LETTERS, "The", "Of", "And", "To", "In", "Is")(folder)
    finding = tokenizer_settings.case(Patient(folder))
    assert (finding.status, "the vocabulary looks cased" in finding.found) == ("warning", True)


def test_a_large_table_of_zeros_without_a_vocabulary_is_looked_at_quickly(folder: Path):
    (folder / "vocab.txt").unlink()
    store(folder, **{WORDS: np.zeros((200_000, 4), np.float32)})
    patient = Patient(folder)
    begin = time.process_time()
    finding = vocabulary_checks.zero_rows(patient)
    assert time.process_time() - begin < 3.0
    assert "200,000 rows of the table all zero: row 1, row 2, row 3, row 4, row 5 and 199,994 more" in finding.found
    assert "No two rows" in vocabulary_checks.equal_rows(patient).found


def test_a_token_given_twice_is_found_in_linear_time():
    tokens = [str(number) for number in range(100_000)]
    begin = time.process_time()
    with pytest.raises(TokenizerError, match="holds the token '99999' twice, on lines 100000 and 100001"):
        Vocabulary([*tokens, tokens[-1]])
    assert time.process_time() - begin < 3.0


# What cannot be read.


def test_what_fails_again_and_again_keeps_a_short_traceback(folder: Path):
    (folder / "vocab.txt").unlink()
    patient = Patient(folder)
    for _ in range(1000):
        with pytest.raises(NotCheckedError) as failure:
            _ = patient.vocabulary
    assert (failure.value.reason, failure.value.problem) == (NO_VOCABULARY, NO_VOCABULARY)
    assert len(traceback.extract_tb(failure.value.__traceback__)) < 5


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets nobody look into a folder, root included."""

    def stat(path: Path, **_: bool) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", stat)


@pytest.mark.usefixtures("forbidden")
@pytest.mark.parametrize(
    ("read", "file"),
    [
        (lambda patient: patient.config_file, "config.json"),
        (lambda patient: patient.config, "config.json"),
        (lambda patient: patient.vocabulary_file, "vocab.txt"),
        (lambda patient: patient.vocabulary, "vocab.txt"),
        (lambda patient: patient.tokenizer, "vocab.txt"),
    ],
    ids=["config_file", "config", "vocabulary_file", "vocabulary", "tokenizer"],
)
def test_a_folder_that_may_not_be_read_is_said_to_be_one(tmp_path: Path, read: Callable[[Patient], object], file: str):
    with pytest.raises(NotCheckedError) as failure:
        read(Patient(tmp_path))
    assert failure.value.problem == f"{tmp_path / file} may not be read by this user"


@pytest.mark.usefixtures("forbidden")
def test_a_vocabulary_that_may_not_be_read_is_not_said_to_be_missing(tmp_path: Path):
    finding = vocabulary_checks.file(Patient(tmp_path))
    assert finding.status == "bad"
    assert "may not be read" in finding.found


# The configuration.


def test_keys_that_are_refused_hide_neither_sizes_nor_tensors(folder: Path):
    configure(folder, model_type="roberta", is_decoder=True, vocab_size=38)
    patient = Patient(folder)
    assert patient.refused_keys == ["model_type", "is_decoder"]
    assert patient.config.vocab_size == 38
    assert inventory.mis_shaped(patient).status == "bad"


def test_a_model_with_refused_keys_does_not_load(folder: Path):
    configure(folder, model_type="roberta")
    with pytest.raises(NotCheckedError, match="asks for what minibert does not compute, so that the model does not load"):
        agreement.loading(Patient(folder))
    assert "model_type is 'roberta'" in configuration.keys(Patient(folder)).found


def test_sizes_that_are_no_berts_are_refused(folder: Path):
    configure(folder, num_attention_heads=5)
    with pytest.raises(NotCheckedError) as failure:
        _ = Patient(folder).config
    assert failure.value.reason == CONFIGURATION_REFUSED


def test_a_depth_beyond_the_number_of_tensors_is_not_built(folder: Path):
    configure(folder, num_hidden_layers=1000)
    with pytest.raises(NotCheckedError, match="the configuration has more layers than the weights have tensors"):
        _ = Patient(folder).shapes
