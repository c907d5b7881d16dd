"""Experiments on a model: capture, edit and patch any intermediate, and take gradients with respect to it.

Everything works on the names of `minibert.model.tap`, on a `Bert` or a `BertWithHeads`, in one compiled program for all edits of
the same kind; results are NumPy arrays whose axes have names.
"""

from minibert.lab.edits import Edit, add, mean_ablate, replace, scale, zero
from minibert.lab.gradients import Attribution, gradients, integrated_gradients
from minibert.lab.named_array import NamedArray
from minibert.lab.patching import patching_sweep
from minibert.lab.running import Run, run

__all__ = [
    "Attribution",
    "Edit",
    "NamedArray",
    "Run",
    "add",
    "gradients",
    "integrated_gradients",
    "mean_ablate",
    "patching_sweep",
    "replace",
    "run",
    "scale",
    "zero",
]
