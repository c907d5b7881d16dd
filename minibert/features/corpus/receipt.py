"""The receipt of a file of vectors: what they were made of and how, so that nobody compares vectors that do not belong together.

`.npz` has it as the member `receipt`, `.parquet` in the metadata of its schema (`minibert.receipt`), `.npy` and `.jsonl` beside
them in `NAME.receipt.json`, with the size and sha256 of the file that it belongs to. Only that one has a date: the same vectors
are the same file on every day.
"""

import dataclasses
import functools
import hashlib
import io
import json
import platform
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from minibert.checkpoints.integrity import sha256_of
from minibert.checkpoints.registry import resolve
from minibert.checkpoints.tensors import open_checkpoint
from minibert.config import BertConfig
from minibert.errors import InputError, shown
from minibert.features.corpus.options import CorpusOptions
from minibert.features.corpus.outputs.npz import RECEIPT_MEMBER
from minibert.features.corpus.outputs.parquet import RECEIPT_KEY
from minibert.features.corpus.sources.parquet import import_pyarrow
from minibert.features.corpus.work import receipt_path
from minibert.features.layers import Layers
from minibert.printable import listed, printable
from minibert.strict_json import parse_json_object, read_json_object

FORMAT = "minibert receipt 1"
LARGEST_RECEIPT = 1 << 24
NUMERICAL = ("dtype", "param_dtype", "precision", "attention_implementation")
"""Fields of the configuration that change the rounding of a vector, not which vector it is."""
OF_TRAINING = ("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range")
"""Those that matter while a model learns, not when it has."""


