"""Charts of trainings: which curves there are, that every number is where it belongs, and what has no place on paper."""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import InputError
from minibert.plots import training_curves, training_figure

pytest.importorskip("matplotlib", reason="needs the extra 'plots'")

SIGNATURES = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def training(step: int, loss: float = 1.0) -> dict[str, Any]:
    return {"step": step, "epoch": step / 10, "loss": loss, "learning_rate": 1e-4 / step, "gradient_norm": 2.0 * step}


def evaluation(step: int, **metrics: float) -> dict[str, Any]:
    return {"step": step, "epoch": step / 10, "evaluation": metrics}


RECORDS = [training(10, 0.9), evaluation(10, accuracy=0.5, f1=0.4), training(20, 0.7), evaluation(20, accuracy=0.6, f1=0.5)]


def curves_of(figure: Any) -> dict[str, list[list[tuple[float, float]]]]:
    """By the title of each panel the points of its lines."""
    panels = [axes for axes in figure.axes if axes.get_title()]
    return {
        axes.get_title(): [list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in axes.get_lines()]
        for axes in panels
    }


def test_every_number_has_its_point_in_the_panel_of_its_name():
    assert curves_of(training_figure(RECORDS)) == {
        "loss": [[(10, 0.9), (20, 0.7)]],
        "learning rate": [[(10, 1e-5), (20, 5e-6)]],
        "norm of the gradient": [[(10, 20.0), (20, 40.0)]],
        "evaluation: accuracy": [[(10, 0.5), (20, 0.6)]],
        "evaluation: f1": [[(10, 0.4), (20, 0.5)]],
    }


def test_all_panels_have_the_same_steps_and_say_so():
    figure = training_figure([*RECORDS, training(90)], title="minilm-l6 on train.tsv")
    assert len({axes.get_xlim() for axes in figure.axes if axes.get_title()}) == 1
    assert figure.get_supxlabel() == "step" and figure.get_suptitle() == "minilm-l6 on train.tsv"


def test_few_numbers_are_points_and_many_losses_have_a_smooth_line_too():
    few = training_figure([training(step) for step in range(1, 40)])
    assert {line.get_marker() for axes in few.axes for line in axes.get_lines()} == {"o"}
    losses = np.random.default_rng(0).uniform(1.0, 2.0, 200)
    records = [training(step, loss) for step, loss in enumerate(losses.tolist(), start=1)]
    (raw, smooth), *others = [axes.get_lines() for axes in training_figure(records).axes]
    assert all(len(lines) == 1 for lines in others)
    np.testing.assert_array_equal(raw.get_ydata(), losses)
    np.testing.assert_allclose(smooth.get_ydata()[100], losses[95:105].mean())
    np.testing.assert_allclose(smooth.get_ydata()[[0, -1]], [losses[:5].mean(), losses[-6:].mean()])


def test_a_smooth_line_is_told_from_the_raw_one_without_colours():
    axes = training_figure([training(step) for step in range(1, 200)]).axes[0]
    lightness = [np.mean([int(line.get_color()[at : at + 2], 16) for at in (1, 3, 5)]) for line in axes.get_lines()]
    assert abs(lightness[0] - lightness[1]) > 100 and lightness[0] < 200
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["as it was", "mean of 9 around"]


@pytest.mark.filterwarnings("error")
def test_numbers_that_are_not_finite_have_no_point_and_disturb_no_mean(tmp_path: Path):
    losses = [1.0] * 100
    losses[30:60] = [math.nan, math.inf, -math.inf] * 10
    records = [training(step, loss) for step, loss in enumerate(losses, start=1)]
    figure = training_figure([*records, evaluation(100, f1=math.nan)])
    raw, smooth = figure.axes[0].get_lines()
    np.testing.assert_array_equal(np.isnan(raw.get_ydata()), ~np.isfinite(losses))
    known = np.isfinite(smooth.get_ydata())
    np.testing.assert_allclose(smooth.get_ydata()[known], 1.0)
    assert not known.all() and known[:30].all()
    assert "evaluation: f1 (no points)" in curves_of(figure)
    training_curves([evaluation(1, f1=math.nan), training(1, math.inf)], tmp_path / "curves.png")


@pytest.mark.parametrize(
    "records", [RECORDS[:1], *(pytest.param(each, marks=pytest.mark.long) for each in (RECORDS[1:2], RECORDS))]
)
@pytest.mark.parametrize("ending", SIGNATURES)
def test_one_record_is_enough_in_every_format(records: list[dict[str, Any]], ending: str, tmp_path: Path):
    training_curves(records, tmp_path / f"curves{ending}")
    assert (tmp_path / f"curves{ending}").read_bytes().startswith(SIGNATURES[ending])
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["$x_", r"\frac{", "a\nb", "x" * 300, "_hidden", ""])
def test_any_metric_has_its_name_above_its_panel(name: str, tmp_path: Path):
    figure = training_figure([evaluation(1, **{name: 0.5})])
    (title,) = curves_of(figure)
    assert title.startswith("evaluation:") and len(title) <= 40
    training_curves([evaluation(1, **{name: 0.5})], tmp_path / "curves.svg")


def test_of_very_many_metrics_the_first_are_drawn_and_the_others_counted():
    figure = training_figure([evaluation(1, **{f"metric {number}": 1.0 for number in range(1000)})], title="many")
    assert len(curves_of(figure)) == 24 and figure.get_suptitle() == "many (976 more are not shown)"


def test_nothing_to_draw_an_unknown_ending_and_a_missing_folder_are_refused(tmp_path: Path):
    for records in ([], [evaluation(1)]):
        with pytest.raises(InputError, match="there are no records of a training to draw; expected one at least"):
            training_curves(records, tmp_path / "curves.png")
    with pytest.raises(InputError, match=r"ends in '.bmp'"):
        training_curves(RECORDS, tmp_path / "curves.bmp")
    with pytest.raises(InputError, match="there is no folder"):
        training_curves(RECORDS, tmp_path / "absent" / "curves.png")
    assert not list(tmp_path.iterdir())


def test_a_missing_matplotlib_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match=r"run: pip install 'minibert\[plots\]'"):
        training_figure(RECORDS)
