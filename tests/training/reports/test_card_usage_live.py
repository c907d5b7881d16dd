"""What a card tells people to run in transformers is run, on small models that transformers itself saved."""

from pathlib import Path

import pytest

from minibert.training.reports.usage import IN_TRANSFORMERS

pytestmark = pytest.mark.reference

CLASSES = {
    "classify": ("BertForSequenceClassification", 3),
    "regress": ("BertForSequenceClassification", 1),
    "multilabel": ("BertForSequenceClassification", 3),
    "pair": ("BertForSequenceClassification", 2),
    "tag": ("BertForTokenClassification", 3),
    "qa": ("BertForQuestionAnswering", 2),
}
WORDS = "a another text . ada lovelace lived in london where did she live ?"
PRINTED = {
    "classify": "[{'label': 'LABEL_",
    "regress": "[{'label': 'LABEL_0', 'score': ",
    "multilabel": "'label': 'LABEL_2'",
    "pair": "'label': 'LABEL_",
    "tag": "'entity_group': 'LABEL_",
    "qa": "",
}


@pytest.mark.parametrize("task", IN_TRANSFORMERS)
def test_the_lines_of_a_card_run(task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    import torch
    import transformers

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n")
    name, num_labels = CLASSES[task]
    config = transformers.BertConfig(
        vocab_size=len(tokens),
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=32,
        num_labels=num_labels,
    )
    torch.manual_seed(0)
    getattr(transformers, name)(config).save_pretrained(tmp_path)
    transformers.BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    capsys.readouterr()
    exec(IN_TRANSFORMERS[task].replace("FOLDER", str(tmp_path)), {})
    assert PRINTED[task] in capsys.readouterr().out
