"""`MaskedWords`: the likeliest words behind [MASK], the first task that BERT was trained on (Devlin et al. 2018, section 3.1).

A text's encoding x, [tokens, hidden], has a row for each [MASK]. For that row the masked language model's head gives a logit for
every token of the vocabulary, and `softmax(logits)` is the probability of each. The head sees no other rows, so that logits take
[masks, vocab] numbers and not [texts, tokens, vocab].
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array
from jaxtyping import Float, Int32

from minibert.checkpoints.blueprint import read_blueprint
from minibert.checkpoints.loading import load
from minibert.checkpoints.names import HEAD_PARAMETERS
from minibert.checkpoints.registry import folder_of, resolve
from minibert.config import BertConfig
from minibert.errors import CheckpointError, InputError, shown
from minibert.features.engine import Engine
from minibert.features.layers import Layers
from minibert.model.heads import Encoded, MaskedLanguageModel
from minibert.printable import counted
from minibert.tokenizer import Tokenizer
from minibert.tokenizer.word_piece import CONTINUATION

HEAD = "masked_lm"
DEFAULT_TOP = 5
TEXTS_AT_A_TIME = 256
"""Texts that are packed together; their results are there before the next ones are looked at."""

MASKS_AT_A_TIME = (1, 8, 64)
"""Rows for which logits are computed together, filled up to one of these: a program is compiled for each."""

CHARACTERS_SHOWN = 40
"""Of a text that a message tells of."""


@dataclass(frozen=True)
class FilledWord:
    """A word that may stand behind a mask."""

    word: str
    """As the vocabulary has it: a piece that continues the word before it begins with ##."""
    token_id: int
    probability: float
    text: str
    """The text with this word in place of the mask, and with all else as it was, other masks included."""


@dataclass(frozen=True)
class FilledMask:
    """One mask of a text, and the words that may stand there, the likeliest first."""

    span: tuple[int, int]
    """The mask's first character in the text, and the one behind its last."""
    words: list[FilledWord]


@dataclass(frozen=True)
class FilledText:
    """A text and its masks, in their order."""

    text: str
    masks: list[FilledMask]


class MaskedTextError(InputError):
    """A text whose masks cannot be filled; `index` says which of those that were given, `problem` what is wrong with it."""

    def __init__(self, index: int, problem: str):
        super().__init__(f"texts[{index}] {problem}")
        self.index = index
        self.problem = problem


