import math
import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import flax.serialization
import ml_dtypes
import msgpack
import numpy as np
import pytest
from damage import flipped
from flax.traverse_util import flatten_dict
from hypothesis import given, settings
from hypothesis import strategies as st
from limited_child import needs_linux, outcomes
from record_flax_files import CHUNK_BYTES, DTYPES, FOLDER, of_name, trees
from sources import Source, raises

from minibert.checkpoints.formats import stored_tensor
from minibert.checkpoints.formats.flax_msgpack import layout, open_flax_msgpack, reader, write_flax_msgpack
from minibert.checkpoints.formats.flax_msgpack.layout import CHUNKED, MAX_VALUES
from minibert.checkpoints.formats.stored_tensor import MappedTensor, StoredTensor
from minibert.errors import CheckpointError

Read = dict[str, tuple[str, tuple[int, ...], bytes]]

OPEN_FLAX = "from minibert.checkpoints.formats.flax_msgpack import open_flax_msgpack as open_file"


def array(shape: Any = (1,), dtype: Any = "float32", values: Any = bytes(4), extension: int = 1) -> msgpack.ExtType:
    return msgpack.ExtType(extension, msgpack.packb((shape, dtype, values)))


def file_of(tree: Any) -> bytes:
    return msgpack.packb(tree)


def chunked(shape: Any, chunks: Any, mark: Any = True, **more: Any) -> bytes:
    return file_of({"a": {CHUNKED: mark, "shape": shape, "chunks": chunks, **more}})


def nested(depth: int, leaf: bytes = b"\x80") -> bytes:
    return b"\x81\xa1a" * depth + leaf


def extension_of(length: int, content: bytes) -> bytes:
    return b"\x81\xa1a\xc9" + struct.pack(">IB", length, 1) + content


