"""The layer strategies by name, and what they compute."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from minibert import InputError
from minibert.features import Layers

STATES = [jnp.full((2, 3), float(index)) + jnp.arange(3) for index in range(7)]


@pytest.mark.parametrize(
    ("choice", "indices", "weights"),
    [
        ("last", (6,), None),
        ("second-to-last", (5,), None),
        ("first", (0,), None),
        (-1, (6,), None),
        ("3", (3,), None),
        ([0, 6], (0, 6), None),
        ("0,6,-1", (0, 6, 6), None),
        ("concat-last-4", (3, 4, 5, 6), None),
        ("sum-last-4", (3, 4, 5, 6), (1.0, 1.0, 1.0, 1.0)),
        ("0.25*-2+0.75*-1", (5, 6), (0.25, 0.75)),
        (Layers((1, 2), (0.5, -0.5)), (1, 2), (0.5, -0.5)),
    ],
)
def test_a_choice_by_name(choice: Any, indices: tuple[int, ...], weights: tuple[float, ...] | None):
    assert Layers.of(choice).within(6) == Layers(indices, weights)


def test_a_list_is_put_one_behind_the_other():
    layers = Layers.of([1, -1]).within(6)
    assert layers.width(3) == 6
    np.testing.assert_array_equal(layers.mix(STATES), np.concatenate([STATES[1], STATES[6]], axis=-1))


def test_the_last_few_are_added_up():
    layers = Layers.of("sum-last-3").within(6)
    assert layers.width(3) == 3
    np.testing.assert_allclose(layers.mix(STATES), STATES[4] + STATES[5] + STATES[6])


def test_a_weighted_sum():
    np.testing.assert_allclose(Layers.of("0.25*0+2*-1").within(6).mix(STATES), 0.25 * STATES[0] + 2 * STATES[6])


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    "choice", ["", "lats", "sum-last-0", "1,", "0.5*", "a*1", "1*2+", [], [1.0], [True], None, True, 1.5, {}]
)
def test_what_is_no_choice_is_refused_with_those_there_are(choice: Any):
    with pytest.raises(InputError, match="layers is .*expected 'last', 'second-to-last'"):
        Layers.of(choice)


@pytest.mark.parametrize("choice", [7, -8, "sum-last-8", [0, 9]])
def test_a_layer_that_the_model_has_not_is_refused(choice: Any):
    with pytest.raises(InputError, match=r"layers asks for hidden state .*; the model has 7"):
        Layers.of(choice).within(6)


def test_weights_must_be_as_many_as_the_layers():
    with pytest.raises(InputError, match="weights .* for 1 hidden states"):
        Layers((1,), (0.5, 0.5)).within(6)


@pytest.mark.parametrize(
    "arguments", [((),), ((1.5,),), ((-1,), (1.0, 2.0)), ((-1,), (float("nan"),)), ((-1,), (float("inf"),)), ((-1,), ("a",))]
)
@pytest.mark.usefixtures("without_shape_checks")
def test_layers_that_are_none_are_refused(arguments: tuple):
    with pytest.raises(InputError, match="layers"):
        Layers(*arguments)


@pytest.mark.parametrize("text", ["nan*-1", "inf*-1+1*-2"])
def test_weights_that_are_no_numbers_are_refused(text: str):
    with pytest.raises(InputError, match="layers has the weights"):
        Layers.of(text)


def test_what_went_into_json_comes_back():
    for layers in (Layers(), Layers((0, -1), (0.25, 0.75))):
        assert Layers.of(layers.to_json()) == layers
