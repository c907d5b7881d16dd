"""The job: from text to a folder, what it refuses, and that it ends in the same bits however it went."""

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from written_text import story, write_documents

import minibert
from minibert import InputError, NewHeadWarning
from minibert.errors import CheckpointError, ConfigError, TokenizerError
from minibert.training.data.data_warning import DataWarning
from minibert.training.optimiser import OptimiserOptions
from minibert.training.options import TrainingOptions
from minibert.training.pretraining import Pretrained, PretrainOptions, preparation, pretrain
from minibert.training.pretraining.preparation import prepare, prepared

TINY = Path(__file__).parents[2] / "goldens" / "tiny" / "gelu"


def small_options(**options: Any) -> PretrainOptions:
    """A model of one narrow layer and rows of 16 tokens: compiled and trained in seconds."""
    training = {"epochs": 1, "batch_size": 8, "log_every": 1, "checkpoint_every": 2} | options.pop("training", {})
    rate = OptimiserOptions(learning_rate=options.pop("learning_rate", 3e-3))
    small = {"vocabulary_size": 60, "hidden_size": 16, "layers": 1, "heads": 2, "max_length": 16, "passes": 1, "steps": 4}
    return PretrainOptions(**(small | options), training=TrainingOptions(**training, optimiser=rate))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_documents(tmp_path / "stories.txt", [story(number) for number in range(16)])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Two layers, 37 words, 19 positions, and no heads."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((TINY / name).read_bytes())
    words = ["the", "house", "river", "bank", "tree", "is", "was", "and", "red", "green", "blue", "black", "."]
    unused = [f"[unused{number}]" for number in range(37 - 5 - len(words))]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *unused]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    return folder


def of_checkpoint(checkpoint: Path, **options: Any) -> PretrainOptions:
    given = {"vocabulary_size": None, "hidden_size": None, "layers": None, "heads": None, "model": str(checkpoint)}
    return small_options(**(given | options))


def parts_of(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith("out")]


class StopError(Exception):
    pass


def stop_at(step: int) -> Callable[[dict[str, Any]], None]:
    def report(record: dict[str, Any]) -> None:
        if record["step"] == step and "loss" in record:
            raise StopError

    return report


@pytest.mark.long
def test_text_becomes_a_folder_with_all_that_belongs_to_it(text: Path, tmp_path: Path):
    said: list[str] = []
    plans: list[Any] = []
    done = pretrain([text], tmp_path / "out", small_options(held_out=0.2), say=said.append, planned=plans.append)
    assert parts_of(tmp_path) == ["out"]
    names = {path.name for path in done.folder.iterdir()}
    assert names >= {"config.json", "model.safetensors", "vocab.txt", "metrics.jsonl", "README.md", "training_curves.png"}
    config = json.loads((done.folder / "config.json").read_text())
    assert config["architectures"] == ["BertForPreTraining"] and config["max_position_embeddings"] == 16
    assert [words.split()[0] for words in said] == ["learning", "reading", "making"]
    (plan,) = plans
    counts = plan.counts
    assert (counts["documents"], counts["sentences"], counts["held_out"], plan.total_steps) == (16, 96, 3, 4)
    assert counts["unknown"] == 0 and counts["examples"] > 40 and counts["evaluation_examples"] > 5
    assert 0.1 < counts["masked"] / counts["examples"] / 16 < 0.2
    assert plan.parameters == sum(int(np.prod(leaf.shape)) for leaf in minibert_leaves(done))
    records = [json.loads(line) for line in (done.folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "loss" in record] == [1, 2, 3, 4]
    # What was measured is what the stored model has been.
    assert records[-1]["evaluation"] == pytest.approx(dict(done.metrics), rel=1e-5)
    assert set(done.metrics) == {"masked_lm_probability", "masked_lm_loss", "masked_lm_accuracy", "next_sentence_accuracy"}
    card = (done.folder / "README.md").read_text()
    assert "epochs" not in card
    for words in (
        'pipeline_tag: "fill-mask"',
        "from random numbers on masked tokens and next sentences",
        "`stories.txt`",
        "| held out | 3 |",
        # What was taken where nothing was given.
        "| `intermediate_size` | `64` |",
        "| `max_predictions` | `2` |",
    ):
        assert words in card
    # The folder is a checkpoint with both heads, of which none is new.
    model = minibert.load(done.folder, head="pretraining")
    tokenizer = minibert.Tokenizer.load(done.folder)
    assert tokenizer.model_max_length == 16
    found = model(**tokenizer("the river is [MASK]")).logits_by_head
    assert found["masked_lm"].shape[-1] == tokenizer.vocab_size
    expected = done.trained.model(**tokenizer("the river is [MASK]")).logits_by_head
    for name in found:
        np.testing.assert_array_equal(found[name], expected[name])


def minibert_leaves(done: Pretrained) -> list[Any]:
    import jax

    return jax.tree.leaves(done.trained.model)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_length": 4}, "max_length is 4; expected a whole number from 5"),
        ({"passes": 0}, "passes is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"masked_share": 1.5}, "masked_share is 1.5; expected a number above 0 and below 1"),
        ({"held_out": 1.0}, "held_out is 1.0"),
        ({"short_share": -0.1}, "short_share is -0.1; expected a number from 0 to 1"),
        ({"dropout": float("nan")}, "dropout is nan"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"vocabulary_size": 10}, "vocabulary_size is 10"),
        ({"model": "m", "tokenizer": "t"}, "tokenizer was given with 'm', which has a tokenizer of its own"),
        ({"model": "m", "vocabulary_size": 100}, "vocabulary_size was given with 'm', which has a vocabulary of its own"),
        ({"tokenizer": "t", "cased": True}, "cased was given with 't'"),
        ({"model": "m", "layers": 2, "heads": 2}, "layers, heads was given with 'm', which has sizes of its own"),
        ({"positions": 100}, "positions is 100 and max_length 128"),
        ({"held_out": 0.0, "training": TrainingOptions(patience=1)}, "patience was given, and nothing is held out"),
        ({"held_out": 0.0, "training": TrainingOptions(evaluate_every=1)}, "evaluate_every was given, and nothing is held out"),
        ({"model": 3}, "model is 3; expected a fetched name or a folder"),
        ({"next_sentence": "no"}, "next_sentence is 'no'; expected True or False"),
        ({"training": None}, r"training is None; expected TrainingOptions\(…\)"),
    ],
)
@pytest.mark.usefixtures("without_shape_checks")
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], words: str):
    with pytest.raises(InputError, match=words):
        PretrainOptions(**options)


