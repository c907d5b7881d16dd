"""Which files are there, whether they are what their names say, and whether anybody knows the weights."""

import os
import stat
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from minibert.checkpoints.integrity import sha256_of
from minibert.checkpoints.registry import Entry, checkpoint_folder, registry
from minibert.checkpoints.tensors import INDEX_FILE, OTHER_FORMATS, SINGLE_FILE
from minibert.errors import FetchError
from minibert.verification.doctor.findings import Finding, bad, counted, good, in_short, listed, note, size, warning
from minibert.verification.doctor.patient import NotCheckedError, Patient, needed

# The files that minibert reads; everything else in a folder may be anything.
READ = (
    "config.json",
    "bert_config.json",
    "model*.safetensors",
    INDEX_FILE,
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)

# Weights in other forms than those that `minibert.checkpoints` names already.
FURTHER_FORMATS = (
    "pytorch_model-*.bin",
    "bert_model.ckpt*",
    "model.ckpt*",
    "adapter_model.*",
    "*.onnx",
    "*.gguf",
    "*.ot",
    "openvino_model.*",
)

# What a file begins with that stands in another one's place.
STAND_INS = {
    b"version https://git-lfs": "a pointer of Git LFS",
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<?xml": "a web page",
}


@dataclass(frozen=True)
class Listed:
    """A file in the folder; `size` is None where it is a link that leads nowhere, or no regular file."""

    name: str
    size: int | None


def folder(patient: Patient) -> Finding:
    """What the folder holds."""
    files = files_of(patient)
    if not files:
        return bad(f"{patient.folder} is empty.", "Give the folder that config.json and model.safetensors are in.")
    sizes = [file.size for file in files if file.size is not None]
    shown = listed([file.name if file.size is None else f"{file.name} ({size(file.size)})" for file in files], most=15)
    return good(
        f"{counted(len(files), 'file')}, {size(sum(sizes))}: {shown}",
        path=str(patient.folder),
        names=[file.name for file in files],
        bytes=sum(sizes),
    )


def stand_ins(patient: Patient) -> Finding:
    """Files that are not the files: pointers of Git LFS, web pages, links to nothing."""
    if not files_of(patient):
        raise NotCheckedError("the folder is empty")
    found: list[str] = []
    elsewhere: list[str] = []
    for file in files_of(patient):
        what = "no regular file" if file.size is None else _stand_in(patient.folder / file.name)
        if file.size is None and (patient.folder / file.name).is_symlink():
            what = "a link that leads nowhere"
        if what:
            (found if any(fnmatchcase(file.name, pattern) for pattern in READ) else elsewhere).append(f"{file.name} is {what}")
    if found:
        return bad(
            f"{'; '.join(found)}: not the file itself.",
            "In a clone run `git lfs pull`; or fetch the files again from where they are published.",
        )
    if elsewhere:
        return note(f"{listed(elsewhere)}; minibert does not need it.")
    return good("Every file is there itself: no pointer of Git LFS, no web page, no link to nothing.")


def weights(patient: Patient) -> Finding:
    """Whether there are weights that minibert reads, whole."""
    try:
        stored = patient.stored
    except NotCheckedError as failure:
        what = _stand_in(patient.folder / SINGLE_FILE) if (patient.folder / SINGLE_FILE).is_file() else None
        return bad(f"{SINGLE_FILE} is {what}, not the weights." if what else in_short(failure.problem), _instead(patient))
    total = sum(path.stat().st_size for path in stored.files)
    both = (patient.folder / SINGLE_FILE).exists() and (patient.folder / INDEX_FILE).exists()
    found = (
        f"{stored.format}, {counted(len(stored.files), 'file')} of {size(total)}, whole: {counted(len(stored.tensors), 'tensor')}"
    )
    if both:
        return note(f"{found}. {INDEX_FILE} is there as well; {SINGLE_FILE} is what is read.", bytes=total)
    return good(f"{found}.", format=stored.format, bytes=total, tensors=len(stored.tensors))


def other_formats(patient: Patient) -> Finding | None:
    """Weights in forms that minibert does not read."""
    names = _other_formats(patient)
    if not names:
        return None
    return note(f"{listed(names)}: weights in a form that this version does not read.", names=names)


