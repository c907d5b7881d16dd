"""Pickles in which one thing each is wrong, and a word of what the error must say. Storage '0' has 4 floats."""

from crafted_torch_files import ORDERED_DICT, REBUILD, named, number, pickled, storage, table_of, tensor, text, tuple_of

GOOD = pickled(table_of({"a": tensor()}))


def table(value: bytes) -> bytes:
    return pickled(table_of({"a": value}))


def rebuilt(offset: bytes = b"K\0", shape: bytes = b"K\1\x85", more: bytes = b"") -> bytes:
    return REBUILD + tuple_of(storage(), offset, shape, b"K\1\x85", b"\x89", ORDERED_DICT, more) + b"R"


def nested(depth: int) -> bytes:
    return b")" + b"\x85" * depth


def doubled(times: int) -> bytes:
    """A tuple that holds the one before it twice, and so on: endless to walk, to hash or to write out."""
    return b")q\0" + b"h\0\x86q\0" * times


PICKLES: dict[str, tuple[bytes, str]] = {
    # Keys and nesting.
    "a key of tuples nested 60 deep": (pickled(b"}" + nested(60) + b"Ns"), "as a key; expected texts"),
    "a key that is a number": (pickled(b"}K\1Ns"), "as a key; expected texts"),
    "a key that is None": (pickled(b"}NNs"), "as a key; expected texts"),
    "a key that is a tensor": (pickled(b"}" + tensor() + b"Ns"), "as a key; expected texts"),
    "a key given twice": (pickled(b"}(" + (text("a") + tensor()) * 2 + b"u"), "twice"),
    "tuples nested without end as a value": (table(nested(100_000)), "64 deep"),
    "lists nested without end": (table(b"]" * 1_000 + b"a" * 999), "64 deep"),
    "dicts nested without end": (table((b"}" + text("a")) * 100 + b"N" + b"s" * 100), "64 deep"),
    "state nested without end": (pickled(ORDERED_DICT + table_of({"a": nested(100)}) + b"b"), "64 deep"),
    # Storage offsets, strides and sizes.
    "an offset of -1": (table(tensor(shape=(1,), offset=-1)), "begins at -1"),
    "an offset behind the storage": (table(tensor(shape=(1,), offset=4)), "reaches element 4"),
    "an offset that wraps around": (table(tensor(shape=(1,), offset=2**64)), "begins at 18446744073709551616"),
    "an offset that is a text": (table(rebuilt(offset=text("0"))), "begins at '0'"),
    "an offset that is true": (table(rebuilt(offset=b"\x88")), "begins at True"),
    "a size beyond the storage": (table(tensor(shape=(5,))), "reaches element 4"),
    "a stride beyond the storage": (table(tensor(shape=(2, 2), strides=(3, 1))), "reaches element 4"),
    "a negative stride": (table(tensor(strides=(-1,), offset=3)), "whole numbers from 0 up"),
    "a stride that wraps around": (table(tensor(shape=(2,), strides=(2**62,))), "reaches element"),
    "strides whose sum wraps around": (table(tensor(shape=(5, 5), strides=(2**62, 2**62))), "reaches element"),
    "a negative size": (table(tensor(shape=(-1,))), "whole numbers from 0 up"),
    "two negative sizes": (table(tensor(shape=(-2, -2), strides=(1, 1))), "whole numbers from 0 up"),
    "sizes that wrap around to 0": (table(tensor(shape=(2**32, 2**32), strides=(0, 0))), "than any memory holds"),
    "an empty shape beyond all memory": (table(tensor(shape=(0, 2**62), strides=(1, 1))), "than any memory holds"),
    "a size that is true": (table(rebuilt(shape=b"\x88\x85")), "whole numbers"),
    "a size that is a float": (table(rebuilt(shape=b"G" + bytes(8) + b"\x85")), "whole numbers"),
    "sizes that are a list": (table(rebuilt(shape=b"]K\4a")), "no tuple"),
    "65 axes": (table(tensor(shape=(1,) * 65, strides=(1,) * 65)), "than any memory holds"),
    "fewer strides than axes": (table(tensor(shape=(2, 2), strides=(1,))), "but strides"),
    "one float, shape [10⁶, 10⁶], strides 0": (table(tensor(shape=(10**6, 10**6), strides=(0, 0))), "bytes when copied"),
    "a hundred views of 1 MB": (
        pickled(table_of({f"{index}": tensor(shape=(10**6,), strides=(0,)) for index in range(100)})),
        "bytes when copied",
    ),
    # Storages.
    "more elements than bytes": (table(tensor(storage(elements=5))), "16 bytes|cut short|has 4"),
    "fewer elements than bytes": (table(tensor(storage(elements=3), shape=(3,))), "16 bytes|cut short|has 4"),
    "a count that wraps around to 4": (table(tensor(storage(elements=2**62 + 4))), "16 bytes|cut short"),
    "a count beyond 64 bits": (table(tensor(storage(elements=2**64 + 4))), "expected a whole number from 0 up"),
    "a negative count": (table(tensor(storage(elements=-4))), "expected a whole number from 0 up"),
    "a count that is true": (
        table(tensor(tuple_of(text("storage"), named("torch", "ByteStorage"), text("0"), text("cpu"), b"\x88") + b"Q")),
        "expected a whole number|not a storage",
    ),
    "another dtype than the bytes": (table(tensor(storage(kind="DoubleStorage"))), "16 bytes|cut short"),
    "one storage of two dtypes": (pickled(table_of({"a": tensor(), "b": tensor(storage(kind="IntStorage"))})), "for one tensor"),
    "one storage of two sizes": (
        pickled(table_of({"a": tensor(), "b": tensor(storage(elements=2), shape=(2,))})),
        "for one tensor",
    ),
    "a storage that is not there": (table(tensor(storage("1"))), "only in|not exactly"),
    "a storage that no tensor uses": (pickled(b"}"), "only in|not exactly"),
    "a storage key with a path": (table(tensor(storage("../0"))), "only in|not exactly"),
    "a storage named by a text": (table(tensor(text("0") + b"Q")), "not a storage"),
    "a storage of another kind": (
        table(tensor(tuple_of(text("module"), named("torch", "FloatStorage"), text("0"), text("cpu"), number(4)) + b"Q")),
        "not a storage",
    ),
    "a storage instead of a tensor": (table(storage()), "holds a storage"),
    # SETITEM, BUILD and their like on what is no container.
    "an item set on a tensor": (table(tensor() + text("a") + b"Ns"), "sets items of a tensor"),
    "items set on a tensor": (table(tensor() + b"(" + text("a") + b"Nu"), "sets items of a tensor"),
    "an item set on a list": (table(b"]K\0Ns"), "sets items of a list"),
    "an item set on a class": (table(named("torch", "FloatStorage") + text("a") + b"Ns"), "sets items of the class"),
    "a key without a value": (pickled(b"}(" + text("a") + b"u"), "a value for each key"),
    "state of a tensor": (table(tensor() + b"}b"), "gives a tensor a state"),
    "state of a dict": (pickled(b"}}b"), "gives a dict a state"),
    "state of a function": (pickled(named("collections", "OrderedDict") + b"}b"), "a state"),
    "state that is a tuple": (pickled(ORDERED_DICT + b"N}\x86b"), "a state"),
    "appending to a tuple": (table(b")Na"), "appends to a tuple"),
    "appending to a tensor": (table(tensor() + b"(NNe"), "appends to a tensor"),
    # Names.
    "os.system": (pickled(named("os", "system") + text("touch hacked") + b"\x85R"), "'os.system'"),
    "posix.system": (pickled(named("posix", "system") + text("touch hacked") + b"\x85R"), "'posix.system'"),
    "eval": (pickled(named("builtins", "eval") + text("1") + b"\x85R"), "'builtins.eval'"),
    "a dotted name": (pickled(named("collections", "OrderedDict.fromkeys")), "'collections.OrderedDict.fromkeys'"),
    "a dotted name in the module": (pickled(named("torch._utils._rebuild_tensor_v2", "__globals__")), "__globals__"),
    "a module and name split elsewhere": (pickled(named("torch", "_utils._rebuild_tensor_v2")), "torch._utils"),
    "a name with a space": (pickled(named("collections", "OrderedDict ")), "'collections.OrderedDict '"),
    "a name with a carriage return": (pickled(b"ccollections\r\nOrderedDict\r\n"), r"OrderedDict"),
    "a name that is not ASCII": (pickled(named("collections", "OrderеdDict")), "not ASCII"),
    "a name without end": (pickled(b"c" + b"a" * 1_000_000), "too long"),
    "torch.load": (pickled(named("torch", "load")), "'torch.load'"),
    "a storage class that is not known": (pickled(named("torch", "ComplexFloatStorage")), "ComplexFloatStorage"),
    "bytearray(10**12)": (table(named("builtins", "bytearray") + number(10**12) + b"\x85R"), "'builtins.bytearray'"),
    "bytearray of Python 2": (table(named("__builtin__", "bytearray") + number(10**12) + b"\x85R"), "bytearray"),
    "Counter": (table(named("collections", "Counter") + b")R"), "'collections.Counter'"),
    "INST": (pickled(b"(" + text("touch hacked") + b"ios\nsystem\n"), "operation INST"),
    "OBJ": (pickled(b"(" + named("collections", "OrderedDict") + b"o"), "operation OBJ"),
    "NEWOBJ": (pickled(named("collections", "OrderedDict") + b")\x81"), "operation NEWOBJ"),
    "NEWOBJ_EX": (pickled(named("collections", "OrderedDict") + b")}\x92"), "operation NEWOBJ_EX"),
    "EXT1": (pickled(b"\x82\1"), "operation EXT1"),
    "EXT2": (pickled(b"\x83\1\0"), "operation EXT2"),
    "EXT4": (pickled(b"\x84\1\0\0\0"), "operation EXT4"),
    "STACK_GLOBAL": (pickled(text("os") + text("system") + b"\x93"), "operation STACK_GLOBAL"),
    "PERSID": (pickled(b"P0\n"), "operation PERSID"),
    "a byte that is no operation": (pickled(b"\xff"), "operation 0xff"),
    # Calls.
    "a call of a text": (pickled(text("os.system") + b")R"), "calls a text"),
    "a call of a storage class": (pickled(named("torch", "FloatStorage") + number(10**12) + b"\x85R"), "calls the class"),
    "a call of a tensor": (table(tensor() + b")R"), "calls a tensor"),
    "a call with a list": (pickled(named("collections", "OrderedDict") + b"]R"), "with a list"),
    "a tensor of nothing": (table(REBUILD + b")R"), "does not write"),
    "a tensor of texts": (table(REBUILD + tuple_of(*[text("0")] * 6) + b"R"), "does not write"),
    "a parameter of a text": (
        table(named("torch._utils", "_rebuild_parameter") + tuple_of(text("a"), b"\x89", ORDERED_DICT) + b"R"),
        "does not write",
    ),
    "a tensor with hooks": (table(tensor(hooks=table_of({"a": b"N"}))), "does not write"),
    "a whole number that asks for gradients": (table(tensor(storage(kind="IntStorage"), gradient=b"\x88")), "asks for gradients"),
    "a negative view": (table(rebuilt(more=table_of({"neg": b"\x88"}))), "lazy"),
    "an OrderedDict of a million keys": (table(named("collections", "OrderedDict") + number(10**6) + b"\x85R"), "does not write"),
    "an OrderedDict of triples": (table(named("collections", "OrderedDict") + b"](" + b"(NNNt" + b"e\x85R"), "expected pairs"),
    # Loops, floods and lengths.
    "a list that holds itself": (table(b"]q\0h\0a"), "holds itself"),
    "a dict that holds itself": (pickled(b"}q\0" + text("a") + b"h\0s"), "holds itself"),
    "a list that holds itself in a tuple": (table(b"]q\0h\0\x85a"), "holds itself"),
    "two lists that hold each other": (table(b"]q\0]q\1h\0ah\0h\1a0"), "holds itself"),
    "a list that is changed later": (table(b"]q\0\x85h\0Na\x86"), "holds itself"),
    "a tuple doubled 60 times": (pickled(table_of({"a": doubled(60), "b": tensor()})), "holds a tuple"),
    "a key doubled 60 times": (pickled(b"}" + doubled(60) + b"Ns"), "as a key"),
    "a call with a tuple doubled 60 times": (table(REBUILD + doubled(60) + b"R"), "does not write"),
    "DUP": (pickled(b")2\x86"), "operation DUP"),
    "a memo index of 2³¹": (pickled(b"}r\0\0\0\x80j\1\0\0\x80"), "recalls a value 2,147,483,649"),
    "a memo index that was not kept": (pickled(b"h\7"), "recalls a value 7"),
    "a text longer than the file": (pickled(b"X\xff\xff\xff\xff"), "cut short"),
    "a number of 255 bytes": (pickled(b"\x8a\xff" + b"\1" * 255), "255 bytes"),
    "a number of 2 GB": (pickled(b"\x8b\xff\xff\xff\x7f"), "operation LONG4"),
    "a text of 8 bytes of length": (pickled(b"\x8d" + b"\xff" * 8), "operation 0x8d"),
    "a frame": (pickled(b"\x95" + b"\xff" * 8), "operation 0x95"),
    "a text that is not UTF-8": (pickled(b"X\1\0\0\0\xff"), "not UTF-8"),
    "half of a surrogate pair": (pickled(b"}" + text("\ud800") + b"Ns"), "not UTF-8"),
    "a short text that is not ASCII": (pickled(b"U\2\xc3\xa4"), "not ASCII"),
    # The machine's own state.
    "nothing on the stack": (pickled(b""), "takes a value"),
    "a mark that was not set": (pickled(b"t"), "a mark"),
    "a value from behind a mark": (pickled(b"}(R"), "takes a value"),
    "a value kept from behind a mark": (pickled(b"}(q\0"), "takes a value"),
    "two values": (pickled(b"}}"), "leaves values behind"),
    "a mark left": (pickled(b"(}"), "takes a value|leaves values behind"),
    "protocol 4": (b"\x80\x04}.", "protocol 2"),
    "protocol 0": (b"(dp0\n.", "protocol 2"),
    # What is no table of tensors.
    "a tensor alone": (pickled(tensor()), "holds a tensor; expected a dict"),
    "a list of tensors": (pickled(b"]" + tensor() + b"a"), "holds a list; expected a dict"),
    "None": (pickled(b"N"), "holds None; expected a dict|only in|not exactly"),
    "a nested state dict": (table(table_of({"b": tensor()})), "its key 'a' holds a dict"),
    "a number beside tensors": (
        pickled(table_of({"a": tensor(), "epoch": number(3)})),
        "its key 'epoch' holds a value of type int",
    ),
}

