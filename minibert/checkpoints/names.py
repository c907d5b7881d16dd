"""The one table of parameter names: ours beside every format's.

Ours are the paths in the module tree of `Bert`, so the table reads like the paper. `{i}` stands for the layer. A dense
weight is [in, out] with us and [out, in] in PyTorch's layout.
"""

from typing import NamedTuple


class Row(NamedTuple):
    """One parameter: its path in our module tree, its Hugging Face name, and whether that is stored transposed."""

    ours: str
    hf: str
    transposed: bool = False


def _dense(ours: str, hf: str) -> list[Row]:
    return [Row(f"{ours}.kernel", f"{hf}.weight", transposed=True), Row(f"{ours}.bias", f"{hf}.bias")]


def _layer_norm(ours: str, hf: str) -> list[Row]:
    return [Row(f"{ours}.scale", f"{hf}.LayerNorm.weight"), Row(f"{ours}.bias", f"{hf}.LayerNorm.bias")]


PARAMETERS: list[Row] = [
    Row("embeddings.word", "embeddings.word_embeddings.weight"),
    Row("embeddings.position", "embeddings.position_embeddings.weight"),
    Row("embeddings.token_type", "embeddings.token_type_embeddings.weight"),
    *_layer_norm("embeddings.layer_norm", "embeddings"),
    *_dense("encoder.layers.{i}.attention.query", "encoder.layer.{i}.attention.self.query"),
    *_dense("encoder.layers.{i}.attention.key", "encoder.layer.{i}.attention.self.key"),
    *_dense("encoder.layers.{i}.attention.value", "encoder.layer.{i}.attention.self.value"),
    *_dense("encoder.layers.{i}.attention.projection", "encoder.layer.{i}.attention.output.dense"),
    *_layer_norm("encoder.layers.{i}.attention.layer_norm", "encoder.layer.{i}.attention.output"),
    *_dense("encoder.layers.{i}.feed_forward.intermediate", "encoder.layer.{i}.intermediate.dense"),
    *_dense("encoder.layers.{i}.feed_forward.projection", "encoder.layer.{i}.output.dense"),
    *_layer_norm("encoder.layers.{i}.feed_forward.layer_norm", "encoder.layer.{i}.output"),
    *_dense("pooler.dense", "pooler.dense"),
]

# By the names in `minibert.model.heads`. The masked language model's last kernel is the table of word embeddings.
HEAD_PARAMETERS: dict[str, list[Row]] = {
    "masked_lm": [
        *_dense("heads.masked_lm.dense", "cls.predictions.transform.dense"),
        *_layer_norm("heads.masked_lm.layer_norm", "cls.predictions.transform"),
        Row("heads.masked_lm.bias", "cls.predictions.bias"),
    ],
    "next_sentence": _dense("heads.next_sentence.dense", "cls.seq_relationship"),
    "sequence_classification": _dense("heads.sequence_classification.dense", "classifier"),
    "multiple_choice": _dense("heads.multiple_choice.dense", "classifier"),
    "token_classification": _dense("heads.token_classification.dense", "classifier"),
    "question_answering": _dense("heads.question_answering.dense", "qa_outputs"),
}
PRETRAINING_HEADS: list[Row] = [*HEAD_PARAMETERS["masked_lm"], *HEAD_PARAMETERS["next_sentence"]]

WORD_TABLE = "embeddings.word_embeddings.weight"
TIED_KERNEL = "cls.predictions.decoder.weight"
SECOND_COPIES = {TIED_KERNEL: WORD_TABLE, "cls.predictions.decoder.bias": "cls.predictions.bias"}
"""What checkpoints may hold a second time, and what BERT uses in its place."""

# Tensors of task heads: a checkpoint may carry them, the bare encoder leaves them aside and says so.
HF_HEADS = {
    "cls.predictions.bias": "masked LM",
    "cls.predictions.decoder.bias": "masked LM",
    "cls.predictions.decoder.weight": "masked LM",
    "cls.predictions.transform.dense.weight": "masked LM",
    "cls.predictions.transform.dense.bias": "masked LM",
    "cls.predictions.transform.LayerNorm.weight": "masked LM",
    "cls.predictions.transform.LayerNorm.bias": "masked LM",
    "cls.seq_relationship.weight": "next sentence",
    "cls.seq_relationship.bias": "next sentence",
    "classifier.weight": "classification",
    "classifier.bias": "classification",
    "qa_outputs.weight": "question answering",
    "qa_outputs.bias": "question answering",
}

# Buffers that hold 0, 1, 2, … and no knowledge.
HF_BUFFERS = {"embeddings.position_ids", "embeddings.token_type_ids"}


def table_for(num_hidden_layers: int, *, pooler: bool) -> list[Row]:
    """The rows of a model of this depth, with the layer numbers filled in."""
    rows = []
    for row in PARAMETERS:
        if "{i}" in row.ours:
            for layer in range(num_hidden_layers):
                rows.append(row._replace(ours=row.ours.format(i=layer), hf=row.hf.format(i=layer)))
        elif pooler or not row.ours.startswith("pooler."):
            rows.append(row)
    return rows
