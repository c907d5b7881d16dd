"""The position-wise feed-forward network (Vaswani et al. 2017, section 3.3) with BERT's GELU, residual and LayerNorm."""

import jax
from flax import nnx
from jax import Array
from jaxtyping import Float

from minibert.config import BertConfig
from minibert.model.activations import ACTIVATION_FUNCTIONS
from minibert.model.dropout import dropout
from minibert.model.layer_norm import LayerNorm
from minibert.model.numerics import Dense
from minibert.model.tap import Tap, identity, tap_rows


class FeedForward(nnx.Module):
    """`LayerNorm(x + activation(x W₁ + b₁) W₂ + b₂)`.

    Taps: intermediate (before the activation) and activation [batch, tokens, intermediate]; projection (before residual and
    LayerNorm) and output [batch, tokens, hidden].
    """

    def __init__(self, config: BertConfig, *, rngs: nnx.Rngs | None):
        self.config = config
        self.intermediate = Dense(config.hidden_size, config.intermediate_size, config, rngs=rngs)
        # The longest sums of all: in halves their rounding is up to 1.5 times torch's on processors with AVX2, in thirds 1.2.
        # Quarters take longer; they serve for sizes that three does not divide, BERT-large's for one.
        parts = 3 if config.intermediate_size % 3 == 0 else 4
        self.projection = Dense(config.intermediate_size, config.hidden_size, config, rngs=rngs, partial_sums=parts)
        self.layer_norm = LayerNorm(config, rngs=rngs)

    def __call__(
        self,
        hidden: Float[Array, "rows hidden"],
        batch: int,
        *,
        tap: Tap = identity,
        dropout_key: Array | None = None,
    ) -> Float[Array, "rows hidden"]:
        """The rows after the two dense layers; `batch` says how many texts the rows belong to."""
        projection = tap_rows(tap, "projection", self._projection(hidden, batch, tap), batch)
        with jax.named_scope("output"):
            projection = dropout(projection, self.config.hidden_dropout_prob, dropout_key)
            return tap_rows(tap, "output", self.layer_norm(projection + hidden), batch)

    def _projection(self, hidden: Array, batch: int, tap: Tap) -> Array:
        """`activation(x W₁ + b₁) W₂ + b₂`."""
        with jax.named_scope("intermediate"):
            intermediate = tap_rows(tap, "intermediate", self.intermediate(hidden), batch)
        with jax.named_scope("activation"):
            activate = ACTIVATION_FUNCTIONS[self.config.hidden_act]
            activation = tap_rows(tap, "activation", activate(intermediate), batch)
        with jax.named_scope("projection"):
            return self.projection(activation)