def sha256(patient: Patient) -> Finding:
    """The hash of the weights, and whether the registry knows it."""
    hashes = patient.sha256
    shown = listed([hashed if len(hashes) == 1 else f"{name} {hashed}" for name, hashed in hashes.items()], most=3)
    try:
        entries = list(registry().values())
    except FetchError as problem:
        return note(f"{shown}. {problem}", sha256=hashes)
    known = [entry.name for entry in entries if _has_weights(entry, hashes)]
    if known:
        return good(f"{shown}: the registry has it as {', '.join(known)}.", sha256=hashes, registry=known)
    own = next((entry for entry in entries if _same(checkpoint_folder(entry), patient.folder)), None)
    if own is not None and (other := _other_than_registered(own, hashes)):
        return other
    return note(f"{shown}. The registry does not know it: not one of the published checkpoints that it lists.", sha256=hashes)


def published(patient: Patient) -> Finding | None:
    """Of weights that the registry knows, the files beside them that are not those that were published with them."""
    entry = next((entry for entry in registry().values() if _has_weights(entry, patient.sha256)), None)
    if entry is None:
        return None
    with needed("a file cannot be read"):
        others = [
            file.name
            for file in entry.files
            if file.confirmed and (patient.folder / file.name).is_file() and sha256_of(patient.folder / file.name) != file.sha256
        ]
    if others:
        return note(
            f"{listed(others)} {'differs' if len(others) == 1 else 'differ'} from what was published with the weights of "
            f"{entry.name}.",
            "Compare them if results are not what you expect.",
            names=others,
        )
    return good(f"The files beside the weights are those that were published with {entry.name}.")


def files_of(patient: Patient) -> list[Listed]:
    """The files in the folder itself, in the order of their names."""
    found = []
    with needed("the folder cannot be read"), os.scandir(patient.folder) as entries:
        for entry in entries:
            try:
                status = entry.stat()
            except OSError:
                found.append(Listed(entry.name, None))
                continue
            if not stat.S_ISDIR(status.st_mode) or any(fnmatchcase(entry.name, pattern) for pattern in READ):
                found.append(Listed(entry.name, status.st_size if stat.S_ISREG(status.st_mode) else None))
    return sorted(found, key=lambda file: file.name)


def _stand_in(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            start = file.read(512).lstrip().lower()
    except OSError as problem:
        return f"a file that cannot be read ({problem.strerror})"
    return next((what for beginning, what in STAND_INS.items() if start.startswith(beginning)), None)


def _other_formats(patient: Patient) -> list[str]:
    patterns = (*OTHER_FORMATS, *FURTHER_FORMATS)
    return [file.name for file in files_of(patient) if any(fnmatchcase(file.name, pattern) for pattern in patterns)]


def _instead(patient: Patient) -> str:
    """What to do where there are no weights that can be read."""
    if any((patient.folder / name).exists() for name in (SINGLE_FILE, INDEX_FILE)):
        return "Fetch or copy the weights again, whole."
    if _other_formats(patient):
        return "Open it with the library that wrote it and save it as safetensors (transformers: save_pretrained)."
    with needed("the folder cannot be read"):
        inside = sorted(path.parent for depth in ("*", "*/*") for path in patient.folder.glob(f"{depth}/config.json"))
    return f"Give the folder inside it: {inside[0]}" if inside else f"Copy the {SINGLE_FILE} of this checkpoint into the folder."


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _has_weights(entry: Entry, hashes: dict[str, str]) -> bool:
    return set(hashes.values()) <= {file.sha256 for file in entry.files}


def _other_than_registered(entry: Entry, hashes: dict[str, str]) -> Finding | None:
    for file in entry.files:
        found = hashes.get(file.name)
        if found is None or file.sha256 is None:
            continue
        text = f"{file.name} has sha256 {found}; the registry has {file.sha256} for {entry.name}"
        advice = f"Run: minibert fetch {entry.name} --force"
        if file.confirmed:
            return bad(f"{text}: it is not the published file.", advice, sha256=hashes)
        return warning(f"{text}, which one public source alone states.", advice, sha256=hashes)
    return None
