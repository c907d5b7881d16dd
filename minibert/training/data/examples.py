"""What the files of the tasks hold: texts with labels, sentences with tags, questions with answers."""

from typing import NamedTuple

Label = str | float | tuple[str, ...]
"""A class by its name, a number, or the names of all labels that a text has."""


class TextExample(NamedTuple):
    """A text, or a pair of texts, and what is to be said of it."""

    place: str
    """Where it stands, as messages name it: `train.tsv, line 17`."""
    text: str
    text_pair: str | None
    label: Label | None
    """None where the file has none, as one whose labels are to be predicted."""


class TaggedSentence(NamedTuple):
    """The words of a sentence and the tag of each."""

    place: str
    """Of its first word."""
    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    """In the scheme IOB2: every entity begins with `B-`. None where the file has none."""


class Answer(NamedTuple):
    """A piece of a context: `context[start : start + len(text)] == text`."""

    text: str
    start: int


class Question(NamedTuple):
    """A question about a context, and its answers in the context."""

    place: str
    """Where it stands: `dev.json, question 57269cc3dd62a815002e8b12`."""
    id: str
    question: str
    context: str
    answers: tuple[Answer, ...] | None
    """All that are accepted; none at all for a question that the context does not answer. None where the file has none."""
