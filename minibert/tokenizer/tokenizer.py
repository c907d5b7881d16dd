"""The tokenizer: texts -> the arrays a BERT model takes, and ids -> tokens.

    special tokens found in the raw text -> normalisation -> words -> WordPiece -> [CLS], [SEP] -> truncation, padding

Every id equals that of the `tokenizers` library 0.23, which transformers 5 uses; its Unicode tables are frozen here.
The original, google-research/bert tokenization.py, differs from it in a few rare classes of characters.
"""

from collections.abc import Sequence
from operator import index
from pathlib import Path
from typing import SupportsIndex, overload

import numpy as np
from jaxtyping import Int32, Integer

from minibert.errors import TokenizerError
from minibert.tokenizer import sequences
from minibert.tokenizer.arguments import batch_options, checked_text, texts_and_pairs
from minibert.tokenizer.folder import read_folder
from minibert.tokenizer.remembered_ids import RememberedIds
from minibert.tokenizer.settings import TokenizerSettings
from minibert.tokenizer.text_ids import TextIds
from minibert.tokenizer.vocabulary import Vocabulary
from minibert.tokenizer.word_piece import CONTINUATION

# What a caller should give. `object` is what is checked: anything else becomes our error, with its place in the batch.
Texts = str | Sequence[str] | Sequence[tuple[str, str]] | object


class Tokenizer:
    """BERT's WordPiece tokenizer for one vocabulary.

        tokenizer = Tokenizer.load("minilm-l6")
        batch = tokenizer(["The bank raised rates.", "A river bank."])
        output = model(**batch)

    Raises TokenizerError when the vocabulary lacks one of the special tokens that the settings name.
    """

    def __init__(self, vocabulary: Vocabulary | Sequence[str], settings: TokenizerSettings | None = None) -> None:
        self.vocabulary = vocabulary if isinstance(vocabulary, Vocabulary) else Vocabulary(vocabulary)
        self.settings = settings or TokenizerSettings()
        for name, token in self.settings.special_tokens.items():
            if token not in self.vocabulary.ids:
                raise TokenizerError(
                    f"the vocabulary of {len(self.vocabulary):,} tokens lacks {name} {token!r}; expected all of BERT's "
                    f"special tokens in it, or {name}=… to name the token that stands for it"
                )
        self._ids = RememberedIds(TextIds(self.vocabulary, self.settings))

    @classmethod
    def load(cls, name_or_path: str | Path, **overrides: object) -> "Tokenizer":
        """The tokenizer of a checkpoint: a name from the registry, a folder, or a file of weights with its folder.

        `overrides` and errors as in `from_folder`, besides CheckpointError for a name or path that leads nowhere.
        """
        # Imported here, so that tokenizing texts does not load what fetches checkpoints.
        from minibert.checkpoints.registry import resolve

        path = resolve(name_or_path)
        return cls.from_folder(path.parent if path.is_file() else path, **overrides)

    @classmethod
    def from_folder(cls, folder: str | Path, **overrides: object) -> "Tokenizer":
        """The tokenizer of the checkpoint in `folder`, from vocab.txt or tokenizer.json and the settings beside.

        `overrides` replace settings of the files, by the names of TokenizerSettings: `do_lower_case=False`,
        `model_max_length=128`. The model maximum is never above `max_position_embeddings` of the config.json there.

        Raises TokenizerError for files that are missing, broken, contradict each other, or describe another tokenizer
        than BERT's, for a vocabulary larger than the model's, and for an unknown override.
        """
        return cls(*read_folder(Path(folder), overrides))

    def __call__(
        self,
        texts: Texts,
        text_pairs: Texts = None,
        *,
        padding: bool | str = "longest",
        truncation: bool | str = False,
        max_length: int | None = None,
        add_special_tokens: bool = True,
        pad_to_multiple_of: int | None = None,
    ) -> dict[str, Int32[np.ndarray, "batch tokens"]]:
        """The texts as a batch: int32 arrays [batch, tokens] `input_ids`, `token_type_ids` and `attention_mask`.

        `texts` is a string (a batch of one), a sequence of strings, or one of pairs of strings; `text_pairs` holds
        the second texts in the form of the first. An empty second text still gets its [SEP].

        - `padding`: "longest" (or True) pads to the longest row, "max_length" to `max_length`, False wants equal rows;
          `pad_to_multiple_of` rounds the width up.
        - `truncation`: False keeps everything; "longest_first" (or True), "only_first" and "only_second" cut rows to
          `max_length` tokens, special tokens included (`sequences.truncated_lengths` has the rule).
        - `max_length` is the model's maximum when it is not given.

        Raises TokenizerError for an empty batch, for anything that is no text (with its place), for half of a
        surrogate pair, for options that do not exist or that contradict each other, and where texts cannot be brought
        to the length.
        """
        first_texts, second_texts = texts_and_pairs(texts, text_pairs)
        options = batch_options(padding, truncation, max_length, pad_to_multiple_of, self.model_max_length)
        rows: list[sequences.Row] = []
        for place, text in enumerate(first_texts):
            first = self._ids(text)
            second = None if second_texts is None else self._ids(second_texts[place])
            if options.truncation is not None and options.max_length is not None:
                special_tokens = sequences.special_token_count(second) if add_special_tokens else 0
                first, second = sequences.truncate(
                    first, second, options.max_length, special_tokens, options.truncation, where=f"texts[{place}]"
                )
            rows.append(self._row(first, second, add_special_tokens))
        width = sequences.common_width(rows, options.padding, options.max_length, options.width_multiple)
        return sequences.pad(rows, width, self.pad_token_id)

    def tokenize(self, text: object) -> list[str]:
        """The tokens of one text, without [CLS] and [SEP]; a word that the vocabulary cannot spell is one [UNK].

        Raises TokenizerError for anything but a string, and for half of a surrogate pair.
        """
        return [self.vocabulary.tokens[token_id] for token_id in self._ids(checked_text(text, "the text"))]

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

    def decode(self, ids: Sequence[int | np.integer] | Integer[np.ndarray, " tokens"], skip_special_tokens: bool = False) -> str:
        """The tokens of `ids` with spaces between words and the "##" pieces joined to theirs.

        This is not the text that gave the ids: case, accents and the spaces round punctuation are gone. Raises
        TokenizerError for an id outside the vocabulary.
        """
        tokens = self.convert_ids_to_tokens(list(ids))
        if skip_special_tokens:
            special_tokens = set(self.settings.special_tokens.values())
            tokens = [token for token in tokens if token not in special_tokens]
        return " ".join(tokens).replace(" " + CONTINUATION, "")

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

    def _row(self, first: list[int], second: list[int] | None, add_special_tokens: bool) -> sequences.Row:
        if not add_special_tokens:
            return sequences.plain_row(first, second)
        return sequences.row(first, second, classification_id=self.cls_token_id, separator_id=self.sep_token_id)

    def _id(self, token: object) -> int:
        return self.vocabulary.ids.get(checked_text(token, "the token"), self.unk_token_id)

    def _token(self, token_id: object) -> str:
        if isinstance(token_id, bool) or not isinstance(token_id, SupportsIndex):
            raise TokenizerError(f"{token_id!r} is no id; expected a whole number")
        if not 0 <= index(token_id) < len(self.vocabulary):
            raise TokenizerError(f"the id {token_id} is outside the vocabulary; expected 0 to {len(self.vocabulary) - 1}")
        return self.vocabulary.tokens[index(token_id)]