class MaskedWords:
    """The likeliest words behind the masks of texts: `MaskedWords("bert-base-uncased").fill(["A [MASK] by the river."])`.

    Args:
        name_or_path: a fetched name, or a checkpoint folder, file or zip, with the head that was trained to fill masks.
        overrides: fields of BertConfig that replace the file's, as in `minibert.load`.

    The mask is the tokenizer's own, `tokenizer.settings.mask_token`, and is found in texts by its exact characters. Each text
    gives what it gives alone, to rounding, whatever else is in the call.

    Raises CheckpointError for a checkpoint without that head, before a weight is read, and what `minibert.load` and
    `Tokenizer.load` raise.
    """

    def __init__(self, name_or_path: str | Path, **overrides: Any):
        path = resolve(name_or_path)
        _check_head(path, overrides)
        # The google flavor does not look for special tokens in texts, unless told to.
        self.tokenizer = Tokenizer.from_folder(folder_of(path), special_tokens_in_text=True)
        model = load(path, head=HEAD, **overrides)
        longest = model.config.max_position_embeddings
        self.max_length = min(self.tokenizer.model_max_length or longest, longest)
        self._engine = Engine(model.bert, self.max_length, self.tokenizer.pad_token_id)
        self._last_layer = Layers.of("last").within(model.config.num_hidden_layers)
        self._word_table = self._engine.model.embeddings.word[...]
        # Beside the table: the engine may have copied it to several devices.
        self._head = jax.device_put(model.heads[HEAD], self._word_table.sharding)

    @property
    def config(self) -> BertConfig:
        """The model's."""
        return self._engine.model.config

    def fill(self, texts: Sequence[str], top: int | None = None, *, targets: Sequence[str] | None = None) -> list[FilledText]:
        """For each text its masks, and for each mask the likeliest words with their probabilities.

        Args:
            texts: each with one mask or several. Of several each is filled by itself, while the others stay masks: the words
                that are likeliest together are not searched for, and the likeliest of each need not go together.
            top: how many words for each mask; 5 if absent, or of `targets` all.
            targets: words to choose from, in place of the whole vocabulary. Each is one piece of it. Their probabilities are what
                they are among all words, and do not add up to 1.

        The softmax is computed in float32, or in float64 if the model is.

        Raises InputError for texts that are no sequence of strings, for one that is empty, has no mask or is longer than the
        model takes (none is cut, for the mask might be lost), for a number of words that there is not, and for a target that is
        not one piece.
        """
        if isinstance(texts, str) or not isinstance(texts, Sequence):
            kind = "one string" if isinstance(texts, str) else f"a {type(texts).__name__}"
            raise InputError(f"fill() was given {kind}; give a list of texts: [text]")
        return list(self.fill_each(texts, top, targets=targets))

    def fill_each(
        self, texts: Iterable[str], top: int | None = None, *, targets: Sequence[str] | None = None
    ) -> Iterator[FilledText]:
        """What `fill` gives, one after the other, for any number of texts: few of them are in memory at a time.

        Raises InputError as `fill` does: of a text when it comes to that text, of `top` and `targets` at once.
        """
        if isinstance(texts, str):
            raise InputError("fill_each() was given one string; give texts, such as a list of them: [text]")
        candidates = np.arange(len(self.tokenizer.vocabulary), dtype=np.int32) if targets is None else self._ids_of(targets)
        if top is None:
            top = min(DEFAULT_TOP, len(candidates)) if targets is None else len(candidates)
        elif type(top) is not int or not 1 <= top <= len(candidates):
            counted_here = "tokens in the vocabulary" if targets is None else "targets"
            raise InputError(
                f"top is {shown(top)}; expected a whole number from 1 to {len(candidates):,}, the number of {counted_here}"
            )
        return self._filled(texts, candidates, top)

    def _filled(self, texts: Iterable[str], candidates: Int32[np.ndarray, " candidates"], top: int) -> Iterator[FilledText]:
        remaining = iter(texts)
        first = 0
        while some := list(islice(remaining, TEXTS_AT_A_TIME)):
            yield from self._filled_together(some, first, candidates, top)
            first += len(some)

    def _filled_together(
        self, texts: list[str], first: int, candidates: Int32[np.ndarray, " candidates"], top: int
    ) -> Iterator[FilledText]:
        ids, places, spans = self._encoded(texts, first)
        hidden: list[np.ndarray] = [np.empty(0)] * len(texts)
        for number, of_text in self._engine.token_vectors(ids, self._last_layer):
            hidden[number] = of_text[places[number]]
        best = self._likeliest(np.concatenate(hidden), candidates, top)
        tokens = self.tokenizer.vocabulary.tokens
        for text, of_masks in zip(texts, spans, strict=True):
            masks: list[FilledMask] = []
            for span in of_masks:
                words = [
                    FilledWord(tokens[token_id], token_id, probability, _with_token(text, span, tokens[token_id]))
                    for probability, token_id in next(best)
                ]
                masks.append(FilledMask(span, words))
            yield FilledText(text, masks)

    def _encoded(
        self, texts: list[str], first: int
    ) -> tuple[list[Int32[np.ndarray, " _"]], list[np.ndarray], list[list[tuple[int, int]]]]:
        """For each text its ids, the places of the masks among them, and the characters that these are of."""
        mask_token, mask_token_id = self.tokenizer.settings.mask_token, self.tokenizer.mask_token_id
        for index, text in enumerate(texts, start=first):
            _check_text(index, text, mask_token)
        encoded = self.tokenizer(texts, padding=False, return_offsets_mapping=True, return_tensors=None)
        ids = [np.array(row, np.int32) for row in encoded["input_ids"]]
        places = [np.flatnonzero(row == mask_token_id) for row in ids]
        for index, (text, row, of_masks) in enumerate(zip(texts, ids, places, strict=True)):
            if len(row) > self.max_length:
                raise MaskedTextError(
                    first + index,
                    f"({_beginning(text)}) has {counted(len(row), 'token')}, the two at its ends included, and the model takes "
                    f"{self.max_length:,} at most; shorten it",
                )
            if not len(of_masks):
                raise MaskedTextError(
                    first + index,
                    f"({_beginning(text)}) has no {mask_token}, the mask of this model's tokenizer; write it where a word is to "
                    "be found",
                )
        offsets = encoded["offset_mapping"]
        spans = [[tuple(offsets[text][place]) for place in of_masks] for text, of_masks in enumerate(places)]
        return ids, places, spans

    def _likeliest(
        self, hidden: Float[np.ndarray, "masks hidden"], candidates: Int32[np.ndarray, " candidates"], top: int
    ) -> Iterator[list[tuple[float, int]]]:
        """For each mask the `top` largest probabilities, each with the id that it is of."""
        for begin in range(0, len(hidden), MASKS_AT_A_TIME[-1]):
            some = hidden[begin : begin + MASKS_AT_A_TIME[-1]]
            room = next(size for size in MASKS_AT_A_TIME if size >= len(some))
            rows = np.pad(some, ((0, room - len(some)), (0, 0)))
            best = _best(self._head, self._word_table, rows, candidates, top=top)
            probabilities, token_ids = (np.asarray(each)[: len(some)] for each in best)
            if not np.isfinite(probabilities).all():
                raise InputError("the probabilities are not finite; check the checkpoint with `minibert doctor`, or keep float32")
            for row, ids in zip(probabilities.tolist(), token_ids.tolist(), strict=True):
                yield list(zip(row, ids, strict=True))

    def _ids_of(self, targets: Sequence[str]) -> Int32[np.ndarray, " targets"]:
        if isinstance(targets, str) or not isinstance(targets, Sequence):
            kind = "one string" if isinstance(targets, str) else f"of the type {type(targets).__name__}"
            raise InputError(f"targets is {kind}; expected a list of words")
        if not len(targets):
            raise InputError("targets is empty; expected one word at least")
        # Two spellings may be one token.
        return np.array(list(dict.fromkeys(map(self._id_of, targets))), np.int32)

    def _id_of(self, target: str) -> int:
        if not isinstance(target, str):
            raise InputError(f"a target is of the type {type(target).__name__}; expected a word, a string")
        known = self.tokenizer.vocabulary.ids.get(target)
        if known is not None:
            return known
        pieces = self.tokenizer.tokenize(target)
        expected = "expected a word that is one piece of the vocabulary"
        if not pieces:
            raise InputError(f"the target {shown(target)} holds no word; {expected}")
        if pieces == [self.tokenizer.settings.unk_token]:
            raise InputError(f"the target {shown(target)} is not in the vocabulary and becomes {pieces[0]}; {expected}")
        if len(pieces) > 1:
            few = " ".join(pieces[:10]) + (" …" if len(pieces) > 10 else "")
            raise InputError(f"the target {shown(target)} falls into {len(pieces)} pieces, {few}; {expected}")
        return self.tokenizer.convert_tokens_to_ids(pieces[0])


