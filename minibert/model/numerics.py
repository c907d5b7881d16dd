"""The dtype and precision policy in one place, and the matrix product and dense layer that obey it."""

import contextlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from minibert.config import BertConfig

SHORT_RUN = 32
"""Terms that are not worth a partial sum of their own: their rounding is small whatever the order."""


def hidden_dtype(config: BertConfig) -> jnp.dtype:
    """The dtype of hidden states, statistics, softmax and losses: float32, or float64 when `dtype` is."""
    return jnp.promote_types(config.dtype, jnp.float32)


def product(
    left: Float[Array, "*batch rows terms"], right: Float[Array, "*batch terms columns"], config: BertConfig
) -> Float[Array, "*batch rows columns"]:
    """`left @ right` over the last two axes: operands in `dtype`, accumulated and returned in float32 or wider.

    The precision is always explicit: an accelerator's default would round float32 operands to TF32 or bfloat16.
    """
    return jnp.matmul(
        left.astype(config.dtype),
        right.astype(config.dtype),
        precision=jax.lax.Precision(config.precision),
        preferred_element_type=hidden_dtype(config),
    )


def product_in_parts(
    left: Float[Array, "rows terms"], right: Float[Array, "terms columns"], parts: int, config: BertConfig
) -> Float[Array, "rows columns"]:
    """`left @ right` of two matrices, on a CPU summed in `parts` partial sums over runs of terms.

    XLA's products on a CPU add up all terms one after the other, so a long sum is rounded more than torch's; accelerators
    sum in blocks by themselves, and operands of reduced precision round far more than any order of summation. Sums that are
    short, or that the parts do not divide, are taken in one.
    """
    terms = left.shape[-1]
    if (
        parts == 1
        or terms % parts
        or terms < SHORT_RUN * parts
        or jax.default_backend() != "cpu"
        or jnp.finfo(config.dtype).bits < 32
    ):
        return product(left, right, config)
    # One batched product of all parts: slices of `right` would be copied, its reshaping is not.
    partial_sums = product(jnp.stack(jnp.split(left, parts, axis=-1)), right.reshape(parts, terms // parts, -1), config)
    return sum((partial_sums[part] for part in range(1, parts)), start=partial_sums[0])


@contextlib.contextmanager
def widest_cheap_dtype(values: Array) -> Iterator[jnp.dtype]:
    """Within it, the widest dtype in which elementwise work costs little: float64 on a CPU, else that of `values`.

    JAX makes float64 arrays only where they are enabled, hence a context; the values leave it in their own dtype.
    """
    if jax.default_backend() == "cpu":
        with jax.enable_x64(True):
            yield jnp.dtype(jnp.float64)
    else:
        yield values.dtype


def normal_parameter(shape: tuple[int, ...], config: BertConfig, rngs: nnx.Rngs | None, *, is_cut: bool = True) -> nnx.Param:
    """A parameter drawn as BERT's are: a normal of `initializer_range`, cut at two standard deviations if `is_cut`."""
    if rngs is None:
        return _without_values(shape, config)
    normal = jax.nn.initializers.truncated_normal if is_cut else jax.nn.initializers.normal
    draw = normal(config.initializer_range)
    return nnx.Param(draw(rngs.params(), shape, jnp.dtype(config.param_dtype)))


def constant_parameter(value: float, length: int, config: BertConfig, rngs: nnx.Rngs | None) -> nnx.Param:
    """A parameter of one axis that begins as `value` everywhere."""
    if rngs is None:
        return _without_values((length,), config)
    return nnx.Param(jnp.full(length, value, config.param_dtype))


def _without_values(shape: tuple[int, ...], config: BertConfig) -> nnx.Param:
    return nnx.Param(jax.ShapeDtypeStruct(shape, jnp.dtype(config.param_dtype)))


class Dense(nnx.Module):
    """`x W + b`, with kernel [in, out] and bias [out]; on a CPU the sum over `in` is taken in `partial_sums` runs of terms.

    Halves bring the rounding error of float32 down to torch's at a price of 5 to 8 % of a forward pass. `is_cut` is
    `normal_parameter`'s, of the kernel.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        config: BertConfig,
        *,
        rngs: nnx.Rngs | None,
        partial_sums: int = 2,
        is_cut: bool = True,
    ):
        self.config = config
        self.partial_sums = partial_sums
        self.kernel = normal_parameter((in_features, out_features), config, rngs, is_cut=is_cut)
        self.bias = constant_parameter(0.0, out_features, config, rngs)

    def __call__(self, hidden: Float[Array, "rows in_features"]) -> Float[Array, "rows out_features"]:
        """The product in the policy's dtypes; the bias is added in float32 or wider."""
        result = product_in_parts(hidden, self.kernel[...], self.partial_sums, self.config)
        return result + self.bias[...].astype(result.dtype)
