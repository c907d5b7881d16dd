"""The optimiser: what decays, what is frozen, how the learning rate goes; and torch's trajectory, live."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from minibert import Bert, BertConfig, BertWithHeads, InputError
from minibert.checkpoints.blueprint import parameters_of
from minibert.checkpoints.names import HEAD_PARAMETERS, table_for
from minibert.model.heads import new_head
from minibert.training import LOSSES, OptimiserOptions, learning_rate, optimiser

CONFIG = BertConfig(
    vocab_size=29,
    hidden_size=12,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=17,
    max_position_embeddings=9,
    initializer_range=0.3,
)


def small_model() -> BertWithHeads:
    head = new_head("sequence_classification", CONFIG, 3, 0.0, rngs=nnx.Rngs(1))
    return BertWithHeads(Bert(CONFIG, rngs=nnx.Rngs(0)), {"sequence_classification": head})


def changes(gradient: float = 1.0, steps: int = 1, **options: Any) -> dict[str, float]:
    """How far each parameter, all ones before, moves with every gradient the same."""
    ones = jax.tree.map(jnp.ones_like, small_model())
    transform = optimiser(ones, 10, OptimiserOptions(**{"schedule": "constant", "warm_up": 0.0, "learning_rate": 0.1} | options))
    state, model = transform.init(ones), ones
    for _ in range(steps):
        updates, state = transform.update(jax.tree.map(lambda leaf: gradient * jnp.ones_like(leaf), ones), state, model)
        model = optax.apply_updates(model, updates)
    return {path: float(1.0 - np.asarray(variable.get_value()).mean()) for path, variable in parameters_of(model).items()}


def test_biases_and_layer_norms_do_not_decay_and_all_else_does():
    moved = changes(gradient=0.0, weight_decay=0.5)
    decayed = {path for path, by in moved.items() if by > 0.0}
    assert decayed == {path for path in moved if not path.endswith("bias") and "layer_norm" not in path}
    assert {round(moved[path], 6) for path in decayed} == {0.05}


def test_a_frozen_encoder_leaves_the_heads_to_learn():
    moved = changes(freeze_encoder=True)
    assert {path for path, by in moved.items() if by > 0.0} == {path for path in moved if path.startswith("heads.")}


def test_frozen_layers_are_the_lowest_with_the_embeddings():
    still = {path for path, by in changes(frozen_layers=2).items() if by == 0.0}
    expected = ("bert.embeddings.", "bert.encoder.layers.0.", "bert.encoder.layers.1.")
    assert still == {path for path in changes() if path.startswith(expected)}


def test_each_layer_learns_slower_than_the_one_above():
    moved = changes(layer_decay=0.5, weight_decay=0.0)
    kernel = "attention.query.kernel"
    names = ["heads.sequence_classification.dense.kernel", *(f"bert.encoder.layers.{layer}.{kernel}" for layer in (2, 1, 0))]
    names += ["bert.embeddings.word"]
    np.testing.assert_allclose([moved[name] for name in names], [0.1, 0.05, 0.025, 0.0125, 0.00625], rtol=1e-4)
    assert moved["bert.pooler.dense.kernel"] == pytest.approx(0.1, rel=1e-4)


def test_gradients_are_shortened_to_their_norm_without_those_of_frozen_parts():
    # Adam's first step has no memory of a size, so the epsilon is made to matter.
    whole = changes(epsilon=1.0, weight_decay=0.0)
    heads = changes(epsilon=1.0, weight_decay=0.0, freeze_encoder=True)
    name = "heads.sequence_classification.dense.kernel"
    sizes = {path: np.asarray(variable.get_value()).size for path, variable in parameters_of(small_model()).items()}
    for moved, count in ((whole, sum(sizes.values())), (heads, sum(sizes[path] for path in sizes if path.startswith("heads.")))):
        gradient = 1.0 / np.sqrt(count)
        assert moved[name] == pytest.approx(0.1 * gradient / (gradient + 1.0), rel=1e-3)


@pytest.mark.parametrize(("schedule", "middle", "end"), [("linear", 0.5, 0.0), ("cosine", 0.5, 0.0), ("constant", 1.0, 1.0)])
def test_the_learning_rate_rises_from_zero_and_falls_as_asked(schedule: str, middle: float, end: float):
    rate = learning_rate(110, OptimiserOptions(learning_rate=1.0, warm_up=10 / 110, schedule=schedule))
    np.testing.assert_allclose([rate(step) for step in (0, 5, 10, 60, 110)], [0.0, 0.5, 1.0, middle, end], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": -1.0}, "learning_rate is -1.0; expected a number from 0"),
        ({"warm_up": 2.0}, "warm_up is 2.0"),
        ({"schedule": "step"}, "schedule is 'step'; expected one of linear, cosine, constant"),
        ({"max_gradient_norm": 0.0}, "max_gradient_norm is 0.0"),
        ({"frozen_layers": True}, "frozen_layers is True"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        OptimiserOptions(**options)


def test_more_frozen_layers_than_there_are_and_no_steps_are_refused():
    with pytest.raises(InputError, match="frozen_layers is 4; the model has 3 layers"):
        optimiser(small_model(), 10, OptimiserOptions(frozen_layers=4))
    with pytest.raises(InputError, match="total_steps is 0"):
        optimiser(small_model(), 0)


@pytest.mark.parametrize("option", [{"epsilon": 0.0}, {"beta1": 1.0}, {"beta2": 1.0}])
def test_what_adam_would_divide_zero_by_is_refused(option: dict[str, float]):
    with pytest.raises(InputError, match=f"{next(iter(option))} is"):
        OptimiserOptions(**option)


@pytest.mark.reference
def test_fifty_steps_follow_torch(tmp_path):
    """torch's AdamW, its clipping and transformers' schedule from the same weights on the same batches: parameters to 1e-4."""
    import torch
    import transformers

    import minibert

    theirs_config = transformers.BertConfig(
        vocab_size=29,
        hidden_size=12,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=17,
        max_position_embeddings=9,
        num_labels=3,
        initializer_range=0.3,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    theirs = transformers.BertForSequenceClassification(theirs_config)
    theirs.save_pretrained(tmp_path)
    theirs.eval()
    steps, options = 50, OptimiserOptions(learning_rate=1e-3, weight_decay=0.1, epsilon=1e-8)
    random = np.random.default_rng(0)
    ids = random.integers(1, 29, (steps, 4, 7)).astype(np.int32)
    labels = random.integers(0, 3, (steps, 4))

    plain = ("bias", "LayerNorm.weight")
    named = list(theirs.named_parameters())
    groups = [
        {"params": [value for name, value in named if not name.endswith(plain)], "weight_decay": 0.1},
        {"params": [value for name, value in named if name.endswith(plain)], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
    schedule = transformers.get_linear_schedule_with_warmup(adam, 5, steps)
    for step in range(steps):
        loss = theirs(input_ids=torch.tensor(ids[step]).long(), labels=torch.tensor(labels[step])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        adam.step()
        schedule.step()
        adam.zero_grad()

    ours = minibert.load(tmp_path, head="sequence_classification")
    transform = optimiser(ours, steps, options)

    @jax.jit
    def step_of(model: Any, state: Any, ids: Any, labels: Any) -> Any:
        def loss_of(model: Any) -> Any:
            return LOSSES["sequence_classification"](model(ids).logits, labels)

        updates, state = transform.update(jax.grad(loss_of)(model), state, model)
        return optax.apply_updates(model, updates), state

    state = transform.init(ours)
    for step in range(steps):
        ours, state = step_of(ours, state, ids[step], labels[step])
    found = parameters_of(ours)
    expected = {name.removeprefix("bert."): value.detach().numpy() for name, value in named}
    rows = [row._replace(ours=f"bert.{row.ours}") for row in table_for(3, pooler=True)]
    for row in [*rows, *HEAD_PARAMETERS["sequence_classification"]]:
        if row.ours.endswith("attention.key.bias"):
            continue  # It changes nothing: its gradient is rounding, which Adam makes whole steps of, on both sides.
        truth = expected[row.hf].T if row.transposed else expected[row.hf]
        error = np.asarray(found[row.ours].get_value()) - truth
        assert np.sqrt(np.mean(error**2)) <= 1e-4 * np.sqrt(np.mean(truth**2)), row.ours
