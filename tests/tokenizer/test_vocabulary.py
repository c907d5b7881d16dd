from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.errors import TokenizerError
from minibert.tokenizer.vocabulary import Vocabulary, read_vocabulary


def read(folder: Path, data: bytes) -> tuple[str, ...]:
    (folder / "vocab.txt").write_bytes(data)
    return read_vocabulary(folder / "vocab.txt").tokens


def test_the_token_on_line_n_has_the_id_n(tmp_path: Path):
    (tmp_path / "vocab.txt").write_bytes(b"[PAD]\n[UNK]\nthe\n")
    assert read_vocabulary(tmp_path / "vocab.txt").ids == {"[PAD]": 0, "[UNK]": 1, "the": 2}


@pytest.mark.parametrize("data", [b"a\nb\n", b"a\nb", b"a\r\nb\r\n", b"a \nb\t\n", "a\u00a0\nb\u3000\n".encode()])
def test_line_ends_and_whitespace_before_them_are_no_part_of_a_token(tmp_path: Path, data: bytes):
    assert read(tmp_path, data) == ("a", "b")


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_only_a_line_feed_ends_a_line(tmp_path: Path, character: str):
    assert read(tmp_path, f"a\nb{character}c\nd\n".encode()) == ("a", f"b{character}c", "d")


def test_tokens_of_whitespace_alone_keep_their_ids_apart(tmp_path: Path):
    assert read(tmp_path, "a\n\u2028\n\x85\r\nb\n".encode()) == ("a", "\u2028", "\x85", "b")


def test_whitespace_before_a_token_is_part_of_it(tmp_path: Path):
    assert read(tmp_path, b" a\na\n") == (" a", "a")


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (None, "the vocabulary is of the type NoneType; expected a sequence of tokens"),
        ("[PAD]", "the vocabulary is of the type str"),
        (["a", None], "has something of the type NoneType for the id 1; expected a string"),
        (["a", ["b"]], "has something of the type list for the id 1"),
        ({"a", "b"}, "the vocabulary is of the type set"),
        ({"a": 0, "b": 2}, "the vocabulary gives 'b' the id 2; expected each id from 0 to 1 once"),
        (["a", "b\ud800"], r"half of a surrogate pair in the token 'b\\ud800' \(id 1\)"),
    ],
)
@pytest.mark.usefixtures("without_shape_checks")
def test_what_are_no_tokens_is_an_error(tokens, message: str):
    with pytest.raises(TokenizerError, match=message):
        Vocabulary(tokens)


def test_a_mapping_of_tokens_to_ids_counts_by_its_ids():
    assert Vocabulary({"b": 1, "a": 0}).tokens == ("a", "b")


def test_a_token_given_twice_is_an_error_that_names_both_lines(tmp_path: Path):
    with pytest.raises(TokenizerError, match="'b' twice, on lines 2 and 4"):
        read(tmp_path, b"a\nb\nc\nb\n")


def test_a_byte_order_mark_is_an_error(tmp_path: Path):
    with pytest.raises(TokenizerError, match="byte order mark"):
        read(tmp_path, b"\xef\xbb\xbfa\nb\n")


@pytest.mark.parametrize("data", [b"a\n\xff\n", "a\nb\n".encode("utf-16")])
def test_anything_but_utf_8_is_an_error_that_names_the_byte(tmp_path: Path, data: bytes):
    with pytest.raises(TokenizerError, match="not UTF-8 at byte"):
        read(tmp_path, data)


def test_an_empty_file_is_an_error(tmp_path: Path):
    with pytest.raises(TokenizerError, match="holds no tokens"):
        read(tmp_path, b"")


def test_a_folder_in_place_of_the_file_is_an_error(tmp_path: Path):
    with pytest.raises(TokenizerError, match="not a regular file"):
        read_vocabulary(tmp_path)


def test_a_missing_file_is_an_error(tmp_path: Path):
    with pytest.raises(TokenizerError, match="does not exist"):
        read_vocabulary(tmp_path / "vocab.txt")


@given(st.binary(max_size=60))
def test_any_bytes_become_tokens_or_our_error(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    try:
        tokens = read(tmp_path_factory.mktemp("any"), data)
    except TokenizerError:
        return
    assert len(tokens) == len(data.removesuffix(b"\n").split(b"\n"))


def test_every_token_of_the_vocabulary_comes_back_through_its_id(minilm_folder: Path):
    vocabulary = read_vocabulary(minilm_folder / "vocab.txt")
    assert len(vocabulary) == 30_522
    assert all(vocabulary.ids[token] == token_id for token_id, token in enumerate(vocabulary.tokens))


def test_a_plain_list_of_tokens_is_checked_too():
    with pytest.raises(TokenizerError, match="'a' twice, on lines 1 and 2"):
        Vocabulary(["a", "a"])
