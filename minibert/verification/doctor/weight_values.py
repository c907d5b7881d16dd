"""The numbers in the weights: what no trained BERT has in it."""

import statistics
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from minibert.checkpoints.names import HF_BUFFERS, WORD_TABLE
from minibert.config import BertConfig
from minibert.printable import counted, listed
from minibert.verification.doctor.findings import Finding, bad, good, note, warning
from minibert.verification.doctor.patient import NotCheckedError, Patient
from minibert.verification.doctor.tensor_statistics import FLOAT16_LARGEST, NEAR_ZERO, Statistics

ASK = "Get the weights again from where they were published, or ask who made them."

SHARE_OF_LOW_SCALES = 0.25
"""In published BERTs hardly a LayerNorm scale is near 0 or below it."""
LARGEST_USUAL, LARGEST_POSSIBLE = 100.0, 1e4
"""Of the absolute values of any tensor: from the first on it is odd, from the second on broken. MiniLM's largest is 7.9."""
OF_PUBLISHED = "The largest weights of published BERTs are below 30."
IN_FLOAT32 = "Get the weights in float32 or bfloat16."
SMALLEST_SPREAD, LARGEST_SPREAD = 1e-4, 5.0
"""Between these is the standard deviation of every kernel and table: 0.02 before training, 0.01 to 0.1 after it."""
LARGEST_POSSIBLE_SPREAD = 100.0
INITIAL_SPREAD = 0.75, 1.2
"""What a kernel's standard deviation before training may be, as a share of `initializer_range`: 1 of a normal distribution, 0.88
of Google's, which is cut off at two standard deviations; and small kernels are off by chance."""
VECTORS = 10
"""How many biases and LayerNorm scales a layer has."""
LARGEST_SHARE_OF_MEDIAN = 50.0
"""How far a kernel's spread may be from the median of the same kernel in all layers."""
TABLES = (WORD_TABLE, "embeddings.position_embeddings.weight", "embeddings.token_type_embeddings.weight")


def finite(patient: Patient) -> Finding:
    """NaN and infinity."""
    broken = {name: found for name, found in patient.statistics.items() if found.first_broken is not None}
    if not broken:
        values = sum(found.count for found in patient.statistics.values())
        return good(f"All {values:,} values are finite numbers.", values=values)
    nans, infinities = sum(found.nans for found in broken.values()), sum(found.infinities for found in broken.values())
    name, first = next(iter(broken.items()))
    return bad(
        f"{nans:,} NaN and {infinities:,} infinite values in {counted(len(broken), 'tensor')}: {listed([*broken])}; the first in "
        f"{name} at {list(first.first_broken or ())}.",
        ASK,
        nan=nans,
        infinite=infinities,
        names=[*broken],
    )


def magnitude(patient: Patient) -> Finding:
    """The largest value of the model, and values where float16 ends."""
    sizes = {name: found.magnitude for name, found in _with_values(patient).items() if _is_model(name)}
    ordered = sorted(sizes, key=sizes.__getitem__, reverse=True)
    too_large = [name for name in ordered if sizes[name] >= LARGEST_POSSIBLE]
    at_limit = {name: found.at_float16_limit for name, found in patient.statistics.items() if found.at_float16_limit}
    cut_off = (
        f"{counted(sum(at_limit.values()), 'value')} of exactly ±{FLOAT16_LARGEST:,.0f}, the largest number of float16, in "
        f"{listed([*at_limit])}: what was larger was cut off there."
    )
    if too_large:
        return bad(
            f"Values that no BERT has: {_largest_of(too_large, patient)}. {OF_PUBLISHED}{f' {cut_off}' if at_limit else ''}",
            IN_FLOAT32 if at_limit else ASK,
            names=too_large,
            largest=sizes[too_large[0]],
        )
    if at_limit:
        return warning(cut_off, IN_FLOAT32, names=[*at_limit])
    large = [name for name in ordered if sizes[name] >= LARGEST_USUAL]
    if large:
        return warning(
            f"Unusually large values: {_largest_of(large, patient)}. {OF_PUBLISHED}",
            ASK,
            names=large,
            largest=sizes[large[0]],
        )
    if not sizes:
        raise NotCheckedError("the weights have no tensors under BERT's names")
    return good(f"The largest value is ±{sizes[ordered[0]]:.3g}, in {ordered[0]}.", largest=sizes[ordered[0]])