ZERO = array()
# Each with words of the error that it has to become.
HOSTILE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "it is cut short"),
    "a page of HTML": (b"<!DOCTYPE html><html></html>", "begins with"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "begins with"),
    "a zip": (b"PK\3\4" + bytes(30), "begins with"),
    "an array alone": (file_of(ZERO), "begins with"),
    "a list of arrays": (file_of([ZERO]), "kind 'list' at its top"),
    "nil": (b"\xc0", "kind 'nothing'"),
    "the byte that msgpack never uses": (b"\xc1", "kind 'no value at all'"),
    "bytes after the map": (file_of({"a": ZERO}) + b"\0", "ends at byte"),
    "two maps": (file_of({"a": ZERO}) * 2, "ends at byte"),
    "a list of 2^31": (b"\x81\xa1a\xdd\x80\0\0\0", "kind 'list'"),
    "a list of 2^31 at the top": (b"\xdd\x80\0\0\0", "kind 'list'"),
    "a map of 2^32 - 1": (b"\xdf\xff\xff\xff\xff", "claims 4,294,967,295 entries"),
    "a map of 65,535": (b"\xde\xff\xff", "claims 65,535 entries"),
    "a map of one too many": (b"\x82\xa1a\x80", "claims 2 entries"),
    "a map in a map of 2^31": (b"\x81\xa1a\xdf\x80\0\0\0", "claims 2,147,483,648 entries"),
    "an array of 4 GB": (extension_of(2**32 - 1, b""), "claims 4,294,967,295 bytes"),
    "an array of one byte too many": (extension_of(2, b"\x93"), "claims 2 bytes"),
    "values of 4 GB": (extension_of(14, b"\x93\x91\x01\xa5int64\xc6\xff\xff\xff\xff"), "has 4,294,967,295 bytes"),
    "a shape of 2^31 axes": (extension_of(6, b"\x93\xdd\x80\0\0\0"), "2,147,483,648 axes"),
    "a name of 4 GB": (b"\x81\xdb\xff\xff\xff\xff", "4,294,967,295 bytes"),
    "a dtype of 4 GB": (extension_of(8, b"\x93\x91\x01\xdb\xff\xff\xff\xff"), "cut short"),
    "a text of 4 GB": (b"\x81\xa1a\xdb\xff\xff\xff\xff", "kind 'text'"),
    "maps without end": (nested(1_000_000), "nested deeper than"),
    "maps without end, cut": (b"\x81\xa1a" * 1_000_000, "nested deeper than"),
    "maps one level too deep": (nested(33), "nested deeper than"),
    "lists without end": (b"\x81\xa1a" + b"\x91" * 1_000_000, "kind 'list'"),
    "a name given twice": (b"\x82" + 2 * file_of({"a": ZERO})[1:], "is given twice"),
    "a name given twice below": (b"\x81\xa1x\x82" + 2 * file_of({"a": ZERO})[1:], "'x/a' is given twice"),
    "a map and an array of one name": (b"\x82\xa1a\x80\xa1a\x80", "is given twice"),
    "a name that is a number": (file_of({1: ZERO}), "kind 'whole number'"),
    "a name that is bytes": (file_of({b"a": ZERO}), "kind 'bytes'"),
    "a name that is nil": (file_of({None: ZERO}), "kind 'nothing'"),
    "an empty name": (file_of({"": ZERO}), "has 0 bytes"),
    "a name with a slash": (file_of({"a/b": ZERO}), "has a '/'"),
    "a name that is not UTF-8": (b"\x81\xa1\xff\x80", "is not UTF-8"),
    "a name that is a surrogate": (b"\x81\xa3\xed\xa0\x80\x80", "is not UTF-8"),
    "a name of 501 bytes": (file_of({"a" * 501: ZERO}), "has 501 bytes"),
    "a name of 501 bytes in all": (file_of({"a" * 400: {"b" * 100: ZERO}}), "has 100 bytes"),
    "dtype V8": (file_of({"a": array((1,), "V8", bytes(8))}), "dtype 'V8'"),
    "dtype void64": (file_of({"a": array((1,), "void64", bytes(8))}), "dtype 'void64'"),
    "two dtypes": (file_of({"a": array((1,), "f4,f4", bytes(8))}), "dtype 'f4,f4'"),
    "dtype M8[s]": (file_of({"a": array((1,), "M8[s]", bytes(8))}), "dtype 'M8[s]'"),
    "dtype object": (file_of({"a": array((1,), "object", bytes(8))}), "dtype 'object'"),
    "dtype O": (file_of({"a": array((1,), "O", bytes(8))}), "dtype 'O'"),
    "dtype complex64": (file_of({"a": array((1,), "complex64", bytes(8))}), "dtype 'complex64'"),
    "dtype float8": (file_of({"a": array((1,), "float8_e4m3fn", bytes(1))}), "dtype 'float8_e4m3fn'"),
    "dtype <f4": (file_of({"a": array((1,), "<f4")}), "dtype '<f4'"),
    "dtype >f4": (file_of({"a": array((1,), ">f4")}), "dtype '>f4'"),
    "dtype Float32": (file_of({"a": array((1,), "Float32")}), "dtype 'Float32'"),
    "dtype float32 and a NUL": (file_of({"a": array((1,), "float32\0")}), "dtype 'float32\\x00'"),
    "a dtype of 100,000 bytes": (file_of({"a": array((1,), "float32" * 15_000)}), "dtype 'float32float32"),
    "a dtype that is no text": (file_of({"a": array((1,), 4)}), "kind 'whole number'"),
    "a dtype that is bytes": (file_of({"a": array((1,), b"float32")}), "kind 'bytes'"),
    "values that are text": (file_of({"a": array(values="abcd")}), "kind 'text'"),
    "values that are a list": (file_of({"a": array(values=[1.0])}), "kind 'list'"),
    "a complex number": (file_of({"a": msgpack.ExtType(2, msgpack.packb((1.0, 2.0)))}), "complex number"),
    "an extension of type 0": (file_of({"a": array(extension=0)}), "extension of type 0"),
    "a time": (file_of({"a": msgpack.Timestamp(1)}), "extension of type 255"),
    "an array of two values": (file_of({"a": msgpack.ExtType(1, msgpack.packb(((1,), "int8")))}), "is not the three values"),
    "an array of four values": (file_of({"a": msgpack.ExtType(1, msgpack.packb(((), "int8", b"1", 0)))}), "the three values"),
    "an array that is a map": (file_of({"a": msgpack.ExtType(1, msgpack.packb({}))}), "kind 'map'"),
    "an empty extension": (extension_of(0, b""), "cut short"),
    "an extension with more than its array": (
        file_of({"a": msgpack.ExtType(1, msgpack.packb(((1,), "int8", b"1")) + b"1")}),
        "2 bytes for 1 bytes",
    ),
    "an array that goes on past its extension": (extension_of(12, b"\x93\x91\x01\xa4int8\xc4\x02ab"), "'a' has"),
    "fewer bytes than the shape needs": (file_of({"a": array((2,))}), "has 4 bytes, but shape (2,) of float32 needs 8"),
    "more bytes than the shape needs": (file_of({"a": array((0,))}), "has 4 bytes"),
    "a shape that wraps to 0": (file_of({"a": array((2**32, 2**32), values=b"")}), "no memory holds"),
    "a shape that wraps to 4 bytes": (file_of({"a": array((2**62 + 1,))}), "no memory holds"),
    "a shape of 2^64 - 1": (file_of({"a": array((2**64 - 1,))}), "no memory holds"),
    "an empty shape beyond all memory": (file_of({"a": array((0, 2**62), values=b"")}), "no memory holds"),
    "a shape of -1": (file_of({"a": array((-1,))}), "kind 'negative number'"),
    "a shape of -1,000,000": (file_of({"a": array((-1_000_000,))}), "kind 'negative number'"),
    "a shape of two negatives": (file_of({"a": array((-1, -1))}), "kind 'negative number'"),
    "a shape of true": (file_of({"a": array((True,))}), "kind 'true'"),
    "a shape of 1.0": (file_of({"a": array((1.0,))}), "kind 'floating-point number'"),
    "a shape of text": (file_of({"a": array(("1",))}), "kind 'text'"),
    "a shape that is no list": (file_of({"a": array(1)}), "kind 'whole number'"),
    "a shape of 65 axes": (file_of({"a": array((1,) * 65)}), "has 65 axes"),
    "a scalar with an axis": (file_of({"a": array(extension=3)}), "has 1 axes"),
    "a plain number": (file_of({"params": {"a": ZERO}, "step": 7}), "plain value 7 under 'step'"),
    "a plain negative number": (file_of({"step": -7}), "kind 'negative number'"),
    "a plain float": (file_of({"rate": 0.5}), "kind 'floating-point number'"),
    "a plain true": (file_of({"training": True}), "plain value True under 'training'"),
    "a plain false": (file_of({"training": False}), "kind 'false'"),
    "a plain nil": (file_of({"a": None}), "kind 'nothing'"),
    "a plain text": (file_of({"a": "float32"}), "kind 'text'"),
    "plain bytes": (file_of({"a": bytes(4)}), "kind 'bytes'"),
    "chunks with too few values": (chunked({"0": 3}, {"0": ZERO, "1": ZERO}), "have 2 values, but shape (3,)"),
    "chunks with too many values": (chunked({"0": 1}, {"0": ZERO, "1": ZERO}), "have 2 values, but shape (1,)"),
    "chunks of two dtypes": (chunked({"0": 2}, {"0": ZERO, "1": array((1,), "int32")}), "not flat arrays of one dtype"),
    "chunks that are not flat": (chunked({"0": 1}, {"0": array((1, 1))}), "not flat arrays of one dtype"),
    "chunks without axes": (chunked({"0": 1}, {"0": array(())}), "not flat arrays of one dtype"),
    "chunks of none": (chunked({"0": 0}, {}), "not flat arrays of one dtype"),
    "chunks that begin at 1": (chunked({"0": 1}, {"1": ZERO}), "not a map of the numbers from 0 up"),
    "chunks of 0 and 00": (chunked({"0": 2}, {"0": ZERO, "00": ZERO}), "not a map of the numbers from 0 up"),
    "chunks that are numbers": (chunked({"0": 1}, {"0": 1}), "a value that is no array"),
    "chunks that are maps": (chunked({"0": 1}, {"0": {}}), "a value that is no array"),
    "chunks in chunks": (
        chunked({"0": 1}, {"0": {CHUNKED: True, "shape": {"0": 1}, "chunks": {"0": ZERO}}}),
        "a value that is no array",
    ),
    "chunks that are an array": (chunked({"0": 1}, ZERO), "not a map of the numbers"),
    "chunks of a shape that is an array": (chunked(ZERO, {"0": ZERO}), "not a map of the numbers"),
    "chunks of a shape with a hole": (chunked({"0": 1, "2": 1}, {"0": ZERO}), "not a map of the numbers"),
    "chunks of a shape of arrays": (chunked({"0": ZERO}, {"0": ZERO}), "a value that is no whole number"),
    "chunks of a shape of true": (chunked({"0": True}, {"0": ZERO}), "a value that is no whole number"),
    "chunks of a shape of -1": (chunked({"0": -1}, {"0": ZERO}), "kind 'negative number'"),
    "chunks of a shape that wraps": (chunked({"0": 2**63, "1": 2}, {"0": ZERO}), "no memory holds"),
    "chunks of 33 axes": (chunked({str(axis): 1 for axis in range(33)}, {"0": ZERO}), "has 33 axes"),
    "chunks with the mark false": (chunked({"0": 1}, {"0": ZERO}, mark=False), "kind 'false'"),
    "chunks with the mark 1": (chunked({"0": 1}, {"0": ZERO}, mark=1), "has the mark"),
    "chunks and one key more": (chunked({"0": 1}, {"0": ZERO}, b=ZERO), "has the mark"),
    "a mark alone": (file_of({"a": {CHUNKED: True}}), "has the mark"),
    "chunks at the top": (
        file_of({CHUNKED: True, "shape": {"0": 1}, "chunks": {"0": ZERO}}),
        "begins with an array",
    ),
}
# Where our reader is stricter than flax on purpose.
STRICTER = (
    "is given twice",
    "where a map or an array is expected",  # flax hands back plain values too
    "where a tensor is expected",
    "begins with an array or a number",
    "; expected text",  # numbers and bytes as names
    "expected 1 to 500 in all",
    "has a '/'",
    "has dtype",  # other spellings, and dtypes that no BERT has
    "where a text is expected",
    "where a bytes is expected",
    "where a list is expected",
    "where a whole number is expected",  # flax guesses a length of -1
    "extension of type",
    "is a complex number",
    "none in a scalar",
    "has the mark",  # flax looks at no value of the mark and at no other key
    "is not a map of the numbers from 0 up",
    "a value that is no whole number",  # NumPy takes true and arrays of a length
    "not flat arrays of one dtype",  # NumPy finds a dtype for both
    " bytes of values",  # msgpack inside an extension may be followed by more
)

