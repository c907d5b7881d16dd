"""Records tests/goldens/tokenizer_hf.json: what the `tokenizers` library makes of texts that are easy to get wrong.

    python tests/goldens/record_tokenizer.py

Needs the extra `reference`; the tests that read the file do not.
"""

import random
import sys
from itertools import product
from pathlib import Path

import tokenizers

sys.path.insert(0, str(Path(__file__).parent.parent / "tokenizer"))
from every_combination import reference_rows
from hostile_texts import HAND_PICKED, hostile_vocabulary, random_texts
from reference_tokenizer import reference_tokenizer
from row_combinations import MAX_LENGTHS, PADDINGS, PAIRS, SINGLES, STRIDES, small_tokenizer
from stored_answers import SETTINGS, all_digests, write

COMBINATIONS = 100
MOST_ROWS = 12


def main() -> None:
    """Records texts with all that is known of their tokens, digests of many more, and rows of pairs."""
    ids = {token: token_id for token_id, token in enumerate(hostile_vocabulary())}
    rows: list[dict[str, object]] = []
    digests: list[tuple[str, str]] = []
    for settings in SETTINGS:
        reference = reference_tokenizer(ids, lower_case=settings["do_lower_case"], strip_accents=settings.get("strip_accents"))

        def answers(texts, reference=reference):
            return [[row.ids, row.offsets, row.word_ids, row.special_tokens_mask] for row in reference.encode_batch(texts)]

        texts = HAND_PICKED + random_texts(30, seed=11)
        rows += [{"settings": settings, "text": text, "answer": answers([text])[0]} for text in texts]
        digests.append(all_digests(answers))
    write(
        "tokenizer_hf.json",
        rows,
        tokenizers=tokenizers.__version__,
        random_digests=[of_random_texts for of_random_texts, _ in digests],
        code_point_digests=[of_code_points for _, of_code_points in digests],
        combinations=combinations(),
    )


def combinations() -> list[dict[str, object]]:
    """Rows of single texts and pairs under options drawn by chance, those without an error."""
    reference = reference_tokenizer(small_tokenizer().vocabulary.ids)
    source = random.Random(5)
    strategies = list(product(("longest_first", "only_first", "only_second"), ("right", "left")))
    recorded: list[dict[str, object]] = []
    while len(recorded) < COMBINATIONS:
        samples = source.sample(source.choice((SINGLES, PAIRS)), 2)
        strategy, side = source.choice(strategies)
        options = source.choice(PADDINGS) | {
            "truncation": strategy,
            "truncation_side": side,
            "max_length": source.choice(MAX_LENGTHS),
            "stride": source.choice(STRIDES),
            "add_special_tokens": source.random() < 0.7,
        }
        rows = reference_rows(reference, samples, options)
        # A row over the length is the library's answer where a text gets none of it: one of the differences.
        if rows is not None and max(map(len, rows["input_ids"])) <= options["max_length"] and len(rows["input_ids"]) <= MOST_ROWS:
            recorded.append({"samples": samples, "options": options, "rows": rows})
    return recorded


if __name__ == "__main__":
    main()
