"""A text as the words that a model for tags takes."""

from minibert.tokenizer import Tokenizer


def words_in(tokenizer: Tokenizer, text: str) -> tuple[str, ...]:
    """The words and punctuation marks of a text, as BERT splits it before WordPiece, with their case and accents."""
    batch = tokenizer(
        text, add_special_tokens=False, return_offsets_mapping=True, return_word_ids=True, return_tensors=None, padding=False
    )
    ends: dict[int, tuple[int, int]] = {}
    for word, (start, end) in zip(batch["word_ids"][0], batch["offset_mapping"][0], strict=True):
        first, _ = ends.get(word, (start, end))
        ends[word] = (first, end)
    return tuple(text[start:end] for start, end in ends.values())
