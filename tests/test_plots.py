"""The charts: what is drawn, what is not, and what is said where matplotlib is missing."""

import math
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from minibert import InputError
from minibert.plots import attention_maps, save_figure, similarity_map
from minibert.verification.sweep import SETTINGS, Column, Sweep

NAMES = ("embeddings.output", "layers.0.output", "layers.1.output", "pooler.output")
needs_matplotlib = pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs the extra 'plots'")
SIGNATURES = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def a_sweep(*errors: tuple[float, ...], notes: tuple[str, ...] = ()) -> Sweep:
    columns = tuple(Column(setting, error, error) for setting, error in zip(SETTINGS, errors, strict=False))
    return Sweep(NAMES, columns, checkpoint="tiny", device="cpu", texts=2, tokens=6, versions={}, notes=notes)


def all_settings() -> Sweep:
    return a_sweep(*[(1e-9, 2e-9, 3e-9, 4e-9)] * len(SETTINGS))


@needs_matplotlib
def test_every_setting_is_a_line_over_the_names_on_a_logarithmic_scale():
    figure = a_sweep((1e-16, 2e-16, 3e-16, 4e-16), (1e-7, 2e-7, 3e-7, 4e-7)).figure()
    (axes,) = figure.axes
    assert [list(line.get_ydata()) for line in axes.get_lines()] == [[1e-16, 2e-16, 3e-16, 4e-16], [1e-7, 2e-7, 3e-7, 4e-7]]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(NAMES)
    assert axes.get_yscale() == "log"


@needs_matplotlib
def test_the_axes_say_what_they_show_and_in_which_unit():
    figure = all_settings().figure()
    assert figure.axes[0].get_ylabel() == "RMS of the error / RMS of the truth (no unit)"
    assert figure.axes[0].get_xlabel() == "intermediate, in the order of computation"
    assert figure.get_suptitle() == "tiny on cpu against NumPy in float64 (texts: 2, tokens: 6)"


@needs_matplotlib
def test_lines_that_lie_on_each_other_can_be_told_apart():
    lines = all_settings().figure().axes[0].get_lines()
    assert len({line.get_marker() for line in lines}) == len(SETTINGS)
    sizes = [line.get_markersize() for line in lines]
    assert sizes == sorted(set(sizes), reverse=True)
    assert {line.get_markerfacecolor() for line in lines} == {"none"}


@needs_matplotlib
def test_the_legend_names_the_settings_in_the_order_in_which_their_lines_end():
    figure = a_sweep((9.0, 9.0, 9.0, 1e-9), (1e-5, 1e-5, 1e-5, math.nan), (1.0, 1.0, 1.0, 1e-7)).figure()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["float32 highest", "float32 high", "float64"]


@needs_matplotlib
def test_what_a_logarithm_cannot_show_has_no_point():
    (line,) = a_sweep((0.0, 1e-3, math.inf, math.nan)).figure().axes[0].get_lines()
    np.testing.assert_array_equal(line.get_ydata(), [math.nan, 1e-3, math.nan, math.nan])


@needs_matplotlib
def test_a_setting_without_any_point_is_said_to_have_none(tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = a_sweep((math.nan,) * 4).figure()
        save_figure(figure, tmp_path / "chart.png")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["float64 (no points)"]


@needs_matplotlib
def test_the_notes_stand_below():
    assert a_sweep((1.0,) * 4, notes=("One.", "Two.")).figure().get_supxlabel() == "One.\nTwo."


@needs_matplotlib
@pytest.mark.parametrize("ending", SIGNATURES)
def test_a_sweep_is_drawn_by_the_ending_of_the_path(tmp_path: Path, ending: str):
    all_settings().save(tmp_path / f"sweep{ending}")
    assert (tmp_path / f"sweep{ending}").read_bytes().startswith(SIGNATURES[ending])


@needs_matplotlib
def test_another_ending_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"chart.txt ends in '.txt'; a figure is written as .*\.png"):
        save_figure(all_settings().figure(), tmp_path / "chart.txt")
    assert list(tmp_path.iterdir()) == []


