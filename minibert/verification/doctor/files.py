"""Which files are there, whether they are what their names say, and whether anybody knows the weights."""

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from minibert.checkpoints.formats.safetensors_file import INDEX_FILE, SINGLE_FILE
from minibert.checkpoints.integrity import GIT_LFS_POINTER, IMPOSTORS, RECORD, read_record, sha256_of
from minibert.checkpoints.registry import Entry, checkpoint_folder, editions
from minibert.checkpoints.tensors import FLAX_FILE, OTHER_FORMATS, TORCH_INDEX
from minibert.errors import FetchError
from minibert.printable import counted, listed
from minibert.verification.doctor.findings import BAD, Finding, bad, good, in_short, note, size, warning
from minibert.verification.doctor.patient import NotCheckedError, Patient, needed

WEIGHTS = ("model*.safetensors", INDEX_FILE, "pytorch_model*.bin", TORCH_INDEX, FLAX_FILE, "*.ckpt*.index", "*.ckpt*.data-*")
# The files that minibert reads; everything else in a folder may be anything.
READ = (
    *WEIGHTS,
    "config.json",
    "bert_config.json",
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)

# What a file begins with that stands in another one's place.
STAND_INS = IMPOSTORS | {
    b"entry not found": "a server's error message",
    b"repository not found": "a server's error message",
    b"not found": "a server's error message",
    b'{"error"': "a server's error message",
    b'{"message"': "a server's error message",
}

PULL = "In the clone run `git lfs pull`, which fetches the files themselves."
FETCH_AGAIN = "Fetch the files again from where they are published."

LARGEST_BESIDE = 64 << 20
"""Bytes: no vocabulary or configuration is larger, and hashing what is would take long."""

Recorded = Mapping[str, tuple[str, int]]
"""The sha256 and the size of each file that was fetched."""


@dataclass(frozen=True)
class Listed:
    """A file in the folder; `size` is None where it is a link that leads nowhere, or no regular file."""

    name: str
    size: int | None


def folder(patient: Patient) -> Finding:
    """What the folder holds."""
    files = files_of(patient)
    if not files:
        return bad(
            f"{patient.folder} holds no files.",
            _folder_inside(patient) or "Give the folder that config.json and model.safetensors are in.",
        )
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
    advice = FETCH_AGAIN
    for file in files_of(patient):
        what = _stand_in(patient.folder / file.name)
        if what:
            is_read = _is_one_of(READ, file.name)
            (found if is_read else elsewhere).append(f"{file.name} is {what}")
            advice = PULL if what == GIT_LFS_POINTER and is_read else advice
    if found:
        return bad(f"{'; '.join(found)}: not the file itself.", advice)
    if elsewhere:
        return note(f"{listed(elsewhere)}; minibert does not need it.")
    return good("Every file is there itself: no pointer of Git LFS, no web page, no link to nothing.")


def weights(patient: Patient) -> Finding:
    """Whether there are weights that minibert reads, whole."""
    try:
        stored = patient.stored
    except NotCheckedError as failure:
        for file in files_of(patient):
            what = _stand_in(patient.folder / file.name) if _is_one_of(WEIGHTS, file.name) else None
            if what:
                return bad(f"{file.name} is {what}, not the weights.", PULL if what == GIT_LFS_POINTER else FETCH_AGAIN)
        return bad(in_short(failure.problem), _instead(patient))
    total = sum(path.stat().st_size for path in stored.files)
    both = all(os.path.exists(patient.folder / name) for name in (SINGLE_FILE, INDEX_FILE))
    found = (
        f"{stored.format}, {counted(len(stored.files), 'file')} of {size(total)}, whole: {counted(len(stored.tensors), 'tensor')}"
    )
    if both:
        return note(f"{found}. {INDEX_FILE} is there as well; {SINGLE_FILE} is what is read.", bytes=total)
    return good(f"{found}.", format=stored.format, bytes=total, tensors=len(stored.tensors))