def model_facts(name_or_path: str | Path, features: Any) -> dict[str, Any]:
    """What tells this model and the way it is computed from others, as JSON. Raises CheckpointError where its files are gone."""
    return {
        "model": printable(str(name_or_path)),
        "weights_sha256": weights_digest(resolve(name_or_path)),
        "tokenizer_sha256": tokenizer_digest(features.tokenizer),
        "config": dataclasses.asdict(features.model.config),
        "max_length": features.max_length,
        "device": features.device,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Of everything that may change a bit of a result."""
    return {name: _version(name) for name in ("minibert", "jax", "flax", "numpy")} | {"python": platform.python_version()}


def tokenizer_digest(tokenizer: Any) -> str:
    """The sha256 of a tokenizer's vocabulary and settings."""
    values = [list(tokenizer.vocabulary.tokens), dataclasses.asdict(tokenizer.settings)]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def weights_digest(path: Path) -> str:
    """The sha256 of a checkpoint's file of weights; of several files, the sha256 of their names and sha256 a line, in order."""
    # A search asks for it every time, and hashing takes longer than the search.
    return _digest(tuple((file, _state(file)) for file in open_checkpoint(path).files))


@functools.lru_cache(maxsize=16)
def _digest(states: tuple[tuple[Path, tuple[int, int, int]], ...]) -> str:
    files = [file for file, _ in states]
    if len(files) == 1:
        return sha256_of(files[0])
    lines = "".join(f"{sha256_of(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _state(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def read_receipt(path: str | Path) -> dict[str, Any]:
    """The receipt of a file of vectors. Raises InputError where it has none, or one that belongs to another file."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is no file; expected vectors that `minibert embed` wrote")
    if path.suffix == ".npz":
        return _checked(parse_json_object(_from_npz(path), f"the receipt in {path}", error=InputError), path)
    if path.suffix == ".parquet":
        return _checked(parse_json_object(_from_parquet(path), f"the receipt in {path}", error=InputError), path)
    beside = receipt_path(path)
    if not beside.exists():
        raise InputError(f"{path} has no receipt {beside.name} beside it; write the vectors again with `minibert embed`")
    receipt = _checked(read_json_object(beside, error=InputError, max_bytes=LARGEST_RECEIPT), beside)
    # A crash between two renames, or a copy of one of two files, leaves a receipt beside vectors of another run.
    if receipt.get("file") != {"bytes": path.stat().st_size, "sha256": sha256_of(path)}:
        raise InputError(
            f"{beside} belongs to another file than {path}, whose size or sha256 differs; run the same `minibert embed` again"
        )
    return receipt


def check_receipt(
    receipt: Mapping[str, Any],
    name_or_path: str | Path,
    features: Any,
    options: CorpusOptions | None = None,
    name: str = "the vectors",
) -> None:
    """InputError, saying what differs, unless vectors with this receipt may be compared with those that `features` gives now.

    Weights, tokenizer and configuration must agree, except for what only changes the rounding, and with `options` the level, the
    layers, the pooling, the normalising and the dimensions too.
    """
    now = {key: value for key, value in model_facts(name_or_path, features).items() if key.endswith("sha256") or key == "config"}
    if options is not None:
        wanted = resolved(options, features.recipe).as_json()
        now |= {key: value for key, value in wanted.items() if key not in ("on_long", "output_dtype")}
    then = {key: receipt.get(key) for key in now}
    then["config"], now["config"] = _config_of_vectors(then), _config_of_vectors(now)
    choice = _choice(now, features.model.config)
    if choice is not None and choice == _choice(then, features.model.config):
        now |= {"layers": then["layers"], "dim": then["dim"]}
    found = differences(then, now)
    if found:
        raise InputError(
            f"{name} were made by another model or in another way: {listed(found)}; use what made them (the model "
            f"{shown(receipt.get('model'))}), or embed the texts again"
        )


def _config_of_vectors(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without what changes no vector, or only its rounding."""
    config = facts.get("config")
    fields = config.items() if isinstance(config, Mapping) else ()
    return {name: value for name, value in fields if name not in (*NUMERICAL, *OF_TRAINING)}


def _choice(facts: Mapping[str, Any], config: BertConfig) -> tuple[Layers, int | None] | None:
    """Layers and dimensions, which can be said in several ways, in one; None for what is no choice."""
    try:
        layers = Layers.of(facts["layers"]).within(config.num_hidden_layers)
    except (InputError, KeyError):
        return None
    width, dim = layers.width(config.hidden_size), facts.get("dim")
    return layers, width if dim is None else dim


def resolved(options: CorpusOptions, recipe: Any) -> CorpusOptions:
    """The options with the checkpoint's own recipe in place of what was left to it."""
    if options.level != "sentences":
        return options
    return dataclasses.replace(
        options,
        pooling=recipe.pooling if options.pooling is None else options.pooling,
        normalize=recipe.normalize if options.normalize is None else options.normalize,
    )


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two JSON objects, a phrase each: `layers was 'last' and is 'first' now`."""
    before, after = dict(_leaves(then)), dict(_leaves(now))
    return [
        f"{name} was {_short(before.get(name))} and is {_short(after.get(name))} now"
        for name in dict.fromkeys([*before, *after])
        if before.get(name, _ABSENT) != after.get(name, _ABSENT)
    ]


_ABSENT = object()


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str) and any(isinstance(each, Mapping) for each in value):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{name}[{index}]")
    else:
        yield name, list(value) if isinstance(value, tuple) else value


def _short(value: Any) -> str:
    text = shown(value)
    return f"{text[:13]}…'" if isinstance(value, str) and len(value) == 64 else text


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _checked(receipt: dict[str, Any], where: Path) -> dict[str, Any]:
    if receipt.get("format") != FORMAT:
        raise InputError(f"{where} has a receipt of the format {shown(receipt.get('format'))}; this version reads {FORMAT!r}")
    return receipt


def _from_npz(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{RECEIPT_MEMBER}.npy")
            if member.file_size > LARGEST_RECEIPT or member.compress_type != zipfile.ZIP_STORED:
                raise InputError(f"{path} has a receipt of {member.file_size:,} bytes; expected {LARGEST_RECEIPT:,} at most")
            letters = np.lib.format.read_array(io.BytesIO(archive.read(member)), allow_pickle=False)
    except KeyError:
        raise InputError(f"{path} has no receipt in it; write the vectors again with `minibert embed`") from None
    except (OSError, ValueError, zipfile.BadZipFile) as problem:
        raise InputError(f"{path} cannot be read as .npz: {problem}; write the vectors again with `minibert embed`") from None
    return str(letters).encode("utf-8", "surrogatepass")


def _from_parquet(path: Path) -> bytes:
    pyarrow = import_pyarrow()
    try:
        metadata = pyarrow.parquet.read_schema(path).metadata or {}
    except (pyarrow.ArrowException, OSError) as problem:
        reason = " ".join(str(problem).split())[:300]
        raise InputError(f"{path} cannot be read as Parquet: {reason}; write the vectors again with `minibert embed`") from None
    if RECEIPT_KEY not in metadata:
        raise InputError(f"{path} has no receipt in it; write the vectors again with `minibert embed`")
    return bytes(metadata[RECEIPT_KEY])
