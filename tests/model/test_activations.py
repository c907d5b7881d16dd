"""The activations against their formulas in float64 SciPy and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from minibert.config import ACTIVATIONS
from minibert.model.activations import ACTIVATION_FUNCTIONS, gelu_erf, gelu_tanh

VALUES = np.linspace(-10.0, 10.0, 4001).astype(np.float32)
FORMULAS = {
    "gelu_erf": lambda x: x / 2 * (1 + erf(x / np.sqrt(2))),
    "gelu_tanh": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
}


def test_every_activation_of_the_configuration_has_a_function():
    assert set(ACTIVATION_FUNCTIONS) == set(ACTIVATIONS) == set(FORMULAS)


@pytest.mark.parametrize("name", FORMULAS)
def test_the_function_follows_its_formula(name: str):
    ours = np.asarray(ACTIVATION_FUNCTIONS[name](jnp.asarray(VALUES)))
    truth = FORMULAS[name](VALUES.astype(np.float64))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, truth, rtol=1e-6, atol=1e-6)


def test_the_two_gelus_differ_by_less_than_a_thousandth_and_yet_differ():
    difference = np.abs(np.asarray(gelu_erf(jnp.asarray(VALUES)) - gelu_tanh(jnp.asarray(VALUES)))).max()
    assert 3e-4 < difference < 1e-3


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("value", [-1e4, -100.0, 0.0, 100.0])
def test_values_and_slopes_far_out_are_finite(name: str, value: float):
    function = ACTIVATION_FUNCTIONS[name]
    assert np.isfinite(function(jnp.float32(value)))
    assert np.isfinite(jax.grad(function)(jnp.float32(value)))


def test_the_derivatives_of_the_exact_gelu_are_the_formulas_own_in_both_modes():
    def formula(x: jax.Array) -> jax.Array:
        return x / 2 * (1 + jax.lax.erf(x / np.sqrt(2)))

    with jax.enable_x64(True):
        values = jnp.asarray([-40.0, -5.0, -1.0, -1e-300, 0.0, 1e-8, 0.5, 3.0, 40.0])
        for derivative in (jax.grad, jax.jacfwd, lambda f: jax.grad(jax.grad(f)), jax.hessian):
            found, expected = (jax.vmap(derivative(function))(values) for function in (gelu_erf, formula))
            np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)
