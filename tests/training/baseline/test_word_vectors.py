"""Files of word vectors: GloVe's and word2vec's, and what is wrong in others, by line."""

import os
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minibert import Bert, BertConfig, InputError, Tokenizer
from minibert.training.baseline import WordVectors, input_embeddings, read_word_vectors

GLOVE = b"the 0.25 -1.5 3e-2\nof .5 +2 -0.125\ncaf\xc3\xa9 1 2 3\n"
WORD2VEC = b"3 2\n</s> 0.5 0.25 \nin 1 -1 \nat home 2 4 \n"


def read(folder: Path, content: bytes, wanted: Collection[str] | None = None, most: int = 100) -> WordVectors:
    (folder / "vectors.txt").write_bytes(content)
    return read_word_vectors(folder / "vectors.txt", wanted, most)


def refusal(folder: Path, content: bytes, wanted: Collection[str] | None = None, most: int = 100) -> str:
    with pytest.raises(InputError) as caught:
        read(folder, content, wanted, most)
    assert str(folder / "vectors.txt") in str(caught.value)
    return str(caught.value)


def test_glove_has_a_word_and_its_numbers_on_each_line(tmp_path: Path):
    vectors = read(tmp_path, GLOVE)
    assert vectors.words == ("the", "of", "café") and len(vectors) == 3 and vectors.width == 3
    expected = np.array([[0.25, -1.5, 0.03], [0.5, 2.0, -0.125], [1.0, 2.0, 3.0]], np.float32)
    np.testing.assert_array_equal(vectors.table, expected)
    assert vectors.table.dtype == np.float32


def test_word2vec_has_a_first_line_of_its_own_and_spaces_at_the_ends(tmp_path: Path):
    vectors = read(tmp_path, WORD2VEC)
    assert vectors.words == ("</s>", "in", "at home")
    np.testing.assert_array_equal(vectors.table, [[0.5, 0.25], [1.0, -1.0], [2.0, 4.0]])


def test_a_word_may_hold_spaces_also_on_the_first_line(tmp_path: Path):
    vectors = read(tmp_path, b". . . 1 2\nat name@domain.com 3 4\n1,000 5 6\n")
    assert vectors.words == (". . .", "at name@domain.com", "1,000")
    np.testing.assert_array_equal(vectors.table, [[1, 2], [3, 4], [5, 6]])


def test_windows_line_ends_a_byte_order_mark_and_odd_spaces_in_words(tmp_path: Path):
    assert read(tmp_path, b"\xef\xbb\xbf" + GLOVE.replace(b"\n", b"\r\n")).words == ("the", "of", "café")
    # U+00A0 and U+0085 end neither a word nor a line.
    assert read(tmp_path, "a\u00a0b 1\nc\u0085d 2\n".encode()).words == ("a\u00a0b", "c\u0085d")


def test_of_a_word_that_comes_twice_the_first_vector_counts(tmp_path: Path):
    vectors = read(tmp_path, b"3 1\na 1\nb 2\na 3\n")
    assert vectors.words == ("a", "b")
    np.testing.assert_array_equal(vectors.table, [[1], [2]])


def test_only_what_is_wanted_is_kept_and_looked_at(tmp_path: Path):
    vectors = read(tmp_path, b"a 1 2\nb nan nan\nc 5 6\n", wanted=["c", "a", "absent"])
    assert vectors.words == ("a", "c")
    np.testing.assert_array_equal(vectors.table, [[1, 2], [5, 6]])


