import pytest

from minibert.tokenizer.word_piece import split_into_pieces

TOKENS = ["[UNK]", "play", "##ing", "##in", "##g", "un", "##aff", "##able", "unaff", "##a"]
IDS = {token: token_id for token_id, token in enumerate(TOKENS)}


def pieces(word: str) -> list[str]:
    return [TOKENS[piece.id] for piece in split_into_pieces(word, IDS, unknown_id=0, longest_word=100)]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("play", ["play"]),
        ("playing", ["play", "##ing"]),
        ("unaffable", ["unaff", "##able"]),
        ("unaffa", ["unaff", "##a"]),
        ("", []),
    ],
)
def test_the_longest_token_is_taken_first(word: str, expected: list[str]):
    assert pieces(word) == expected


@pytest.mark.parametrize("word", ["xplay", "playx", "ing", "pla"])
def test_a_word_with_a_part_that_no_token_spells_is_unknown_as_a_whole(word: str):
    assert pieces(word) == ["[UNK]"]


def test_a_word_of_100_characters_is_split_and_one_of_101_is_not():
    assert pieces("un" + "a" * 98) == ["un"] + ["##a"] * 98
    assert pieces("un" + "a" * 99) == ["[UNK]"]


def test_pieces_know_their_characters_and_an_unknown_word_is_one_piece():
    assert split_into_pieces("playing", IDS, unknown_id=0, longest_word=100) == [(1, 0, 4), (2, 4, 7)]
    assert split_into_pieces("xplay", IDS, unknown_id=0, longest_word=100) == [(0, 0, 5)]
