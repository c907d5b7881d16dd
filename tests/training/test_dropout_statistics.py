"""The masks of dropout: how much they drop, what they leave, and that no two of them have anything to do with each other."""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from small_training import small_model

from minibert.model import attention, embeddings, feed_forward, heads
from minibert.model.dropout import dropout

pytestmark = pytest.mark.long

RATES = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.4}
IDS = np.arange(12 * 16, dtype=np.int32).reshape(12, 16) % 40


class Site(NamedTuple):
    """One call of dropout in a forward pass."""

    module: str
    before: np.ndarray
    after: np.ndarray
    rate: float

    @property
    def mask(self) -> np.ndarray:
        """True where a value was dropped."""
        return (self.after == 0.0) & (self.before != 0.0)


def sites_of(key: Array | None) -> list[Site]:
    """All of a model with a head, in the order in which they are reached; it runs operation by operation."""
    sites: list[Site] = []

    def watched(module: str):
        def watch(values: Array, rate: float, key: Array | None) -> Array:
            result = dropout(values, rate, key)
            sites.append(Site(module, np.asarray(values), np.asarray(result), rate))
            return result

        return watch

    model = small_model("token_classification", hidden_size=32, **RATES)
    with pytest.MonkeyPatch.context() as patch:
        for module in (attention, embeddings, feed_forward, heads):
            patch.setattr(module, "dropout", watched(module.__name__.rpartition(".")[2]))
        model(IDS, dropout_key=key, tap=lambda name, value: value)
    return sites


@pytest.fixture(scope="module")
def sites() -> list[Site]:
    return sites_of(jax.random.key(7))


def test_there_is_a_site_for_each_that_the_paper_names(sites: list[Site]):
    layer = ["attention", "attention", "feed_forward"]
    assert [site.module for site in sites] == ["embeddings", *layer, *layer, "heads"]
    assert [site.rate for site in sites] == [0.2, *[0.4, 0.2, 0.2] * 2, 0.2]


def test_the_share_that_is_dropped_is_the_rate(sites: list[Site]):
    for site in sites:
        # Five standard deviations of a binomial: chance alone fails once in a million.
        bound = 5 * np.sqrt(site.rate * (1 - site.rate) / site.mask.size)
        assert abs(site.mask.mean() - site.rate) < bound, site.module
        assert site.mask.size > 6000


def test_what_is_left_is_scaled_to_the_last_bit_but_one_and_the_mean_stays(sites: list[Site]):
    for site in sites:
        kept = site.before[~site.mask]
        # The compiler multiplies by the inverse where it likes to.
        np.testing.assert_array_max_ulp(site.after[~site.mask], kept / np.float32(1.0 - site.rate), maxulp=1)
        spread = np.sqrt(site.rate / (1 - site.rate) * np.mean(site.before**2) / site.before.size)
        assert abs(site.after.mean() - site.before.mean()) < 5 * spread


def test_no_two_masks_have_anything_in_common(sites: list[Site]):
    for first, second in itertools.combinations([*sites, *sites_of(jax.random.key(8))], 2):
        ours, others = (site.mask.ravel()[:6000] for site in (first, second))
        # A mask that is another's, or its first part, correlates by one.
        assert abs(np.corrcoef(ours, others)[0, 1]) < 5 / np.sqrt(6000)


def test_within_a_mask_texts_tokens_and_features_are_independent():
    keep = np.asarray(dropout(jnp.ones((64, 32, 48)), 0.3, jax.random.key(1))) != 0.0
    for axis in range(3):
        along = np.moveaxis(keep, axis, 0)
        correlation = np.corrcoef(along[:-1].ravel(), along[1:].ravel())[0, 1]
        assert abs(correlation) < 5 / np.sqrt(keep.size)


def test_a_seed_gives_the_same_masks_again(sites: list[Site]):
    for first, again in zip(sites, sites_of(jax.random.key(7)), strict=True):
        np.testing.assert_array_equal(first.mask, again.mask)


def test_without_a_key_every_site_hands_its_values_on():
    assert all(site.after.tobytes() == site.before.tobytes() for site in sites_of(None))
