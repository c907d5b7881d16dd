"""Saving and loading a model with swapped parts: its parameters under their paths, and its parts named in the configuration.

No code is read from a file: a part is named by its class, and whoever loads a model with parts of their own gives the classes.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from minibert.checkpoints.blueprint import check_dtype, parameters_of
from minibert.checkpoints.formats.copying import copied
from minibert.checkpoints.formats.safetensors_file import SINGLE_FILE, open_safetensors
from minibert.checkpoints.formats.safetensors_writer import write_safetensors
from minibert.checkpoints.matching import FLOATING
from minibert.checkpoints.new_folder import new_folder
from minibert.checkpoints.writing import check_every_token_has_a_row
from minibert.config import MODIFIED_MODEL_TYPE, BertConfig
from minibert.errors import CheckpointError, ConfigError, InputError, named, shown
from minibert.lab.low_rank import LowRankDense
from minibert.lab.surgery.depth import SharedEncoder, steps_of
from minibert.lab.surgery.gated import GatedFeedForward
from minibert.lab.surgery.local import LocalAttention
from minibert.lab.surgery.pruning import PrunedAttention
from minibert.lab.surgery.rotary import EmbeddingsWithoutPositions, RotaryAttention
from minibert.lab.surgery.swapping import Part, encoder_of, name_of_part, parts_of, path_of_part, put
from minibert.model import Bert, BertWithHeads
from minibert.model.anatomy import MADE_WITH, foreign_parts
from minibert.model.heads import HEADS, new_head
from minibert.model.paths import FROZEN, frozen_parameters, path_of
from minibert.strict_json import MAX_SETTINGS_BYTES, read_json_object
from minibert.tokenizer import Tokenizer

PARTS: dict[str, Part] = {
    part.__name__: part
    for part in (
        EmbeddingsWithoutPositions,
        GatedFeedForward,
        LocalAttention,
        LowRankDense,
        PrunedAttention,
        RotaryAttention,
        SharedEncoder,
    )
}
"""Those of minibert, by the names that files give them."""
KEY = "minibert_lab"
"""The key of the configuration under which a model's parts, pooler, heads and frozen parameters are described."""


