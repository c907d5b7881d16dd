"""Times our tokenizer against the compiled `tokenizers` library and transformers' call: the same texts, in turn, in one process.

    python benchmarks/tokenizer.py [--rounds 7] [--multilingual PATH…] [--vocabulary VOCAB_TXT [--cased]]

Needs the extra `reference` and the fetched default checkpoint. The English prose is what this machine has: paragraphs of the
docstrings of Python's standard library and of the installed packages, each once, as short lines and joined to long
passages. The multilingual mix is read from PATH: .txt, .zip of .txt, .json (every string of at least 20 characters), or
folders of these; without PATH, from the message catalogues (.mo) of the installed programs. VOCAB_TXT is a vocabulary for
the mix, in place of the default checkpoint's.

The texts are tokenized by us and by the library on one thread and on all of them, in shuffled order, once a round. "Cold" is
all of them with a new tokenizer, whose memory is empty, "unseen" one half of them after the other half, "repeated" the same
texts again. Lists are compared with lists, arrays with arrays, and in the first round they have to be equal. A ratio
is the median of the rounds' ratios, with the 10th to 90th percentile; above 1, minibert is faster.
"""

import argparse
import gc
import gettext
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from paired import spread
from prose import english_lines, passages
from tokenizers import BertWordPieceTokenizer
from transformers import BertTokenizer

from minibert.checkpoints.registry import resolve
from minibert.tokenizer import Tokenizer, TokenizerSettings
from minibert.tokenizer.vocabulary import read_vocabulary

MAX_LENGTH = 256
BATCH = 64
QUESTION = "What is the capital of France?"


def multilingual_texts(paths: list[Path]) -> list[str]:
    texts = (text for path in paths or [Path("/usr/share/locale"), Path(sys.prefix)] for text in texts_of(path, bool(paths)))
    return list(dict.fromkeys(text for text in texts if len(text) >= 20))


def texts_of(path: Path, given: bool) -> Iterator[str]:
    if path.is_dir():
        for suffix in (".txt", ".json", ".zip") if given else (".mo",):
            for file in sorted(path.rglob(f"*{suffix}")):
                yield from texts_of(file, given)
    elif path.suffix == ".mo":
        with path.open("rb") as file:
            yield from (text for text in gettext.GNUTranslations(file)._catalog.values() if isinstance(text, str))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".txt"):
                    yield from (line.strip() for line in archive.read(name).decode("utf-8", "ignore").splitlines())
    elif path.suffix == ".json":
        yield from strings(json.loads(path.read_text(encoding="utf-8")))
    elif path.suffix == ".txt":
        yield from path.read_text(encoding="utf-8", errors="ignore").splitlines()


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(part)


class Library:
    """The compiled library on one thread or on all; every function gives the same as that of `Ours`."""

    def __init__(self, vocabulary: Path, lower_case: bool, threads: str) -> None:
        self.tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=lower_case)._tokenizer
        self.parallelism = "false" if threads == "one" else "true"

    def encode(self, texts: list[str], fast: bool = True) -> list[Any]:
        os.environ["TOKENIZERS_PARALLELISM"] = self.parallelism
        return (self.tokenizer.encode_batch_fast if fast else self.tokenizer.encode_batch)(texts)

    def ids(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self.encode(texts)]

    def offsets(self, texts: list[str]) -> tuple[list[list[int]], list[list[tuple[int, int]]]]:
        encodings = self.encode(texts, fast=False)
        return [encoding.ids for encoding in encodings], [encoding.offsets for encoding in encodings]

    def arrays(self, texts: list[str]) -> list[dict[str, np.ndarray]]:
        self.tokenizer.enable_truncation(MAX_LENGTH)
        self.tokenizer.enable_padding()
        batches = []
        for start in range(0, len(texts), BATCH):
            rows = self.encode(texts[start : start + BATCH])
            batches.append(
                {
                    "input_ids": np.array([row.ids for row in rows], np.int32),
                    "token_type_ids": np.array([row.type_ids for row in rows], np.int32),
                    "attention_mask": np.array([row.attention_mask for row in rows], np.int32),
                }
            )
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        return batches


class Transformers:
    """transformers' call, which has the compiled library inside."""

    def __init__(self, vocabulary: Path, lower_case: bool) -> None:
        self.tokenizer = BertTokenizer(str(vocabulary), do_lower_case=lower_case)

    def call(self, texts: list[str], **options: Any) -> Any:
        os.environ["TOKENIZERS_PARALLELISM"] = "true"
        return self.tokenizer(texts, **options)

    def ids(self, texts: list[str]) -> list[list[int]]:
        return self.call(texts, return_token_type_ids=False, return_attention_mask=False)["input_ids"]

    def offsets(self, texts: list[str]) -> tuple[list[list[int]], list[list[tuple[int, int]]]]:
        batch = self.call(texts, return_token_type_ids=False, return_attention_mask=False, return_offsets_mapping=True)
        return batch["input_ids"], batch["offset_mapping"]

    def arrays(self, texts: list[str]) -> list[dict[str, np.ndarray]]:
        options = {"padding": True, "truncation": True, "max_length": MAX_LENGTH, "return_tensors": "np"}
        return [dict(self.call(texts[start : start + BATCH], **options)) for start in range(0, len(texts), BATCH)]


