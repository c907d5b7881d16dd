import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minibert import BertConfig
from minibert.errors import ConfigError

pytestmark = pytest.mark.usefixtures("without_shape_checks")

BERT_BASE = {
    "architectures": ["BertForMaskedLM"],
    "attention_probs_dropout_prob": 0.1,
    "gradient_checkpointing": False,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
    "transformers_version": "4.6.0.dev0",
    "type_vocab_size": 2,
    "use_cache": True,
    "vocab_size": 30522,
}
POOLER_KEYS = {
    "directionality": "bidi",
    "pooler_fc_size": 768,
    "pooler_num_attention_heads": 12,
    "pooler_num_fc_layers": 3,
    "pooler_size_per_head": 128,
    "pooler_type": "first_token_transform",
}
MINILM = BERT_BASE | {
    "_name_or_path": "nreimers/MiniLM-L6-H384-uncased",
    "architectures": ["BertModel"],
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "transformers_version": "4.8.2",
}
GOOGLE_BASE = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "type_vocab_size": 2,
    "vocab_size": 30522,
}
OFFICIAL = {
    "uncased": BERT_BASE,
    "cased": BERT_BASE | {"vocab_size": 28996},
    "large": BERT_BASE | {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24},
    "multilingual": BERT_BASE | POOLER_KEYS | {"vocab_size": 119547},
    "chinese": BERT_BASE | POOLER_KEYS | {"vocab_size": 21128},
    "saved by version 5": BERT_BASE
    | {
        "add_cross_attention": False,
        "bos_token_id": None,
        "classifier_dropout": None,
        "dtype": "float32",
        "eos_token_id": None,
        "is_decoder": False,
        "tie_word_embeddings": True,
        "transformers_version": "5.0.0",
    },
    "fine-tuned": BERT_BASE
    | {
        "_num_labels": 2,
        "finetuning_task": "sst-2",
        "id2label": {"0": "NEGATIVE", "1": "POSITIVE"},
        "label2id": {"NEGATIVE": 0, "POSITIVE": 1},
        "output_past": True,
        "problem_type": "single_label_classification",
        "pruned_heads": {},
        "torch_dtype": "float32",
    },
}

# What is changed in a Hugging Face file, and what the error says of it.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another model": ({"model_type": "roberta"}, "model_type is 'roberta'"),
    "a model type that is no text": ({"model_type": ["bert"]}, "model_type is ['bert']"),
    "relative positions": ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
    "a decoder": ({"is_decoder": True}, "is_decoder is True"),
    "an encoder-decoder": ({"is_encoder_decoder": True}, "is_encoder_decoder is True"),
    "cross-attention": ({"add_cross_attention": True}, "add_cross_attention is True"),
    "pruned heads": ({"pruned_heads": {"0": [1]}}, "pruned_heads is {'0': [1]}"),
    "quantised weights": ({"quantization_config": {"bits": 4}}, "quantization_config is {'bits': 4}"),
    "untied embeddings": ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
    "one direction": ({"directionality": "unidi"}, "directionality is 'unidi'"),
    "an unknown key": ({"embedding_size": 128}, "embedding_size = 128"),
    "an unknown activation": ({"hidden_act": "gelu_fast"}, "hidden_act is 'gelu_fast'"),
    "our own name of an activation": ({"hidden_act": "gelu_erf"}, "hidden_act is 'gelu_erf'"),
    "an activation that is no text": ({"hidden_act": ["gelu"]}, "hidden_act is ['gelu']"),
    "null as activation": ({"hidden_act": None}, "hidden_act is None"),
    "heads that do not divide": ({"num_attention_heads": 7}, "hidden_size is 768, which num_attention_heads = 7"),
    "no heads": ({"num_attention_heads": 0}, "num_attention_heads is 0"),
    "no layers": ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
    "a billion wide": ({"hidden_size": 10**9}, "hidden_size is 1000000000"),
    "wider than any number": ({"hidden_size": 10**399}, "hidden_size is 1000"),
    "a negative size": ({"vocab_size": -1}, "vocab_size is -1"),
    "a float for a whole number": ({"hidden_size": 768.0}, "hidden_size is 768.0"),
    "true for a whole number": ({"type_vocab_size": True}, "type_vocab_size is True"),
    "text for a whole number": ({"intermediate_size": "3072"}, "intermediate_size is '3072'"),
    "null for a whole number": ({"max_position_embeddings": None}, "max_position_embeddings is None"),
    "padding outside the vocabulary": ({"pad_token_id": 30522}, "pad_token_id is 30522"),
    "null for the padding": ({"pad_token_id": None}, "pad_token_id is None"),
    "true for a float": ({"hidden_dropout_prob": True}, "hidden_dropout_prob is True"),
    "a dropout above 1": ({"attention_probs_dropout_prob": 1.5}, "attention_probs_dropout_prob is 1.5"),
    "a negative dropout": ({"hidden_dropout_prob": -0.1}, "hidden_dropout_prob is -0.1"),
    "an epsilon of zero": ({"layer_norm_eps": 0}, "layer_norm_eps is 0"),
    "an epsilon beyond all floats": ({"layer_norm_eps": 10**399}, "layer_norm_eps is 1000"),
    "text for a float": ({"initializer_range": "0.02"}, "initializer_range is '0.02'"),
}

