"""The schemes of tags that mark entities, brought to one: IOB2, in which every entity begins with `B-`.

In IOB1 (CoNLL-2003 as published, Wikigold) an entity begins with `I-`, and with `B-` only where one of the same type stands right
before it. Where each entity of a file begins tells the two apart (Tjong Kim Sang and Veenstra 1999, section 2.1).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from minibert.errors import InputError, shown
from minibert.training.data.task_files import place_of

OUTSIDE = "O"


class TagLine(NamedTuple):
    """A tag of a file, and its line."""

    line: int
    tag: str


class _Begin(NamedTuple):
    """A tag that begins an entity, in a place that tells the scheme."""

    line: int
    tag: str
    before: str


def to_iob2(sentences: Sequence[Sequence[TagLine]], name: str) -> list[tuple[str, ...]]:
    """The tags of each sentence in IOB2; tags that are no entities, as parts of speech, come as they are.

    Raises InputError, with the first line at fault, for a file that has entities and tags that are none of O, B-TYPE and I-TYPE,
    or entities that begin by neither scheme throughout.
    """
    if not any(tag[:2].upper() in ("B-", "I-") for sentence in sentences for _, tag in sentence):
        return [tuple(tag for _, tag in sentence) for sentence in sentences]
    _check_tags(sentences, name)
    begins = [begin for sentence in sentences for begin in _telling_begins(sentence)]
    inside = [begin for begin in begins if begin.tag.startswith("I-")]
    outside = [begin for begin in begins if begin.tag.startswith("B-")]
    if inside and outside:
        raise _mixed(inside, outside, name)
    return [tuple(_begun_with_b(sentence) if inside else (tag for _, tag in sentence)) for sentence in sentences]


def _check_tags(sentences: Sequence[Sequence[TagLine]], name: str) -> None:
    for sentence in sentences:
        for line, tag in sentence:
            if tag != OUTSIDE and not (tag.startswith(("B-", "I-")) and len(tag) > 2):
                raise InputError(
                    f"{place_of(name, line)}: the tag is {shown(tag)}; expected O, B-TYPE or I-TYPE (IOB2 or IOB1), as this file "
                    "has tags of entities"
                )


def _telling_begins(sentence: Sequence[TagLine]) -> Iterator[_Begin]:
    """The tags that begin an entity with none of its type right before: with `B-` in IOB2, with `I-` in IOB1."""
    before = OUTSIDE
    for line, tag in sentence:
        if tag != OUTSIDE and tag[2:] != _type(before):
            yield _Begin(line, tag, before)
        before = tag


def _type(tag: str) -> str:
    return "" if tag == OUTSIDE else tag[2:]


def _begun_with_b(sentence: Sequence[TagLine]) -> Iterator[str]:
    before = OUTSIDE
    for _, tag in sentence:
        yield tag if tag == OUTSIDE or tag[2:] == _type(before) else f"B-{tag[2:]}"
        before = tag


def _mixed(inside: Sequence[_Begin], outside: Sequence[_Begin], name: str) -> InputError:
    """What fewer entities do is taken for the fault."""
    few, many, scheme = (inside, outside, "IOB2") if len(inside) <= len(outside) else (outside, inside, "IOB1")
    fault, usual = few[0], many[0]
    return InputError(
        f"{place_of(name, fault.line)}: the tag is {shown(fault.tag)} after {shown(fault.before)}, but {len(many):,} entities of "
        f"this file begin by {scheme}, as {shown(usual.tag)} in line {usual.line:,}; expected "
        f"{shown(usual.tag[:2] + fault.tag[2:])} here, or one scheme in the whole file"
    )
