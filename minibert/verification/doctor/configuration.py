"""What the configuration says, and what of it is not as in published BERTs."""

import os
from typing import Any

from minibert.config import FIXED_KEYS, LARGEST, BertConfig
from minibert.errors import ConfigError, shown
from minibert.printable import counted, listed
from minibert.strict_json import read_json_object
from minibert.verification.doctor.findings import Finding, bad, good, in_short, note, warning
from minibert.verification.doctor.patient import CONFIGURATION_REFUSED, NotCheckedError, Patient

MEANING = {
    "gelu_erf": "the exact GELU, x/2 · (1 + erf(x/√2)), as Hugging Face's code computes it",
    "gelu_tanh": "the tanh approximation of GELU, as Google's code computes it since 2019",
    "relu": "max(x, 0)",
    "silu": "x · sigmoid(x)",
}
HEAD_WIDTHS = (32, 64)
"""MiniLM's, and that of every BERT that Google published."""
USUAL_HEAD_WIDTHS = range(8, 129)
"""Beyond them the number of heads is rather a mistake."""
OTHER_MODEL = (
    "If that is not what the checkpoint was saved with, restore its configuration; if it is, minibert does not compute this "
    "model, whatever its weights are: use the library that wrote it."
)
EPSILON = 1e-12
SAME_MEANING = {*LARGEST, "layer_norm_eps"}
"""The keys that both kinds of file have with one meaning; "gelu" is another function in each."""
LARGEST_USUAL_EPSILON = 1e-5
"""What PyTorch and RoBERTa take; beyond it LayerNorm visibly shrinks its output."""


def file(patient: Patient) -> Finding:
    """Whether there is a configuration, and whether it is JSON."""
    try:
        values = patient.config_values
    except NotCheckedError as failure:
        return bad(in_short(failure.problem), "Copy the configuration that this checkpoint was published with into the folder.")
    return good(f"{patient.config_file.name}, {len(values)} keys.", file=patient.config_file.name)


def keys(patient: Patient) -> Finding:
    """Keys that minibert does not know, or that ask for what it does not compute."""
    refused = [
        f"{key} is {shown(patient.config_values[key])}, where minibert computes {FIXED_KEYS[key][0]!r} only"
        for key in patient.refused_keys
    ]
    if refused:
        return bad(f"{listed(refused)}.", OTHER_MODEL, refused=patient.refused_keys)
    unknown = patient.unknown_keys
    if unknown:
        entries = [f"{key} = {shown(patient.config_values[key])}" for key in unknown]
        return bad(
            f"{patient.config_file.name} has keys that minibert does not know and that might change numbers: {listed(entries)}.",
            "If they do not change the numbers, take them out; until then the model does not load.",
            unknown=unknown,
        )
    return good("All are known, and none asks for what minibert does not compute.")


def values(patient: Patient) -> Finding:
    """The sizes, or why the configuration is refused."""
    try:
        config = patient.config
    except NotCheckedError as failure:
        if failure.reason != CONFIGURATION_REFUSED:
            raise
        return bad(f"{patient.config_file.name}: {in_short(failure.problem)}.", OTHER_MODEL)
    return good(
        f"{counted(config.num_hidden_layers, 'layer')}, {config.hidden_size:,} wide, "
        f"{counted(config.num_attention_heads, 'head')} of {config.head_dim}, feed-forward {config.intermediate_size:,} wide, "
        f"{config.vocab_size:,} tokens, {config.max_position_embeddings:,} positions, "
        f"{counted(config.type_vocab_size, 'token type')}.",
        **{name: getattr(config, name) for name in LARGEST},
    )


def head_width(patient: Patient) -> Finding:
    """Whether heads are as wide as in published BERTs."""
    width = patient.config.head_dim
    if width in HEAD_WIDTHS:
        return good(f"{width}, as in published BERTs.", head_dim=width)
    text = f"{width}; published BERTs have heads of 64, MiniLM of 32."
    if width in USUAL_HEAD_WIDTHS:
        return note(text, head_dim=width)
    return warning(
        text,
        f"Make sure of num_attention_heads in {patient.config_file.name}: the weights fit any number that divides hidden_size.",
        head_dim=width,
    )


def activation(patient: Patient) -> Finding:
    """What the configured activation means, in this kind of file."""
    name = patient.config.hidden_act
    configured = patient.config_values.get("hidden_act")
    said = f'"{configured}"' if configured is not None else 'No hidden_act is given; "gelu", which is the default,'
    text = f"{said} in {patient.config_file.name} means {name}: {MEANING[name]}."
    return (good if name.startswith("gelu") else note)(text, hidden_act=name)


def epsilon(patient: Patient) -> Finding:
    """LayerNorm's epsilon, which is 1e-12 in BERT."""
    value = patient.config.layer_norm_eps
    if "layer_norm_eps" not in patient.config_values:
        return good(f"{value:g}; the file does not give it, and this is BERT's.", layer_norm_eps=value)
    if value == EPSILON:
        return good(f"{value:g}, BERT's.", layer_norm_eps=value)
    if value <= LARGEST_USUAL_EPSILON:
        return note(f"{value:g}, where BERT has 1e-12. Right if the model was trained with it.", layer_norm_eps=value)
    return warning(
        f"{value:g}, where BERT has 1e-12 and other models at most 1e-5.",
        f"Make sure that the model was trained with it; if not, correct layer_norm_eps in {patient.config_file.name}.",
        layer_norm_eps=value,
    )


def architecture(patient: Patient) -> Finding | None:
    """Whether the model calls itself a BERT."""
    given = patient.config_values.get("architectures")
    names = given if isinstance(given, list) else [] if given is None else [given]
    others = [shown(name) for name in names if not str(name).startswith("Bert")]
    if not others:
        return None
    return warning(
        f"architectures is {listed(others)}: it calls itself no BERT.",
        "Make sure that it computes as BERT does: compare it with its own code, minibert verify --against transformers.",
    )


def two_files(patient: Patient) -> Finding | None:
    """Whether config.json and bert_config.json, if both are there, say the same."""
    second = patient.folder / "bert_config.json"
    if patient.config_file.name == second.name or not os.path.exists(second):
        return None
    try:
        theirs = read_json_object(second, error=ConfigError, max_bytes=1 << 20)
    except ConfigError as problem:
        return note(f"config.json is read; beside it {in_short(problem)}")
    ours = patient.config_values
    differing = [
        f"{name} is {shown(ours[name])} in config.json and {shown(theirs[name])} in bert_config.json"
        for name in sorted(ours.keys() & theirs.keys() & SAME_MEANING)
        if ours[name] != theirs[name]
    ]
    if differing:
        return warning(f"{listed(differing)}.", "config.json is read; delete the file that does not belong to the weights.")
    return note(f"config.json is read, though bert_config.json is here too{_other_activation(ours, theirs)}.")


def _other_activation(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    try:
        google, hf = BertConfig.from_google(theirs).hidden_act, BertConfig.from_hf(ours).hidden_act
    except ConfigError:
        return ""
    return f", by which the activation would be {google} instead of {hf}" if google != hf else ""
