"""The numbers in the weights: what no trained BERT has in it."""

import statistics
from collections import defaultdict
from typing import Any

from minibert.verification.doctor.findings import Finding, bad, counted, good, listed, note, warning
from minibert.verification.doctor.patient import WORD_TABLE, NotCheckedError, Patient
from minibert.verification.doctor.tensor_statistics import FLOAT16_LARGEST, NEAR_ZERO, Statistics

ASK = "Get the weights again from where they were published, or ask who made them."

SHARE_OF_LOW_SCALES = 0.25
"""In published BERTs hardly a LayerNorm scale is near 0 or below it."""
LARGEST_SCALE = 100.0
SMALLEST_SPREAD, LARGEST_SPREAD = 1e-4, 5.0
"""Between these is the standard deviation of every kernel and table: 0.02 before training, 0.01 to 0.1 after it."""
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
    """The largest value, and values where float16 ends."""
    at_limit = {name: found.at_float16_limit for name, found in patient.statistics.items() if found.at_float16_limit}
    if at_limit:
        return warning(
            f"{counted(sum(at_limit.values()), 'value')} of exactly ±{FLOAT16_LARGEST:,.0f}, the largest number of float16, in "
            f"{listed([*at_limit])}: what was larger was cut off there.",
            "Get the weights in float32 or bfloat16.",
            names=[*at_limit],
        )
    sizes = {name: max(abs(found.smallest), abs(found.largest)) for name, found in _with_values(patient).items()}
    name = max(sizes, key=sizes.__getitem__)
    return good(f"The largest value is ±{sizes[name]:.3g}, in {name}.", largest=sizes[name])


def constant(patient: Patient) -> Finding:
    """Tensors that are one number throughout: what was lost, and what was never trained."""
    found = {name: one for name, one in _with_values(patient).items() if one.is_constant and one.count > 1}
    dead = [name for name, one in found.items() if _carries(name) or (_is_scale(name) and one.smallest == 0.0)]
    if dead:
        return bad(f"{counted(len(dead), 'tensor')} of one number throughout: {_constants(dead, found)}.", ASK, names=dead)
    if not found:
        return good("No tensor is one number throughout.")
    vectors = [name for name, one in patient.statistics.items() if len(one.shape) == 1 and _is_encoder(name)]
    facts: dict[str, Any] = {"names": [*found]}
    if vectors and all(name in found for name in vectors):
        return warning(
            "Every bias and every LayerNorm scale is one number throughout: the encoder looks as if it was never trained.",
            "Its results are random; get the trained weights.",
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
    high = [name for name, found in scales.items() if found.largest > LARGEST_SCALE]
    if low:
        first = scales[low[0]]
        biases = patient.statistics.get(low[0].removesuffix("weight") + "bias")
        swapped = biases is not None and biases.mean > max(first.mean, 0.2)
        hint = f" Its bias has the mean {biases.mean:.2g}: are the two swapped?" if biases is not None and swapped else ""
        return warning(
            f"More than {SHARE_OF_LOW_SCALES:.0%} of the LayerNorm scales are below {NEAR_ZERO:g} in {listed(low)}; the first "
            f"has the mean {first.mean:.2g}.{hint}",
            ASK,
            names=low,
        )
    if high:
        return warning(f"LayerNorm scales above {LARGEST_SCALE:g} in {listed(high)}.", ASK, names=high)
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
    absurd = []
    for name, deviation in spreads.items():
        ratio = deviation / statistics.median(by_role[_role(name)])
        usual = SMALLEST_SPREAD <= deviation <= LARGEST_SPREAD
        if not usual or not 1.0 / LARGEST_SHARE_OF_MEDIAN <= ratio <= LARGEST_SHARE_OF_MEDIAN:
            absurd.append(f"{name} ({deviation:.2g})")
    if absurd:
        return warning(
            f"{counted(len(absurd), 'kernel')} with an absurd standard deviation: {listed(absurd)}; trained ones have "
            "0.01 to 0.1.",
            ASK,
            names=absurd,
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
    for name, found in patient.statistics.items():
        if name.startswith("encoder.layer.") and len(found.shape) == 2 and not found.is_constant:
            layer = _layer_of(name)
            # Those of equal layers are equal too, which is said already.
            if same_layer.get(layer, layer) == layer:
                groups[found.digest].append(name)
    alike = [names for names in groups.values() if len(names) > 1]
    if not alike:
        return good("No two kernels are equal.")
    shown = listed([" = ".join(names[:3]) for names in alike], 3)
    return warning(f"Equal kernels: {shown}.", ASK, names=[" = ".join(names) for names in alike])


def _equal_layers(patient: Patient) -> list[list[int]]:
    layers: defaultdict[int, dict[str, bytes]] = defaultdict(dict)
    for name, found in patient.statistics.items():
        if name.startswith("encoder.layer."):
            layers[_layer_of(name)][_role(name)] = found.digest
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


def _constants(names: list[str], found: dict[str, Statistics]) -> str:
    return listed([f"{name} ({found[name].smallest:g})" for name in names])


def _carries(name: str) -> bool:
    """Whether a tensor must have been trained to something: a kernel, or the tables of words and positions."""
    if name in TABLES:
        return name != TABLES[-1]
    return name.endswith(".weight") and not _is_scale(name)


def _is_scale(name: str) -> bool:
    return name.endswith("LayerNorm.weight")


def _is_encoder(name: str) -> bool:
    return name.startswith(("embeddings.", "encoder."))


def _layer_of(name: str) -> int:
    """3, of `encoder.layer.3.output.dense.weight`; −1 where there is no number."""
    number = name.split(".")[2]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else -1


def _role(name: str) -> str:
    """A tensor's name without the number of its layer."""
    parts = name.split(".")
    return ".".join(parts[3:]) if name.startswith("encoder.layer.") else name
