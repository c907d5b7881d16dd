"""The registry of official checkpoints: what each name stands for, where its files come from, and where they lie here.

`weights/registry.toml` is the data; this file reads it, finds its folder in a checkout or in an installed package, and
turns what a user types, a name or a path, into a folder.
"""

import difflib
import functools
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minibert.errors import CheckpointError, FetchError

REGISTRY_FILE = "registry.toml"
# The shapes of what the registry may hold: each ends up in a path, a command or an address.
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,99}")
_FILE_NAME = re.compile(r"(?!\.)[A-Za-z0-9_.-]+(/(?!\.)[A-Za-z0-9_.-]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REVISION = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9-]*")
_VERSION = re.compile(r"[0-9][a-z0-9.]*")


@dataclass(frozen=True)
class File:
    """One file of a checkpoint: its path in the folder, and its sha256 and size in bytes where they are known.

    `confirmed` says that the hash was computed from the file itself or that unrelated sources agree on it; any other
    file is then refused. An unconfirmed hash rests on one source, and a different file is a warning.
    """

    name: str
    sha256: str | None
    size: int | None
    confirmed: bool


@dataclass(frozen=True)
class PackageSource:
    """A wheel on a package index: the files lie in `folder` inside it."""

    project: str
    version: str
    wheel: str
    sha256: str
    size: int
    folder: str
    same_as: str | None
    """The repository of the hub that has the same weights."""


@dataclass(frozen=True)
class HubSource:
    """A model repository on a hub; without a `revision` nothing pins what its main branch holds."""

    repository: str
    revision: str | None


@dataclass(frozen=True)
class ZipSource:
    """A zip as Google published it, by its path in the bucket that holds all of them."""

    path: str
    size: int | None


@dataclass(frozen=True)
class Entry:
    """One official checkpoint: everything needed to fetch and to check it."""

    name: str
    description: str
    licence: str
    source: PackageSource | HubSource | ZipSource
    files: tuple[File, ...]
    aliases: tuple[str, ...]
    keeps_case: bool = False
    """Whether the vocabulary has capitals, which the files of Google's zips do not say."""
    original: "Entry | None" = None
    """The same checkpoint in its authors' own files, where `source` holds a conversion of them."""

    @property
    def editions(self) -> tuple["Entry", ...]:
        """This one, and the original where there is one."""
        return (self,) if self.original is None else (self, self.original)

    def edition_in(self, folder: Path) -> "Entry":
        """The edition that most of the files in `folder` belong to."""
        return max(self.editions, key=lambda edition: sum((folder / file.name).is_file() for file in edition.files))

    @property
    def size(self) -> int | None:
        """The bytes of all files together, or None where one of them is not known."""
        sizes = [file.size for file in self.files]
        return sum(size for size in sizes if size is not None) if None not in sizes else None


def weights_folder() -> Path:
    """The folder that holds registry.toml: `weights/` of a checkout, else the copy inside the installed package."""
    package = Path(__file__).resolve().parents[1]
    return _checkout_weights(package) or package / "weights"


def home() -> Path:
    """Where fetched checkpoints live: `$MINIBERT_HOME`, else a checkout's `weights/`, else the user's cache folder."""
    chosen = os.environ.get("MINIBERT_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    weights = _checkout_weights(Path(__file__).resolve().parents[1])
    if weights is not None and os.access(weights, os.W_OK):
        return weights
    cache = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(cache) if cache else Path.home() / ".cache") / "minibert"
    except RuntimeError:
        raise FetchError("this user has no home folder to keep checkpoints in; set MINIBERT_HOME to a folder") from None


def checkpoint_folder(entry: Entry) -> Path:
    """Where the files of `entry` are, or will be once it is fetched."""
    return home() / "checkpoints" / entry.name


def registry() -> Mapping[str, Entry]:
    """Every entry of the registry by its name, in the registry's order; FetchError if the registry file is broken."""
    return _load(weights_folder() / REGISTRY_FILE)


def editions() -> list[Entry]:
    """Every entry of the registry, and behind it its original where there is one."""
    return [edition for entry in registry().values() for edition in entry.editions]


