"""`minibert plot`: what is drawn, and what is refused before anything is computed."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoint import VOCABULARY, tiny_checkpoint

import minibert
from minibert.cli.main import main
from minibert.features import Features, cosine_similarity

pytestmark = [
    pytest.mark.usefixtures("no_compilation_cache"),
    pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs the extra 'plots'"),
]


Run = Callable[..., int]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "model", VOCABULARY)


@pytest.fixture
def plot(checkpoint: Path) -> Run:
    return lambda kind, *arguments: main(["plot", kind, *map(str, arguments), "--model", str(checkpoint)])


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple]:
    """What the two functions of `minibert.plots` were given."""
    given: dict[str, tuple] = {}
    for name in ("similarity_map", "attention_maps"):
        draw = getattr(minibert.plots, name)

        def kept(*arguments, name: str = name, draw: Callable = draw, **options):
            given[name] = arguments
            return draw(*arguments, **options)

        monkeypatch.setattr(f"minibert.cli.plot.{name}", kept)
    return given


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_similarity_of_texts_becomes_a_picture(ending: str, plot: Run, drawn, checkpoint: Path, tmp_path: Path, capsys):
    output = tmp_path / f"map.{ending}"
    texts = ["the bank", "a river", "its rates"]
    assert plot("similarity", *texts, "--output", output) == 0
    assert f"wrote {output}" in capsys.readouterr().out and output.stat().st_size > 1000
    vectors = Features(checkpoint).sentences(texts)
    np.testing.assert_allclose(drawn["similarity_map"][0], cosine_similarity(vectors, vectors), atol=1e-6)
    assert drawn["similarity_map"][1] == texts


def test_the_texts_may_come_from_a_file(plot: Run, drawn, tmp_path: Path):
    (tmp_path / "texts.csv").write_text("name,body\nx,the bank\ny,a river\n")
    assert plot("similarity", "--file", tmp_path / "texts.csv", "--column", "body", "--output", tmp_path / "map.png") == 0
    assert drawn["similarity_map"][1] == ["the bank", "a river"]


def test_attention_of_all_heads_of_the_last_layer(plot: Run, drawn, checkpoint: Path, tmp_path: Path):
    assert plot("attention", "the bank of a river", "--output", tmp_path / "map.png") == 0
    probabilities, tokens, heads, _ = drawn["attention_maps"]
    model = minibert.load(checkpoint)
    batch = minibert.Tokenizer.load(checkpoint)(["the bank of a river"])
    last = model.config.num_hidden_layers - 1
    expected = minibert.record(model, batch)[f"layers.{last}.attention.probabilities"][0]
    np.testing.assert_array_equal(probabilities, expected)
    assert tokens == ["[CLS]", "the", "bank", "of", "a", "river", "[SEP]"]
    assert len(heads) == model.config.num_attention_heads


def test_one_head_of_one_layer_and_a_pair(plot: Run, drawn, checkpoint: Path, tmp_path: Path):
    output = tmp_path / "map.svg"
    assert plot("attention", "the bank", "a river", "--layer", 0, "--head", 1, "--output", output) == 0
    probabilities, tokens, heads, _ = drawn["attention_maps"]
    batch = minibert.Tokenizer.load(checkpoint)("the bank", "a river")
    expected = minibert.record(minibert.load(checkpoint), batch)["layers.0.attention.probabilities"][0, [1]]
    np.testing.assert_array_equal(probabilities, expected)
    assert tokens == ["[CLS]", "the", "bank", "[SEP]", "a", "river", "[SEP]"] and heads == ["head 1"]


def test_missing_glyphs_are_said(plot: Run, tmp_path: Path, capsys):
    assert plot("similarity", "\U00012000", "a", "--output", tmp_path / "map.png") == 0
    assert "warning: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("similarity", "--output", "map.png"), "there is no text to compare"),
        (("similarity", "a", "b", "--output", "map.txt"), "map.txt ends in '.txt'"),
        (("similarity", "a", "b", "--output", "absent/map.png"), "there is no folder absent"),
        (("attention", "a", "--output", "map"), "map ends in ''"),
        (("attention", "a", "--layer", "9", "--output", "map.png"), "--layer is 9; the model has 2: expected -2 to 1"),
        (("attention", "a " * 30, "--output", "map.png"), "the text has 32 tokens; a heat map of this model shows 19 at most"),
        (("attention", "a", "--head", "-1", "--output", "map.png"), "--head is -1; the model has"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...], message: str, plot: Run, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert plot(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.glob("map*"))


def test_a_corpus_is_too_much_for_a_picture(plot: Run, tmp_path: Path, capsys):
    (tmp_path / "texts.txt").write_text("a river\n" * 2001)
    assert plot("similarity", "--file", tmp_path / "texts.txt", "--output", tmp_path / "map.png") == 2
    assert "more than 2,000 texts" in capsys.readouterr().err
