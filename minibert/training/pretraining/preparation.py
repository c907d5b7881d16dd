"""From text files to examples in a training's folder: the vocabulary, the tokens, who is held out, the rows of every pass.

All of it follows from files, options and seed, to the same bytes. What is there whole from an interrupted run is not made again.
"""

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minibert.atomic_write import sync_tree, write_atomically
from minibert.checkpoints.integrity import sha256_of
from minibert.errors import InputError
from minibert.printable import counted
from minibert.strict_json import read_json_object
from minibert.tokenizer import Tokenizer
from minibert.training.data.data_warning import DataWarning
from minibert.training.finetuning.models import tokenizer_of
from minibert.training.pretraining.corpus import Corpus, Counts, tokenised
from minibert.training.pretraining.example_file import ExampleRows, ExampleWriter
from minibert.training.pretraining.examples import IS_RANDOM, ExampleMaker
from minibert.training.pretraining.masking import Masking
from minibert.training.pretraining.options import VOCABULARY_SIZE, PretrainOptions
from minibert.training.pretraining.vocabulary import train_vocabulary
from minibert.training.tasks.arguments import check_max_length

EXAMPLES, TOKENIZER, CORPUS, RECORD = "examples", "tokenizer", "corpus", "prepared.json"
TRAINING, EVALUATION = "training", "evaluation"
STREAM = 2
"""Tells the random numbers of who is held out from those of the examples."""
Say = Callable[[str], None]
"""What is called with a sentence about what is going to be done, which may take a while."""


class Prepared(NamedTuple):
    """What a training begins with."""

    tokenizer: Tokenizer
    rows: ExampleRows
    evaluation: ExampleRows | None
    """Of the documents that were held out."""
    counts: Mapping[str, int]
    """By their names: documents, sentences and so on."""


def prepare(folder: Path, paths: Sequence[Path], facts: Mapping[str, Any], options: PretrainOptions, say: Say) -> None:
    """Make what `prepared` reads, in the folder of a training; `facts` are all that it depends on.

    Raises InputError for files and options that give no examples, TokenizerError and CheckpointError for a broken tokenizer.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    if _is_whole(folder, digest):
        return
    for name in (EXAMPLES, TOKENIZER, CORPUS):
        shutil.rmtree(folder / name, ignore_errors=True)
    tokenizer = _tokenizer(paths, options, say)
    check_max_length(tokenizer, options.max_length, least=5)
    (folder / TOKENIZER).mkdir()
    tokenizer.save(folder / TOKENIZER)
    for name in (CORPUS, EXAMPLES):
        (folder / name).mkdir()
    say("reading the text")
    counts = tokenised(paths, as_text(tokenizer), folder / CORPUS)
    corpus = Corpus(folder / CORPUS)
    training, held_out = _divided(paths, counts, options)
    say(f"making examples of {counted(counts.documents, 'document')}, {counted(counts.tokens, 'token')}")
    maker = _maker(corpus, tokenizer, options)
    found = dict(counts._asdict()) | {"held_out": len(held_out)}
    found |= _written(folder / EXAMPLES, TRAINING, maker, training, options.passes)
    if len(held_out):
        others = _written(folder / EXAMPLES, EVALUATION, maker, held_out, 1)
        found |= {f"{EVALUATION}_{name}": number for name, number in others.items()}
    del corpus, maker
    shutil.rmtree(folder / CORPUS, ignore_errors=True)
    sync_tree(folder / EXAMPLES)
    sync_tree(folder / TOKENIZER)
    record = {"made_of": digest, "counts": found, "files": _hashes(folder)}
    with write_atomically(folder / RECORD) as file:
        file.write(json.dumps(record, indent=1).encode())


def prepared(folder: Path) -> Prepared:
    """What `prepare` made in the folder."""
    counts = read_json_object(folder / RECORD, error=InputError)["counts"]
    examples = folder / EXAMPLES
    return Prepared(
        Tokenizer.from_folder(folder / TOKENIZER),
        ExampleRows(examples, TRAINING),
        ExampleRows(examples, EVALUATION) if counts["held_out"] else None,
        counts,
    )


def as_text(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer for texts in which "[MASK]" is a bracket, a word and a bracket, as Google's code has it.

    Tokens that were added to BERT's own are still found where they stand by themselves.
    """
    settings = tokenizer.settings
    whole = (*settings.never_split, *settings.additional_special_tokens)
    return Tokenizer(tokenizer.vocabulary, replace(settings, special_tokens_in_text=False, never_split=whole))


