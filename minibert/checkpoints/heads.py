"""Checkpoints with task heads: which tensors are whose, how many labels there are, and what a checkpoint lacks."""

import warnings
from pathlib import Path
from typing import Any

from flax import nnx

from minibert.checkpoints.blueprint import Blueprint, fill, parameters_of, read_blueprint
from minibert.checkpoints.names import HEAD_PARAMETERS, Row
from minibert.checkpoints.registry import folder_of, resolve
from minibert.checkpoints.tensors import Canonical
from minibert.errors import CheckpointError, InputError, NewHeadWarning, shown
from minibert.model.bert import Bert
from minibert.model.bert_with_heads import BertWithHeads
from minibert.model.heads import HEADS, new_head
from minibert.model.pooler import Pooler
from minibert.strict_json import MAX_SETTINGS_BYTES, read_json_object

MOST_LABELS = 1_000_000


def load_with_head(
    name_or_path: str | Path,
    head: str,
    *,
    num_labels: int | None = None,
    seed: int = 0,
    replace_head: bool = False,
    dropout_prob: float | None = None,
    **overrides: Any,
) -> BertWithHeads:
    """The encoder in a checkpoint with the heads of a task, as `minibert.load(name_or_path, head=head)` gives it.

    Args:
        name_or_path, overrides: as of `minibert.load`.
        head: one of `minibert.model.heads.HEADS`.
        num_labels: of `sequence_classification` and `token_classification`; as many as the checkpoint has if absent.
        seed: of the random numbers of what the checkpoint lacks: a NewHeadWarning names it.
        replace_head: begin with a new head even where the checkpoint has one.
        dropout_prob: of the head; the checkpoint's own `classifier_dropout`, or else that of hidden states, if None.

    Raises InputError for another head, and for labels that are not given anywhere; CheckpointError as `minibert.load` does, and
    for a head of which a part is missing or has another shape.
    """
    if head not in HEADS:
        raise InputError(f"head is {shown(head)}; expected one of {', '.join(HEADS)}")
    if num_labels is not None and (type(num_labels) is not int or not 1 <= num_labels <= MOST_LABELS):
        raise InputError(f"num_labels is {shown(num_labels)}; expected a whole number from 1 to {MOST_LABELS:,}")
    path = resolve(name_or_path)
    blueprint = read_blueprint(path, **overrides)
    config, stored = blueprint.config, blueprint.stored.canonical
    said = _said_of_heads(folder_of(path))
    labels = _number_of_labels(head, num_labels, stored, said, path)
    dropout_prob = said.get("classifier_dropout") if dropout_prob is None else dropout_prob
    dropout_prob = config.hidden_dropout_prob if dropout_prob is None else dropout_prob
    if type(dropout_prob) not in (int, float) or not 0.0 <= dropout_prob <= 1.0:
        raise CheckpointError(f"{path}: classifier_dropout is {shown(dropout_prob)}; expected a number from 0 to 1")

    found = {name: {} if replace_head else _rows_found(name, stored, path) for name in HEADS[head]}
    heads = {
        name: new_head(name, config, labels, dropout_prob, rngs=None if rows else nnx.Rngs(seed)) for name, rows in found.items()
    }
    needs_pooler = any(getattr(each, "needs_pooler", False) for each in heads.values())
    bert = Bert(config, rngs=None, add_pooling_layer=needs_pooler)
    new = [f"the head {name}" for name, rows in found.items() if not rows and not replace_head]
    if needs_pooler and not blueprint.add_pooling_layer:
        bert.pooler = Pooler(config, rngs=nnx.Rngs(seed))
        new.insert(0, "the pooler")
    model = BertWithHeads(bert, heads)
    _fill(model, blueprint, found)
    if found.get("masked_lm"):
        blueprint.stored.check_tied_kernel()
    if new:
        warnings.warn(
            f"{path} does not hold {' and '.join(new)}: random numbers of seed {seed} are there until they are trained",
            NewHeadWarning,
            stacklevel=3,
        )
    return model


def _fill(model: BertWithHeads, blueprint: Blueprint, found: dict[str, dict[str, tuple[Row, Canonical]]]) -> None:
    """Give every parameter that the checkpoint has its value; CheckpointError for another shape."""
    variables = parameters_of(model)
    wanted = {f"bert.{path}": pair for path, pair in blueprint.match.parameters.items() if f"bert.{path}" in variables}
    for rows in found.values():
        for ours, (row, canonical) in rows.items():
            row = row._replace(transposed=row.transposed and canonical.is_transposed)
            shape = canonical.tensor.shape[::-1] if row.transposed else canonical.tensor.shape
            expected = variables[ours].get_value().shape
            if tuple(shape) != tuple(expected):
                raise CheckpointError(
                    f"{canonical.tensor.path}: {canonical.name} is, in our layout, {list(shape)}; this head calls for "
                    f"{list(expected)}: leave num_labels out to take the checkpoint's, or begin with replace_head=True"
                )
            wanted[ours] = (row, canonical.tensor)
    fill(model, wanted, blueprint.config)


def _rows_found(name: str, stored: dict[str, Canonical], path: Path) -> dict[str, tuple[Row, Canonical]]:
    """The stored tensors of a head by our paths: all of them or none; CheckpointError for some."""
    rows = HEAD_PARAMETERS[name]
    missing = [row.hf for row in rows if row.hf not in stored]
    if missing and len(missing) < len(rows):
        raise CheckpointError(f"{path} holds the head {name} in part; missing: {', '.join(missing)}")
    return {} if missing else {row.ours: (row, stored[row.hf]) for row in rows}


def _said_of_heads(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    return read_json_object(file, error=CheckpointError, max_bytes=MAX_SETTINGS_BYTES) if file.exists() else {}


def _number_of_labels(head: str, given: int | None, stored: dict[str, Canonical], said: dict[str, Any], path: Path) -> int:
    if head not in ("sequence_classification", "token_classification"):
        if given is not None:
            raise InputError(f"num_labels was given for the head {head}, whose number of labels is fixed; leave it out")
        return 1
    if given is not None:
        return given
    if "classifier.weight" in stored:
        _, tensor, is_transposed = stored["classifier.weight"]
        return int(tensor.shape[0 if is_transposed else -1])
    labels = said.get("id2label")
    if isinstance(labels, dict) and labels:
        return len(labels)
    raise InputError(f"{path} says nowhere how many labels the head {head} has; give num_labels=")
