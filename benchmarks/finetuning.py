"""Fine-tunes MiniLM on small real tasks, beside transformers on torch with the same recipe, features, and a baseline.

    OMP_NUM_THREADS=2 python benchmarks/finetuning.py --data FOLDER [--tasks sentence_polarity,stsb,wnut17] [--seeds 3]
        [--train N] [--eval N] [--epochs N] [--same-draws] [--output FILE]

Needs the extras `reference` and `training`, and the fetched default checkpoint. FOLDER has the tasks' files as published, laid
out as finetuning_data.py says; a fixed part of each is taken. Contenders run one after the other, seed by seed, in this process;
the last step's parameters count, nothing is chosen by the rows that are evaluated. With --output every result is kept in a file
as soon as it is there, and a later call with the same options goes on from it.

The table has means over the seeds with the standard deviation behind ±, in points (100 times the metric). A difference of two
means is given with its standard error: what lies within twice that may be chance. With --same-draws torch is given what chance
decides on minibert's side, the values of the new head and the order of the rows, and nobody drops out: then only rounding parts
the two, and every seed's difference is printed.
Seconds are of everything, from files to predictions, programs compiled included; on a shared machine those that all cores
together spent on it say more.
"""

import argparse
import json
import logging
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import transformers
from finetuning_data import SMALL_TASKS, SOURCES, Data, load_task
from finetuning_recipe import Outcome, Recipe
from finetuning_with_minibert import features_under_a_linear_model, finetune_with_minibert, most_frequent, save_start
from finetuning_with_torch import Draws, finetune_with_torch
from paired import processor

from minibert.checkpoints.registry import resolve
from minibert.training.order import Order

RECIPE = Recipe()
FROZEN = replace(RECIPE, learning_rate=3e-3)
LSTM = replace(RECIPE, learning_rate=2e-3, epochs=10)
Run = Callable[[str, Data, Recipe, Path, int], Outcome]
OURS, THEIRS = "minibert", "transformers on torch"

CONTENDERS: dict[str, tuple[Recipe | None, Run]] = {
    OURS: (RECIPE, finetune_with_minibert),
    THEIRS: (RECIPE, lambda name, *rest: finetune_with_torch(SMALL_TASKS[name].kind, *rest)),
    "minibert, bfloat16": (RECIPE, lambda *given: finetune_with_minibert(*given, dtype="bfloat16")),
    "minibert, frozen encoder": (FROZEN, lambda *given: finetune_with_minibert(*given, freeze_encoder=True)),
    "minibert, LSTM baseline": (LSTM, lambda *given: finetune_with_minibert(*given, baseline="lstm")),
    "features + linear model": (
        None,
        lambda name, data, _, checkpoint, __: Outcome(
            features_under_a_linear_model(SMALL_TASKS[name].kind, data, checkpoint), []
        ),
    ),
    "most frequent or mean": (None, lambda name, data, *_: Outcome(most_frequent(SMALL_TASKS[name].kind, data), [])),
}
"""With the recipe of each; those without one learn nothing by steps and give the same for every seed."""


def without_chance(name: str, data: Data, recipe: Recipe, checkpoint: Path, seed: int) -> Outcome:
    """torch, with the head and the order of rows of minibert's training of this seed, and no dropout."""
    kind = SMALL_TASKS[name].kind
    order = Order(len(data.train), recipe.batch_size, seed)
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "start"
        labels = save_start(name, data, checkpoint, seed, start)
        return finetune_with_torch(kind, data, recipe, checkpoint, seed, Draws(start, labels, order.batch))


# No text is longer than this: of those that are, minibert makes windows for tags, where torch's side cuts them off.
WHOLE_TEXTS = replace(RECIPE, max_length=128)
SAME_DRAWS: dict[str, tuple[Recipe | None, Run]] = {
    OURS: (WHOLE_TEXTS, lambda *given: finetune_with_minibert(*given, dropout=0.0)),
    THEIRS: (WHOLE_TEXTS, without_chance),
}
"""The contenders of --same-draws."""


