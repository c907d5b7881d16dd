"""How close predicted numbers are to the true ones (SciPy)."""

import math
import warnings

import numpy as np
from jaxtyping import Float64

from minibert.training.metrics.training_extra import imported


def regression_metrics(truth: Float64[np.ndarray, " texts"], predicted: Float64[np.ndarray, " texts"]) -> dict[str, float]:
    """`pearson` and `spearman`, Pearson's correlation and Spearman's of ranks, and `mean_squared_error`.

    The correlations are left out where there are none: of fewer than two texts, and of constants.
    """
    stats = imported("scipy.stats")
    found: dict[str, float] = {}
    if np.ptp(truth) > 0.0 and np.ptp(predicted) > 0.0:
        with warnings.catch_warnings():
            # Numbers that differ in their last digits only: the result may be NaN, which is asked for below.
            warnings.simplefilter("ignore")
            found["pearson"] = float(stats.pearsonr(truth, predicted).statistic)
            found["spearman"] = float(stats.spearmanr(truth, predicted).statistic)
    found["mean_squared_error"] = float(np.mean((truth - predicted) ** 2))
    return {name: value for name, value in found.items() if math.isfinite(value)}