def other_formats(patient: Patient) -> Finding | None:
    """Weights in other forms beside those that are read."""
    read = {path.name for path in patient.stored.files} | {INDEX_FILE, TORCH_INDEX}
    names = [file.name for file in files_of(patient) if _is_one_of((*WEIGHTS, *OTHER_FORMATS), file.name)]
    names = [name for name in names if name not in read]
    if not names:
        return None
    return note(
        f"{listed(names)}: other weights beside those that are read, which nothing here says anything about.", names=names
    )


def sha256(patient: Patient) -> Finding:
    """The hash of the weights, whether the registry knows it, and whether it is that of what was fetched."""
    registered = _registered(patient)
    try:
        recorded = read_record(patient.folder)
    except FetchError:
        return registered  # which `beside` says
    if recorded is None:
        return registered
    changed = _changed(patient.sha256, recorded)
    if changed:
        return replace(
            registered,
            status=BAD,
            found=f"{_in_words(changed)}. {registered.found}",
            advice=registered.advice or _fetch_again(patient),
            facts={**registered.facts, "fetched": {name: fetched for name, (_, fetched) in changed.items()}},
        )
    return replace(registered, found=f"{registered.found} {_as_fetched(patient.sha256, recorded)}")


def _registered(patient: Patient) -> Finding:
    """The hash of the weights, and whether the registry knows it."""
    hashes = patient.sha256
    shown = listed([hashed if len(hashes) == 1 else f"{name} {hashed}" for name, hashed in hashes.items()], most=3)
    try:
        entries = editions()
    except FetchError as problem:
        return note(f"{shown}. {problem}", sha256=hashes)
    known = list(dict.fromkeys(entry.name for entry in entries if _has_weights(entry, hashes)))
    if known:
        return good(f"{shown}: the registry has it as {', '.join(known)}.", sha256=hashes, registry=known)
    own = _own(patient, entries)
    if own is not None and (other := _other_than_registered(own, hashes)):
        return other
    return note(f"{shown}. The registry does not know it: not one of the published checkpoints that it lists.", sha256=hashes)


def beside(patient: Patient) -> Finding | None:
    """The hashes of the other files that decide what the model computes, and whether they and others are as they were fetched."""
    hashes = {}
    for file in files_of(patient):
        if file.size is not None and file.size <= LARGEST_BESIDE and file.name in READ and not file.name.startswith("model"):
            with needed("a file cannot be read"):
                hashes[file.name] = sha256_of(patient.folder / file.name)
    shown = ", ".join(f"{name} {hashed[:12]}…" for name, hashed in hashes.items())
    found = f"sha256 {shown}; the whole hashes are in the findings for programs." if hashes else ""
    try:
        recorded = read_record(patient.folder)
    except FetchError as problem:
        return note(f"{found} {in_short(problem)}.".lstrip(), sha256=hashes)
    if recorded is not None:
        return _held_against(recorded, patient, found, hashes)
    return good(found, sha256=hashes) if hashes else None


def _held_against(recorded: Recorded, patient: Patient, found: str, hashes: dict[str, str]) -> Finding:
    """The finding about all files but the weights that are read, where it is recorded what was fetched.

    `hashes` has those of the files that decide what the model computes; a file that is large is held to its size alone.
    """
    absent, others, large = [], [], []
    whole = dict(hashes)
    for name, (_, bytes_fetched) in recorded.items():
        if name in hashes or _is_weights(patient, name):
            continue
        number_of_bytes = _size_of(patient.folder / name)
        if number_of_bytes is None:
            absent.append(name)
        elif number_of_bytes <= LARGEST_BESIDE:
            with needed("a file cannot be read"):
                whole[name] = sha256_of(patient.folder / name)
        elif number_of_bytes == bytes_fetched:
            large.append(name)
        else:
            others.append(f"{name} has {number_of_bytes:,} bytes, {RECORD} has {bytes_fetched:,}: not the file that was fetched")
    changed = _changed(whole, recorded)
    if changed or others:
        fetched = {name: hashed for name, (_, hashed) in changed.items()}
        what = "; ".join([*([_in_words(changed)] if changed else []), *([listed(others, most=3)] if others else [])])
        return bad(f"{what}.", _fetch_again(patient), sha256=whole, fetched=fetched)
    sentences = [found, _as_fetched(whole, recorded)]
    if large:
        sentences.append(f"Too large to be hashed here, and of the size that was fetched: {listed(large)}.")
    if absent:
        sentences.append(f"Fetched and not there now: {listed(absent)}.")
    text = " ".join(sentence for sentence in sentences if sentence)
    return note(text, sha256=whole) if absent else good(text, sha256=whole)


