"""Scores of the masked tokens alone give the loss and the gradients that scores of all tokens give."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from minibert import Bert, BertConfig, BertWithHeads
from minibert.model.bert_with_heads import HeadsOutput
from minibert.model.heads import HEADS, Encoded, MaskedLanguageModel, new_head
from minibert.training.losses import IGNORED, LOSSES
from minibert.training.parallel import Placement
from minibert.training.pretraining.masked_places import (
    MaskedPlaces,
    masked_lm_loss,
    with_masked_places,
    without_masked_places,
)
from minibert.training.pretraining.measuring import measure

CONFIG = BertConfig(
    vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, max_position_embeddings=12
)
ROWS, TOKENS, MOST = 6, 12, 3


def batch_of_rows() -> dict[str, Any]:
    """Rows of up to MOST masked tokens; the last has no label at all."""
    random = np.random.default_rng(0)
    ids = random.integers(5, 50, (ROWS, TOKENS)).astype(np.int32)
    labels = np.full(ids.shape, IGNORED, np.int32)
    for number in range(ROWS - 1):
        places = random.permutation(TOKENS)[: number % (MOST + 1)]
        labels[number, places] = random.integers(5, 50, len(places))
    following = np.array([0, 1, 0, 1, 1, IGNORED], np.int32)
    batch = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return batch | {"labels": {"masked_lm": labels, "next_sentence": following}}


def test_loss_and_gradients_are_those_of_all_scores():
    labels = jnp.asarray(batch_of_rows()["labels"]["masked_lm"])
    hidden = jax.random.normal(jax.random.key(0), (ROWS, TOKENS, 16))
    table = jax.random.normal(jax.random.key(1), (50, 16))
    head = MaskedLanguageModel(CONFIG, rngs=nnx.Rngs(0))

    def whole(head: MaskedLanguageModel, hidden: jax.Array, table: jax.Array) -> jax.Array:
        return LOSSES["masked_lm"](head(Encoded(hidden, None, table)), labels)

    def of_places(head: MaskedLanguageModel, hidden: jax.Array, table: jax.Array) -> jax.Array:
        loss = masked_lm_loss(CONFIG, MOST)
        unscored: Any = MaskedPlaces(head)(Encoded(hidden, None, table))
        return (loss.sums(unscored, labels, None) / loss.weights(labels, TOKENS, None)).mean()

    (expected, those), (found, gradients) = (
        jax.jit(jax.value_and_grad(function, argnums=(0, 1, 2)))(head, hidden, table) for function in (whole, of_places)
    )
    assert float(found) == pytest.approx(float(expected), rel=1e-6)
    for ours, theirs in zip(jax.tree.leaves(gradients), jax.tree.leaves(those), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * float(jnp.abs(theirs).max()))


def test_the_parameters_are_the_same_arrays_there_and_back():
    rngs = nnx.Rngs(0)
    heads = {name: new_head(name, CONFIG, 2, 0.0, rngs=rngs) for name in HEADS["pretraining"]}
    model = BertWithHeads(Bert(CONFIG, rngs=rngs), heads)
    back = without_masked_places(with_masked_places(model))
    assert jax.tree.structure(back) == jax.tree.structure(model)
    assert all(one is other for one, other in zip(jax.tree.leaves(back), jax.tree.leaves(model), strict=True))


class BagOfWords(nnx.Module):
    """Word vectors in place of an encoder, under the heads of pre-training."""

    def __init__(self) -> None:
        self.config = CONFIG
        self.table = nnx.Param(jax.random.normal(jax.random.key(0), (50, 16)))
        self.masked_lm: nnx.Module = MaskedLanguageModel(CONFIG, rngs=nnx.Rngs(0))
        self.pairs = new_head("next_sentence", CONFIG, 2, 0.0, rngs=nnx.Rngs(1))

    def __call__(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> HeadsOutput:
        hidden = self.table[...][jnp.asarray(input_ids)]
        encoded = Encoded(hidden, hidden.mean(axis=1), self.table[...])
        return HeadsOutput({"masked_lm": self.masked_lm(encoded), "next_sentence": self.pairs(encoded)}, hidden, None, None, None)


class SixRows:
    def __len__(self) -> int:
        return ROWS

    def batch(
        self, numbers: Any, size: int, *, pad_token_id: int = 0, widest: int | None = None, share: slice = slice(None)
    ) -> dict[str, Any]:
        chosen = [*numbers, *[ROWS - 1] * (size - len(numbers))]
        return jax.tree.map(lambda array: array[chosen], batch_of_rows())


def test_what_is_measured_is_what_all_scores_say():
    model, batch = BagOfWords(), batch_of_rows()
    labels = batch.pop("labels")
    logits = {name: np.asarray(values, np.float64) for name, values in model(**batch).logits_by_head.items()}
    counted = labels["masked_lm"] != IGNORED
    scores, right = logits["masked_lm"][counted], labels["masked_lm"][counted]
    loss = np.mean(np.log(np.exp(scores).sum(axis=-1)) - scores[np.arange(len(right)), right])
    expected = {
        "masked_lm_probability": float(np.exp(-loss)),
        "masked_lm_loss": float(loss),
        "masked_lm_accuracy": np.mean(scores.argmax(axis=-1) == right),
        "next_sentence_accuracy": np.mean(logits["next_sentence"].argmax(axis=-1)[:5] == labels["next_sentence"][:5]),
    }
    model.masked_lm = MaskedPlaces(model.masked_lm)
    found = measure(model, SixRows(), MOST, batch_size=4, placement=Placement("1x1"), pad_token_id=0)
    assert found == pytest.approx(expected, rel=1e-5)
