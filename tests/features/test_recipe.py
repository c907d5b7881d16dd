import json
import os
from pathlib import Path
from typing import Any

import pytest

from minibert.errors import CheckpointError
from minibert.features.recipe import Recipe

TRANSFORMER = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
POOLING = {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
NORMALIZE = {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
DENSE = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
MEAN = {
    "word_embedding_dimension": 384,
    "pooling_mode_cls_token": False,
    "pooling_mode_mean_tokens": True,
    "pooling_mode_max_tokens": False,
    "pooling_mode_mean_sqrt_len_tokens": False,
}


def write(
    folder: Path,
    steps: Any,
    *,
    pooling: dict[str, Any] = MEAN,
    sentence: dict[str, Any] | None = None,
) -> Path:
    (folder / "modules.json").write_text(json.dumps(steps))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    if sentence is not None:
        (folder / "sentence_bert_config.json").write_text(json.dumps(sentence))
    return folder


def test_a_folder_like_minilm_asks_for_the_normalised_mean_of_256_tokens(tmp_path: Path):
    steps = [TRANSFORMER, POOLING, NORMALIZE]
    folder = write(tmp_path, steps, sentence={"max_seq_length": 256, "do_lower_case": False})
    assert Recipe.read(folder) == Recipe("mean", normalize=True, max_length=256)


def test_the_default_checkpoint_asks_for_the_same(minilm_folder: Path):
    assert Recipe.read(minilm_folder) == Recipe("mean", normalize=True, max_length=256)


def test_a_folder_without_a_recipe_gives_the_plain_mean(tmp_path: Path):
    assert Recipe.read(tmp_path) == Recipe("mean", normalize=False, max_length=None)


def test_without_a_normalize_step_vectors_keep_their_length(tmp_path: Path):
    assert not Recipe.read(write(tmp_path, [TRANSFORMER, POOLING])).normalize


@pytest.mark.parametrize("sentence", [None, {}, {"max_seq_length": None}])
def test_without_a_maximum_the_model_alone_limits_the_length(tmp_path: Path, sentence: dict[str, Any] | None):
    assert Recipe.read(write(tmp_path, [TRANSFORMER, POOLING], sentence=sentence)).max_length is None


@pytest.mark.parametrize(
    ("flag", "meaning"),
    [("pooling_mode_mean_tokens", "mean"), ("pooling_mode_cls_token", "cls"), ("pooling_mode_max_tokens", "max")],
)
def test_the_flag_that_is_set_chooses_the_pooling(tmp_path: Path, flag: str, meaning: str):
    pooling = dict.fromkeys(MEAN, False) | {"word_embedding_dimension": 384, flag: True}
    assert Recipe.read(write(tmp_path, [TRANSFORMER, POOLING], pooling=pooling)).pooling == meaning


@pytest.mark.parametrize("mode", ["mean", "cls", "max"])
def test_the_newer_files_name_the_pooling(tmp_path: Path, mode: str):
    pooling = {"embedding_dimension": 384, "pooling_mode": mode, "include_prompt": True}
    assert Recipe.read(write(tmp_path, [TRANSFORMER, POOLING], pooling=pooling)).pooling == mode


@pytest.mark.parametrize(
    "pooling",
    [
        MEAN | {"pooling_mode_cls_token": True},
        MEAN | {"pooling_mode_mean_tokens": False},
        MEAN | {"pooling_mode_mean_tokens": False, "pooling_mode_mean_sqrt_len_tokens": True},
        MEAN | {"pooling_mode_mean_tokens": False, "pooling_mode_weightedmean_tokens": True},
        MEAN | {"pooling_mode_mean_tokens": False, "pooling_mode_lasttoken": True},
        MEAN | {"pooling_mode_mean_tokens": "true"},
        {"pooling_mode": "lasttoken"},
        {"pooling_mode": ["mean", "max"]},
        {"pooling_mode": None},
        {},
    ],
)
def test_any_other_pooling_is_refused_by_its_file(tmp_path: Path, pooling: dict[str, Any]):
    with pytest.raises(CheckpointError, match=r"1_Pooling.config\.json asks for pooling .* one of mean, cls, max"):
        Recipe.read(write(tmp_path, [TRANSFORMER, POOLING], pooling=pooling))


def test_a_step_that_is_not_implemented_is_refused_by_its_type(tmp_path: Path):
    with pytest.raises(CheckpointError, match="has the steps Transformer, Pooling, Dense"):
        Recipe.read(write(tmp_path, [TRANSFORMER, POOLING, DENSE]))


@pytest.mark.parametrize("steps", [[], [TRANSFORMER], [POOLING, TRANSFORMER], [TRANSFORMER, POOLING, POOLING]])
def test_steps_in_another_order_or_number_are_refused(tmp_path: Path, steps: list[dict[str, Any]]):
    with pytest.raises(CheckpointError, match="in this order"):
        Recipe.read(write(tmp_path, steps))


@pytest.mark.parametrize("kind", [None, 3, "", "mean", "Pooling.own"])
def test_a_step_of_no_known_type_is_refused(tmp_path: Path, kind: Any):
    with pytest.raises(CheckpointError, match="has the steps .*; minibert implements Transformer, Pooling"):
        Recipe.read(write(tmp_path, [TRANSFORMER, {"type": kind}]))


@pytest.mark.parametrize(
    "path", ["../1_Pooling", "/etc", "1_Pooling/..", "..\\1_Pooling", "a/b", "..", ".", "", None, 1, ["1_Pooling"]]
)
def test_a_pooling_step_outside_the_folder_is_refused(tmp_path: Path, path: Any):
    (tmp_path / "inside").mkdir()
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(MEAN))
    with pytest.raises(CheckpointError, match="Pooling step with path"):
        Recipe.read(write(tmp_path / "inside", [TRANSFORMER, POOLING | {"path": path}]))


@pytest.mark.parametrize("path", ["2_Pooling", "\0", "n" * 5_000])
def test_a_pooling_step_that_is_not_there_is_refused(tmp_path: Path, path: str):
    with pytest.raises(CheckpointError, match="does not exist|cannot be read"):
        Recipe.read(write(tmp_path, [TRANSFORMER, POOLING | {"path": path}]))


@pytest.mark.parametrize("steps", [{}, {"0": TRANSFORMER}, "mean", [TRANSFORMER, "Pooling"], [[TRANSFORMER]], None, 3])
def test_anything_but_a_list_of_steps_is_refused(tmp_path: Path, steps: Any):
    with pytest.raises(CheckpointError, match=r"modules\.json is no list of steps"):
        Recipe.read(write(tmp_path, steps))


@pytest.mark.parametrize("text", ["", "[", "[NaN]", "[" * 2_000])
def test_a_recipe_that_is_not_sound_json_is_refused(tmp_path: Path, text: str):
    (tmp_path / "modules.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"modules\.json is not valid JSON"):
        Recipe.read(tmp_path)


@pytest.mark.parametrize("length", [0, 1, -5, 128.0, True, "256"])
def test_a_maximum_length_that_is_no_length_is_refused(tmp_path: Path, length: Any):
    with pytest.raises(CheckpointError, match="max_seq_length"):
        Recipe.read(write(tmp_path, [TRANSFORMER, POOLING], sentence={"max_seq_length": length}))


def test_a_recipe_that_is_a_pipe_is_refused_at_once(tmp_path: Path):
    os.mkfifo(tmp_path / "modules.json")
    with pytest.raises(CheckpointError, match="not a regular file"):
        Recipe.read(tmp_path)