def constant(patient: Patient) -> Finding:
    """Tensors that are one number throughout: what was lost, and what was never trained."""
    found = {name: one for name, one in _with_values(patient).items() if one.is_constant and one.count > 1}
    dead = [name for name, one in found.items() if _carries(name) or (_is_scale(name) and one.smallest == 0.0)]
    if dead:
        return bad(f"{counted(len(dead), 'tensor')} of one number throughout: {_constants(dead, found)}.", ASK, names=dead)
    if not found:
        return good("No tensor is one number throughout.")
    facts: dict[str, Any] = {"names": [*found]}
    layers, untrained = patient.stored_layers, _untrained_layers(patient)
    if untrained and len(untrained) < len(layers):
        which = f"{'Layer' if len(untrained) == 1 else 'Layers'} {listed([str(layer) for layer in untrained], 24)}"
        return bad(
            f"{which} of {len(layers)}, from 0: never trained, or initialised anew. All biases and LayerNorm scales in there are "
            "0 and 1 throughout, which those of the other layers are not.",
            "What the model computes from there on is random; get the weights of all layers.",
            **facts,
        )
    if untrained:
        text = "Every bias and every LayerNorm scale of the layers is one number throughout"
        if _has_initial_kernels(patient):
            return bad(
                f"{text}, and every kernel has the spread of random numbers before training: the model was never trained.",
                "Its results are random; get the trained weights.",
                **facts,
            )
        return warning(
            f"{text}: the encoder looks as if it was never trained.",
            "If so, its results are random; get the trained weights.",
            **facts,
        )
    text = f"{counted(len(found), 'tensor')} of one number throughout, as before training: {_constants([*found], found)}."
    return note(text, **facts)


def layer_norms(patient: Patient) -> Finding:
    """LayerNorm's scales, which are near 1."""
    scales = {name: found for name, found in _with_values(patient).items() if _is_scale(name)}
    if not scales:
        raise NotCheckedError("the weights have no LayerNorm scales")
    low = [name for name, found in scales.items() if found.low > SHARE_OF_LOW_SCALES * found.count]
    swapped = [name for name in low if _is_swapped(name, patient)]
    if low:
        first = scales[(swapped or low)[0]]
        text = (
            f"More than {SHARE_OF_LOW_SCALES:.0%} of the LayerNorm scales are below {NEAR_ZERO:g} in {listed(swapped or low)}; "
            f"the first has the mean {first.mean:.2g}"
        )
        if swapped:
            bias = patient.statistics[_bias_of(swapped[0])]
            return bad(
                f"{text}, and its bias {bias.mean:.2g}: are the two swapped?",
                "Swap the two back where the checkpoint was converted, or get the weights again from where they were published.",
                names=swapped,
            )
        return warning(f"{text}.", ASK, names=low)
    means = [found.mean for found in scales.values()]
    return good(f"{counted(len(scales), 'LayerNorm')} with scales of a mean between {min(means):.2g} and {max(means):.2g}.")


def spread(patient: Patient) -> Finding:
    """The standard deviation of kernels and tables."""
    spreads = {name: found.deviation for name, found in _with_values(patient).items() if _carries(name) and not found.is_constant}
    if not spreads:
        raise NotCheckedError("the weights have no kernels with values")
    by_role = defaultdict(list)
    for name, deviation in spreads.items():
        by_role[_role(name)].append(deviation)
    absurd, impossible = [], []
    for name, deviation in spreads.items():
        ratio = deviation / statistics.median(by_role[_role(name)])
        usual = SMALLEST_SPREAD <= deviation <= LARGEST_SPREAD
        if not usual or not 1.0 / LARGEST_SHARE_OF_MEDIAN <= ratio <= LARGEST_SHARE_OF_MEDIAN:
            absurd.append(f"{name} ({deviation:.2g})")
        # Written so that a standard deviation that is itself too large for a number counts.
        if not deviation <= LARGEST_POSSIBLE_SPREAD:
            impossible.append(f"{name} ({deviation:.2g})")
    if absurd:
        names = impossible or absurd
        return (bad if impossible else warning)(
            f"{counted(len(names), 'kernel')} with an absurd standard deviation: {listed(names)}; trained ones have 0.01 to 0.1.",
            ASK,
            names=names,
        )
    return good(f"Kernels and tables have standard deviations from {min(spreads.values()):.2g} to {max(spreads.values()):.2g}.")


def equal_layers(patient: Patient) -> Finding:
    """Layers that are the same as others."""
    groups = _equal_layers(patient)
    if not groups:
        return good("No two layers are equal.")
    shown = listed([" = ".join(f"layer {layer}" for layer in group) for group in groups])
    return warning(f"Equal in every value: {shown}.", "Deliberate only where a model was made deeper by repeating layers.")


