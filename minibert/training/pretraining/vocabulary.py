"""A WordPiece vocabulary of one's own, learned by the library `tokenizers`, which is an extra and imported here only.

By itself the library gives another vocabulary at every run: pieces like ##a get their ids in the order of a hash table, and the
ids decide between pairs that are as frequent. So they get their ids before: the characters of the text and their ## forms are
handed over in their order. This also means that every word of these characters can be spelled.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from minibert.errors import InputError, shown
from minibert.tokenizer import Tokenizer, TokenizerSettings
from minibert.tokenizer.flavors import flavor_named
from minibert.training.pretraining.documents import checked_paths, sentences

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LEAST, MOST = 50, 1_000_000
"""Of a vocabulary's size."""
USUAL_CHARACTERS, COVERAGE = 1000, 0.9995
"""Of the characters of a text the vocabulary has so many, or as many more as make up that share of it."""
LEAST_FREQUENCY = 2
"""A piece is learned of a pair that occurs so often."""


def train_vocabulary(files: Sequence[str | Path], size: int, lowercase: bool = True) -> Tokenizer:
    """A tokenizer whose vocabulary of `size` tokens is learned from text files; the same files give the same one.

    The vocabulary has [PAD], [UNK], [CLS], [SEP], [MASK], the most frequent characters (1,000, or as many more as make up
    99.95 % of the text; at most half of the vocabulary), these with ## before them where they may go on with a word, and the
    pieces that were learned. It is smaller where the text has no more. In memory are the different words of the text.

    Args:
        files: as `sentences` takes them.
        size: of the vocabulary, from 50 up.
        lowercase: whether upper and lower case, and letters with and without accents, are the same.

    Raises InputError for another size, for files that cannot be read, and where `tokenizers` is missing.
    """
    if type(size) is not int or not LEAST <= size <= MOST:
        raise InputError(f"the size of the vocabulary is {shown(size)}; expected a whole number from {LEAST} to {MOST:,}")
    paths = checked_paths(files)
    library = imported()
    normaliser = library.normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=lowercase
    )
    characters = _most_frequent(paths, normaliser, (size - len(SPECIAL_TOKENS)) // 2)
    continuing = [f"##{character}" for character in characters if not _stands_alone(character)]
    learner = library.Tokenizer(library.models.WordPiece(unk_token="[UNK]"))
    learner.normalizer = normaliser
    learner.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    trainer = library.trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=LEAST_FREQUENCY,
        # What stands here has its id before anything is counted.
        special_tokens=[*SPECIAL_TOKENS, *characters, *continuing],
        initial_alphabet=characters,
        limit_alphabet=len(characters),
        show_progress=False,
    )
    learner.train_from_iterator(_texts(paths), trainer)
    ids = learner.get_vocab()
    return Tokenizer(sorted(ids, key=ids.__getitem__), TokenizerSettings(do_lower_case=lowercase))


def imported() -> Any:
    """The library `tokenizers`; InputError that says how to install it."""
    try:
        import tokenizers
        import tokenizers.models
        import tokenizers.normalizers
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError:
        raise InputError(
            "a vocabulary is learned by tokenizers, which is not installed; run: pip install 'minibert[pretraining]'"
        ) from None
    return tokenizers


def _texts(paths: Sequence[Path]) -> Iterator[str]:
    return (sentence.text for sentence in sentences(paths))


def _most_frequent(paths: Sequence[Path], normaliser: Any, most: int) -> list[str]:
    """The characters that occur most, in the order of their code points."""
    counts: Counter[str] = Counter()
    for text in _texts(paths):
        counts.update(normaliser.normalize_str(text))
    found = sorted((character for character in counts if not character.isspace()), key=lambda each: (-counts[each], each))
    covered, wanted = 0, COVERAGE * sum(counts[each] for each in found)
    for number, character in enumerate(found[:most]):
        if number >= USUAL_CHARACTERS and covered >= wanted:
            return sorted(found[:number])
        covered += counts[character]
    return sorted(found[:most])


def _stands_alone(character: str) -> bool:
    """Whether BERT makes a word of it by itself."""
    flavor = flavor_named("hf")
    return ord(character) in flavor.punctuation or ord(character) in flavor.cjk
