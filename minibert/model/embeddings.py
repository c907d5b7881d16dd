"""The input representation of section 3 and figure 2 of the BERT paper: word + token type + position, normalised."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float, Integer

from minibert.config import BertConfig
from minibert.model.dropout import dropout
from minibert.model.inputs import AnyArray
from minibert.model.layer_norm import LayerNorm
from minibert.model.numerics import hidden_dtype, normal_parameter
from minibert.model.tap import Tap, identity, tap_rows


class Embeddings(nnx.Module):
    """`LayerNorm((word[id] + token_type[type]) + position[p])`, in this order of addition as both references have it.

    Taps: word, position, token_type, sum, output, each [batch, tokens, hidden].
    """

    def __init__(self, config: BertConfig, *, rngs: nnx.Rngs | None):
        self.config = config
        self.word = normal_parameter((config.vocab_size, config.hidden_size), config, rngs)
        self.position = normal_parameter((config.max_position_embeddings, config.hidden_size), config, rngs)
        self.token_type = normal_parameter((config.type_vocab_size, config.hidden_size), config, rngs)
        self.layer_norm = LayerNorm(config, rngs=rngs)

    def __call__(
        self,
        input_ids: Integer[AnyArray, "batch tokens"],
        token_type_ids: Integer[AnyArray, "batch tokens"],
        position_ids: Integer[AnyArray, "batch tokens"],
        *,
        tap: Tap = identity,
        dropout_key: Array | None = None,
    ) -> Float[Array, "batch*tokens hidden"]:
        """The embedded tokens as rows, batch-major."""
        batch = input_ids.shape[0]
        with jax.named_scope("word"):
            word = tap_rows(tap, "word", self._rows(self.word, input_ids), batch)
        with jax.named_scope("position"):
            position = tap_rows(tap, "position", self._rows(self.position, position_ids), batch)
        with jax.named_scope("token_type"):
            token_type = tap_rows(tap, "token_type", self._rows(self.token_type, token_type_ids), batch)
        with jax.named_scope("sum"):
            total = tap_rows(tap, "sum", (word + token_type) + position, batch)
        with jax.named_scope("output"):
            output = dropout(self.layer_norm(total), self.config.hidden_dropout_prob, dropout_key)
        return tap_rows(tap, "output", output, batch)

    def _rows(self, table: nnx.Param, indices: AnyArray) -> Array:
        # An index outside the table becomes a row of NaN: JAX's default would silently take the nearest row.
        rows = table[...].at[indices.reshape(-1)].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
        return rows.astype(hidden_dtype(self.config))
