"""What a report looks like as JSON, as CSV and as a page, and how it gets into a file."""

import csv
import io
import math
import os
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert import TraceError, compare, load, record
from minibert.model.tap import intermediate_names
from minibert.strict_json import parse_json_object
from minibert.verification import Reference, Report, Row
from minibert.verification.report import BUDGET
from minibert.verification.report.page import page

GELU = Path(__file__).parent.parent / "goldens" / "tiny" / "gelu"
MARKUP = '<script>alert("it\'s")</script> &amp; \x00\ud800'
AS_TEXT = '<script>alert("it\'s")</script> &amp; ��'
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def row(name: str = "layers.0.output", error: float = 1e-6, ratio: float = 1.0, **others: object) -> Row:
    values = dict(error_over_rms=error, cosine=1.0, max_ulps=3.0, worst=(1, 2, 0), worst_token=101) | others
    return Row(name, max_abs_error=error, ratio=ratio, **values)


def tree(report: Report, **arguments: str) -> ElementTree.Element:
    return ElementTree.fromstring(page(report, **arguments))


def all_of(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """The elements of a class, in the order of the page."""
    return [element for element in root.iter() if name in element.get("class", "").split()]


def text_of(root: ElementTree.Element, name: str) -> list[str]:
    return ["".join(element.itertext()) for element in all_of(root, name)]


def marks_of(root: ElementTree.Element) -> list[ElementTree.Element]:
    return all_of(root, "mark")


def y_of(mark: ElementTree.Element) -> float:
    (shape,) = all_of(mark, "shape")
    # A triangle's path begins at its tip, 5 above its middle.
    return float(shape.get("cy") or float(NUMBER.findall(shape.get("d"))[1]) + 5.0)


def bar_of(mark: ElementTree.Element) -> float | None:
    bars = all_of(mark, "budget")
    return float(NUMBER.findall(bars[0].get("d"))[1]) if bars else None


def ticks_of(root: ElementTree.Element) -> dict[str, float]:
    (axis,) = all_of(root, "axis")
    return {text.text: float(text.get("y")) for text in axis}


def test_the_page_needs_nothing_but_itself():
    text = page(Report((row(), row("pooler.output", ratio=9.0))))
    root = ElementTree.fromstring(text)
    assert not {"script", "link", "img", "iframe", "object"} & {element.tag for element in root.iter()}
    assert {element.get("href")[0] for element in root.iter() if element.get("href")} == {"#"}
    assert not re.search(r"src=|://|url\(|@import", text)


def test_every_link_of_the_page_leads_to_one_place():
    root = tree(Report((row(), row("pooler.output", ratio=9.0))))
    places = [element.get("id") for element in root.iter() if element.get("id")]
    links = [element.get("href")[1:] for element in root.iter("a")]
    assert sorted(places) == sorted(links) == ["first-mark", "first-row"]


def test_nothing_from_the_report_becomes_markup():
    report = Report((row(MARKUP, ratio=9.0),), missing=(MARKUP,), notes=(MARKUP,))
    root = tree(report, title=MARKUP, diagnosis=MARKUP)
    assert root.find(".//script") is None
    assert root.find("head/title").text == root.find(".//h1").text == root.find(".//tbody//th").text == AS_TEXT
    assert [item.text for item in root.iter("li")] == [AS_TEXT, AS_TEXT]
    assert text_of(root, "diagnosis") == [f"Diagnosis: {AS_TEXT}"]
    assert marks_of(root)[0].find("title").text.startswith(AS_TEXT)
    assert root.find(".//code").text == AS_TEXT


def test_every_intermediate_has_its_mark_in_the_order_of_the_data():
    names = intermediate_names(24)
    root = tree(Report(tuple(row(name) for name in names)))
    marks = marks_of(root)
    assert [mark.find("title").text.splitlines()[0] for mark in marks] == names
    middles = [float(mark.find("circle").get("cx")) for mark in marks]
    assert all(right - left >= 14.9 for left, right in pairwise(middles))


def test_a_mark_that_is_pointed_at_says_its_numbers():
    (mark,) = marks_of(tree(Report((row("layers.3.output", 1.25e-6, 1.75),))))
    assert mark.find("title").text.splitlines() == [
        "layers.3.output",
        "max abs error 1.25e-06",
        "ratio 1.75: parts",
        "text 1, token 2 (id 101)",
    ]


def test_the_parts_of_the_model_are_named_and_parted():
    names = [*intermediate_names(2), "layers.11.output", "heads.masked_lm.logits", "heads.next_sentence.logits", "something.else"]
    root = tree(Report(tuple(row(name) for name in names)))
    assert text_of(root, "part-name") == ["embeddings", "layer 0", "layer 1", "pooler", "layer 11", "heads", "others"]
    lines = [float(line.get("x1")) for line in all_of(root, "boundary")]
    marks = dict(zip(names, (float(mark.find("circle").get("cx")) for mark in marks_of(root)), strict=True))
    assert marks["layers.0.output"] < lines[2] < marks["layers.1.attention.query"]
    assert marks["layers.1.output"] < lines[3] < marks["pooler.dense"]
    assert len(all_of(root, "part-name")) == len(lines)


def test_a_mark_stands_at_the_power_of_ten_that_its_error_is():
    errors = (1e-7, 1e-4, 1e-6, 1e-2)
    root = tree(Report(tuple(row(error=error, ratio=1.5) for error in errors)))
    ticks = ticks_of(root)
    assert list(ticks) == ["10⁻⁷", "10⁻⁶", "10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²"]
    assert [y_of(mark) for mark in marks_of(root)] == [ticks["10⁻⁷"], ticks["10⁻⁴"], ticks["10⁻⁶"], ticks["10⁻²"]]
    heights = list(ticks.values())
    assert {round(below - above) for below, above in pairwise(heights)} == {64}


def test_the_bar_stands_where_the_ratio_would_be_the_budget():
    root = tree(Report((row(error=1e-6, ratio=BUDGET * 100.0), row(error=1e-8, ratio=BUDGET / 1000.0))))
    ticks = ticks_of(root)
    assert [bar_of(mark) for mark in marks_of(root)] == [ticks["10⁻⁸"], ticks["10⁻⁵"]]


@pytest.mark.parametrize(("error", "ratio"), [(1e-6, math.inf), (math.nan, math.inf), (1.7e308, 1e-3), (0.0, 0.0)])
def test_there_is_no_bar_where_the_ratio_says_nothing_about_the_budget(error: float, ratio: float):
    (mark,) = marks_of(tree(Report((row(error=error, ratio=ratio),))))
    assert bar_of(mark) is None


@given(error=st.floats(1e-300, 1e300), ratio=st.floats(1e-3, 1e3))
def test_a_mark_stands_above_its_bar_only_where_it_parts(error: float, ratio: float):
    (mark,) = marks_of(tree(Report((row(error=error, ratio=ratio),))))
    assert y_of(mark) >= bar_of(mark) if ratio <= BUDGET else y_of(mark) <= bar_of(mark)


def test_what_parts_has_another_shape_than_what_agrees():
    agrees, parts, worse = marks_of(tree(Report((row(), row(ratio=2.0), row(ratio=math.inf)))))
    assert agrees.find("circle") is not None
    assert [mark.find("circle") for mark in (parts, worse)] == [None, None]
    assert [len(all_of(mark, "parts")) for mark in (agrees, parts, worse)] == [0, 2, 2]
    assert ["first" in mark.get("class").split() for mark in (agrees, parts, worse)] == [False, True, False]


def test_no_error_stands_at_zero_below_all_others():
    root = tree(Report((row(error=0.0, ratio=0.0), row(error=1e-12))))
    zero, some = marks_of(root)
    assert y_of(zero) == ticks_of(root)["0"]
    assert y_of(zero) > max(y_of(some), bar_of(some))
    assert bar_of(zero) is None


@pytest.mark.parametrize("error", [math.nan, math.inf])
def test_what_is_no_number_stands_above_all_others(error: float):
    root = tree(Report((row(error=error, ratio=math.inf), row(error=1e30, ratio=1.0))))
    broken, huge = marks_of(root)
    assert y_of(broken) == ticks_of(root)["NaN, ∞"]
    assert y_of(broken) < min(y_of(huge), bar_of(huge))
    assert bar_of(broken) is None
    assert f"max abs error {error}" in broken.find("title").text


def test_zero_and_no_number_have_lines_only_where_they_are_needed():
    assert not {"0", "NaN, ∞"} & set(ticks_of(tree(Report((row(), row(ratio=math.inf))))))
    ticks = ticks_of(tree(Report((row(), row(error=0.0, ratio=0.0), row(error=math.nan, ratio=math.inf)))))
    assert sorted(ticks, key=ticks.get) == ["NaN, ∞", "10⁻⁵", "10⁻⁶", "0"]
    assert min(below - above for above, below in pairwise(sorted(ticks.values()))) > 20.0


@pytest.mark.parametrize(
    "errors",
    [[0.0], [math.nan], [1e-6], [5e-324, 1.7e308], [0.0, math.inf, 2e-7, 5e-3], [1e-6] * 320],
    ids=["zero", "nan", "one", "extremes", "mixed", "many"],
)
def test_the_chart_lies_within_its_view(errors: list[float]):
    rows = tuple(
        row(f"layers.{place // 13}.output", error, 1e-3 if 0 < error < math.inf else error) for place, error in enumerate(errors)
    )
    root = tree(Report(rows))
    for svg in (*all_of(root, "axis"), *all_of(root, "plot")):
        width, height = map(float, svg.get("viewBox").split()[2:])
        assert (float(svg.get("width")), float(svg.get("height"))) == (width, height)
        for element in svg.iter():
            for name in ("x", "x1", "x2", "cx"):
                assert 0.0 <= float(element.get(name, 0.0)) <= width
            for name in ("y", "y1", "y2", "cy"):
                assert 0.0 <= float(element.get(name, 0.0)) <= height
            if element.tag == "path":
                x, y = map(float, NUMBER.findall(element.get("d"))[:2])
                assert 0.0 <= x <= width
                assert 0.0 <= y <= height
    assert len(ticks_of(root)) <= 16


def test_the_names_are_written_within_the_view():
    root = tree(Report((row("layers.0.feed_forward.intermediate"), row(f"heads.{'x' * 100}.logits"))))
    (plot,) = all_of(root, "plot")
    for name in all_of(root, "name"):
        begin = float(NUMBER.findall(name.get("transform"))[1])
        assert begin + 6.7 * len(name.text) <= float(plot.get("height"))
    assert [name.text[-1] for name in all_of(root, "name")] == ["e", "…"]


def test_the_table_shows_what_the_printed_report_shows():
    report = Report((row(), row("pooler.output", 3.4567e-3, 21.0, cosine=0.987, worst=(1, 4), worst_token=None)))
    printed = report.__rich__().columns
    root = tree(report)
    assert [title.text for title in root.find(".//thead/tr")] == [column.header for column in printed]
    for place, line in enumerate(root.findall(".//tbody/tr")):
        cells = [re.sub(r"\[.*?\]", "", list(column.cells)[place]) for column in printed]
        assert [cell.text or "" for cell in line] == cells


def test_a_cosine_that_is_no_number_is_shown_as_none():
    assert "nan" in [cell.text for cell in tree(Report((row(cosine=math.nan),))).iter("td")]


def test_the_verdict_names_the_first_that_parts():
    report = Report((row(), row("layers.4.output", ratio=2.5, worst=(3, 7, 0)), row("pooler.output", ratio=9.0)))
    (verdict,) = text_of(tree(report), "verdict")
    assert verdict.startswith(
        "The trace parts first at layers.4.output, by 2.5 times the floor, at text 3, token 7 (id 101); 2 of 3 intermediates "
        "part. See it in the chart"
    )


@pytest.mark.parametrize(
    ("error", "sentence"), [(math.nan, "where the error is nan"), (1e-9, "by 1e-09 where the floor allows no error")]
)
def test_the_verdict_says_why_a_ratio_is_infinite(error: float, sentence: str):
    (verdict,) = text_of(tree(Report((row(error=error, ratio=math.inf),))), "verdict")
    assert f"layers.0.output, {sentence}, at text 1" in verdict


def test_the_verdict_of_agreement_says_how_much_was_compared():
    (verdict,) = text_of(tree(Report((row(), row()))), "verdict")
    assert verdict == "All intermediates agree: 2 compared, none with an error over 1.5 times the floor."


def test_an_empty_report_has_a_page_without_a_chart():
    root = tree(Report(()))
    assert text_of(root, "verdict") == ["Nothing was compared."]
    assert root.find(".//svg") is None


def test_the_diagnosis_follows_the_verdict():
    body = list(tree(Report((row(ratio=2.0),)), diagnosis="tanh GELU").find("body/main"))
    assert [element.get("class") for element in body[1:3]] == ["verdict parts", "diagnosis"]
    assert not all_of(tree(Report((row(ratio=2.0),))), "diagnosis")


def test_missing_names_and_notes_are_listed():
    root = tree(Report((row(),), missing=("pooler.dense", "pooler.output"), notes=("a padded NaN",)))
    assert [item.text for item in root.find(".//ul[@class='missing']")] == ["pooler.dense", "pooler.output"]
    assert [item.text for item in root.find(".//ul[@class='notes']")] == ["a padded NaN"]


def test_the_page_of_a_real_comparison_marks_where_it_parts():
    reference = Reference.read(GELU / "reference.safetensors")
    report = compare(record(load(GELU, hidden_act="gelu_tanh"), reference.inputs), reference)
    marks = marks_of(tree(report))
    assert len(marks) == len(report.rows)
    (first,) = (mark for mark in marks if mark.get("id") == "first-mark")
    assert first.find("title").text.startswith("layers.0.feed_forward.activation\n")


def test_json_holds_the_whole_report():
    report = Report((row(), row("pooler.output", 1 / 3, 2.0, worst=(1, 4), worst_token=None)), ("a",), ("é", '"b"'))
    read = parse_json_object(report.to_json().encode(), "the report", error=TraceError)
    assert [line.pop("agrees") for line in read["rows"]] == [True, False]
    assert tuple(Row(**line | {"worst": tuple(line["worst"])}) for line in read["rows"]) == report.rows
    assert (read["verdict"], read["agrees"], read["budget"]) == (report.verdict, False, BUDGET)
    assert (read["missing"], read["notes"]) == (["a"], ["é", '"b"'])


def test_what_is_no_number_is_null_in_json():
    report = Report((row(error=math.nan, ratio=math.inf, cosine=math.nan, max_ulps=math.inf),))
    (line,) = parse_json_object(report.to_json().encode(), "the report", error=TraceError)["rows"]
    assert {name for name, value in line.items() if value is None} == {
        "max_abs_error",
        "ratio",
        "error_over_rms",
        "cosine",
        "max_ulps",
    }
    assert line["agrees"] is False


def test_csv_holds_every_number_exactly():
    rows = (row('a "name", with\na line', 1 / 3, 2.0), row("pooler.output", math.nan, math.inf, worst=(), worst_token=None))
    first, second = csv.DictReader(io.StringIO(Report(rows).to_csv()))
    assert first["name"] == rows[0].name
    assert (float(first["max_abs_error"]), float(first["ratio"])) == (1 / 3, 2.0)
    assert (first["worst"], first["worst_token"], first["agrees"]) == ("1 2 0", "101", "False")
    assert math.isnan(float(second["max_abs_error"]))
    assert float(second["ratio"]) == math.inf
    assert (second["worst"], second["worst_token"]) == ("", "")


def test_the_ending_of_the_file_says_what_is_written(tmp_path: Path):
    report = Report((row(),), notes=("1 − 1 = 0",))
    for name, content in {"a.json": report.to_json(), "a.csv": report.to_csv(), "A.HTML": page(report)}.items():
        report.save(tmp_path / name)
        assert (tmp_path / name).read_bytes() == content.encode()


@pytest.mark.parametrize(("name", "found"), [("report.pdf", "ends in .pdf"), ("report", "has no ending")])
def test_another_ending_is_refused(tmp_path: Path, name: str, found: str):
    with pytest.raises(TraceError, match=rf"{name} {found}, and a report is written as \.json, \.csv, \.html; give a name"):
        Report((row(),)).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["report.json", "report.csv", "report.html"])
def test_a_report_that_cannot_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / name).write_text("before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TraceError, match=f"{name} cannot be written: No space left on device"):
        Report((row(),)).save(str(tmp_path / name))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "before")]
