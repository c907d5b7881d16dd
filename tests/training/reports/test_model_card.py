"""The card of a model: what the Hub reads at its head, what people read below, and names that would be markup."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert import InputError
from minibert.printable import printable
from minibert.training.reports import CardFacts, ConfusionMatrix, DataFile, model_card
from minibert.training.reports.front_matter import quoted
from minibert.training.reports.usage import PIPELINE_TAGS

yaml = pytest.importorskip("yaml")
markdown_it = pytest.importorskip("markdown_it")

TRAINING = DataFile("training", "train.tsv", 1240, "ab" * 32)
EVALUATION = DataFile("evaluation", "eval.tsv", 80, "cd" * 32)
HOSTILE = (
    'a "quoted" name',
    "key: value # comment",
    "line\n---\nlicense: mit",
    "a|b\\|c",
    "`code` and ``more``",
    "<script>alert(1)</script>",
    "[link](https://example.org) ![image](x)",
    "**bold** _it_ ~~gone~~ $x$ &amp;",
    "no",
    "1e-05",
    "- item",
    "1. item",
    "1) item",
    "1.",
    "+ item",
    "next \u2028 line \u0085 and \u2029 more\ufeff",
    "\N{GRINNING FACE} 日本語 e\u0301",
    "\x1b[31mred\x00",
    "\\",
    "'",
    " ",
    "",
)


def facts(**changes: Any) -> CardFacts:
    values: dict[str, Any] = {
        "name": "messages",
        "task": "classify",
        "base": "minilm-l6",
        "base_model": "sentence-transformers/all-MiniLM-L6-v2",
        "labels": ("complaint", "praise"),
        "data": (TRAINING, EVALUATION),
        "options": {"learning_rate": 2e-05, "patience": None, "rematerialise": False, "devices": "data"},
        "seed": 7,
        "versions": {"minibert": "0.1.0", "jax": "0.10.2"},
        "device": "one CPU",
        "steps": 1200,
        "best_step": 900,
        "metrics": {"accuracy": 0.9125, "mean_squared_error": 1e-05},
        "best_by": "accuracy",
    }
    return CardFacts(**values | changes)


def head_of(card: str) -> dict[str, Any]:
    """The front matter, found as the Hub finds it."""
    empty, head, _ = card.split("---\n", 2)
    assert not empty
    return yaml.safe_load(head)


def body_of(card: str) -> str:
    return card.split("\n---\n", 1)[1]


def rows_of(card: str) -> list[list[str]]:
    """Every row of every table as it is seen."""
    rows: list[list[str]] = []
    inside = False
    for token in markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(body_of(card)):
        if token.type == "tr_open":
            rows.append([])
        inside = token.type in ("th_open", "td_open") or (inside and token.type == "inline")
        if inside and token.type == "inline":
            rows[-1].append(seen(token))
    return rows


def seen(token: Any) -> str:
    """The text that a reader sees; AssertionError for any markup but code."""
    kinds = {child.type for child in token.children} - {"text", "text_special", "code_inline"}
    assert not kinds, (kinds, token.content)
    return "".join(child.content for child in token.children)


def one_line(text: str) -> str:
    return " ".join(printable(text).split())


def test_the_head_is_in_the_form_of_the_hub():
    assert head_of(model_card(facts())) == {
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "base_model": "sentence-transformers/all-MiniLM-L6-v2",
        "tags": ["minibert"],
        "model-index": [
            {
                "name": "messages",
                "results": [
                    {
                        "task": {"type": "text-classification"},
                        "dataset": {"name": "eval.tsv", "type": "files"},
                        "metrics": [
                            {"type": "accuracy", "name": "accuracy", "value": 0.9125},
                            {"type": "mean_squared_error", "name": "mean_squared_error", "value": 1e-05},
                        ],
                    }
                ],
            }
        ],
    }


def test_the_hub_s_own_library_reads_the_measurements():
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard(model_card(facts())).data
    assert data.license is None and data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    found = [(result.dataset_name, result.metric_type, result.metric_value) for result in data.eval_results]
    assert found == [("eval.tsv", "accuracy", 0.9125), ("eval.tsv", "mean_squared_error", 1e-05)]


def test_what_was_not_measured_is_not_in_the_head():
    assert "model-index" not in head_of(model_card(facts(metrics={})))
    assert "It was not measured" in model_card(facts(metrics={}))
    head = head_of(model_card(facts(metrics={"f1": math.nan, "accuracy": 0.5})))
    assert [metric["type"] for metric in head["model-index"][0]["results"][0]["metrics"]] == ["accuracy"]


@pytest.mark.parametrize("task", PIPELINE_TAGS)
def test_every_task_has_its_tag_its_use_and_its_limits(task: str):
    card = model_card(facts(task=task))
    assert head_of(card)["pipeline_tag"] == PIPELINE_TAGS[task]
    assert card.count("```bash") == card.count("```python") == 1
    for section in ("How it is used", "How it was trained", "What it is worth", "What not to expect"):
        assert f"\n## {section}\n" in card


def test_a_baseline_is_not_said_to_be_for_transformers():
    card = model_card(facts(is_baseline=True, base_model=None))
    head = head_of(card)
    assert head["library_name"] == "minibert" and "base_model" not in head
    assert "```python" not in card and "LSTM on the word vectors of `minilm-l6`" in card


def test_everything_about_the_training_is_told():
    rows = rows_of(model_card(facts()))
    for expected in (
        ["training", "train.tsv", "1,240", "ab" * 32],
        ["evaluation", "eval.tsv", "80", "cd" * 32],
        ["learning_rate", "2e-05"],
        ["patience", "not set"],
        ["rematerialise", "no"],
        ["devices", "data"],
        ["accuracy", "0.9125"],
        ["mean_squared_error", "1e-05"],
    ):
        assert expected in rows
    card = model_card(facts(notes=("3 of 1,240 texts were cut at 128 tokens.",)))
    assert "1,200 steps were made; the parameters are those after step 900. Seed 7, on one CPU, with minibert 0.1.0, jax" in card
    assert card.endswith("- 3 of 1,240 texts were cut at 128 tokens.\n")


def test_a_small_confusion_matrix_is_a_table_and_a_large_one_its_largest_mistakes():
    small = ConfusionMatrix(("a", "b"), np.array([[1000, 2], [3, 4]]))
    rows = rows_of(model_card(facts(confusion=small)))
    assert rows[3:6] == [["", "a", "b"], ["a", "1,000", "2"], ["b", "3", "4"]]
    labels = tuple(f"label {number}" for number in range(50))
    counts = np.diag(np.full(50, 9))
    assert "No label was taken for another." in model_card(facts(confusion=ConfusionMatrix(labels, counts)))
    counts[1, 2], counts[3, 0] = 5, 7
    rows = rows_of(model_card(facts(labels=labels, confusion=ConfusionMatrix(labels, counts))))
    assert rows[3:6] == [["label", "taken for", "times"], ["label 3", "label 0", "7"], ["label 1", "label 2", "5"]]


def test_types_of_entities_have_a_table():
    by_type = {"LOC": {"f1": 0.5, "entities": 1}, "PER": {"f1": 1.0, "entities": 2000}}
    rows = rows_of(model_card(facts(task="tag", by_type=by_type)))
    assert rows[3:6] == [["type", "f1", "entities"], ["LOC", "0.5000", "1"], ["PER", "1.0000", "2,000"]]


def test_many_labels_are_cut():
    card = model_card(facts(labels=tuple(f"label{number}" for number in range(500))))
    assert "`label99` and 400 more; config.json has them all" in card and "label100" not in card


@pytest.mark.parametrize("text", HOSTILE)
def test_a_quoted_text_is_read_as_the_text_in_one_line(text: str):
    written = quoted(text)
    assert yaml.safe_load(written) == yaml.safe_load(f"- {written}")[0] == printable(text)
    assert len(written.splitlines()) == 1


texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30), st.text("`|\\*_<>[]()#-+.: \n1a", max_size=12))


@given(st.lists(texts, min_size=6, max_size=6), st.floats(allow_nan=False, allow_infinity=False))
def test_any_names_leave_the_head_valid_and_are_what_the_hub_reads(names: list[str], value: float):
    name, base, metric, file, *_ = names
    card = model_card(
        facts(name=name, base_model=base, metrics={metric: value}, data=(EVALUATION._replace(name=file),), labels=tuple(names))
    )
    head = head_of(card)
    (entry,) = head["model-index"]
    (result,) = entry["results"]
    assert list(head) == ["library_name", "pipeline_tag", "base_model", "tags", "model-index"]
    assert (entry["name"], head["base_model"]) == (printable(name), printable(base))
    assert result["metrics"] == [{"type": printable(metric), "name": printable(metric), "value": value}]
    assert result["dataset"]["name"] == (printable(file) or "evaluation")


@given(st.lists(texts, min_size=9, max_size=9))
def test_any_names_are_seen_and_are_no_markup(names: list[str]):
    name, base, metric, file, option, value, note, *labels = names
    card = model_card(
        facts(
            name=name,
            base=base,
            metrics={metric: 0.5},
            data=(EVALUATION._replace(name=file),),
            options={option: value},
            labels=tuple(labels),
            confusion=ConfusionMatrix(tuple(labels), np.eye(2, dtype=np.int64)),
            notes=(note,),
        )
    )
    metric, file, option, value, first, second = (one_line(each) or "(empty)" for each in (metric, file, option, value, *labels))
    assert rows_of(card) == [
        ["metric", "value"],
        [metric, "0.5000"],
        ["", first, second],
        [first, "1", "0"],
        [second, "0", "1"],
        ["data", "file", "examples", "sha256"],
        ["evaluation", file, "80", "cd" * 32],
        ["option", "value"],
        [option, value],
    ]
    tokens = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(body_of(card))
    assert seen(tokens[1]) == (one_line(name) or "(empty)") and tokens[0].tag == "h1"
    assert seen(tokens[4]).startswith(f"BERT, fine-tuned from {one_line(base) or '(empty)'} by minibert.")
    assert seen(tokens[-4]) == (one_line(note) or "(empty)")
    headings = [token.tag for token in tokens if token.type == "heading_open"]
    assert headings == ["h1", "h2", "h2", "h2", "h2", "h2"]
    assert sum(token.type == "bullet_list_open" for token in tokens) == 1
    assert not any(token.type in ("html_block", "ordered_list_open", "blockquote_open", "hr") for token in tokens)


def test_a_task_and_a_matrix_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="the task is 'translate'; expected one of classify, regress, multilabel, pair, tag, qa"):
        facts(task="translate")
    with pytest.raises(InputError, match=r"the confusion matrix has the shape \[2, 3\]; expected \[2, 2\]"):
        facts(confusion=ConfusionMatrix(("a", "b"), np.zeros((2, 3), np.int64)))
