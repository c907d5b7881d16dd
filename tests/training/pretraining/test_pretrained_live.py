"""What was pre-trained is opened by transformers, as the class that it is, with the same logits and the same ids."""

from pathlib import Path

import numpy as np
import pytest
from written_text import story, write_documents

import minibert
from minibert.training.options import TrainingOptions
from minibert.training.pretraining import PretrainOptions, pretrain

pytestmark = pytest.mark.reference

TEXTS = ["The river was green.", "the bank stays red and the [MASK] looks blue"]


@pytest.mark.parametrize("pairs", [True, False])
def test_transformers_opens_it_with_the_same_logits(pairs: bool, tmp_path: Path):
    import torch
    import transformers

    text = write_documents(tmp_path / "stories.txt", [story(number) for number in range(16)])
    training = TrainingOptions(batch_size=8)
    options = PretrainOptions(
        vocabulary_size=60, hidden_size=32, layers=2, max_length=32, passes=1, steps=4, next_sentence=pairs, training=training
    )
    folder = pretrain([text], tmp_path / "out", options).folder
    opened = (transformers.BertForPreTraining if pairs else transformers.BertForMaskedLM).from_pretrained(folder)
    tokenizer, theirs = minibert.Tokenizer.load(folder), transformers.AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(TEXTS)
    np.testing.assert_array_equal(batch["input_ids"], theirs(TEXTS, padding=True, return_tensors="np")["input_ids"])
    with torch.no_grad():
        output = opened.eval()(**{name: torch.from_numpy(values).long() for name, values in batch.items()})
    expected = (
        {"masked_lm": output.prediction_logits, "next_sentence": output.seq_relationship_logits}
        if pairs
        else {"masked_lm": output.logits}
    )
    model = minibert.load(folder, head="pretraining" if pairs else "masked_lm")
    found = model(**batch).logits_by_head
    real = batch["attention_mask"].astype(bool)
    for name, logits in found.items():
        ours, other = np.asarray(logits), expected[name].numpy()
        if name == "masked_lm":
            ours, other = ours[real], other[real]
        np.testing.assert_allclose(ours, other, atol=2e-6)
    # As its card says.
    fill = transformers.pipeline("fill-mask", model=str(folder))
    assert len(fill("The bank was [MASK].")) == 5