@pytest.mark.parametrize(
    ("content", "options", "error", "words"),
    [
        ("", {}, InputError, "is empty"),
        ("One sentence.\nAnother one.\n", {}, InputError, "holds a single document; expected two at least"),
        ("One.\n\nTwo.\n", {"hidden_size": 15}, ConfigError, "hidden_size is 15"),
        ("One.\n\nTwo.\n", {"training": {"devices": "3x3"}}, InputError, "which takes 9"),
    ],
)
def test_text_and_sizes_that_cannot_be_learned_are_refused(
    content: str, options: dict[str, Any], error: type[Exception], words: str, tmp_path: Path
):
    text = tmp_path / "bad.txt"
    text.write_text(content)
    with pytest.raises(error, match=words):
        pretrain([text], tmp_path / "out", small_options(held_out=0.0, **options))
    assert parts_of(tmp_path) == []


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("files", "output", "options", "words"),
    [
        ("stories.txt", "out", None, "files is 'stories.txt'; expected a list of files"),
        (3, "out", None, "files is 3; expected a list of files"),
        ([None], "out", None, "a file is None; expected its name"),
        ([], "out", None, "there is no text to learn from"),
        (["stories.txt"], None, None, "output is None; expected the name of a folder"),
        (["stories.txt"], "out", {}, r"options is \{\}; expected PretrainOptions"),
    ],
)
def test_arguments_of_another_kind_are_refused(files: Any, output: Any, options: Any, words: str, tmp_path: Path):
    output = output if output is None else tmp_path / output
    with pytest.raises(InputError, match=words):
        pretrain(files, output, options)
    assert parts_of(tmp_path) == []


def test_a_model_may_be_a_path(checkpoint: Path):
    assert PretrainOptions(model=checkpoint) == PretrainOptions(model=str(checkpoint))


def test_a_text_of_random_pairs_only_is_told(tmp_path: Path):
    text = write_documents(tmp_path / "short.txt", [story(number)[:1] for number in range(16)])
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)  # It is told before the training, which need not be waited for.
        with pytest.raises(DataWarning, match="100.0% of the examples are of two documents"):
            pretrain([text], tmp_path / "out", small_options(held_out=0.0, max_length=32, steps=1))


def test_a_vocabulary_that_knows_no_word_of_the_text_is_refused(checkpoint: Path, tmp_path: Path):
    text = write_documents(tmp_path / "russian.txt", [["Дом стоит.".replace(".", "")], ["Река течёт"]])
    with pytest.raises(InputError, match="the vocabulary knows none of its words"):
        pretrain([text], tmp_path / "out", of_checkpoint(checkpoint))
    assert parts_of(tmp_path) == []


