"""Before and after: what a change to a model did to its vectors, neighbours, attention, speed, and to a task's score."""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from minibert.errors import InputError, shown
from minibert.lab.arguments import check_model, check_real, whole_number
from minibert.lab.running import Model, Run, inputs_of, run, shapes_of
from minibert.lab.surgery.sizes import number_of_parameters
from minibert.model.inputs import ModelInputs

Score = Callable[[Model, int], float]
"""What a model is worth at a task, from the model and a seed: more is better."""


@dataclass(frozen=True)
class BeforeAfter:
    """The report; `print` it. Of texts the mean of a text's last hidden states is taken, of all real tokens."""

    texts: int
    parameters: tuple[int, int]
    cosines: np.ndarray
    """[texts], of each text's vector before and after; NaN where their widths differ."""
    neighbours: int
    """How many nearest texts were looked at."""
    neighbours_kept: np.ndarray
    """[texts], the share of each text's nearest texts that are still among them."""
    attention_moved: np.ndarray | None
    """[layers], the share of attention that went elsewhere: half the sum of absolute differences, the mean over heads and real
    tokens; None where the two have not the same layers and heads."""
    seconds: tuple[np.ndarray, np.ndarray]
    """[rounds] each, of a pass over the batch, taken in turn."""
    scores: tuple[np.ndarray, np.ndarray] | None
    """[seeds] each; None without a task."""

    @property
    def speed(self) -> float:
        """The median over the rounds of how many times faster it is now; below 1 slower."""
        return float(np.median(self.seconds[0] / self.seconds[1]))

    def __str__(self) -> str:
        before, after = self.parameters
        lines = [
            f"parameters  {before:,} before, {after:,} after ({after / before - 1.0:+.1%})",
            f"vectors     of {self.texts} texts: {self._cosines_in_words()}",
            f"neighbours  {self.neighbours_kept.mean():.0%} of the nearest {self.neighbours} are still among them",
        ]
        if self.attention_moved is None:
            lines.append("attention   not comparable: other layers or heads")
        else:
            moved = " ".join(f"{share:.0%}" for share in self.attention_moved)
            lines.append(f"attention   went elsewhere, by layer: {moved}")
        ratios = self.seconds[0] / self.seconds[1]
        low, high = np.percentile(ratios, [10, 90])
        spread = f"{low:.2f} to {high:.2f} in {len(ratios)} rounds" if len(ratios) > 1 else "one round, which may be chance"
        lines.append(f"speed       {self.speed:.2f} times the former ({spread})")
        if self.scores is not None:
            lines.append(f"score       {_spread(self.scores[0])} before, {_spread(self.scores[1])} after")
            gains = self.scores[1] - self.scores[0]
            over = f"over {len(gains)} seeds" if len(gains) > 1 else "of one seed, which may be chance"
            lines.append(f"            seed by seed {_spread(gains, sign='+')} {over}")
        return "\n".join(lines)

    def _cosines_in_words(self) -> str:
        if np.isnan(self.cosines).all():
            return "not comparable: other widths"
        return f"cosine {self.cosines.mean():.4f} in the mean, {self.cosines.min():.4f} at least"


def before_after(
    before: Model,
    after: Model,
    batch: Mapping[str, Any],
    *,
    score: Score | None = None,
    seeds: Iterable[int] = (0, 1, 2),
    neighbours: int = 5,
    rounds: int = 9,
) -> BeforeAfter:
    """Hold a changed model against what it was.

    Args:
        before, after: the two models; they may differ in anything but the vocabulary.
        batch: texts, as of `run`; the more, the more the neighbours say.
        score: fine-tunes and evaluates a model, for instance, with a seed; called for both with each of the seeds.
        seeds: given to it.
        neighbours: how many nearest texts by cosine are looked at; at most as many as there are others.
        rounds: how often both are timed, in random order.

    Raises InputError for fewer than two texts, for texts of padding only, for no round or seed, for hidden states that are not
    finite, for a score that is no number, and as `run` does.
    """
    neighbours, rounds = whole_number("neighbours", neighbours, 1), whole_number("rounds", rounds, 1)
    tried = _checked_seeds(seeds)
    if score is not None and not callable(score):
        raise InputError(f"score is {shown(score)}; expected a function of a model and a seed")
    for which, model in ("first", before), ("second", after):
        check_model(model, what=f"the {which} model")
    inputs = [inputs_of(model, batch) for model in (before, after)]
    mask = np.asarray(inputs[0].attention_mask)
    texts = len(mask)
    if texts < 2:
        raise InputError(f"the batch has {texts} text; expected two at least, for nearest neighbours")
    check_real(mask)
    neighbours = min(neighbours, texts - 1)
    names = _comparable_attention(before, after, inputs)
    runs = [run(model, batch, capture=names) for model in (before, after)]
    for which, each in zip(("first", "second"), runs, strict=True):
        if not np.isfinite(np.asarray(each.output.last_hidden_state, np.float32)).all():
            raise InputError(f"the last hidden states of the {which} model are not finite for this batch; see minibert doctor")
    moved = [_moved(runs[0].captured[name].values, runs[1].captured[name].values, mask) for name in names]
    vectors = [_vectors(each, mask) for each in runs]
    same_width = vectors[0].shape == vectors[1].shape
    cosines = (vectors[0] * vectors[1]).sum(axis=1) if same_width else np.full(texts, np.nan)
    nearest = [_nearest(each, neighbours) for each in vectors]
    kept = np.asarray([len(set(one) & set(other)) / neighbours for one, other in zip(*nearest, strict=True)])
    return BeforeAfter(
        texts=texts,
        parameters=(number_of_parameters(before), number_of_parameters(after)),
        cosines=cosines,
        neighbours=neighbours,
        neighbours_kept=kept,
        attention_moved=np.asarray(moved) if moved else None,
        seconds=_seconds(before, after, batch, rounds),
        scores=None if score is None else (_scores(score, before, tried), _scores(score, after, tried)),
    )


