"""Linear probes: what a linear classifier can read off every layer (Alain & Bengio 2016; Tenney et al. 2019)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from minibert.errors import InputError
from minibert.lab.arguments import check_real, number_above_zero
from minibert.lab.named_array import NamedArray
from minibert.lab.running import Model, inputs_of, run

IGNORED = -100
"""A label that counts for nothing."""


class Probes(NamedTuple):
    """How often a linear classifier is right on texts that it did not see."""

    accuracy: NamedArray
    """[layers], from 0 to 1; the first layer is the embeddings."""
    most_frequent: float
    """How often the most frequent label would be right, of several the best one: what a probe has to be above."""


def linear_probes(
    model: Model,
    batch: Mapping[str, Any],
    labels: Any,
    evaluation: Mapping[str, Any],
    evaluation_labels: Any,
    *,
    strength: float = 1.0,
) -> Probes:
    """Train a logistic regression on each layer's outputs, and ask it about other texts.

    Args:
        model: as `minibert.load` gives it.
        batch, evaluation: texts to learn from, and others.
        labels, evaluation_labels: whole numbers, [batch] for texts, which are read at their first real token, or
            [batch, tokens] for tokens; −100 and padding count for nothing.
        strength: the inverse of the regularisation, scikit-learn's C.

    Raises InputError for labels of another shape or of one class, for evaluation labels that cannot be learned, for hidden
    states that are not finite, and without scikit-learn.
    """
    strength = number_above_zero("strength", strength)
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError:
        raise InputError("probes are made by scikit-learn, which is not there: pip install 'minibert[training]'") from None
    learned, their_labels = _vectors(model, batch, labels, "labels")
    asked, wanted = _vectors(model, evaluation, evaluation_labels, "evaluation_labels")
    kinds, counts = np.unique(their_labels, return_counts=True)
    if len(kinds) < 2:
        raise InputError(f"labels are all {kinds[0]}; expected two classes at least")
    unknown = np.setdiff1d(wanted, kinds)
    if len(unknown):
        raise InputError(f"evaluation_labels has {unknown[0]}, which labels does not have; expected some of {kinds.tolist()}")
    if np.ndim(labels) != np.ndim(evaluation_labels):
        raise InputError("labels and evaluation_labels are of texts and of tokens; expected both of the same")
    accuracy = []
    for vectors, others in zip(learned, asked, strict=True):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
        accuracy.append(probe.fit(vectors, their_labels).score(others, wanted))
    most_frequent = max(float(np.mean(wanted == kind)) for kind in kinds[counts == counts.max()])
    return Probes(NamedArray(np.array(accuracy), ("layers",)), most_frequent)


def _vectors(model: Model, batch: Mapping[str, Any], labels: Any, name: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Of each layer [rows, hidden], and the labels of the rows."""
    mask = np.asarray(inputs_of(model, batch).attention_mask)
    check_real(mask)
    try:
        array = np.asarray(labels)
    except ValueError:
        raise InputError(f"{name} are rows of different lengths; expected an array of whole numbers") from None
    if array.shape not in (mask.shape, mask.shape[:1]) or array.dtype.kind not in "iu":
        raise InputError(
            f"{name} has shape {list(array.shape)} and dtype {array.dtype}; expected whole numbers, {list(mask.shape[:1])} for "
            f"texts or {list(mask.shape)} for tokens"
        )
    if array.ndim == 1:
        by_token = np.full(mask.shape, IGNORED)
        by_token[np.arange(len(mask)), mask.argmax(axis=1)] = array
    else:
        by_token = np.where(mask > 0, array, IGNORED)
    counts = by_token != IGNORED
    if not counts.any():
        raise InputError(f"{name} has no label that counts; all are {IGNORED} or of padding")
    captured = run(model, batch, capture=["embeddings.output", "layers.*.output"]).captured
    layers = [layer.values[counts] for layer in captured.values()]
    if not all(np.isfinite(layer).all() for layer in layers):
        raise InputError("the model's hidden states are not finite for this batch; see minibert doctor")
    return layers, by_token[counts]
