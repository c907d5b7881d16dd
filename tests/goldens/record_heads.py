"""Records what transformers' models with heads give, in float64: logits and loss of every task, into heads.npz.

    python tests/goldens/record_heads.py

Needs the extra `reference`. Weights, batches and labels are those of task_batches.py.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from task_batches import CLASSES, SIZES, TASKS, batch_of, labels_of, weight_of

STORED = Path(__file__).parent / "heads.npz"


def model_of(task: str) -> Any:
    import torch
    import transformers

    problem = {"multi_label": "multi_label_classification", "regression": "regression"}.get(task, "single_label_classification")
    config = transformers.BertConfig(**SIZES | {"problem_type": problem, "attn_implementation": "eager"})
    if task == "question_answering":
        config.num_labels = 2
    model = getattr(transformers, CLASSES.get(task, "BertForSequenceClassification"))(config)
    for name, parameter in model.named_parameters():
        parameter.data = torch.tensor(weight_of(name, tuple(parameter.shape)))
    return model.eval().double()


def recorded(task: str) -> dict[str, np.ndarray]:
    import torch

    batch = batch_of(task)
    labels = labels_of(task, batch["attention_mask"])
    tensors = {name: torch.tensor(array) for name, array in labels.items()}
    given = {name: torch.tensor(array).long() for name, array in batch.items()}
    if task == "pretraining":
        given |= {"labels": tensors["masked_lm"], "next_sentence_label": tensors["next_sentence"]}
    elif task == "question_answering":
        places = tensors["question_answering"]
        given |= {"start_positions": places[:, 0], "end_positions": places[:, 1]}
    else:
        (label,) = tensors.values()
        given["labels"] = label.double() if label.is_floating_point() else label
    with torch.inference_mode():
        output = model_of(task)(**given)
    if task == "pretraining":
        logits = {"masked_lm": output.prediction_logits, "next_sentence": output.seq_relationship_logits}
    elif task == "question_answering":
        logits = {task: torch.stack([output.start_logits, output.end_logits], dim=-1)}
    else:
        logits = {task if task in CLASSES else "sequence_classification": output.logits}
    return {f"{task}/loss": output.loss.numpy()} | {f"{task}/{name}": each.numpy() for name, each in logits.items()}


if __name__ == "__main__":
    values = {name: array for task in TASKS for name, array in recorded(task).items()}
    versions = np.array([f"{name} {version(name)}" for name in ("transformers", "torch")])
    np.savez_compressed(STORED, **values, versions=versions)
    print(f"wrote {len(values)} arrays to {STORED}")
