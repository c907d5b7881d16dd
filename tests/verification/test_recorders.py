"""Recording through a mapping: Flax NNX, objects in Python, Flax linen; layouts; and every kind of wrong mapping."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from minibert import Bert, InputError, Trace, TraceError, load, record
from minibert.verification import Reference, record_by_mapping
from minibert.verification.recorders.axes import check_axes, to_our_axes

GELU = Path(__file__).parent.parent / "goldens" / "tiny" / "gelu"

ROWS, HEADS = "batch*tokens width", "batch*tokens heads*head_dim"
ATTENTION, FEED_FORWARD = "encoder.layers.{i}.attention", "encoder.layers.{i}.feed_forward"
OUR_BERT = {
    "implementation": "our own, seen from outside",
    "num_attention_heads": 3,
    "names": {
        "embeddings.sum": {"module": "embeddings.layer_norm", "input": 0, "axes": ROWS},
        "embeddings.output": {"module": "embeddings", "axes": ROWS},
        "layers.{i}.attention.query": {"module": f"{ATTENTION}.query", "axes": HEADS},
        "layers.{i}.attention.key": {"module": f"{ATTENTION}.key", "axes": HEADS},
        "layers.{i}.attention.value": {"module": f"{ATTENTION}.value", "axes": HEADS},
        "layers.{i}.attention.context": {"module": f"{ATTENTION}.projection", "input": 0, "axes": ROWS},
        "layers.{i}.attention.projection": {"module": f"{ATTENTION}.projection", "axes": ROWS},
        "layers.{i}.attention.output": {"module": ATTENTION, "axes": ROWS},
        "layers.{i}.feed_forward.activation": {"module": f"{FEED_FORWARD}.projection", "input": 0, "axes": ROWS},
        "layers.{i}.output": {"module": "encoder.layers.{i}", "axes": ROWS},
        "pooler.dense": "pooler.dense",
        "pooler.output": {"module": "", "item": "pooler_output"},
    },
}


@pytest.fixture(scope="module")
def model() -> Bert:
    return load(GELU)


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray]:
    return Reference.read(GELU / "reference.safetensors").inputs


@pytest.fixture(scope="module")
def trace(model: Bert, batch: dict[str, np.ndarray]) -> Trace:
    return record_by_mapping(model, batch, OUR_BERT)


def classes_in(model: Bert) -> list[type]:
    layers = [part for layer in model.encoder.layers for part in (layer, layer.attention, layer.attention.query)]
    return [type(part) for part in (model, model.embeddings, model.embeddings.layer_norm, *layers, model.pooler.dense)]


def test_an_nnx_model_gives_what_its_own_tap_shows(model: Bert, batch: dict[str, np.ndarray], trace: Trace):
    ours = record(model, batch, list(trace))
    assert len(trace) == 2 + 2 * 8 + 2
    for name, values in trace.items():
        np.testing.assert_array_equal(values, ours[name], err_msg=name, strict=True)


def test_an_nnx_model_is_left_as_it_was(model: Bert, batch: dict[str, np.ndarray]):
    classes, before = classes_in(model), model(**batch)
    record_by_mapping(model, batch, OUR_BERT)
    assert classes_in(model) == classes
    after = model(**batch)
    np.testing.assert_array_equal(after.last_hidden_state, before.last_hidden_state)
    np.testing.assert_array_equal(after.pooler_output, before.pooler_output)


def test_an_nnx_model_is_left_as_it_was_where_the_call_fails(model: Bert, batch: dict[str, np.ndarray]):
    classes = classes_in(model)

    def fails(**inputs: Any) -> None:
        model(**inputs)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        record_by_mapping(model, batch, OUR_BERT, call=fails)
    assert classes_in(model) == classes


def test_a_trace_by_mapping_can_be_kept(trace: Trace, tmp_path: Path):
    trace.save(tmp_path / "trace.safetensors")
    again = Trace.read(tmp_path / "trace.safetensors")
    assert list(again) == list(trace)
    np.testing.assert_array_equal(again["layers.1.attention.key"], trace["layers.1.attention.key"])


def test_the_metadata_says_what_was_recorded(trace: Trace):
    assert trace.metadata["implementation"] == "our own, seen from outside"
    assert (trace.metadata["dtype"], trace.metadata["device"]) == ("float32", jax.default_backend())
    assert '"flax"' in trace.metadata["versions"]


class Table:
    def __init__(self, rows: np.ndarray):
        self.rows = rows

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        self.ids_type = type(ids)
        return self.rows[ids]


class Twice:
    def __call__(self, hidden: np.ndarray, *, scale: float = 2.0) -> dict[str, np.ndarray]:
        return {"doubled": hidden * scale, "ids": np.arange(3)}


class PlainBert:
    """An embedding table and two layers that double, in NumPy alone."""

    def __init__(self) -> None:
        self.table = Table(np.arange(10.0).reshape(5, 2))
        self.blocks = {"first": [Twice(), Twice()]}
        self.unused, self.activation = Twice(), np.tanh

    def __call__(self, input_ids: np.ndarray) -> np.ndarray:
        hidden = self.table(input_ids)
        for block in self.blocks["first"]:
            hidden = block(hidden)["doubled"]
        return hidden


DOUBLED = {"module": "blocks.first.{i}", "item": "doubled"}


def record_plain(names: dict[str, Any], call: Callable[..., Any] | None = None, **more: Any) -> Trace:
    return record_by_mapping(PlainBert(), {"input_ids": [[1, 4, 2]]}, {"names": names, **more}, call=call)


def test_any_object_with_callable_parts_is_recorded_through_attributes_lists_and_dicts():
    trace = record_plain({"embeddings.word": "table", "layers.{i}.output": DOUBLED})
    rows = np.array([[[2.0, 3.0], [8.0, 9.0], [4.0, 5.0]]])
    np.testing.assert_array_equal(trace["embeddings.word"], rows, strict=True)
    np.testing.assert_array_equal(trace["layers.1.output"], 4.0 * rows, strict=True)
    assert trace.metadata["dtype"] == "float64"
    assert trace.metadata["implementation"] == f"{PlainBert.__module__}.PlainBert"


def test_a_file_does_as_well_as_a_dict(tmp_path: Path):
    (tmp_path / "mapping.toml").write_text(
        """
        num_attention_heads = 2
        [names]
        "layers.{i}.attention.query" = { module = "blocks.first.{i}", item = "doubled", axes = "batch tokens heads*head_dim" }
        "layers.0.output" = { module = "blocks.first.1", input = 0 }
        """
    )
    for path in (tmp_path / "mapping.toml", str(tmp_path / "mapping.toml")):
        trace = record_by_mapping(PlainBert(), {"input_ids": [[1, 4, 2]]}, path)
        assert list(trace) == ["layers.0.attention.query", "layers.0.output", "layers.1.attention.query"]
        np.testing.assert_array_equal(trace["layers.0.attention.query"][..., 0], [[[4.0, 16.0, 8.0], [6.0, 18.0, 10.0]]])
        np.testing.assert_array_equal(trace["layers.0.output"], [[[4.0, 6.0], [16.0, 18.0], [8.0, 10.0]]])


def test_an_input_that_is_written_over_is_recorded_as_it_came():
    class Doubles:
        def __call__(self, hidden: np.ndarray) -> np.ndarray:
            hidden *= 2.0
            return hidden

    model = PlainBert()
    model.block = Doubles()
    names = {
        "embeddings.output": "table",
        "layers.0.attention.output": {"module": "block", "input": 0},
        "layers.0.output": "block",
    }
    trace = record_by_mapping(
        model, {"input_ids": [[1]]}, {"names": names}, call=lambda input_ids: model.block(model.table(input_ids))
    )
    assert [values.ravel().tolist() for values in trace.values()] == [[2.0, 3.0], [2.0, 3.0], [4.0, 6.0]]


def test_a_model_without_arrays_of_jax_is_given_numpys():
    model = PlainBert()
    record_by_mapping(model, {"input_ids": [[1]]}, {"names": {"embeddings.word": "table"}})
    assert model.table.ids_type is np.ndarray


def test_values_of_fewer_bits_are_kept_in_float32_and_their_dtype_is_said():
    class Half(Table):
        pass

    model = PlainBert()
    for dtype in (np.float16, jnp.bfloat16):
        model.table = Half(np.array([[1.0, 1 / 3]]).astype(dtype))
        call = model.table
        trace = record_by_mapping(
            model,
            {"input_ids": [[0]]},
            {"names": {"embeddings.word": "table"}},
            call=lambda input_ids, call=call: call(input_ids),
        )
        assert trace["embeddings.word"].dtype == np.float32
        np.testing.assert_array_equal(trace["embeddings.word"][0], model.table.rows.astype(np.float32))
        assert trace.metadata["dtype"] == np.dtype(dtype).name


def test_arguments_are_called_as_the_mapping_says_and_no_others_are_given():
    given = {}
    batch = {"input_ids": [[1, 4]], "token_type_ids": [[0, 0]], "attention_mask": [[1, 0]]}
    model = PlainBert()

    def call(**arguments: np.ndarray) -> None:
        given.update(arguments)
        model(arguments["ids"])

    mapping = {"names": {"embeddings.word": "table"}, "arguments": {"input_ids": "ids", "attention_mask": "mask"}}
    trace = record_by_mapping(model, batch, mapping, call=call)
    assert list(given) == ["ids", "mask"]
    np.testing.assert_array_equal(given["mask"], [[1, 0]])
    np.testing.assert_array_equal(trace.inputs["attention_mask"], [[1, 0]])


@pytest.mark.parametrize(
    "more",
    [{"token_type_ids": [[0, 1]]}, {"attention_mask": [[1, 0]]}, {"position_ids": [[1, 2]]}],
    ids=lambda more: next(iter(more)),
)
def test_an_input_that_matters_and_is_not_passed_on_is_refused(more: dict[str, Any]):
    mapping = {"names": {"embeddings.word": "table"}, "arguments": {"input_ids": "input_ids"}}
    with pytest.raises(TraceError, match=f"the batch has {next(iter(more))} of its own"):
        record_by_mapping(PlainBert(), {"input_ids": [[1, 4]], **more}, mapping)


class LinenLayer(linen.Module):
    @linen.compact
    def __call__(self, hidden: jax.Array, mask: jax.Array) -> jax.Array:
        attend = linen.MultiHeadDotProductAttention(num_heads=3, name="attention")
        return linen.LayerNorm(name="norm")(hidden + attend(hidden, mask=mask[:, None, None, :] > 0))


class LinenBert(linen.Module):
    @linen.compact
    def __call__(self, tokens: jax.Array, mask: jax.Array) -> jax.Array:
        hidden = linen.Embed(11, 6, name="word")(tokens)
        for number in range(2):
            hidden = LinenLayer(name=f"layer_{number}")(hidden, mask)
        return hidden


SPLIT = "batch tokens heads head_dim"
LINEN = {
    "arguments": {"input_ids": "tokens", "attention_mask": "mask"},
    "names": {
        "embeddings.word": "word",
        "layers.{i}.attention.query": {"module": "layer_{i}.attention.query", "axes": SPLIT},
        "layers.{i}.attention.context": {"module": "layer_{i}.attention.out", "input": 0, "axes": SPLIT},
        "layers.{i}.attention.output": "layer_{i}.norm",
        "layers.{i}.output": "layer_{i}",
    },
}
LINEN_BATCH = {"input_ids": np.array([[1, 2, 3, 0], [4, 5, 6, 7]]), "attention_mask": np.array([[1, 1, 1, 0], [1, 1, 1, 1]])}


@pytest.fixture(scope="module")
def linen_call() -> Callable[..., jax.Array]:
    module, arrays = LinenBert(), tuple(LINEN_BATCH.values())
    variables = module.init(jax.random.key(0), *arrays)
    return lambda **inputs: module.apply(variables, **inputs)


def test_a_linen_module_is_recorded_while_it_is_applied(linen_call: Callable[..., jax.Array]):
    trace = record_by_mapping(LinenBert(), LINEN_BATCH, LINEN, call=linen_call)
    assert list(trace)[:3] == ["embeddings.word", "layers.0.attention.query", "layers.0.attention.context"]
    assert len(trace) == 9
    assert trace["layers.1.attention.query"].shape == (2, 3, 4, 2)
    assert trace["layers.1.attention.context"].shape == (2, 4, 6)
    expected = linen_call(tokens=LINEN_BATCH["input_ids"], mask=LINEN_BATCH["attention_mask"])
    np.testing.assert_array_equal(trace["layers.1.output"], expected)
    np.testing.assert_array_equal(trace["layers.1.attention.output"], expected)


def test_a_compiled_linen_module_is_recorded_where_it_is_compiled_and_never_after(linen_call: Callable[..., jax.Array]):
    compiled = jax.jit(linen_call)
    trace = record_by_mapping(LinenBert(), LINEN_BATCH, LINEN, call=compiled)
    expected = compiled(tokens=LINEN_BATCH["input_ids"], mask=LINEN_BATCH["attention_mask"])
    np.testing.assert_allclose(trace["layers.1.output"], expected, atol=1e-6)
    with pytest.raises(TraceError, match="no linen module was called: if call= is compiled, it was before this"):
        record_by_mapping(LinenBert(), LINEN_BATCH, LINEN, call=compiled)


def test_a_linen_module_alone_cannot_run():
    with pytest.raises(TraceError, match="does not hold its variables; give call="):
        record_by_mapping(LinenBert(), LINEN_BATCH, LINEN)


def test_a_part_that_a_linen_module_does_not_have_is_refused(linen_call: Callable[..., jax.Array]):
    mapping = LINEN | {"names": {"layers.{i}.output": "layer_{i}.attn"}}
    with pytest.raises(TraceError, match=r"no part 'layer_0\.attn'; the nearest is layer_0, with attention, norm below it"):
        record_by_mapping(LinenBert(), LINEN_BATCH, mapping, call=linen_call)


@pytest.mark.parametrize(
    ("name", "axes", "values", "expected"),
    [
        ("layers.0.output", "batch tokens width", np.arange(12.0).reshape(2, 3, 2), np.arange(12.0).reshape(2, 3, 2)),
        ("layers.0.output", "batch*tokens width", np.arange(12.0).reshape(6, 2), np.arange(12.0).reshape(2, 3, 2)),
        (
            "layers.0.output",
            "tokens batch width",
            np.arange(12.0).reshape(3, 2, 2),
            np.arange(12.0).reshape(3, 2, 2).swapaxes(0, 1),
        ),
        ("embeddings.position", "tokens width", np.ones((3, 5)), np.ones((2, 3, 5))),
        ("embeddings.position", "1 tokens width", np.ones((1, 3, 5)), np.ones((2, 3, 5))),
        ("pooler.output", "batch 1 width", np.arange(8.0).reshape(2, 1, 4), np.arange(8.0).reshape(2, 4)),
        ("heads.masked_lm.logits", "batch*tokens width", np.ones((6, 7)), np.ones((2, 3, 7))),
        ("heads.classifier.logits", "batch width", np.ones((2, 7)), np.ones((2, 7))),
        (
            "layers.0.attention.key",
            "batch tokens heads*head_dim",
            np.arange(48.0).reshape(2, 3, 8),
            np.arange(48.0).reshape(2, 3, 4, 2).swapaxes(1, 2),
        ),
        (
            "layers.0.attention.value",
            "batch*heads tokens head_dim",
            np.arange(24.0).reshape(8, 3, 1),
            np.arange(24.0).reshape(2, 4, 3, 1),
        ),
        (
            "layers.0.attention.probabilities",
            "batch*heads queries keys",
            np.arange(72.0).reshape(8, 3, 3),
            np.arange(72.0).reshape(2, 4, 3, 3),
        ),
        (
            "layers.0.attention.scores",
            "batch heads keys queries",
            np.arange(72.0).reshape(2, 4, 3, 3),
            np.arange(72.0).reshape(2, 4, 3, 3).swapaxes(2, 3),
        ),
        (
            "layers.0.attention.context",
            "batch heads tokens head_dim",
            np.arange(48.0).reshape(2, 4, 3, 2),
            np.arange(48.0).reshape(2, 4, 3, 2).swapaxes(1, 2).reshape(2, 3, 8),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_are_brought_into_our_axes(name: str, axes: str, values: np.ndarray, expected: np.ndarray):
    check_axes(name, axes)
    found = to_our_axes(name, values, axes, {"batch": 2, "tokens": 3, "heads": 4}, "it")
    np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize("shape", [(2, 3), (6, 2), (2, 4, 2), (3, 3, 2), (2, 3, 2, 1)])
def test_values_of_another_shape_are_refused_with_both_shapes(shape: tuple[int, ...]):
    with pytest.raises(TraceError) as problem:
        to_our_axes("layers.0.output", np.zeros(shape), "batch tokens width", {"batch": 2, "tokens": 3}, "the output of layer")
    assert f"the output of layer has shape {list(shape)}; expected batch tokens width with batch = 2, tokens = 3" in str(
        problem.value
    )


def test_a_width_that_heads_do_not_divide_is_refused():
    sizes = {"batch": 2, "tokens": 3, "heads": 4}
    with pytest.raises(TraceError, match=r"has shape \[2, 3, 10\]; expected batch tokens heads\*head_dim with .*heads = 4"):
        to_our_axes("layers.0.attention.key", np.zeros((2, 3, 10)), "batch tokens heads*head_dim", sizes, "it")


def test_heads_cannot_be_split_without_their_number():
    with pytest.raises(TraceError, match=r"heads\*head_dim can be split only with num_attention_heads in the mapping"):
        to_our_axes("layers.0.attention.key", np.zeros((1, 1, 8)), "batch tokens heads*head_dim", {"batch": 1, "tokens": 1}, "it")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"layers.{i}.querry": "table"}, "layers.{i}.querry is no intermediate of this model; the names are embeddings.word"),
        (
            {"embeddings": {"word": "table"}},
            "names has a table embeddings, which names no module; a name with dots stands in quotes",
        ),
        (
            {"embeddings.word": "tabel"},
            "no part 'tabel'; the nearest is the model, with table, blocks, unused, activation below it",
        ),
        ({"layers.{i}.output": "blocks.second.{i}"}, "no part 'blocks.second.0'; the nearest is blocks, with first below it"),
        (
            {"layers.{i}.output": DOUBLED | {"module": "blocks.first.{i}.b"}},
            "the nearest is blocks.first.0, with nothing below it",
        ),
        ({"layers.2.output": DOUBLED | {"module": "blocks.first.2"}}, "the nearest is blocks.first, with 0 to 1 below it"),
        ({"layers.{i}.output": "table"}, "{i}, the number of the layer, stands in both or in neither"),
        ({"layers.0.output": "blocks.first.{i}"}, "stands in both or in neither"),
        ({"layers.{i}.output": DOUBLED, "layers.1.output": "table"}, "layers.1.output is mapped twice: to item doubled of"),
        ({"embeddings.word": {"module": "table", "itme": 1}}, "embeddings.word has itme; the keys are module, input, item, axes"),
        ({"embeddings.word": {"item": 1}}, "embeddings.word is {'item': 1}; expected the path of a module in quotes"),
        ({"embeddings.word": 3}, "embeddings.word is 3; expected the path of a module in quotes"),
        ({"embeddings.word": {"module": "table", "item": -1}}, "item = -1; expected a number from 0 up or a name"),
        ({"embeddings.word": {"module": "table", "input": 1.5}}, "input = 1.5; expected a number from 0 up or a name"),
        ({"embeddings.word": {"module": "table", "axes": "batch words width"}}, "names words; the axes are batch, tokens"),
        ({"embeddings.word": {"module": "table", "axes": "batch width"}}, "cannot become minibert's, 'batch tokens width'"),
        ({"embeddings.word": {"module": "table", "axes": "batch batch tokens width"}}, "each of these must be there once"),
        ({"embeddings.word": {"module": "table", "input": 1}}, "the input 1 of table is not there; what it was called with is 0"),
        (
            {"embeddings.word": {"module": "table", "input": "ids"}},
            "the input ids of table is not there; what it was called with is 0",
        ),
        ({"layers.{i}.output": "blocks.first.{i}"}, "the output of blocks.first.0 is a dict of 2, of which item = … takes one"),
        (
            {"layers.{i}.output": DOUBLED | {"item": "tripled"}},
            "item tripled of the output of blocks.first.0 is not there; the value is a dict",
        ),
        ({"layers.{i}.output": DOUBLED | {"item": "ids"}}, "is of int64; expected an array of floating-point numbers"),
        (
            {"embeddings.word": {"module": "table", "item": 5}},
            "item 5 of the output of table is not there; the value is a ndarray",
        ),
        (
            {"embeddings.word": {"module": "table", "item": 0}},
            "the output of table has shape [3, 2]; expected batch tokens width",
        ),
        ({"embeddings.word": "unused"}, "embeddings.word was never computed: unused is there, but was not called"),
        ({"embeddings.word": "blocks"}, "blocks is a dict; expected a part whose class has __call__"),
        ({"embeddings.word": "activation"}, "activation, a ufunc, cannot be watched"),
        ({}, "has no table `names`"),
    ],
)
def test_a_wrong_mapping_is_one_sentence(names: dict[str, Any], message: str):
    with pytest.raises(TraceError) as problem:
        record_plain(names)
    assert message in str(problem.value)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"name": {}}, "the mapping has name; the keys are names, arguments, num_attention_heads, implementation"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0; expected a whole number from 1 up"),
        ({"num_attention_heads": True}, "num_attention_heads is True; expected a whole number from 1 up"),
        ({"implementation": 3}, "implementation is 3; expected a few words in quotes"),
        ({"arguments": {"ids": "x"}}, "arguments has ids; the keys are input_ids, attention_mask"),
        ({"arguments": {"attention_mask": "x"}}, "arguments lacks input_ids"),
        ({"arguments": {"input_ids": 0}}, "arguments is {'input_ids': 0}; expected a table"),
    ],
)
def test_a_wrong_key_of_the_mapping_is_one_sentence(more: dict[str, Any], message: str):
    with pytest.raises(TraceError) as problem:
        record_plain({"embeddings.word": "table"}, **more)
    assert message in str(problem.value)


def test_a_part_that_is_called_twice_is_refused():
    model = PlainBert()
    model.blocks["first"][1] = model.blocks["first"][0]
    with pytest.raises(TraceError, match="layers.0.output was computed 2 times: blocks.first.0 is called by several parts"):
        record_by_mapping(model, {"input_ids": [[1]]}, {"names": {"layers.{i}.output": DOUBLED}})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"names = {", "mapping.toml is not valid TOML"),
        (b"\xff", "mapping.toml is not valid TOML"),
        (b"", "mapping.toml has no table `names`"),
        (b'[names]\nembeddings.word = "table"', "mapping.toml: names has a table embeddings"),
        (b'[names]\n"layers.word" = "table"', "mapping.toml: layers.word is no intermediate"),
    ],
)
def test_a_file_that_is_no_mapping_is_named(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "mapping.toml").write_bytes(content)
    with pytest.raises(TraceError) as problem:
        record_by_mapping(PlainBert(), {"input_ids": [[1]]}, tmp_path / "mapping.toml")
    assert message in str(problem.value)
    assert "\n" not in str(problem.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(TraceError, match="absent.toml does not exist"):
        record_by_mapping(PlainBert(), {"input_ids": [[1]]}, tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"attention_mask": [[1]]}, "the batch lacks input_ids"),
        ({"input_ids": [[1]], "labels": [[1]]}, "the batch has labels; its arrays are input_ids"),
        ({"input_ids": [1]}, r"expected \[batch, tokens\]"),
    ],
)
def test_a_batch_that_is_none_is_refused(batch: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        record_by_mapping(PlainBert(), batch, {"names": {"embeddings.word": "table"}})


def test_a_batch_that_is_no_mapping_is_refused(without_shape_checks: None):
    with pytest.raises(InputError, match="the batch is a list; expected the mapping that a Tokenizer returns"):
        record_by_mapping(PlainBert(), [[1]], {"names": {"embeddings.word": "table"}})
