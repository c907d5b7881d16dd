"""How well texts were put into classes, and how well they were given labels of which several may be right (scikit-learn)."""

import numpy as np
from jaxtyping import Bool, Float64, Int64

from minibert.training.metrics.training_extra import imported


def classification_metrics(
    truth: Int64[np.ndarray, " texts"], probabilities: Float64[np.ndarray, "texts labels"]
) -> dict[str, float]:
    """`accuracy`, and the means of `precision`, `recall` and `f1` over the classes (`macro_…`); more for two classes.

    A text's class is the most probable one, the first of equals. The macro means are over the classes that occur in the truth or
    in the predictions, as scikit-learn has it; what would be divided by zero counts as 0. For two classes the second one is the
    positive: `f1`, `matthews` (Matthews' correlation, 0 where it is undefined), and `auc`, the area under the ROC curve, which is
    left out where the truth has one class only.
    """
    sklearn = imported("sklearn.metrics")
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, _ = sklearn.precision_recall_fscore_support(truth, predicted, average="macro", zero_division=0)
    found = {
        "accuracy": sklearn.accuracy_score(truth, predicted),
        "macro_precision": precision,
        "macro_recall": recall,
        "macro_f1": f1,
    }
    if probabilities.shape[1] == 2:
        found["f1"] = sklearn.f1_score(truth, predicted, pos_label=1, average="binary", zero_division=0)
        varied = _has_both(truth == 1) and _has_both(predicted == 1)
        found["matthews"] = sklearn.matthews_corrcoef(truth, predicted) if varied else 0.0
        if _has_both(truth == 1):
            found["auc"] = sklearn.roc_auc_score(truth, probabilities[:, 1])
    return {name: float(value) for name, value in found.items()}


def confusion_matrix(
    truth: Int64[np.ndarray, " texts"], predicted: Int64[np.ndarray, " texts"], num_labels: int
) -> Int64[np.ndarray, "labels labels"]:
    """How many texts of each class (row) were taken for each class (column)."""
    return np.bincount(truth * num_labels + predicted, minlength=num_labels**2).reshape(num_labels, num_labels)


def multi_label_metrics(
    truth: Bool[np.ndarray, "texts labels"], probabilities: Float64[np.ndarray, "texts labels"], threshold: float
) -> dict[str, float]:
    """`micro_f1`, `macro_f1` over all labels, `subset_accuracy` (texts with every label right), and `macro_auc`.

    A label is given where its probability is above `threshold`. `macro_auc` is the mean over the labels that some texts have and
    some have not; left out where there is no such label.
    """
    sklearn = imported("sklearn.metrics")
    # As whole numbers and two columns at least: scikit-learn takes a single column for classes.
    padding = ((0, 0), (0, 1 if truth.shape[1] == 1 else 0))
    given, right = (np.pad(flags.astype(np.int64), padding) for flags in (probabilities > threshold, truth))
    columns = list(range(truth.shape[1]))
    found = {
        f"{average}_f1": sklearn.f1_score(right, given, labels=columns, average=average, zero_division=0)
        for average in ("micro", "macro")
    }
    found["subset_accuracy"] = sklearn.accuracy_score(right, given)
    areas = [
        sklearn.roc_auc_score(truth[:, column], probabilities[:, column]) for column in columns if _has_both(truth[:, column])
    ]
    if areas:
        found["macro_auc"] = np.mean(areas)
    return {name: float(value) for name, value in found.items()}


def _has_both(flags: Bool[np.ndarray, " texts"]) -> bool:
    return bool(flags.any() and not flags.all())