SMALL = (FOLDER / "small.msgpack").read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("msgpack")


def described(arrays: dict[str, Any]) -> Read:
    """Every tensor by its name, as dtype, shape and bytes; every true value as a 1, as flax makes it in a scalar."""
    whole = {name: value.view(np.uint8) != 0 if value.dtype == bool else value for name, value in arrays.items()}
    return {name: (value.dtype.name, value.shape, value.tobytes()) for name, value in whole.items()}


def read_ours(path: Path) -> Read:
    return described({name: tensor.read() for name, tensor in open_flax_msgpack(path).items()})


def read_by_flax(data: bytes) -> Read:
    return described(flatten_dict(flax.serialization.msgpack_restore(data), sep="/"))


def disagreement(data: bytes, path: Path) -> str | None:
    """How our reader and flax differ on these bytes, other than by our refusing more on purpose."""
    path.write_bytes(data)
    try:
        theirs: Read | Exception = read_by_flax(data)
    except Exception as problem:
        theirs = problem
    try:
        ours = read_ours(path)
    except CheckpointError as problem:
        if str(path) not in str(problem):
            return f"the error does not name the file: {problem}"
        if isinstance(theirs, Exception) or any(reason in str(problem) for reason in STRICTER):
            return None
        return f"only we refuse: {problem}"
    return None if ours == theirs else f"{ours} is not {theirs!r}"