class Results:
    """What is known already, by task, contender and seed; in a file, if there is one."""

    def __init__(self, path: Path | None, options: dict[str, Any]) -> None:
        self.path, self.options = path, options
        self.found: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["options"] != json.loads(json.dumps(options)):
                sys.exit(f"{path} holds results of other options or versions: {stored['options']}; give another --output")
            self.found = stored["results"]

    def add(self, key: str, result: dict[str, Any]) -> None:
        self.found[key] = result
        if self.path is not None:
            unfinished = self.path.with_name(self.path.name + ".part")
            unfinished.write_text(json.dumps({"options": self.options, "results": self.found}, indent=1), encoding="utf-8")
            os.replace(unfinished, self.path)

    def of(self, task: str, contender: str) -> list[dict[str, Any]]:
        """One for each seed."""
        return [result for key, result in self.found.items() if key.startswith(f"{task}/{contender}/")]


def measure(task: str, data: Data, run: Run, recipe: Recipe | None, checkpoint: Path, seed: int) -> dict[str, Any]:
    start, start_of_cpu = time.perf_counter(), time.process_time()
    predicted, losses = run(task, data, recipe or RECIPE, checkpoint, seed)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_of_cpu
    with warnings.catch_warnings():
        # A mean correlates with nothing, which is what the table then says.
        warnings.simplefilter("ignore")
        metrics = SMALL_TASKS[task].score([example.label for example in data.evaluation], predicted)
    return {
        "metrics": {name: None if value != value else value for name, value in metrics.items()},
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "loss_by_epoch": by_epoch(losses, recipe.epochs) if recipe and losses else [],
    }


def by_epoch(losses: list[float], epochs: int) -> list[float]:
    """The mean over each epoch's steps."""
    steps = len(losses) // epochs
    return [statistics.fmean(losses[start : start + steps]) for start in range(0, len(losses), steps)]


def print_table(task: str, data: Data, results: Results) -> None:
    print(f"\n{task}: {len(data.train):,} rows to train on, {len(data.evaluation):,} to evaluate")
    for contender in CONTENDERS:
        found = results.of(task, contender)
        if not found:
            continue
        metrics = ", ".join(f"{name} {points(found, name)}" for name in found[0]["metrics"])
        seconds, of_cpu = (statistics.median(result[name] for result in found) for name in ("seconds", "cpu_seconds"))
        curve = " ".join(
            f"{statistics.fmean(column):.3f}" for column in zip(*(each["loss_by_epoch"] for each in found), strict=True)
        )
        print(f"  {contender:26} {metrics}; {seconds:.0f} s ({of_cpu:.0f} s of cores){f'; loss {curve}' if curve else ''}")
    ours, theirs = (results.of(task, contender) for contender in (OURS, THEIRS))
    if ours and theirs:
        for name in ours[0]["metrics"]:
            print(f"  {OURS} − {THEIRS}: {name} {difference(values(ours, name), values(theirs, name))}")
            if results.options["same_draws"]:
                seeds = zip(values(ours, name), values(theirs, name), strict=True)
                print(f"    seed by seed: {', '.join(f'{one - other:+.2f}' for one, other in seeds)}")


def values(found: list[dict[str, Any]], metric: str) -> list[float]:
    return [100.0 * result["metrics"][metric] for result in found if result["metrics"][metric] is not None]


def points(found: list[dict[str, Any]], metric: str) -> str:
    numbers = values(found, metric)
    if not numbers:
        return "undefined"
    return f"{statistics.fmean(numbers):.1f}" + (f" ± {statistics.stdev(numbers):.1f}" if len(numbers) > 1 else "")


def difference(ours: list[float], theirs: list[float]) -> str:
    found = f"{statistics.fmean(ours) - statistics.fmean(theirs):+.1f}"
    if min(len(ours), len(theirs)) < 2:
        return f"{found} (one seed)"
    error = (statistics.variance(ours) / len(ours) + statistics.variance(theirs) / len(theirs)) ** 0.5
    return f"{found} (standard error {error:.1f})"


