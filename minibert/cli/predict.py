"""`minibert predict`: what a trained model says of texts, words, or questions."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minibert.atomic_write import check_not_read, write_atomically
from minibert.cli.console import console, warnings_as_lines
from minibert.cli.option_names import options_by_their_names
from minibert.cli.texts import check_given, texts_given
from minibert.cli.training_options import add_columns_of_tables, columns_given, word_columns_given
from minibert.errors import InputError
from minibert.printable import counted, printable
from minibert.training.data import Columns, Question, TaggedSentence, TextExample, check_examples
from minibert.training.finetuning import Predictor
from minibert.training.finetuning.files import read_examples
from minibert.training.finetuning.words import words_in

COLA_TEST_HEADER = b"index\tsentence"
"""GLUE's CoLA has other columns in its file to predict than in those to train on and to evaluate with."""
LINES = (".txt", "")
"""Names of files that hold a text a line end so."""


def add_parser(subparsers: Any) -> None:
    """Register the command `predict`."""
    parser = subparsers.add_parser(
        "predict",
        help="ask a trained model",
        description="Ask a model that `minibert finetune` trained, or one of transformers' with the head of a task, about texts, "
        "or about the rows of a file: of the form it was trained on, or a text a line in a .txt file unless columns are named. "
        "Labels in the file are not looked at.",
    )
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a text each (qa: a question each); - reads a text a line")
    parser.add_argument("--model", required=True, metavar="FOLDER", help="what `minibert finetune` wrote")
    parser.add_argument(
        "--file", metavar="PATH", help="read .tsv, .csv, .jsonl, lines of words (tag), SQuAD's .json, or a text a line"
    )
    parser.add_argument("--context", metavar="TEXT", help="qa: what the questions are about")
    parser.add_argument("--second", metavar="TEXT", help="of pairs: the second text, of every TEXT")
    parser.add_argument(
        "--output", metavar="FILE", help="write to FILE.jsonl; of qa also .json, the form that SQuAD's evaluation reads"
    )
    parser.add_argument("--format", choices=("table", "jsonl"), default="table", help="of what is shown (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="rows at a time (default: %(default)s)")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default="float32", help="of the products (default: %(default)s)"
    )
    add_columns_of_tables(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read, predict, write or show."""
    check_given(arguments.texts, [arguments.file] if arguments.file else [], "predict")
    if arguments.batch_size < 1:
        raise InputError(f"--batch-size is {arguments.batch_size}; expected a whole number from 1 up")
    output = Path(arguments.output) if arguments.output is not None else None
    if output is not None and output.suffix not in (".jsonl", ".json"):
        raise InputError(f"--output is {arguments.output}; expected a file that ends in .jsonl, or .json for answers")
    if output is not None and arguments.file:
        check_not_read(output, [arguments.file])
    with warnings_as_lines(), options_by_their_names():
        predictor = Predictor(arguments.model, dtype=arguments.dtype)
        task = predictor.task.name
        if output is not None and output.suffix == ".json" and task != "qa":
            raise InputError(f"--output ends in .json, the form of answers to questions; the model's task is {task}: take .jsonl")
        examples = _examples(arguments, task, predictor)
        check_examples(examples, arguments.file or "what was given")
        found = predictor(examples, batch_size=arguments.batch_size)
    if output is None:
        _show(found, task, arguments.format)
        return 0
    if output.suffix == ".json":
        lines = json.dumps({each["id"]: each["answer"] for each in found}, ensure_ascii=False) + "\n"
    else:
        lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in found)
    with write_atomically(output) as file:
        file.write(lines.encode())
    print(f"wrote {counted(len(found), 'prediction')} to {arguments.output}")
    return 0


def _examples(arguments: argparse.Namespace, task: str, predictor: Predictor) -> list[Any]:
    file = arguments.file
    takes_pairs = getattr(predictor.task, "takes_pairs", False)
    for name, wanted, has_it in (("context", "qa", task == "qa"), ("second", "pair", takes_pairs)):
        if getattr(arguments, name) is not None and (file or not has_it):
            raise InputError(
                f"--{name} goes with texts of the task {wanted}; this is {task}{', of a file' if file else ''}: leave it out"
            )
    columns = columns_given(arguments)
    if file and arguments.glue == "cola" and arguments.text is None and _first_line(file) == COLA_TEST_HEADER:
        columns = Columns(text="sentence")
    has_lines = Path(file or "").suffix.lower() in LINES and columns == Columns()
    if file and not (has_lines and task in ("classify", "regress", "multilabel")):
        return read_examples(file, "pair" if takes_pairs else task, columns, has_labels=False, **word_columns_given(arguments))
    texts = list(texts_given(arguments.texts, [file] if file else [], "predict"))
    if file and texts and "\t" in texts[0]:
        raise InputError(f"{file} has a tab in its first line; name its columns, --text NAME, or give it as a .tsv file")
    places = [f"{file or 'text'} {'line ' if file else ''}{number:,}" for number in range(1, len(texts) + 1)]
    if task == "tag":
        return [
            TaggedSentence(place, words_in(predictor.tokenizer, text), None) for place, text in zip(places, texts, strict=True)
        ]
    if task == "qa":
        if arguments.context is None:
            raise InputError("the model answers questions about a context; give --context TEXT, or --file with SQuAD's JSON")
        return [Question(place, place, text, arguments.context, None) for place, text in zip(places, texts, strict=True)]
    if takes_pairs and arguments.second is None:
        raise InputError("the model was trained on pairs; give the second text by --second, or a file")
    return [TextExample(place, text, arguments.second, None) for place, text in zip(places, texts, strict=True)]


def _first_line(file: str) -> bytes:
    try:
        with open(file, "rb") as opened:
            return opened.readline(1000).strip()
    except OSError:
        # Whoever reads it in earnest will say why.
        return b""


def _show(found: Sequence[dict[str, Any]], task: str, form: str) -> None:
    if form == "jsonl":
        for each in found:
            print(json.dumps(each, ensure_ascii=False))
        return
    from rich.table import Table
    from rich.text import Text

    said = {"tag": "entities", "qa": "answer"}.get(task, "label")
    table = Table("text", said, "")
    for each in found:
        table.add_row(*(Text(printable(cell)) for cell in _cells(each, task)))
    console().print(table)


def _cells(each: dict[str, Any], task: str) -> tuple[str, str, str]:
    if task == "tag":
        entities = ", ".join(f"{entity[3]} ({entity[2]})" for entity in each.get("entities", []))
        return " ".join(each["words"]), entities or "—", ""
    if task == "qa":
        best = each["n_best"][0] if each.get("n_best") else {}
        return each["question"], each["answer"] or "(no answer)", f"{best['probability']:.3f}" if "probability" in best else ""
    text = each["text"] + (f" ‖ {each['text_pair']}" if "text_pair" in each else "")
    label, probabilities = each["label"], each.get("probabilities")
    if isinstance(label, list):
        return text, ", ".join(label) or "—", ""
    if probabilities is None:
        return text, f"{label:.3f}", ""
    return text, label, f"{probabilities[label]:.3f}"
