"""What `flax.serialization` makes of a tree of arrays, and the limits within which minibert reads and writes it.

The file is one msgpack map of names (https://github.com/msgpack/msgpack/blob/master/spec.md); a value is a further map or an
array. An array is an extension of type 1 (a NumPy scalar: 3) that holds msgpack again: a list of the shape (a list), the
dtype's name (text) and the values (bytes, in C order). An array of over 2^30 bytes is a map instead:
`{"__msgpack_chunked_array__": true, "shape": {"0": …}, "chunks": {"0": array, …}}`, the chunks being flat. A dtype is called
as in `STORED_DTYPES`; any other name, and any other spelling of these, is refused.
"""

ARRAY_EXTENSION = 1
COMPLEX_EXTENSION = 2
SCALAR_EXTENSION = 3

CHUNKED = "__msgpack_chunked_array__"
MAX_CHUNK_BYTES = 1 << 30

MAX_DEPTH = 32
"""A BERT takes 7 levels."""
MAX_NAME_BYTES = 500
"""Of a whole name, `encoder/layer/0/…`, in UTF-8."""
MAX_VALUES = 20_000
"""Maps, arrays and numbers together. BERT-large takes about 800."""
MAX_AXES_TOGETHER = 80_000
"""Of all arrays: each takes time to read."""
