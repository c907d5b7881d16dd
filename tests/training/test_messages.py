"""The example of short messages: what its files hold, and that a small BERT learns them."""

import csv
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minibert
from minibert.training import LOSSES, OptimiserOptions
from minibert.training.inference import logits_of
from minibert.training.loop import fit
from minibert.training.options import TrainingOptions
from minibert.training.parallel import Placement
from minibert.training.rows import Rows
from minibert.training.step import Objective

MESSAGES = Path(__file__).parent.parent.parent / "examples" / "messages"
LABELS = ("complaint", "praise", "question", "request")
pytestmark = pytest.mark.skipif(not MESSAGES.exists(), reason="the examples come with the repository, not with the package")


def messages(name: str) -> list[tuple[str, str]]:
    with open(MESSAGES / f"{name}.tsv", encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    assert head == ["text", "label"] and all(len(row) == 2 for row in rows)
    return [(text, label) for text, label in rows]


def words_of(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()


@pytest.mark.parametrize(("name", "of_each"), [("train", 60), ("eval", 20)])
def test_every_label_has_as_many_messages(name: str, of_each: int):
    assert Counter(label for _, label in messages(name)) == dict.fromkeys(LABELS, of_each)


def test_messages_are_short_and_plain():
    for text, _ in [*messages("train"), *messages("eval")]:
        assert 5 <= len(text.split()) <= 25 and text.isascii() and text == " ".join(text.split()), text


def test_no_message_is_another_in_other_words():
    """Two of them share at most half of their words' pairs, whichever files they are in."""
    texts = [text for text, _ in [*messages("train"), *messages("eval")]]
    pairs = [(text, set(pairwise(words_of(text)))) for text in texts]
    for number, (text, own) in enumerate(pairs):
        for other, of_other in pairs[:number]:
            assert len(own & of_other) <= min(len(own), len(of_other)) / 2, (text, other)


def rows_of(name: str, tokenizer: minibert.Tokenizer) -> Rows:
    texts, labels = zip(*messages(name), strict=True)
    ids = [np.array(tokenizer.encode(text), np.int32) for text in texts]
    return Rows(ids, [np.zeros_like(row) for row in ids], [np.array(LABELS.index(label), np.int32) for label in labels])


def accuracy(model: Any, rows: Rows) -> float:
    logits = logits_of(model, rows, placement=Placement("1x1"))
    return float(np.mean([row.argmax() == label for row, label in zip(logits, rows.labels, strict=True)]))


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::minibert.NewHeadWarning")
def test_minilm_learns_them(minilm_folder: Path, minilm_tokenizer: minibert.Tokenizer, without_shape_checks: None):
    """Of the 80 unseen messages 0.9125, 0.9000 and 0.8625 were right with the seeds 0, 1 and 2; guesses would be 0.25."""
    model = minibert.load(minilm_folder, head="sequence_classification", num_labels=len(LABELS), seed=0)
    objective = Objective({"sequence_classification": LOSSES["sequence_classification"]})
    options = TrainingOptions(epochs=3, batch_size=16, devices="1x1", optimiser=OptimiserOptions(learning_rate=3e-4))
    trained = fit(model, rows_of("train", minilm_tokenizer), objective, options)
    assert accuracy(trained.model, rows_of("eval", minilm_tokenizer)) >= 0.75