def with_epochs(contenders: dict[str, tuple[Recipe | None, Run]], epochs: int | None) -> dict[str, Recipe | None]:
    """The recipe of every contender; `epochs` replaces those of all that fine-tune BERT."""
    recipes = {name: recipe for name, (recipe, _) in contenders.items()}
    if epochs is None:
        return recipes
    return {name: replace(recipe, epochs=epochs) if recipe not in (None, LSTM) else recipe for name, recipe in recipes.items()}


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder with the tasks' folders")
    parser.add_argument("--tasks", default=",".join(SMALL_TASKS), help="which, with commas between (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each contender (default: %(default)s)")
    parser.add_argument("--train", type=int, help="rows to train on (default: 1,500, of WNUT 17 2,000)")
    parser.add_argument("--eval", type=int, help="rows to evaluate (default: 1,000, of WNUT 17 all 1,009)")
    parser.add_argument("--epochs", type=int, help=f"of BERT (default: {RECIPE.epochs}); the LSTM has {LSTM.epochs}")
    parser.add_argument("--only", help="only these contenders, with semicolons between: " + "; ".join(CONTENDERS))
    parser.add_argument("--same-draws", action="store_true", help="one head and one order for both sides, and no dropout")
    parser.add_argument("--output", type=Path, help="a .json where results are kept, and which a later call goes on from")
    arguments = parser.parse_args()
    arguments.only = [name.strip() for name in arguments.only.split(";")] if arguments.only else []
    arguments.contenders = SAME_DRAWS if arguments.same_draws else CONTENDERS
    strange = set(arguments.only) - set(arguments.contenders)
    if strange:
        parser.error(f"--only names {'; '.join(sorted(strange))}; expected some of {'; '.join(arguments.contenders)}")
    unknown = set(arguments.tasks.split(",")) - set(SMALL_TASKS)
    if unknown:
        parser.error(f"--tasks names {', '.join(sorted(unknown))}; expected some of {', '.join(SMALL_TASKS)}")
    if arguments.data is None:
        parser.error("--data is missing: a folder with these, each in a folder of its name:\n" + where_from(SOURCES))
    missing = [name for name in arguments.tasks.split(",") if not (arguments.data / name).is_dir()]
    if missing:
        parser.error(f"{arguments.data} lacks folders; expected, from these places:\n" + where_from(missing))
    return arguments


def where_from(names: Any) -> str:
    return "\n".join(f"  {name}: {SOURCES[name]}" for name in names)


def main() -> None:
    arguments = parsed()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    recipes = with_epochs(arguments.contenders, arguments.epochs)
    names = ("minibert", "jax", "torch", "transformers", "scikit-learn")
    versions = {name: version(name) for name in names}
    print(f"{date.today()}; {processor()}; {torch.get_num_threads()} threads")
    print(", ".join(f"{name} {number}" for name, number in versions.items()))
    for name, recipe in recipes.items():
        print(f"  {name:26} {', '.join(f'{key} {value}' for key, value in asdict(recipe).items()) if recipe else '-'}")
    options = {
        "rows": {
            name: [arguments.train or task.most_train, arguments.eval or task.most_evaluated]
            for name, task in SMALL_TASKS.items()
        },
        "recipes": {name: recipe and asdict(recipe) for name, recipe in recipes.items()},
        "versions": versions,
        "same_draws": arguments.same_draws,
    }
    results = Results(arguments.output, options)
    checkpoint = resolve("minilm-l6")
    for task in arguments.tasks.split(","):
        data = load_task(task, arguments.data, arguments.train, arguments.eval)
        for seed in range(arguments.seeds):
            for contender, (_, run) in arguments.contenders.items():
                key = f"{task}/{contender}/{seed}"
                learns = recipes[contender] is not None
                wanted = not arguments.only or contender in arguments.only
                if wanted and key not in results.found and (learns or seed == 0):
                    results.add(key, measure(task, data, run, recipes[contender], checkpoint, seed))
                    print(f"  {key}: {json.dumps(results.found[key])}", flush=True)
        print_table(task, data, results)


if __name__ == "__main__":
    main()
