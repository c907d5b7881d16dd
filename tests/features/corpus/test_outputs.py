import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from fake_features import MAX_WORDS, WIDTH, FakeFeatures, some_texts

import minibert.features.corpus.outputs.npz as npz
from minibert.errors import InputError
from minibert.features.corpus import TextFiles, TextList, read_receipt
from minibert.features.corpus.sources.parquet import import_pyarrow

pytest.importorskip("pyarrow")
SUFFIXES = (".npy", ".npz", ".jsonl", ".parquet")
SENTENCES = FakeFeatures.sentences


def expected_vectors(dtype: str = "float32") -> np.ndarray:
    texts = some_texts(43)
    parts = [FakeFeatures().sentences(texts[start : start + 8], dtype=dtype) for start in range(0, 43, 8)]
    return np.concatenate(parts).view(np.ndarray)


def read_vectors(path: Path, dtype: str = "float32") -> np.ndarray:
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".npz":
        return np.load(path)["vectors"]
    if path.suffix == ".jsonl":
        return np.array([json.loads(line)["vector"] for line in path.read_text().splitlines()], dtype)
    table = import_pyarrow().parquet.read_table(path)
    return np.stack(table["vector"].to_numpy())


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_all_formats_hold_the_same_numbers(suffix, dtype, job, tmp_path: Path, monkeypatch):
    # Without the options that the job passes on, on which the fake vectors depend.
    monkeypatch.setattr(FakeFeatures, "sentences", lambda self, texts, dtype="float32", **_: SENTENCES(self, texts, dtype=dtype))
    output = tmp_path / f"vectors{suffix}"
    outcome = job(output, output_dtype=dtype)
    vectors = read_vectors(output, dtype)
    assert vectors.dtype == dtype
    assert np.array_equal(vectors, expected_vectors(dtype))
    assert (outcome.texts, outcome.rows, outcome.width) == (43, 43, WIDTH)


def test_the_npy_is_what_numpy_itself_would_write(job, tmp_path: Path):
    job(tmp_path / "vectors.npy")
    np.save(tmp_path / "again.npy", np.load(tmp_path / "vectors.npy"))
    assert (tmp_path / "vectors.npy").read_bytes() == (tmp_path / "again.npy").read_bytes()


def test_texts_are_beside_their_vectors(job, tmp_path: Path):
    for suffix in (".npz", ".jsonl", ".parquet"):
        job(tmp_path / f"vectors{suffix}")
    assert np.load(tmp_path / "vectors.npz")["texts"].tolist() == some_texts(43)
    assert [json.loads(line)["text"] for line in (tmp_path / "vectors.jsonl").read_text().splitlines()] == some_texts(43)
    assert import_pyarrow().parquet.read_table(tmp_path / "vectors.parquet")["text"].to_pylist() == some_texts(43)


@pytest.mark.parametrize("reason", ["a NUL at an end", "too large"])
def test_texts_that_a_numpy_array_of_strings_cannot_hold_are_in_utf8(reason, job, tmp_path: Path, monkeypatch):
    texts = ["é", "", "b\0" if reason == "a NUL at an end" else "b", "漢字"]
    monkeypatch.setattr(npz, "LARGEST_STRINGS", npz.LARGEST_STRINGS if reason == "a NUL at an end" else 31)
    job(tmp_path / "vectors.npz", source=TextList(texts))
    arrays = np.load(tmp_path / "vectors.npz")
    assert sorted(arrays) == ["receipt", "texts_ends", "texts_utf8", "vectors"]
    ends = arrays["texts_ends"]
    found = [arrays["texts_utf8"][start:end].tobytes().decode() for start, end in zip([0, *ends], ends, strict=False)]
    assert found == texts


def every_word() -> list[tuple[int, str]]:
    return [(index, word) for index, text in enumerate(some_texts(43)) for word in text.split()[:MAX_WORDS]]