def published(patient: Patient) -> Finding | None:
    """Of weights that the registry knows, the files beside them that are not those that were published with them."""
    try:
        entry = next((entry for entry in editions() if _has_weights(entry, patient.sha256)), None)
    except FetchError as problem:
        raise NotCheckedError(in_short(problem)) from None
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
    if os.path.islink(path) and not os.path.exists(path):
        return "a link that leads nowhere"
    if not os.path.isfile(path):
        return "a link to no regular file" if os.path.islink(path) else "no regular file"
    try:
        with path.open("rb") as file:
            start = file.read(512).lstrip().lower()
    except OSError as problem:
        return f"a file that cannot be read ({problem.strerror})"
    return next((what for beginning, what in STAND_INS.items() if start.startswith(beginning)), None)


def _is_one_of(patterns: Iterable[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _instead(patient: Patient) -> str:
    """What to do where there are no weights that can be read."""
    if any(_is_one_of(WEIGHTS, file.name) for file in files_of(patient)):
        return "Fetch or copy the weights again, whole."
    others = [file.name for file in files_of(patient) if _is_one_of(OTHER_FORMATS, file.name)]
    if any(name.endswith(".safetensors") for name in others):
        return f"If that is the whole of the weights, rename it to {SINGLE_FILE}."
    if others:
        return "Open it with the library that wrote it and save it as safetensors (transformers: save_pretrained)."
    return _folder_inside(patient) or f"Copy the {SINGLE_FILE} of this checkpoint into the folder."


def _folder_inside(patient: Patient) -> str | None:
    with needed("the folder cannot be read"):
        inside = sorted(path.parent for depth in ("*", "*/*", "*/*/*") for path in patient.folder.glob(f"{depth}/config.json"))
    return f"Give the folder inside it: {inside[0]}" if inside else None


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _changed(hashes: Mapping[str, str], recorded: Recorded) -> dict[str, tuple[str, str]]:
    """Of the files with other hashes than those that were fetched: the hash now, and the recorded one."""
    return {name: (found, recorded[name][0]) for name, found in hashes.items() if name in recorded and recorded[name][0] != found}


def _in_words(changed: Mapping[str, tuple[str, str]]) -> str:
    return listed(
        [
            f"{name} has sha256 {found[:12]}…, {RECORD} has {fetched[:12]}…: not the file that was fetched"
            for name, (found, fetched) in changed.items()
        ],
        most=3,
    )


def _as_fetched(hashes: Mapping[str, str], recorded: Recorded) -> str:
    """What to say of hashes none of which is another than the recorded one."""
    unknown = [name for name in hashes if name not in recorded]
    if not unknown:
        return f"As fetched, by {RECORD}." if hashes else ""
    rest = f"The others are as fetched; {RECORD}" if len(unknown) < len(hashes) else RECORD
    return f"{rest} does not list {listed(unknown)}."


def _fetch_again(patient: Patient) -> str:
    try:
        own = _own(patient, editions())
    except FetchError:
        own = None
    return FETCH_AGAIN if own is None else f"Run: minibert fetch {own.name} --force"


def _own(patient: Patient, entries: Iterable[Entry]) -> Entry | None:
    """The entry of the registry that is fetched into this very folder."""
    own = next((entry for entry in entries if _same(checkpoint_folder(entry), patient.folder)), None)
    return None if own is None else own.edition_in(patient.folder)


def _is_weights(patient: Patient, name: str) -> bool:
    """Whether the file is one of the weights that are read, or might be where they cannot be read."""
    try:
        return name in {path.name for path in patient.stored.files}
    except NotCheckedError:
        return _is_one_of(WEIGHTS, name)


def _size_of(path: Path) -> int | None:
    """The bytes of a regular file; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


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
