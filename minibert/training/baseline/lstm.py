"""`LstmEncoder`: static word vectors through bidirectional LSTMs (Hochreiter & Schmidhuber 1997; Graves & Schmidhuber 2005).

    i, f, o = σ(x W + h U + b), g = tanh(x W + h U + b), each with weights of its own
    c = f c + i g,  h = o tanh(c)

from the left and from the right, h from both sides joined for every token. What stands in a text around a word reaches it step by
step, where BERT's attention sees all of it at once.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Bool, Float, Integer

from minibert.config import BertConfig
from minibert.errors import InputError
from minibert.model.dropout import dropout, split_key
from minibert.model.inputs import AnyArray
from minibert.model.numerics import Dense, normal_parameter
from minibert.model.tap import Tap, identity
from minibert.training.baseline.lstm_config import LstmConfig


class LstmOutput(NamedTuple):
    """What the encoder gives; zeros for padding."""

    last_hidden_state: Float[Array, "batch tokens hidden"]
    pooler_output: Float[Array, "batch hidden"]


class LstmEncoder(nnx.Module):
    """Vectors, LSTMs, pooler.

    Args:
        lstm_config: the sizes.
        table: the vector of every token, which `table_for` makes; random ones if None.
        rngs: of the random numbers that all other parameters begin with.

    Raises InputError for a table of another shape than the configuration's.
    """

    def __init__(self, lstm_config: LstmConfig, table: Float[np.ndarray, "vocab width"] | None = None, *, rngs: nnx.Rngs):
        self.lstm_config = lstm_config
        self.config = lstm_config.of_heads()
        self.embeddings = StaticEmbeddings(lstm_config, self.config, table, rngs=rngs)
        widths = [lstm_config.word_width] + [lstm_config.hidden_size] * (lstm_config.num_layers - 1)
        self.layers = nnx.List([_both_directions(width, lstm_config.hidden_size // 2, rngs) for width in widths])
        self.pooler = MeanMaxPooler(self.config, rngs=rngs)

    def __call__(
        self,
        input_ids: Integer[AnyArray, "batch tokens"],
        attention_mask: Integer[AnyArray, "batch tokens"],
        token_type_ids: Integer[AnyArray, "batch tokens"],
        *,
        dropout_key: Array | None = None,
        tap: Tap = identity,
    ) -> LstmOutput:
        """Run it on a batch whose padding, 0 in the mask, stands behind the texts. Without a key nothing is dropped."""
        is_real = jnp.asarray(attention_mask)[:, :, None] > 0
        lengths = is_real.sum(axis=(1, 2))
        with jax.named_scope("embeddings"):
            hidden = tap("embeddings.output", self.embeddings(input_ids, token_type_ids))
        nothing = jnp.zeros((hidden.shape[0], self.lstm_config.hidden_size // 2), hidden.dtype)
        beginning = ((nothing, nothing), (nothing, nothing))
        keys = split_key(dropout_key, len(self.layers))
        for index, (layer, key) in enumerate(zip(self.layers, keys, strict=True)):
            # An accelerator's own default would round float32 operands to TF32 or bfloat16.
            with jax.named_scope(f"layers.{index}"), jax.default_matmul_precision(self.config.precision):
                hidden = dropout(hidden, self.lstm_config.dropout, key)
                states: Any = layer(hidden, initial_carry=beginning, seq_lengths=lengths)
                hidden = tap(f"layers.{index}.output", jnp.where(is_real, states, 0.0))
        with jax.named_scope("pooler"):
            return LstmOutput(hidden, tap("pooler.output", self.pooler(hidden, is_real)))


class StaticEmbeddings(nnx.Module):
    """`word[id] + token_type[type]`: a vector a word, and which of two texts it is from."""

    def __init__(
        self, lstm_config: LstmConfig, config: BertConfig, table: Float[np.ndarray, "vocab width"] | None, *, rngs: nnx.Rngs
    ):
        shape = (lstm_config.vocab_size, lstm_config.word_width)
        if table is not None and table.shape != shape:
            raise InputError(
                f"the table of word vectors is {list(table.shape)}; expected [vocab_size, word_width] = {list(shape)}"
            )
        self.trains_vectors = lstm_config.trains_vectors
        self.word = normal_parameter(shape, config, rngs) if table is None else nnx.Param(jnp.asarray(table, jnp.float32))
        self.token_type = normal_parameter((config.type_vocab_size, lstm_config.word_width), config, rngs)

    def __call__(
        self, input_ids: Integer[AnyArray, "batch tokens"], token_type_ids: Integer[AnyArray, "batch tokens"]
    ) -> Float[Array, "batch tokens width"]:
        """The embedded tokens; NaN for an id outside its table."""
        word = self.word[...] if self.trains_vectors else jax.lax.stop_gradient(self.word[...])
        return _rows(word, input_ids) + _rows(self.token_type[...], token_type_ids)


class MeanMaxPooler(nnx.Module):
    """`tanh([mean x, max x] W + b)` over the tokens of a text, in the place of BERT's pooler, which has [CLS] for it."""

    def __init__(self, config: BertConfig, *, rngs: nnx.Rngs):
        self.dense = Dense(2 * config.hidden_size, config.hidden_size, config, rngs=rngs, partial_sums=8)

    def __call__(
        self, hidden: Float[Array, "batch tokens hidden"], is_real: Bool[Array, "batch tokens 1"]
    ) -> Float[Array, "batch hidden"]:
        """One vector a text."""
        mean = hidden.sum(axis=1) / jnp.maximum(is_real.sum(axis=1), 1)
        # Nothing that an LSTM gives is below −1.
        largest = hidden.max(axis=1, where=is_real, initial=-1.0)
        return jnp.tanh(self.dense(jnp.concatenate([mean, largest], axis=-1)))


def _both_directions(in_features: int, hidden_features: int, rngs: nnx.Rngs) -> nnx.Bidirectional:
    # Without random numbers of its own, which would be state beside the parameters: the first states are given instead.
    forward, backward = (
        nnx.RNN(nnx.OptimizedLSTMCell(in_features, hidden_features, bias_init=_remembering, rngs=rngs), rngs=False)
        for _ in range(2)
    )
    return nnx.Bidirectional(forward, backward, rngs=False)


def _remembering(key: Array, shape: Sequence[int], dtype: Any) -> Float[Array, " gates"]:
    """Biases of zero, and of one for the second gate, so that it forgets little at first (Jozefowicz et al. 2015)."""
    width = shape[0] // 4
    return jnp.zeros(shape, dtype).at[width : 2 * width].set(1.0)


def _rows(table: Float[Array, "rows width"], indices: Integer[AnyArray, "batch tokens"]) -> Float[Array, "batch tokens width"]:
    # JAX's default would take the nearest row for an index outside the table.
    return table.at[indices].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
