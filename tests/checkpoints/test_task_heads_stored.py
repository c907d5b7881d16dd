"""Every head against what transformers gave in float64 (tests/goldens/record_heads.py): logits, their tap, and the loss."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from task_batches import CLASSES, SIZES, TASKS, batch_of, labels_of, weight_of

import minibert
from minibert import Bert, BertConfig, BertWithHeads
from minibert.checkpoints.blueprint import parameters_of
from minibert.checkpoints.names import HEAD_PARAMETERS, table_for
from minibert.model.heads import HEADS, new_head
from minibert.training import LOSSES

STORED = Path(__file__).parent.parent / "goldens" / "heads.npz"


def model_of(head: str) -> BertWithHeads:
    """With the weights of task_batches, by the names that they have in transformers."""
    config = BertConfig(**{name: value for name, value in SIZES.items() if name != "num_labels"})
    heads = {name: new_head(name, config, SIZES["num_labels"], 0.1, rngs=nnx.Rngs(0)) for name in HEADS[head]}
    needs_pooler = any(getattr(each, "needs_pooler", False) for each in heads.values())
    model = BertWithHeads(Bert(config, rngs=nnx.Rngs(0), add_pooling_layer=needs_pooler), heads)
    variables = parameters_of(model)
    rows = [(f"bert.{row.ours}", f"bert.{row.hf}", row) for row in table_for(config.num_hidden_layers, pooler=needs_pooler)]
    rows += [(row.ours, row.hf, row) for name in HEADS[head] for row in HEAD_PARAMETERS[name]]
    assert {ours for ours, _, _ in rows} == set(variables)
    for ours, theirs, row in rows:
        shape = variables[ours].get_value().shape
        value = weight_of(theirs, shape[::-1] if row.transposed else shape)
        variables[ours].set_value(jnp.asarray(value.T if row.transposed else value))
    return model


@pytest.mark.parametrize("task", TASKS)
def test_logits_and_loss_are_those_that_were_recorded(task: str):
    stored = np.load(STORED)
    head = task if task in CLASSES else "sequence_classification"
    model, batch = model_of(head), batch_of(task)
    seen = minibert.record(model, batch)
    output = model(**batch)
    labels = labels_of(task, batch["attention_mask"])
    loss = sum(
        float(LOSSES[name](output.logits_by_head[name if name in output.logits_by_head else head], jnp.asarray(each)))
        for name, each in labels.items()
    )
    assert abs(loss / float(stored[f"{task}/loss"]) - 1.0) < 1e-6
    for name in HEADS[head]:
        truth = stored[f"{task}/{name}"]
        np.testing.assert_allclose(output.logits_by_head[name], truth, rtol=0, atol=2e-6 * np.abs(truth).max())
        logits = np.asarray(output.logits_by_head[name])
        np.testing.assert_allclose(seen[f"heads.{name}.logits"].reshape(logits.shape), logits, rtol=0, atol=1e-5)


def test_the_intermediates_of_a_head_are_recorded_by_name():
    model, batch = model_of("masked_lm"), batch_of("masked_lm")
    names = ["heads.masked_lm.dense", "heads.masked_lm.logits", "layers.1.output"]
    trace = minibert.record(model, batch, names)
    assert sorted(trace) == sorted(names) and trace["heads.masked_lm.logits"].shape == (4, 11, 53)
    with pytest.raises(minibert.TraceError, match=r"heads\.masked_lm\.logit is no intermediate"):
        minibert.record(model, batch, ["heads.masked_lm.logit"])