def _check_head(path: Path, overrides: Mapping[str, Any]) -> None:
    """CheckpointError where nothing of the head is stored; of a head that is there in part `load` tells what is missing."""
    stored = read_blueprint(path, **overrides).stored.canonical
    if not any(row.hf in stored for row in HEAD_PARAMETERS[HEAD]):
        raise CheckpointError(
            f"{path} does not hold the head masked_lm, without which no word can be found; give a BERT that was pre-trained with "
            "masked language modelling and kept that head, such as bert-base-uncased, or train one: minibert pretrain"
        )


def _check_text(index: int, text: object, mask_token: str) -> None:
    if not isinstance(text, str):
        raise MaskedTextError(index, f"is of the type {type(text).__name__}; expected a string")
    if not text.strip():
        raise MaskedTextError(index, f"is empty; expected a text with {mask_token} in it")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as problem:
            raise MaskedTextError(
                index, f"has half of a surrogate pair at position {problem.start}; decode it from its bytes as what it is"
            ) from None


def _beginning(text: str) -> str:
    return repr(text if len(text) <= CHARACTERS_SHOWN else f"{text[:CHARACTERS_SHOWN]}…")


def _with_token(text: str, span: tuple[int, int], token: str) -> str:
    """The text with a token in place of the characters of `span`; a ## piece is joined to what stands before it."""
    before, behind = text[: span[0]], text[span[1] :]
    if token.startswith(CONTINUATION) and before.strip():
        return before.rstrip() + token.removeprefix(CONTINUATION) + behind
    return before + token + behind


@partial(jax.jit, static_argnames="top")
def _best(
    head: MaskedLanguageModel,
    word_table: Float[Array, "vocab hidden"],
    hidden: Float[Array, "masks hidden"],
    candidates: Int32[Array, " candidates"],
    *,
    top: int,
) -> tuple[Float[Array, "masks top"], Int32[Array, "masks top"]]:
    """The largest probabilities among the candidates, and their ids; of equal ones the candidate that comes first."""
    logits = head(Encoded(hidden[None], None, word_table))[0]
    probabilities, places = jax.lax.top_k(jax.nn.softmax(logits)[:, candidates], top)
    return probabilities, candidates[places]
