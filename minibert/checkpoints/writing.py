"""`save` and `convert`: a model, or a checkpoint of any format, becomes a folder that other libraries open."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minibert.checkpoints.blueprint import parameters_of, read_blueprint
from minibert.checkpoints.dialects import FLAX, GOOGLE, TORCH
from minibert.checkpoints.formats.copying import narrow
from minibert.checkpoints.formats.flax_msgpack import write_flax_msgpack
from minibert.checkpoints.formats.safetensors_writer import write_sharded_safetensors
from minibert.checkpoints.formats.stored_tensor import STORED_DTYPES
from minibert.checkpoints.formats.tensor_bundle import write_tensor_bundle
from minibert.checkpoints.formats.tensor_sources import TensorSource
from minibert.checkpoints.names import HEAD_PARAMETERS, HF_BUFFERS, SECOND_COPIES, WORD_TABLE, table_for
from minibert.checkpoints.new_folder import new_folder
from minibert.checkpoints.registry import folder_of, resolve
from minibert.checkpoints.tensors import FLAX_FILE, StoredTensors
from minibert.config import DTYPES, BertConfig
from minibert.errors import CheckpointError, ConfigError, InputError, TokenizerError
from minibert.model import Bert, BertWithHeads
from minibert.model.anatomy import foreign_parts
from minibert.strict_json import MAX_SETTINGS_BYTES, read_json_object, read_regular_file
from minibert.tokenizer import Tokenizer

FORMATS = {"safetensors": TORCH, "tensorflow": GOOGLE, "flax": FLAX}
GOOGLE_PREFIX = "bert_model.ckpt"
SHARD_BYTES = 5_000_000_000
RECIPE_FILES = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json")
"""How sentence-transformers makes vectors of hidden states: kept, where a checkpoint has them."""
ARCHITECTURES = {
    (): "BertModel",
    ("masked_lm",): "BertForMaskedLM",
    ("next_sentence",): "BertForNextSentencePrediction",
    ("masked_lm", "next_sentence"): "BertForPreTraining",
    ("sequence_classification",): "BertForSequenceClassification",
    ("multiple_choice",): "BertForMultipleChoice",
    ("token_classification",): "BertForTokenClassification",
    ("question_answering",): "BertForQuestionAnswering",
}
"""transformers' classes by the heads on the encoder."""


@dataclass(frozen=True)
class Written:
    """What `save` and `convert` wrote, and what of the checkpoint they left out."""

    files: list[Path]
    left_out: list[str]


def save(
    model: Bert | BertWithHeads,
    tokenizer: Tokenizer,
    folder: str | Path,
    *,
    labels: Sequence[str] | None = None,
    problem_type: str | None = None,
    to: str = "safetensors",
    dtype: str | None = None,
    max_shard_bytes: int = SHARD_BYTES,
) -> Written:
    """Write a model and its tokenizer into a new folder, which `load` and, by its format, other libraries open.

    Args:
        model, tokenizer: what to save; of heads those of `minibert.model.heads`.
        labels: the names of a classifier's labels, in their order; LABEL_0 and so on if not given.
        problem_type: what the labels of texts are, in transformers' words: `regression`, `single_label_classification` or
            `multi_label_classification`.
        folder: absent or empty; it is there whole or not at all.
        to: `safetensors` (transformers' `from_pretrained`), `tensorflow` (Google's checkpoint) or `flax` (transformers' former
            Flax models).
        dtype: of the stored numbers, one of minibert's; those of the model's parameters if not given.
        max_shard_bytes: over this many bytes of values safetensors are divided into several files.

    Raises:
        InputError: a format, dtype, size or head that there is not, labels that do not fit the head, and a model with parts that
            are not BERT's, which `minibert.lab.save` writes; a tokenizer with more tokens than the model has rows.
        CheckpointError: a folder that holds something, a number that `dtype` cannot hold, or where nothing can be written.
        TokenizerError: a tokenizer that files cannot hold.
    """
    encoder, heads = (model.bert, list(model.heads)) if isinstance(model, BertWithHeads) else (model, [])
    for path, part in foreign_parts(encoder).items():
        raise InputError(
            f"{path} is of the class {type(part).__name__}, and other libraries would take the model for a BERT and compute "
            "something else; save it with minibert.lab.save"
        )
    check_every_token_has_a_row(model.config, tokenizer)
    variables = parameters_of(model)
    rows = table_for(model.config.num_hidden_layers, pooler=encoder.pooler is not None)
    if heads:
        variables = {path.removeprefix("bert."): variable for path, variable in variables.items()}
    for head in heads:
        if head not in HEAD_PARAMETERS:
            raise InputError(
                f"the head {head!r} has no place in a checkpoint; expected {', '.join(HEAD_PARAMETERS)}: "
                "save the encoder alone, model.bert, and keep the head's parameters yourself"
            )
        rows += HEAD_PARAMETERS[head]
    sources = {row.hf: _Stored(_Parameter(variables[row.ours]), is_transposed=False) for row in rows}
    known = _label_names(labels, sources) | ({} if problem_type is None else {"problem_type": problem_type})
    with _new_folder(folder, to, dtype, max_shard_bytes) as work:
        _write_tensors(work, sources, to, dtype, max_shard_bytes, has_heads=bool(heads))
        _write_config(work, model.config, known, to, dtype or model.config.param_dtype, [_architecture_of(heads)])
        tokenizer.save(work)
    return Written(_files_in(Path(folder)), [])


