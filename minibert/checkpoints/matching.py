"""Holding a checkpoint's tensors against what a configuration calls for, before anything is allocated."""

from dataclasses import dataclass
from typing import NamedTuple

from minibert.checkpoints.formats.stored_tensor import StoredTensor
from minibert.checkpoints.names import HF_BUFFERS, HF_HEADS, Row, table_for
from minibert.checkpoints.tensors import StoredTensors
from minibert.config import BertConfig
from minibert.errors import CheckpointError, named

MOST_LISTED = 1000  # BERT-large has 391 tensors; a hostile header names millions
FLOATING = ("float64", "float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Match:
    """Which stored tensor fills which parameter, and what the checkpoint holds beside them."""

    parameters: dict[str, tuple[Row, StoredTensor]]
    heads: dict[str, str]
    buffers: list[str]


class Problem(NamedTuple):
    """One tensor that does not fit."""

    kind: str
    """"missing", "unexpected", "wrong shape", "wrong dtype" or "twice"."""
    what: str


def has_pooler(stored: StoredTensors) -> bool:
    """Whether the checkpoint holds any tensor of the pooler: token-level models are published without one."""
    return any(stored.dialect.canonical(name).startswith("pooler.") for name in stored.tensors)


def check_depth(config: BertConfig, stored: StoredTensors) -> None:
    """Raise CheckpointError if the configuration has more layers than the checkpoint has tensors.

    Cheap, and before anything as large as the configuration claims is built.
    """
    if config.num_hidden_layers > len(stored.tensors):
        raise CheckpointError(
            f"{stored.files[0]} holds {len(stored.tensors)} tensors, too few for num_hidden_layers = "
            f"{config.num_hidden_layers}; use the config.json that this checkpoint was saved with"
        )


def match_tensors(stored: StoredTensors, shapes: dict[str, tuple[int, ...]], num_hidden_layers: int) -> Match:
    """Pair every parameter in `shapes` (our path -> our shape) with its tensor.

    Raises CheckpointError that lists all tensors that are missing, unexpected, of another shape, of a dtype that is no
    floating-point one, or given twice under two spellings.
    """
    match, problems = pair_tensors(stored, shapes, num_hidden_layers)
    if problems:
        files = ", ".join(str(path) for path in stored.files)
        lines = [f"{problem.kind}: {problem.what}" for problem in problems[:MOST_LISTED]]
        lines += [f"and {len(problems) - MOST_LISTED:,} more"] * (len(problems) > MOST_LISTED)
        raise CheckpointError(
            f"{files}: {len(problems):,} tensors do not fit the configuration beside it; use the config.json that this "
            "checkpoint was saved with:\n  " + "\n  ".join(lines)
        )
    return match


def pair_tensors(
    stored: StoredTensors, shapes: dict[str, tuple[int, ...]], num_hidden_layers: int
) -> tuple[Match, list[Problem]]:
    """What `match_tensors` pairs, as far as it goes, and everything that does not fit."""
    problems: list[Problem] = []
    by_name: dict[str, tuple[str, StoredTensor]] = {}
    for name, tensor in stored.tensors.items():
        canonical = stored.dialect.canonical(name)
        if canonical in by_name:
            problems.append(Problem("twice", f"{named(by_name[canonical][0])} and {named(name)} are the same parameter"))
        by_name[canonical] = (name, tensor)
    parameters: dict[str, tuple[Row, StoredTensor]] = {}
    for row in table_for(num_hidden_layers, pooler="pooler.dense.kernel" in shapes):
        if row.hf not in by_name:
            problems.append(Problem("missing", f"{row.hf} (our {row.ours}), expected shape {_stored_shape(row, shapes)}"))
            continue
        name, tensor = by_name.pop(row.hf)
        row = row._replace(transposed=row.transposed and stored.dialect.is_transposed(name))
        if list(tensor.shape) != _stored_shape(row, shapes):
            expected = _stored_shape(row, shapes)
            problems.append(
                Problem("wrong shape", f"{named(name)} is {list(tensor.shape)}, the configuration calls for {expected}")
            )
        if tensor.dtype.name not in FLOATING:
            problems.append(
                Problem("wrong dtype", f"{named(name)} is {tensor.dtype.name}, expected one of {', '.join(FLOATING)}")
            )
        parameters[row.ours] = (row, tensor)
    heads, buffers = heads_and_buffers(stored)
    for name, tensor in by_name.values():
        if name not in heads and name not in buffers:
            problems.append(Problem("unexpected", f"{named(name)} {list(tensor.shape)} is no parameter of this model"))
    return Match(parameters, heads, buffers), problems


def heads_and_buffers(stored: StoredTensors) -> tuple[dict[str, str], list[str]]:
    """Which head each of its tensors belongs to, and the names of buffers: all told by their names alone."""
    found = stored.canonical
    heads = {found[name].name: head for name, head in HF_HEADS.items() if name in found}
    return heads, [tensor.name for name, tensor in found.items() if name in HF_BUFFERS]


def _stored_shape(row: Row, shapes: dict[str, tuple[int, ...]]) -> list[int]:
    shape = list(shapes[row.ours])
    return shape[::-1] if row.transposed else shape
