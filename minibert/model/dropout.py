"""Dropout (Srivastava et al. 2014), and the random numbers that it takes.

JAX spends a whole block of its generator, Threefry, on every number, and on a CPU makes each round a pass over memory. A
training step then takes a fifth of its time for random numbers. Here a block gives four numbers of 16 bits, all in one pass.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.random import define_prng_impl
from jaxtyping import Bool, Float, Int, UInt32

# Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"; Random123's threefry.h).
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA
FOURS_OF_ROUNDS = 5


def dropout(values: Float[Array, "*shape"], rate: float, key: Array | None) -> Float[Array, "*shape"]:
    """Inverted dropout: zero a share `rate` of the values, scale the rest by 1 / (1 − rate); off without a key."""
    if key is None or rate == 0.0:
        return values
    if rate >= 1.0:
        return jnp.zeros_like(values)
    return jnp.where(kept(key, rate, values.shape), values * (1.0 / (1.0 - rate)), jnp.zeros_like(values))


def kept(key: Array, rate: float, shape: tuple[int, ...]) -> Bool[Array, "*shape"]:
    """True for what stays, each with the probability 1 − rate, which is rounded to 1 / 65,536.

    `key` is one of `jax.random.key`. The numbers are the same on every device, and however an array is spread over devices.
    """
    numbers = _numbers_of_16_bits(key, (*shape[:-1], -(-shape[-1] // 4)))
    return (numbers >= jnp.uint16(round(rate * 65536)))[..., : shape[-1]]


def key_of_part(key: Array, part: Int[Array, ""]) -> Array:
    """A key that gives the `part`th (from 0) of equal parts of an array, along its first axis, what `key` gives it in the whole.

    So it is of all that `kept` draws. Of what `jax.random` draws from it, or of another generator than JAX's usual, each part
    gets its own.
    """
    if jax.random.key_data(key).shape != (2,):
        return jax.random.fold_in(key, part)
    words = jnp.concatenate([jax.random.key_data(key), part[None].astype(jnp.uint32)])
    return jax.random.wrap_key_data(words, impl=_OF_PART)


def split_key(key: Array | None, count: int) -> list[Array | None]:
    """`count` independent dropout keys from one, or as many Nones from None."""
    return [None] * count if key is None else list(jax.random.split(key, count))


def threefry(key: UInt32[Array, "2"], counts: UInt32[Array, "*shape"]) -> tuple[UInt32[Array, "*shape"], UInt32[Array, "*shape"]]:
    """The two words of the blocks that `counts` number, under a key: the cipher of `jax.random`, as one pass."""
    keys = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(PARITY))
    left, right = counts + keys[0], jnp.broadcast_to(keys[1], counts.shape)
    for four in range(FOURS_OF_ROUNDS):
        for rotation in ROTATIONS[four % 2]:
            left = left + right
            right = left ^ ((right << rotation) | (right >> (32 - rotation)))
        left = left + keys[(four + 1) % 3]
        right = right + keys[(four + 2) % 3] + jnp.uint32(four + 1)
    return left, right


def _numbers_of_16_bits(key: Array, shape: tuple[int, ...]) -> Array:
    """Four times as many as the shape says, along the last axis."""
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(key)
    words = jax.random.key_data(key)
    if words.shape not in ((2,), (3,)):
        # Of another generator.
        return jax.random.bits(key, (*shape[:-1], 4 * shape[-1]), jnp.uint16)
    # A part of an array begins where the parts before it end.
    first = words[2] * jnp.uint32(math.prod(shape)) if words.shape == (3,) else jnp.uint32(0)
    counts = jnp.full(shape, first)
    # An axis at a time rather than one range in another shape: so each device makes the numbers of its own rows.
    for axis in range(len(shape)):
        counts = counts + jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(math.prod(shape[axis + 1 :]))
    blocks = threefry(words[:2], counts)
    return jnp.concatenate([(word >> shift).astype(jnp.uint16) for word in blocks for shift in (0, 16)], axis=-1)


def _split_of_part(words: UInt32[Array, "3"], shape: tuple[int, ...]) -> UInt32[Array, "*shape 3"]:
    keys = jax.random.key_data(jax.random.split(jax.random.wrap_key_data(words[:2]), shape))
    return jnp.concatenate([keys, jnp.broadcast_to(words[2], (*shape, 1))], axis=-1)


def _fold_into_part(words: UInt32[Array, "3"], number: Any) -> UInt32[Array, "3"]:
    key = jax.random.fold_in(jax.random.wrap_key_data(words[:2]), number)
    return jnp.concatenate([jax.random.key_data(key), words[2:]])


def _bits_of_part(words: UInt32[Array, "3"], bit_width: int, shape: tuple[int, ...]) -> Array:
    key = jax.random.fold_in(jax.random.wrap_key_data(words[:2]), words[2])
    return jax.random.bits(key, shape, jnp.dtype(f"uint{bit_width}"))


def _seed_of_part(seed: Array) -> UInt32[Array, "3"]:
    return jnp.concatenate([jax.random.key_data(jax.random.key(seed)), jnp.zeros(1, jnp.uint32)])


_OF_PART = define_prng_impl(
    key_shape=(3,),
    seed=_seed_of_part,
    split=_split_of_part,
    random_bits=_bits_of_part,
    fold_in=_fold_into_part,
    name="threefry of a part",
    tag="part",
)
"""Keys of Threefry with a third word, the number of a part, which they hand on to the keys that are made of them."""
