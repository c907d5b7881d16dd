"""The three small tasks of `finetuning.py`: read from the files as published, a fixed part of each, written as users have them.

sentence_polarity/   rt-polarity.neg and rt-polarity.pos of Pang and Lee 2005, unpacked or in a zip
stsb/                stsb-en-train.csv and stsb-en-dev.csv: two sentences and a number from 0 to 5 a row, no header
wnut17/              wnut17train.conll and emerging.dev.conll: a word and its tag a line
"""

import csv
import random
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import f1_score

SEED = 20051
"""Which rows are taken: the same ones for every contender and for every seed of a training."""
SOURCES = {
    "sentence_polarity": "https://www.cs.cornell.edu/people/pabo/movie-review-data (rt-polaritydata), or nltk_data's zip of it",
    "stsb": "https://github.com/PhilipMay/stsb-multi-mt (data/stsb-en-*.csv)",
    "wnut17": "https://github.com/leondz/emerging_entities_17",
}


class Example(NamedTuple):
    """A text, a pair of texts or the words of a sentence, and the class, the number or the tags."""

    inputs: tuple[str, ...]
    label: Any


class Data(NamedTuple):
    train: list[Example]
    evaluation: list[Example]


class SmallTask(NamedTuple):
    """Its name for minibert, the form of its files, and how predictions are measured: the first metric counts."""

    kind: str
    suffix: str
    read: Callable[[Path], Data]
    write: Callable[[Path, Sequence[Example]], None]
    score: Callable[[list[Any], list[Any]], dict[str, float]]
    most_train: int
    most_evaluated: int


def load_task(name: str, folder: Path, train: int | None, evaluation: int | None) -> Data:
    """As many rows as are asked for, or as the task takes by itself."""
    task = SMALL_TASKS[name]
    data = task.read(folder / name)
    parts = []
    for part, wanted in ((data.train, train or task.most_train), (data.evaluation, evaluation or task.most_evaluated)):
        chosen = list(part)
        random.Random(SEED).shuffle(chosen)
        parts.append(chosen[:wanted])
    return Data(*parts)


def _read_polarity(folder: Path) -> Data:
    examples: dict[str, Example] = {}
    for ending, label in (("neg", "negative"), ("pos", "positive")):
        for line in _member(folder, f"rt-polarity.{ending}").splitlines():
            if line.strip():
                # A snippet that is there twice must not be learned and asked for.
                examples.setdefault(line.strip(), Example((line.strip(),), label))
    chosen = list(examples.values())
    random.Random(SEED).shuffle(chosen)
    half = len(chosen) // 2
    return Data(chosen[half:], chosen[:half])


def _member(folder: Path, name: str) -> str:
    """The text of a file that lies in the folder, or anywhere in a zip that does."""
    for path in sorted(folder.rglob(name)):
        return path.read_text(encoding="utf-8")
    for path in sorted(folder.glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if Path(member).name == name:
                    return archive.read(member).decode("utf-8")
    raise FileNotFoundError(f"{folder} has no {name}, nor a zip with it")


def _read_stsb(folder: Path) -> Data:
    def rows(part: str) -> list[Example]:
        with open(folder / f"stsb-en-{part}.csv", encoding="utf-8", newline="") as file:
            return [Example((first, second), float(score)) for first, second, score in csv.reader(file)]

    return Data(rows("train"), rows("dev"))


def _read_wnut(folder: Path) -> Data:
    def sentences(name: str) -> list[Example]:
        found, words, tags = [], [], []
        for line in [*(folder / name).read_text(encoding="utf-8").split("\n"), ""]:
            if line.strip():
                word, tag = line.rstrip().split("\t")
                words.append(word)
                tags.append(tag)
            elif words:
                found.append(Example(tuple(words), tuple(tags)))
                words, tags = [], []
        return found

    return Data(sentences("wnut17train.conll"), sentences("emerging.dev.conll"))


def _write_tsv(path: Path, examples: Sequence[Example]) -> None:
    lines = ["sentence\tlabel", *(f"{text}\t{label}" for (text,), label in examples)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_csv(path: Path, examples: Sequence[Example]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("sentence1", "sentence2", "score"))
        writer.writerows((*texts, score) for texts, score in examples)


def _write_conll(path: Path, examples: Sequence[Example]) -> None:
    sentences = ("".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)) for words, tags in examples)
    path.write_text("\n".join(sentences), encoding="utf-8")


def _accuracy(truth: list[str], predicted: list[str]) -> dict[str, float]:
    return {"accuracy": sum(right == found for right, found in zip(truth, predicted, strict=True)) / len(truth)}


def _correlations(truth: list[float], predicted: list[float]) -> dict[str, float]:
    return {"pearson": float(pearsonr(truth, predicted).statistic), "spearman": float(spearmanr(truth, predicted).statistic)}


def _entities(truth: list[Sequence[str]], predicted: list[Sequence[str]]) -> dict[str, float]:
    return {"f1": float(f1_score([list(tags) for tags in truth], [list(tags) for tags in predicted], zero_division=0))}


SMALL_TASKS = {
    "sentence_polarity": SmallTask("classify", ".tsv", _read_polarity, _write_tsv, _accuracy, 1500, 1000),
    "stsb": SmallTask("regress", ".csv", _read_stsb, _write_csv, _correlations, 1500, 1000),
    "wnut17": SmallTask("tag", ".conll", _read_wnut, _write_conll, _entities, 2000, 1009),
}