def check_every_token_has_a_row(config: BertConfig, tokenizer: Tokenizer) -> None:
    """InputError for a tokenizer that gives ids which the model does not have."""
    tokens = len(tokenizer.vocabulary)
    if tokens > config.vocab_size:
        raise InputError(
            f"the tokenizer has {tokens:,} tokens and the model rows for {config.vocab_size:,} (vocab_size); give the tokenizer "
            "that belongs to it"
        )


def convert(
    name_or_path: str | Path,
    folder: str | Path,
    *,
    to: str = "safetensors",
    dtype: str | None = None,
    max_shard_bytes: int = SHARD_BYTES,
) -> Written:
    """Write a checkpoint of any format that is read, heads included, into a new folder in another format.

    Arguments and errors as in `save`; `name_or_path` as in `load`, with its errors too. One tensor is in memory at a time.
    """
    path = resolve(name_or_path)
    blueprint = read_blueprint(path)
    stored, config = blueprint.stored, blueprint.config
    left_out = [*blueprint.match.buffers, *stored.left_out]
    copies = _copies(stored)
    left_out += [f"{name}, equal to {SECOND_COPIES[name]}" for name in copies]
    sources = {
        name: _Stored(found.tensor, found.is_transposed)
        for name, found in stored.canonical.items()
        if name not in HF_BUFFERS and name not in copies
    }
    known = _known_values(folder_of(path), sources)
    with _new_folder(folder, to, dtype, max_shard_bytes) as work:
        _write_tensors(work, sources, to, dtype, max_shard_bytes, has_heads=bool(blueprint.match.heads))
        stored_dtype = sources[WORD_TABLE].source.dtype.name
        _write_config(work, config, known, to, dtype or stored_dtype, _architectures(known, sources))
        left_out += _write_rest(folder_of(path), work)
    return Written(_files_in(Path(folder)), left_out)


def _architecture_of(heads: Sequence[str]) -> str:
    try:
        return ARCHITECTURES[tuple(sorted(heads))]
    except KeyError:
        raise InputError(
            f"a checkpoint cannot hold the heads {' and '.join(heads)} together; save each with its encoder"
        ) from None


def _label_names(labels: Sequence[str] | None, sources: Mapping[str, "_Stored"]) -> dict[str, Any]:
    """What the configuration says of a classifier's labels."""
    head = sources.get("classifier.weight")
    if head is None or isinstance(labels, str):
        if labels is not None:
            raise InputError("labels are a list of names for a head that classifies, and this model has none; leave them out")
        return {}
    count = head.source.shape[0 if head.is_transposed else -1]
    names = [f"LABEL_{label}" for label in range(count)] if labels is None else list(labels)
    if len(names) != count or len(set(names)) != count:
        raise InputError(f"there are {len(set(names))} different names of labels; the head has {count} labels: give one for each")
    return {
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": dict(zip(names, range(count), strict=True)),
    }


@dataclass(frozen=True)
class _Parameter:
    """A parameter of a model on whatever device, as a source."""

    variable: Any

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.variable.get_value().dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.variable.get_value().shape)

    def read(self) -> np.ndarray:
        return np.asarray(self.variable.get_value())


@dataclass(frozen=True)
class _Stored:
    """A source; `is_transposed`: whether it is [out, in], if it is the weight of a dense layer."""

    source: TensorSource
    is_transposed: bool


@dataclass(frozen=True)
class _Turned:
    """A source as it is to be written: turned round, in another dtype, or both."""

    name: str
    source: TensorSource
    turn: bool
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape[::-1] if self.turn else self.source.shape

    def read(self) -> np.ndarray:
        values = self.source.read()
        if values.dtype != self.dtype:
            wide, values = values, np.empty(values.shape, self.dtype)
            try:
                narrow(wide, values)
            except FloatingPointError:
                raise CheckpointError(
                    f"{self.name} has values too large for {self.dtype.name}; save it in a wider dtype"
                ) from None
        return values.T if self.turn else values


