"""The worked examples: each learns, does what its NumPy twin does, and comes back from a file as it was."""

import json
import math
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from changed_models import CHANGES, HEAD, gated, local, rotary, tokenizer_in, trained, with_head
from flax import nnx
from jaxtyping import Float
from small_lab import small_batch, small_model

import minibert
from minibert import BertWithHeads, InputError, lab
from minibert.checkpoints.blueprint import parameters_of
from minibert.model.attention import Attention
from minibert.model.feed_forward import FeedForward
from minibert.model.numerics import Dense

BATCH = small_batch(texts=4, tokens=9)


@pytest.mark.parametrize(
    "change", ["local", *(pytest.param(each, marks=pytest.mark.long) for each in ("rotary", "gated", "shared"))]
)
def test_fifty_steps_make_the_loss_fall_and_what_was_learned_is_verified_saved_and_loaded(change: str, tmp_path: Path):
    learned, losses = trained(CHANGES[change](with_head()))
    assert len(losses) == 50 and np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])

    report = minibert.compare(minibert.record(learned.bert, BATCH), lab.numpy_twin(learned.bert))
    assert report.first_disagreement is None, str(report)
    assert len(report.rows) >= 12 * learned.config.num_hidden_layers

    lab.save(learned, tokenizer_in(tmp_path), tmp_path / "saved")
    again = lab.load(tmp_path / "saved")
    np.testing.assert_array_equal(again(**BATCH).logits, learned(**BATCH).logits)
    assert isinstance(again, BertWithHeads) and list(again.heads) == [HEAD]


