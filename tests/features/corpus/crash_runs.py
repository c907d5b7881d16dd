"""Jobs that kill themselves: `python crash_runs.py FOLDER FIRST LAST` runs a seed each and prints what went wrong, as JSON.

Its own process, so that what forks has no threads. A job counts its writes, syncs, renames, truncations and removals, and dies of
SIGKILL before, after or half-way through one of them; so does its resume, and the resume of that, until one is left to end.
"""

import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fake_features import FakeFeatures, fake_facts, some_texts

import minibert.features.corpus.job as job
from minibert.features.corpus import ChunkSize, CorpusOptions, Outcome, TextFiles

OPERATIONS = ("write", "fsync", "replace", "ftruncate", "unlink", "mkdir", "rmdir")
KINDS = (
    ("sentences", ".npy"),
    ("sentences", ".npz"),
    ("sentences", ".jsonl"),
    ("sentences", ".parquet"),
    ("words", ".npz"),
    ("tokens", ".parquet"),
    ("words", ".jsonl"),
)
NEVER = 1 << 60


def run(source: Path, output: Path, level: str, **arguments: Any) -> Outcome:
    return job.embed_corpus(
        FakeFeatures(),
        TextFiles([str(source)]),
        output,
        CorpusOptions(level=level),
        name_or_path="fake",
        chunk_size=ChunkSize(8, 1 << 20),
        **arguments,
    )


@contextmanager
def counted(fatal: int, how: str) -> Iterator[list[int]]:
    """Counts the operations, and dies at the one with the number `fatal`: `before` it, `after` it, or `half` through a write."""
    count = [0]
    originals = {name: getattr(os, name) for name in OPERATIONS}

    def counting(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **named: Any) -> Any:
            count[0] += 1
            if count[0] != fatal:
                return original(*arguments, **named)
            if how == "half" and name == "write":
                original(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            elif how == "after":
                original(*arguments, **named)
            return os.kill(os.getpid(), signal.SIGKILL)

        return operation

    for name, original in originals.items():
        setattr(os, name, counting(name, original))
    try:
        yield count
    finally:
        for name, original in originals.items():
            setattr(os, name, original)


def dies(fatal: int, how: str, *arguments: Any) -> bool:
    """Whether the job in a child was killed; an error in it ends us."""
    child = os.fork()
    if child == 0:
        try:
            with counted(fatal, how):
                run(*arguments)
            os._exit(0)
        except BaseException as problem:
            print(f"{type(problem).__name__}: {problem}", file=sys.stderr, flush=True)
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit(f"the job failed: fatal={fatal} how={how} {arguments}")
    return os.WIFSIGNALED(status)


def main(folder: Path, seeds: range) -> None:
    job.model_facts = fake_facts
    source = folder / "texts.txt"
    source.write_text("".join(text + "\n" for text in some_texts(43)))
    undisturbed = {}
    for level, suffix in KINDS:
        output = folder / f"undisturbed-{level}{suffix}"
        with counted(NEVER, "before") as count:
            run(source, output, level)
        undisturbed[level, suffix] = (output.read_bytes(), count[0])
    wrong, kills = [], 0
    for seed in seeds:
        chance = random.Random(seed)
        level, suffix = KINDS[seed % len(KINDS)]
        expected, operations = undisturbed[level, suffix]
        place = folder / str(seed)
        place.mkdir()
        output = place / f"vectors{suffix}"
        if chance.random() < 0.5:
            output.write_bytes(b"what was there before")
        before = output.read_bytes() if output.exists() else None
        for _ in range(chance.randint(1, 4)):
            died = dies(chance.randint(1, operations), chance.choice(("before", "half", "after")), source, output, level)
            kills += died
            if (output.read_bytes() if output.exists() else None) not in (before, expected):
                wrong.append([seed, "half an output"])
        run(source, output, level)
        if output.read_bytes() != expected:
            wrong.append([seed, "other bytes"])
        left = sorted(path.name for path in place.iterdir() if path.name not in (output.name, f"{output.name}.receipt.json"))
        if left:
            wrong.append([seed, f"left behind: {left}"])
        if suffix in (".npy", ".jsonl"):
            job_receipt = json.loads((place / f"{output.name}.receipt.json").read_text())
            if job_receipt["counts"]["texts"] != 43:
                wrong.append([seed, "another receipt"])
        shutil.rmtree(place)
    print(json.dumps({"wrong": wrong, "kills": kills, "operations": [count for _, count in undisturbed.values()]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), range(int(sys.argv[2]), int(sys.argv[3])))
