"""Checks of what a task is made of, and of what it is asked to measure."""

from collections.abc import Sequence
from typing import Any

from minibert.errors import InputError, named, shown
from minibert.printable import counted, listed
from minibert.tokenizer import Tokenizer

MOST_TOKENS = 1 << 20
"""No row is longer; no model has as many positions."""


def check_whole_number(name: str, value: object, least: int, most: int, reason: str = "") -> None:
    """InputError unless `value` is an int from `least` to `most`; `reason` says why these."""
    if type(value) is not int or not least <= value <= most:
        raise InputError(f"{name} is {shown(value)}; expected a whole number from {least:,} to {most:,}{reason}")


def check_switch(name: str, value: object) -> None:
    """InputError unless `value` is True or False."""
    if type(value) is not bool:
        raise InputError(f"{name} is {shown(value)}; expected True or False")


def check_max_length(tokenizer: Tokenizer, max_length: object, least: int) -> None:
    """InputError unless rows of `max_length` tokens hold what they must, and the model takes them."""
    limit = tokenizer.model_max_length
    reason = "" if limit is None or limit > MOST_TOKENS else ", the most tokens that the model takes"
    check_whole_number("max_length", max_length, least, MOST_TOKENS if limit is None else min(limit, MOST_TOKENS), reason)


def check_labels(labels: object, least: int, task: str) -> None:
    """InputError unless `labels` are `least` names or more, all different."""
    if not isinstance(labels, tuple) or not all(isinstance(label, str) and label for label in labels):
        raise InputError(f"labels are {shown(labels)}; expected a tuple of names, none of them empty")
    twice = [label for place, label in enumerate(labels) if label in labels[:place]] if len(set(labels)) < len(labels) else []
    if twice:
        raise InputError(f"labels name {shown(twice[0])} twice; expected names that are all different")
    if len(labels) < least:
        raise InputError(f"{task} has {counted(len(labels), 'label')}; expected at least {least} to tell apart")


def check_no_labels(labels: object, task: str) -> None:
    """InputError where labels are named for a task whose labels have no names."""
    if labels != ():
        raise InputError(f"labels are {shown(labels)}; expected none for {task}, whose labels have no names")


def check_examples(examples: Sequence[Any], kind: type) -> None:
    """InputError unless there are examples, and all of one kind."""
    if not len(examples):
        raise InputError("there are no examples; give at least one")
    for number, example in enumerate(examples):
        if not isinstance(example, kind):
            raise InputError(f"examples[{number}] is of the type {type(example).__name__}; expected {kind.__name__}")


def missing_label(place: str, what: str) -> InputError:
    """The error of an example without a label where predictions are to be measured."""
    return InputError(f"{place} has no {what}, so that no prediction can be measured; give a file that has them all")


def unknown_label(place: str, label: object, labels: tuple[str, ...]) -> InputError:
    """The error of a label that the task does not know."""
    return InputError(f"{named(place)} has the label {shown(label)}; expected one that training has: {listed(labels, most=20)}")
