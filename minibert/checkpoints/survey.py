"""`survey`: what a checkpoint holds and how far it fits its configuration, whether or not it could be loaded."""

from dataclasses import dataclass
from pathlib import Path

from minibert.checkpoints.blueprint import configuration_of, shapes_of
from minibert.checkpoints.matching import Match, Problem, check_depth, heads_and_buffers, pair_tensors
from minibert.checkpoints.tensors import StoredTensors, open_checkpoint
from minibert.config import BertConfig
from minibert.errors import CheckpointError, ConfigError


@dataclass(frozen=True)
class Survey:
    """A checkpoint's headers, and what came of holding them against its configuration; `reason` says where that failed."""

    stored: StoredTensors
    config: BertConfig | None
    shapes: dict[str, tuple[int, ...]]
    match: Match
    problems: tuple[Problem, ...]
    reason: str | None

    @property
    def fits(self) -> bool:
        """Whether it can be loaded."""
        return self.reason is None and not self.problems


def survey(path: Path) -> Survey:
    """Look at a folder, a file of weights or a prefix; only headers are read.

    Raises CheckpointError where there are no weights, or they cannot be read.
    """
    stored = open_checkpoint(path)
    nothing = Match({}, *heads_and_buffers(stored))
    try:
        config = BertConfig.read(configuration_of(path, stored))
    except ConfigError as problem:
        return Survey(stored, None, {}, nothing, (), str(problem))
    try:
        check_depth(config, stored)
    except CheckpointError as problem:
        return Survey(stored, config, {}, nothing, (), str(problem))
    shapes = shapes_of(config, stored)
    match, problems = pair_tensors(stored, shapes, config.num_hidden_layers)
    return Survey(stored, config, shapes, match, tuple(problems), None)
