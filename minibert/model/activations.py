"""The activations of the feed-forward layers, by names that say which function they are."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float


@jax.custom_jvp
def gelu_erf(values: Float[Array, "..."]) -> Float[Array, "..."]:
    """The exact GELU of Hendrycks & Gimpel 2016: `x/2 · (1 + erf(x / sqrt(2)))`; Hugging Face's "gelu".

    Its derivative, `Φ(x) + x φ(x)` with the normal distribution's Φ and φ, is computed from x where it is needed: kept from the
    forward pass, erf(x / sqrt(2)) would be one of the largest arrays of a training step.
    """
    return values * 0.5 * (1.0 + jax.lax.erf(values * (1.0 / math.sqrt(2.0))))


@gelu_erf.defjvp
def _gelu_erf_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # The compiler would otherwise find that both passes take the same erf, and keep it.
    values = jax.lax.optimization_barrier(primals[0])
    cumulative = 0.5 * (1.0 + jax.lax.erf(values * (1.0 / math.sqrt(2.0))))
    density = jnp.exp(-0.5 * values * values) * (1.0 / math.sqrt(2.0 * math.pi))
    return gelu_erf(primals[0]), (cumulative + values * density) * tangents[0]


def gelu_tanh(values: Float[Array, "..."]) -> Float[Array, "..."]:
    """`x/2 · (1 + tanh(sqrt(2/π) · (x + 0.044715 x³)))`; "gelu" in google-research/bert (modeling.py), HF's "gelu_new"."""
    inner = math.sqrt(2.0 / math.pi) * (values + 0.044715 * (values * values * values))
    return values * 0.5 * (1.0 + jnp.tanh(inner))


def relu(values: Float[Array, "..."]) -> Float[Array, "..."]:
    """`max(x, 0)`."""
    return jnp.maximum(values, 0.0)


def silu(values: Float[Array, "..."]) -> Float[Array, "..."]:
    """`x / (1 + exp(−x))`."""
    return values * jax.nn.sigmoid(values)


ACTIVATION_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "gelu_erf": gelu_erf,
    "gelu_tanh": gelu_tanh,
    "relu": relu,
    "silu": silu,
}
