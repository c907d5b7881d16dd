"""A model laid out for speed: the same parts, whose sums take fewer passes, for many texts on a core or an accelerator each.

Three things differ from the model that `minibert.load` gives, all of them in rounding only:

- a dense layer sums in one run of terms instead of two to four, and narrow operands meet a kernel that lies as [out, in],
  which processors read faster;
- the feed-forward network is summed over slices of its intermediate values, so that a slice stays in a core's cache between
  its two products;
- LayerNorm works in float32 throughout.

What is lost is the smaller rounding: at single intermediates errors reach 1.7 times torch's own, where the loaded model stays
within 1.5. So proofs use the model as it is loaded, and features of many texts this one.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from minibert.config import BertConfig
from minibert.model.activations import ACTIVATION_FUNCTIONS
from minibert.model.attention import Attention
from minibert.model.bert import Bert
from minibert.model.feed_forward import FeedForward
from minibert.model.layer_norm import LayerNorm
from minibert.model.numerics import Dense, hidden_dtype
from minibert.model.tap import Tap, tap_rows, wants

SCORES_IN_A_CORES_CACHE = 3 << 19
"""Bytes of attention's scores that stay in the cache of a single core."""

# A core works on a batch of its own: two batches side by side take less time than two cores on one after the other, which
# wait for each other at every product.
ONE_CORE_A_PROGRAM: dict[str, bool | str] = {"xla_cpu_multi_thread_eigen": False}
# XLA gives float32 products to one of two libraries. The one for small graphs, its choice, is good at softmax and sums; the
# other's products are up to a third faster, the more so the busier a core's other thread is.
LIBRARY_FOR_SUMS_ONLY: dict[str, bool | str] = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}


def compiler_options(config: BertConfig) -> dict[str, bool | str]:
    """What to give `jax.jit` for a model laid out for speed, where several programs run at once, one on each core."""
    return ONE_CORE_A_PROGRAM | library_options(config)


def library_options(config: BertConfig) -> dict[str, bool | str]:
    """The choice of a library for float32 products, empty where this version of XLA has none."""
    is_of_use = not _is_narrow(config) and _is_known(tuple(LIBRARY_FOR_SUMS_ONLY.items()))
    return LIBRARY_FOR_SUMS_ONLY if is_of_use else {}


@functools.cache
def _is_known(options: tuple[tuple[str, bool | str], ...]) -> bool:
    """Whether this version of XLA takes the options, which are not part of its public interface."""
    try:
        jax.jit(lambda: 0, compiler_options=dict(options)).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def for_throughput(model: Bert) -> Bert:
    """The model laid out for speed. Parameters are shared where they lie as before; `model` stays as it was."""
    fast = jax.tree.map(lambda leaf: leaf, model)
    for _, module in list(nnx.iter_graph(fast)):
        if isinstance(module, Attention):
            module.scores_in_cache = SCORES_IN_A_CORES_CACHE
        elif isinstance(module, LayerNorm):
            module.in_float64_on_cpu = False
        for name, part in list(vars(module).items()) if isinstance(module, nnx.Module) else ():
            if isinstance(part, FeedForward):
                setattr(module, name, SlicedFeedForward(part))
            elif isinstance(part, Dense) and not isinstance(module, FeedForward):
                setattr(module, name, OneSumDense(part))
    return fast


class OneSumDense(nnx.Module):
    """`x W + b` in one run of terms, from a kernel laid out for its dtype."""

    def __init__(self, dense: Dense):
        self.config = dense.config
        self.kernel = _laid_out(dense.kernel[...], dense.config)
        self.bias = nnx.Param(dense.bias[...])

    def __call__(self, hidden: Float[Array, "rows in_features"]) -> Float[Array, "rows out_features"]:
        """The product in the policy's dtypes; the bias is added in float32 or wider."""
        result = _product(hidden, self.kernel[...], self.config)
        return result + self.bias[...].astype(result.dtype)


class SlicedFeedForward(FeedForward):
    """`LayerNorm(x + Σ activation(x W₁ᵢ + b₁ᵢ) W₂ᵢ + b₂)` over slices i, each as wide as x, of the intermediate values.

    The taps are those of `FeedForward`; one that wants the intermediate values gets all slices as one array.
    """

    def __init__(self, whole: FeedForward):
        self.config = whole.config
        self.layer_norm = whole.layer_norm
        slices = max(1, whole.config.intermediate_size // whole.config.hidden_size)
        if whole.config.intermediate_size % slices:
            slices = 1

        def sliced(values: Array, axis: int) -> list[Array]:
            return [values] if slices == 1 else jnp.split(values, slices, axis=axis)

        def kernels(kernel: Array, axis: int) -> list[nnx.Param]:
            return [_laid_out(part, self.config) for part in sliced(kernel, axis)]

        self.intermediate_kernels = nnx.List(kernels(whole.intermediate.kernel[...], 1))
        self.intermediate_biases = nnx.List([nnx.Param(part) for part in sliced(whole.intermediate.bias[...], 0)])
        self.projection_kernels = nnx.List(kernels(whole.projection.kernel[...], 0))
        self.projection_bias = nnx.Param(whole.projection.bias[...])

    def _projection(self, hidden: Array, batch: int, tap: Tap) -> Array:
        activate = ACTIVATION_FUNCTIONS[self.config.hidden_act]
        wide = hidden_dtype(self.config)
        slices = [
            _product(hidden, kernel[...], self.config) + bias[...].astype(wide)
            for kernel, bias in zip(self.intermediate_kernels, self.intermediate_biases, strict=True)
        ]
        slices = _tap_slices(tap, "intermediate", slices, batch)
        slices = _tap_slices(tap, "activation", [activate(part) for part in slices], batch)
        projection = self.projection_bias[...].astype(wide)
        for part, kernel in zip(slices, self.projection_kernels, strict=True):
            projection = projection + _product(part, kernel[...], self.config)
        return projection


def _tap_slices(tap: Tap, name: str, slices: list[Array], batch: int) -> list[Array]:
    if not wants(tap, name):
        return slices
    return jnp.split(tap_rows(tap, name, jnp.concatenate(slices, axis=-1), batch), len(slices), axis=-1)


def _is_narrow(config: BertConfig) -> bool:
    return jnp.finfo(config.dtype).bits < 32


def _laid_out(kernel: Float[Array, "in_features out_features"], config: BertConfig) -> nnx.Param:
    kernel = kernel.astype(config.dtype)
    # A copy, or a compiled program would turn a view of the [in, out] kernel at every call.
    return nnx.Param(jnp.copy(kernel.T) if _is_narrow(config) else kernel)


def _product(
    hidden: Float[Array, "rows in_features"], kernel: Float[Array, "_ _"], config: BertConfig
) -> Float[Array, "rows out_features"]:
    return jax.lax.dot_general(
        hidden.astype(config.dtype),
        kernel,
        (((1,), (1 if _is_narrow(config) else 0,)), ((), ())),
        precision=jax.lax.Precision(config.precision),
        preferred_element_type=hidden_dtype(config),
    )
