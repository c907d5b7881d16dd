"""Experiments on a model: capture, edit and patch any intermediate, take gradients with respect to it, and change its parts.

Everything works on the names of `minibert.model.tap`, on a `Bert` or a `BertWithHeads`, in one compiled program for all edits of
the same kind; results are NumPy arrays whose axes have names. A changed model is another model; the one that was given stays.
"""

from minibert.lab.attention import HeadStatistics, attention_rollout, head_statistics
from minibert.lab.edits import Edit, add, mean_ablate, replace, scale, zero
from minibert.lab.gradients import Attribution, gradients, integrated_gradients, value_times_gradient
from minibert.lab.lens import Lens, logit_lens
from minibert.lab.low_rank import adapted, merged
from minibert.lab.named_array import NamedArray
from minibert.lab.patching import patching_sweep
from minibert.lab.probes import Probes, linear_probes
from minibert.lab.running import Run, run
from minibert.lab.similarity import cka, cka_of_layers
from minibert.lab.surgery.before_after import BeforeAfter, before_after
from minibert.lab.surgery.depth import SharedEncoder, with_layers
from minibert.lab.surgery.gated import GatedFeedForward
from minibert.lab.surgery.local import LocalAttention
from minibert.lab.surgery.pruning import PruningReport, pruned, pruning_report
from minibert.lab.surgery.rotary import EmbeddingsWithoutPositions, RotaryAttention
from minibert.lab.surgery.sizes import resized
from minibert.lab.surgery.storing import load, save
from minibert.lab.surgery.swapping import swapped
from minibert.lab.surgery.twins import NumpyPart, numpy_twin

__all__ = [
    "Attribution",
    "BeforeAfter",
    "Edit",
    "EmbeddingsWithoutPositions",
    "GatedFeedForward",
    "HeadStatistics",
    "Lens",
    "LocalAttention",
    "NamedArray",
    "NumpyPart",
    "Probes",
    "PruningReport",
    "RotaryAttention",
    "Run",
    "SharedEncoder",
    "adapted",
    "add",
    "attention_rollout",
    "before_after",
    "cka",
    "cka_of_layers",
    "gradients",
    "head_statistics",
    "integrated_gradients",
    "linear_probes",
    "load",
    "logit_lens",
    "mean_ablate",
    "merged",
    "numpy_twin",
    "patching_sweep",
    "pruned",
    "pruning_report",
    "replace",
    "resized",
    "run",
    "save",
    "scale",
    "swapped",
    "value_times_gradient",
    "with_layers",
    "zero",
]
