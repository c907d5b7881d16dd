"""The stored tensors against those that the configuration calls for."""

from collections import Counter
from typing import Any

from minibert.checkpoints.matching import FLOATING
from minibert.checkpoints.names import SECOND_COPIES, TIED_KERNEL, WORD_TABLE
from minibert.printable import counted, listed
from minibert.verification.doctor.findings import Finding, bad, good, note, warning
from minibert.verification.doctor.patient import NotCheckedError, Patient

OTHER_CONFIGURATION = "Use the config.json that this checkpoint was saved with."


def layers(patient: Patient) -> Finding:
    """Whether the weights have as many layers as the configuration says."""
    stored = patient.stored_layers
    said = patient.config.num_hidden_layers
    if stored == set(range(said)):
        return good(f"{said} in the weights, as in the configuration.", stored=len(stored))
    what = (
        f"{counted(len(stored), 'layer')} (the last is number {max(stored)}, from 0)" if stored else "no layer under BERT's names"
    )
    advice = OTHER_CONFIGURATION if stored else _renaming(patient) or OTHER_CONFIGURATION
    return bad(f"The weights have {what}, the configuration says {said:,}.", advice, stored=len(stored))


def used(patient: Patient) -> Finding:
    """How many parameters have their tensors."""
    match, problems = patient.pairing
    found, called_for = len(match.parameters), len(patient.shapes)
    text = f"{found:,} of the {called_for:,} parameters that the configuration calls for have a tensor."
    return (note if problems else good)(text, used=found, called_for=called_for)


def missing(patient: Patient) -> Finding | None:
    """Parameters without a tensor."""
    found = _problems(patient, "missing")
    if not found:
        return None
    wanted = [text.partition(" ")[0] for text in found]
    advice = _renaming(patient) or OTHER_CONFIGURATION
    return bad(f"{counted(len(found), 'parameter')} without a tensor: {listed(wanted)}.", advice, names=wanted)


def unexpected(patient: Patient) -> Finding | None:
    """Tensors that no BERT has."""
    found = _problems(patient, "unexpected")
    if not found:
        return None
    advice = "If they belong to another model's head, take them out; if they change the encoder, it is no BERT. Or: "
    return bad(f"{counted(len(found), 'tensor')} too many: {listed(found)}.", advice + OTHER_CONFIGURATION, names=found)


def mis_shaped(patient: Patient) -> Finding | None:
    """Tensors of another shape than the configuration calls for."""
    found = _problems(patient, "wrong shape")
    if not found:
        return None
    return bad(f"{counted(len(found), 'tensor')} of another shape: {listed(found, 3)}.", OTHER_CONFIGURATION, names=found)


def mis_typed(patient: Patient) -> Finding | None:
    """Tensors that are no floating-point numbers."""
    found = _problems(patient, "wrong dtype")
    if not found:
        return None
    return bad(
        f"{counted(len(found), 'tensor')} of another kind of number: {listed(found, 3)}.",
        "Quantised weights are of no use by themselves; get those in floating point.",
        names=found,
    )


def given_twice(patient: Patient) -> Finding | None:
    """Parameters that two tensors claim."""
    found = _problems(patient, "twice")
    if not found:
        return None
    return bad(f"{counted(len(found), 'parameter')} given twice: {listed(found)}.", "Take out the tensors that do not belong.")


def left_aside(patient: Patient) -> Finding:
    """Tensors that the encoder does not use: heads and buffers."""
    match, _ = patient.pairing
    parts = [f"{counted(number, 'tensor')} of the {head} head" for head, number in sorted(Counter(match.heads.values()).items())]
    parts += [f"{counted(len(match.buffers), 'buffer')} ({listed(match.buffers)})"] if match.buffers else []
    return good(f"{', '.join(parts)}." if parts else "Nothing.", heads=sorted(match.heads), buffers=match.buffers)


def pooler(patient: Patient) -> Finding | None:
    """Whether the pooler is there."""
    if any(name.startswith("pooler.") for name in patient.canonical):
        return None
    return note("There is none: pooler_output will be None, as with token-level models.")


def head(patient: Patient) -> Finding | None:
    """Whether the head that the configuration names is among the tensors."""
    given = patient.config_values.get("architectures")
    names = given if isinstance(given, list) else [given]
    with_head = [name for name in names if isinstance(name, str) and name.startswith("BertFor")]
    if not with_head or patient.pairing[0].heads:
        return None
    return note(
        f"The checkpoint calls itself a {listed(with_head)}, and no tensor of a head is there: the encoder alone can be used.",
        architectures=with_head,
    )


def tied(patient: Patient) -> Finding | None:
    """Whether the masked-language model's last kernel is the table of word embeddings, as it is in BERT."""
    patient.check_size()
    in_words = {WORD_TABLE: "the table of word embeddings"}
    differing = [
        f"{copy} is stored and is not {in_words.get(SECOND_COPIES[copy], SECOND_COPIES[copy])}"
        for copy, is_equal in patient.stored.copies().items()
        if not is_equal
    ]
    if differing:
        return warning(
            f"{'; '.join(differing)}, which BERT has in its place. The encoder's results do not depend on it.",
            "Use the encoder only, or ask where the checkpoint comes from; its masked-LM head is not BERT's.",
        )
    if TIED_KERNEL in patient.canonical:
        return good("The masked-LM head's last kernel is stored again and equal to the word embeddings.")
    if "cls.predictions.bias" in patient.canonical:
        return good("The masked-LM head's last kernel is the word embeddings; it is not stored again.")
    return None


def spelling(patient: Patient) -> Finding | None:
    """LayerNorm's old names."""
    old = [name for name in patient.stored.tensors if name.endswith((".LayerNorm.gamma", ".LayerNorm.beta"))]
    if not old:
        return None
    return note(f"{counted(len(old), 'tensor')} under LayerNorm's old names gamma and beta, read as weight and bias.", names=old)


def dtypes(patient: Patient) -> Finding:
    """How the numbers are stored."""
    tensors = [tensor for tensor in patient.stored.tensors.values() if tensor.dtype.name in FLOATING]
    if not tensors:
        raise NotCheckedError("the weights have no floating-point tensors")
    counts = dict(Counter(tensor.dtype.name for tensor in tensors).most_common())
    facts: dict[str, Any] = {"dtypes": [*counts]}
    if len(counts) > 1:
        shown = ", ".join(f"{number:,} in {name}" for name, number in counts.items())
        return note(f"Mixed: {shown}. minibert computes in float32 unless it is told otherwise.", **facts)
    (name,) = counts
    if name == "float32":
        return good("float32 throughout.", **facts)
    return note(f"{name} throughout; minibert computes in float32 unless it is told otherwise.", **facts)


def _problems(patient: Patient, kind: str) -> list[str]:
    return [problem.what for problem in patient.pairing[1] if problem.kind == kind]


def _renaming(patient: Patient) -> str | None:
    """What to do where the names begin with something else than BERT's."""
    prefixes = {name.removesuffix(WORD_TABLE) for name in patient.stored.tensors if name.endswith(WORD_TABLE)}
    foreign = sorted(prefixes - {"", "bert."})
    if not foreign or len(foreign) < len(prefixes):
        return None
    return f'The names begin with "{foreign[0]}", where minibert knows "bert." or nothing: rename the tensors.'
