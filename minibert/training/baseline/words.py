"""Words instead of word pieces: a tokenizer whose vocabulary is the words that have vectors, and what it does not know."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from jaxtyping import Float32

from minibert.errors import InputError, shown
from minibert.printable import listed
from minibert.tokenizer import Tokenizer, TokenizerSettings
from minibert.tokenizer.flavors import flavor_named
from minibert.tokenizer.normalization import Normalizer
from minibert.tokenizer.word_splitting import word_pattern
from minibert.training.baseline.word_vectors import WordVectors

TEXTS_AT_A_TIME = 1024


def word_tokenizer(vectors: WordVectors, lower_case: bool = True) -> Tokenizer:
    """A tokenizer that knows whole words: [PAD], [UNK], [CLS], [SEP], [MASK], then the words of the vectors, in their order.

    Texts are split as BERT splits them before WordPiece, accents kept. WordPiece without a single `##` piece finds a word whole,
    or it is one [UNK]. Words that no text becomes are left out: those with punctuation or spaces inside, with several Chinese
    characters, and with capitals where texts become lower case.

    Raises InputError where no word is left.
    """
    settings = _settings(lower_case)
    words = _Words(settings)
    known = [word for word in vectors.words if words.leaves_whole(word)]
    if not known:
        raise InputError(
            f"of the {len(vectors):,} words with vectors, {listed(vectors.words)}, no text holds one after it is split; expected "
            f"words without punctuation, {'in lower case' if lower_case else 'as they are written'}"
        )
    return Tokenizer([*_special_tokens(settings), *known], settings)


def words_of(texts: Iterable[str], lower_case: bool = True) -> set[str]:
    """All words of the texts as `word_tokenizer` splits them: those whose vectors are wanted. InputError for what is no text."""
    words = _Words(_settings(lower_case))
    return {word for text in _checked(texts) for word in words.split(text)}


def table_for(tokenizer: Tokenizer, vectors: WordVectors, seed: int = 0) -> Float32[np.ndarray, "vocab width"]:
    """The vector of every token of the tokenizer, by its id.

    Special tokens without a vector have these: [PAD] zeros, [UNK] the mean of all vectors, the others random numbers as large as
    those of the vectors. Raises InputError for any other token without a vector.
    """
    rows = {word: row for row, word in enumerate(vectors.words)}
    tokens = tokenizer.vocabulary.tokens
    missing = [token_id for token_id, token in enumerate(tokens) if token not in rows]
    strange = [tokens[token_id] for token_id in missing if tokens[token_id] not in tokenizer.settings.whole_tokens]
    if strange:
        raise InputError(f"{listed(strange)} of the tokenizer have no vectors; give the vectors that it was made of")
    table = vectors.table[[rows.get(token, 0) for token in tokens]]
    # In float64 without a copy: float32 ends at 3e38, and a table can fill half the memory.
    size = np.sqrt(np.einsum("ij,ij->", vectors.table, vectors.table, dtype=np.float64) / vectors.table.size)
    table[missing] = np.random.default_rng(seed).normal(0.0, size, (len(missing), vectors.width))
    for token_id, vector in (
        (tokenizer.pad_token_id, np.zeros(vectors.width)),
        (tokenizer.unk_token_id, vectors.table.mean(axis=0, dtype=np.float64)),
    ):
        if token_id in missing:
            table[token_id] = vector
    return table


def out_of_vocabulary(tokenizer: Tokenizer, texts: Iterable[str]) -> float:
    """The share of the words of the texts, from 0 to 1, that are [UNK]; of word pieces as of words.

    Raises InputError for texts without a word, and for what is no text.
    """
    words = unknown = 0
    rest = _checked(texts)
    while batch := list(islice(rest, TEXTS_AT_A_TIME)):
        of_batch, unknown_of_batch = _counted(tokenizer, batch)
        words, unknown = words + of_batch, unknown + unknown_of_batch
    if words == 0:
        raise InputError("the texts hold no words; give at least one")
    return unknown / words


def _checked(texts: Iterable[str]) -> Iterator[str]:
    if isinstance(texts, str):
        raise InputError(f"the texts are the string {shown(texts)}; expected a list of strings")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"texts[{number}] is of the type {type(text).__name__}; expected a string")
        yield text


def _counted(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[int, int]:
    """How many words the texts have, and how many of them are [UNK], which is always a word by itself."""
    rows = tokenizer(texts, padding=False, add_special_tokens=False, return_word_ids=True, return_tensors=None)
    words = sum(of_text[-1] + 1 for of_text in rows["word_ids"] if of_text)
    return words, sum(ids.count(tokenizer.unk_token_id) for ids in rows["input_ids"])


class _Words:
    """BERT's basic splitting: what WordPiece is given."""

    def __init__(self, settings: TokenizerSettings) -> None:
        flavor = flavor_named(settings.flavor)
        self._normalised = Normalizer(
            flavor,
            space_cjk=settings.tokenize_chinese_chars,
            strip_accents=settings.removes_accents,
            lower_case=settings.do_lower_case,
        )
        self._pattern = word_pattern(flavor.punctuation)
        self._longest = settings.word_limit

    def split(self, text: str) -> list[str]:
        """The words of a text."""
        return self._pattern.findall(self._normalised(text))

    def leaves_whole(self, word: str) -> bool:
        """Whether a text that holds this word gives it."""
        return len(word) <= self._longest and self.split(word) == [word]


def _settings(lower_case: bool) -> TokenizerSettings:
    # Accents stay: in a table of whole words café is another word than cafe.
    return TokenizerSettings(do_lower_case=lower_case, strip_accents=False)


def _special_tokens(settings: TokenizerSettings) -> list[str]:
    return [settings.pad_token, settings.unk_token, settings.cls_token, settings.sep_token, settings.mask_token]