class Ours:
    def __init__(self, tokenizer: Tokenizer) -> None:
        # A new one, with nothing in its memory.
        self.tokenizer = Tokenizer(tokenizer.vocabulary, tokenizer.settings)

    def lists(self, texts: list[str], **options: Any) -> dict[str, Any]:
        more = {"return_token_type_ids": False, "return_attention_mask": False}
        return self.tokenizer(texts, padding=False, return_tensors=None, **more, **options)

    def ids(self, texts: list[str]) -> list[list[int]]:
        return self.lists(texts)["input_ids"]

    def offsets(self, texts: list[str]) -> tuple[list[list[int]], list[list[tuple[int, int]]]]:
        batch = self.lists(texts, return_offsets_mapping=True)
        return batch["input_ids"], batch["offset_mapping"]

    def arrays(self, texts: list[str]) -> list[dict[str, np.ndarray]]:
        batches = (texts[start : start + BATCH] for start in range(0, len(texts), BATCH))
        return [self.tokenizer(batch, truncation=True, max_length=MAX_LENGTH) for batch in batches]


def seconds(function: Callable[[], object]) -> tuple[float, object]:
    gc.collect()
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, list) and ours and isinstance(ours[0], dict):
        return all(np.array_equal(a[key], b[key]) for a, b in zip(ours, theirs, strict=True) for key in a)
    return ours == theirs


def compare(name: str, texts: list[str], tokenizer: Tokenizer, vocabulary: Path, rounds: int) -> None:
    """Prints a line for each output and regime."""
    lower_case = tokenizer.settings.do_lower_case
    peers = {
        "one thread": Library(vocabulary, lower_case, "one"),
        "all threads": Library(vocabulary, lower_case, "all"),
        "transformers": Transformers(vocabulary, lower_case),
    }
    half = len(texts) // 2
    stages = {"cold": texts, "unseen": texts[half:], "repeated": texts[half:]}
    sizes = {stage: sum(len(text.encode()) for text in part) / 1e6 for stage, part in stages.items()}
    print(f"\n{name}: {len(texts):,} texts, {sizes['cold']:.1f} MB")
    for output in ("ids", "offsets", "arrays"):
        rates: dict[str, list[float]] = {stage: [] for stage in stages}
        ratios: dict[tuple[str, str], list[float]] = {(stage, peer): [] for stage in stages for peer in peers}
        for number in range(rounds):
            for stage, part in stages.items():
                if stage != "repeated":
                    ours = Ours(tokenizer)
                if stage == "unseen":
                    getattr(ours, output)(texts[:half])
                contenders = {"ours": ours, **peers}
                order = random.sample(list(contenders), len(contenders))
                taken: dict[str, float] = {}
                results: dict[str, object] = {}
                for contender in order:
                    run = getattr(contenders[contender], output)
                    taken[contender], result = seconds(lambda run=run, part=part: run(part))
                    if number == 0:
                        results[contender] = result
                    del result
                for peer in results.keys() - {"ours"}:
                    if not same(results["ours"], results[peer]):
                        raise SystemExit(f"{name}, {output}, {stage}: minibert and {peer} differ")
                rates[stage].append(sizes[stage] / taken["ours"])
                for peer in peers:
                    ratios[stage, peer].append(taken[peer] / taken["ours"])
        for stage in stages:
            columns = [f"{peer} {spread(ratios[stage, peer])}" for peer in peers]
            print(f"  {output:8}{stage:9} {statistics.median(rates[stage]):5.1f} MB/s   " + "   ".join(columns))


def one_question(tokenizer: Tokenizer, vocabulary: Path) -> None:
    library = Library(vocabulary, True, "one").tokenizer
    functions: dict[str, Callable[[], object]] = {
        "minibert encode": lambda: tokenizer.encode(QUESTION),
        "minibert call": lambda: tokenizer(QUESTION),
        "tokenizers encode": lambda: library.encode(QUESTION).ids,
    }
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(21):
        for name, function in functions.items():
            taken[name].append(seconds(lambda function=function: [function() for _ in range(2000)])[0] / 2000)
    print(
        f"\none question, {QUESTION!r}: " + ", ".join(f"{name} {statistics.median(t) * 1e6:.1f} µs" for name, t in taken.items())
    )


def first_ids(folder: Path) -> None:
    program = (
        "import time; from minibert.tokenizer import Tokenizer; start = time.perf_counter(); "
        f"Tokenizer.load({str(folder)!r}).encode({QUESTION!r}); print(time.perf_counter() - start)"
    )
    taken = [
        float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
        for _ in range(7)
    ]
    print(f"Tokenizer.load to the first ids, in new processes: {statistics.median(taken) * 1e3:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds (default: %(default)s)")
    parser.add_argument("--multilingual", type=Path, nargs="+", default=[], metavar="PATH", help="texts of many languages")
    parser.add_argument("--vocabulary", type=Path, metavar="VOCAB_TXT", help="the vocabulary for the multilingual mix")
    parser.add_argument("--cased", action="store_true", help="VOCAB_TXT is cased")
    arguments = parser.parse_args()
    random.seed(2018)
    packages = ", ".join(f"{name} {version(name)}" for name in ("minibert", "tokenizers", "transformers"))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}")

    folder = resolve("minilm-l6")
    vocabulary = folder / "vocab.txt"
    tokenizer = Tokenizer.from_folder(folder)
    one_question(tokenizer, vocabulary)
    first_ids(folder)
    lines = english_lines()
    random.shuffle(lines)
    compare("English, short lines", lines, tokenizer, vocabulary, arguments.rounds)
    compare("English, long passages", passages(lines), tokenizer, vocabulary, arguments.rounds)
    mix = multilingual_texts(arguments.multilingual)
    if len(mix) < 1000:
        print("\nno multilingual texts: this machine has no message catalogues; give --multilingual PATH")
        return
    random.shuffle(mix)
    if arguments.vocabulary is not None:
        vocabulary = arguments.vocabulary
        tokenizer = Tokenizer(read_vocabulary(vocabulary), TokenizerSettings(do_lower_case=not arguments.cased))
    compare("multilingual mix", mix, tokenizer, vocabulary, arguments.rounds)


if __name__ == "__main__":
    main()
