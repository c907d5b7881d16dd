"""How each family of checkpoints spells the names of parameters, and which of its kernels are [in, out].

`canonical` gives Hugging Face's name of today, which the one table in `names` has: without the prefix `bert.`, with LayerNorm's
`weight` and `bias`. A name that is no parameter's stays what it is, with dots for slashes.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from minibert.errors import named
from minibert.printable import counted

_OLD_LAYER_NORM = re.compile(r"(?<=LayerNorm\.)(gamma|beta)$")
_LAYER = re.compile(r"\.layer_(?=\d+\.)")
_TABLE = re.compile(r"(?<=embeddings\.)(word|position|token_type)_embeddings$")

# Heads in Google's code: run_pretraining.py, run_classifier.py, run_squad.py. Their weights are [out, in].
_GOOGLE_HEADS = {
    "cls.predictions.output_bias": "cls.predictions.bias",
    "cls.seq_relationship.output_weights": "cls.seq_relationship.weight",
    "cls.seq_relationship.output_bias": "cls.seq_relationship.bias",
    "cls.squad.output_weights": "qa_outputs.weight",
    "cls.squad.output_bias": "qa_outputs.bias",
    "output_weights": "classifier.weight",
    "output_bias": "classifier.bias",
}

# What an optimiser of TensorFlow keeps beside each parameter, and by itself.
_SLOTS = re.compile(r"/(adam_[mv]|lamb_[mv]|(Adam|LAMB|AdamWeightDecayOptimizer)(_1)?|Momentum|ExponentialMovingAverage)$")
_COUNTERS = re.compile(r"^(.*/)?(global_step|beta[12]_power|loss_scale|good_steps|current_loss_scale)$")


@dataclass(frozen=True)
class Dialect:
    """One way to spell.

    `canonical` translates a name to the table's, and `spelled` back, for a checkpoint with heads or without; `is_transposed` says
    whether a dense weight of a name is [out, in].
    """

    name: str
    canonical: Callable[[str], str]
    is_transposed: Callable[[str], bool]
    spelled: Callable[[str, bool], str]


def _torch(name: str) -> str:
    return _OLD_LAYER_NORM.sub(_new_layer_norm, name.removeprefix("bert."))


def _google(name: str) -> str:
    """As google-research/bert's modeling.py has them; modules of TensorFlow Hub put `module/` before."""
    dotted = name.removeprefix("module/").replace("/", ".").removeprefix("bert.")
    if dotted in _GOOGLE_HEADS:
        return _GOOGLE_HEADS[dotted]
    dotted = _TABLE.sub(r"\1_embeddings.weight", _LAYER.sub(".layer.", dotted))
    return re.sub(r"\.kernel$", ".weight", _OLD_LAYER_NORM.sub(_new_layer_norm, dotted))


def _flax(name: str) -> str:
    """As transformers' former FlaxBertModel has them."""
    dotted = name.removeprefix("params/").replace("/", ".").removeprefix("bert.")
    return re.sub(r"\.(kernel|embedding|scale)$", ".weight", dotted)


def _new_layer_norm(match: re.Match[str]) -> str:
    return {"gamma": "weight", "beta": "bias"}[match.group()]


def _is_no_kernel(name: str) -> bool:
    return not name.endswith("/kernel")


def _is_of_a_head(name: str) -> bool:
    return not name.startswith(("embeddings.", "encoder.", "pooler."))


def _to_torch(name: str, has_heads: bool) -> str:
    """The encoder of a model with heads is its part `bert`; by itself it needs no prefix."""
    return name if _is_of_a_head(name) or not has_heads else f"bert.{name}"


def _to_google(name: str, has_heads: bool) -> str:
    for google, canonical in _GOOGLE_HEADS.items():
        if name == canonical:
            return google.replace(".", "/")
    spelled = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    spelled = re.sub(r"(?<=_embeddings)\.weight$", "", spelled)
    spelled = re.sub(r"\.weight$", ".kernel", spelled).replace(".layer.", ".layer_").replace(".", "/")
    return spelled if _is_of_a_head(name) else f"bert/{spelled}"


def _to_flax(name: str, has_heads: bool) -> str:
    spelled = name.replace("LayerNorm.weight", "LayerNorm.scale")
    spelled = re.sub(r"(?<=_embeddings)\.weight$", ".embedding", spelled)
    spelled = re.sub(r"\.weight$", ".kernel", spelled).replace(".", "/")
    return spelled if _is_of_a_head(name) or not has_heads else f"bert/{spelled}"


TORCH = Dialect("Hugging Face", _torch, lambda name: True, _to_torch)
GOOGLE = Dialect("Google", _google, _is_no_kernel, _to_google)
FLAX = Dialect("Flax", _flax, _is_no_kernel, _to_flax)


def in_few_words(names: Iterable[str]) -> list[str]:
    """What is no parameter, to be told: of the slots of an optimiser, of which there are two for each, only how many."""
    names = list(names)
    slots = {name for name in names if is_of_an_optimiser(name) and "/" in name}
    others = [named(name) for name in names if name not in slots]
    return [f"{counted(len(slots), 'tensor')} of an optimiser", *others] if slots else others


def is_of_an_optimiser(name: str) -> bool:
    """Whether a tensor of a TensorFlow checkpoint is a slot of an optimiser, a step or a scale of the loss."""
    return bool(_SLOTS.search(name) or _COUNTERS.match(name))