@pytest.mark.parametrize("name", ["bert", "chunked", "dtypes", "small"])
def test_a_file_written_by_flax_is_read_bit_for_bit(name: str):
    assert read_ours(FOLDER / f"{name}.msgpack") == described(flatten_dict(trees()[name], sep="/"))


def test_names_are_joined_by_slashes():
    tensors = open_flax_msgpack(FOLDER / "bert.msgpack")
    assert tensors["encoder/layer/1/attention/self/query/kernel"].shape == (24, 24)
    assert tensors["embeddings/word_embeddings/embedding"].shape == (37, 24)


def test_a_tensor_says_where_it_lies():
    tensor = open_flax_msgpack(FOLDER / "small.msgpack")["c"]
    assert isinstance(tensor, MappedTensor)
    assert SMALL[tensor.offset : tensor.offset + 6] == np.arange(3, dtype="<u2").tobytes()


def test_a_tensor_in_chunks_says_what_it_is_before_it_is_read():
    tensor = open_flax_msgpack(FOLDER / "chunked.msgpack")["half/precision"]
    assert isinstance(tensor, StoredTensor)
    assert not isinstance(tensor, MappedTensor)
    assert (tensor.path, tensor.shape, tensor.dtype) == (FOLDER / "chunked.msgpack", (2, 5), ml_dtypes.bfloat16)


def test_the_parts_of_a_tensor_in_chunks_may_stand_in_any_order(tmp_path: Path):
    parts = {"chunks": {"1": array(values=b"efgh"), "0": array(values=b"abcd")}, "shape": {"1": 2, "0": 1}, CHUNKED: True}
    (tmp_path / "model.msgpack").write_bytes(file_of({"a": parts}))
    assert read_ours(tmp_path / "model.msgpack") == {"a": ("float32", (1, 2), b"abcdefgh")}


def test_an_array_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        open_flax_msgpack(FOLDER / "small.msgpack")["c"].read()[0] = 2


def test_a_file_without_tensors_is_sound(tmp_path: Path):
    (tmp_path / "model.msgpack").write_bytes(flax.serialization.to_bytes({"params": {}}))
    assert open_flax_msgpack(tmp_path / "model.msgpack") == {}


def test_the_deepest_maps_and_the_longest_names_are_sound(tmp_path: Path):
    (tmp_path / "model.msgpack").write_bytes(nested(31, file_of({"a": ZERO})))
    assert list(open_flax_msgpack(tmp_path / "model.msgpack")) == ["/".join("a" * 32)]
    (tmp_path / "model.msgpack").write_bytes(file_of({"ä" * 100: {"b" * 299: ZERO}}))
    assert list(open_flax_msgpack(tmp_path / "model.msgpack")) == ["ä" * 100 + "/" + "b" * 299]