def _checked_seeds(seeds: Any) -> list[int]:
    given = list(seeds) if isinstance(seeds, Iterable) and not isinstance(seeds, str) else []
    if not given:
        raise InputError(f"seeds is {shown(seeds)}; expected one whole number at least, in a list")
    return [whole_number("a seed", seed, 0) for seed in given]


def _scores(score: Score, model: Model, seeds: Sequence[int]) -> Float[np.ndarray, " seeds"]:
    found = []
    for seed in seeds:
        value = score(model, seed)
        try:
            found.append(float(value))
        except (TypeError, ValueError):
            found.append(np.nan)
        if not np.isfinite(found[-1]):
            raise InputError(f"score gives {shown(value)} for the seed {seed}; expected a number, more being better") from None
    return np.asarray(found)


def _vectors(run: Run, mask: np.ndarray) -> Float[np.ndarray, "texts hidden"]:
    """The mean over a text's real tokens, of length one; zeros where it is zero."""
    hidden = np.asarray(run.output.last_hidden_state, np.float64)
    means = (hidden * mask[:, :, None]).sum(axis=1) / np.maximum(mask.sum(axis=1, keepdims=True), 1)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return means / np.where(lengths == 0.0, 1.0, lengths)


def _nearest(vectors: np.ndarray, count: int) -> np.ndarray:
    similarities = vectors @ vectors.T
    np.fill_diagonal(similarities, -np.inf)
    return np.argsort(-similarities, axis=1, kind="stable")[:, :count]


def _comparable_attention(before: Model, after: Model, inputs: Sequence[ModelInputs]) -> list[str]:
    """The names of all layers' probabilities; none where the two have not the same layers and heads."""
    of_both = [
        {name: shape for name, shape in shapes_of(model, each).items() if name.endswith("attention.probabilities")}
        for model, each in zip((before, after), inputs, strict=True)
    ]
    return list(of_both[0]) if of_both[0] == of_both[1] else []


def _moved(before: np.ndarray, after: np.ndarray, mask: np.ndarray) -> float:
    """The share of a layer's attention [batch, heads, tokens, attended] that went elsewhere, over heads and real tokens."""
    distance = 0.5 * np.abs(before - after).sum(axis=-1)  # [batch, heads, tokens]
    real = mask[:, None, :]
    return float((distance.mean(axis=1, keepdims=True) * real).sum() / real.sum())


def _seconds(before: Model, after: Model, batch: Mapping[str, Any], rounds: int) -> tuple[np.ndarray, np.ndarray]:
    order = random.Random(0)
    taken: dict[int, list[float]] = {0: [], 1: []}
    for number in range(-1, rounds):
        for which in order.sample((0, 1), 2):
            start = time.perf_counter()
            jax.block_until_ready((before, after)[which](**batch).last_hidden_state)
            # The first round compiles.
            if number >= 0:
                taken[which].append(time.perf_counter() - start)
    return np.asarray(taken[0]), np.asarray(taken[1])


def _spread(values: np.ndarray, sign: str = "") -> str:
    mean = f"{values.mean():{sign}.4f}"
    return f"{mean} ± {values.std(ddof=1):.4f}" if len(values) > 1 else mean
