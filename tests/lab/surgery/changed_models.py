"""A small model in several changed forms, a tokenizer for it, and a training of fifty steps."""

from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx
from small_lab import small_model

import minibert
from minibert import BertWithHeads, lab
from minibert.model.heads import new_head
from minibert.training import LOSSES, OptimiserOptions
from minibert.training.loop import fit
from minibert.training.options import TrainingOptions
from minibert.training.rows import Rows
from minibert.training.step import Objective

HEAD = "sequence_classification"


def rotary(model: Any) -> Any:
    without = lab.swapped(model, "embeddings", lab.EmbeddingsWithoutPositions)
    return lab.swapped(without, "layers.*.attention", lab.RotaryAttention)


def gated(model: Any) -> Any:
    return lab.swapped(model, "layers.*.feed_forward", lab.GatedFeedForward, from_scratch=True)


def local(model: Any) -> Any:
    return lab.swapped(model, "layers.*.attention", lab.LocalAttention, window=2)


def shared(model: Any) -> Any:
    return lab.with_layers(gated(model), [0, 1, 1], shared=True)


CHANGES = {"rotary": rotary, "gated": gated, "local": local, "shared": shared}


def with_head(labels: int = 2) -> BertWithHeads:
    bert = small_model(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return BertWithHeads(bert, {HEAD: new_head(HEAD, bert.config, labels, 0.0, rngs=nnx.Rngs(1))})


def tokenizer_in(folder: Path) -> minibert.Tokenizer:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"[unused{number}]" for number in range(25))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return minibert.Tokenizer.from_folder(folder)


def trained(model: Any, learning_rate: float = 5e-3) -> tuple[Any, list[float]]:
    """Fifty steps on whether a text's first token is one of the upper half."""
    random = np.random.default_rng(0)
    ids = [random.integers(1, 30, 6).astype(np.int32) for _ in range(40)]
    labels = [np.asarray(row[0] > 15, np.int32) for row in ids]
    rows = Rows(ids, [np.zeros(6, np.int32)] * 40, labels)
    optimiser = OptimiserOptions(learning_rate=learning_rate)
    options = TrainingOptions(epochs=10, batch_size=8, devices="1x1", optimiser=optimiser, log_every=1)
    done = fit(model, rows, Objective({HEAD: LOSSES[HEAD]}), options)
    return done.model, [record["loss"] for record in done.records if "loss" in record]