@pytest.mark.parametrize(
    "data",
    [
        b"\x81\xa1a\xd8\x01\x93\x91\x06\xa4int8\xc4\x06abcdef",
        b"\x81\xa1a\xc7\x10\x01\x93\x91\x06\xa4int8\xc4\x06abcdef",
        b"\xde\0\x01\xd9\x01a\xc8\0\x10\x01\x93\x91\x06\xa4int8\xc4\x06abcdef",
        b"\xdf\0\0\0\x01\xda\0\x01a\xc9\0\0\0\x1a\x01\xdc\0\x03\xdc\0\x01\xcd\0\x06\xd9\x04int8\xc6\0\0\0\x06abcdef",
        b"\x81\xdb\0\0\0\x01a\xc7\x1c\x01\xdd\0\0\0\x03\x91\xd3\0\0\0\0\0\0\0\x06\xa4int8\xc4\x06abcdef",
    ],
)
def test_lengths_and_numbers_in_longer_forms_are_sound(tmp_path: Path, data: bytes):
    assert disagreement(data, tmp_path / "model.msgpack") is None
    assert read_ours(tmp_path / "model.msgpack") == {"a": ("int8", (6,), b"abcdef")}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_an_error_that_names_it(tmp_path: Path, case: str):
    data, words = HOSTILE[case]
    (tmp_path / "model.msgpack").write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        open_flax_msgpack(tmp_path / "model.msgpack")
    assert str(tmp_path / "model.msgpack") in str(caught.value)
    assert words in str(caught.value)


@needs_linux
def test_hostile_files_take_less_than_200_mb_and_a_second(tmp_path: Path):
    for index, (data, _) in enumerate(HOSTILE.values()):
        (tmp_path / f"hostile-{index}").write_bytes(data)
    sparse = {
        "zeros": b"",
        "bytes-of-no-tensor": file_of({"a": ZERO}),
        "a-map-of-4-billion": b"\xdf\xff\xff\xff\xff",
        "a-name-of-4-gigabytes": b"\x81\xdb\xff\xff\xff\xff",
        "a-dtype-of-4-gigabytes": extension_of(2**32 - 1, b"\x93\x91\x01\xdb\xff\xff\xff\xff"),
        "a-shape-of-4-billion-axes": extension_of(2**32 - 1, b"\x93\xdd\xff\xff\xff\xff"),
        "a-tensor-of-4-gigabytes": extension_of(2**32 - 1, b"\x93\x91\xce\xff\xff\xff\xed\xa4int8\xc6\xff\xff\xff\xed"),
    }
    for name, data in sparse.items():
        (tmp_path / name).write_bytes(data)
        os.truncate(tmp_path / name, 1 << 40)
    costly = msgpack.packb(array((1,) * 32, "float32"))
    many_axes = b"".join(b"\xa5%05d" % index + costly for index in range(MAX_VALUES))
    (tmp_path / "many-axes").write_bytes(b"\xdf" + struct.pack(">I", MAX_VALUES) + many_axes)
    long_names = b"".join(b"\xa5%05d\x80" % index for index in range(MAX_VALUES))
    deep = b"".join(b"\x81\xd9\x5f" + b"a" * 95 for _ in range(5))
    (tmp_path / "long-names").write_bytes(deep + b"\xdf" + struct.pack(">I", MAX_VALUES) + long_names)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link-to-nothing").symlink_to("nothing")
    (tmp_path / "link-to-zeros").symlink_to("/dev/zero")
    names = [*map(str, sorted(tmp_path.iterdir())), f"{tmp_path}/missing", "/dev/zero"]
    assert outcomes(names, opener=OPEN_FLAX) == dict.fromkeys(names, "refused")


def test_a_path_with_a_nul_is_an_error():
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_flax_msgpack(Path("a\0b"))


def test_the_small_file_cut_at_any_byte_is_an_error(folder: Path):
    for length in range(len(SMALL)):
        (folder / "cut").write_bytes(SMALL[:length])
        with pytest.raises(CheckpointError, match="cut"):
            open_flax_msgpack(folder / "cut")
            pytest.fail(f"cut to {length} bytes")


@pytest.mark.parametrize(
    ("name", "mask"), [("chunked", 0x01), *(("small", mask) for mask in (0x01, 0x02, 0x08, 0x20, 0x80, 0xFF))]
)
def test_with_any_byte_flipped_a_file_is_an_error_or_what_flax_reads(folder: Path, name: str, mask: int):
    data = (FOLDER / f"{name}.msgpack").read_bytes()
    problems = {index: disagreement(flipped(data, index, mask), folder / "flipped") for index in range(len(data))}
    assert {index: problem for index, problem in problems.items() if problem} == {}


