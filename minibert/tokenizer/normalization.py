"""Text -> the text that is split into words: the first half of BERT's "basic tokenization".

In order, as `BertNormalizer` of the `tokenizers` library does it (the original is `BasicTokenizer` in
google-research/bert, tokenization.py, which takes step 4 before step 3):

1. delete control characters, make every whitespace character a space;
2. put spaces round every CJK ideograph (Chinese is written without them; Japanese and Korean syllables stay together);
3. decompose (NFD) and delete nonspacing marks, which strips accents;
4. lower-case.

Each step replaces characters one at a time, so that every character of the result comes from one of the raw text: this
is where offsets come from. Only two things depend on neighbours: the order of marks in step 3 and, in the original, the
sigma at a word's end in step 4.

The character classes are frozen (`flavors`), so that the ids are the same under every Python version. Decompositions and
combining classes do come from `unicodedata`, but only for characters where Unicode promises never to change them.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from minibert.tokenizer.code_points import CharacterTable
from minibert.tokenizer.flavors import Flavor


class AlignedText(NamedTuple):
    """A text and, for each of its characters, the place in the raw text of the character that it came from."""

    text: str
    sources: Sequence[int]

    def part(self, start: int, end: int) -> "AlignedText":
        """The characters from `start` up to `end`."""
        return AlignedText(self.text[start:end], self.sources[start:end])


class Normalizer:
    """The normalisation of one checkpoint: `clean` takes the steps 1 and 2, `fold` the steps 3 and 4.

    `space_cjk` is `tokenize_chinese_chars` of tokenizer_config.json, `lower_case` its `do_lower_case`.
    """

    def __init__(self, flavor: Flavor, *, space_cjk: bool, strip_accents: bool, lower_case: bool) -> None:
        self._flavor = flavor
        self.spaces_cjk = space_cjk
        self._lower_case = lower_case
        self.strips_accents = strip_accents
        self.has_final_sigma = lower_case and flavor.final_sigma is not None
        self._cleaned = CharacterTable(self._clean_character)
        self._decomposed = CharacterTable(self._decompose_character)
        self._without_marks = CharacterTable(lambda c: "" if ord(c) in flavor.nonspacing_marks else c)
        self._lower_cased = CharacterTable(lambda c: flavor.lower_case.get(ord(c), c))
        self._run_of_marks = re.compile(f"[{flavor.ordered.in_brackets()}]{{2,}}")

    def __call__(self, text: str) -> str:
        """The normalised text, whose only whitespace is the space; takes time linear in the text's length."""
        return self.fold(self.clean(AlignedText(text, range(len(text))))).text

    def clean(self, aligned: AlignedText) -> AlignedText:
        """Without control, format and private characters, with spaces for all whitespace and round CJK ideographs."""
        return _replaced(aligned, self._cleaned)

    def fold(self, aligned: AlignedText) -> AlignedText:
        """Without accents and lower-cased, as far as the settings say so."""
        steps = [self.lower_case, self.strip_accents] if self._flavor.lowers_first else [self.strip_accents, self.lower_case]
        for step in steps:
            aligned = step(aligned)
        return aligned

    def strip_accents(self, aligned: AlignedText) -> AlignedText:
        """Decomposed, without nonspacing marks."""
        return _replaced(self.decompose(aligned), self._without_marks) if self.strips_accents else aligned

    def lower_case(self, aligned: AlignedText) -> AlignedText:
        """With each character lower-cased by itself, but for the original's sigma at a word's end."""
        if not self._lower_case:
            return aligned
        if self._flavor.final_sigma is not None and "Σ" in aligned.text:
            aligned = AlignedText(self._flavor.final_sigma.sub(r"\1ς", aligned.text), aligned.sources)
        return _replaced(aligned, self._lower_cased)

    def decompose(self, aligned: AlignedText) -> AlignedText:
        """Unicode normalisation form D, in linear time.

        `unicodedata.normalize` orders marks by insertion, which takes quadratic time on long runs of them: 80,000 marks
        on one letter stop a program for seconds. Here characters are decomposed one at a time and the runs sorted.
        """
        decomposed = _replaced(aligned, self._decomposed)
        if not self._run_of_marks.search(decomposed.text):
            return decomposed
        # As the `tokenizers` library counts: the n-th character that begins a decomposition comes from the n-th
        # character of the text, also where sorting moved it past others.
        begins = [place == 0 for c in aligned.text for place in range(len(self._decomposed[ord(c)]))]
        order = list(range(len(decomposed.text)))
        for run in self._run_of_marks.finditer(decomposed.text):
            # The sort is stable: marks of the same class stay in the order of the text, as the standard demands.
            order[run.start() : run.end()] = sorted(
                range(run.start(), run.end()), key=lambda place: unicodedata.combining(decomposed.text[place])
            )
        sources: list[int] = []
        nth = -1
        for place in order:
            nth += begins[place]
            sources.append(aligned.sources[nth])
        return AlignedText("".join([decomposed.text[place] for place in order]), sources)

    def _clean_character(self, character: str) -> str:
        code = ord(character)
        # Several control characters, such as the form feed, are whitespace too: being dropped goes first.
        if code in self._flavor.dropped:
            return ""
        if code in self._flavor.whitespace:
            return " "
        return f" {character} " if self.spaces_cjk and code in self._flavor.cjk else character

    def _decompose_character(self, character: str) -> str:
        return unicodedata.normalize("NFD", character) if ord(character) in self._flavor.decomposed else character


def _replaced(aligned: AlignedText, table: Mapping[int, str]) -> AlignedText:
    parts = [table[ord(character)] for character in aligned.text]
    sources = [source for part, source in zip(parts, aligned.sources, strict=True) for _ in part]
    return AlignedText("".join(parts), sources)
