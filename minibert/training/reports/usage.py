"""What a model's card says of every task: how a model is used, and what must not be expected of it."""

PIPELINE_TAGS = {
    "classify": "text-classification",
    "regress": "text-classification",
    "multilabel": "text-classification",
    "pair": "text-classification",
    "tag": "token-classification",
    "qa": "question-answering",
}
"""The Hub's name of each task."""

COMMANDS = {
    "classify": "minibert predict --model FOLDER --file texts.tsv --output predictions.jsonl",
    "regress": "minibert predict --model FOLDER --file texts.tsv --output predictions.jsonl",
    "multilabel": "minibert predict --model FOLDER --file texts.tsv --output predictions.jsonl",
    "pair": "minibert predict --model FOLDER --file pairs.tsv --output predictions.jsonl",
    "tag": "minibert predict --model FOLDER --file sentences.conll --output predictions.jsonl",
    "qa": "minibert predict --model FOLDER --file questions.json --output predictions.jsonl",
}

IN_TRANSFORMERS = {
    "classify": """\
from transformers import pipeline

classify = pipeline("text-classification", model="FOLDER")
print(classify("A text."))""",
    "regress": """\
from transformers import pipeline

measure = pipeline("text-classification", model="FOLDER", function_to_apply="none")
print(measure("A text."))""",
    "multilabel": """\
from transformers import pipeline

label = pipeline("text-classification", model="FOLDER", function_to_apply="sigmoid", top_k=None)
print(label("A text."))""",
    "pair": """\
from transformers import pipeline

compare = pipeline("text-classification", model="FOLDER")
print(compare({"text": "A text.", "text_pair": "Another text."}))""",
    "tag": """\
from transformers import pipeline

tag = pipeline("token-classification", model="FOLDER", aggregation_strategy="first")
print(tag("Ada Lovelace lived in London."))""",
    # Pipelines of questions went with transformers 5.
    "qa": """\
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AutoModelForQuestionAnswering.from_pretrained("FOLDER")
encoded = tokenizer("Where did she live?", "Ada Lovelace lived in London.", return_tensors="pt")
with torch.no_grad():
    output = model(**encoded)
first, last = int(output.start_logits.argmax()), int(output.end_logits.argmax())
print(tokenizer.decode(encoded["input_ids"][0, first : last + 1]))""",
}

LIMITS = {
    "classify": "It always gives one of its labels, to a text that none of them fits too; its probabilities are not calibrated.",
    "regress": "Nothing keeps its numbers in the range of those that it learned from.",
    "multilabel": "It knows no labels but its own; its probabilities are not calibrated.",
    "pair": "It always gives one of its labels, to a pair that none of them fits too; the order of the two texts matters.",
    "tag": "It knows no types but its own, and no entity within another.",
    "qa": "Its answers are pieces of the text that it is given, whether or not the text is true.",
}


def usage(task: str, is_baseline: bool) -> list[str]:
    """Paragraphs of Markdown on how a model of the task is used; FOLDER stands for where it lies."""
    paragraphs = ["With minibert, where FOLDER is the folder of this card:", f"```bash\n{COMMANDS[task]}\n```"]
    if is_baseline:
        return [*paragraphs, "Other libraries cannot load it."]
    return [*paragraphs, "With transformers:", f"```python\n{IN_TRANSFORMERS[task]}\n```"]


def limits(task: str) -> list[str]:
    """Sentences of Markdown on what must not be expected of a model of the task."""
    return [
        "The numbers above hold for texts like those it was measured on; on others, of another kind, time or language, it may be "
        "much worse. Measure it on your own.",
        "What its data and the model it came from say wrongly or unfairly, it has learned too.",
        LIMITS[task],
    ]
