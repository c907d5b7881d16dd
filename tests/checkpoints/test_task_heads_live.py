"""Every head against transformers, live: logits, loss, and the gradient of every parameter, from the folder that it saved."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from task_batches import CLASSES, SIZES, TASKS, batch_of, labels_of

import minibert
from minibert.checkpoints.blueprint import parameters_of
from minibert.checkpoints.names import HEAD_PARAMETERS, table_for
from minibert.model.heads import HEADS
from minibert.training import LOSSES

pytestmark = [pytest.mark.reference, pytest.mark.usefixtures("without_shape_checks")]


def theirs(task: str, folder: Path) -> Any:
    import torch
    import transformers

    torch.manual_seed(0)
    problem = {"multi_label": "multi_label_classification", "regression": "regression"}.get(task, "single_label_classification")
    # The backward pass of torch's other kernel rounds to float32 within.
    config = transformers.BertConfig(**SIZES | {"problem_type": problem, "attn_implementation": "eager"})
    if task == "question_answering":
        config.num_labels = 2
    model = getattr(transformers, CLASSES.get(task, "BertForSequenceClassification"))(config)
    for parameter in model.parameters():  # biases are born as zero
        parameter.data += 0.05 * torch.randn(parameter.shape)
    model.save_pretrained(folder)
    return model.eval().double()


def their_loss(task: str, model: Any, batch: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> Any:
    import torch

    given = {name: torch.tensor(array).long() for name, array in batch.items()}
    tensors = {name: torch.tensor(array) for name, array in labels.items()}
    if task == "pretraining":
        return model(**given, labels=tensors["masked_lm"], next_sentence_label=tensors["next_sentence"])
    if task == "question_answering":
        places = tensors["question_answering"]
        return model(**given, start_positions=places[:, 0], end_positions=places[:, 1])
    (label,) = tensors.values()
    return model(**given, labels=label.double() if label.is_floating_point() else label)


def their_logits(task: str, output: Any) -> dict[str, np.ndarray]:
    if task == "pretraining":
        return {"masked_lm": output.prediction_logits, "next_sentence": output.seq_relationship_logits}
    if task == "question_answering":
        import torch

        return {"question_answering": torch.stack([output.start_logits, output.end_logits], dim=-1)}
    return {task if task in HEADS else "sequence_classification": output.logits}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("task", TASKS)
def test_logits_loss_and_every_gradient_are_transformers(task: str, dtype: str, tmp_path: Path):
    model = theirs(task, tmp_path)
    head = task if task in HEADS else "sequence_classification"
    batch = batch_of(task)
    labels = labels_of(task, batch["attention_mask"])
    expected = their_loss(task, model, batch, labels)
    expected.loss.backward()
    # Of float64 what is left is the rounding of LayerNorm's weights and the like; of float32 the issue's own bounds.
    of_logits, of_loss, of_gradients = {"float32": (2e-6, 1e-6, 1e-5), "float64": (1e-13, 1e-13, 1e-12)}[dtype]

    with jax.enable_x64(dtype == "float64"):
        ours = minibert.load(tmp_path, head=head, dtype=dtype, param_dtype=dtype)
        output = ours(**batch)
        for name, logits in their_logits(task, expected).items():
            truth = logits.detach().numpy()
            np.testing.assert_allclose(output.logits_by_head[name], truth, atol=of_logits * np.abs(truth).max(), rtol=0)

        def loss_of(ours: Any) -> jax.Array:
            logits = ours(**batch).logits_by_head
            return sum(LOSSES[name](logits[name if name in logits else head], jnp.asarray(each)) for name, each in labels.items())

        loss, gradients = jax.value_and_grad(loss_of)(ours)
    assert abs(float(loss) / expected.loss.item() - 1.0) < of_loss
    found = {path: np.array(variable.get_value()) for path, variable in parameters_of(gradients).items()}
    their_gradients = {name.removeprefix("bert."): parameter.grad for name, parameter in model.named_parameters()}
    rows = [row for each in HEADS[head] for row in HEAD_PARAMETERS[each]]
    encoder = table_for(2, pooler="bert.pooler.dense.kernel" in found)
    truths = {}
    for row in [*(row._replace(ours=f"bert.{row.ours}") for row in encoder), *rows]:
        truth = their_gradients[row.hf]
        assert truth is not None, row.hf
        truths[row.ours] = truth.numpy().T if row.transposed else truth.numpy()
    assert truths.keys() == found.keys()
    if head == "question_answering":
        # Its softmax goes over padding too, and torch drops the gradient that the row of [PAD] gets from that (padding_idx).
        found["bert.embeddings.word"][0] = 0.0
    largest = max(map(rms, truths.values()))
    for path, truth in truths.items():
        # A key's bias changes nothing, nor what is added to every choice or token: such gradients are rounding alone.
        bound = of_gradients * (largest if rms(truth) < 1e-12 * largest else rms(truth))
        assert rms(found[path] - truth) <= bound, path


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.mark.parametrize("head", HEADS)
def test_a_saved_head_is_opened_by_transformers_with_the_same_logits(head: str, tiny_vocabulary: Path, tmp_path: Path):
    import torch
    import transformers

    theirs(head, tmp_path / "theirs")
    ours = minibert.load(tmp_path / "theirs", head=head)
    labels = ["red", "green", "blue"] if head.endswith("classification") else None
    minibert.save(ours, minibert.Tokenizer.load(tiny_vocabulary), tmp_path / "ours", labels=labels)
    model, told = getattr(transformers, CLASSES[head]).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not told["missing_keys"] and not told["unexpected_keys"]
    if labels:
        assert model.config.id2label == dict(enumerate(labels))
    batch = batch_of(head)
    with torch.inference_mode():
        expected = model.eval()(**{name: torch.tensor(array).long() for name, array in batch.items()})
    for name, logits in their_logits(head, expected).items():
        np.testing.assert_allclose(ours(**batch).logits_by_head[name], logits, atol=5e-6 * np.abs(logits.numpy()).max())


@pytest.fixture
def tiny_vocabulary(tmp_path: Path) -> Path:
    folder = tmp_path / "vocabulary"
    folder.mkdir()
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*tokens, *(f"[unused{number}]" for number in range(53 - len(tokens)))]) + "\n")
    return folder