@settings(deadline=None)
@given(
    edits=st.lists(
        st.tuples(
            st.integers(0, len(SMALL)),
            st.integers(0, 3),
            st.binary(max_size=3)
            | st.sampled_from([msgpack.packb(value) for value in ({}, [], None, True, -1, 2**40, "a", b"a")]),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_bytes_replaced_put_in_or_left_out_are_an_error_or_what_flax_reads(folder: Path, edits: list[tuple[int, int, bytes]]):
    data = SMALL
    for start, length, replacement in edits:
        data = data[:start] + replacement + data[start + length :]
    assert disagreement(data, folder / "edited") is None


NUMBERS = st.integers(0, 3) | st.sampled_from([-1, 2**31, 2**32, 2**63, 2**64 - 1, 1.0, True, None, "1"])
ANY_ARRAY = st.builds(
    array,
    shape=st.lists(NUMBERS, max_size=3) | NUMBERS,
    dtype=st.sampled_from(
        ["int8", "uint8", "bool", "float16", "bfloat16", "float32", "complex64", "V8", "f4,f4", "<f4", "", None]
    ),
    values=st.binary(max_size=8),
    extension=st.sampled_from([0, 1, 1, 1, 1, 2, 3]),
)
KEYS = st.sampled_from(["a", "b", "", "a/b", CHUNKED, "shape", "chunks", "0", "1", b"a", 0])
ANY_TREE = st.recursive(
    ANY_ARRAY | NUMBERS, lambda values: st.dictionaries(KEYS, values, max_size=3) | st.lists(values, max_size=2), max_leaves=6
)


@settings(deadline=None)
@given(tree=st.dictionaries(KEYS, ANY_TREE, max_size=3))
def test_any_tree_is_an_error_or_what_flax_reads(folder: Path, tree: dict[Any, Any]):
    assert disagreement(file_of(tree), folder / "any") is None


@settings(deadline=None)
@given(
    shape=st.lists(NUMBERS, max_size=2),
    chunks=st.lists(st.builds(lambda count: array((count,), "int8", bytes(count)), st.integers(0, 3)) | ANY_ARRAY, max_size=3),
    mark=st.sampled_from([True, True, True, False, 1]),
)
def test_any_chunks_are_an_error_or_what_flax_reads(folder: Path, shape: list[Any], chunks: list[Any], mark: Any):
    numbered = [{str(index): value for index, value in enumerate(values)} for values in (shape, chunks)]
    assert disagreement(chunked(*numbered, mark=mark), folder / "chunks") is None


ARRAYS = st.builds(
    lambda dtype, shape, seed: (
        np.random.default_rng(seed)
        .integers(0, 2 if dtype == "bool" else 256, math.prod(shape) * of_name(dtype).itemsize, np.uint8)
        .view(of_name(dtype))
        .reshape(shape)
    ),
    st.sampled_from([*DTYPES, "bool"]),
    st.lists(st.integers(0, 4), max_size=4).map(tuple),
    st.integers(0, 2**32),
)
PARTS = st.text(min_size=1, max_size=40).filter(lambda part: "/" not in part and part != CHUNKED)
TREES = st.recursive(ARRAYS, lambda values: st.dictionaries(PARTS, values, min_size=1, max_size=4), max_leaves=6)


@settings(deadline=None)
@given(
    tree=st.dictionaries(PARTS, TREES | ARRAYS.filter(lambda values: values.ndim == 0).map(lambda values: values[()]), max_size=6)
)
def test_any_arrays_written_by_flax_are_read_bit_for_bit(folder: Path, tree: dict[str, Any]):
    (folder / "arrays").write_bytes(flax.serialization.to_bytes(tree))
    assert read_ours(folder / "arrays") == described(flatten_dict(tree, sep="/"))


@settings(deadline=None, max_examples=60)
@given(tree=st.dictionaries(PARTS, TREES, max_size=4))
def test_any_arrays_are_written_as_flax_writes_them(folder: Path, tree: dict[str, Any]):
    write_flax_msgpack(folder / "ours", flatten_dict(tree, sep="/"))
    assert (folder / "ours").read_bytes() == flax.serialization.to_bytes(tree)
    assert read_ours(folder / "ours") == described(flatten_dict(tree, sep="/"))


# Around every change of how msgpack writes a length.
@pytest.mark.parametrize(
    "length", [0, 1, 2, 3, 4, 5, 6, 7, 8, 127, 128, 200, 244, 245, 246, 255, 256, 65_500, 65_520, 65_535, 65_536]
)
def test_arrays_of_any_length_are_written_as_flax_writes_them(tmp_path: Path, length: int):
    values = np.arange(length).astype(np.int8)
    write_flax_msgpack(tmp_path / "ours", {"a": values})
    assert (tmp_path / "ours").read_bytes() == flax.serialization.to_bytes({"a": values})
    assert read_ours(tmp_path / "ours") == described({"a": values})


@pytest.mark.parametrize("axis", [0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**40])
def test_shapes_of_any_length_are_written_as_flax_writes_them(tmp_path: Path, axis: int):
    values = np.zeros((axis, 0), np.float16)
    write_flax_msgpack(tmp_path / "ours", {"a": values})
    assert (tmp_path / "ours").read_bytes() == flax.serialization.to_bytes({"a": values})
    assert read_ours(tmp_path / "ours") == described({"a": values})


@pytest.mark.parametrize("count", [1, 15, 16, 255, 256, 300])
def test_any_number_of_names_and_axes_is_written_as_flax_writes_it(tmp_path: Path, count: int):
    tree = {"a" * min(count, 400): {str(index): np.zeros((1,) * min(count, 32), np.uint8) for index in range(count)}}
    write_flax_msgpack(tmp_path / "ours", flatten_dict(tree, sep="/"))
    assert (tmp_path / "ours").read_bytes() == flax.serialization.to_bytes(tree)
    assert read_ours(tmp_path / "ours") == described(flatten_dict(tree, sep="/"))


def test_large_arrays_are_written_in_the_chunks_of_flax(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(layout, "MAX_CHUNK_BYTES", CHUNK_BYTES)
    write_flax_msgpack(tmp_path / "ours", flatten_dict(trees()["chunked"], sep="/"))
    assert (tmp_path / "ours").read_bytes() == (FOLDER / "chunked.msgpack").read_bytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_arrays_of_any_dtype_are_written_in_the_chunks_of_flax(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str):
    monkeypatch.setattr(layout, "MAX_CHUNK_BYTES", 18)
    monkeypatch.setattr(flax.serialization, "MAX_CHUNK_SIZE", 18)
    tree = {
        str(length): np.arange(length).astype(of_name(dtype)).reshape(1, -1) for length in (0, 1, 2, 4, 5, 9, 10, 18, 19, 300)
    }
    write_flax_msgpack(tmp_path / "ours", tree)
    assert (tmp_path / "ours").read_bytes() == flax.serialization.to_bytes(tree)
    assert read_ours(tmp_path / "ours") == described(tree)


def test_the_limit_of_a_chunk_is_that_of_flax():
    assert layout.MAX_CHUNK_BYTES == flax.serialization.MAX_CHUNK_SIZE


def test_the_longest_name_of_an_array_in_chunks_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(layout, "MAX_CHUNK_BYTES", CHUNK_BYTES)
    name = "/".join(["a" * 14] * 29 + ["a" * 35])
    write_flax_msgpack(tmp_path / "ours", {name: np.arange(2_000)})
    assert list(open_flax_msgpack(tmp_path / "ours")) == [name]


def test_stored_tensors_are_copied_from_file_to_file(tmp_path: Path):
    write_flax_msgpack(tmp_path / "copy", open_flax_msgpack(FOLDER / "chunked.msgpack"))
    assert read_ours(tmp_path / "copy") == read_ours(FOLDER / "chunked.msgpack")


def test_a_file_can_be_written_over_the_one_that_is_read(tmp_path: Path):
    (tmp_path / "model").write_bytes((FOLDER / "bert.msgpack").read_bytes())
    tensors = open_flax_msgpack(tmp_path / "model")
    write_flax_msgpack(tmp_path / "model", {f"bert/{name}": tensor for name, tensor in tensors.items()})
    expected = {f"bert/{name}": value for name, value in read_ours(FOLDER / "bert.msgpack").items()}
    assert read_ours(tmp_path / "model") == expected


@pytest.mark.parametrize(
    "values",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3).T,
        np.arange(12, dtype=np.float32).reshape(4, 3)[::2],
        np.arange(6, dtype=">f4").reshape(2, 3),
        np.broadcast_to(np.float32(1), (2, 3)),
    ],
    ids=["transposed", "every second row", "big-endian", "broadcast"],
)
def test_values_in_any_memory_order_are_written(tmp_path: Path, values: np.ndarray):
    write_flax_msgpack(tmp_path / "ours", {"a": values})
    np.testing.assert_array_equal(flax.serialization.msgpack_restore((tmp_path / "ours").read_bytes())["a"], values)


def test_one_tensor_at_a_time_is_in_memory(tmp_path: Path):
    sources = {f"{index}": Source(lambda: np.ones(1_000_000, np.float32), (1_000_000,)) for index in range(8)}
    tracemalloc.start()
    write_flax_msgpack(tmp_path / "ours", sources)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 9_000_000


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Source(raises(CheckpointError("its checksum")), (2,)), "its checksum"),
        (Source(raises(FileNotFoundError(2, "No such file")), (2,)), "'b' cannot be read: No such file"),
        (Source(lambda: np.ones(3, np.float32), (2,)), r"was said to be float32 \[2\], but reads as float32 \[3\]"),
        (Source(lambda: np.ones(2, np.float64), (2,)), r"was said to be float32 \[2\], but reads as float64 \[2\]"),
    ],
    ids=["damaged", "gone", "another shape", "another dtype"],
)
def test_a_tensor_that_cannot_be_read_leaves_the_old_file(tmp_path: Path, source: Source, words: str):
    (tmp_path / "model").write_bytes(b"old")
    with pytest.raises(CheckpointError, match=words):
        write_flax_msgpack(tmp_path / "model", {"a": np.ones(3), "b": source})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"model": b"old"}


