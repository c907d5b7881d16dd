"""`Bert`: embeddings, encoder and pooler as one model that is called like a function."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Bool, Float, Integer

from minibert.config import BertConfig
from minibert.model.dropout import split_key
from minibert.model.embeddings import Embeddings
from minibert.model.encoder import Encoder
from minibert.model.inputs import AnyArray, ModelInputs, TokenArray, check_inputs
from minibert.model.numerics import hidden_dtype
from minibert.model.pooler import Pooler
from minibert.model.tap import Tap, checked, identity, wants, within


class BertOutput(NamedTuple):
    """What a forward pass gives, under the field's names; what was not asked for, or is not there, is None."""

    last_hidden_state: Float[Array, "batch tokens hidden"]
    hidden_states: tuple[Float[Array, "batch tokens hidden"], ...] | None
    """`num_hidden_layers + 1` entries: the embeddings first, then every layer's output."""
    pooler_output: Float[Array, "batch hidden"] | None
    attentions: tuple[Float[Array, "batch heads tokens tokens"], ...] | None
    """Every layer's attention probabilities."""


class Bert(nnx.Module):
    """A BERT encoder: `model(**batch)` checks the batch, then runs one compiled program a shape.

    Devlin et al. 2018, section 3. Taps: the names in `minibert.model.tap`. A model made by hand, `Bert(config,
    rngs=nnx.Rngs(0))`, has random weights; with `rngs=None` its parameters have shapes and dtypes but no values yet, which
    `minibert.load` takes from a checkpoint.
    """

    def __init__(self, config: BertConfig, *, rngs: nnx.Rngs | None, add_pooling_layer: bool = True):
        self.config = config
        self.embeddings = Embeddings(config, rngs=rngs)
        self.encoder = Encoder(config, rngs=rngs)
        self.pooler = Pooler(config, rngs=rngs) if add_pooling_layer else None

    def __call__(
        self,
        input_ids: TokenArray,
        attention_mask: TokenArray | None = None,
        token_type_ids: TokenArray | None = None,
        position_ids: TokenArray | None = None,
        *,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        dropout_key: Array | None = None,
        tap: Tap = identity,
    ) -> BertOutput:
        """Run the encoder on a batch.

        Args:
            input_ids: token ids, integers [batch, tokens], from 0 to `vocab_size − 1`.
            attention_mask: 1 for real tokens, 0 for padding, [batch, tokens]; all real if absent.
            token_type_ids: 0 for the first text, 1 for the second, [batch, tokens]; zeros if absent.
            position_ids: rows of the position table, [batch, tokens]; 0, 1, 2, … if absent.
            output_hidden_states: also return the embeddings' and every layer's output.
            output_attentions: also return every layer's attention probabilities.
            dropout_key: a `jax.random.key`; with one, dropout is on at the configured rates, without, off.
            tap: a function `(name, value) -> value` that every named intermediate passes through. With one the model runs
                operation by operation unless the caller compiles it: `jax.jit(lambda model, batch: model(**batch, tap=…))`.

        Returns:
            BertOutput of float32 arrays (float64 if `dtype` is).

        Raises:
            InputError: arrays of wrong shape or dtype, an empty batch, an id, token type or position outside its table, more
                tokens than the model has positions, or a tap that hands back something of another shape. Under a caller's own
                `jit` values cannot be seen; there an index outside its table becomes NaN instead, and the mask must hold 0
                and 1 only.
        """
        inputs = check_inputs(self.config, input_ids, attention_mask, token_type_ids, position_ids)
        if tap is not identity:
            return self.forward(
                *inputs,
                output_hidden_states=output_hidden_states,
                output_attentions=output_attentions,
                dropout_key=dropout_key,
                tap=tap,
            )
        return _compiled_forward(self, inputs, dropout_key, output_hidden_states, output_attentions)

    def forward(
        self,
        input_ids: Integer[AnyArray, "batch tokens"],
        attention_mask: Integer[AnyArray, "batch tokens"] | Bool[Array, "batch tokens tokens"],
        token_type_ids: Integer[AnyArray, "batch tokens"],
        position_ids: Integer[AnyArray, "batch tokens"],
        *,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        dropout_key: Array | None = None,
        tap: Tap = identity,
    ) -> BertOutput:
        """The pure function behind `__call__`: no checks, no compilation; arguments and result as there.

        Besides, `attention_mask` may say for every pair of tokens, [batch, attending, attended], whether the one sees the other,
        which lets several texts share a row.
        """
        batch, tokens = input_ids.shape
        tap = checked(tap)
        embeddings_key, encoder_key = split_key(dropout_key, 2)
        attentions: list[Array] = []
        if output_attentions:
            tap = _Watch(tap, attentions)
        with jax.named_scope("embeddings"):
            embedded = self.embeddings(
                input_ids, token_type_ids, position_ids, tap=within(tap, "embeddings"), dropout_key=embeddings_key
            )
        rows = [embedded, *self.encoder(embedded, self.mask_bias(attention_mask), tap=tap, dropout_key=encoder_key)]
        hidden_states = tuple(state.reshape(batch, tokens, -1) for state in rows)
        pooled = None
        if self.pooler is not None:
            with jax.named_scope("pooler"):
                pooled = self.pooler(hidden_states[-1][:, 0], tap=within(tap, "pooler"))
        return BertOutput(
            last_hidden_state=hidden_states[-1],
            hidden_states=hidden_states if output_hidden_states else None,
            pooler_output=pooled,
            attentions=tuple(attentions) if output_attentions else None,
        )

    def mask_bias(
        self, attention_mask: Integer[AnyArray, "batch tokens"] | Bool[Array, "batch tokens tokens"]
    ) -> Float[Array, "batch 1 #tokens tokens"]:
        """What is added to the scores: 0 for keys that a token sees, the dtype's lowest finite number for padding.

        Finite, so that a row whose keys are all masked attends uniformly instead of becoming NaN (HF's rule; Google's
        −10000 leaves such a row nearly unmasked).
        """
        dtype = hidden_dtype(self.config)
        of_pairs = attention_mask if attention_mask.ndim == 3 else attention_mask[:, None, :]
        return jnp.where(of_pairs[:, None] > 0, 0.0, jnp.finfo(dtype).min).astype(dtype)


class _Watch:
    """A tap that keeps every layer's attention probabilities and passes everything on to the user's own tap."""

    def __init__(self, tap: Tap, attentions: list[Array]):
        self.tap = tap
        self.attentions = attentions

    def __call__(self, name: str, value: Array) -> Array:
        value = self.tap(name, value)
        if name.endswith(".attention.probabilities"):
            self.attentions.append(value)
        return value

    def wants(self, name: str) -> bool:
        return name.endswith(".attention.probabilities") or wants(self.tap, name)


# The model itself is the argument: an NNX module is a JAX pytree, flattened in about 0.25 ms for 6 layers.
@partial(jax.jit, static_argnames=("output_hidden_states", "output_attentions"))
def _compiled_forward(
    model: Bert,
    inputs: ModelInputs,
    dropout_key: Array | None,
    output_hidden_states: bool,
    output_attentions: bool,
) -> BertOutput:
    return model.forward(
        *inputs,
        output_hidden_states=output_hidden_states,
        output_attentions=output_attentions,
        dropout_key=dropout_key,
    )
