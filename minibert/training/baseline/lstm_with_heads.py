"""`LstmWithHeads`: the baseline with the head of a task, called like `BertWithHeads` and trained by the same loop."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Float

from minibert.config import BertConfig
from minibert.errors import InputError
from minibert.model.bert_with_heads import HeadsOutput
from minibert.model.dropout import split_key
from minibert.model.heads import Encoded, MaskedLanguageModel, MultipleChoice, new_head
from minibert.model.inputs import ModelInputs, TokenArray, check_inputs
from minibert.model.tap import Tap, checked, identity, within
from minibert.training.baseline.lstm import LstmEncoder
from minibert.training.baseline.lstm_config import LstmConfig


class LstmWithHeads(nnx.Module):
    """The encoder with task heads on it: `model(**batch).logits`.

    Args:
        encoder: the LSTMs with their vectors.
        heads: by their names, any of `minibert.model.heads` but two.

    Raises InputError for `masked_lm`, whose words must be as wide as the hidden states, and for `multiple_choice`.
    """

    def __init__(self, encoder: LstmEncoder, heads: Mapping[str, nnx.Module]):
        for name, head in heads.items():
            if isinstance(head, MaskedLanguageModel | MultipleChoice):
                raise InputError(f"the head {name!r} does not go with an LSTM; take one that classifies texts or tokens")
        self.encoder = encoder
        self.heads = nnx.Dict(dict(heads))

    @property
    def config(self) -> BertConfig:
        """What the heads were told of the encoder: its widths and its depth."""
        return self.encoder.config

    @property
    def frozen(self) -> tuple[str, ...]:
        """The paths of the parameters that do not learn: the table of word vectors, unless it `trains_vectors`.

        Their gradient is zero; an optimiser that lets weights decay must leave them out besides.
        """
        return () if self.encoder.lstm_config.trains_vectors else ("encoder.embeddings.word",)

    def __call__(
        self,
        input_ids: TokenArray,
        attention_mask: TokenArray | None = None,
        token_type_ids: TokenArray | None = None,
        *,
        dropout_key: Array | None = None,
        tap: Tap = identity,
    ) -> HeadsOutput:
        """Run encoder and heads on a batch; arguments and errors as of `BertWithHeads.__call__`.

        Taps: embeddings.output, layers.{i}.output [batch, tokens, …], pooler.output and those of the heads.

        `hidden_states` and `attentions` of the result are None. Raises InputError besides for padding before a text or inside.
        """
        inputs = check_inputs(self.config, input_ids, attention_mask, token_type_ids)
        _check_padding(inputs.attention_mask)
        if tap is not identity:
            return self.forward(inputs, dropout_key=dropout_key, tap=tap)
        return _compiled(self, inputs, dropout_key)

    def forward(self, inputs: ModelInputs, *, dropout_key: Array | None = None, tap: Tap = identity) -> HeadsOutput:
        """The pure function behind `__call__`: no checks, no compilation. Positions count for nothing here."""
        tap = checked(tap)
        encoder_key, *head_keys = split_key(dropout_key, 1 + len(self.heads))
        ids, mask, types, _ = inputs
        hidden, pooled = self.encoder(ids, mask, types, dropout_key=encoder_key, tap=tap)
        encoded = Encoded(hidden, pooled, self.encoder.embeddings.word[...])
        logits: dict[str, Array] = {}
        for (name, head), key in zip(self.heads.items(), head_keys, strict=True):
            with jax.named_scope(f"heads.{name}"):
                logits[name] = head(encoded, tap=within(tap, f"heads.{name}"), dropout_key=key)
        return HeadsOutput(logits, hidden, None, pooled, None)


def lstm_with_head(config: LstmConfig, table: Float[np.ndarray, "vocab width"] | None = None, *, rngs: nnx.Rngs) -> LstmWithHeads:
    """A new baseline with the head that its configuration names; arguments and errors as of `LstmEncoder`."""
    head = new_head(config.head, config.of_heads(), config.num_labels, config.dropout, rngs=rngs)
    return LstmWithHeads(LstmEncoder(config, table, rngs=rngs), {config.head: head})


def _check_padding(mask: Any) -> None:
    if isinstance(mask, jax.core.Tracer):
        return
    host = np.asarray(mask)
    broken = np.flatnonzero((np.diff(host, axis=1) > 0).any(axis=1))
    if broken.size:
        raise InputError(
            f"attention_mask[{broken[0]}] has padding (0) before a token (1); expected all padding behind the text: "
            "padding_side='right'"
        )


@jax.jit
def _compiled(model: LstmWithHeads, inputs: ModelInputs, dropout_key: Array | None) -> HeadsOutput:
    return model.forward(inputs, dropout_key=dropout_key)
