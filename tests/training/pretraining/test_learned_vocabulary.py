"""A vocabulary learned from text: what is in it, and that it is the same at every run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from written_text import SPECIAL, write_documents

from minibert import InputError
from minibert.training.pretraining import train_vocabulary
from minibert.training.pretraining.vocabulary import USUAL_CHARACTERS

CODE = """
import sys
from minibert.training.pretraining import train_vocabulary
print(ascii(train_vocabulary([sys.argv[1]], 110).vocabulary.tokens))
"""


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Many pairs of letters that are as frequent, in many words."""
    letters = "abcdefghij"
    words = [f"{one}{two}{three}" for one in letters for two in letters for three in letters]
    return write_documents(tmp_path / "text.txt", [[" ".join(words[start::7]) for start in range(7)], ["Die Bären, 三 rivers!"]])


def test_it_has_special_tokens_characters_and_pieces(text: Path):
    tokenizer = train_vocabulary([text], 120)
    tokens = tokenizer.vocabulary.tokens
    assert tokens[:5] == SPECIAL and len(tokens) == 120
    assert {"a", "##a", "三", "!", "##n"} <= set(tokens)
    # What BERT makes a word of by itself goes on with none.
    assert not {"##!", "##三", "ä", "B", "[", "##["} & set(tokens)
    assert [tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.mask_token_id] == [0, 1, 4]
    assert tokenizer.unk_token_id not in tokenizer.encode("Abc die BÄREN 三! zzz"[:15])
    assert "[UNK]" in tokenizer.tokenize("zzz")


def test_upper_case_and_accents_stay_where_they_are_asked_for(text: Path):
    tokenizer = train_vocabulary([text], 200, lowercase=False)
    assert {"ä", "B", "D"} <= set(tokenizer.vocabulary.tokens)
    assert tokenizer.settings.do_lower_case is False
    assert tokenizer.tokenize("Bären")[0][0] == "B"


def test_every_word_of_known_characters_can_be_spelled(text: Path):
    tokenizer = train_vocabulary([text], 150)
    assert "[UNK]" not in tokenizer.tokenize("jihgf edcba nn")


def test_only_the_most_frequent_characters_are_kept(tmp_path: Path):
    many = "".join(chr(0x4E00 + number) for number in range(USUAL_CHARACTERS + 500))
    path = write_documents(tmp_path / "many.txt", [[many, many[:100], "some letters"]])
    tokens = set(train_vocabulary([path], 200).vocabulary.tokens)
    assert len([token for token in tokens if len(token) == 1]) == (200 - 5) // 2
    assert set(many[:40]) <= tokens
    # All of them are needed for the text, and half of this vocabulary is room enough.
    assert set(many) <= set(train_vocabulary([path], 4000).vocabulary.tokens)


def test_characters_that_hardly_occur_take_no_room_beyond_the_usual_number(tmp_path: Path):
    rare = "".join(chr(0x4E00 + number) for number in range(USUAL_CHARACTERS + 500))
    path = write_documents(tmp_path / "rare.txt", [["letters " * 500_000, rare]])
    tokens = train_vocabulary([path], 8000).vocabulary.tokens
    assert len([token for token in tokens if len(token) == 1]) == USUAL_CHARACTERS


@pytest.mark.parametrize("size", [49, 0, -1, 2_000_000, 100.0, True, None])
def test_other_sizes_are_refused(size: object, text: Path, without_shape_checks: None):
    with pytest.raises(InputError, match="the size of the vocabulary is .* expected a whole number from 50 to 1,000,000"):
        train_vocabulary([text], size)


def test_a_missing_library_is_named_with_what_installs_it(text: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(InputError, match=r"not installed; run: pip install 'minibert\[pretraining\]'"):
        train_vocabulary([text], 100)


@pytest.mark.long
def test_every_process_learns_the_same_one(text: Path):
    threads = [{}, {"RAYON_NUM_THREADS": "1"}, {"RAYON_NUM_THREADS": "4"}, {"TOKENIZERS_PARALLELISM": "false"}]
    found = {
        subprocess.run(
            [sys.executable, "-c", CODE, text], capture_output=True, text=True, check=True, env=os.environ | each
        ).stdout
        for each in threads
    }
    assert len(found) == 1
