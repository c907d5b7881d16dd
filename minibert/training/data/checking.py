"""What is looked at before training starts: whether there is something to learn, and labels that training knows."""

import re
import unicodedata
from collections.abc import Sequence

from minibert.errors import InputError, shown
from minibert.printable import counted, listed
from minibert.training.data.columns import closest
from minibert.training.data.examples import Question, TaggedSentence, TextExample
from minibert.training.data.tag_schemes import OUTSIDE

Example = TextExample | TaggedSentence | Question
MOST_WORDS = 50_000
"""Of a text or a sentence: what has more is a file that lost a quote, a line end or its empty lines."""
_LEFT_OUT = {"Cc", "Cf", "Zs", "Zl", "Zp"}
"""The categories of characters of which a tokenizer leaves nothing."""
_WHOLE_NUMBER = re.compile("[+-]?[0-9]{1,400}")


def check_training(examples: Sequence[Example], name: str = "the file to train on") -> None:
    """Raises InputError where nothing can be learnt of a file called `name`.

    That is what `check_examples` refuses, an example without a label, and all having the same label, tag or number; of questions
    all without an answer.
    """
    check_examples(examples, name)
    for example in examples:
        if _told(example) is None:
            raise InputError(f"{example.place}: it has no {_kind(example)}; expected one, as training needs it")
    _check_difference(examples, name)


def check_examples(examples: Sequence[Example], name: str = "the file") -> None:
    """Raises InputError for no example, and for a text that is empty or has over MOST_WORDS words."""
    if not examples:
        raise InputError(f"{name} has no example; expected at least one")
    for example in examples:
        if isinstance(example, TextExample):
            _check_text(example.text, "text", example.place)
            if example.text_pair is not None:
                _check_text(example.text_pair, "second text", example.place)
        elif isinstance(example, Question):
            _check_text(example.question, "question", example.place)
            _check_text(example.context, "context", example.place)
        elif isinstance(example, TaggedSentence) and len(example.words) > MOST_WORDS:
            raise InputError(
                f"{example.place}: the sentence has {counted(len(example.words), 'word')}; expected at most {MOST_WORDS:,}: does "
                "an empty line stand behind each sentence of the file?"
            )


def check_known(examples: Sequence[Example], labels: Sequence[str]) -> None:
    """Raises InputError for the first label or tag that is none of `labels`, those that the model was trained for."""
    known = set(labels)
    for example in examples:
        for number, label in enumerate(_names(example), start=1):
            if label not in known:
                word = f" of word {number:,}, {shown(example.words[number - 1])}," if isinstance(example, TaggedSentence) else ""
                raise InputError(
                    f"{example.place}: the {_kind(example)}{word} is {shown(label)}, which training does not "
                    f"have{closest(label, labels)}; expected one of {listed([shown(each) for each in labels], most=20)}"
                )


def labels_of(examples: Sequence[Example]) -> tuple[str, ...]:
    """The names of all labels: in the order of their numbers where all are whole numbers, else of the alphabet.

    Of tags `O` comes first. Numbers and answers have no names.
    """
    names = {name for example in examples for name in _names(example)}
    if all(_WHOLE_NUMBER.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    tagged = isinstance(examples[0], TaggedSentence)
    return tuple(sorted(names, key=lambda name: (not (tagged and name == OUTSIDE), name)))


def _told(example: Example) -> object:
    """What the file says of an example; None where it says nothing."""
    if isinstance(example, TextExample):
        return example.label
    return example.tags if isinstance(example, TaggedSentence) else example.answers


def _names(example: Example) -> tuple[str, ...]:
    """The names of the labels or tags of an example."""
    if isinstance(example, TaggedSentence):
        return example.tags or ()
    label = example.label if isinstance(example, TextExample) else None
    if isinstance(label, str):
        return (label,)
    return label if isinstance(label, tuple) else ()


def _kind(example: Example) -> str:
    if isinstance(example, TextExample):
        return "label"
    return "tag" if isinstance(example, TaggedSentence) else "answer"


def _check_difference(examples: Sequence[Example], name: str) -> None:
    if isinstance(examples[0], Question):
        if not any(_told(example) for example in examples):
            raise InputError(
                f"{name}: none of its {counted(len(examples), 'question')} has an answer; expected some to learn from"
            )
        return
    tagged = isinstance(examples[0], TaggedSentence)
    different = {told for example in examples for told in (_names(example) if tagged else [_told(example)])}
    if len(different) == 1:
        number = sum(len(example.words) if isinstance(example, TaggedSentence) else 1 for example in examples)
        raise InputError(
            f"{name}: all of its {counted(number, 'word' if tagged else 'row')} have the {_kind(examples[0])} "
            f"{shown(different.pop())}; expected two different ones at least, or there is nothing to learn"
        )


def _check_text(text: str, what: str, place: str) -> None:
    if not text.strip():
        raise InputError(f"{place}: the {what} is empty; expected words")
    if all(unicodedata.category(character) in _LEFT_OUT for character in text):
        raise InputError(f"{place}: the {what} has only characters that cannot be seen, {shown(text)}; expected words")
    # So many words have at least so many characters and spaces between them; texts that may have them are rare.
    if len(text) > 2 * MOST_WORDS and len(text.split(None, MOST_WORDS)) > MOST_WORDS:
        raise InputError(
            f"{place}: the {what} has over {MOST_WORDS:,} words; expected fewer: did a quote or a line end get lost, so that it "
            "took in what follows?"
        )