def test_rows_that_the_checkpoint_has_no_positions_for_are_refused(text: Path, checkpoint: Path, tmp_path: Path):
    with pytest.raises(InputError, match="max_length is 20; expected a whole number from 5 to 19"):
        pretrain([text], tmp_path / "out", of_checkpoint(checkpoint, max_length=20))


def test_a_folder_that_holds_something_is_refused(text: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("precious")
    with pytest.raises(CheckpointError, match="is there already and is no empty folder"):
        pretrain([text], tmp_path / "out", small_options())
    assert parts_of(tmp_path) == ["out"]


def test_resume_and_restart_do_not_go_together(text: Path, tmp_path: Path):
    with pytest.raises(InputError, match="resume and restart were both given"):
        pretrain([text], tmp_path / "out", small_options(), resume=True, restart=True)


def prepare_in(folder: Path, text: Path, **options: Any) -> dict[str, bytes]:
    """The files that were made, by their names."""
    folder.mkdir(exist_ok=True)
    prepare(folder, [text], {"of": str(options)}, small_options(**options), lambda sentence: None)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_text_seed_and_options_give_the_same_bytes(text: Path, tmp_path: Path):
    first, second = (prepare_in(tmp_path / name, text, passes=2) for name in ("first", "second"))
    assert first == second
    assert "examples/training.numbers" in first and "tokenizer/vocab.txt" in first and "corpus/tokens" not in first
    other = prepare_in(tmp_path / "other", text, passes=2, training={"seed": 1})
    assert other["tokenizer/vocab.txt"] == first["tokenizer/vocab.txt"]
    assert other["examples/training.numbers"] != first["examples/training.numbers"]


def test_passes_have_other_masks_and_pairs(text: Path, tmp_path: Path):
    prepare_in(tmp_path / "one", text, next_sentence=False, passes=3, short_share=0.0)
    rows = prepared(tmp_path / "one").rows
    of_pass = len(rows) // 3
    assert len(rows) == 3 * of_pass
    masks = [[rows[number].positions.tolist() for number in range(start, start + of_pass)] for start in (0, of_pass, 2 * of_pass)]
    assert masks[0] != masks[1] != masks[2] != masks[0]


def test_what_is_whole_is_not_made_again_and_what_is_damaged_is(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = prepare_in(tmp_path / "one", text)
    with monkeypatch.context() as patched:
        patched.setattr(preparation, "tokenised", lambda *_: pytest.fail("made again"))
        assert prepare_in(tmp_path / "one", text) == before
    (tmp_path / "one" / "examples" / "training.numbers").write_bytes(b"damaged")
    assert prepare_in(tmp_path / "one", text) == before
    (tmp_path / "one" / "tokenizer" / "vocab.txt").unlink()
    assert prepare_in(tmp_path / "one", text) == before


def test_documents_that_are_held_out_are_not_learned_from(tmp_path: Path):
    # A word for each document.
    text = write_documents(tmp_path / "words.txt", [[chr(0x4E00 + number) * 3] * 3 for number in range(20)])
    (tmp_path / "one").mkdir()
    prepare(tmp_path / "one", [text], {}, small_options(vocabulary_size=200, held_out=0.25), lambda sentence: None)
    found = prepared(tmp_path / "one")
    assert found.evaluation is not None

    def words(rows: Any) -> set[int]:
        return {token for number in range(len(rows)) for token in rows[number].originals.tolist()}

    assert len(words(found.evaluation)) <= 5 and words(found.rows).isdisjoint(words(found.evaluation))


def test_too_few_documents_to_hold_some_out_are_told(tmp_path: Path):
    text = write_documents(tmp_path / "few.txt", [story(0), story(1), story(2)])
    (tmp_path / "one").mkdir()
    with pytest.warns(DataWarning, match="the text has 3 documents, too few to hold some out"):
        prepare(tmp_path / "one", [text], {}, small_options(), lambda sentence: None)
    assert prepared(tmp_path / "one").evaluation is None


@pytest.mark.parametrize(("next_sentence", "least"), [(True, 2), (False, 1)])
def test_a_share_that_leaves_nothing_to_learn_from_is_refused(tmp_path: Path, next_sentence: bool, least: int):
    text = write_documents(tmp_path / "text.txt", [story(number) for number in range(5)])
    options = small_options(held_out=0.9, next_sentence=next_sentence)
    for name in ("refused", "taken"):
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=rf"held_out is 0.95, which is 5 of 5 documents; .* leaves {least} at least"):
        prepare(tmp_path / "refused", [text], {}, replace(options, held_out=0.95), lambda sentence: None)
    prepare(tmp_path / "taken", [text], {}, replace(options, held_out=0.6), lambda sentence: None)
    assert prepared(tmp_path / "taken").counts["held_out"] == 3


def test_text_within_the_folder_that_is_going_to_be_removed_is_refused(tmp_path: Path):
    folder = tmp_path / "out.training"
    folder.mkdir()
    with pytest.raises(InputError, match=r"lies in .*out.training, which is removed when this training is done"):
        pretrain([write_documents(folder / "text.txt", [story(0), story(1)])], tmp_path / "out", small_options())
    assert (folder / "text.txt").exists() and len(list(folder.iterdir())) == 1


def test_a_plain_file_in_place_of_a_checkpoint_is_named(tmp_path: Path):
    text = write_documents(tmp_path / "text.txt", [story(0), story(1)])
    for options in (small_options(tokenizer=str(text), vocabulary_size=None), PretrainOptions(model=str(text))):
        with pytest.raises(TokenizerError, match=r"text.txt is a file with neither vocab.txt nor tokenizer.json beside it"):
            pretrain([text], tmp_path / "out", options)


@pytest.mark.long
def test_the_loss_falls(text: Path, tmp_path: Path):
    options = small_options(passes=8, steps=None, held_out=0.0, learning_rate=1e-2, training={"epochs": 4, "batch_size": 16})
    losses = [record["loss"] for record in pretrain([text], tmp_path / "out", options).trained.records]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:5])