def save(model: Bert | BertWithHeads, tokenizer: Tokenizer, folder: str | Path) -> list[Path]:
    """Write a model with swapped parts, and its tokenizer, into a new folder, which `minibert.lab.load` opens.

    Args:
        model: whose parts were swapped by functions of `minibert.lab`; its heads, if any, are minibert's own.
        tokenizer: kept beside it.
        folder: absent or empty; it is there whole or not at all.

    The configuration names every part, its class and the options it was made with. No other library opens such a folder, and its
    model type says so to those that ask.

    Returns the files. Raises InputError for a part that was put there by hand or made by a function, for one that holds arrays
    which are no floating parameters, for a head of the user's own, and for a tokenizer with more tokens than the model has
    rows; CheckpointError as `minibert.save` does.
    """
    _check_arguments(model, tokenizer, folder)
    check_every_token_has_a_row(model.config, tokenizer)
    encoder = encoder_of(model)
    parts = {name: _described(part) for name, part in _swapped_parts(encoder).items()}
    _check_names_are_free(encoder)
    variables = parameters_of(model)
    described = {
        "parts": parts,
        "pooler": encoder.pooler is not None,
        "heads": _described_heads(model) if isinstance(model, BertWithHeads) else {},
        # Of parameters that were swapped since, none is there any more.
        "frozen": sorted(path for path in frozen_parameters(model) if path in variables),
    }
    _check_arrays(model, variables)
    config = {**model.config.to_hf(), "model_type": MODIFIED_MODEL_TYPE, "dtype": model.config.param_dtype, KEY: described}
    tensors = {path: np.asarray(variable.get_value()) for path, variable in variables.items()}
    with new_folder(Path(folder)) as work:
        write_safetensors(work / SINGLE_FILE, tensors, {"format": MODIFIED_MODEL_TYPE})
        (work / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        tokenizer.save(work)
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def load(folder: str | Path, *, parts: Mapping[str, Part] | None = None, **overrides: Any) -> Bert | BertWithHeads:
    """The model that `minibert.lab.save` wrote.

    Args:
        folder: where it lies.
        parts: the classes of parts of the user's own, by their names: `{"MyAttention": MyAttention}`.
        overrides: fields of BertConfig that replace the file's, as of `minibert.load`.

    Raises CheckpointError for a folder that is none of `minibert.lab.save`'s or is damaged, and for tensors that do not fit;
    InputError for a part whose class is not given; ConfigError as `minibert.load` does.
    """
    if not isinstance(folder, str | Path):
        raise InputError(f"folder is {shown(folder)}; expected the path of a folder that minibert.lab.save wrote")
    if not isinstance(parts, Mapping | None) or not all(
        isinstance(name, str) and callable(part) for name, part in (parts or {}).items()
    ):
        raise InputError(f"parts is {shown(parts)}; expected a mapping from names to classes, {{'MyAttention': MyAttention}}")
    folder = Path(folder)
    file = folder / "config.json"
    # Path.exists would raise for an impossible path, a too long one.
    if not os.path.exists(file):
        raise CheckpointError(f"{folder} has no config.json; expected a folder that minibert.lab.save wrote")
    values = read_json_object(file, error=ConfigError, max_bytes=MAX_SETTINGS_BYTES)
    if values.get("model_type") != MODIFIED_MODEL_TYPE or not isinstance(values.get(KEY), dict):
        raise CheckpointError(f"{file} is of no model that minibert.lab.save wrote; load it with minibert.load")
    described = values.pop(KEY)
    config = BertConfig.from_hf(values | {"model_type": "bert"}, **overrides)
    check_dtype(config)
    known = PARTS | dict(parts or {})
    plan = _plan(described, known, file)
    # Without values: what the parts draw and copy is never computed, the file has it all.
    model: Bert | BertWithHeads = jax.eval_shape(lambda: _built(config, described, plan, file))
    _fill(model, folder / SINGLE_FILE, jnp.dtype(config.param_dtype))
    _freeze(model, described, file)
    return model


def _check_arguments(model: Any, tokenizer: Any, folder: Any) -> None:
    for name, value, kind, expected in (
        ("model", model, Bert | BertWithHeads, "a Bert or a BertWithHeads"),
        ("tokenizer", tokenizer, Tokenizer, "a minibert.Tokenizer, such as Tokenizer.from_folder gives"),
        ("folder", folder, str | Path, "the path of a new folder"),
    ):
        if not isinstance(value, kind):
            raise InputError(f"{name} is {shown(value)}; expected {expected}")


def _check_arrays(model: Any, variables: Mapping[str, Any]) -> None:
    """InputError for an array that `load` would not fill."""
    for keys, leaf in jax.tree_util.tree_leaves_with_path(model):
        path = path_of(keys)
        if path not in variables or not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise InputError(
                f"{path} is an array that is no parameter of floating point, and would not be there after loading; make it an "
                "nnx.Param of float32, or compute it where it is needed"
            )


def _freeze(model: Bert | BertWithHeads, described: Mapping[str, Any], file: Path) -> None:
    """Name to the optimiser what did not learn when the model was saved."""
    frozen = described.get("frozen", [])
    if not isinstance(frozen, list) or not all(isinstance(path, str) for path in frozen):
        raise CheckpointError(f"{file}: {KEY}.frozen is {shown(frozen)}; expected the paths of parameters")
    unknown = sorted(set(frozen) - set(parameters_of(model)))
    if unknown:
        raise CheckpointError(f"{file}: {KEY}.frozen names {named(unknown[0])}, which is no parameter of this model")
    if frozen:
        setattr(model, FROZEN, tuple(frozen))


def _swapped_parts(encoder: Bert) -> dict[str, Any]:
    """The parts that remember how they were made; InputError for others that are not BERT's own."""
    found = {name: getattr(parent, attribute) for name, parent, attribute in parts_of(encoder)}
    made = {name: part for name, part in found.items() if hasattr(part, MADE_WITH)}
    for path, part in foreign_parts(encoder).items():
        name = name_of_part(path)
        if not any(name == each or path.startswith(f"{path_of_part(each)}.") for each in made):
            raise InputError(
                f"{name or 'the encoder'} is of the class {type(part).__name__}, put there by hand or made by a function, and "
                "how it is made again nobody knows; give minibert.lab.swapped its class, and options"
            )
    return made


def _check_names_are_free(encoder: Bert) -> None:
    """InputError for a part of the user's own under a name by which `load` finds one of minibert's."""
    for name, part in _swapped_parts(encoder).items():
        kind = type(part)
        if PARTS.get(kind.__name__, kind) is not kind:
            raise InputError(
                f"{name} is of your class {kind.__name__}, which is the name of a part of minibert's own, and would be loaded as "
                "that; give your class another name"
            )


def _described(part: Any) -> dict[str, Any]:
    return {"class": type(part).__name__, "options": json.loads(getattr(part, MADE_WITH))}


def _described_heads(model: BertWithHeads) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, head in model.heads.items():
        own = new_head(name, model.config, 1, 0.0, rngs=None) if name in HEADS else None
        if own is None or type(head) is not type(own) or any(hasattr(part, MADE_WITH) for _, part in nnx.iter_graph(head)):
            raise InputError(
                f"the head {name!r} is of the class {type(head).__name__}, of your own, or was changed; save the encoder alone, "
                "model.bert, and keep the head's parameters yourself"
            )
        labels = head.dense.bias[...].shape[0] if hasattr(head, "dense") else 0
        found[name] = {"num_labels": labels, "dropout_prob": getattr(head, "dropout_prob", 0.0)}
    return found


def _plan(described: Mapping[str, Any], known: Mapping[str, Part], file: Path) -> list[tuple[str, Part, dict[str, Any]]]:
    """What is to be swapped: names, classes, options. InputError for a class that nobody gave."""
    parts = described.get("parts")
    if not isinstance(parts, dict):
        raise CheckpointError(f"{file}: {KEY}.parts is {shown(parts)}; expected the names of parts")
    plan = []
    # The outer ones first, which take over what they find where the inner ones will be.
    for name, entry in sorted(parts.items(), key=lambda item: path_of_part(item[0]).count(".")):
        kind, options = (entry.get("class"), entry.get("options")) if isinstance(entry, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(options, dict):
            raise CheckpointError(f"{file}: {KEY}.parts.{named(name)} is {shown(entry)}; expected a class and its options")
        if kind not in known:
            raise InputError(
                f"{file}: {named(name)} is of the class {named(kind)}, which is none of minibert's parts ({', '.join(PARTS)}); "
                f"give its class: load(…, parts={{{kind!r}: {kind if kind.isidentifier() else '…'}}})"
            )
        plan.append((name, known[kind], options))
    return plan


def _built(
    config: BertConfig, described: Mapping[str, Any], plan: list[tuple[str, Part, dict[str, Any]]], file: Path
) -> Bert | BertWithHeads:
    rngs, pooler = nnx.Rngs(0), described.get("pooler")
    if not isinstance(pooler, bool):
        raise CheckpointError(f"{file}: {KEY}.pooler is {shown(pooler)}; expected true or false")
    encoder = Bert(config, rngs=rngs, add_pooling_layer=pooler)
    for name, part, options in plan:
        places = {found: (parent, attribute) for found, parent, attribute in parts_of(encoder)}
        if name not in places:
            raise CheckpointError(f"{file}: there is no part {named(name)}; was the file changed?")
        try:
            put(*places[name], part, options, rngs)
        except (TypeError, ValueError, ArithmeticError, AttributeError, InputError) as problem:
            raise CheckpointError(f"{file}: {named(name)} cannot be made of the options {shown(options)}: {problem}") from None
    if len(steps_of(encoder)) != config.num_hidden_layers:
        raise CheckpointError(
            f"{file}: num_hidden_layers is {config.num_hidden_layers}; its layers serve in {len(steps_of(encoder))} steps"
        )
    heads = described.get("heads") or {}
    own = {name for names in HEADS.values() for name in names}
    if not isinstance(heads, dict) or not all(name in own and isinstance(entry, dict) for name, entry in heads.items()):
        raise CheckpointError(f"{file}: {KEY}.heads is {shown(heads)}; expected some of {', '.join(sorted(own))}")
    if not heads:
        return encoder
    made = {}
    for name, entry in heads.items():
        labels, rate = entry.get("num_labels"), entry.get("dropout_prob")
        if type(labels) is not int or not 0 <= labels <= 1_000_000 or type(rate) not in (int, float) or not 0 <= rate <= 1:
            raise CheckpointError(f"{file}: {KEY}.heads.{name} is {shown(entry)}; expected num_labels and dropout_prob")
        made[name] = new_head(name, config, labels, float(rate), rngs=rngs)
    try:
        return BertWithHeads(encoder, made)
    except InputError as problem:
        raise CheckpointError(f"{file}: {problem}") from None


def _fill(model: Bert | BertWithHeads, file: Path, dtype: np.dtype[Any]) -> None:
    stored = open_safetensors(file).tensors
    variables = parameters_of(model)
    wrong = [f"{path} is missing" for path in variables if path not in stored]
    wrong += [f"{named(name)} is no parameter of this model" for name in stored if name not in variables]
    wrong += [f"{named(name)} is {tensor.dtype.name}" for name, tensor in stored.items() if tensor.dtype.name not in FLOATING]
    for path, variable in variables.items():
        shape = tuple(variable.get_value().shape)
        if path in stored and tuple(stored[path].shape) != shape:
            wrong.append(f"{path} is {list(stored[path].shape)}, and its part calls for {list(shape)}")
    if wrong:
        raise CheckpointError(
            f"{file} does not fit its configuration: {'; '.join(wrong[:10])}{'; and more' if len(wrong) > 10 else ''}"
        )
    arrays: dict[str, Array] = {path: jax.device_put(array) for path, array in copied(stored, dtype).items()}
    for path, variable in variables.items():
        variable.set_value(arrays[path])
