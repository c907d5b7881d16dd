"""What is trained: BERT with the head of a task, or the baseline, and its tokenizer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from minibert.checkpoints.heads import load_with_head
from minibert.checkpoints.loading import load
from minibert.checkpoints.registry import folder_of, resolve
from minibert.checkpoints.writing import save
from minibert.errors import TokenizerError
from minibert.model import BertWithHeads
from minibert.tokenizer import Tokenizer
from minibert.tokenizer.folder import has_vocabulary
from minibert.training.baseline import (
    LstmConfig,
    input_embeddings,
    lstm_with_head,
    out_of_vocabulary,
    read_word_vectors,
    save_baseline,
    table_for,
    word_tokenizer,
    words_of,
)
from minibert.training.finetuning.options import FinetuneOptions
from minibert.training.losses import IGNORED, LOSSES
from minibert.training.rows import Rows
from minibert.training.step import Objective
from minibert.training.tasks import TASKS, DescribedTask

PROBLEM_TYPES = {
    "classify": "single_label_classification",
    "pair": "single_label_classification",
    "regress": "regression",
    "multilabel": "multi_label_classification",
}
"""transformers' words for what the labels of `BertForSequenceClassification` are."""


class Words(NamedTuple):
    """What a baseline's vectors are of."""

    tokenizer: Tokenizer
    table: np.ndarray
    unknown: float
    """The share of the words to train on that have no vector, from 0 to 1."""


def tokenizer_of(model: str | Path) -> Tokenizer:
    """The tokenizer of a checkpoint. Raises CheckpointError and TokenizerError."""
    path = resolve(model)
    folder = folder_of(path)
    if path.is_file() and not has_vocabulary(folder):
        raise TokenizerError(
            f"{path} is a file with neither vocab.txt nor tokenizer.json beside it; expected the folder of a checkpoint, or the "
            "weights in one"
        )
    return Tokenizer.from_folder(folder)


def words_for(options: FinetuneOptions, texts: Sequence[str], others: Sequence[str]) -> Words:
    """The vectors of a baseline, for texts to train on and others to evaluate with. Raises InputError for a broken file."""
    if options.vectors is None:
        tokenizer = tokenizer_of(options.model)
        vectors = input_embeddings(load(options.model), tokenizer)
    else:
        vectors = read_word_vectors(options.vectors, words_of([*texts, *others]))
        tokenizer = word_tokenizer(vectors)
    return Words(tokenizer, table_for(tokenizer, vectors, options.training.seed), out_of_vocabulary(tokenizer, texts))


def task_of(options: FinetuneOptions, tokenizer: Tokenizer, labels: tuple[str, ...], examples: Sequence[Any]) -> DescribedTask:
    """The task with its labels. Raises InputError for settings that it does not have."""
    settings = dict(options.task_settings)
    if options.task in ("classify", "regress", "multilabel"):
        settings.setdefault("takes_pairs", examples[0].text_pair is not None)
    if options.task == "qa" and all(example.answers for example in examples):
        # Who never saw a question without an answer cannot say that there is none.
        settings.setdefault("null_threshold", None)
    longest = tokenizer.model_max_length
    kind: Any = TASKS[options.task]
    if "max_length" not in settings and longest is not None:
        settings["max_length"] = min(kind.max_length, longest)
    _fit_windows(options.task, settings, kind)
    task: DescribedTask = kind(tokenizer, labels, **settings)
    return task


def _fit_windows(task: str, settings: dict[str, Any], kind: Any) -> None:
    """What nobody gave becomes as small as rows of few tokens need it."""
    length = settings.get("max_length", kind.max_length)
    if type(length) is not int or task not in ("tag", "qa"):
        return
    room = length - 2
    if task == "qa":
        question = settings.setdefault("max_question_length", max(1, min(kind.max_question_length, (length - 3) // 3)))
        settings.setdefault("max_answer_length", max(1, min(kind.max_answer_length, length)))
        room = length - 3 - question if type(question) is int else 0
    settings.setdefault("stride", max(0, min(kind.stride, room // 2)))


def new_model(options: FinetuneOptions, task: DescribedTask, words: Words | None) -> Any:
    """What training begins with. Raises CheckpointError as `minibert.load`; a NewHeadWarning says what is random numbers yet."""
    if words is not None:
        vocab_size, word_width = words.table.shape
        config = LstmConfig(
            vocab_size,
            word_width,
            hidden_size=options.lstm_size,
            trains_vectors=options.trains_vectors,
            head=task.head,
            num_labels=task.num_labels or 2,
            dropout=LstmConfig.dropout if options.dropout is None else options.dropout,
        )
        return lstm_with_head(config, words.table, rngs=nnx.Rngs(options.training.seed))
    overrides: dict[str, Any] = {"dtype": options.dtype, "param_dtype": "float32"}
    if options.dropout is not None:
        overrides |= {"hidden_dropout_prob": options.dropout, "attention_probs_dropout_prob": options.dropout}
    return load_with_head(
        options.model,
        task.head,
        num_labels=task.num_labels,
        seed=options.training.seed,
        replace_head=options.replace_head,
        dropout_prob=options.dropout,
        **overrides,
    )


def objective_of(options: FinetuneOptions, task: DescribedTask, rows: Rows) -> Objective:
    """What is minimised, with the weights of the classes where they are to be balanced."""
    losses = {task.head: LOSSES[task.loss]}
    if not options.balanced:
        return Objective(losses)
    labels = np.concatenate([np.ravel(label) for label in rows.labels])
    counts = np.bincount(labels[labels != IGNORED], minlength=len(task.labels))
    # A class that does not occur, the I- of a rare entity for one, weighs nothing that could be seen.
    weights = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return Objective(losses, {task.head: jnp.asarray(weights, jnp.float32)})


def save_trained(model: Any, task: DescribedTask, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the model into a new folder: of BERT one that transformers opens, labels included."""
    if not isinstance(model, BertWithHeads):
        save_baseline(model, tokenizer, folder, task.labels)
        return
    save(model, tokenizer, folder, labels=task.labels or None, problem_type=PROBLEM_TYPES.get(task.name))