# What comes behind the pickle in a stream would be read as the rest of it.
CUT_PICKLES: dict[str, tuple[bytes, str]] = {
    "a text longer than the pickle": (pickled(b"X\x00\x01\x00\x00abc"), "cut short"),
    "a short text longer than the pickle": (pickled(b"U\xffabc"), "cut short"),
    "a number longer than the pickle": (pickled(b"\x8a\x10\1"), "cut short"),
    "no end": (pickled(b"}")[:-1] + b"N" * 3, "cut short"),
}

# To be tried where time and memory are limited, without shape checks, which take far longer.
FLOODS: dict[str, bytes] = {
    "a million marks": pickled(b"(" * 1_000_000),
    "a million dicts": pickled(b"(" + b"}" * 1_000_000 + b"t"),
    "a million dicts in a list": pickled(b"](" + b"}" * 240_000 + b"e"),
    "a million copies": pickled(b")q\0" + b"h\0" * 1_000_000),
    "a tuple doubled without end": table(doubled(100_000)),
    "DUP without end": pickled(b")" + b"2" * 1_000_000),
    "a key of tuples nested two million deep": pickled(b"}" + nested(2_000_000) + b"Ns"),
    "a million texts": pickled(b"(" + b"X\1\0\0\0a" * 1_000_000 + b"t"),
    "dicts with a key each": pickled(b"(" + b"}(X\0\0\0\0Nu" * 27_000 + b"t"),
    "a name of a million letters": pickled(b"c" + b"a" * 1_000_000),
}
