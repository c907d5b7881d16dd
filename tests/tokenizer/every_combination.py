"""Compares rows with the `tokenizers` library over lengths, strategies, sides, strides and padding; prints what differs.

    python every_combination.py PART

One PART-th of the combinations of stride and padding is compared at each length: with 3 every pair of options meets. A
program of its own, started by test_against_tokenizers.py: the run-time checks of annotations that the tests switch on would
make a million calls take many minutes.
"""

import os
import sys
from itertools import product
from typing import Any

from reference_tokenizer import as_rows, reference_tokenizer
from row_combinations import MAX_LENGTHS, PADDINGS, PAIRS, SINGLES, STRIDES, our_rows, small_tokenizer

from minibert.tokenizer import Tokenizer


def main() -> None:
    """Prints each difference, and at the end how many rows were compared."""
    part = int(sys.argv[1])
    ours = small_tokenizer()
    reference = reference_tokenizer(ours.vocabulary.ids)
    # The library tells the world of every stride that it panics at, and panics faster on one thread.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    compared = 0
    for samples, special in product((SINGLES, PAIRS), (True, False)):
        for strategy, side, length in product(("longest_first", "only_first", "only_second"), ("right", "left"), MAX_LENGTHS):
            for place, (stride, padding) in enumerate(product(STRIDES, PADDINGS)):
                if (place + length) % part:
                    continue
                options = padding | {"truncation": strategy, "truncation_side": side, "max_length": length, "stride": stride}
                compared += compare(ours, reference, samples, options | {"add_special_tokens": special})
    for padding, multiple in product(PADDINGS[:2], (None, 8)):
        if padding["padding"] or multiple is None:
            compared += compare(ours, reference, PAIRS, padding | {"pad_to_multiple_of": multiple})
    print(f"{compared} compared")


def compare(ours: Tokenizer, reference: Any, samples: list[tuple[str, str | None]], options: dict[str, Any]) -> int:
    """Compares a batch, and where it has an error each of its texts."""
    found, expected = our_rows(ours, samples, options), reference_rows(reference, samples, options)
    if found is not None and expected is not None:
        if found != expected:
            print(f"rows differ: {options} {[key for key in found if found[key] != expected[key]]}")
        return len(expected["input_ids"])
    compared = 0
    # Padding to the longest of a batch has nothing to say on one text.
    for sample in samples if len(samples) > 1 else []:
        compared += compare(ours, reference, [sample], options)
    if len(samples) == 1 and (found is None) != (expected is None) and not is_known_difference(expected, options):
        print(f"{samples[0]}: {options} an error of {'ours' if found is None else 'the reference'} only")
    return compared


def is_known_difference(expected: dict[str, Any] | None, options: dict[str, Any]) -> bool:
    """Whether the library does what `Tokenizer` says that it does otherwise.

    It counts two special tokens where none are added when it looks at the stride, and where a text gets no token of a
    row it puts all of it into one, over the length.
    """
    if expected is None:
        return not options["add_special_tokens"] and options["stride"] > options["max_length"] - 2
    return max(map(len, expected["input_ids"])) > options["max_length"]


def reference_rows(reference: Any, samples: list[tuple[str, str | None]], options: dict[str, Any]) -> dict[str, Any] | None:
    """The library's rows; None for an error, which may be a panic, which is no Exception."""
    inputs = [first if second is None else (first, second) for first, second in samples]
    try:
        reference.no_truncation()
        reference.no_padding()
        if "truncation" in options:
            reference.enable_truncation(
                options["max_length"],
                stride=options["stride"],
                strategy=options["truncation"],
                direction=options["truncation_side"],
            )
        if options["padding"]:
            reference.enable_padding(
                direction=options["padding_side"],
                pad_id=0,
                pad_token="[PAD]",
                length=options["max_length"] if options["padding"] == "max_length" else None,
                pad_to_multiple_of=options.get("pad_to_multiple_of"),
            )
        return as_rows(reference.encode_batch(inputs, add_special_tokens=options.get("add_special_tokens", True)))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return None


if __name__ == "__main__":
    main()
