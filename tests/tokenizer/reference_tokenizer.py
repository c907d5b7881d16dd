"""The reference: BERT's tokenizer out of the parts of the compiled `tokenizers` library, and its answers in our form."""

from collections.abc import Sequence
from typing import Any

from hostile_texts import SPECIAL_TOKENS
from tokenizers import Encoding, Tokenizer, models, normalizers, pre_tokenizers, processors


def reference_tokenizer(
    ids: dict[str, int], *, lower_case: bool = True, strip_accents: bool | None = None, space_cjk: bool = True
) -> Tokenizer:
    """The library's tokenizer for a vocabulary that has BERT's five special tokens."""
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=space_cjk, strip_accents=strip_accents, lowercase=lower_case
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, ids[token]) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    return tokenizer


def as_rows(encodings: list[Encoding]) -> dict[str, list[Any]]:
    """The encodings and what overflows them, under the keys of a batch as lists."""
    rows = [row for encoding in encodings for row in (encoding, *encoding.overflowing)]
    samples = [sample for sample, encoding in enumerate(encodings) for _ in range(1 + len(encoding.overflowing))]
    return {
        "input_ids": [row.ids for row in rows],
        "token_type_ids": [row.type_ids for row in rows],
        "attention_mask": [row.attention_mask for row in rows],
        "special_tokens_mask": [row.special_tokens_mask for row in rows],
        "offset_mapping": [row.offsets for row in rows],
        "word_ids": [row.word_ids for row in rows],
        "overflow_to_sample_mapping": samples,
    }


def different_texts(ours: Any, reference: Tokenizer, texts: Sequence[str]) -> list[int]:
    """The places of the texts of which ours gives other ids, offsets or words than the reference."""
    found = ours(texts, padding=False, return_offsets_mapping=True, return_word_ids=True, return_tensors=None)
    rows = zip(found["input_ids"], found["offset_mapping"], found["word_ids"], strict=True)
    expected = [(encoding.ids, encoding.offsets, encoding.word_ids) for encoding in reference.encode_batch(texts)]
    return [place for place, (row, answer) in enumerate(zip(rows, expected, strict=True)) if row != answer]
