import json
from pathlib import Path

import pytest

from minibert.tokenizer import Tokenizer, TokenizerSettings, Vocabulary
from minibert.tokenizer.vocabulary import read_vocabulary

ROWS = json.loads((Path(__file__).parent.parent / "goldens" / "tokenizer_ids.json").read_text(encoding="utf-8"))["rows"]


@pytest.fixture(scope="module")
def vocabulary(minilm_folder: Path) -> Vocabulary:
    return read_vocabulary(minilm_folder / "vocab.txt")


@pytest.mark.parametrize("place", range(len(ROWS)))
def test_ids_equal_those_recorded_from_the_reference(vocabulary: Vocabulary, place: int):
    tokenizer = Tokenizer(vocabulary, TokenizerSettings(**ROWS[place]["settings"]))
    assert tokenizer(ROWS[place]["text"])["input_ids"][0].tolist() == ROWS[place]["ids"]