def equal_kernels(patient: Patient) -> Finding:
    """Kernels that are the same as others, of one layer or of several."""
    same_layer = {layer: group[0] for group in _equal_layers(patient) for layer in group}
    groups = defaultdict(list)
    for layer, name, found in _in_layers(patient):
        # Those of equal layers are equal too, which is said already.
        if len(found.shape) == 2 and not found.is_constant and same_layer.get(layer, layer) == layer:
            groups[found.digest].append(name)
    alike = [names for names in groups.values() if len(names) > 1]
    if not alike:
        return good("No two kernels are equal.")
    shown = listed([" = ".join(names[:3]) for names in alike], 3)
    return warning(f"Equal kernels: {shown}.", ASK, names=[" = ".join(names) for names in alike])


def _equal_layers(patient: Patient) -> list[list[int]]:
    layers: defaultdict[int, dict[str, bytes]] = defaultdict(dict)
    for layer, name, found in _in_layers(patient):
        layers[layer][_role(name)] = found.digest
    groups = defaultdict(list)
    for layer in sorted(layers):
        groups[frozenset(layers[layer].items())].append(layer)
    return [group for group in groups.values() if len(group) > 1]


def _with_values(patient: Patient) -> dict[str, Statistics]:
    """The tensors with any finite value at all."""
    found = {name: one for name, one in patient.statistics.items() if one.smallest <= one.largest}
    if not found:
        raise NotCheckedError("the weights have no finite values")
    return found


def _largest_of(names: list[str], patient: Patient) -> str:
    """`pooler.dense.bias (−2e+04 at [3])`, and so on."""
    shown = []
    for name in names:
        found = patient.statistics[name]
        value = found.largest if found.largest == found.magnitude else found.smallest
        shown.append(f"{name} ({value:.3g} at {list(found.furthest or ())})")
    return listed(shown)


def _untrained_layers(patient: Patient) -> list[int]:
    """The layers that have all their vectors, each of them 0 or 1 throughout, as before training."""
    vectors: defaultdict[int, list[Statistics]] = defaultdict(list)
    for layer, _, found in _in_layers(patient):
        if len(found.shape) == 1:
            vectors[layer].append(found)
    return sorted(
        layer
        for layer, those in vectors.items()
        if len(those) >= VECTORS and all(one.is_constant and one.smallest in (0.0, 1.0) for one in those)
    )


def _has_initial_kernels(patient: Patient) -> bool:
    """Whether the kernels of all layers have the spread that the configuration gives to new ones."""
    try:
        initial = patient.config.initializer_range
    except NotCheckedError:
        initial = BertConfig.initializer_range
    least, most = (share * initial for share in INITIAL_SPREAD)
    kernels = [found for _, _, found in _in_layers(patient) if len(found.shape) == 2]
    return bool(kernels) and all(least <= found.deviation <= most for found in kernels)


def _is_swapped(name: str, patient: Patient) -> bool:
    """Whether a scale that has many values near 0 has a bias that is like a scale, near 1, and is itself like a bias."""
    scale, bias = patient.statistics[name], patient.statistics.get(_bias_of(name))
    return (
        bias is not None
        and bias.mean > 0.5
        and bias.low <= SHARE_OF_LOW_SCALES * bias.count
        and abs(scale.mean) < 0.5 * bias.mean
    )


def _bias_of(name: str) -> str:
    return name.removesuffix("weight") + "bias"


def _constants(names: list[str], found: dict[str, Statistics]) -> str:
    return listed([f"{name} ({found[name].smallest:g})" for name in names])


def _carries(name: str) -> bool:
    """Whether a tensor must have been trained to something: a kernel, or the tables of words and positions."""
    if name in TABLES:
        return name != TABLES[-1]
    return name.endswith(".weight") and not _is_scale(name)


def _is_scale(name: str) -> bool:
    return name.endswith("LayerNorm.weight")


def _is_model(name: str) -> bool:
    """Whether a tensor is one of the encoder or the pooler: neither a head's nor a buffer."""
    return name.startswith(("embeddings.", "encoder.", "pooler.")) and name not in HF_BUFFERS


def _in_layers(patient: Patient) -> Iterator[tuple[int, str, Statistics]]:
    """Each tensor of a layer: the layer's number, the name, and what its values are like."""
    return ((_layer_of(name), name, found) for name, found in patient.statistics.items() if name.startswith("encoder.layer."))


def _layer_of(name: str) -> int:
    """3, of `encoder.layer.3.output.dense.weight`; −1 where there is no number."""
    number = name.split(".")[2]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else -1


def _role(name: str) -> str:
    """A tensor's name without the number of its layer."""
    parts = name.split(".")
    return ".".join(parts[3:]) if name.startswith("encoder.layer.") else name
