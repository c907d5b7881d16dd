"""Text files as sentences and documents, as tokens on the disk, and what is refused with file and line."""

import os
from pathlib import Path

import numpy as np
import pytest
from written_text import FIRST_WORD, TOKENIZER, maker_of, unmasked

import minibert
from minibert import InputError
from minibert.training.pretraining.corpus import Corpus, tokenised
from minibert.training.pretraining.documents import checked_paths, facts_of_files, sentences
from minibert.training.pretraining.preparation import as_text

TEXT = b"\xef\xbb\xbfw1 w2\n  w3  \n \t \n\nw4\n\n"


def written(folder: Path, **files: bytes) -> list[Path]:
    paths = [folder / f"{name}.txt" for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.write_bytes(content)
    return paths


def test_empty_lines_and_the_ends_of_files_part_documents(tmp_path: Path):
    found = list(sentences(written(tmp_path, one=TEXT, two=b"w5\r\nw6")))
    assert found == [(0, "w1 w2"), (0, "w3"), (1, "w4"), (2, "w5"), (2, "w6")]


def test_the_corpus_has_every_sentence_of_every_document(tmp_path: Path):
    paths = written(tmp_path, one=TEXT, two=b"w5##p1 \x01\n\x01\n\n\x01\n\nw7 unknown")
    folder = tmp_path / "corpus"
    folder.mkdir()
    counts = tokenised(paths, TOKENIZER, folder)
    corpus = Corpus(folder)
    found = []
    for document in range(corpus.documents):
        first, last = corpus.sentences_of(document)
        found.append([TOKENIZER.convert_ids_to_tokens(corpus.tokens_of(each, each + 1)) for each in range(first, last)])
    # A sentence without a token is left out, and so is a document of such ones.
    assert found == [[["w1", "w2"], ["w3"]], [["w4"]], [["w5", "[UNK]", "[UNK]", "[UNK]"]], [["w7", "[UNK]"]]]
    assert counts == (4, 5, 10, 4)


def test_a_special_token_in_the_text_is_text(tmp_path: Path):
    tokenizer = minibert.Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[", "]", "mask", "sep"])
    tokenizer.add_special_tokens(["[E]"])
    # By themselves texts have them as the ids that they name.
    assert tokenizer.tokenize("[MASK] [SEP]") == ["[MASK]", "[SEP]"]
    assert as_text(tokenizer).tokenize("[MASK] [SEP] [E]") == ["[", "mask", "]", "[", "sep", "]", "[E]"]


def test_a_line_of_a_hundred_thousand_words_is_a_sentence(tmp_path: Path):
    paths = written(tmp_path, one=b" ".join([b"w1 w2"] * 50_000) + b"\n\nw3\nw4\n")
    folder = tmp_path / "corpus"
    folder.mkdir()
    assert tokenised(paths, TOKENIZER, folder).tokens == 100_002
    corpus = Corpus(folder)
    rows = list(maker_of(corpus, 64, short_share=0.0).examples([0, 1]))
    assert len(rows[0].input_ids) == 64
    singles = list(maker_of(corpus, 64, pairs=False, short_share=0.0).examples([0]))
    assert sum(len(row.input_ids) - 2 for row in singles) == 100_000
    assert set(unmasked(singles[7])[1:-1]) == {FIRST_WORD + 1, FIRST_WORD + 2}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "bad.txt is empty; expected a sentence a line"),
        (b"\n \n\n", "bad.txt is empty"),
        (b"good\n\xff\xfe\n", r"bad.txt is not UTF-8 at byte 5, in line 2"),
        (b"good\nP\0N\0G\n", r"bad.txt holds a NUL at byte 6, in line 2"),
        (b"good\nold\rlines\n", "bad.txt, line 2: it holds a carriage return"),
    ],
    ids=["empty", "blank", "latin", "binary", "old"],
)
def test_what_is_no_text_is_refused_by_file_and_line(content: bytes, words: str, tmp_path: Path):
    with pytest.raises(InputError, match=words):
        list(sentences(written(tmp_path, good=b"a sentence\n", bad=content)))


def test_a_text_of_control_characters_alone_is_refused(tmp_path: Path):
    (tmp_path / "corpus").mkdir()
    with pytest.raises(InputError, match="has no word in it"):
        tokenised(written(tmp_path, bad=b"\x01\x02\n\n\x03\n"), TOKENIZER, tmp_path / "corpus")


def test_files_that_cannot_be_read_or_are_there_twice_are_refused(tmp_path: Path):
    (path,) = written(tmp_path, one=b"a\n")
    (tmp_path / "link").symlink_to(path)
    assert checked_paths([str(path)]) == [path]
    for files, words in (
        ([], "there is no text to learn from"),
        ([path, path], "is given twice; give each file once"),
        ([path, tmp_path / "link"], "link' is given twice, also as"),
        ([path, os.path.relpath(path)], "is given twice, also as"),
        ([""], "the name of a file is empty"),
        ([tmp_path], "is a folder; expected a file"),
        ([tmp_path / "absent"], "does not exist"),
        (["/dev/null"], "is no regular file"),
    ):
        with pytest.raises(InputError, match=words):
            checked_paths(files)


def test_a_changed_file_is_told_from_what_it_was(tmp_path: Path):
    paths = written(tmp_path, one=b"a\n", two=b"b\n")
    first, second = facts_of_files(paths)
    assert first["bytes"] == second["bytes"] and first["sha256"] != second["sha256"]


def test_tokens_are_read_as_they_are_needed(tmp_path: Path):
    (tmp_path / "corpus").mkdir()
    tokenised(written(tmp_path, one=b"w1 w2\nw3\n"), TOKENIZER, tmp_path / "corpus")
    tokens = Corpus(tmp_path / "corpus").tokens_of(0, 1)
    while tokens.base is not None and not isinstance(tokens, np.memmap):
        tokens = tokens.base
    assert isinstance(tokens, np.memmap)
