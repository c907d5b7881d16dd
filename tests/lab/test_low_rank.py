"""Low-rank adaptation: nothing changes at first, only what was added learns, and merged it is a model like any other."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_lab import small_batch, small_model

import minibert
from minibert import BertWithHeads, InputError
from minibert.checkpoints.blueprint import parameters_of
from minibert.lab import adapted, merged, numpy_twin
from minibert.lab.low_rank import LowRankDense
from minibert.model.heads import new_head
from minibert.model.numerics import Dense
from minibert.model.paths import frozen_parameters, path_of
from minibert.training import LOSSES, OptimiserOptions
from minibert.training.loop import fit
from minibert.training.options import TrainingOptions
from minibert.training.rows import Rows
from minibert.training.step import Objective

BATCH = small_batch()


def with_head() -> BertWithHeads:
    bert = small_model(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    head = new_head("sequence_classification", bert.config, 2, 0.0, rngs=nnx.Rngs(1))
    return BertWithHeads(bert, {"sequence_classification": head})


def test_at_first_nothing_changes_not_by_a_bit():
    model = small_model()
    changed = adapted(model)
    np.testing.assert_array_equal(changed(**BATCH).last_hidden_state, model(**BATCH).last_hidden_state)
    layer = changed.encoder.layers[1].attention
    assert isinstance(layer.query, LowRankDense) and isinstance(layer.value, LowRankDense) and isinstance(layer.key, Dense)
    assert isinstance(model.encoder.layers[1].attention.query, Dense)


def trained(model: BertWithHeads) -> tuple[BertWithHeads, list[float]]:
    random = np.random.default_rng(0)
    ids = [random.integers(1, 30, 6).astype(np.int32) for _ in range(32)]
    rows = Rows(ids, [np.zeros(6, np.int32)] * 32, [np.asarray(row[0] > 15, np.int32) for row in ids], per_token=False)
    objective = Objective({"sequence_classification": LOSSES["sequence_classification"]})
    options = TrainingOptions(epochs=13, batch_size=8, devices="1x1", optimiser=OptimiserOptions(learning_rate=3e-2), log_every=1)
    done = fit(model, rows, objective, options)
    return done.model, [record["loss"] for record in done.records if "loss" in record]


@pytest.mark.long
def test_only_what_was_added_and_the_head_learn_and_the_loss_falls():
    model = adapted(with_head(), rank=4, layers=r"attention\.|feed_forward\.")
    learned, losses = trained(model)
    changed = set()
    for (keys, before), after in zip(jax.tree_util.tree_leaves_with_path(model), jax.tree.leaves(learned), strict=True):
        if not np.array_equal(before, after):
            changed.add(path_of(keys))
    assert changed and all(path.startswith("heads.") or path.endswith((".down", ".up")) for path in changed)
    assert len(losses) == 52 and np.mean(losses[-8:]) < 0.5 * np.mean(losses[:8])


def test_merged_it_computes_the_same_and_is_saved_and_loaded(tmp_path: Path):
    model = adapted(with_head(), rank=4, layers=r"attention\.(query|key|value|projection)$|feed_forward\.projection$")
    for _, module in nnx.iter_graph(model):
        if isinstance(module, LowRankDense):
            module.up[...] = jnp.asarray(np.random.default_rng(1).normal(0.0, 0.1, module.up[...].shape), jnp.float32)
    plain = merged(model)
    assert not any(isinstance(module, LowRankDense) for _, module in nnx.iter_graph(plain))
    np.testing.assert_allclose(plain(**BATCH).logits, model(**BATCH).logits, atol=1e-5)
    assert np.abs(np.asarray(plain(**BATCH).logits) - np.asarray(with_head()(**BATCH).logits)).max() > 1e-2
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"[unused{number}]" for number in range(25))]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    minibert.save(plain, minibert.Tokenizer.from_folder(tmp_path), tmp_path / "merged")
    again = minibert.load(tmp_path / "merged", head="sequence_classification")
    np.testing.assert_allclose(again(**BATCH).logits, plain(**BATCH).logits, atol=1e-6)


def test_what_is_adapted_under_heads_that_come_later_does_not_learn_either():
    whole = with_head()
    model = BertWithHeads(adapted(whole.bert, rank=2), dict(whole.heads))
    learned, losses = trained(model)
    assert losses[-1] < losses[0]
    before, after = (parameters_of(each) for each in (model, learned))
    moved = {path for path in before if not np.array_equal(before[path].get_value(), after[path].get_value())}
    assert moved == {path for path in before if path.startswith("heads.") or path.endswith((".down", ".up"))}
    assert not frozen_parameters(merged(model))


def test_adapting_more_leaves_what_is_adapted_alone():
    model = adapted(adapted(small_model(), rank=2), rank=2, layers="dense$")
    assert isinstance(model.pooler.dense, LowRankDense)
    assert isinstance(model.encoder.layers[0].attention.query.dense, Dense)
    heads = adapted(with_head(), rank=2, layers=r"^encoder.*value|^heads\.")
    assert isinstance(heads.heads["sequence_classification"].dense, LowRankDense)
    assert isinstance(heads.bert.encoder.layers[0].attention.value, LowRankDense)
    with pytest.raises(InputError, match="the head 'sequence_classification' was changed, and such heads have no NumPy twin"):
        numpy_twin(heads)


def test_what_fits_nothing_is_refused():
    with pytest.raises(InputError, match="rank is 0; expected a whole number from 1 to 65,536"):
        adapted(small_model(), rank=0)
    with pytest.raises(InputError, match="alpha is nan; expected a finite number above 0"):
        adapted(small_model(), alpha=float("nan"))
    with pytest.raises(InputError, match=r"alpha is 1e\+300 for the rank 8; expected a quotient of the two of at most 1e\+06"):
        adapted(small_model(), alpha=1e300)
    with pytest.raises(InputError, match="is no regular expression"):
        adapted(small_model(), layers="(")
    with pytest.raises(InputError, match=r"are adapted already; merge them first \(lab.merged\)"):
        adapted(adapted(small_model()))
    with pytest.raises(InputError, match="layers is 'querry', which no dense layer's path matches"):
        adapted(small_model(), layers="querry")