def lookup(name: str) -> Entry:
    """The entry called `name`, or with that alias; FetchError names the close matches of an unknown one."""
    entry = _find(name)
    if entry is None:
        raise FetchError(f"the registry has no checkpoint named {name!r}{_suggestion(name)}; run: minibert fetch --list")
    return entry


def find_weights(sha256: str) -> Path | None:
    """The folder of the fetched checkpoint whose file of weights has this hash in the registry; None if there is none."""
    for edition in editions():
        folder = checkpoint_folder(edition)
        if any(file.sha256 == sha256 and (folder / file.name).is_file() for file in edition.files):
            return folder
    return None


def resolve(name_or_path: str | Path) -> Path:
    """The existing folder or file of that path, or the folder of the fetched checkpoint of that name.

    The prefix of a TensorFlow checkpoint, `folder/bert_model.ckpt`, is such a path too, and a zip is unpacked into `home()`. A
    path that exists wins over a name, and what contains a separator is always a path. CheckpointError: the checkpoint has not
    been fetched yet (it says how to), there is neither such a path nor such a name, or a zip that holds no checkpoint.
    """
    text = str(name_or_path)
    # os.path.exists takes an impossible path (too long, unreadable) for an absent one, where Path.exists would raise.
    if text and (os.path.exists(text) or os.path.exists(f"{text}.index")):
        if text.endswith(".zip") and os.path.isfile(text):
            from minibert.checkpoints.zipped import unpacked  # which needs the registry's own types

            return unpacked(Path(text), home())
        return Path(text)
    if any(separator in text for separator in (os.sep, os.altsep, "/") if separator):
        raise CheckpointError(f"{text} does not exist; give an existing checkpoint folder or file, or a name of the registry")
    entry = _find(text)
    if entry is None:
        raise CheckpointError(
            f"{text!r} is neither a folder here nor a name in the registry{_suggestion(text)}; run: minibert fetch --list"
        )
    folder = checkpoint_folder(entry)
    if not folder.is_dir():
        raise CheckpointError(f"the checkpoint {entry.name} is not at {folder} yet; run: minibert fetch {entry.name}")
    return folder


def folder_of(path: Path) -> Path:
    """The folder that `resolve` found, or that of the file or prefix that it found: where configuration and vocabulary are."""
    return path if path.is_dir() else path.parent


def _checkout_weights(package: Path) -> Path | None:
    """`weights/` beside the package, where that is a checkout; a stray folder beside an installed package is not."""
    weights = package.parent / "weights"
    in_checkout = (weights / REGISTRY_FILE).is_file() and (package.parent / "pyproject.toml").is_file()
    return weights if in_checkout else None


def _find(name: str) -> Entry | None:
    entries = registry()
    return entries.get(name) or next((entry for entry in entries.values() if name in entry.aliases), None)


def _suggestion(name: str) -> str:
    entries = registry()
    known = [*entries, *(alias for entry in entries.values() for alias in entry.aliases)]
    matches = difflib.get_close_matches(name, known, n=3)
    return f" (did you mean {' or '.join(matches)}?)" if matches else ""


@functools.lru_cache(maxsize=4)
def _load(path: Path) -> Mapping[str, Entry]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise FetchError(f"the registry of checkpoints cannot be read at {path}: {problem.strerror or problem}") from None
    except ValueError as problem:
        raise FetchError(f"the registry {path} is not valid TOML: {problem}") from None
    entries = {name: _Table(path, name, table).entry() for name, table in tables.items()}
    names = [*entries, *(alias for entry in entries.values() for alias in entry.aliases)]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise FetchError(f"the registry {path} gives the name {min(repeated)} twice")
    return entries


