"""`BertConfig`: the one description of a model, read from Hugging Face's config.json and Google's bert_config.json."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from minibert.errors import ConfigError
from minibert.strict_json import read_json_object

ACTIVATIONS = ("gelu_erf", "gelu_tanh", "relu", "silu")
DTYPES = ("float64", "float32", "bfloat16", "float16")
PRECISIONS = ("highest", "high", "default")
ATTENTION_IMPLEMENTATIONS = ("explicit", "fused")

# The word "gelu" names two functions: exact in Hugging Face's files, the tanh approximation in Google's code since 2019.
HF_ACTIVATIONS = {
    "gelu": "gelu_erf",
    "gelu_python": "gelu_erf",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
GOOGLE_ACTIVATIONS = {"gelu": "gelu_tanh", "relu": "relu"}

# Above these a value is a broken or hostile file, not a BERT: the largest published ones are 1,024 wide and 24 deep.
LARGEST = {
    "vocab_size": 10_000_000,
    "hidden_size": 65_536,
    "num_hidden_layers": 1_000,
    "num_attention_heads": 4_096,
    "intermediate_size": 1_048_576,
    "max_position_embeddings": 1_048_576,
    "type_vocab_size": 4_096,
}


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """Sizes and numerical choices of a BERT encoder, under Hugging Face's field names; the defaults are BERT-base's.

    The sizes are those of Devlin et al. 2018, section 3: `num_hidden_layers` is L, `hidden_size` H, `num_attention_heads` A.
    `hidden_act` is one of `gelu_erf`, `gelu_tanh`, `relu`, `silu`; the bare word "gelu" is ambiguous and refused here, the
    readers translate it. Fields of ours: `dtype` of the operands of matrix products (their results are float32 or wider),
    `param_dtype` of the stored parameters, `precision` of float32 products on accelerators (`highest` is true float32,
    `default` may be TF32 or bfloat16 passes), `attention_implementation` (`explicit`, or JAX's `fused` kernel).

    Raises ConfigError, naming the field and the value, for anything out of range or not implemented.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu_erf"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    dtype: str = "float32"
    param_dtype: str = "float32"
    precision: str = "highest"
    attention_implementation: str = "explicit"

    def __post_init__(self) -> None:
        for name, largest in LARGEST.items():
            self._check_int(name, 1, largest)
        self._check_int("pad_token_id", 0, self.vocab_size - 1)
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"hidden_size is {self.hidden_size}, which num_attention_heads = {self.num_attention_heads} does not "
                "divide; every head needs the same whole number of dimensions"
            )
        self._check_float("hidden_dropout_prob", 0.0, 1.0)
        self._check_float("attention_probs_dropout_prob", 0.0, 1.0)
        self._check_float("initializer_range", 0.0, 1e3)
        self._check_float("layer_norm_eps", 1e-37, 1.0)  # zero would divide by zero on a constant row
        self._check_choice("hidden_act", ACTIVATIONS)
        self._check_choice("dtype", DTYPES)
        self._check_choice("param_dtype", DTYPES)
        self._check_choice("precision", PRECISIONS)
        self._check_choice("attention_implementation", ATTENTION_IMPLEMENTATIONS)

    @property
    def head_dim(self) -> int:
        """The width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def read(cls, path: Path | str, **overrides: Any) -> "BertConfig":
        """The configuration in a file, or in a folder's config.json or else bert_config.json.

        A file named `bert_config.json` is read in Google's dialect, any other in Hugging Face's. `overrides` are fields
        that replace the file's. Raises ConfigError if there is no such file or a field is missing, broken or unknown.
        """
        file = Path(path)
        if file.is_dir():
            candidates = [file / "config.json", file / "bert_config.json"]
            found = [candidate for candidate in candidates if candidate.exists()]
            if not found:
                raise ConfigError(f"{file} holds neither config.json nor bert_config.json; a checkpoint folder needs one of them")
            file = found[0]
        values = read_json_object(file, error=ConfigError, max_bytes=1 << 20)
        try:
            if file.name == "bert_config.json":
                return cls.from_google(values, **overrides)
            return cls.from_hf(values, **overrides)
        except ConfigError as problem:
            raise ConfigError(f"{file}: {problem}") from None

    @classmethod
    def from_hf(cls, values: dict[str, Any], **overrides: Any) -> "BertConfig":
        """The configuration that a Hugging Face config.json states, where "gelu" means the exact erf form.

        Raises ConfigError for a missing size, and for a key that could change the numbers and is not implemented.
        """
        return cls._from_dialect(values, HF_ACTIVATIONS, overrides)

    @classmethod
    def from_google(cls, values: dict[str, Any], **overrides: Any) -> "BertConfig":
        """The configuration that Google's bert_config.json states, where "gelu" means the tanh approximation.

        Source: google-research/bert, modeling.py, BertConfig and gelu (tanh since commit bee6030, 2019-02-07); its
        layer_norm epsilon is 1e-12 in the code. Raises ConfigError as `from_hf` does.
        """
        return cls._from_dialect(values, GOOGLE_ACTIVATIONS, overrides)

    def to_hf(self) -> dict[str, Any]:
        """What a Hugging Face config.json says of this model; how minibert computes it is no part of that."""
        names = {ours: theirs for theirs, ours in reversed(HF_ACTIVATIONS.items())}
        values = {name: value for name, value in dataclasses.asdict(self).items() if name not in OUR_FIELDS}
        return values | {"hidden_act": names[self.hidden_act], "model_type": "bert"}

    def to_google(self) -> dict[str, Any]:
        """What Google's bert_config.json says of this model.

        Raises ConfigError for the exact form of GELU and for SiLU, which that file has no word for, and for another epsilon than
        that of Google's code.
        """
        names = {ours: theirs for theirs, ours in GOOGLE_ACTIVATIONS.items()}
        if self.hidden_act not in names or self.layer_norm_eps != 1e-12:
            raise ConfigError(
                f"hidden_act {self.hidden_act} with layer_norm_eps {self.layer_norm_eps:g} cannot be said in bert_config.json, "
                f"which knows {', '.join(names)} and 1e-12; write config.json"
            )
        left_out = {*OUR_FIELDS, "layer_norm_eps", "pad_token_id"}
        values = {name: value for name, value in dataclasses.asdict(self).items() if name not in left_out}
        return values | {"hidden_act": names[self.hidden_act]}

    @classmethod
    def _from_dialect(cls, values: dict[str, Any], activations: dict[str, str], overrides: dict[str, Any]) -> "BertConfig":
        if values.get("model_type") == MODIFIED_MODEL_TYPE:
            raise ConfigError("it is of a model with swapped parts, which minibert.lab.load loads and nothing else does")
        for key in refused_keys(values):
            raise ConfigError(f"{key} is {values[key]!r}; minibert implements {FIXED_KEYS[key][0]!r} only")
        own = file_fields()
        missing = [name for name in REQUIRED_KEYS if name not in values and name not in overrides]
        if missing:
            raise ConfigError(f"the configuration lacks {', '.join(missing)}; without it the model's shape is unknown")
        unknown = unknown_keys(values)
        if unknown:
            raise ConfigError(
                f"the configuration has {', '.join(f'{key} = {values[key]!r}' for key in unknown)}, which minibert does "
                "not know and which might change the numbers; remove it from the file if it does not"
            )
        fields = {name: value for name, value in values.items() if name in own}
        activation = fields.get("hidden_act", "gelu")
        if "hidden_act" not in overrides and not (isinstance(activation, str) and activation in activations):
            raise ConfigError(
                f"hidden_act is {activation!r}; in this kind of file minibert implements {', '.join(activations)}, and "
                f"hidden_act= overrides the file with one of {', '.join(ACTIVATIONS)}"
            )
        # Overriding comes before the checks, so that the user can correct a field that the file has wrong.
        fields["hidden_act"] = activations.get(activation) if isinstance(activation, str) else None
        cls._check_field_names(overrides)
        return cls(**(fields | overrides))

    def replace(self, **overrides: Any) -> "BertConfig":
        """A copy with some fields changed. Raises ConfigError for a name that is no field or a value it cannot take."""
        self._check_field_names(overrides)
        return dataclasses.replace(self, **overrides)

    @classmethod
    def _check_field_names(cls, names: Iterable[str]) -> None:
        fields = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(names) - set(fields))
        if unknown:
            raise ConfigError(f"{', '.join(unknown)} is no field of BertConfig; the fields are {', '.join(fields)}")

    def _check_int(self, name: str, smallest: int, largest: int) -> None:
        value = getattr(self, name)
        if type(value) is not int or not smallest <= value <= largest:
            raise ConfigError(f"{name} is {value!r}; expected a whole number from {smallest} to {largest:,}")

    def _check_float(self, name: str, smallest: float, largest: float) -> None:
        value = getattr(self, name)
        if type(value) not in (int, float) or not smallest <= value <= largest:
            raise ConfigError(f"{name} is {value!r}; expected a number from {smallest} to {largest}")
        object.__setattr__(self, name, float(value))

    def _check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if not isinstance(value, str) or value not in choices:
            raise ConfigError(f"{name} is {value!r}; expected one of {', '.join(choices)}")


def file_fields() -> set[str]:
    """The fields of BertConfig that a file may set."""
    return {field.name for field in dataclasses.fields(BertConfig)} - OUR_FIELDS


def refused_keys(values: Mapping[str, Any]) -> list[str]:
    """The keys of a file whose values ask for what minibert does not compute."""
    return [key for key, accepted in FIXED_KEYS.items() if key in values and values[key] not in accepted]


def unknown_keys(values: Iterable[str]) -> list[str]:
    """The keys of a file that might change the numbers, for all that minibert knows, and are therefore refused."""
    return sorted(set(values) - file_fields() - set(FIXED_KEYS) - HARMLESS_KEYS)


MODIFIED_MODEL_TYPE = "minibert_lab"
"""What a configuration says of a model with swapped parts: other libraries, which would take it for a BERT, refuse it."""

# How minibert computes is the user's choice, never the file's: `dtype` there says how the weights are stored.
OUR_FIELDS = {"dtype", "param_dtype", "precision", "attention_implementation"}

REQUIRED_KEYS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)

# Keys that would change the numbers if they had another value: the first is what minibert implements.
FIXED_KEYS: dict[str, tuple[Any, ...]] = {
    "model_type": ("bert",),
    "position_embedding_type": ("absolute", None),
    "is_decoder": (False, None),
    "is_encoder_decoder": (False, None),
    "add_cross_attention": (False, None),
    "pruned_heads": ({}, None),
    "quantization_config": (None,),
    "tie_word_embeddings": (True, None),
    "directionality": ("bidi",),
}

# Keys that cannot change what the encoder computes: bookkeeping, settings of heads and of text generation, and Google's
# pooler_* keys, which neither reference reads. `auto_map` names code to run; minibert runs none.
HARMLESS_KEYS = {
    "_attn_implementation_autoset",
    "_name_or_path",
    "_num_labels",
    "architectures",
    "auto_map",
    "bos_token_id",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "dtype",
    "eos_token_id",
    "finetuning_task",
    "gradient_checkpointing",
    "id2label",
    "label2id",
    "language",
    "mask_token_id",
    "name",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
    "problem_type",
    "return_dict",
    "sep_token_id",
    "cls_token_id",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "use_cache",
}
