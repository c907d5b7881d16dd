"""The tokenizer: texts -> the arrays a BERT model takes, and ids -> tokens. The package's docstring has the semantics."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import index, is_
from pathlib import Path
from typing import Any, SupportsIndex, cast, overload

import numpy as np
from jaxtyping import Integer

from minibert.errors import TokenizerError, shown
from minibert.tokenizer.arguments import BatchOptions, checked_folder, checked_switch, checked_text, listed
from minibert.tokenizer.batches import BatchMaker
from minibert.tokenizer.decoding import covered_text, joined_tokens
from minibert.tokenizer.folder import read_folder
from minibert.tokenizer.int32_bytes import int32_bytes, int32_list
from minibert.tokenizer.remembered_tokens import RememberedTokens
from minibert.tokenizer.saving import save_folder
from minibert.tokenizer.settings import TokenizerSettings, checked_settings
from minibert.tokenizer.text_tokens import TextTokens
from minibert.tokenizer.vocabulary import Vocabulary

# What a caller should give. `object` is what is checked: anything else becomes our error, with its place in the batch.
Texts = str | Sequence[str] | Sequence[tuple[str, str]] | object
SpecialTokens = Sequence[str] | Mapping[str, str | Sequence[str]] | object
Ids = Sequence[int | np.integer] | Integer[np.ndarray, " tokens"] | object
Offsets = Sequence[Sequence[int]] | Integer[np.ndarray, "tokens 2"] | object

DEFAULT_OPTIONS = tuple(vars(BatchOptions()).values())


class Tokenizer:
    """BERT's WordPiece tokenizer for one vocabulary.

        tokenizer = Tokenizer.load("minilm-l6")
        batch = tokenizer(["The bank raised rates.", "A river bank."])
        output = model(**batch)

    Raises TokenizerError when the vocabulary lacks one of the special tokens that the settings name.
    """

    def __init__(self, vocabulary: Vocabulary | Sequence[str], settings: TokenizerSettings | None = None) -> None:
        self.vocabulary = vocabulary if isinstance(vocabulary, Vocabulary) else Vocabulary(vocabulary)
        self.settings = TokenizerSettings() if settings is None else settings
        if not isinstance(self.settings, TokenizerSettings):
            raise TokenizerError(f"the settings are of the type {type(settings).__name__}; expected TokenizerSettings(…)")
        for name, token in self.settings.special_tokens.items():
            if token not in self.vocabulary.ids:
                raise TokenizerError(
                    f"the vocabulary of {len(self.vocabulary):,} tokens lacks {name} {shown(token)}; expected all of BERT's "
                    f"special tokens in it, or {name}=…, in a folder in its tokenizer_config.json, to name the token that "
                    "stands for it"
                )
        for token in self.settings.additional_special_tokens:
            if token not in self.vocabulary.ids:
                raise TokenizerError(
                    f"the vocabulary of {len(self.vocabulary):,} tokens lacks the additional special token {shown(token)}; "
                    "add_special_tokens gives it an id"
                )
        text_tokens = TextTokens(self.vocabulary, self.settings)
        self._remembered = RememberedTokens(text_tokens)
        self._cls_bytes, self._sep_bytes = int32_bytes((self.cls_token_id,)), int32_bytes((self.sep_token_id,))
        self._make_batch = BatchMaker(
            self._remembered, self.cls_token_id, self.sep_token_id, self.pad_token_id, text_tokens.flavor.odd_token_to_first
        )

    @classmethod
    def load(cls, name_or_path: str | Path, **overrides: object) -> "Tokenizer":
        """The tokenizer of a checkpoint: a name from the registry, a folder, or a file of weights with its folder.

        `overrides` and errors as in `from_folder`, besides CheckpointError for a name or path that leads nowhere.
        """
        # Imported here, so that tokenizing texts does not load what fetches checkpoints.
        from minibert.checkpoints.registry import folder_of, resolve

        return cls.from_folder(folder_of(resolve(name_or_path)), **overrides)

    @classmethod
    def from_folder(cls, folder: str | Path, **overrides: object) -> "Tokenizer":
        """The tokenizer of the checkpoint in `folder`, from vocab.txt or tokenizer.json and the settings beside.

        `overrides` replace settings of the files, by the names of TokenizerSettings: `do_lower_case=False`,
        `model_max_length=128`. The model maximum is never above `max_position_embeddings` of the config.json there, or else
        of the bert_config.json.

        Raises TokenizerError for files that are missing, broken, contradict each other, or describe another tokenizer
        than BERT's, for a vocabulary of another size than the model's, and for an unknown override.
        """
        vocabulary, settings = read_folder(checked_folder(folder), overrides)
        try:
            return cls(vocabulary, settings)
        except TokenizerError as problem:
            raise TokenizerError(f"{folder}: {problem}") from None

    def __call__(
        self,
        text: Texts,
        text_pair: Texts = None,
        *,
        padding: bool | str = "longest",
        truncation: bool | str | None = False,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        add_special_tokens: bool = True,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        truncation_side: str | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_word_ids: bool = False,
        return_token_type_ids: bool | None = True,
        return_attention_mask: bool | None = True,
        return_tensors: str | None = "np",
    ) -> dict[str, Any]:
        """The texts as a batch: int32 arrays [rows, tokens] `input_ids`, `token_type_ids` and `attention_mask`.

        `text` is a string (a batch of one), a sequence of strings, or one of pairs of strings; `text_pair` holds the
        second texts in the form of the first. An empty second text still gets its [SEP]. With `is_split_into_words`
        a text is a sequence of words, each a string; what BERT splits further still belongs to the caller's word.

        - `padding`: "longest" (or True) pads to the longest row, "max_length" to `max_length`, False (or
          "do_not_pad") not at all; `pad_to_multiple_of` rounds the width up.
        - `truncation`: False (None, "do_not_truncate") keeps everything; "longest_first" (or True), "only_first" and
          "only_second" cut rows to `max_length` tokens, special tokens included (`truncation.truncated_lengths` has the rule).
        - `max_length` is the model's maximum when it is not given.
        - `padding_side`, `truncation_side`: "right" or "left"; the settings' when not given.
        - `return_overflowing_tokens`: what truncation cuts makes further rows, each repeating the last `stride` tokens
          of the row before; `overflow_to_sample_mapping` [rows] says which text a row is from.
        - `return_offsets_mapping`: `offset_mapping` [rows, tokens, 2], the first character of the text that a token
          comes from and the one behind its last, counted in code points, (0, 0) for special tokens and padding. Of
          pre-split words they count from the beginning of the word.
        - `return_word_ids`: `word_ids` [rows, tokens], the number of the token's word in its text, −1 for special
          tokens and padding (in lists None). Words are counted as BERT splits them, or the caller has.
        - `return_special_tokens_mask`: `special_tokens_mask`, 1 for the special tokens added here and for padding, 0
          for all that stands in the text.
        - `return_token_type_ids=False`, `return_attention_mask=False` leave those out; None is True, as in transformers.
        - `return_tensors`: "np" for arrays, None for lists, of unequal lengths with `padding=False`.

        Raises TokenizerError for an empty batch, for anything that is no text (with its place), for half of a
        surrogate pair, for values that an option does not have, for options that contradict each other, for a stride that
        is not smaller than a row's share of the text, and where texts cannot be brought to the length.
        """
        options = (
            padding,
            truncation,
            max_length,
            stride,
            is_split_into_words,
            add_special_tokens,
            pad_to_multiple_of,
            padding_side,
            truncation_side,
            return_overflowing_tokens,
            return_special_tokens_mask,
            return_offsets_mapping,
            return_word_ids,
            return_token_type_ids,
            return_attention_mask,
            return_tensors,
        )
        # By identity: 0 and 1 equal False and True, and an array can only be compared with an error.
        if text_pair is None and isinstance(text, str) and all(map(is_, options, DEFAULT_OPTIONS)):
            ids = np.array([self.encode(text)], np.int32)
            zeros = np.zeros(ids.shape, np.int32)
            return {"input_ids": ids, "token_type_ids": zeros, "attention_mask": zeros + 1}
        return self._make_batch(text, text_pair, BatchOptions(*options), self.settings)

    def encode(self, text: str, text_pair: str | None = None, **options: Any) -> list[int]:
        """The ids of one text, or of a pair of texts, as a list with [CLS] and [SEP].

        `options` are those of the call that bear on a single row: `add_special_tokens`, `truncation`, `max_length`,
        `truncation_side`, `padding` (False here), `is_split_into_words`. Raises TokenizerError as the call does, and where more
        than one row would come of it.
        """
        if text_pair is None and not options:
            # Asked here, since the call for the other texts would take a tenth of the time of a short one.
            is_plain = type(text) is str and text.isascii()
            ids = self._remembered.ids(text if is_plain else checked_text(text, "the text"))
            return int32_list(b"".join((self._cls_bytes, ids, self._sep_bytes)))
        rows = self(text, text_pair, **({"padding": False, "return_tensors": None} | options))["input_ids"]
        if not isinstance(rows, list) or len(rows) != 1:
            what = f"{len(rows)} rows" if isinstance(rows, list) else "arrays"
            raise TokenizerError(f"encode gives the ids of one row as a list, and this makes {what}; call the tokenizer itself")
        return rows[0]

    def tokenize(self, text: object) -> list[str]:
        """The tokens of one text, without [CLS] and [SEP]; a word that the vocabulary cannot spell is one [UNK].

        Raises TokenizerError for anything but a string, and for half of a surrogate pair.
        """
        ids = int32_list(self._remembered.ids(checked_text(text, "the text")))
        return [self.vocabulary.tokens[token_id] for token_id in ids]

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...
    @overload
    def convert_tokens_to_ids(self, tokens: list[str] | tuple[str, ...]) -> list[int]: ...
    def convert_tokens_to_ids(self, tokens: object) -> int | list[int]:
        """The id of a token, or a list of those of several; a string that is no token has the id of [UNK].

        Raises TokenizerError for anything but strings.
        """
        if isinstance(tokens, list | tuple):
            return [self._id(token) for token in tokens]
        return self._id(tokens)

    @overload
    def convert_ids_to_tokens(self, ids: int | np.integer) -> str: ...
    @overload
    def convert_ids_to_tokens(self, ids: Sequence[int | np.integer] | np.ndarray) -> list[str]: ...
    def convert_ids_to_tokens(self, ids: object) -> str | list[str]:
        """The token of an id, or a list of those of several (a list or an array of one axis).

        Raises TokenizerError for an id outside the vocabulary and for anything that is no whole number.
        """
        if isinstance(ids, np.ndarray):
            ids = ids.tolist()
        if isinstance(ids, list | tuple):
            return [self._token(token_id) for token_id in ids]
        return self._token(ids)

    def decode(
        self,
        ids: Ids,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str:
        """The tokens of `ids` with spaces between words and the "##" pieces joined to theirs.

        `clean_up_tokenization_spaces`: None leaves out the space before punctuation, as in "hello, world!", True also
        those round apostrophes, as in "isn't", False none. This is not the text that gave the ids, whose case, accents
        and spaces are gone; `decode_from_text` is. Raises TokenizerError for an id outside the vocabulary.
        """
        row = listed(ids)
        if row is None:
            raise TokenizerError(f"the ids are {ids!r}; expected a list or an array of one axis")
        tokens = self.convert_ids_to_tokens(row)
        if clean_up_tokenization_spaces is not None:
            clean_up_tokenization_spaces = checked_switch("clean_up_tokenization_spaces", clean_up_tokenization_spaces)
        if checked_switch("skip_special_tokens", skip_special_tokens):
            special_tokens = set(self.settings.whole_tokens)
            tokens = [token for token in tokens if token not in special_tokens]
        return joined_tokens(tokens, clean_up_tokenization_spaces)

    def batch_decode(self, rows: Iterable[Sequence[int] | Integer[np.ndarray, " tokens"]], **options: Any) -> list[str]:
        """Every row decoded, with the options of `decode`."""
        listed_rows = listed(rows)
        if listed_rows is None:
            raise TokenizerError(f"the rows are {rows!r}; expected a list of rows, or an array of two axes")
        return [self.decode(row, **options) for row in listed_rows]

    def decode_from_text(self, text: str, offset_mapping: Offsets) -> str:
        """The slice of the original `text` that tokens come from, by their offsets, with case, accents and spaces.

            batch = tokenizer(text, return_offsets_mapping=True)
            answer = tokenizer.decode_from_text(text, batch["offset_mapping"][0, 3:7])

        Raises TokenizerError for offsets that are not of this text.
        """
        return covered_text(checked_text(text, "the text"), offset_mapping)

    def add_special_tokens(self, tokens: SpecialTokens) -> int:
        """Makes `tokens` special ones, found in texts like BERT's five; how many of them are new to the vocabulary.

        New ones get the ids behind its end: the model's word embeddings need as many rows more. A mapping names BERT's
        own, `{"mask_token": "<mask>"}`, which take the place of those before (these are still found in texts), and lists
        others under "additional_special_tokens".

        Raises TokenizerError for anything that is no token.
        """
        given = tokens if isinstance(tokens, Mapping) else {"additional_special_tokens": tokens}
        values = checked_settings(
            {name: token for name, token in given.items() if name != "extra_special_tokens"}, "the special tokens"
        )
        if "extra_special_tokens" in given:
            extra = checked_settings({"additional_special_tokens": given["extra_special_tokens"]}, "the special tokens")
            values["additional_special_tokens"] = values.get("additional_special_tokens", ()) + extra["additional_special_tokens"]
        for name in values:
            if name != "additional_special_tokens" and name not in self.settings.special_tokens:
                raise TokenizerError(
                    f"{name!r} names no special token; expected one of {', '.join(self.settings.special_tokens)}"
                )
        own = {name: token for name, token in values.items() if name != "additional_special_tokens"}
        settings = replace(self.settings, **own)
        # A token that another one takes the place of is still found in texts.
        more = [*self.settings.whole_tokens, *values.get("additional_special_tokens", ())]
        additional = tuple(token for token in dict.fromkeys(more) if token not in settings.special_tokens.values())
        settings = replace(settings, additional_special_tokens=additional)
        new = [checked_text(token, "the token") for token in settings.whole_tokens if token not in self.vocabulary.ids]
        Tokenizer.__init__(self, Vocabulary([*self.vocabulary.tokens, *new]), settings)
        return len(new)

    def save(self, folder: str | Path) -> None:
        """Writes the tokenizer into `folder`, where `Tokenizer.load` and transformers' `from_pretrained` find it.

        vocab.txt and tokenizer_config.json, besides tokenizer.json for the hf flavor, which is the only one that it can
        describe. Raises TokenizerError for a token that a file cannot hold, and where nothing can be written.
        """
        save_folder(checked_folder(folder), self.vocabulary, self.settings)

    def __reduce__(self) -> tuple[type["Tokenizer"], tuple[tuple[str, ...], TokenizerSettings]]:
        # A copy, in another process for instance, begins with an empty memory.
        return type(self), (tuple(self.vocabulary.tokens), self.settings)

    @property
    def vocab_size(self) -> int:
        """How many tokens the vocabulary has; the model's embedding table may have more rows."""
        return len(self.vocabulary)

    @property
    def model_max_length(self) -> int | None:
        """The most tokens that the model takes in a row, special tokens included; None where nothing says it."""
        return self.settings.model_max_length

    @property
    def unk_token_id(self) -> int:
        """The id of [UNK], which stands for words that the vocabulary cannot spell."""
        return self.vocabulary.ids[self.settings.unk_token]

    @property
    def cls_token_id(self) -> int:
        """The id of [CLS], which begins every row."""
        return self.vocabulary.ids[self.settings.cls_token]

    @property
    def sep_token_id(self) -> int:
        """The id of [SEP], which ends every text of a row."""
        return self.vocabulary.ids[self.settings.sep_token]

    @property
    def pad_token_id(self) -> int:
        """The id of [PAD], which fills rows up."""
        return self.vocabulary.ids[self.settings.pad_token]

    @property
    def mask_token_id(self) -> int:
        """The id of [MASK], the token to be predicted."""
        return self.vocabulary.ids[self.settings.mask_token]

    def _id(self, token: object) -> int:
        return self.vocabulary.ids.get(checked_text(token, "the token"), self.unk_token_id)

    def _token(self, token_id: object) -> str:
        try:
            # NumPy's integers are asked for theirs; an array of ids where one belongs has none.
            place = token_id if type(token_id) is int else index(cast(SupportsIndex, token_id))
        except TypeError:
            place = None
        if place is None or isinstance(token_id, bool):
            raise TokenizerError(f"{token_id!r} is no id; expected a whole number")
        if not 0 <= place < len(self.vocabulary):
            raise TokenizerError(f"the id {shown(place)} is outside the vocabulary; expected 0 to {len(self.vocabulary) - 1}")
        return self.vocabulary.tokens[place]
