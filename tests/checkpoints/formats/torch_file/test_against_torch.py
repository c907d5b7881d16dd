"""What is accepted is what torch itself reads, live."""

import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from crafted_torch_files import changed, entries_of, named, number, pickled, storage, table_of, tensor, tuple_of, zip64, zipped
from damage import flipped
from hypothesis import given, settings
from hypothesis import strategies as st
from test_damage import EDITS, PICKLES, SMALL_STREAM, SMALL_ZIP, VALUES, Read, contained, edited, read_or_refuse, written

pytestmark = pytest.mark.reference

DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]

MASKS = [1, 2, 4, 8, 16, 32, 64, 128, 255]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("torch_files")


def read_by_torch(path: Path) -> Read:
    import torch

    with warnings.catch_warnings(action="ignore"):
        state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: described(tensor) for name, tensor in state.items()}


def described(tensor) -> tuple[str, tuple[int, ...], bytes]:
    import torch

    # Without a copy where it can be, which would make 1 of other bytes than 0 in a bool; one element may have any stride.
    values = tensor.detach().contiguous().as_strided((tensor.numel(),), (1,))
    raw = values.view(torch.uint8).numpy().tobytes() if values.numel() else b""
    return str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), raw


def agrees(path: Path) -> bool:
    """Whether we refuse the file or read what torch reads. True counts for nothing but that: see what is accepted elsewhere."""
    ours = read_or_refuse(path)
    return ours is None or ours == read_by_torch(path)


@st.composite
def state_dicts(draw: st.DrawFn) -> dict:
    """Tensors that are views of a few storages, some of them the same, in any shape and strides."""
    import torch

    storages = []
    for _ in range(draw(st.integers(1, 3))):
        dtype, seed = draw(st.sampled_from(DTYPES)), draw(st.integers(0, 2**32))
        raw = torch.from_numpy(np.random.default_rng(seed).integers(0, 2 if dtype == "bool" else 256, 256, np.uint8))
        storages.append(raw.view(getattr(torch, dtype)))
    state: dict = draw(st.sampled_from([dict, OrderedDict]))()
    for name in draw(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), unique=True, max_size=6)):
        base = draw(st.sampled_from(storages))
        shape = draw(st.lists(st.integers(0, 3), max_size=4))
        strides = [draw(st.integers(0, 4)) for _ in shape]
        # 4 axes of 3 with strides of 4 reach element 32, of 32 in the shortest storage.
        last = sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True)) if 0 not in shape else 0
        if last >= base.numel():
            continue
        view = base.as_strided(shape, strides, draw(st.integers(0, base.numel() - 1 - max(last, 0))))
        if view.is_floating_point() and draw(st.booleans()):
            view = torch.nn.Parameter(view, requires_grad=draw(st.booleans()))
        state[name] = view
    if isinstance(state, OrderedDict):
        state._metadata = OrderedDict({"": {"version": 1}})
    return state


@settings(deadline=None, max_examples=300)
@given(state=state_dicts(), in_a_zip=st.booleans())
def test_any_state_dict_saved_by_torch_is_read_bit_for_bit(folder: Path, state: dict, in_a_zip: bool):
    import torch

    torch.save(state, folder / "state.bin", _use_new_zipfile_serialization=in_a_zip)
    assert read_or_refuse(folder / "state.bin") == {name: described(tensor) for name, tensor in state.items()}


SOUND = entries_of(pickled(table_of({"a": tensor()})), {"0": VALUES})
PLAIN = [
    changed([entry], entry.name, flags=0, local_crc=entry.crc, local_size=len(entry.data), local_extra=b"")[0] for entry in SOUND
]
OLD_TENSOR = named("torch._utils", "_rebuild_tensor") + tuple_of(storage(), number(1), b"K\2\x85", b"K\2\x85") + b"R"
OLD_TABLE = named("collections", "OrderedDict") + b"](](U\3a.b" + tensor() + b"ee\x85R"
ANY_STRIDE = tensor(shape=(1, 4, 1), strides=(2**62, 1, 2**62))

RARE = {
    "sizes of 64 bits": zip64(SOUND),
    "no descriptors": zipped(PLAIN),
    "a tensor of torch 0.3": contained(pickled(table_of({"a": OLD_TENSOR})), "stream"),
    "an OrderedDict of Python 2": contained(pickled(OLD_TABLE), "stream"),
    "an axis of length 1 of any stride": contained(pickled(table_of({"a": ANY_STRIDE})), "zip"),
}


@pytest.mark.parametrize("case", RARE)
def test_rare_files_made_by_hand_are_read_as_torch_reads_them(folder: Path, case: str):
    path = written(folder / "rare", RARE[case])
    assert read_or_refuse(path) == read_by_torch(path) != {}


@pytest.mark.parametrize("whole", [SMALL_ZIP, SMALL_STREAM], ids=["zip", "stream"])
@pytest.mark.usefixtures("without_shape_checks")
def test_with_any_byte_flipped_what_is_accepted_is_what_torch_reads(folder: Path, whole: Path):
    data = whole.read_bytes()
    for index in range(len(data)):
        # Every byte in one of nine ways: torch takes milliseconds for each file, and all ways were tried once.
        assert agrees(written(folder / "flipped", flipped(data, index, MASKS[index % len(MASKS)]))), index


@settings(deadline=None, max_examples=500)
@given(edits=EDITS, whole=st.sampled_from([SMALL_ZIP, SMALL_STREAM]))
def test_with_bytes_edited_what_is_accepted_is_what_torch_reads(folder: Path, edits: list, whole: Path):
    assert agrees(written(folder / "edited", edited(whole.read_bytes(), edits)))


@settings(deadline=None, max_examples=2_000)
@given(pickle=PICKLES, container=st.sampled_from(["zip", "stream"]))
def test_of_any_pickle_what_is_accepted_is_what_torch_reads(folder: Path, pickle: bytes, container: str):
    assert agrees(written(folder / "any", contained(pickle, container)))
