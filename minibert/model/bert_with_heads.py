"""`BertWithHeads`: the encoder and the heads of a task, called like `Bert`, with logits besides."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Float

from minibert.config import BertConfig
from minibert.errors import InputError
from minibert.model.bert import Bert
from minibert.model.dropout import split_key
from minibert.model.heads import Encoded, MultipleChoice
from minibert.model.inputs import ChoicesArray, ModelInputs, check_inputs
from minibert.model.tap import Tap, checked, identity, within


class HeadsOutput(NamedTuple):
    """What a forward pass with heads gives: `BertOutput`'s entries, and the logits of every head by its name."""

    logits_by_head: dict[str, Array]
    last_hidden_state: Float[Array, "batch tokens hidden"]
    hidden_states: tuple[Float[Array, "batch tokens hidden"], ...] | None
    pooler_output: Float[Array, "batch hidden"] | None
    attentions: tuple[Float[Array, "batch heads tokens tokens"], ...] | None

    @property
    def logits(self) -> Array:
        """Those of the only head; InputError where there are several, which `logits_by_head` tells apart."""
        if len(self.logits_by_head) != 1:
            raise InputError(
                f"there are several heads, {', '.join(self.logits_by_head)}; take logits_by_head[NAME] of the one you mean"
            )
        return next(iter(self.logits_by_head.values()))


class BertWithHeads(nnx.Module):
    """An encoder with task heads on it: `model(**batch).logits`.

    Args:
        bert: the encoder.
        heads: by their names, which their taps carry as `heads.{name}.…`; `minibert.model.heads` has BERT's, and says what a
            head of your own looks like.

    Raises InputError for a head that needs a pooler where the encoder has none.
    """

    def __init__(self, bert: Bert, heads: Mapping[str, nnx.Module]):
        for name, head in heads.items():
            if getattr(head, "needs_pooler", False) and bert.pooler is None:
                raise InputError(
                    f"the head {name!r} needs a pooler, and this encoder has none; make it with add_pooling_layer=True"
                )
        self.bert = bert
        self.heads = nnx.Dict(dict(heads))

    @property
    def config(self) -> BertConfig:
        """The encoder's."""
        return self.bert.config

    def __call__(
        self,
        input_ids: ChoicesArray,
        attention_mask: ChoicesArray | None = None,
        token_type_ids: ChoicesArray | None = None,
        position_ids: ChoicesArray | None = None,
        *,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        dropout_key: Array | None = None,
        tap: Tap = identity,
    ) -> HeadsOutput:
        """Run encoder and heads on a batch; arguments and errors as of `Bert.__call__`.

        With the head `multiple_choice` every array is [batch, choices, tokens], and the encoder's outputs are those of
        batch · choices texts.
        """
        inputs, choices = self.checked_inputs(input_ids, attention_mask, token_type_ids, position_ids)
        if tap is not identity:
            return self.forward(
                inputs,
                choices,
                output_hidden_states=output_hidden_states,
                output_attentions=output_attentions,
                dropout_key=dropout_key,
                tap=tap,
            )
        return _compiled(self, inputs, dropout_key, choices, output_hidden_states, output_attentions)

    def checked_inputs(
        self,
        input_ids: ChoicesArray,
        attention_mask: ChoicesArray | None = None,
        token_type_ids: ChoicesArray | None = None,
        position_ids: ChoicesArray | None = None,
    ) -> tuple[ModelInputs, int]:
        """What `forward` takes: the batch as [texts, tokens], and how many of its texts are one question's, 0 for none."""
        given: list[Any] = [input_ids, attention_mask, token_type_ids, position_ids]
        choices = 0
        if any(isinstance(head, MultipleChoice) for head in self.heads.values()):
            choices, given = _without_choices(given)
        return check_inputs(self.config, *given), choices

    def forward(
        self,
        inputs: ModelInputs,
        choices: int = 0,
        *,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        dropout_key: Array | None = None,
        tap: Tap = identity,
    ) -> HeadsOutput:
        """The pure function behind `__call__`: no checks, no compilation; `choices` texts are one question's, if not 0."""
        tap = checked(tap)
        bert_key, *head_keys = split_key(dropout_key, 1 + len(self.heads))
        encoded = self.bert.forward(
            *inputs, output_hidden_states=output_hidden_states, output_attentions=output_attentions, dropout_key=bert_key, tap=tap
        )
        for_heads = Encoded(encoded.last_hidden_state, encoded.pooler_output, self.bert.embeddings.word[...])
        logits: dict[str, Array] = {}
        for (name, head), key in zip(self.heads.items(), head_keys, strict=True):
            with jax.named_scope(f"heads.{name}"):
                of_head = head(for_heads, tap=within(tap, f"heads.{name}"), dropout_key=key)
            logits[name] = of_head.reshape(-1, choices) if isinstance(head, MultipleChoice) else of_head
        return HeadsOutput(logits, encoded.last_hidden_state, encoded.hidden_states, encoded.pooler_output, encoded.attentions)


def _without_choices(arrays: list[Any]) -> tuple[int, list[Any]]:
    """How many choices a question has, and the arrays as [batch · choices, tokens]."""
    found = [array if array is None or hasattr(array, "ndim") else np.asarray(array) for array in arrays]
    for name, array in zip(("input_ids", "attention_mask", "token_type_ids", "position_ids"), found, strict=True):
        if array is not None and array.ndim != 3:
            raise InputError(f"{name} has shape {list(array.shape)}; expected [batch, choices, tokens] for multiple choice")
    return found[0].shape[1], [array if array is None else array.reshape(-1, array.shape[-1]) for array in found]


@partial(jax.jit, static_argnames=("choices", "output_hidden_states", "output_attentions"))
def _compiled(
    model: BertWithHeads,
    inputs: ModelInputs,
    dropout_key: Array | None,
    choices: int,
    output_hidden_states: bool,
    output_attentions: bool,
) -> HeadsOutput:
    return model.forward(
        inputs, choices, output_hidden_states=output_hidden_states, output_attentions=output_attentions, dropout_key=dropout_key
    )