@pytest.mark.parametrize("level", ["words", "tokens"])
def test_words_and_tokens_keep_their_text_and_span(level, job, tmp_path: Path):
    texts, one = some_texts(43), level.removesuffix("s")
    for suffix in (".npz", ".jsonl", ".parquet"):
        outcome = job(tmp_path / f"vectors{suffix}", level=level)
        assert (outcome.texts, outcome.rows) == (43, len(every_word()))
    arrays = np.load(tmp_path / "vectors.npz")
    assert list(zip(arrays["text_index"].tolist(), arrays[level].tolist(), strict=True)) == every_word()
    assert arrays["vectors"].shape == (len(every_word()), WIDTH)
    for index, word, (start, end) in zip(arrays["text_index"], arrays[level], arrays["spans"], strict=True):
        assert texts[index][start:end] == word
    table = import_pyarrow().parquet.read_table(tmp_path / "vectors.parquet").to_pydict()
    assert table["text_index"] == arrays["text_index"].tolist()
    assert table[one] == arrays[level].tolist()
    assert np.array_equal(np.stack([table["start"], table["end"]], axis=1), arrays["spans"])
    assert np.array_equal(np.array(table["vector"], np.float32), arrays["vectors"])
    rows = [json.loads(line) for line in (tmp_path / "vectors.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == texts
    assert [word for row in rows for word in row[level]] == arrays[level].tolist()
    assert np.array_equal(np.array([vector for row in rows for vector in row["vectors"]], np.float32), arrays["vectors"])
    if level == "tokens":
        assert table["is_special"] == arrays["is_special"].tolist() == [each for row in rows for each in row["is_special"]]


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".jsonl"])
def test_texts_without_any_word_give_files_without_rows(suffix, job, tmp_path: Path):
    outcome = job(tmp_path / f"vectors{suffix}", level="words", source=TextList(["", " "]))
    assert (outcome.texts, outcome.rows) == (2, 0)
    if suffix == ".npz":
        assert np.load(tmp_path / "vectors.npz")["vectors"].shape == (0, WIDTH)


def test_a_file_of_one_array_holds_no_words(job, tmp_path: Path):
    with pytest.raises(InputError, match=r"expected one of \.npz, \.jsonl, \.parquet"):
        job(tmp_path / "vectors.npy", level="words")


def test_the_same_vectors_are_the_same_file(job, tmp_path: Path):
    for suffix in SUFFIXES:
        for name in ("one", "two"):
            job(tmp_path / f"{name}{suffix}")
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_file_has_its_receipt(suffix, job, tmp_path: Path):
    job(tmp_path / f"vectors{suffix}", dim=4, layers=[1, -1])
    receipt = read_receipt(tmp_path / f"vectors{suffix}")
    cut = sum(len(text.split()) > MAX_WORDS for text in some_texts(43))
    assert cut > 0
    assert receipt["counts"] == {"texts": 43, "rows": 43, "width": 4, "truncated": cut}
    chosen = ("level", "layers", "pooling", "normalize", "dim", "on_long", "output_dtype")
    assert [receipt[name] for name in chosen] == ["sentences", [1, -1], "mean", True, 4, "truncate", "float32"]
    assert receipt["input"]["files"][0]["bytes"] == (tmp_path / "texts.txt").stat().st_size
    assert receipt["chunk_size"] == {"texts": 8, "bytes": 1 << 20}


def test_vectors_that_are_not_finite_are_refused_by_text(job, tmp_path: Path):
    class Broken(FakeFeatures):
        def sentences(self, texts, **options):
            vectors = super().sentences(texts, **options)
            vectors[[text == some_texts(43)[10] for text in texts]] = np.inf
            return vectors

    with pytest.raises(InputError, match="the vectors of text 11 are not finite in float32"):
        job(tmp_path / "vectors.npy", features=Broken())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("folder.npy", "is a folder"),
        ("absent/vectors.npy", "No such file or directory"),
        ("vectors.txt", r"ends in '\.txt'; expected one of"),
        ("pipe.npy", "is no regular file"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused(name, said, job, tmp_path: Path):
    (tmp_path / "folder.npy").mkdir()
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(InputError, match=said):
        job(tmp_path / name)


@pytest.mark.long
def test_a_corpus_ten_times_as_large_needs_no_more_memory(job, in_memory: Path, without_shape_checks):
    peaks = []
    for number in (300, 3000):
        path = in_memory / f"{number}.txt"
        path.write_text("".join(text + "\n" for text in some_texts(number)))
        features = FakeFeatures()
        features.chunks = Forgetful()
        tracemalloc.start()
        for suffix in SUFFIXES:
            job(in_memory / f"vectors{suffix}", source=TextFiles([str(path)]), features=features)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5 + (1 << 20)


class Forgetful(list):
    def append(self, _: object) -> None:
        pass
