"""Every intermediate of every layer against transformers on torch, live: eager, compiled and padded within torch's own floor."""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torch_floor import floor_over_orders, random_batch, random_bert, unpadded, with_other_order

from minibert import Bert, load, record
from minibert.model.tap import intermediate_names
from minibert.verification import load_transformers, record_transformers
from minibert.verification.measures import error_of_each_text, root_mean_square
from minibert.verification.oracle import FLOAT64_BUDGET
from minibert.verification.report import BUDGET
from minibert.verification.sample_texts import sample_batch
from minibert.verification.trace import Recorder

pytestmark = pytest.mark.reference

Values = Mapping[str, np.ndarray]


def eager(model: Bert, batch: Values) -> dict[str, np.ndarray]:
    """Each operation by itself, nothing compiled together."""
    recorder = Recorder()
    model.forward(
        **{name: jnp.asarray(array) for name, array in record(model, batch, ["embeddings.sum"]).inputs.items()}, tap=recorder
    )
    return {name: np.asarray(values) for name, values in recorder.recorded.items()}


def padded(model: Bert, batch: Values) -> dict[str, np.ndarray]:
    """In a larger batch, with more texts and longer rows, of which the surplus is cut off again."""
    texts, tokens = batch["input_ids"].shape
    more = min(5, model.config.max_position_embeddings - tokens)
    larger = {name: np.pad(array, ((0, 3), (0, more))) for name, array in batch.items()}
    return {name: unpadded(name, values, texts, tokens) for name, values in record(model, larger).items()}


WAYS = {"eager": eager, "compiled": record, "padded": padded}


def assert_within_the_floor(folder: Path, theirs: object, batch: Values) -> None:
    truth = record_transformers(theirs.double(), batch)
    floor = floor_over_orders(theirs.float(), batch, truth)
    model = load(folder)
    assert set(truth) == set(intermediate_names(model.config.num_hidden_layers))
    for way, run in WAYS.items():
        values = run(model, batch)
        assert set(values) == set(truth)
        errors = {name: error_of_each_text(name, values[name], truth[name], batch["attention_mask"]).max() for name in truth}
        assert all(errors[name] == 0.0 for name in truth if floor[name] == 0.0)
        ratios = {name: float(errors[name] / floor[name]) for name in truth if floor[name]}
        assert len(ratios) >= len(truth) - len(("word", "position", "token_type"))
        over = {name: ratio for name, ratio in ratios.items() if not ratio <= BUDGET}
        assert not over, f"{way}: {over}"
    with jax.enable_x64(True):
        in_float64 = record(load(folder, dtype="float64"), batch)
    for name, values in in_float64.items():
        assert values.dtype == np.float64
        error = error_of_each_text(name, values, truth[name], batch["attention_mask"]).max()
        assert error <= FLOAT64_BUDGET * max(1.0, np.abs(truth[name]).max()), name


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=[pytest.mark.long] if seed >= 7 else []) for seed in range(20)])
def test_every_name_of_a_random_model_is_within_torchs_own_floor(tmp_path: Path, seed: int):
    random = np.random.default_rng(seed)
    tokens = int(random.integers(4, 12))
    # Not narrower: an error of a handful of values is luck.
    theirs = random_bert(seed, random, tokens, least_width=4)
    theirs.save_pretrained(tmp_path)
    assert_within_the_floor(tmp_path, theirs, random_batch(theirs, random, 8, tokens))


def test_every_name_of_the_trained_model_is_within_torchs_own_floor(minilm_folder: Path, minilm_tokenizer):
    theirs = load_transformers(minilm_folder)
    assert_within_the_floor(minilm_folder, theirs, sample_batch(minilm_tokenizer, load(minilm_folder).config))


def test_another_order_of_features_is_the_same_function(tmp_path: Path):
    random = np.random.default_rng(1)
    theirs = random_bert(1, random, 6, least_width=4)
    batch = random_batch(theirs, random, 3, 6)
    truth = record_transformers(theirs.double(), batch)
    other, reordered = with_other_order(theirs, 0)
    found = record_transformers(other, batch)
    for name, values in found.items():
        np.testing.assert_allclose(values, reordered(name, truth[name]), rtol=0, atol=1e-12 * max(1.0, np.abs(truth[name]).max()))
    assert root_mean_square(found["embeddings.word"] - truth["embeddings.word"]) > 0.0
