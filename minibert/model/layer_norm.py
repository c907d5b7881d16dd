"""Layer normalisation (Ba et al. 2016), as BERT applies it after every residual sum."""

from contextlib import nullcontext

import jax
from flax import nnx
from jax import Array
from jaxtyping import Float

from minibert.config import BertConfig
from minibert.model.numerics import constant_parameter, hidden_dtype, widest_cheap_dtype


class LayerNorm(nnx.Module):
    """`(x − mean) / sqrt(variance + epsilon) · scale + bias` over the last axis.

    The variance takes two passes, mean((x − mean)²): the one-pass form E[x²] − E[x]² loses its digits where the mean is large
    beside the spread. Statistics are float32 or wider whatever `dtype` is; an epsilon of 1e-12 would be zero in float16.
    On a CPU everything between input and output is float64, which costs about 1 % of a forward pass and takes
    LayerNorm's own rounding out of the result: BERT's few outlying dimensions carry the rounding of a row's scale.
    `in_float64_on_cpu = False` saves that, and with it the second mean, which takes off what rounding left of the first.
    """

    def __init__(self, config: BertConfig, *, rngs: nnx.Rngs | None):
        self.config = config
        self.in_float64_on_cpu = True
        self.scale = constant_parameter(1.0, config.hidden_size, config, rngs)
        self.bias = constant_parameter(0.0, config.hidden_size, config, rngs)

    def __call__(self, hidden: Float[Array, "rows hidden"]) -> Float[Array, "rows hidden"]:
        """Each row normalised by itself."""
        hidden = hidden.astype(hidden_dtype(self.config))
        # Taken off in the hidden states' own dtype first: this makes XLA keep the row instead of computing it thrice.
        rounded_mean = hidden.mean(axis=-1, keepdims=True)
        with widest_cheap_dtype(hidden) if self.in_float64_on_cpu else nullcontext(hidden.dtype) as wide:
            shifted = hidden.astype(wide) - rounded_mean.astype(wide)
            centred = shifted - shifted.mean(axis=-1, keepdims=True) if self.in_float64_on_cpu else shifted
            variance = (centred * centred).mean(axis=-1, keepdims=True)
            normalised = centred * jax.lax.rsqrt(variance + self.config.layer_norm_eps)
            output = normalised * self.scale[...].astype(wide) + self.bias[...].astype(wide)
            return output.astype(hidden.dtype)