@pytest.mark.long
def test_an_interrupted_training_goes_on_to_the_same_bits(text: Path, tmp_path: Path):
    options = small_options(held_out=0.2, steps=6, training={"evaluate_every": 3})
    pretrain([text], tmp_path / "whole", options)
    with pytest.raises(StopError):
        pretrain([text], tmp_path / "out", options, report=stop_at(5))
    assert parts_of(tmp_path) == ["out.training"]
    with pytest.raises(InputError, match="holds a training that was interrupted; go on with it by --resume"):
        pretrain([text], tmp_path / "out", options)
    with pytest.raises(InputError, match=r"was another one: whole_word was False and is True now"):
        pretrain([text], tmp_path / "out", replace(options, whole_word=True), resume=True)
    # What was made of the text is made again where it was lost.
    (tmp_path / "out.training" / "examples" / "training.numbers").unlink()
    pretrain([text], tmp_path / "out", options, resume=True)
    for name in ("model.safetensors", "metrics.jsonl", "vocab.txt", "config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(CheckpointError, match="is there already"):
        pretrain([text], tmp_path / "out", options)


@pytest.mark.long
def test_a_checkpoint_is_gone_on_from_with_new_heads_where_it_has_none(text: Path, checkpoint: Path, tmp_path: Path):
    with pytest.warns(NewHeadWarning, match="does not hold the head masked_lm and the head next_sentence"):
        done = pretrain([text], tmp_path / "out", of_checkpoint(checkpoint, held_out=0.0))
    assert done.metrics == {}
    assert (tmp_path / "out" / "vocab.txt").read_bytes() == (checkpoint / "vocab.txt").read_bytes()
    assert "going on from `model`" in (tmp_path / "out" / "README.md").read_text()
    # And from that one with the heads that it has, by whole words alone.
    again = of_checkpoint(tmp_path / "out", next_sentence=False, whole_word=True)
    more = pretrain([text], tmp_path / "more", again)
    assert "next_sentence_accuracy" not in more.metrics
    config = json.loads((more.folder / "config.json").read_text())
    assert config["architectures"] == ["BertForMaskedLM"]


@pytest.mark.long
def test_a_tokenizer_is_taken_as_it_is_and_bfloat16_leaves_float32_parameters(text: Path, checkpoint: Path, tmp_path: Path):
    options = small_options(tokenizer=str(checkpoint), vocabulary_size=None, positions=32, dtype="bfloat16", held_out=0.0)
    done = pretrain([text], tmp_path / "out", options)
    assert (done.folder / "vocab.txt").read_bytes() == (checkpoint / "vocab.txt").read_bytes()
    assert minibert.Tokenizer.load(done.folder).model_max_length == 32
    assert {str(leaf.dtype) for leaf in minibert_leaves(done)} == {"float32"}
