"""The table of all checks, and `examine`, which goes through it and never stops at a sick part."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from minibert.checkpoints.registry import resolve
from minibert.errors import CheckpointError, MinibertError
from minibert.verification.doctor import (
    agreement,
    configuration,
    cost,
    files,
    inventory,
    tokenizer_settings,
    vocabulary,
    weight_values,
)
from minibert.verification.doctor.checkup import Checkup, Row
from minibert.verification.doctor.findings import Finding, bad, in_short, not_checked
from minibert.verification.doctor.patient import NotCheckedError, Patient


class Check(NamedTuple):
    """One check: the group and the subject that its row is shown under, and the function; None of it is no row."""

    group: str
    subject: str
    look: Callable[[Patient], Finding | None]


# In the order in which one thing follows from another: the first that is bad is the likely cause of the rest.
CHECKS = (
    Check("files", "folder", files.folder),
    Check("files", "weights", files.weights),
    Check("files", "stand-ins", files.stand_ins),
    Check("files", "other formats", files.other_formats),
    Check("files", "sha256", files.sha256),
    Check("files", "files beside", files.beside),
    Check("files", "published", files.published),
    Check("configuration", "file", configuration.file),
    Check("configuration", "sizes", configuration.values),
    Check("configuration", "keys", configuration.keys),
    Check("configuration", "head width", configuration.head_width),
    Check("configuration", "activation", configuration.activation),
    Check("configuration", "epsilon", configuration.epsilon),
    Check("configuration", "architecture", configuration.architecture),
    Check("configuration", "two files", configuration.two_files),
    Check("weights", "layers", inventory.layers),
    Check("weights", "used", inventory.used),
    Check("weights", "missing", inventory.missing),
    Check("weights", "unexpected", inventory.unexpected),
    Check("weights", "mis-shaped", inventory.mis_shaped),
    Check("weights", "mis-typed", inventory.mis_typed),
    Check("weights", "given twice", inventory.given_twice),
    Check("weights", "left aside", inventory.left_aside),
    Check("weights", "pooler", inventory.pooler),
    Check("weights", "head", inventory.head),
    Check("weights", "tied kernel", inventory.tied),
    Check("weights", "old names", inventory.spelling),
    Check("weights", "dtypes", inventory.dtypes),
    Check("vocabulary", "file", vocabulary.file),
    Check("vocabulary", "rows", vocabulary.rows),
    Check("vocabulary", "special tokens", vocabulary.special_tokens),
    Check("vocabulary", "stated ids", vocabulary.stated_ids),
    Check("vocabulary", "equal rows", vocabulary.equal_rows),
    Check("vocabulary", "zero rows", vocabulary.zero_rows),
    Check("tokenizer", "loading", tokenizer_settings.loading),
    Check("tokenizer", "case", tokenizer_settings.case),
    Check("tokenizer", "longest row", tokenizer_settings.maximum_length),
    Check("tokenizer", "contradictions", tokenizer_settings.contradictions),
    Check("values", "finite", weight_values.finite),
    Check("values", "magnitude", weight_values.magnitude),
    Check("values", "constant", weight_values.constant),
    Check("values", "LayerNorm", weight_values.layer_norms),
    Check("values", "spread", weight_values.spread),
    Check("values", "equal layers", weight_values.equal_layers),
    Check("values", "equal kernels", weight_values.equal_kernels),
    Check("agreement", "loading", agreement.loading),
    Check("agreement", "texts", agreement.texts),
    Check("agreement", "intermediates", agreement.intermediates),
    Check("cost", "parameters", cost.parameters),
    Check("cost", "compilation", cost.compilation),
    Check("cost", "one text", cost.one_text),
    Check("cost", "batch", cost.batch),
    Check("cost", "machine", cost.machine),
)


def examine(name_or_path: str | Path, progress: Callable[[str], None] | None = None) -> Checkup:
    """Go through all checks of a checkpoint: a name of the registry that has been fetched, or any folder.

    `progress` is told what is looked at, before each check. Raises CheckpointError where there is no such folder or name;
    whatever is wrong inside the folder is a finding.
    """
    folder = resolve(name_or_path)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is a file; expected the folder that holds it and config.json, {folder.parent}")
    patient = Patient(folder)
    rows = []
    for check in CHECKS:
        if progress is not None:
            progress(f"{check.group}: {check.subject}")
        finding = finding_of(check, patient)
        if finding is not None:
            rows.append(Row(check.group, check.subject, finding))
    return Checkup(folder, tuple(rows), patient.report)


def finding_of(check: Check, patient: Patient) -> Finding | None:
    """What one check finds, whatever happens in it."""
    try:
        return check.look(patient)
    except NotCheckedError as failure:
        return not_checked(failure.reason)
    except MinibertError as problem:
        return bad(in_short(problem), "Mend what the sentence names.")
    except MemoryError:
        return bad("The memory does not suffice for this check.", "Run the doctor on a machine with more memory.")
    # The folder may be sick in a way that nobody foresaw, and the other checks are still worth having.
    except Exception as problem:
        return bad(
            f"This check failed with something it did not foresee: {type(problem).__name__}: {in_short(problem)}",
            "Please report it to minibert's authors, with the folder's files.",
        )
