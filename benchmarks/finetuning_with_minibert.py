"""What `finetuning.py` runs of minibert: the job that a user has, its baseline, and vectors of BERT as it was loaded."""

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from finetuning_data import SMALL_TASKS, Data, Example
from finetuning_recipe import Outcome, Recipe
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import minibert
from minibert.training import OptimiserOptions
from minibert.training.data import Columns, TaggedSentence, TextExample
from minibert.training.finetuning import FinetuneOptions, Predictor, finetune
from minibert.training.finetuning.files import read_for_training
from minibert.training.options import TrainingOptions
from minibert.training.tasks import TASKS

LAST_STEP = 1 << 31
"""Evaluated after so many steps, which no training here has: at the end alone, so that the last parameters are kept."""


def finetune_with_minibert(
    name: str, data: Data, recipe: Recipe, checkpoint: Path, seed: int, *, freeze_encoder: bool = False, **options: Any
) -> Outcome:
    """Files in, a folder out, and predictions of what is in the folder, which have to be as good as the job says they are."""
    task = SMALL_TASKS[name]
    optimiser = OptimiserOptions(
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        warm_up=recipe.warm_up,
        max_gradient_norm=recipe.max_gradient_norm,
        epsilon=recipe.epsilon,
        freeze_encoder=freeze_encoder,
    )
    training = TrainingOptions(
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        seed=seed,
        evaluate_every=LAST_STEP,
        log_every=1,
        optimiser=optimiser,
    )
    job = FinetuneOptions(
        task.kind,
        model=str(checkpoint),
        columns=columns_of(name),
        task_settings={"max_length": recipe.max_length},
        training=training,
        **options,
    )
    with tempfile.TemporaryDirectory() as folder:
        train, evaluation = (Path(folder) / f"{part}{task.suffix}" for part in ("train", "evaluation"))
        task.write(train, data.train)
        task.write(evaluation, data.evaluation)
        with warnings.catch_warnings():
            # That the head is new, and that a few texts are cut, is known here.
            warnings.simplefilter("ignore")
            done = finetune(train, evaluation, Path(folder) / "trained", job)
            predicted = _predicted(done.folder, task.kind, data.evaluation)
    # A predictor computes in float32, whatever the job did.
    tolerance = 1e-6 if job.dtype == "float32" else 0.02
    for metric, value in task.score([example.label for example in data.evaluation], predicted).items():
        told = done.metrics[metric]
        assert abs(value - told) < tolerance, f"{metric}: the job says {told}, the predictions of its folder give {value}"
    return Outcome(predicted, [record["loss"] for record in done.trained.records if "loss" in record])


def save_start(name: str, data: Data, checkpoint: Path, seed: int, folder: Path) -> list[str]:
    """What a job of this seed begins with, in a new folder: the checkpoint under the head that it draws; the labels' names."""
    task = SMALL_TASKS[name]
    options = FinetuneOptions(task.kind, model=str(checkpoint), columns=columns_of(name))
    with tempfile.TemporaryDirectory() as files, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # That the head is new is what is wanted.
        train = Path(files) / f"train{task.suffix}"
        task.write(train, data.train)
        _, _, labels = read_for_training(train, None, options)
        model = minibert.load(checkpoint, head=TASKS[task.kind].head, num_labels=len(labels) or 1, seed=seed)
    minibert.save(model, minibert.Tokenizer.from_folder(checkpoint), folder)
    return list(labels)


def columns_of(name: str) -> Columns:
    """STS-B has two texts in a row."""
    return Columns(wants_pair=name == "stsb")


def _predicted(folder: Path, kind: str, examples: Sequence[Example]) -> list[Any]:
    given: list[Any] = [
        TaggedSentence(str(number), inputs, None)
        if kind == "tag"
        else TextExample(str(number), *inputs, *[None] * (3 - len(inputs)))
        for number, (inputs, _) in enumerate(examples)
    ]
    key = "tags" if kind == "tag" else "label"
    return [prediction[key] for prediction in Predictor(folder)(given)]


def features_under_a_linear_model(kind: str, data: Data, checkpoint: Path) -> list[Any]:
    """Vectors of the encoder as it is, under scikit-learn's linear models; cross validation on `data.train` finds their penalty.

    A text is its sentence vector, a pair how far its two vectors are from each other (`|u − v|` and `u · v`, number by number),
    a word the last four hidden states of its first piece side by side (Devlin et al. 2018, section 5.3), there with C=0.01.
    """
    features = minibert.Features(checkpoint)
    if kind == "tag":
        return _tags_of_vectors(features, data)
    train, evaluation = (_vectors_of_texts(features, part) for part in (data.train, data.evaluation))
    labels = [example.label for example in data.train]
    model, strength = (Ridge(), "alpha") if kind == "regress" else (LogisticRegression(max_iter=2000), "C")
    grid = {f"{type(model).__name__.lower()}__{strength}": 10.0 ** np.arange(-3, 6)}
    return GridSearchCV(make_pipeline(StandardScaler(), model), grid, cv=5).fit(train, labels).predict(evaluation).tolist()


def _vectors_of_texts(features: minibert.Features, examples: Sequence[Example]) -> np.ndarray:
    sides = [np.asarray(features.sentences(list(side))) for side in zip(*(inputs for inputs, _ in examples), strict=True)]
    # With few rows and a small penalty float32 would not do.
    sides = [side.astype(np.float64) for side in sides]
    return sides[0] if len(sides) == 1 else np.hstack([np.abs(sides[0] - sides[1]), sides[0] * sides[1]])


def _tags_of_vectors(features: minibert.Features, data: Data) -> list[list[str]]:
    train, evaluation = (_vectors_of_words(features, part) for part in (data.train, data.evaluation))
    tags = [tag for _, of_sentence in data.train for tag in of_sentence]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    found = iter(model.fit(np.concatenate(train), tags).predict(np.concatenate(evaluation)).tolist())
    return [[next(found) for _ in words] for words, _ in data.evaluation]


def _vectors_of_words(features: minibert.Features, examples: Sequence[Example]) -> list[np.ndarray]:
    """Of each sentence [words, width]; zeros for a word of which nothing is left."""
    texts = [" ".join(words) for words, _ in examples]
    vectors = []
    found = features.words(texts, merge="first", layers="concat-last-4", on_long="window")
    for (words, _), of_text in zip(examples, found, strict=True):
        starts = np.cumsum([0, *(len(word) + 1 for word in words)])
        # Punctuation parts words once more: the first of these parts stands for the word.
        owners, parts = np.unique(np.searchsorted(starts, of_text.spans[:, 0], side="right") - 1, return_index=True)
        of_words = np.zeros((len(words), of_text.vectors.shape[1]), np.float32)
        of_words[owners] = of_text.vectors[parts]
        vectors.append(of_words)
    return vectors


def most_frequent(kind: str, data: Data) -> list[Any]:
    """The class that most rows have, or the mean number, or no entity at all: what knowing nothing of a text is worth."""
    labels = [example.label for example in data.train]
    if kind == "tag":
        return [["O"] * len(words) for words, _ in data.evaluation]
    always = float(np.mean(labels)) if kind == "regress" else max(sorted(set(labels)), key=labels.count)
    return [always] * len(data.evaluation)
