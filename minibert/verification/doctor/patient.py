"""`Patient`: a checkpoint folder, and what is read from it once for all checks.

What cannot be read raises `NotCheckedError`: every check that needs it then says so, and the one whose job it is says why.
"""

import contextlib
import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

from minibert.checkpoints.blueprint import shapes_of
from minibert.checkpoints.formats.stored_tensor import StoredTensor
from minibert.checkpoints.integrity import sha256_of
from minibert.checkpoints.loading import load
from minibert.checkpoints.matching import FLOATING, Match, Problem, pair_tensors
from minibert.checkpoints.names import WORD_TABLE
from minibert.checkpoints.tensors import StoredTensors, open_checkpoint
from minibert.config import BertConfig, refused_keys, unknown_keys
from minibert.errors import CheckpointError, ConfigError, MinibertError
from minibert.model import Bert
from minibert.strict_json import read_json_object
from minibert.tokenizer import Tokenizer, Vocabulary
from minibert.tokenizer.tokenizer_json import read_tokenizer_json
from minibert.tokenizer.vocabulary import read_vocabulary
from minibert.verification.doctor.findings import size
from minibert.verification.doctor.tensor_statistics import Statistics, statistics_of
from minibert.verification.report import Report

LARGEST_WEIGHTS = 32 << 30
"""Bytes: more than ten times BERT-large. What is larger would be read for minutes and is no BERT."""
COPIES = 2
"""How often the parameters lie in memory as float32 while they are loaded and compared: largest first, so about twice."""

VOCABULARY_FILES = ("vocab.txt", "tokenizer.json")

NO_VOCABULARY = "the folder has no vocabulary"
CONFIGURATION_REFUSED = "the configuration is refused"
DOES_NOT_LOAD = "the model does not load"
TOO_LARGE = "the model is too large for this machine"


class NotCheckedError(Exception):
    """Something cannot be checked, for the `reason`; `problem` is the message of what failed, where there is one."""

    def __init__(self, reason: str, problem: str = ""):
        super().__init__(reason)
        self.reason = reason
        self.problem = problem or reason

    def again(self) -> "NotCheckedError":
        """The same without a traceback, which grows each time that it is raised and keeps alive what its frames hold."""
        return NotCheckedError(self.reason, self.problem)


@contextlib.contextmanager
def needed(reason: str) -> Iterator[None]:
    """Turn what goes wrong in the block into NotCheckedError for the `reason`."""
    try:
        yield
    except MinibertError as problem:
        raise NotCheckedError(reason, str(problem)) from None
    except PermissionError as problem:
        raise NotCheckedError(reason, f"{problem.filename or 'a file'} may not be read by this user") from None
    except OSError as problem:
        raise NotCheckedError(reason, f"{problem.filename or 'a file'} cannot be read: {problem.strerror or problem}") from None


Value = TypeVar("Value")


class ReadOnce(Generic[Value]):
    """A property that is read once; where that failed it fails again, and at once."""

    def __init__(self, read: Callable[[Any], Value]):
        self.read = read
        self.__doc__ = read.__doc__

    def __get__(self, patient: "Patient", owner: type) -> Value:
        outcomes = patient.outcomes
        if self not in outcomes:
            try:
                outcomes[self] = self.read(patient)
            except NotCheckedError as failure:
                outcomes[self] = failure.again()
        outcome = outcomes[self]
        if isinstance(outcome, NotCheckedError):
            raise outcome.again() from None
        return outcome