@pytest.mark.parametrize(
    "names",
    [[""], ["/a"], ["a/"], ["a//b"], ["a", "a/b"], ["a/b", "a"], [f"a/{CHUNKED}"], ["a" * 471], ["/".join("a" * 31)], ["\ud800"]],
    ids=repr,
)
def test_names_that_the_format_cannot_hold_are_an_error(tmp_path: Path, names: list[str]):
    with pytest.raises(CheckpointError, match=r"ours cannot hold tensor .*; rename it"):
        write_flax_msgpack(tmp_path / "ours", {name: np.ones(1) for name in names})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["complex64", "object", "M8[s]", "V8", "f4,f4", "U3", "longdouble", ml_dtypes.float8_e4m3fn])
def test_dtypes_outside_the_table_are_an_error(tmp_path: Path, dtype: Any):
    with pytest.raises(CheckpointError, match=r"ours cannot hold tensor 'a' of dtype .*; cast it to one of float64"):
        write_flax_msgpack(tmp_path / "ours", {"a": np.zeros(1, dtype)})
    assert list(tmp_path.iterdir()) == []


def test_more_than_32_axes_are_an_error(tmp_path: Path):
    with pytest.raises(CheckpointError, match="33 axes"):
        write_flax_msgpack(tmp_path / "ours", {"a": np.zeros((1,) * 33)})


