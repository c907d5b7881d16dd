"""One text -> its ids, step by step: the definition that `remembered_ids` has to equal.

special tokens found in the raw text -> normalisation -> words -> WordPiece
"""

import re

from minibert.tokenizer.normalization import Normalizer
from minibert.tokenizer.settings import TokenizerSettings
from minibert.tokenizer.vocabulary import Vocabulary
from minibert.tokenizer.word_piece import split_into_pieces
from minibert.tokenizer.word_splitting import split_words


class TextIds:
    """`text_ids(text)` gives the ids of a text, without [CLS] and [SEP], for one vocabulary and its settings.

    The text is a string that UTF-8 can hold. Time is linear in its length.
    """

    def __init__(self, vocabulary: Vocabulary, settings: TokenizerSettings) -> None:
        self.vocabulary = vocabulary
        self.settings = settings
        self._normalize = Normalizer(
            space_cjk=settings.tokenize_chinese_chars,
            strip_accents=settings.removes_accents,
            lower_case=settings.do_lower_case,
        )
        self._unknown_id = vocabulary.ids[settings.unk_token]
        in_text = set(settings.special_tokens.values()) if settings.special_tokens_in_text else set()
        # The longest first: of two special tokens that begin at the same place the longer one counts.
        self.special_tokens = sorted(in_text, key=len, reverse=True)
        """Those that are looked for in texts: none with `special_tokens_in_text=False`."""
        self._special_token = re.compile("(" + "|".join(map(re.escape, self.special_tokens)) + ")")

    def __call__(self, text: str) -> list[int]:
        """The ids of `text`; a word that the vocabulary cannot spell has the one id of [UNK]."""
        ids: list[int] = []
        # Splitting at a group keeps what it matched: every second part is a special token.
        parts = self._special_token.split(text) if self.special_tokens else [text]
        for place, part in enumerate(parts):
            if place % 2:
                ids.append(self.vocabulary.ids[part])
                continue
            for word in split_words(self._normalize(part)):
                ids += self.ids_of_word(word)
        return ids

    def ids_of_word(self, word: str) -> list[int]:
        """The ids of the pieces of one word of normalised text."""
        return split_into_pieces(word, self.vocabulary.ids, unknown_id=self._unknown_id, longest_word=self.settings.longest_word)
