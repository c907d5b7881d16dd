"""A dozen texts that models are run on where the user gives none, as one batch."""

import numpy as np

from minibert.config import BertConfig
from minibert.tokenizer import Tokenizer

TEXTS = (
    "The bank raised its rates on Monday.",
    "Hi!",
    "unbelievable",
    "",
    "Nobody who had seen the river in the dry months would have believed how far it could rise in a single night, and so the "
    "people of the lower town slept, as they always had.",
    "Ångström's naïve café served crème brûlée in São Paulo.",
    "東京は日本の首都です。北京是中国的首都。",
    "Привет, мир! שלום עולם مرحبا بالعالم",
    "So happy 😀🎉 👩‍👩‍👧",
    "3.14159 × 2 = 6.28318; write to someone@example.org",
    "Paris is the [MASK] of France. [SEP] [UNK]",
)
PAIR = ("Who wrote it?", "Nobody knows.")
LONGEST_ROW = 32
"""Tokens: longer texts are cut, for the cost of a dozen grows with the longest."""


def sample_batch(tokenizer: Tokenizer, config: BertConfig) -> dict[str, np.ndarray]:
    """The texts, and last the pair, as one batch for a model. Raises TokenizerError as the tokenizer does."""
    longest = min(LONGEST_ROW, config.max_position_embeddings, tokenizer.model_max_length or LONGEST_ROW)
    batches = [
        tokenizer(given, truncation=True, max_length=longest, padding="max_length", padding_side="right")
        for given in (list(TEXTS), [PAIR])
    ]
    batch = {name: np.concatenate([one[name] for one in batches]) for name in batches[0]}
    # A model with a single token type takes no pairs: it sees both texts as one.
    batch["token_type_ids"] = np.minimum(batch["token_type_ids"], config.type_vocab_size - 1)
    width = int(batch["attention_mask"].sum(axis=1).max())
    return {name: array[:, :width] for name, array in batch.items()}