class _Table:
    """One table of the registry being checked; `taken` keys are known ones, so that a misspelled key is an error."""

    def __init__(self, path: Path, where: str, table: Any) -> None:
        self.path, self.where = path, where
        self.table = table if isinstance(table, dict) else self.refuse(f"expected a table, found {type(table).__name__}")
        self.taken: set[str] = set()

    def refuse(self, reason: str) -> Any:
        raise FetchError(f"the registry {self.path} is broken at {self.where}: {reason}")

    def text(self, key: str, pattern: re.Pattern[str] | None = None) -> str:
        value = self.optional_text(key, pattern)
        return self.refuse(f"{key} is missing") if value is None else value

    def optional_text(self, key: str, pattern: re.Pattern[str] | None = None) -> str | None:
        self.taken.add(key)
        value = self.table.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value or (pattern and not pattern.fullmatch(value)):
            self.refuse(f"{key} = {value!r} does not have the form it must have")
        return str(value)

    def optional_size(self, key: str) -> int | None:
        self.taken.add(key)
        value = self.table.get(key)
        if value is not None and (type(value) is not int or value <= 0):
            self.refuse(f"{key} = {value!r} is no size in bytes")
        return value

    def flag(self, key: str) -> bool:
        self.taken.add(key)
        value = self.table.get(key, False)
        return value if isinstance(value, bool) else bool(self.refuse(f"{key} = {value!r} is neither true nor false"))

    def items(self, key: str) -> list[Any]:
        self.taken.add(key)
        value = self.table.get(key, [])
        return value if isinstance(value, list) else self.refuse(f"{key} is no list")

    def finish(self) -> None:
        if unknown := set(self.table) - self.taken:
            self.refuse(f"unknown key {min(unknown)}")

    def entry(self) -> Entry:
        if not _NAME.fullmatch(self.where):
            self.refuse("a name has lower-case letters, digits, dots and hyphens only")
        aliases = self.items("aliases")
        if not all(isinstance(alias, str) and _NAME.fullmatch(alias) for alias in aliases):
            self.refuse("an alias is no name")
        entry = Entry(
            name=self.where,
            description=self.text("description"),
            licence=self.text("licence"),
            source=self.source(),
            files=self.files(),
            aliases=tuple(aliases),
            keeps_case=self.flag("keeps_case"),
        )
        self.taken.add("original")
        if "original" in self.table:
            original = _Table(self.path, f"{self.where}.original", self.table["original"])
            entry = replace(entry, original=replace(entry, source=original.source(), files=original.files()))
            original.finish()
        self.finish()
        return entry

    def source(self) -> PackageSource | HubSource | ZipSource:
        self.taken.add("source")
        return _Table(self.path, f"{self.where}.source", self.table.get("source")).place()

    def files(self) -> tuple[File, ...]:
        files = tuple(_Table(self.path, f"{self.where}.files", item).file() for item in self.items("files"))
        if not files or len({file.name.casefold() for file in files}) != len(files):
            self.refuse("files must list at least one file, each once")
        return files

    def file(self) -> File:
        file = File(
            name=self.text("name", _FILE_NAME),
            sha256=self.optional_text("sha256", _SHA256),
            size=self.optional_size("size"),
            confirmed=self.flag("confirmed"),
        )
        if file.confirmed and file.sha256 is None:
            self.refuse(f"{file.name}: confirmed is true only beside a sha256")
        self.finish()
        return file

    def place(self) -> PackageSource | HubSource | ZipSource:
        kind = self.text("kind")
        source: PackageSource | HubSource | ZipSource
        if kind == "package":
            size = self.optional_size("size")
            source = PackageSource(
                project=self.text("project", _PROJECT),
                version=self.text("version", _VERSION),
                wheel=self.text("wheel", _FILE_NAME),
                sha256=self.text("sha256", _SHA256),
                size=self.refuse("size is missing") if size is None else size,
                folder=self.text("folder", _FILE_NAME),
                same_as=self.optional_text("same_as", _REPOSITORY),
            )
        elif kind == "hub":
            source = HubSource(self.text("repository", _REPOSITORY), self.optional_text("revision", _REVISION))
        elif kind == "zip":
            source = ZipSource(self.text("path", _FILE_NAME), self.optional_size("size"))
        else:
            source = self.refuse(f"kind = {kind!r}, expected package, hub or zip")
        self.finish()
        return source
