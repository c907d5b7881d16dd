"""The live comparison with transformers on torch: MiniLM within the float32 floor, and random models of many sizes."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from torch_floor import random_batch, random_bert

from minibert import Bert, load, record
from minibert.verification import stored_references
from minibert.verification.measures import real_positions
from minibert.verification.report import BUDGET

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def recorder() -> ModuleType:
    """The script that made the stored references; it imports torch."""
    return importlib.import_module("record_transformers")


@pytest.mark.parametrize(
    "name", ["batch", pytest.param("full_512", marks=pytest.mark.long), "one_token", "pair", "single", "unicode"]
)
def test_minilm_stays_within_the_floor_at_every_output(minilm: Bert, minilm_folder: Path, recorder: ModuleType, name: str):
    from transformers import BertModel

    theirs = BertModel.from_pretrained(minilm_folder)
    reference = next(reference for reference in stored_references("minilm-l6") if reference.path.stem == name)
    batch, kept = reference.inputs, reference.positions
    _, truth = recorder.record_both(theirs, batch)
    floor = recorder.float32_floor(theirs, batch, truth, kept)
    names = recorder.layer_output_names(minilm.config.num_hidden_layers)
    ratios = {}
    for name, values in record(minilm, batch, names).items():
        real = real_positions(name, batch["attention_mask"], values.shape)
        error = np.where(real, np.abs(values - truth[name]), 0.0)
        # Text by text, at the positions that the stored reference keeps; the next test looks at all 512.
        error = error[:, kept] if kept is not None and error.ndim == 3 else error
        ratios[name] = float((error.reshape(len(error), -1).max(axis=1) / floor[name]).max())
    assert list(ratios) == names
    assert max(ratios.values()) <= BUDGET, ratios


def test_over_all_512_positions_no_error_is_beyond_the_budget_of_one_run(minilm: Bert, minilm_folder: Path, recorder: ModuleType):
    from transformers import BertModel

    theirs = BertModel.from_pretrained(minilm_folder)
    batch = next(reference.inputs for reference in stored_references("minilm-l6") if reference.path.stem == "full_512")
    float32, truth = recorder.record_both(theirs, batch)
    names = recorder.layer_output_names(minilm.config.num_hidden_layers)
    ours = record(minilm, batch, names)

    def sizes(values: np.ndarray) -> np.ndarray:
        """The largest and the root mean square of the errors."""
        return np.array([np.abs(values).max(), np.sqrt(np.mean(np.square(values)))])

    ratios = {name: sizes(ours[name] - truth[name]) / sizes(float32[name] - truth[name]) for name in names}
    assert max(ratio.max() for ratio in ratios.values()) <= BUDGET, ratios


@pytest.mark.parametrize("seed", range(20))
def test_a_random_model_gives_transformers_last_hidden_state(tmp_path: Path, seed: int):
    import torch

    random = np.random.default_rng(seed)
    tokens = int(random.integers(1, 12))
    theirs = random_bert(seed, random, tokens)
    theirs.save_pretrained(tmp_path)
    batch = random_batch(theirs, random, int(random.integers(1, 5)), tokens)
    with torch.no_grad():
        expected = theirs(**{name: torch.tensor(array) for name, array in batch.items()})
    output = load(tmp_path)(**batch)
    real = batch["attention_mask"] == 1
    np.testing.assert_allclose(
        np.asarray(output.last_hidden_state)[real], expected.last_hidden_state.numpy()[real], atol=2e-5, rtol=0.0
    )
    np.testing.assert_allclose(output.pooler_output, expected.pooler_output.numpy(), atol=2e-5, rtol=0.0)
