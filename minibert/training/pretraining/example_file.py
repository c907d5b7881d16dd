"""Examples in a file, written one after the other and read in any order, of which hardly anything is in memory.

A file of int32 numbers has for each example its first length, its label of the next sentence, its number of tokens, the tokens,
the positions and the originals; a file of int64 numbers where each example ends among them, beginning with a 0.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from minibert.training.losses import IGNORED
from minibert.training.pretraining.corpus import mapped
from minibert.training.pretraining.examples import Example
from minibert.training.rows import padded

HEADER = 3


def paths_of(folder: Path, name: str) -> tuple[Path, Path]:
    """The two files of examples of that name."""
    return folder / f"{name}.numbers", folder / f"{name}.ends"


class ExampleWriter:
    """Writes examples; to be closed, or used as a context.

    Args:
        folder: that exists.
        name: of the examples in it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._files: list[IO[bytes]] = [open(path, "wb") for path in paths_of(folder, name)]  # noqa: SIM115
        self._end = 0
        self._files[1].write(np.int64(0).tobytes())

    def write(self, example: Example) -> None:
        """Append one."""
        header = np.array([example.first_length, example.next_sentence, len(example.input_ids)], np.int32)
        numbers = np.concatenate([header, example.input_ids, example.positions, example.originals], dtype=np.int32)
        self._files[0].write(numbers.tobytes())
        self._end += len(numbers)
        self._files[1].write(np.int64(self._end).tobytes())

    def close(self) -> None:
        """Nothing can be appended any more."""
        for file in self._files:
            file.close()

    def __enter__(self) -> "ExampleWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ExampleRows:
    """Examples that `ExampleWriter` wrote, as the training loop takes them.

    Args:
        folder, name: as the writer had them.
    """

    def __init__(self, folder: Path, name: str) -> None:
        numbers, ends = paths_of(folder, name)
        self._numbers, self._ends = mapped(numbers, np.int32), mapped(ends, np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> Example:
        """The example of this number, from 0."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        numbers = self._numbers[self._ends[number] : self._ends[number + 1]]
        first_length, next_sentence, tokens = numbers[:HEADER].tolist()
        ids, masked = numbers[HEADER : HEADER + tokens], numbers[HEADER + tokens :]
        return Example(ids, first_length, next_sentence, *np.split(masked, 2))

    def batch(
        self,
        numbers: Sequence[int],
        size: int,
        *,
        pad_token_id: int = 0,
        widest: int | None = None,
        share: slice = slice(None),
    ) -> dict[str, Any]:
        """As `batch_of`; `labels` has `masked_lm` [rows, tokens] and, of rows of two segments, `next_sentence` [rows]."""
        examples = [self[number] for number in numbers]
        types = [(np.arange(len(each.input_ids)) >= each.first_length).astype(np.int32) for each in examples]
        ids = [each.input_ids for each in examples]
        batch: dict[str, Any] = padded(ids, types, size, pad_token_id=pad_token_id, widest=widest, share=share)
        masked = np.full(batch["input_ids"].shape, IGNORED, np.int32)
        following = np.full(len(masked), IGNORED, np.int32)
        for place, example in enumerate(examples[share]):
            masked[place, example.positions] = example.originals
            following[place] = example.next_sentence
        has_pairs = examples[0].next_sentence != IGNORED
        return batch | {"labels": {"masked_lm": masked} | ({"next_sentence": following} if has_pairs else {})}
