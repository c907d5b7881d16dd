"""What names mean, where checkpoints lie, and that the registry shipped with minibert is sound."""

from pathlib import Path

import pytest

from minibert.checkpoints import registry as registry_module
from minibert.checkpoints.registry import (
    HubSource,
    PackageSource,
    checkpoint_folder,
    home,
    lookup,
    registry,
    resolve,
    weights_folder,
)
from minibert.errors import CheckpointError, FetchError

SOUND = """
[tiny]
description = "made for a test"
licence = "MIT"
aliases = ["small"]
source = { kind = "hub", repository = "example/tiny" }
files = [ { name = "config.json", confirmed = false } ]
"""


@pytest.fixture(autouse=True)
def home_of_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("MINIBERT_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def use_registry(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    (folder / "registry.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(registry_module, "weights_folder", lambda: folder)


def test_the_default_checkpoint_is_pinned_to_the_last_byte() -> None:
    entry = lookup("minilm-l6")
    assert isinstance(entry.source, PackageSource)
    assert entry.source.sha256 == "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
    assert entry.source.same_as == "sentence-transformers/all-MiniLM-L6-v2"
    assert all(file.confirmed and file.size for file in entry.files)


def test_every_entry_has_a_configuration_a_vocabulary_and_weights() -> None:
    for entry in registry().values():
        names = {file.name for file in entry.files}
        assert {"config.json", "vocab.txt"} < names
        assert names & {"model.safetensors", "pytorch_model.bin"}, entry.name


def test_the_registry_holds_the_official_models() -> None:
    names = set(registry())
    small = {f"bert-uncased-l{layers}-h{width}" for layers in (2, 4, 6, 8, 10, 12) for width in (128, 256, 512, 768)}
    assert small < names
    assert {"bert-base-uncased", "bert-base-cased", "bert-large-uncased", "bert-large-cased"} < names
    assert {"bert-base-chinese", "bert-base-multilingual-cased", "bert-large-uncased-whole-word-masking"} < names


def test_an_alias_means_its_entry() -> None:
    assert lookup("bert-tiny").source == HubSource(
        "google/bert_uncased_L-2_H-128_A-2", "30b0a37ccaaa32f332884b96992754e246e48c5f"
    )


def test_an_unknown_name_is_answered_with_the_close_ones() -> None:
    with pytest.raises(FetchError, match=r"did you mean .*bert-base-uncased"):
        lookup("bert-base-uncasd")


def test_an_existing_folder_wins_over_a_name(tmp_path: Path) -> None:
    (tmp_path / "minilm-l6").mkdir()
    assert resolve("minilm-l6") == Path("minilm-l6")
    assert resolve(tmp_path / "minilm-l6") == tmp_path / "minilm-l6"


def test_an_existing_file_is_returned_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.touch()
    assert resolve(str(file)) == file


def test_a_fetched_name_is_its_folder(home_of_the_test: Path) -> None:
    folder = home_of_the_test / "checkpoints" / "bert-uncased-l2-h128"
    folder.mkdir(parents=True)
    assert resolve("bert-uncased-l2-h128") == folder
    assert resolve("bert-tiny") == folder


def test_a_name_that_was_not_fetched_says_how_to_fetch_it() -> None:
    with pytest.raises(CheckpointError, match="run: minibert fetch minilm-l6"):
        resolve("minilm-l6")


def test_an_unknown_name_is_neither_a_folder_nor_a_name() -> None:
    with pytest.raises(CheckpointError, match=r"neither a folder here nor a name .*did you mean .*minilm-l6"):
        resolve("minilm-16")


@pytest.mark.parametrize("path", ["models/minilm-l6", "./minilm-l6", "/nowhere/minilm-l6"])
def test_a_path_with_a_separator_is_never_a_name(path: str) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        resolve(path)


@pytest.mark.parametrize("text", ["", "x" * 10_000, "a\x00b"])
def test_what_can_be_no_path_is_an_error_of_ours(text: str) -> None:
    with pytest.raises(CheckpointError):
        resolve(text)


def test_home_is_the_chosen_folder(home_of_the_test: Path) -> None:
    assert home() == home_of_the_test
    assert checkpoint_folder(lookup("minilm-l6")) == home_of_the_test / "checkpoints" / "minilm-l6"


def test_home_is_the_weights_folder_of_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIBERT_HOME")
    assert home() == weights_folder() == Path(registry_module.__file__).resolve().parents[2] / "weights"


def installed_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Pretend that minibert lies in a site-packages folder."""
    package = tmp_path / "site-packages" / "minibert"
    (package / "weights").mkdir(parents=True)
    (package / "weights" / "registry.toml").write_text(SOUND, encoding="utf-8")
    monkeypatch.setattr(registry_module, "__file__", str(package / "checkpoints" / "registry.py"))
    return package


def test_an_installed_package_reads_its_own_copy_of_the_registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = installed_package(monkeypatch, tmp_path)
    assert weights_folder() == package / "weights"
    assert list(registry()) == ["tiny"]


def test_a_stray_weights_folder_beside_an_installed_package_is_no_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = installed_package(monkeypatch, tmp_path)
    (package.parent / "weights").mkdir()
    (package.parent / "weights" / "registry.toml").write_text(SOUND, encoding="utf-8")
    assert weights_folder() == package / "weights"


def test_an_installed_package_keeps_checkpoints_in_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed_package(monkeypatch, tmp_path)
    monkeypatch.delenv("MINIBERT_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert home() == tmp_path / "cache" / "minibert"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home() == tmp_path / ".cache" / "minibert"


def test_a_sound_registry_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_registry(monkeypatch, tmp_path, SOUND)
    assert lookup("small").name == "tiny"
    assert lookup("tiny").size is None


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("[tiny]", "[tiny", "not valid TOML"),
        ("[tiny]", "['../tiny']", "lower-case letters"),
        ('"config.json"', '"../config.json"', "name ="),
        ('"config.json"', '"/config.json"', "name ="),
        ('"config.json"', '".hidden"', "name ="),
        ("confirmed = false", "confirmed = true", "only beside a sha256"),
        ("confirmed = false", 'sha256 = "abc"', "sha256 ="),
        ("confirmed = false", "size = -1", "size in bytes"),
        ("confirmed = false", "sise = 1", "unknown key sise"),
        ('"hub"', '"ftp"', "expected package, hub or zip"),
        ('"hub"', '"package"', "size|project"),
        ('"example/tiny"', '"example"', "repository ="),
        ('"example/tiny"', '"example/tiny", revision = "main"', "revision ="),
        ('licence = "MIT"', "", "licence is missing"),
        ('["small"]', '["tiny"]', "gives the name tiny twice"),
        ('{ name = "config.json", confirmed = false }', "", "at least one file"),
    ],
)
def test_a_broken_registry_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    use_registry(monkeypatch, tmp_path, SOUND.replace(old, new))
    with pytest.raises(FetchError, match=complaint):
        registry()


def test_a_missing_registry_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry_module, "weights_folder", lambda: tmp_path / "nowhere")
    with pytest.raises(FetchError, match="cannot be read"):
        registry()
