"""Very many texts, and several devices, with a model small enough for both."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minibert import Features

WORDS = ["the", "bank", "of", "a", "river", "raised", "its", "rates"]

ON_EIGHT_DEVICES = """
import json, sys
import jax
from minibert import Features
assert len(jax.devices()) == 8
texts = json.loads(sys.stdin.read())
features = Features(sys.argv[1])
print(json.dumps({"sentences": features.sentences(texts).tolist(), "one": features.sentences(texts[:1]).tolist(),
                  "words": features.words(texts)[3].vectors.tolist()}))
"""


def some_texts(count: int) -> list[str]:
    generator = np.random.default_rng(0)
    return [" ".join(generator.choice(WORDS, generator.integers(0, 12))) for _ in range(count)]


@pytest.mark.parametrize("count", [0, 1, 10_001])
def test_there_is_a_vector_for_each_text_in_their_order(count: int, tiny: Path):
    features = Features(tiny)
    texts = some_texts(count)
    vectors = features.sentences(texts)
    assert vectors.shape == (count, features.model.config.hidden_size)
    for place in {0, count // 2, count - 1} if count else ():
        np.testing.assert_allclose(vectors[place], features.sentences([texts[place]])[0], atol=1e-5)


@pytest.mark.reference
def test_a_hundred_thousand_and_one_texts(tiny: Path):
    features = Features(tiny)
    few = some_texts(300)
    expected = np.stack([features.sentences([text])[0] for text in few])
    which = np.random.default_rng(1).integers(0, len(few), 100_001)
    found = features.sentences([few[place] for place in which])
    assert len(found) == 100_001
    np.testing.assert_allclose(found, expected[which], atol=1e-5)


@pytest.mark.long
def test_eight_devices_give_what_one_gives(tiny: Path):
    texts = some_texts(200)
    done = subprocess.run(
        [sys.executable, "-c", ON_EIGHT_DEVICES, str(tiny)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=False,
        env={"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    features = Features(tiny)
    np.testing.assert_allclose(found["sentences"], features.sentences(texts), atol=1e-5)
    np.testing.assert_allclose(found["one"], features.sentences(texts[:1]), atol=1e-5)
    np.testing.assert_allclose(found["words"], features.words(texts)[3].vectors, atol=1e-5)