def _write_tensors(
    work: Path, sources: Mapping[str, _Stored], to: str, dtype: str | None, max_shard_bytes: int, *, has_heads: bool
) -> None:
    dialect = FORMATS[to]
    tensors: dict[str, TensorSource] = {}
    for name, stored in sources.items():
        spelled = dialect.spelled(name, has_heads)
        turn = _is_dense(name) and stored.is_transposed != dialect.is_transposed(spelled)
        tensors[spelled] = _Turned(spelled, stored.source, turn, STORED_DTYPES[dtype] if dtype else stored.source.dtype)
    if to == "safetensors":
        write_sharded_safetensors(work, tensors, {"format": "pt"}, max_shard_bytes)
    elif to == "flax":
        write_flax_msgpack(work / FLAX_FILE, tensors)
    else:
        write_tensor_bundle(work / GOOGLE_PREFIX, tensors)
        # By this file TensorFlow finds the checkpoint in a folder.
        (work / "checkpoint").write_text(f'model_checkpoint_path: "{GOOGLE_PREFIX}"\n', encoding="utf-8")


def _is_dense(name: str) -> bool:
    return name.endswith(".weight") and "LayerNorm" not in name and not name.endswith("_embeddings.weight")


def _copies(stored: StoredTensors) -> list[str]:
    """What is stored twice and is written once; CheckpointError where the two differ."""
    copies = stored.copies()
    for name, is_equal in copies.items():
        if not is_equal:
            raise CheckpointError(
                f"{stored.files[0]}: {name} is not equal to {SECOND_COPIES[name]}, which BERT uses in its place"
            )
    return list(copies)


def _write_config(
    work: Path, config: BertConfig, known: Mapping[str, Any], to: str, dtype: str, architectures: list[str]
) -> None:
    """Hugging Face's file, and beside Google's weights Google's too where it can name the activation: gelu is tanh there."""
    files = {"config.json": {**known, **config.to_hf(), "architectures": architectures, "dtype": dtype}}
    if to == "tensorflow":
        with contextlib.suppress(ConfigError):
            files["bert_config.json"] = config.to_google()
    for name, values in files.items():
        (work / name).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _known_values(folder: Path, sources: Mapping[str, _Stored]) -> dict[str, Any]:
    """What a Hugging Face configuration says besides what minibert knows, such as labels; else what a head says of them."""
    file = folder / "config.json"
    known = read_json_object(file, error=CheckpointError, max_bytes=MAX_SETTINGS_BYTES) if file.exists() else {}
    return known if known.keys() & {"id2label", "num_labels"} else known | _label_names(None, sources)


def _architectures(known: Mapping[str, Any], sources: Mapping[str, _Stored]) -> list[str]:
    stated = known.get("architectures")
    # Anything else is no list of classes: of a single name the letters would be written, one by one.
    if isinstance(stated, list) and stated and all(isinstance(name, str) for name in stated):
        return stated
    if "classifier.weight" in sources:
        return ["BertForSequenceClassification" if "pooler.dense.weight" in sources else "BertForTokenClassification"]
    if "qa_outputs.weight" in sources:
        return ["BertForQuestionAnswering"]
    masked, pairs = "cls.predictions.bias" in sources, "cls.seq_relationship.weight" in sources
    return ["BertForPreTraining" if masked and pairs else "BertForMaskedLM" if masked else "BertModel"]


def _write_rest(source: Path, work: Path) -> list[str]:
    """The tokenizer and the recipe for sentence vectors; the result names what could not be taken along."""
    left_out = []
    try:
        Tokenizer.from_folder(source).save(work)
    except TokenizerError as problem:
        left_out.append(f"the tokenizer: {problem}")
    for name in RECIPE_FILES:
        if (source / name).exists():
            # Read as every other file of a checkpoint is: a pipe would never end, and a huge file would fill the disk.
            content = read_regular_file(source / name, error=CheckpointError, max_bytes=MAX_SETTINGS_BYTES)
            (work / name).parent.mkdir(exist_ok=True)
            (work / name).write_bytes(content)
    return left_out


@contextlib.contextmanager
def _new_folder(folder: str | Path, to: str, dtype: str | None, max_shard_bytes: int) -> Iterator[Path]:
    """A folder to write into, which becomes `folder` when the block ends without an error."""
    target = Path(folder)
    if to not in FORMATS:
        raise InputError(f"the format is {to!r}; expected one of {', '.join(FORMATS)}")
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"dtype is {dtype!r}; expected one of {', '.join(DTYPES)}")
    if type(max_shard_bytes) is not int or max_shard_bytes < 1:
        raise InputError(f"max_shard_bytes is {max_shard_bytes!r}; expected a whole number of bytes from 1 up")
    with new_folder(target) as work:
        yield work


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
