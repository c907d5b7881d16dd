"""Models, rows and a task that are learned in a second, and what the tests of training compare."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from minibert import Bert, BertConfig, BertWithHeads
from minibert.model.bert_with_heads import HeadsOutput
from minibert.model.dropout import dropout
from minibert.model.heads import new_head
from minibert.model.numerics import Dense
from minibert.model.paths import path_of
from minibert.model.tap import Tap, identity
from minibert.training import LOSSES, OptimiserOptions
from minibert.training.inference import logits_of
from minibert.training.loop import Trained, fit
from minibert.training.options import TrainingOptions
from minibert.training.parallel import Placement
from minibert.training.rows import Rows
from minibert.training.step import Objective

CONFIG = BertConfig(
    vocab_size=40,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=32,
    max_position_embeddings=16,
    initializer_range=0.1,
)
OBJECTIVE = Objective({"sequence_classification": LOSSES["sequence_classification"]})


WITHOUT_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def small_model(head: str = "sequence_classification", num_labels: int = 2, **overrides: Any) -> BertWithHeads:
    """BERT of two layers; `overrides` are of its configuration."""
    config = BertConfig(**{**vars(CONFIG), **overrides})
    made = new_head(head, config, num_labels, config.hidden_dropout_prob, rngs=nnx.Rngs(1))
    return BertWithHeads(Bert(config, rngs=nnx.Rngs(0)), {head: made})


class BagOfWords(nnx.Module):
    """The mean of word vectors, half of it dropped, under one dense layer: compiled in a moment, for tests of the loop alone.

    With a head of which each token has logits there is no mean.
    """

    def __init__(self, head: str = "sequence_classification", dropout_prob: float = 0.5) -> None:
        self.config = CONFIG
        self.head, self.dropout_prob = head, dropout_prob
        self.word = nnx.Param(jax.random.normal(jax.random.key(0), (40, 8)))
        self.dense = Dense(8, 2, CONFIG, rngs=nnx.Rngs(1))

    def __call__(
        self,
        input_ids: Array,
        attention_mask: Array,
        token_type_ids: Array,
        *,
        dropout_key: Array | None = None,
        tap: Tap = identity,
    ) -> HeadsOutput:
        words = jnp.asarray(self.word[...])[input_ids] * attention_mask[:, :, None]
        rows = words.reshape(-1, 8)
        if self.head == "sequence_classification":
            rows = tap("mean", words.sum(axis=1) / attention_mask.sum(axis=1, keepdims=True))
        logits = tap("logits", self.dense(dropout(rows, self.dropout_prob, dropout_key)))
        shape = logits.shape if self.head == "sequence_classification" else (*input_ids.shape, 2)
        return HeadsOutput({self.head: logits.reshape(shape)}, words, None, None, None)


def small_rows(count: int = 50, seed: int = 0) -> Rows:
    """Of 3 to 12 tokens: whether token 7 is among them."""
    random = np.random.default_rng(seed)
    ids, labels = [], []
    for number in range(count):
        row = random.integers(8, 40, random.integers(3, 13)).astype(np.int32)
        label = number % 2
        if label:
            row[random.integers(1, len(row))] = 7
        ids.append(row)
        labels.append(np.array(label, np.int32))
    return Rows(ids, [np.zeros_like(row) for row in ids], labels)


def small_options(**options: Any) -> TrainingOptions:
    of_optimiser = OptimiserOptions(learning_rate=options.pop("learning_rate", 3e-3))
    return TrainingOptions(**{"epochs": 2, "batch_size": 8, "log_every": 1, "optimiser": of_optimiser} | options)


def accuracy_on(rows: Rows) -> Any:
    def evaluate(model: Any, placement: Placement) -> dict[str, float]:
        logits = logits_of(model, rows, placement=placement)
        return {"accuracy": float(np.mean([row.argmax() == label for row, label in zip(logits, rows.labels, strict=True)]))}

    return evaluate


def short_training(folder: Path | None, **arguments: Any) -> Trained:
    """Eight steps of a bag of words: states at each second one, evaluations at the fourth and the last."""
    rows = small_rows(16)
    options = small_options(batch_size=4, checkpoint_every=2, evaluate_every=4, log_every=3, learning_rate=0.05)
    defaults = {"evaluate": accuracy_on(rows), "best_by": "accuracy", "folder": folder}
    return fit(BagOfWords(), rows, OBJECTIVE, options, **defaults | arguments)


def leaves_of(tree: Any) -> dict[str, np.ndarray]:
    """The arrays of a tree by their paths, in this process's memory."""
    return {path_of(keys): np.asarray(leaf) for keys, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def differing(first: Any, second: Any) -> list[str]:
    """The paths of the arrays that are not the same to the bit."""
    ours, others = leaves_of(first), leaves_of(second)
    assert ours.keys() == others.keys()
    return [path for path in ours if ours[path].tobytes() != others[path].tobytes()]


def halving_tap(name: str) -> tuple[Tap, dict[str, Any]]:
    """A tap that halves what comes by the name, and what it has seen by every name."""
    seen: dict[str, Any] = {}

    def tap(at: str, value: Any) -> Any:
        seen[at] = value
        return value * 0.5 if at == name else value

    return tap, seen
