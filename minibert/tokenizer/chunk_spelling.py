"""The tokens of one chunk between whitespace, by shortcuts: the work that the memory of `remembered_tokens` saves.

The definition takes a text through every step, character by character. Here all steps are looked up at once, in a table
of what each character alone becomes, and words are remembered too. The few chunks in which characters do depend on
their neighbours go to the definition.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from itertools import chain, repeat
from string import ascii_letters, digits
from sys import maxunicode

from minibert.tokenizer.bounded_memory import BoundedMemory
from minibert.tokenizer.code_points import CharacterTable, CodePoints
from minibert.tokenizer.int32_bytes import int32_bytes
from minibert.tokenizer.text_tokens import TextTokens, Token
from minibert.tokenizer.word_piece import CONTINUATION
from minibert.tokenizer.word_splitting import word_pattern

PLAIN_WORD = re.compile("[0-9A-Za-z]+|[^ ]")
"""The words of printable ASCII, where everything but letters and digits is punctuation."""

WORDS_KEPT = 1 << 15
"""So many words are remembered with their ids."""

ASTRAL = 0x10000
"""Characters from here on are so many and so rare that nothing is remembered of them."""

DEPENDS = "\0"
"""Stands in the table for what a character becomes when that depends on its neighbours; no normalised text has it."""


class ChunkSpelling:
    """What `text_tokens(chunk)` gives for a text without whitespace, except for what BERT deletes."""

    def __init__(self, text_tokens: TextTokens) -> None:
        self._text_tokens = text_tokens
        self._lower_case = text_tokens.settings.do_lower_case
        self._unknown_id = text_tokens.unknown_id
        self._word_limit = text_tokens.settings.word_limit
        # Chunks without any of these hold nothing that has to be found before words are split.
        whole_tokens = [*text_tokens.special_tokens, *text_tokens.settings.never_split]
        self._first_characters = {token[0] for token in whole_tokens}
        self._spelled = CharacterTable(self._spell_character, keep_below=ASTRAL)
        # Chunks of nothing else are one word, which Python can lower-case.
        self._letters: set[str] = set()
        for character in ascii_letters + digits:
            self._spelled[ord(character)]
        self._in_place = CharacterTable(self._spell_in_place, keep_below=ASTRAL)

        # Words begin with a token as it is in the vocabulary.
        self._beginnings = text_tokens.vocabulary.ids
        # Of a word that is a token, WordPiece makes that token, if it is not too long for WordPiece.
        longest = max(map(len, self._beginnings))
        self._whole_words = self._beginnings if longest <= self._word_limit else {}
        self._word_ids = BoundedMemory(self._ids_of_word, WORDS_KEPT)

    def ids(self, chunk: str) -> bytes:
        """The ids of the chunk's tokens as int32."""
        whole_words, word_ids = self._whole_words, self._word_ids
        if self._letters.issuperset(chunk):
            word = chunk.lower() if self._lower_case else chunk
            token_id = whole_words.get(word)
            return int32_bytes(word_ids[word] if token_id is None else (token_id,))
        text = self._plain_text(chunk)
        if text is not None:
            words = PLAIN_WORD.findall(text)
        else:
            text = chunk.translate(self._spelled)
            if DEPENDS in text:
                return int32_bytes([token.id for token in self._text_tokens(chunk)])
            words = text.split()
        ids: list[int] = []
        for word in words:
            token_id = whole_words.get(word)
            if token_id is None:
                ids += word_ids[word]
            else:
                ids.append(token_id)
        return int32_bytes(ids)

    def spans(self, chunk: str) -> bytes:
        """The chunk's tokens as int32 quadruples: id, first character and end in the chunk, 1 where a word begins or 0."""
        if self._letters.issuperset(chunk):
            return int32_bytes(self._word_spans(chunk.lower() if self._lower_case else chunk, 0))
        text = self._plain_text(chunk)
        if text is not None:
            words = PLAIN_WORD.findall(text)
        else:
            text = chunk.translate(self._in_place)
            if DEPENDS in text:
                return self._spans_by_characters(chunk)
            words = self._word_in_place.findall(text)
        place = 0
        spans: list[int] = []
        for word in words:
            spans += self._word_spans(word, place)
            place += len(word)
        return int32_bytes(spans)

    def _plain_text(self, chunk: str) -> str | None:
        """Printable ASCII as it is normalised, each character at its place; None where anything else is in the chunk.

        None as well where a special token could begin: the table has DEPENDS for that character.
        """
        if not (chunk.isascii() and chunk.isprintable()):
            return None
        for character in self._first_characters:
            if character in chunk:
                return None
        return chunk.lower() if self._lower_case else chunk

    def _spans_by_characters(self, chunk: str) -> bytes:
        parts = list(map(self._spelled.__getitem__, map(ord, chunk)))
        text = "".join(parts)
        if DEPENDS in text:
            return spans_of_tokens(self._text_tokens(chunk))
        # For each character of the text, the place in the chunk that it comes from.
        sources = list(chain.from_iterable(map(repeat, range(len(chunk)), map(len, parts))))
        lengths = self._token_lengths
        place = 0
        spans: list[int] = []
        for word in text.split(" "):
            end = place + len(word)
            pieces = self._word_ids[word] if word else ()
            begins_word = 1
            for piece in pieces:
                piece_end = end if len(pieces) == 1 else place + lengths[piece]
                spans += (piece, sources[place], sources[piece_end - 1] + 1, begins_word)
                place, begins_word = piece_end, 0
            place = end + 1
        return int32_bytes(spans)

    def _word_spans(self, word: str, place: int) -> Sequence[int]:
        """The quadruples of a word that begins at `place`."""
        token_id = self._whole_words.get(word)
        if token_id is not None:
            return (token_id, place, place + len(word), 1)
        pieces = self._word_ids[word]
        if len(pieces) == 1:
            return (pieces[0], place, place + len(word), 1)
        spans: list[int] = []
        lengths, begins_word = self._token_lengths, 1
        for piece in pieces:
            end = place + lengths[piece]
            spans += (piece, place, end, begins_word)
            place, begins_word = end, 0
        return spans

    # Made when it is first needed, for offsets in what is not ASCII: it takes milliseconds.
    @cached_property
    def _word_in_place(self) -> re.Pattern[str]:
        """Finds words in text without spaces, in which punctuation and, where they are spaced, ideographs stand alone."""
        flavor, spaces_cjk = self._text_tokens.flavor, self._text_tokens.normalizer.spaces_cjk
        return word_pattern(CodePoints.union(flavor.punctuation, flavor.cjk) if spaces_cjk else flavor.punctuation)

    # Made when the first word is met that is no token as a whole: half of the time that a tokenizer takes to be made.
    @cached_property
    def _continuations(self) -> dict[str, int]:
        """What words go on with, without its "##"."""
        return {token[2:]: token_id for token, token_id in self._beginnings.items() if token.startswith(CONTINUATION)}

    @cached_property
    def _beginning_lengths(self) -> dict[str, list[int]]:
        return _lengths_by_beginning(self._beginnings, self._word_limit)

    @cached_property
    def _continuation_lengths(self) -> dict[str, list[int]]:
        return _lengths_by_beginning(self._continuations, self._word_limit)

    @cached_property
    def _token_lengths(self) -> list[int]:
        return [len(token.removeprefix(CONTINUATION)) for token in self._text_tokens.vocabulary.tokens]

    def _ids_of_word(self, word: str) -> tuple[int, ...]:
        """`split_into_pieces`, but trying only lengths that a token with the same first two characters has."""
        unknown = (self._unknown_id,)
        if len(word) > self._word_limit:
            return unknown
        pieces: list[int] = []
        start, tokens, lengths = 0, self._beginnings, self._beginning_lengths
        continuations, continuation_lengths = self._continuations, self._continuation_lengths
        while start < len(word):
            known_lengths = lengths.get(word[start : start + 2])
            if known_lengths is None:
                # No token goes on with the next two characters.
                token_id = tokens.get(word[start])
                if token_id is None:
                    return unknown
                pieces.append(token_id)
                start += 1
            else:
                rest = len(word) - start
                for length in known_lengths:
                    if length <= rest:
                        token_id = tokens.get(word[start : start + length])
                        if token_id is not None:
                            pieces.append(token_id)
                            start += length
                            break
                else:
                    return unknown
            tokens, lengths = continuations, continuation_lengths
        return tuple(pieces)

    def _spell_character(self, character: str) -> str:
        """What the character alone becomes, with spaces round it where it is a word by itself."""
        spelled = self._spelling_of(character)
        # Python lower-cases a sigma by its neighbours. Characters that the table forgets must not be remembered here.
        lowered = character.lower() if self._lower_case else character
        if spelled == lowered and len(spelled) == 1 and character not in "Σ\0" and ord(character) < ASTRAL:
            self._letters.add(character)
        return spelled

    def _spelling_of(self, character: str) -> str:
        flavor, normalizer = self._text_tokens.flavor, self._text_tokens.normalizer
        code = ord(character)
        if character in self._first_characters or (character == "Σ" and normalizer.has_final_sigma):
            return DEPENDS
        if code not in flavor.changed and code not in flavor.lower_case:
            return f" {character} " if normalizer.spaces_cjk and code in flavor.cjk else character
        normalised = normalizer(character)
        if normalizer.strips_accents and any(ord(c) in flavor.ordered for c in normalised):
            # A mark that is not deleted with the accents: decomposition may put it before or behind others.
            return DEPENDS
        return "".join([f" {c} " if ord(c) in flavor.punctuation else c for c in normalised])

    def _spell_in_place(self, character: str) -> str:
        """The one character that the character becomes, without spaces; DEPENDS where it becomes none or several."""
        spelled = self._spelled[ord(character)]
        bare = spelled.strip(" ")
        if len(bare) != 1 or (self._word_in_place.fullmatch(bare * 2) is None) != (len(spelled) == 3):
            return DEPENDS
        return bare


def spans_of_tokens(tokens: Sequence[Token]) -> bytes:
    """The tokens in the form of `ChunkSpelling.spans`."""
    spans: list[int] = []
    word_before = -1
    for token_id, start, end, word in tokens:
        spans += (token_id, start, end, word - word_before)
        word_before = word
    return int32_bytes(spans)


def _lengths_by_beginning(tokens: dict[str, int], longest: int) -> dict[str, list[int]]:
    """For every two characters that a token begins with, the lengths to try, the longest first and 1 at the end."""
    lengths: dict[str, list[int]] = {}
    longest = min(longest, maxunicode)
    # The length as a character behind the beginning: strings take less time to make and to collect than tuples.
    for beginning in sorted({token[:2] + chr(len(token)) for token in tokens if len(token) <= longest}, reverse=True):
        lengths.setdefault(beginning[:-1], []).append(ord(beginning[-1]))
    for beginning, known in lengths.items():
        if len(beginning) == 2:
            known.append(1)
    return lengths