def test_more_values_than_are_read_again_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(layout, "MAX_VALUES", 20)
    monkeypatch.setattr(reader, "MAX_VALUES", 20)
    names = [f"a/{index}" for index in range(18)]
    write_flax_msgpack(tmp_path / "ours", {name: np.zeros(0) for name in names})
    assert list(open_flax_msgpack(tmp_path / "ours")) == names
    (tmp_path / "theirs").write_bytes(flax.serialization.to_bytes({"a": {}, **{str(index): np.zeros(0) for index in range(19)}}))
    with pytest.raises(CheckpointError, match="theirs is not a sound msgpack file of flax: it holds over 20 values"):
        open_flax_msgpack(tmp_path / "theirs")
    with pytest.raises(CheckpointError, match="minibert reads 20 values at most"):
        write_flax_msgpack(tmp_path / "ours", {name: np.zeros(0) for name in [*names, "b"]})


def test_more_axes_than_are_read_again_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(layout, "MAX_AXES_TOGETHER", 4)
    monkeypatch.setattr(reader, "MAX_AXES_TOGETHER", 4)
    write_flax_msgpack(tmp_path / "ours", {"a": np.zeros((1, 1)), "b": np.zeros((1, 1))})
    assert list(open_flax_msgpack(tmp_path / "ours")) == ["a", "b"]
    tensors = {"a": np.zeros((1, 1)), "b": np.zeros((1, 1, 1))}
    (tmp_path / "theirs").write_bytes(flax.serialization.to_bytes(tensors))
    with pytest.raises(CheckpointError, match="its arrays have over 4 axes together"):
        open_flax_msgpack(tmp_path / "theirs")
    with pytest.raises(CheckpointError, match="minibert reads 4 at most"):
        write_flax_msgpack(tmp_path / "new", tensors)


def test_a_folder_that_is_absent_is_an_error(tmp_path: Path):
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_flax_msgpack(tmp_path / "absent" / "ours", {"a": np.ones(1)})


def test_chunks_that_memory_does_not_hold_are_an_error(monkeypatch: pytest.MonkeyPatch):
    def empty(*arguments: Any) -> np.ndarray:
        raise MemoryError

    monkeypatch.setattr(stored_tensor.np, "empty", empty)
    with pytest.raises(CheckpointError, match=r"chunked\.msgpack cannot be read: there are no 36 bytes of memory left"):
        open_flax_msgpack(FOLDER / "chunked.msgpack")["matrix"].read()
