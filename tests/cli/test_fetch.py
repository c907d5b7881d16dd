"""`minibert fetch`: what it prints, and that errors reach the caller as ours."""

import argparse
import hashlib
import io
from pathlib import Path

import pytest

from minibert.checkpoints import registry as registry_module
from minibert.checkpoints.download import Progress
from minibert.checkpoints.registry import lookup
from minibert.cli import fetch as fetch_command
from minibert.errors import FetchError

CONFIG = b'{"hidden_size": 8}'


@pytest.fixture(autouse=True)
def registry_of_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint `tiny` that is here, and `absent` that is not; no network is used by either."""
    monkeypatch.setenv("MINIBERT_HOME", str(tmp_path / "home"))
    sha256 = hashlib.sha256(CONFIG).hexdigest()
    files = f'[ {{ name = "config.json", sha256 = "{sha256}", size = {len(CONFIG)}, confirmed = true }} ]'
    source = '{ kind = "hub", repository = "example/tiny" }'
    text = "".join(
        f'[{name}]\ndescription = "the {name} one"\nlicence = "MIT"\nsource = {source}\nfiles = {files}\n'
        for name in ("tiny", "absent")
    )
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "registry.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(registry_module, "weights_folder", lambda: weights)
    folder = tmp_path / "home" / "checkpoints" / "tiny"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(CONFIG)


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    fetch_command.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["fetch", *arguments])
    return int(parsed.run(parsed))


def test_a_checkpoint_that_is_here_is_verified_and_its_folder_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("tiny") == 0
    output = capsys.readouterr().out
    assert "config.json: sha256 as registered" in output
    assert f"tiny: already here, verified, 1 file in {tmp_path / 'home' / 'checkpoints' / 'tiny'}" in output


def test_the_list_shows_every_name_and_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["yes" in line for line in lines if "the tiny one" in line] == [True]
    assert ["yes" in line for line in lines if "the absent one" in line] == [False]


def test_the_default_is_minilm() -> None:
    parser = argparse.ArgumentParser()
    fetch_command.add_parser(parser.add_subparsers())
    assert parser.parse_args(["fetch"]).name == "minilm-l6"


def test_an_unknown_name_raises_our_error() -> None:
    with pytest.raises(FetchError, match="did you mean tiny"):
        run("tyny")


def test_warnings_go_to_standard_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from minibert.checkpoints.download import FetchResult
    from minibert.checkpoints.integrity import Verdict

    verdict = Verdict("config.json", "0" * 64, 5, "sha256 differs", suspect=True)
    result = FetchResult(Path("folder"), False, (verdict,), ("nothing pins it",))
    monkeypatch.setattr(fetch_command, "fetch", lambda name, original, progress, force: result)
    assert run("tiny", "--force") == 0
    captured = capsys.readouterr()
    assert captured.err == ("warning: nothing pins it\n  config.json: warning: sha256 differs\n")
    assert captured.out == "tiny: fetched, 0 of 1 verified by a registered hash, 1 file in folder\n"


def test_a_terminal_gets_a_bar_and_a_pipe_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    seen: list[Progress | None] = []
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr("sys.stderr", stream)
        with fetch_command._progress_bar(lookup("tiny")) as progress:
            seen.append(progress)
            if progress is not None:
                progress(5, 10)
                progress(6, None)
    assert seen[0] is not None
    assert seen[1] is None
