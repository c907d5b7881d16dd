"""A baseline as a folder: `baseline.json`, `model.safetensors` and the tokenizer's files; whole or not at all."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from minibert.checkpoints.blueprint import parameters_of
from minibert.checkpoints.formats.copying import copied
from minibert.checkpoints.formats.safetensors_file import SINGLE_FILE, open_safetensors
from minibert.checkpoints.formats.safetensors_writer import write_safetensors
from minibert.checkpoints.formats.stored_tensor import StoredTensor
from minibert.checkpoints.new_folder import new_folder
from minibert.errors import CheckpointError, InputError, MinibertError, named, shown
from minibert.printable import listed
from minibert.strict_json import MAX_SETTINGS_BYTES, read_json_object
from minibert.tokenizer import Tokenizer
from minibert.training.baseline.lstm_config import LstmConfig
from minibert.training.baseline.lstm_with_heads import LstmWithHeads, lstm_with_head

BASELINE_FILE = "baseline.json"
VERSION = 1
KEYS = ("version", "lstm", "labels")
"""Of the file: what its own form is, the configuration, and the names of the labels."""


class Baseline(NamedTuple):
    """What `save_baseline` was given."""

    model: LstmWithHeads
    tokenizer: Tokenizer
    labels: tuple[str, ...]


def save_baseline(model: LstmWithHeads, tokenizer: Tokenizer, folder: str | Path, labels: Sequence[str] = ()) -> None:
    """Write a baseline into a new folder.

    Args:
        model: with the one head of its configuration.
        tokenizer: whose ids the model's vectors have.
        folder: absent or empty.
        labels: the names of what the head scores, in their order; none for numbers and answers.

    Raises InputError for parts that do not belong together, CheckpointError for a folder that holds something, or where nothing
    can be written, and TokenizerError for a tokenizer that files cannot hold.
    """
    config = model.encoder.lstm_config
    if list(model.heads) != [config.head]:
        raise InputError(
            f"the model has the heads {listed(list(model.heads))}; expected the one of its configuration, {config.head}"
        )
    if isinstance(labels, str):
        raise InputError(f"labels is the string {shown(labels)}; expected a list of names")
    _check_labels(list(labels), config, "labels", InputError)
    _check_tokenizer(tokenizer, config, "the tokenizer", InputError)
    tensors = {path: np.asarray(variable.get_value()) for path, variable in parameters_of(model).items()}
    values = {"version": VERSION, "lstm": config.to_json(), "labels": list(labels)}
    with new_folder(Path(folder)) as work:
        write_safetensors(work / SINGLE_FILE, tensors, {"format": "minibert-baseline"})
        (work / BASELINE_FILE).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        tokenizer.save(work)
        # A vocabulary can be larger than what is read.
        Tokenizer.from_folder(work)


def load_baseline(folder: str | Path) -> Baseline:
    """The baseline that `save_baseline` wrote.

    Raises CheckpointError for a folder that is none, a broken file, or tensors that are missing, strange, mis-shaped or not
    float32; TokenizerError for broken files of the tokenizer.
    """
    place = Path(folder)
    if not (place / BASELINE_FILE).exists():
        raise CheckpointError(f"{place} has no {BASELINE_FILE}; expected a folder that save_baseline wrote")
    config, labels = _read_settings(place / BASELINE_FILE)
    tokenizer = Tokenizer.from_folder(place)
    _check_tokenizer(tokenizer, config, f"{place}: its vocabulary", CheckpointError)
    tensors = open_safetensors(place / SINGLE_FILE).tensors
    # Without values: no number of the file's makes memory be taken before the weights are seen to be as large.
    model = nnx.eval_shape(lambda: lstm_with_head(config, rngs=nnx.Rngs(0)))
    variables = parameters_of(model)
    _check_tensors(tensors, {path: tuple(variable.get_value().shape) for path, variable in variables.items()}, place)
    for path, values in copied(tensors).items():
        variables[path].set_value(jnp.asarray(values))
    return Baseline(model, tokenizer, labels)


def _read_settings(path: Path) -> tuple[LstmConfig, tuple[str, ...]]:
    values = read_json_object(path, error=CheckpointError, max_bytes=MAX_SETTINGS_BYTES)
    if set(values) != set(KEYS) or not isinstance(values["lstm"], dict) or not isinstance(values["labels"], list):
        raise CheckpointError(
            f"{path} has the keys {shown(sorted(values))}; expected {', '.join(KEYS)} as save_baseline wrote them"
        )
    if type(values["version"]) is not int or values["version"] != VERSION:
        raise CheckpointError(f"{path} is of the version {shown(values['version'])}; this minibert reads {VERSION}")
    try:
        config = LstmConfig.from_json(values["lstm"])
    except InputError as problem:
        raise CheckpointError(f"{path}: {problem}") from None
    _check_labels(values["labels"], config, f"{path}: labels", CheckpointError)
    return config, tuple(values["labels"])


def _check_labels(labels: Sequence[Any], config: LstmConfig, where: str, error: type[MinibertError]) -> None:
    if not all(isinstance(label, str) for label in labels) or len(set(labels)) != len(labels):
        raise error(f"{where}: {shown(labels)} are no different names; expected a string a label, each once")
    if len(labels) not in (0, config.num_labels) or (labels and config.head == "question_answering"):
        expected = "none" if config.head == "question_answering" else f"{config.num_labels:,}, or none"
        raise error(f"{where}: there are {len(labels):,} names of labels; expected {expected} for this {config.head}")


def _check_tokenizer(tokenizer: Tokenizer, config: LstmConfig, where: str, error: type[MinibertError]) -> None:
    if len(tokenizer.vocabulary) != config.vocab_size:
        raise error(
            f"{where} has {len(tokenizer.vocabulary):,} tokens, the model {config.vocab_size:,}; expected those of its training"
        )


def _check_tensors(tensors: dict[str, Any], shapes: dict[str, tuple[int, ...]], folder: Path) -> None:
    """CheckpointError unless the tensors are those of the model, in float32."""
    file = folder / SINGLE_FILE
    for problem, names in (("lacks", shapes.keys() - tensors.keys()), ("has besides", tensors.keys() - shapes.keys())):
        if names:
            raise CheckpointError(f"{file} {problem} {listed([named(name) for name in sorted(names)])}; save the baseline again")
    for name, shape in shapes.items():
        tensor: StoredTensor = tensors[name]
        if tensor.shape != shape or tensor.dtype != np.float32:
            raise CheckpointError(
                f"{file}: {name} is {tensor.dtype.name} {list(tensor.shape)}; {BASELINE_FILE} calls for float32 {list(shape)}"
            )