REFUSED_IN_PYTHON: dict[str, tuple[dict[str, Any], str]] = {
    "the ambiguous gelu": ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
    "NaN": ({"layer_norm_eps": float("nan")}, "layer_norm_eps is nan"),
    "infinity": ({"initializer_range": float("inf")}, "initializer_range is inf"),
    "an unknown dtype": ({"dtype": "int8"}, "dtype is 'int8'"),
    "an unknown dtype of parameters": ({"param_dtype": "float8"}, "param_dtype is 'float8'"),
    "an unknown precision": ({"precision": "low"}, "precision is 'low'"),
    "an unknown attention": ({"attention_implementation": "flash"}, "attention_implementation is 'flash'"),
    "a dtype that is no text": ({"dtype": float}, "dtype is <class 'float'>"),
}


def write(folder: Path, values: dict[str, Any], name: str = "config.json") -> Path:
    (folder / name).write_text(json.dumps(values), encoding="utf-8")
    return folder


def test_a_hugging_face_file_is_read(tmp_path: Path):
    assert BertConfig.read(write(tmp_path, MINILM)) == BertConfig(
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        hidden_act="gelu_erf",
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        max_position_embeddings=512,
        type_vocab_size=2,
        initializer_range=0.02,
        layer_norm_eps=1e-12,
        pad_token_id=0,
    )


def test_a_google_file_is_read_with_the_tanh_form_of_gelu(tmp_path: Path):
    config = BertConfig.read(write(tmp_path, GOOGLE_BASE, "bert_config.json"))
    assert config == BertConfig(hidden_act="gelu_tanh", layer_norm_eps=1e-12)


def test_the_path_of_the_file_itself_is_taken_too(tmp_path: Path):
    write(tmp_path, GOOGLE_BASE, "bert_config.json")
    assert BertConfig.read(str(tmp_path / "bert_config.json")).hidden_act == "gelu_tanh"


def test_of_both_files_the_hugging_face_one_counts(tmp_path: Path):
    write(write(tmp_path, MINILM), GOOGLE_BASE, "bert_config.json")
    assert BertConfig.read(tmp_path).hidden_size == 384


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_files_of_official_checkpoints_are_read(tmp_path: Path, name: str):
    assert BertConfig.read(write(tmp_path, OFFICIAL[name])).vocab_size == OFFICIAL[name]["vocab_size"]


def test_the_google_file_of_the_chinese_model_is_read(tmp_path: Path):
    values = GOOGLE_BASE | POOLER_KEYS | {"vocab_size": 21128}
    assert BertConfig.read(write(tmp_path, values, "bert_config.json")).vocab_size == 21128


@pytest.mark.parametrize(
    ("spelling", "meaning"),
    [
        ("gelu", "gelu_erf"),
        ("gelu_python", "gelu_erf"),
        ("gelu_new", "gelu_tanh"),
        ("gelu_pytorch_tanh", "gelu_tanh"),
        ("relu", "relu"),
        ("silu", "silu"),
        ("swish", "silu"),
    ],
)
def test_hugging_face_activations_are_translated(spelling: str, meaning: str):
    assert BertConfig.from_hf(BERT_BASE | {"hidden_act": spelling}).hidden_act == meaning


@pytest.mark.parametrize("spelling", ["gelu_new", "swish", "tanh", "linear", ""])
def test_in_a_google_file_other_activations_are_refused(spelling: str):
    with pytest.raises(ConfigError, match=f"hidden_act is '{spelling}'"):
        BertConfig.from_google(GOOGLE_BASE | {"hidden_act": spelling})


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_broken_or_not_implemented_is_refused_by_file_field_and_value(tmp_path: Path, case: str):
    changes, reason = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        BertConfig.read(write(tmp_path, BERT_BASE | changes))
    assert str(tmp_path / "config.json") in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize("case", REFUSED_IN_PYTHON)
def test_fields_given_in_python_are_refused_by_field_and_value(case: str):
    fields, reason = REFUSED_IN_PYTHON[case]
    with pytest.raises(ConfigError) as caught:
        BertConfig(**fields)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "field",
    [
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "max_position_embeddings",
        "type_vocab_size",
    ],
)
@pytest.mark.parametrize("reader", [BertConfig.from_hf, BertConfig.from_google])
def test_a_missing_size_is_refused_by_name(reader: Any, field: str):
    values = {name: value for name, value in GOOGLE_BASE.items() if name != field}
    with pytest.raises(ConfigError, match=f"lacks {field};"):
        reader(values)


def test_all_missing_sizes_are_named_at_once():
    with pytest.raises(ConfigError, match="lacks vocab_size, hidden_size, num_hidden_layers"):
        BertConfig.from_hf({})


