"""The recipe of `finetuning.py` written plainly with transformers on torch: the side that minibert is compared with."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from finetuning_data import Data, Example
from finetuning_recipe import Outcome, Recipe
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    get_linear_schedule_with_warmup,
)

IGNORED = -100


class Draws(NamedTuple):
    """What chance decides in a training without dropout."""

    start: Path
    """A checkpoint with the new head."""
    labels: list[str]
    """Of the head, in its order; none for a number."""
    rows_of_step: Callable[[int], list[int]]
    """The rows' numbers."""


def finetune_with_torch(
    kind: str, data: Data, recipe: Recipe, checkpoint: Path, seed: int, draws: Draws | None = None
) -> Outcome:
    """Train on `data.train` and predict `data.evaluation`; the last step's parameters count. With `draws` without dropout."""
    torch.manual_seed(seed)
    labels = draws.labels if draws else _labels(kind, data.train)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    auto = AutoModelForTokenClassification if kind == "tag" else AutoModelForSequenceClassification
    rates = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.0} if draws else {}
    model = auto.from_pretrained(draws.start if draws else checkpoint, num_labels=len(labels) or 1, **rates)
    rows = _encoded(kind, tokenizer, data.train, labels, recipe.max_length)
    steps = recipe.epochs * -(-len(rows) // recipe.batch_size)
    batches = map(draws.rows_of_step, range(steps)) if draws else _shuffled(len(rows), recipe, seed)
    losses = _train(model, ([rows[number] for number in batch] for batch in batches), steps, tokenizer.pad_token_id, recipe)
    return Outcome(_predictions(kind, model, tokenizer, data.evaluation, labels, recipe), losses)


def _labels(kind: str, examples: Sequence[Example]) -> list[str]:
    """None for a number."""
    if kind == "regress":
        return []
    return sorted({tag for _, tags in examples for tag in tags} if kind == "tag" else {label for _, label in examples})


def _shuffled(rows: int, recipe: Recipe, seed: int) -> Iterator[Sequence[int]]:
    """The rows of every step: all of them once in each epoch."""
    generator = np.random.default_rng(seed)
    for _ in range(recipe.epochs):
        yield from _portions(generator.permutation(rows).tolist(), recipe.batch_size)


def _train(model: Any, batches: Iterable[list[dict[str, Any]]], steps: int, pad_token_id: int, recipe: Recipe) -> list[float]:
    """The loss of every step."""
    parameters = list(model.named_parameters())
    groups = [
        {"params": [value for name, value in parameters if _decays(name)], "weight_decay": recipe.weight_decay},
        {"params": [value for name, value in parameters if not _decays(name)], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.999), eps=recipe.epsilon)
    schedule = get_linear_schedule_with_warmup(optimiser, round(recipe.warm_up * steps), steps)
    losses = []
    model.train()
    for rows in batches:
        loss = model(**_batch(rows, pad_token_id)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_gradient_norm)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    return losses


def _decays(name: str) -> bool:
    return not name.endswith("bias") and "LayerNorm" not in name


def _encoded(kind: str, tokenizer: Any, examples: Sequence[Example], labels: list[str], max_length: int) -> list[dict[str, Any]]:
    """`input_ids`, `token_type_ids` and `labels` of every example."""
    numbers = {label: number for number, label in enumerate(labels)}
    rows = []
    for inputs, label in examples:
        if kind == "tag":
            row = tokenizer(list(inputs), is_split_into_words=True, truncation=True, max_length=max_length)
            of_tokens = [IGNORED] * len(row["input_ids"])
            for word, place in _first_pieces(row).items():
                of_tokens[place] = numbers[label[word]]
            target: Any = of_tokens
        else:
            row = tokenizer(*inputs, truncation=True, max_length=max_length)
            target = label if kind == "regress" else numbers[label]
        rows.append({"input_ids": row["input_ids"], "token_type_ids": row["token_type_ids"], "labels": target})
    return rows


def _first_pieces(row: Any) -> dict[int, int]:
    """The token with which each word begins."""
    places: dict[int, int] = {}
    for place, word in enumerate(row.word_ids()):
        if word is not None:
            places.setdefault(word, place)
    return places


def _batch(rows: Sequence[dict[str, Any]], pad_token_id: int) -> dict[str, torch.Tensor]:
    longest = max(len(row["input_ids"]) for row in rows)

    def padded(name: str, filling: int) -> torch.Tensor:
        return torch.tensor([row[name] + [filling] * (longest - len(row[name])) for row in rows])

    mask = [[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows]
    per_token = isinstance(rows[0]["labels"], list)
    return {
        "input_ids": padded("input_ids", pad_token_id),
        "token_type_ids": padded("token_type_ids", 0),
        "attention_mask": torch.tensor(mask),
        "labels": padded("labels", IGNORED) if per_token else torch.tensor([row["labels"] for row in rows]),
    }


def _predictions(
    kind: str, model: Any, tokenizer: Any, examples: Sequence[Example], labels: list[str], recipe: Recipe
) -> list[Any]:
    """The class, the number or the tags of every example; words that were cut away are outside of all entities."""
    model.eval()
    found: list[Any] = []
    with torch.inference_mode():
        for some in _portions(examples, 64):
            inputs = [list(words) for words, _ in some]
            texts = [inputs] if kind == "tag" else [list(side) for side in zip(*inputs, strict=True)]
            batch = tokenizer(
                *texts,
                is_split_into_words=kind == "tag",
                truncation=True,
                max_length=recipe.max_length,
                padding=True,
                return_tensors="pt",
            )
            logits = model(**batch).logits
            if kind == "regress":
                found += logits[:, 0].tolist()
            elif kind == "classify":
                found += [labels[number] for number in logits.argmax(-1).tolist()]
            else:
                for place, (words, _) in enumerate(some):
                    tags = ["O"] * len(words)
                    for token, word in reversed(list(enumerate(batch.word_ids(place)))):
                        if word is not None:
                            tags[word] = labels[int(logits[place, token].argmax())]
                    found.append(tags)
    return found


def _portions(things: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(things), size):
        yield things[start : start + size]
