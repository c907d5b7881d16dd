"""The job: texts from a source, chunk by chunk through the engine into the work folder, at the end one rename."""

import contextlib
import datetime
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minibert.atomic_write import check_not_read
from minibert.errors import InputError
from minibert.features.corpus.engine import EmbeddedChunk, embed_chunk
from minibert.features.corpus.options import CHUNK_SIZES, ChunkSize, CorpusOptions
from minibert.features.corpus.outputs import Output, output_of
from minibert.features.corpus.outputs.columns import strings_of
from minibert.features.corpus.receipt import FORMAT, differences, model_facts, resolved
from minibert.features.corpus.sources import Source
from minibert.features.corpus.work import RESTART, Work
from minibert.printable import counted, listed


@dataclass(frozen=True)
class Step:
    """What is told after every chunk: texts so far (`kept` of them from an earlier run), the chunk, how much of the source."""

    texts: int
    kept: int
    chunk: EmbeddedChunk | None
    done: int
    of: int | None


@dataclass(frozen=True)
class Outcome:
    """What a job made: its output, the counts of all texts, rows, dimensions and cut texts, and of texts kept from before."""

    output: Path
    texts: int
    rows: int
    width: int
    truncated: int
    kept: int


def embed_corpus(
    features: Any,
    source: Source,
    output: str | Path,
    options: CorpusOptions | None = None,
    *,
    name_or_path: str | Path,
    restart: bool = False,
    report: Callable[[Step], None] | None = None,
    chunk_size: ChunkSize | None = None,
) -> Outcome:
    """Embed all texts of a source into a file, with its receipt; a job that was interrupted goes on behind its last chunk.

    Args:
        features: the engine, `minibert.Features(name_or_path)`.
        source: the texts: `TextFiles`, `Stream` or `TextList`.
        output: the file, by its suffix .npy, .npz, .jsonl or .parquet. It is there whole or not at all.
        options: what is computed; the checkpoint's own sentence vectors if not given.
        name_or_path: of the checkpoint, whose files the receipt names.
        restart: forget what an interrupted job left.
        report: is called after every chunk.
        chunk_size: where chunks end, if not as in CHUNK_SIZES. Other chunks may mean other rounding.

    Raises InputError for an output that cannot be written, texts that cannot be read, and an interrupted job that was another
    one (other texts, another model, other options); and what `features` raises. On any error the output stays as it was, and
    chunks that are done are kept.
    """
    options = CorpusOptions() if options is None else options
    output = Path(output).resolve()  # what a link points to is replaced, not the link
    kind = output_of(output, options)
    check_target(output)
    check_not_read(output, getattr(source, "paths", ()))
    made_of = getattr(features, "name_or_path", name_or_path)
    if str(made_of) != str(name_or_path):
        raise InputError(f"the features are of {made_of}, and the receipt would name {name_or_path}; give the same for both")
    size = CHUNK_SIZES[options.level] if chunk_size is None else chunk_size
    plan = {
        "format": FORMAT,
        **model_facts(name_or_path, features),
        **resolved(options, features.recipe).as_json(),
        "chunk_size": asdict(size),
        "input": source.fingerprint(),
        "output_kind": output.suffix,
    }
    with _system_errors(output, None):
        work = Work(output, kind.starts)
    try:
        with _system_errors(output, work):
            kept = _taken_up(work, plan, restart)
        if work.progress is None:
            return Outcome(output, **kept, kept=kept["texts"])
        if work.progress.finished is None:
            with _kept_work(work):
                _embed(work, kind, features, source, options, size, report)
                source.check_unchanged()
            with _system_errors(output, work):
                _finish(work, kind)
                totals = _counts(work.progress.totals)
                work.publish(check=False)
        else:
            totals = _counts(work.progress.totals)
            with _system_errors(output, work):
                work.publish()
        return Outcome(output, **totals, kept=kept["texts"])
    finally:
        work.close()


def check_target(output: Path) -> None:
    """InputError for an output that no file can take the place of, or that has no folder."""
    if output.is_dir():
        raise InputError(f"{output} is a folder; give the name of a file to write")
    if output.exists() and not output.is_file():
        raise InputError(f"{output} is no regular file; give the name of a file to write")
    if not output.parent.is_dir():
        raise InputError(f"{output} cannot be written: No such file or directory; make its folder first")


@contextlib.contextmanager
def _kept_work(work: Work) -> Iterator[None]:
    """An error in the texts or the options says what becomes of the texts before it."""
    try:
        yield
    except InputError as problem:
        kept = 0 if work.progress is None else work.progress.totals.get("texts", 0)
        if not kept or RESTART in str(problem):
            raise
        raise InputError(
            f"{problem}; {counted(kept, 'text')} before it are done and kept for this very input and these options: with others, "
            f"{RESTART}"
        ) from None