def test_the_configuration_names_what_was_swapped(tmp_path: Path):
    lab.save(local(small_model()), tokenizer_in(tmp_path), tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["model_type"] == "minibert_lab"
    assert config["minibert_lab"]["parts"]["layers.2.attention"] == {"class": "LocalAttention", "options": {"window": 2}}


def test_the_model_that_was_given_stays_and_shares_its_parameters():
    model = small_model()
    before = model(**BATCH).last_hidden_state
    changed = rotary(model)
    np.testing.assert_array_equal(model(**BATCH).last_hidden_state, before)
    assert changed.encoder.layers[0].attention.query.kernel[...] is model.encoder.layers[0].attention.query.kernel[...]


def test_rotary_scores_depend_on_distances_only():
    """A text is pushed to the right by padding before it: nothing changes, where learned positions change everything."""
    ids = np.asarray([[5, 7, 9, 11]], np.int32)
    pushed = {"input_ids": np.asarray([[0, 0, 0, 5, 7, 9, 11]]), "attention_mask": np.asarray([[0, 0, 0, 1, 1, 1, 1]])}
    model = rotary(small_model())
    np.testing.assert_allclose(model(**pushed).last_hidden_state[:, 3:], model(input_ids=ids).last_hidden_state, atol=2e-5)
    learned = small_model()
    assert np.abs(learned(**pushed).last_hidden_state[:, 3:] - learned(input_ids=ids).last_hidden_state).max() > 0.1


def test_rotary_positions_tell_orders_apart():
    model = rotary(small_model())
    one, other = (model(input_ids=np.asarray([ids])).last_hidden_state[0, 0] for ids in ([3, 5, 7, 9], [3, 9, 7, 5]))
    assert np.abs(one - other).max() > 1e-3
    without = lab.swapped(small_model(), "embeddings", lab.EmbeddingsWithoutPositions)
    one, other = (without(input_ids=np.asarray([ids])).last_hidden_state[0, 0] for ids in ([3, 5, 7, 9], [3, 9, 7, 5]))
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_gate_that_is_open_changes_nothing_at_first():
    model = small_model()
    changed = lab.swapped(model, "layers.*.feed_forward", lab.GatedFeedForward)
    np.testing.assert_array_equal(changed(**BATCH).last_hidden_state, model(**BATCH).last_hidden_state)
    assert np.abs(gated(model)(**BATCH).last_hidden_state - model(**BATCH).last_hidden_state).max() > 1e-2


def test_nothing_out_of_the_window_is_attended_to_but_the_first():
    found = lab.run(local(small_model()), BATCH, capture="layers.*.attention.probabilities").captured
    for values in found.values():
        far = np.abs(np.subtract.outer(np.arange(9), np.arange(9))) > 2
        far[0, :] = far[:, 0] = False
        assert np.abs(values.values[1:, :, far]).max() == 0.0
        assert values.values[1:, :, 0, 8].min() > 0.0


def test_a_window_over_all_is_attention_as_it_was():
    model = small_model()
    wide = lab.swapped(model, "layers.*.attention", lab.LocalAttention, window=8)
    np.testing.assert_array_equal(wide(**BATCH).last_hidden_state, model(**BATCH).last_hidden_state)


class NumpyHalved(lab.NumpyPart):
    def feed_forward(self, name: str, hidden: np.ndarray, tap: Any) -> np.ndarray:
        return super().feed_forward(name, hidden * self.part.factor, tap)


class Halved(FeedForward):
    """One of the user's own, with an option."""

    numpy_twin = NumpyHalved

    def __init__(self, old: FeedForward, *, rngs: nnx.Rngs, factor: float):
        for name, value in vars(old).items():
            setattr(self, name, value)
        self.factor = factor

    def __call__(self, hidden: Float[jax.Array, "rows hidden"], batch: int, **further: Any) -> Float[jax.Array, "rows hidden"]:
        return super().__call__(hidden * self.factor, batch, **further)


def test_a_part_of_the_users_own_is_verified_and_loaded_by_its_class(tmp_path: Path):
    model = lab.swapped(small_model(), "layers.1.feed_forward", Halved, factor=0.5)
    report = minibert.compare(minibert.record(model, BATCH), lab.numpy_twin(model))
    assert report.first_disagreement is None, str(report)
    lab.save(model, tokenizer_in(tmp_path), tmp_path / "saved")
    again = lab.load(tmp_path / "saved", parts={"Halved": Halved})
    np.testing.assert_array_equal(again(**BATCH).last_hidden_state, model(**BATCH).last_hidden_state)
    with pytest.raises(InputError, match=r"layers.1.feed_forward is of the class Halved, which is none of minibert's parts"):
        lab.load(tmp_path / "saved")


def test_a_twin_that_computes_something_else_is_found():
    model = lab.swapped(small_model(), "layers.1.feed_forward", Halved, factor=0.5)
    twin = lab.numpy_twin(model)
    other = Halved(small_model().encoder.layers[1].feed_forward, rngs=nnx.Rngs(0), factor=0.51)
    twin.parts = {"layers.1.feed_forward": (NumpyHalved, other)}  # type: ignore[attr-defined]
    report = minibert.compare(minibert.record(model, BATCH), twin)
    assert report.first_disagreement is not None
    assert report.first_disagreement.name.startswith("layers.1.feed_forward")


class Plain(Attention):
    def __init__(self, old: Attention, *, rngs: nnx.Rngs):
        for name, value in vars(old).items():
            setattr(self, name, value)


def test_what_cannot_be_swapped_is_refused(without_shape_checks: None):
    model = small_model()
    with pytest.raises(InputError, match=r"where is 'layers.*attn'; this model has the parts .*layers.\*.attention, .*pooler"):
        lab.swapped(model, "layers.*.attn", lab.LocalAttention)
    with pytest.raises(InputError, match="layers.0.attention is of the class LocalAttention already, whose work could be lost"):
        lab.swapped(local(model), "layers.0.attention", lab.RotaryAttention)
    with pytest.raises(InputError, match=r"layers.0.attention.query is of the class LowRankDense already"):
        lab.swapped(lab.adapted(model), "layers.*.attention", lab.RotaryAttention)
    with pytest.raises(InputError, match=r"<lambda> made 3; expected an NNX module"):
        lab.swapped(model, "pooler", lambda old, rngs: 3)
    with pytest.raises(InputError, match=r"<lambda> made Module\(\); expected an NNX module that is called as Pooler is"):
        lab.swapped(model, "pooler", lambda old, rngs: nnx.Module())
    with pytest.raises(InputError, match="window is -1; expected a whole number from 0 up"):
        lab.swapped(model, "layers.*.attention", lab.LocalAttention, window=-1)
    with pytest.raises(InputError, match="base is 0.5; expected a number above 1"):
        lab.swapped(model, "layers.*.attention", lab.RotaryAttention, base=0.5)
    for factor in (object(), math.nan, math.inf, 10**400, "\ud800", {1: 2}):
        with pytest.raises(InputError, match="cannot be stored; give finite numbers, texts, lists of them"):
            lab.swapped(model, "layers.1.feed_forward", Halved, factor=factor)
    for arguments, message in (
        ((None, "layers.0.attention", lab.RotaryAttention), "the model is None; expected one that minibert.load gave"),
        ((model, None, lab.RotaryAttention), "where is None; this model has the parts"),
        ((model, "layers.0.attention", None), "the part is None; expected the class of a module"),
        (
            (model, "layers.0.feed_forward", lab.LocalAttention),
            "replaces a part of the class Attention, and this one is FeedForward",
        ),
        (
            (model, "layers.0.attention", lab.GatedFeedForward),
            "replaces a part of the class FeedForward, and this one is Attention",
        ),
        ((model, "pooler", lab.EmbeddingsWithoutPositions), "cannot be made of the Pooler that is there"),
    ):
        with pytest.raises(InputError, match=message):
            lab.swapped(*cast(Any, arguments))
    with pytest.raises(InputError, match=r"RotaryAttention cannot be made of the Attention .* and the options {'foo': 1}"):
        lab.swapped(model, "layers.0.attention", lab.RotaryAttention, foo=1)
    with pytest.raises(InputError, match="seed is 'a'; expected a whole number from 0 up"):
        lab.swapped(model, "layers.0.feed_forward", lab.GatedFeedForward, seed=cast(Any, "a"))
    with pytest.raises(InputError, match="layers.0.attention is of the class Plain, which has no NumPy twin"):
        lab.numpy_twin(lab.swapped(model, "layers.0.attention", Plain))


class Told(FeedForward):
    def __init__(self, old: FeedForward, *, rngs: nnx.Rngs, **options: Any):
        vars(self).update(vars(old))
        self.told = repr(options)


def test_a_part_is_given_what_a_file_would_give_back(tmp_path: Path):
    given = {"sizes": (1, 2), "array": np.arange(3), "number": np.int64(7), "by": {"a": np.float32(0.5)}}
    model = lab.swapped(small_model(), "layers.0.feed_forward", Told, **given)
    told = model.encoder.layers[0].feed_forward.told
    assert told == repr({"array": [0, 1, 2], "by": {"a": 0.5}, "number": 7, "sizes": [1, 2]})
    lab.save(model, tokenizer_in(tmp_path), tmp_path / "saved")
    assert lab.load(tmp_path / "saved", parts={"Told": Told}).encoder.layers[0].feed_forward.told == told


def with_something_learned(model: Any) -> Any:
    for _, module in nnx.iter_graph(model):
        if hasattr(module, "up"):
            module.up[...] = 0.1 * jax.random.normal(jax.random.key(1), module.up[...].shape)
    return model


@pytest.mark.parametrize("change", ["plain", "rotary", "gated", "pruned"])
def test_what_was_adapted_is_verified_against_its_twin_within_other_parts_too(change: str):
    whole = small_model()
    if change != "plain":
        whole = {"rotary": rotary, "gated": gated, "pruned": lambda model: lab.pruned(model, {1: [2]})}[change](whole)
    layers = r"attention\.(query|projection)$|feed_forward\.|pooler\.dense"
    model = with_something_learned(lab.adapted(whole, rank=2, layers=layers))
    report = minibert.compare(minibert.record(model, BATCH), lab.numpy_twin(model))
    assert report.first_disagreement is None, str(report)
    other = minibert.compare(minibert.record(model, BATCH), lab.numpy_twin(whole))
    assert other.first_disagreement is not None and "query" in other.first_disagreement.name


class Fresh(FeedForward):
    """Of BERT's own kind and names, with values of its own but for the LayerNorm that it took over."""

    def __init__(self, old: FeedForward, *, rngs: nnx.Rngs):
        super().__init__(old.config, rngs=rngs)
        self.layer_norm = old.layer_norm


def test_what_is_new_in_an_adapted_model_learns_under_whatever_name():
    model = lab.swapped(lab.adapted(with_head(), rank=2), "layers.1.feed_forward", Fresh)
    new = {path for path in parameters_of(model) if "layers.1.feed_forward" in path}
    assert new & set(model.frozen) == {path for path in new if "layer_norm" in path}
    in_feed_forward = lab.adapted(with_head(), rank=2, layers="feed_forward")
    assert set(lab.pruned(in_feed_forward, {0: [1]}).frozen) == set(in_feed_forward.frozen)


def test_an_encoder_of_another_depth_is_refused():
    with pytest.raises(
        InputError, match="the new encoder has 4 layers in place of 3; bring layers into order by lab.with_layers"
    ):
        lab.swapped(small_model(), "encoder", lab.SharedEncoder, order=[0, 1, 2, 0])


def test_what_does_not_learn_is_the_same_after_other_changes_and_from_a_file(tmp_path: Path):
    adapted = lab.adapted(with_head(), rank=2)
    fewer = lab.with_layers(adapted, [2, 0, 0])
    for model in (
        fewer,
        lab.with_layers(adapted, [1, 1, 0], shared=True),
        lab.swapped(adapted, "layers.*.feed_forward", lab.GatedFeedForward),
        lab.resized(adapted, vocab_size=31),
    ):
        frozen, paths = set(model.frozen), set(parameters_of(model))
        learning = {path for path in paths - frozen if "gate" not in path}
        assert learning == {path for path in paths if path.startswith("heads.") or path.endswith((".down", ".up"))}
        assert all(path not in frozen for path in paths if "gate" in path)
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        lab.save(model, tokenizer_in(tmp_path), folder)
        assert set(lab.load(folder).frozen) == frozen & paths
    before = {path: np.asarray(variable.get_value()) for path, variable in parameters_of(fewer).items()}
    learned, losses = trained(fewer)
    moved = {path for path, variable in parameters_of(learned).items() if not np.array_equal(variable.get_value(), before[path])}
    assert moved == set(before) - set(fewer.frozen) and losses[-1] < losses[0]


def test_adapters_may_stand_within_a_swapped_part(tmp_path: Path):
    model = lab.adapted(rotary(small_model()), rank=2)
    for _, module in nnx.iter_graph(model):
        if hasattr(module, "up"):
            module.up[...] = jnp.ones_like(module.up[...])
    lab.save(model, tokenizer_in(tmp_path), tmp_path / "saved")
    again = lab.load(tmp_path / "saved")
    np.testing.assert_array_equal(again(**BATCH).last_hidden_state, model(**BATCH).last_hidden_state)
    assert again.frozen == model.frozen
    assert type(lab.merged(again).encoder.layers[0].attention.query) is Dense
