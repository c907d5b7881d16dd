"""Texts and options -> a batch: tokens, truncation and windows, rows, arrays or lists."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Int64

from minibert.errors import TokenizerError
from minibert.tokenizer.arguments import BatchOptions, checked_options, texts_and_pairs, words_and_pairs
from minibert.tokenizer.int32_bytes import counts
from minibert.tokenizer.plain_rows import plain_arrays, plain_lists, plain_rows
from minibert.tokenizer.remembered_tokens import RememberedTokens
from minibert.tokenizer.rows import Rows, common_width, lay_out, lists
from minibert.tokenizer.settings import TokenizerSettings
from minibert.tokenizer.token_table import TokenTable, edges_between, ranges
from minibert.tokenizer.truncation import Truncation, cuts_single_texts_at_the_end, row_parts

# The keys of a batch besides input_ids, and the options that ask for them.
OPTIONAL_KEYS = {
    "token_type_ids": "return_token_type_ids",
    "attention_mask": "return_attention_mask",
    "special_tokens_mask": "return_special_tokens_mask",
    "offset_mapping": "return_offsets_mapping",
    "word_ids": "return_word_ids",
}

PLAIN_KEYS = {"token_type_ids", "attention_mask"}
"""What the shorter way of `plain_rows` can make besides ids."""

TEXTS_TOGETHER = 128
"""So many texts go through all steps before the next ones do, while they are in the processor's cache."""


class BatchMaker:
    """`make(text, text_pair, options)` is what `Tokenizer.__call__` gives."""

    def __init__(
        self, remembered: RememberedTokens, classification_id: int, separator_id: int, padding_id: int, odd_token_to_first: bool
    ) -> None:
        self._remembered = remembered
        self._special_ids = (classification_id, separator_id)
        self._padding_id = padding_id
        self._odd_token_to_first = odd_token_to_first

    def __call__(self, text: object, text_pair: object, given: BatchOptions, settings: TokenizerSettings) -> dict[str, Any]:
        """The batch, with the options as the caller gave them; the settings say the rest."""
        options = checked_options(given, settings)
        first: Any
        first, second = (words_and_pairs if options.is_split_into_words else texts_and_pairs)(text, text_pair)
        special_count = 0 if not options.add_special_tokens else 2 if second is None else 3
        truncation = self._truncation(options, special_count)
        keys = [key for key, option in OPTIONAL_KEYS.items() if getattr(options, option)]
        is_plain = not (options.is_split_into_words or options.return_overflowing_tokens) and PLAIN_KEYS.issuperset(keys)
        try:
            if is_plain and second is None and (truncation is None or cuts_single_texts_at_the_end(truncation)):
                return self._plain_batch(first, truncation, keys, options)
            return self._batch(first, second, truncation, keys, options)
        except MemoryError:
            raise TokenizerError(
                f"the rows of {len(first):,} texts do not fit into memory; give fewer texts at a time, or shorter rows"
            ) from None

    def _plain_batch(
        self, texts: Sequence[str], truncation: Truncation | None, keys: list[str], options: BatchOptions
    ) -> dict[str, Any]:
        # Behind the cut nothing needs to be looked at, since nothing depends on what stands there.
        length = None if truncation is None else truncation.length
        special_ids = self._special_ids if options.add_special_tokens else None
        side, padding_id = str(options.padding_side), self._padding_id
        rows: list[bytes] = []
        for start in range(0, len(texts), TEXTS_TOGETHER):
            ids = self._remembered.ids_of_all(texts[start : start + TEXTS_TOGETHER], enough=length)
            rows += plain_rows(ids, special_ids, length)
        lengths = counts(rows)
        width = self._width(lengths, np.arange(len(rows)), options)
        if options.return_tensors is None or width is None:
            return plain_lists(rows, keys, width, side, padding_id)
        return plain_arrays(rows, lengths, keys, width, side, padding_id)

    def _batch(
        self,
        first_texts: Sequence[Any],
        second_texts: Sequence[Any] | None,
        truncation: Truncation | None,
        keys: list[str],
        options: BatchOptions,
    ) -> dict[str, Any]:
        first = self._table(first_texts, options)
        second = None if second_texts is None else self._table(second_texts, options)
        parts = row_parts(first.lengths, None if second is None else second.lengths, truncation)
        rows = Rows(parts, first, second, self._special_ids if options.add_special_tokens else None)
        width = self._width(rows.lengths, parts.samples, options)
        columns = lay_out(rows, keys, width, str(options.padding_side), self._padding_id)
        batch: dict[str, Any] = {}
        if options.return_tensors is None or width is None:
            batch |= lists(columns, rows.lengths if width is None else np.full(len(parts.samples), width))
        else:
            shape = (len(parts.samples), width)
            batch |= {key: column.reshape(*shape, *column.shape[1:]) for key, column in columns.items()}
        if options.return_overflowing_tokens:
            samples = parts.samples
            batch["overflow_to_sample_mapping"] = samples.astype(np.int32) if options.return_tensors else samples.tolist()
        return batch

    def _truncation(self, options: BatchOptions, special_count: int) -> Truncation | None:
        if not options.truncation or options.max_length is None:
            return None
        if options.max_length < special_count:
            raise TokenizerError(f"max_length={options.max_length} does not hold the {special_count} special tokens of a row")
        length = options.max_length - special_count
        # Said whether or not a text is cut, as the `tokenizers` library says it: by the tokens that a single text has.
        most = options.max_length - (2 if options.add_special_tokens else 0)
        if options.stride > most:
            raise TokenizerError(
                f"stride={options.stride} has to be smaller than the {most} tokens that a row takes from texts; use a smaller "
                "stride or a larger max_length"
            )
        return Truncation(
            length=length,
            strategy=str(options.truncation),
            side=str(options.truncation_side),
            overflowing=options.return_overflowing_tokens,
            stride=options.stride,
            odd_token_to_first=self._odd_token_to_first,
        )

    def _table(self, texts: Sequence[Any], options: BatchOptions) -> TokenTable:
        with_places = options.return_offsets_mapping or options.return_word_ids
        if options.is_split_into_words:
            return self._table_of_words(texts, with_places)
        return self._remembered.table_with_places(texts) if with_places else self._remembered.table(texts)

    def _table_of_words(self, texts: Sequence[Sequence[str]], with_places: bool) -> TokenTable:
        """Tokens whose offsets count from the beginning of the caller's word, and whose words are the caller's."""
        words = list(chain.from_iterable(texts))
        table = self._remembered.table_with_places(words) if with_places else self._remembered.table(words)
        word_counts = np.fromiter(map(len, texts), np.int64, len(texts))
        if with_places:
            numbers = ranges(np.zeros(len(texts), np.int64), word_counts)
            table.columns["word_ids"] = np.repeat(numbers, table.lengths).astype(np.int32)
        return TokenTable(table.edges[edges_between(word_counts)], table.columns)

    def _width(
        self, lengths: Int64[np.ndarray, " rows"], samples: Int64[np.ndarray, " rows"], options: BatchOptions
    ) -> int | None:
        """The width of rows of these lengths, or None for lists of unequal lengths."""
        if options.padding:
            maximum = options.max_length if options.padding == "max_length" else None
            return common_width(lengths, samples, maximum, options.pad_to_multiple_of or 1)
        if options.return_tensors is None:
            return None
        shortest, longest = int(lengths.min()), int(lengths.max())
        if shortest != longest:
            raise TokenizerError(
                f"the rows have from {shortest} to {longest} tokens, and padding=False makes an array of equal ones only; use "
                "padding='longest', or return_tensors=None for lists"
            )
        return longest
