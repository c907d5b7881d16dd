"""A batch and labels for every task, and weights for its model, as functions of names alone: nothing of them has to be stored."""

import zlib

import numpy as np

LABELS = 3
SIZES = dict(
    vocab_size=53,
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=40,
    max_position_embeddings=17,
    num_labels=LABELS,
    initializer_range=0.3,
)
CLASSES = {
    "masked_lm": "BertForMaskedLM",
    "next_sentence": "BertForNextSentencePrediction",
    "pretraining": "BertForPreTraining",
    "sequence_classification": "BertForSequenceClassification",
    "multiple_choice": "BertForMultipleChoice",
    "token_classification": "BertForTokenClassification",
    "question_answering": "BertForQuestionAnswering",
}
"""transformers' classes by our heads."""
TASKS = [*CLASSES, "multi_label", "regression"]
"""The heads, and what the labels of a text may be besides a class."""


def batch_of(task: str) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    shape = (4, 3, 11) if task == "multiple_choice" else (4, 11)
    ids = generator.integers(1, 53, shape).astype(np.int32)
    lengths = generator.integers(3, 12, shape[:-1])
    mask = (np.arange(11) < lengths[..., None]).astype(np.int32)
    types = (np.arange(11) >= lengths[..., None] // 2).astype(np.int32) * mask
    return {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": types}


def labels_of(task: str, mask: np.ndarray) -> dict[str, np.ndarray]:
    """By the name of our head, or of its loss."""
    generator = np.random.default_rng(1)
    some = np.where((generator.random(mask.shape) < 0.5) & (mask > 0), generator.integers(0, LABELS, mask.shape), -100)
    return {
        "masked_lm": {"masked_lm": some},
        "next_sentence": {"next_sentence": np.array([0, 1, 1, 0])},
        "pretraining": {"masked_lm": some, "next_sentence": np.array([0, 1, 1, 0])},
        "sequence_classification": {"sequence_classification": np.array([0, 2, 1, 2])},
        "multiple_choice": {"multiple_choice": np.array([0, 2, 1, 2])},
        "token_classification": {"token_classification": some},
        # The second answer's end lies behind the text.
        "question_answering": {"question_answering": np.array([[0, 1], [2, 40], [1, 1], [0, 2]])},
        "multi_label": {"multi_label": (generator.random((4, LABELS)) < 0.5).astype(np.float32)},
        "regression": {"regression": generator.normal(size=(4, LABELS)).astype(np.float32)},
    }[task]


def weight_of(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter as its name says: LayerNorm's around one, all others around zero."""
    values = np.random.default_rng(zlib.crc32(name.encode())).random(shape) - 0.5
    return (values + 1.0 if name.endswith("LayerNorm.weight") else values * 0.6).astype(np.float32)
