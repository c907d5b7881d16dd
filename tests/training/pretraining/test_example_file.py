"""Examples on the disk, and the batches that training takes of them."""

from pathlib import Path

import numpy as np
import pytest
from written_text import corpus_of, counted_documents, maker_of

from minibert.training.losses import IGNORED
from minibert.training.pretraining.example_file import ExampleRows, ExampleWriter
from minibert.training.pretraining.examples import Example
from minibert.training.rows import WIDTHS, BatchSource, batch_of

PAD = 9


def written(folder: Path, pairs: bool = True) -> tuple[list[Example], ExampleRows]:
    corpus = corpus_of(folder / "corpus", counted_documents([[5] * 20, [7] * 20, [3] * 20]))
    examples = list(maker_of(corpus, 40, pairs=pairs).examples(range(3)))
    with ExampleWriter(folder, "rows") as writer:
        for example in examples:
            writer.write(example)
    return examples, ExampleRows(folder, "rows")


def test_what_was_written_is_read(tmp_path: Path):
    examples, rows = written(tmp_path)
    assert len(rows) == len(examples) > 5
    for number in np.random.default_rng(0).permutation(len(rows)).tolist():
        for found, expected in zip(rows[number], examples[number], strict=True):
            np.testing.assert_array_equal(found, expected)
    with pytest.raises(IndexError):
        rows[len(rows)]


@pytest.mark.parametrize("pairs", [True, False])
def test_a_batch_has_labels_for_each_head(pairs: bool, tmp_path: Path):
    examples, rows = written(tmp_path, pairs)
    assert isinstance(rows, BatchSource)
    numbers = [3, 0, 4]
    batch = batch_of(rows, numbers, 5, pad_token_id=PAD)
    chosen = [examples[number] for number in numbers]
    longest = max(len(example.input_ids) for example in chosen)
    width = next(width for width in WIDTHS if width >= longest)
    labels = batch["labels"]
    assert list(labels) == (["masked_lm", "next_sentence"] if pairs else ["masked_lm"])
    assert {array.dtype for array in (*labels.values(), batch["input_ids"], batch["token_type_ids"])} == {np.dtype(np.int32)}
    for place, example in enumerate(chosen):
        length = len(example.input_ids)
        np.testing.assert_array_equal(batch["input_ids"][place], [*example.input_ids, *[PAD] * (width - length)])
        assert batch["attention_mask"][place].tolist() == [1] * length + [0] * (width - length)
        second = length - example.first_length
        assert batch["token_type_ids"][place].tolist() == [0] * example.first_length + [1] * second + [0] * (width - length)
        expected = np.full(width, IGNORED)
        expected[example.positions] = example.originals
        np.testing.assert_array_equal(labels["masked_lm"][place], expected)
    assert (labels["masked_lm"][3:] == IGNORED).all()
    assert batch["attention_mask"][3:].sum(axis=1).tolist() == [1, 1]
    if pairs:
        assert labels["next_sentence"].tolist() == [*(example.next_sentence for example in chosen), IGNORED, IGNORED]


def test_the_shares_of_processes_are_the_batch(tmp_path: Path):
    _, rows = written(tmp_path)
    whole = batch_of(rows, [2, 1, 3], 4)
    shares = [batch_of(rows, [2, 1, 3], 4, share=slice(start, start + 2)) for start in (0, 2)]
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        np.testing.assert_array_equal(np.concatenate([share[name] for share in shares]), whole[name])
    for name, labels in whole["labels"].items():
        np.testing.assert_array_equal(np.concatenate([share["labels"][name] for share in shares]), labels)


def test_a_row_without_a_masked_token_is_a_row(tmp_path: Path):
    none = np.empty(0, np.int32)
    with ExampleWriter(tmp_path, "rows") as writer:
        writer.write(Example(np.array([2, 1, 3], np.int32), 3, IGNORED, none, none))
    row = ExampleRows(tmp_path, "rows")[0]
    assert (row.input_ids.tolist(), row.positions.tolist(), row.originals.tolist()) == ([2, 1, 3], [], [])


def test_no_example_is_an_empty_file(tmp_path: Path):
    with ExampleWriter(tmp_path, "rows"):
        pass
    assert len(ExampleRows(tmp_path, "rows")) == 0