class Patient:
    """One checkpoint folder. Every property reads what it is called; NotCheckedError says that it cannot be read."""

    report: Report | None = None
    """The comparison with the oracle, once it is made."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.outcomes: dict[object, Any] = {}

    def holds(self, name: str) -> bool:
        """Whether the folder holds a file of the name. Raises PermissionError where this user may not know it."""
        try:
            # Not `exists`, which raises or says no, as the version of Python has it.
            (self.folder / name).stat()
        except PermissionError:
            raise
        except (OSError, ValueError):
            return False
        return True

    @ReadOnce
    def config_file(self) -> Path:
        """config.json, or else bert_config.json."""
        with needed("the configuration cannot be read"):
            for name in ("config.json", "bert_config.json"):
                if self.holds(name):
                    return self.folder / name
        raise NotCheckedError("there is no configuration", f"{self.folder} holds neither config.json nor bert_config.json")

    @ReadOnce
    def config_values(self) -> dict[str, Any]:
        """The configuration as its file has it."""
        with needed("the configuration cannot be read"):
            return read_json_object(self.config_file, error=ConfigError, max_bytes=1 << 20)

    @ReadOnce
    def unknown_keys(self) -> list[str]:
        """The keys of the configuration that minibert does not know, for which it refuses to load the model."""
        return unknown_keys(self.config_values)

    @ReadOnce
    def refused_keys(self) -> list[str]:
        """The keys of the configuration that minibert knows and whose values ask for what it does not compute."""
        return refused_keys(self.config_values)

    @ReadOnce
    def config(self) -> BertConfig:
        """The configuration without the unknown and the refused keys: sizes can be held against tensors all the same."""
        left_out = {*self.unknown_keys, *self.refused_keys}
        values = {name: value for name, value in self.config_values.items() if name not in left_out}
        read = BertConfig.from_google if self.config_file.name == "bert_config.json" else BertConfig.from_hf
        with needed(CONFIGURATION_REFUSED):
            return read(values)

    @ReadOnce
    def stored(self) -> StoredTensors:
        """The headers of the weights."""
        with needed("the weights cannot be read"):
            stored = open_checkpoint(self.folder)
            if not stored.tensors:
                raise CheckpointError(f"{stored.files[0]} holds no tensors")
            return stored

    def check_size(self) -> None:
        """Raise NotCheckedError where the weights are too large to be read."""
        total = self.stored.number_of_bytes
        if total > LARGEST_WEIGHTS:
            raise NotCheckedError(f"the weights hold {size(total)}, over the limit of {size(LARGEST_WEIGHTS)}")

    @ReadOnce
    def sha256(self) -> dict[str, str]:
        """The hash of each file of the weights, by its name."""
        self.check_size()
        with needed("the weights cannot be read"):
            return {path.name: sha256_of(path) for path in self.stored.files}

    @ReadOnce
    def canonical(self) -> dict[str, StoredTensor]:
        """The stored tensors by their names without the prefix `bert.` and without LayerNorm's old names."""
        return {name: found.tensor for name, found in self.stored.canonical.items()}

    @ReadOnce
    def stored_layers(self) -> set[int]:
        """The numbers of the layers that the weights have any tensor of."""
        found = (re.match(r"encoder\.layer\.([0-9]{1,9})\.", name) for name in self.canonical)
        return {int(match.group(1)) for match in found if match}

    @ReadOnce
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter, by our path, that the configuration calls for."""
        depth = self.config.num_hidden_layers
        if depth > len(self.stored.tensors):
            raise NotCheckedError("the configuration has more layers than the weights have tensors")
        return shapes_of(self.config, self.stored)

    @ReadOnce
    def pairing(self) -> tuple[Match, list[Problem]]:
        """Which tensor fills which parameter, and what does not fit."""
        return pair_tensors(self.stored, self.shapes, self.config.num_hidden_layers)

    @ReadOnce
    def word_table(self) -> StoredTensor:
        """The table of word embeddings."""
        self.check_size()
        tensor = self.canonical.get(WORD_TABLE)
        if tensor is None or len(tensor.shape) != 2 or tensor.dtype.name not in FLOATING:
            raise NotCheckedError("the weights have no table of word embeddings")
        return tensor

    @ReadOnce
    def vocabulary(self) -> Vocabulary:
        """The vocabulary: the tokenizer's, with what files add to it, or else that of vocab.txt or of tokenizer.json alone."""
        with contextlib.suppress(NotCheckedError):
            return self.tokenizer.vocabulary
        path = self.vocabulary_file
        with needed("the vocabulary cannot be read"):
            return read_vocabulary(path) if path.name == "vocab.txt" else read_tokenizer_json(path)[0]

    @ReadOnce
    def vocabulary_file(self) -> Path:
        """The file that has the vocabulary."""
        with needed("the vocabulary cannot be read"):
            for name in VOCABULARY_FILES:
                if self.holds(name):
                    return self.folder / name
        raise NotCheckedError(NO_VOCABULARY)

    @ReadOnce
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, with all its settings."""
        with needed("the tokenizer does not load"):
            if not any(self.holds(name) for name in VOCABULARY_FILES):
                raise NotCheckedError(NO_VOCABULARY)
            return Tokenizer.from_folder(self.folder)

    @ReadOnce
    def statistics(self) -> dict[str, Statistics]:
        """What the values of every floating-point tensor are like, by its canonical name."""
        self.check_size()
        floating = {name: tensor for name, tensor in self.canonical.items() if tensor.dtype.name in FLOATING}
        with needed("the weights cannot be read"):
            return {name: statistics_of(tensor.read()) for name, tensor in floating.items()}

    @ReadOnce
    def model(self) -> Bert:
        """The model in float32."""
        if self.unknown_keys:
            raise NotCheckedError("the configuration has unknown keys, so that the model does not load")
        if self.refused_keys:
            raise NotCheckedError("the configuration asks for what minibert does not compute, so that the model does not load")
        if self.pairing[1]:
            raise NotCheckedError("the tensors do not fit the configuration, so that the model does not load")
        takes = COPIES * 4 * sum(math.prod(shape) for shape in self.shapes.values())
        if takes > memory():
            raise NotCheckedError(
                TOO_LARGE, f"computing with it takes at least {size(takes)} of memory; this machine has {size(memory())}"
            )
        with needed(DOES_NOT_LOAD):
            return load(self.folder)


def memory() -> int:
    """The bytes of this machine's memory; where the system does not say it, more than any."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 1 << 62