@needs_matplotlib
def test_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be written"):
        save_figure(all_settings().figure(), tmp_path / "absent" / "chart.png")


def test_without_matplotlib_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match=r"run: pip install 'minibert\[plots\]'"):
        all_settings().save(tmp_path / "sweep.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_importing_the_charts_does_not_import_matplotlib():
    code = "import sys, minibert.plots, minibert.verification.sweep; print('matplotlib' in sys.modules)"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "False"


def labels(ticks: list) -> list[str]:
    return [tick.get_text() for tick in ticks]


@needs_matplotlib
def test_a_similarity_map_has_every_cosine_where_its_two_texts_meet():
    cosines = np.array([[1.0, 0.25, -0.5], [0.25, 1.0, 0.0], [-0.5, 0.0, 1.0]], np.float32)
    axes = similarity_map(cosines, ["one", "two", "three"]).axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), cosines)
    assert axes.images[0].get_clim() == (-1.0, 1.0)
    assert labels(axes.get_yticklabels()) == labels(axes.get_xticklabels()) == ["one", "two", "three"]
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written[(1, 0)] == "0.25" and written[(2, 0)] == "-0.50" and len(written) == 9


@needs_matplotlib
def test_columns_may_be_other_texts_than_rows():
    axes = similarity_map(np.zeros((1, 2), np.float32), ["one"], ["two", "three"]).axes[0]
    assert labels(axes.get_yticklabels()) == ["one"] and labels(axes.get_xticklabels()) == ["two", "three"]


@needs_matplotlib
def test_a_large_map_shows_some_labels_and_no_numbers():
    axes = similarity_map(np.zeros((200, 200), np.float32), [f"text {number}" for number in range(200)]).axes[0]
    shown = labels(axes.get_yticklabels())
    assert len(shown) <= 80 and shown[1] == f"text {axes.get_yticks()[1]:.0f}" and not axes.texts


@needs_matplotlib
@pytest.mark.parametrize("text", ["$5 and $6_", r"\frac", "a\nb", "x" * 300, "", "$"])
def test_any_text_is_a_label_as_it_is(text: str, tmp_path: Path):
    figure = similarity_map(np.eye(2, dtype=np.float32), [text, "b"], title=f"title {text}")
    save_figure(figure, tmp_path / "map.png")
    (label, _) = labels(figure.axes[0].get_yticklabels())
    whole = " ".join(text.split())
    assert label == (whole if len(whole) <= 40 else f"{whole[:39]}…")


@needs_matplotlib
def test_characters_that_no_font_has_are_said_in_one_warning(tmp_path: Path):
    figure = similarity_map(np.eye(1, dtype=np.float32), ["\U00012000\U00012001"])
    with pytest.warns(UserWarning, match=r"map.png shows boxes for 2 characters that no installed font") as caught:
        save_figure(figure, tmp_path / "map.png")
    assert len(caught) == 1 and (tmp_path / "map.png").exists()


@needs_matplotlib
@pytest.mark.parametrize("heads", [1, 3, pytest.param(12, marks=pytest.mark.long)])
def test_attention_has_a_map_for_each_head_on_one_scale(heads: int, tmp_path: Path):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), (heads, 3)).astype(np.float32)
    figure = attention_maps(probabilities, ["[CLS]", "a", "[SEP]"], [f"head {head}" for head in range(heads)])
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in panels] == [f"head {head}" for head in range(heads)]
    for axes, of_head in zip(panels, probabilities, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), of_head)
        assert axes.images[0].get_clim() == (0.0, 1.0)
        assert labels(axes.get_xticklabels()) == ["[CLS]", "a", "[SEP]"]
    for ending, signature in SIGNATURES.items():
        save_figure(figure, tmp_path / f"map{ending}")
        assert (tmp_path / f"map{ending}").read_bytes().startswith(signature)