def test_reading_ends_with_the_last_vector_that_fits(tmp_path: Path):
    assert read(tmp_path, b"9 1\na 1\nb 2\n\xff broken", most=2).words == ("a", "b")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n", "line 1 is ''; expected a word and 1 to 65,536 finite numbers"),
        (b"the\n", "line 1 is 'the'"),
        (b"the\t1\t2\n", "line 1 is 'the\\t1\\t2'"),
        (b"a 1 2\nb 1\n", "line 2 begins 'b'; expected a word and 2 numbers, as on the first line"),
        (b"a 1 2\nb 1 2 3\n", "line 2 begins 'b 1'; expected a word and 2 numbers"),
        (b"a 1 2\n\nb 1 2\n", "line 2 begins ''"),
        (b" 1 2\n", "line 1 begins ''"),
        (b"a  1 2\n", "line 1 begins 'a '"),
        (b"a 1 2\nb 1 nan\n", "line 2 has 'nan' among its numbers; expected 2 finite ones of float32"),
        (b"a nan 1\n", "line 1 begins 'a nan'; expected a word and 1 numbers"),
        (b"a 1 -inf\n", "line 1 is 'a 1 -inf'"),
        (b"2 1\na 1\nb inf\n", "line 3 has 'inf'"),
        (b"2 1\na 1\nb 1e39\n", "line 3 has '1e39'"),
        (b"2 1\na 1\nb 1_0\n", "line 3 has '1_0'"),
        (b"2 1\na 1\nb --1\n", "line 3 has '--1'"),
        ("2 1\na 1\nb \u0661\n".encode(), "line 3 has '\u0661'"),
        (b"2 1\na 1\nb " + b"9" * 100_000 + b"\n", "line 3 has '9999"),
        (b"2 2\na 1 2\nb 1 2", "ends within line 3, without a line end; it is cut short"),
        (b"3 2\na 1 2\nb 1 2\n", "has 2 vectors, and its first line says 3"),
        (b"1 2\na 1 2\nb 1 2\n", "has 2 vectors, and its first line says 1"),
        (b"999999999999 2\na 1 2\n", "has 1 vectors, and its first line says 999,999,999,999"),
        (b"1 999999999999\na 1 2\n", "line 1 is '1 999999999999'; expected a word and 1 to 65,536"),
        (b"1 0\na\n", "line 1 is '1 0'"),
        (b"0 3\n", "holds no vector;"),
        (b"a 1\n\xffb 2\n", "is not UTF-8 at byte 4, in line 2"),
        (b"a 1\nb\0 2\n", "holds a NUL at byte 5, in line 2"),
        (b"a" + b" 1" * 70_000 + b"\n", "expected a word and 1 to 65,536 finite numbers"),
        (b"a 1\n" + b" " * (1 << 23) + b"\n", "line 2 has over 4,194,304 bytes"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(content: bytes, message: str, tmp_path: Path):
    assert message in refusal(tmp_path, content)


def test_none_of_the_wanted_words(tmp_path: Path):
    assert "holds no vector of the 2 words that are wanted" in refusal(tmp_path, GLOVE, wanted={"The", "Of"})


def test_a_string_is_no_collection_of_words_and_nothing_is_not_most(tmp_path: Path):
    (tmp_path / "vectors.txt").write_bytes(GLOVE)
    with pytest.raises(InputError, match="wanted is the string 'the'"):
        read_word_vectors(tmp_path / "vectors.txt", "the")
    with pytest.raises(InputError, match="most is 0; expected a whole number from 1 up"):
        read_word_vectors(tmp_path / "vectors.txt", most=0)


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path / "absent", "does not exist"),
        (tmp_path, "is not a regular file"),
        (tmp_path / "pipe", "is not a regular file; expected a file of word vectors"),
        (Path("/dev/zero"), "is not a regular file"),
    ):
        with pytest.raises(InputError, match=message):
            read_word_vectors(path)


@pytest.mark.parametrize("content", [GLOVE, WORD2VEC])
def test_a_file_cut_short_at_any_byte_is_refused_or_has_fewer_words(content: bytes, tmp_path: Path):
    whole = read(tmp_path, content)
    outcomes = set()
    for length in range(len(content)):
        try:
            vectors = read(tmp_path, content[:length])
        except InputError:
            outcomes.add("refused")
        else:
            outcomes.add("fewer")
            assert vectors.words == whole.words[: len(vectors)] and content[:length].endswith(b"\n")
            np.testing.assert_array_equal(vectors.table, whole.table[: len(vectors)])
    # A first line that counts the vectors tells that some are missing.
    assert outcomes == ({"refused", "fewer"} if content is GLOVE else {"refused"})


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.sampled_from([GLOVE, WORD2VEC]), place=st.integers(0, 200), byte=st.integers(0, 255))
def test_any_other_byte_gives_vectors_or_one_error(content: bytes, place: int, byte: int, tmp_path: Path):
    damaged = bytearray(content)
    damaged[place % len(content)] = byte
    try:
        vectors = read(tmp_path, bytes(damaged))
    except InputError:
        return
    assert np.isfinite(vectors.table).all() and len(vectors) == len(set(vectors.words)) and all(vectors.words)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), width=st.integers(1, 5), has_header=st.booleans())
def test_what_is_written_is_read(data: st.DataObject, width: int, has_header: bool, tmp_path: Path):
    characters = st.characters(categories=("L", "P", "M"))
    words = data.draw(st.lists(st.text(characters, min_size=1, max_size=8), min_size=1, max_size=6, unique=True))
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    table = data.draw(st.lists(st.lists(numbers, min_size=width, max_size=width), min_size=len(words), max_size=len(words)))
    lines = [f"{word} {' '.join(map(repr, row))}\n" for word, row in zip(words, table, strict=True)]
    vectors = read(tmp_path, ((f"{len(words)} {width}\n" if has_header else "") + "".join(lines)).encode())
    assert vectors.words == tuple(words)
    np.testing.assert_array_equal(vectors.table, np.array(table, np.float32))


def test_words_and_vectors_belong_together():
    with pytest.raises(InputError, match="there are 1 words and 2 vectors"):
        WordVectors(("a",), np.zeros((2, 3), np.float32))
    with pytest.raises(InputError, match="there are 0 words"):
        WordVectors((), np.zeros((0, 3), np.float32))
    with pytest.raises(InputError, match="a word comes twice"):
        WordVectors(("a", "a"), np.zeros((2, 3), np.float32))


def test_the_input_embeddings_of_a_bert_are_those_of_its_tokens():
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing"]
    # Tables are padded.
    config = BertConfig(vocab_size=8, hidden_size=4, num_hidden_layers=1, num_attention_heads=2, param_dtype="bfloat16")
    bert = Bert(config, rngs=nnx.Rngs(0))
    vectors = input_embeddings(bert, Tokenizer(tokens))
    assert vectors.words == tuple(tokens) and vectors.table.dtype == np.float32
    np.testing.assert_array_equal(vectors.table, np.asarray(bert.embeddings.word[...]).astype(np.float32)[:7])
    with pytest.raises(InputError, match="the tokenizer has 9 tokens, the model 8"):
        input_embeddings(bert, Tokenizer([*tokens, "x", "y"]))
