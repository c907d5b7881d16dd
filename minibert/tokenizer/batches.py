"""Texts and options -> a batch: tokens, truncation and windows, rows, arrays or lists."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from minibert.errors import TokenizerError
from minibert.tokenizer.arguments import BatchOptions, checked_options, texts_and_pairs, words_and_pairs
from minibert.tokenizer.remembered_tokens import RememberedTokens
from minibert.tokenizer.rows import FlatRows, Row, Tokens, common_width, lay_out, lists, padded_arrays
from minibert.tokenizer.settings import TokenizerSettings
from minibert.tokenizer.truncation import Truncation, Window, row_windows

# The keys of a batch besides input_ids, and the options that ask for them.
OPTIONAL_KEYS = {
    "token_type_ids": "return_token_type_ids",
    "attention_mask": "return_attention_mask",
    "special_tokens_mask": "return_special_tokens_mask",
    "offset_mapping": "return_offsets_mapping",
    "word_ids": "return_word_ids",
}


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
        flat, samples = self._flat_rows(text, text_pair, options)
        batch = self._batch(flat, samples, options)
        if options.return_overflowing_tokens:
            batch["overflow_to_sample_mapping"] = np.array(samples, np.int32) if options.return_tensors else samples
        return batch

    def _flat_rows(self, text: object, text_pair: object, options: BatchOptions) -> tuple[FlatRows, list[int]]:
        """The rows, and for each the place of its text in the batch."""
        parts = words_and_pairs if options.is_split_into_words else texts_and_pairs
        first_texts, second_texts = parts(text, text_pair)
        special_count = 0 if not options.add_special_tokens else 2 if second_texts is None else 3
        truncation = self._truncation(options, special_count)
        # Behind the cut nothing needs to be looked at, where nothing depends on what stands there.
        enough = None
        if truncation and second_texts is None and not truncation.overflowing and truncation.side == "right":
            enough = truncation.length
        firsts = self._tokens(first_texts, options, enough)
        seconds = None if second_texts is None else self._tokens(second_texts, options, None)
        rows: list[Row] = []
        samples: list[int] = []
        for place, first in enumerate(firsts):
            second = None if seconds is None else seconds[place]
            new = [Row(first, second)] if truncation is None else _cut(first, second, truncation, f"text[{place}]")
            rows += new
            samples += [place] * len(new)
        keys = [key for key, option in OPTIONAL_KEYS.items() if getattr(options, option)]
        return lay_out(rows, self._special_ids if options.add_special_tokens else None, keys), samples

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

    def _tokens(self, texts: Sequence[Any], options: BatchOptions, enough: int | None) -> list[Tokens]:
        with_columns = options.return_offsets_mapping or options.return_word_ids
        if options.is_split_into_words:
            return self._tokens_of_words(texts, with_columns)
        if with_columns:
            return self._remembered.columns(texts)
        return [Tokens(self._remembered.ids(text, enough)) for text in texts]

    def _tokens_of_words(self, texts: Sequence[Sequence[str]], with_columns: bool) -> list[Tokens]:
        """Tokens whose offsets count from the beginning of the caller's word, and whose words are the caller's."""
        if not with_columns:
            return [Tokens(list(chain.from_iterable(map(self._remembered.ids, words)))) for words in texts]
        columns = iter(self._remembered.columns([word for words in texts for word in words]))
        tokens: list[Tokens] = []
        for words in texts:
            own = [next(columns) for _ in words]
            numbers = np.repeat(np.arange(len(own), dtype=np.int32), [len(word.ids) for word in own])
            empty = np.empty(0, np.int32)
            ids, starts, ends = (np.concatenate([empty, *(word[field] for word in own)]) for field in range(3))
            tokens.append(Tokens(ids, starts, ends, numbers))
        return tokens

    def _batch(self, flat: FlatRows, samples: Sequence[int], options: BatchOptions) -> dict[str, Any]:
        width = None
        if options.padding:
            maximum = options.max_length if options.padding == "max_length" else None
            width = common_width(flat.lengths, samples, maximum, options.pad_to_multiple_of or 1)
        side = str(options.padding_side)
        if options.return_tensors is None:
            return lists(flat, width, side, self._padding_id)
        if width is None:
            shortest, width = int(flat.lengths.min()), int(flat.lengths.max())
            if shortest != width:
                raise TokenizerError(
                    f"the rows have from {shortest} to {width} tokens, and padding=False makes an array of equal ones only; use "
                    "padding='longest', or return_tensors=None for lists"
                )
        return padded_arrays(flat, width, side, self._padding_id)


def _cut(first: Tokens, second: Tokens | None, truncation: Truncation, where: str) -> list[Row]:
    second_length = None if second is None else len(second.ids)
    if len(first.ids) + (second_length or 0) <= truncation.length:
        return [Row(first, second)]
    try:
        windows: list[Window] = row_windows(len(first.ids), second_length, truncation)
    except TokenizerError as problem:
        raise TokenizerError(f"{where}: {problem}") from None
    return [Row(first.part(*window.first), None if second is None else second.part(*window.second)) for window in windows]