def _tokenizer(paths: Sequence[Path], options: PretrainOptions, say: Say) -> Tokenizer:
    if options.model is not None:
        return tokenizer_of(options.model)
    if options.tokenizer is not None:
        found = tokenizer_of(options.tokenizer)
    else:
        size = VOCABULARY_SIZE if options.vocabulary_size is None else options.vocabulary_size
        say(f"learning a vocabulary of at most {size:,} tokens")
        found = train_vocabulary(paths, size, lowercase=not options.cased)
    # A new model takes as many tokens as it has positions, whatever another one took.
    return Tokenizer(found.vocabulary, replace(found.settings, model_max_length=options.new_positions))


def _divided(paths: Sequence[Path], counts: Counts, options: PretrainOptions) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the documents to train on and of those that are held out, each rising."""
    count = counts.documents
    if counts.unknown == counts.tokens:
        raise InputError(
            f"{paths[0]}: the vocabulary knows none of its words; give a tokenizer for this text, or let one be made"
        )
    # A second segment from elsewhere takes two documents on either side.
    least = 2 if options.next_sentence else 1
    if count < least:
        raise InputError(
            f"{paths[0]} holds a single document; expected two at least, with an empty line between them, for a second segment "
            "from another document: or leave out the next sentence (next_sentence=False, --no-next-sentence)"
        )
    wanted = max(least, round(count * options.held_out)) if options.held_out else 0
    if wanted and count < 2 * least:
        warnings.warn(
            f"the text has {counted(count, 'document')}, too few to hold some out: nothing will be evaluated",
            DataWarning,
            stacklevel=2,
        )
        wanted = 0
    if wanted > count - least:
        raise InputError(
            f"held_out is {options.held_out}, which is {wanted:,} of {counted(count, 'document')}; expected a share that leaves "
            f"{least} at least to learn from"
        )
    random = np.random.default_rng([options.training.seed, STREAM])
    is_held_out = np.zeros(count, np.bool_)
    is_held_out[random.choice(count, wanted, replace=False)] = True
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def _maker(corpus: Corpus, tokenizer: Tokenizer, options: PretrainOptions) -> ExampleMaker:
    masking = Masking.of(tokenizer, share=options.masked_share, most=options.most_masked, whole_word=options.whole_word)
    return ExampleMaker(
        corpus,
        tokenizer,
        masking,
        max_length=options.max_length,
        short_share=options.short_share,
        next_sentence=options.next_sentence,
        seed=options.training.seed,
    )


def _written(folder: Path, name: str, maker: ExampleMaker, documents: np.ndarray, passes: int) -> dict[str, int]:
    """Write the examples of all passes; how many there are, how many tokens they mask, how many pairs are of two documents."""
    counts = {"examples": 0, "masked": 0, "random_pairs": 0}
    with ExampleWriter(folder, name) as writer:
        for number in range(passes):
            for example in maker.examples(documents, number):
                writer.write(example)
                counts["examples"] += 1
                counts["masked"] += len(example.positions)
                counts["random_pairs"] += example.next_sentence == IS_RANDOM
    return counts


def _is_whole(folder: Path, digest: str) -> bool:
    """Whether all that is to be made is there already; what is damaged is made again."""
    if not (folder / RECORD).exists():
        return False
    record = read_json_object(folder / RECORD, error=InputError)
    return record.get("made_of") == digest and record.get("files") == _hashes(folder)


def _hashes(folder: Path) -> dict[str, str]:
    paths = sorted(path for name in (EXAMPLES, TOKENIZER) for path in (folder / name).glob("*"))
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}
