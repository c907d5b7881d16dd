"""Experiments on a model: capture, edit and patch any intermediate, and take gradients with respect to it.

Everything works on the names of `minibert.model.tap`, on a `Bert` or a `BertWithHeads`, in one compiled program for all edits of
the same kind; results are NumPy arrays whose axes have names.
"""

from minibert.lab.attention import HeadStatistics, attention_rollout, head_statistics
from minibert.lab.edits import Edit, add, mean_ablate, replace, scale, zero
from minibert.lab.gradients import Attribution, gradients, integrated_gradients
from minibert.lab.lens import Lens, logit_lens
from minibert.lab.low_rank import adapted, merged
from minibert.lab.named_array import NamedArray
from minibert.lab.patching import patching_sweep
from minibert.lab.probes import Probes, linear_probes
from minibert.lab.running import Run, run
from minibert.lab.similarity import cka, cka_of_layers

__all__ = [
    "Attribution",
    "Edit",
    "HeadStatistics",
    "Lens",
    "NamedArray",
    "Probes",
    "Run",
    "adapted",
    "add",
    "attention_rollout",
    "cka",
    "cka_of_layers",
    "gradients",
    "head_statistics",
    "integrated_gradients",
    "linear_probes",
    "logit_lens",
    "mean_ablate",
    "merged",
    "patching_sweep",
    "replace",
    "run",
    "scale",
    "zero",
]
