"""The files that a corpus can become, by the suffix of their name."""

from pathlib import Path

from minibert.errors import InputError
from minibert.features.corpus.options import CorpusOptions
from minibert.features.corpus.outputs.jsonl import JsonLinesOutput
from minibert.features.corpus.outputs.npy import NpyOutput
from minibert.features.corpus.outputs.npz import NpzOutput
from minibert.features.corpus.outputs.output import Output
from minibert.features.corpus.outputs.parquet import ParquetOutput

SUFFIXES = (".npy", ".npz", ".jsonl", ".parquet")


def output_of(path: Path, options: CorpusOptions) -> Output:
    """The kind of file that `path` names; InputError for another suffix, and for one that cannot hold what is asked for."""
    if path.suffix == ".npy":
        if options.level != "sentences":
            others = ", ".join(SUFFIXES[1:])
            raise InputError(
                f"{path} holds one array, and {options.level} have texts and spans besides; expected one of {others}"
            )
        return NpyOutput(options.output_dtype)
    if path.suffix == ".npz":
        return NpzOutput(options.level, options.output_dtype)
    if path.suffix == ".jsonl":
        return JsonLinesOutput(options.level)
    if path.suffix == ".parquet":
        return ParquetOutput(options.level, options.output_dtype)
    raise InputError(f"{path} ends in {path.suffix!r}; expected one of {', '.join(SUFFIXES)}")


__all__ = ["SUFFIXES", "Output", "output_of"]