def _taken_up(work: Work, plan: Mapping[str, Any], restart: bool) -> dict[str, int]:
    """Begin the job, or go on with the one that is there; returns the counts that are kept.

    Afterwards `work.progress` is None where the very same job was done already, and only its cleaning up was missing.
    """
    before = None if restart else work.read()
    if before is not None and work.is_moved:
        # The output is there, whole: nothing is interrupted any more, whatever is asked for now.
        if work.publish() and not _changes(before.plan, plan):
            return _counts(before.totals)
        before = None
    if before is None:
        work.start(plan)
        return _counts({})
    changes = _changes(before.plan, plan)
    if changes:
        raise InputError(
            f"{work.output} was begun from other input, by another model or with other options: {listed(changes)}; give what was "
            f"given before to go on behind {counted(before.totals['texts'], 'text')}, or {RESTART}"
        )
    if before.finished is None:
        work.repair()
    return _counts(before.totals)


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two plans; names and paths may, where sizes and sha256 agree."""

    def without_names(plan: Mapping[str, Any]) -> dict[str, Any]:
        source = dict(plan["input"])
        if "files" in source:
            source["files"] = [{key: value for key, value in file.items() if key != "path"} for file in source["files"]]
        return {**plan, "model": None, "input": source}

    # As JSON has it, in which there are no tuples.
    return differences(without_names(then), without_names(json.loads(json.dumps(now))))


def _embed(
    work: Work,
    kind: Output,
    features: Any,
    source: Source,
    options: CorpusOptions,
    size: ChunkSize,
    report: Callable[[Step], None] | None,
) -> None:
    assert work.progress is not None
    kept = work.progress.totals.get("texts", 0)
    if report is not None and kept:
        report(Step(kept, kept, None, *source.done()))
    for texts, position in chunks(source, work.progress.position, size):
        chunk = embed_chunk(features, texts, work.progress.totals.get("texts", 0), options)
        totals = _added(work.progress.totals, chunk)
        with _system_errors(work.output, work):
            work.append(kind.pieces(chunk), totals, position)
        if report is not None:
            report(Step(totals["texts"], kept, chunk, *source.done()))


def chunks(source: Source, start: Mapping[str, Any] | None, size: ChunkSize) -> Iterator[tuple[list[str], Mapping[str, Any]]]:
    """The texts behind `start` in chunks, each with the place behind it; where one ends depends on its texts alone."""
    texts: list[str] = []
    length = 0
    for text in source.texts(start):
        texts.append(text)
        length += len(text.encode("utf-8"))
        if len(texts) >= size.texts or length >= size.bytes:
            yield texts, source.position()
            texts, length = [], 0
    if texts:
        yield texts, source.position()


def _added(totals: Mapping[str, int], chunk: EmbeddedChunk) -> dict[str, int]:
    """The totals with those of the chunk: counts, and what the strings of an .npz need."""
    rows, width = chunk.vectors.shape
    if totals and rows and totals["width"] not in (0, width):
        raise ValueError(f"the engine gave vectors of {width} dimensions after some of {totals['width']}")
    strings = strings_of(chunk)
    return {
        "texts": totals.get("texts", 0) + len(chunk.texts),
        "rows": totals.get("rows", 0) + rows,
        "truncated": totals.get("truncated", 0) + chunk.truncated,
        "width": width if rows else totals.get("width", width),
        "longest": max([totals.get("longest", 0), *map(len, strings)]),
        "string_bytes": totals.get("string_bytes", 0) + sum(len(text.encode("utf-8")) for text in strings),
        "ends_in_nul": totals.get("ends_in_nul", 0) + sum(text.endswith("\0") for text in strings),
    }


def _counts(totals: Mapping[str, int]) -> dict[str, int]:
    return {name: totals.get(name, 0) for name in ("texts", "rows", "width", "truncated")}


def _finish(work: Work, kind: Output) -> None:
    """Make the file and its receipt."""
    assert work.progress is not None
    counts = _counts(work.progress.totals)
    receipt = {**work.progress.plan, "counts": counts, "input": {**work.progress.plan["input"], "end": work.progress.position}}
    path = kind.finish(work, work.progress.totals, json.dumps(receipt, sort_keys=True))

    def receipt_beside(size: int, sha256: str) -> bytes:
        date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        whole = {**receipt, "file": {"bytes": size, "sha256": sha256}, "date": date}
        return json.dumps(whole, indent=1, sort_keys=True).encode() + b"\n"

    work.finish(path, None if kind.holds_receipt else receipt_beside)


@contextlib.contextmanager
def _system_errors(output: Path, work: Work | None) -> Iterator[None]:
    """What the system refuses, as one sentence that says what is left."""
    try:
        yield
    except OSError as problem:
        progress = None if work is None else work.progress
        kept = 0 if progress is None else progress.totals.get("texts", 0)
        rest = "; what was there is unchanged"
        if kept:
            rest += f", and {counted(kept, 'text')} done so far are kept: mend that and run the same command again to go on"
        raise InputError(f"{output} cannot be written: {problem.strerror or problem}{rest}") from None