def test_all_unknown_keys_are_named_at_once():
    with pytest.raises(ConfigError, match="embedding_size = 128, rotary = True"):
        BertConfig.from_hf(BERT_BASE | {"rotary": True, "embedding_size": 128})


@pytest.mark.parametrize("text", ['{"hidden_size": NaN}', '{"hidden_size": 1, "hidden_size": 2}', "[]", ""])
def test_a_file_that_is_not_sound_json_is_refused(tmp_path: Path, text: str):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json is not valid JSON"):
        BertConfig.read(tmp_path)


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"neither config\.json nor bert_config\.json"):
        BertConfig.read(tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="does not exist"):
        BertConfig.read(tmp_path / "config.json")


def test_code_named_by_the_file_is_neither_imported_nor_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "modeling_own.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    values = BERT_BASE | {"auto_map": {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}}
    assert BertConfig.read(write(tmp_path, values)) == BertConfig()


@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
@pytest.mark.parametrize("stored", ["float16", "bfloat16", "float64"])
def test_how_the_weights_are_stored_does_not_choose_how_we_compute(key: str, stored: str):
    assert BertConfig.from_hf(BERT_BASE | {key: stored}) == BertConfig()


@pytest.mark.parametrize("key", ["precision", "param_dtype", "attention_implementation"])
def test_fields_of_ours_are_no_keys_of_a_file(key: str):
    with pytest.raises(ConfigError, match=f"{key} = "):
        BertConfig.from_hf(BERT_BASE | {key: "default"})


def test_overrides_replace_what_the_file_says(tmp_path: Path):
    config = BertConfig.read(write(tmp_path, BERT_BASE), hidden_act="gelu_tanh", dtype="bfloat16", hidden_dropout_prob=0)
    assert config == BertConfig(hidden_act="gelu_tanh", dtype="bfloat16", hidden_dropout_prob=0.0)


@pytest.mark.parametrize(
    ("broken", "correct"),
    [
        ({"hidden_act": "mish"}, {"hidden_act": "relu"}),
        ({"hidden_act": {}}, {"hidden_act": "relu"}),
        ({"num_attention_heads": 7}, {"num_attention_heads": 8}),
        ({"layer_norm_eps": None}, {"layer_norm_eps": 1e-5}),
        ({"vocab_size": "many"}, {"vocab_size": 100}),
    ],
)
def test_an_override_corrects_a_broken_field_of_the_file(broken: dict[str, Any], correct: dict[str, Any]):
    assert BertConfig.from_hf(BERT_BASE | broken, **correct) == BertConfig(**correct)


def test_an_override_stands_in_for_a_missing_size():
    values = {name: value for name, value in BERT_BASE.items() if name != "type_vocab_size"}
    assert BertConfig.from_hf(values, type_vocab_size=3).type_vocab_size == 3


def test_an_override_of_an_unknown_name_is_refused_with_the_names_that_exist():
    with pytest.raises(ConfigError, match="hidden_activation is no field of BertConfig; the fields are vocab_size"):
        BertConfig.from_hf(BERT_BASE, hidden_activation="relu")


def test_an_override_is_checked_as_the_file_is():
    with pytest.raises(ConfigError, match="hidden_act is 'gelu'; expected one of gelu_erf"):
        BertConfig.from_hf(BERT_BASE, hidden_act="gelu")


def test_reading_leaves_the_values_as_they_are():
    values = copy.deepcopy(BERT_BASE)
    BertConfig.from_hf(values, hidden_size=1200)
    assert values == BERT_BASE


def test_replace_changes_fields_and_checks_them():
    assert BertConfig().replace(hidden_act="relu") == BertConfig(hidden_act="relu")
    with pytest.raises(ConfigError, match="num_attention_heads is 0"):
        BertConfig().replace(num_attention_heads=0)


def test_replace_refuses_an_unknown_field():
    with pytest.raises(ConfigError, match="heads is no field"):
        BertConfig().replace(heads=3)


def test_a_configuration_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        BertConfig().hidden_size = 4


def test_equal_configurations_are_one_key_of_a_table():
    assert len({BertConfig(): 1, BertConfig(hidden_dropout_prob=0.1): 2, BertConfig.from_hf(BERT_BASE): 3}) == 1


def test_whole_numbers_become_floats_in_fields_that_are_floats():
    config = BertConfig(hidden_dropout_prob=0)
    assert type(config.hidden_dropout_prob) is float
    assert hash(config) == hash(BertConfig(hidden_dropout_prob=0.0))


def test_the_width_of_a_head_is_its_share_of_the_hidden_size():
    assert BertConfig(hidden_size=1024, num_attention_heads=16).head_dim == 64


JSON_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([]) | st.just({})


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(sorted(BERT_BASE)) | st.text(max_size=5), value=JSON_VALUES)
def test_any_value_of_any_key_ends_as_a_configuration_or_as_our_error(key: str, value: Any):
    try:
        config = BertConfig.from_hf(BERT_BASE | {key: value})
    except ConfigError as problem:
        assert key in str(problem)
    else:
        assert hash(config) == hash(copy.copy(config))
