"""One text -> its tokens, step by step: the definition that `remembered_tokens` has to equal.

special tokens found in the raw text -> normalisation -> words -> WordPiece
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from minibert.tokenizer.flavors import flavor_named
from minibert.tokenizer.normalization import AlignedText, Normalizer
from minibert.tokenizer.settings import TokenizerSettings
from minibert.tokenizer.vocabulary import Vocabulary
from minibert.tokenizer.word_piece import split_into_pieces
from minibert.tokenizer.word_splitting import word_pattern


class Token(NamedTuple):
    """One token of a text: its id, the raw text's characters from `start` up to `end`, and which word it belongs to.

    Words, punctuation characters and special tokens in the text are counted alike, from 0.
    """

    id: int
    start: int
    end: int
    word: int


class TextTokens:
    """`text_tokens(text)` gives the tokens of a text, without [CLS] and [SEP], for one vocabulary and its settings.

    The text is a string that UTF-8 can hold. Time is linear in its length.
    """

    def __init__(self, vocabulary: Vocabulary, settings: TokenizerSettings) -> None:
        self.vocabulary = vocabulary
        self.settings = settings
        self.flavor = flavor_named(settings.flavor)
        self.normalizer = Normalizer(
            self.flavor,
            space_cjk=settings.tokenize_chinese_chars,
            strip_accents=settings.removes_accents,
            lower_case=settings.do_lower_case,
        )
        self.word_pattern = word_pattern(self.flavor.punctuation)
        self.special_tokens = list(settings.whole_tokens) if settings.finds_special_tokens else []
        """Those that are looked for in texts: none with `special_tokens_in_text=False`."""
        self._special_token = _any_of(self.special_tokens)
        # Between spaces: a token that is never split has to be all that stands there.
        self._kept_whole = _any_of(settings.never_split, before="(?<![^ ])", behind="(?![^ ])")
        self.unknown_id = vocabulary.ids[settings.unk_token]

    def __call__(self, text: str) -> list[Token]:
        """The tokens of `text` in their order; a word that the vocabulary cannot spell is one [UNK].

        A token reaches from the first to the last raw character that its characters come from: what normalisation
        deletes in between belongs to it, what it deletes at the ends does not.
        """
        tokens: list[Token] = []
        for start, part, is_special in _split(self._special_token, text):
            if is_special:
                tokens.append(Token(self.vocabulary.ids[part], start, start + len(part), _next_word(tokens)))
                continue
            cleaned = self.normalizer.clean(AlignedText(part, range(start, start + len(part))))
            for place, run, is_kept in _split(self._kept_whole, cleaned.text):
                aligned = cleaned.part(place, place + len(run))
                if is_kept:
                    token_id = self.vocabulary.ids.get(run, self.unknown_id)
                    tokens.append(Token(token_id, aligned.sources[0], aligned.sources[-1] + 1, _next_word(tokens)))
                else:
                    self._append_words(tokens, self.normalizer.fold(aligned))
        return tokens

    def _append_words(self, tokens: list[Token], normalised: AlignedText) -> None:
        for match in self.word_pattern.finditer(normalised.text):
            pieces = split_into_pieces(
                match.group(), self.vocabulary.ids, unknown_id=self.unknown_id, longest_word=self.settings.word_limit
            )
            word = _next_word(tokens)
            sources = normalised.sources[match.start() : match.end()]
            tokens += [Token(piece.id, sources[piece.start], sources[piece.end - 1] + 1, word) for piece in pieces]


def _next_word(tokens: list[Token]) -> int:
    return tokens[-1].word + 1 if tokens else 0


def _any_of(tokens: Iterable[str], before: str = "", behind: str = "") -> re.Pattern[str] | None:
    # The longest first: of two tokens that begin at the same place the longer one counts.
    alternatives = "|".join(map(re.escape, sorted(tokens, key=len, reverse=True)))
    return re.compile(f"{before}({alternatives}){behind}") if alternatives else None


def _split(pattern: re.Pattern[str] | None, text: str) -> Iterator[tuple[int, str, bool]]:
    """The parts of `text` with their places: those that `pattern` matches are True, those between them False."""
    start = 0
    for match in pattern.finditer(text) if pattern is not None else ():
        yield start, text[start : match.start()], False
        yield match.start(), match.group(), True
        start = match.end()
    yield start, text[start:], False
