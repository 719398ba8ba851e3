"""Messages between the judge and a hand-in: words as JSON, arrays as .npy, and no pickles.

A message is the two lengths, in bytes, of what follows: the words, then the arrays one behind the
other. What a stranger sends is read as numbers and short words, or refused with WireError.
"""

from __future__ import annotations

import io
import json
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from numpy_se.checker.words import one_line
from numpy_se.contract import ARRAYS, Array

MOST_WORDS = 1 << 16  # bytes
MOST_BYTES = 1 << 28  # of all arrays of a message
MOST_VALUES = 100
MOST_NAME = 50
CHUNK = 1 << 20
LENGTHS = struct.Struct("<II")
MAGIC = 10  # bytes in front of the header of a .npy file, with its length in the last two
NUMBERS = "fciub"  # the kinds of dtypes that cross


class WireError(Exception):
    """A message that does not read."""


def pack(words: Any, arrays: Sequence[Array] = ()) -> bytes:
    """Write a message. Raises WireError where it is too long."""
    head = json.dumps(words).encode()
    parts = [part for a in arrays for part in (_header(a.dtype, a.shape), a.tobytes())]
    length = sum(map(len, parts))
    _check_lengths(len(head), length)
    return b"".join((LENGTHS.pack(len(head), length), head, *parts))


def receive(read: Callable[[int], bytes]) -> tuple[Any, list[Array]]:
    """Read one message. ``read(n)`` gives up to n bytes, and raises EOFError at the end."""
    data = bytearray()
    wanted = LENGTHS.size
    while len(data) < wanted:
        data += read(CHUNK)
        if wanted == LENGTHS.size <= len(data):
            head, length = LENGTHS.unpack_from(data)
            _check_lengths(head, length)
            wanted += head + length
    if len(data) > wanted:
        raise WireError("there is more than one message")
    body = LENGTHS.size + head
    try:
        words = json.loads(data[LENGTHS.size : body])
        return words, list(_arrays(memoryview(data)[body:]))
    except Exception as error:  # whatever is said to what strangers send
        raise WireError("it is no JSON with .npy behind it") from error


def _check_lengths(words: int, arrays: int) -> None:
    if words > MOST_WORDS or arrays > MOST_BYTES:
        raise WireError(f"it is longer than {MOST_BYTES >> 20} MB")


@lru_cache
def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


@lru_cache
def _read_header(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...]]:
    file = io.BytesIO(header)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("another version")
    shape, columns_first, dtype = np.lib.format.read_array_header_1_0(file)
    if columns_first or dtype.kind not in NUMBERS or min(shape, default=0) < 0:
        raise ValueError("no plain array of numbers")
    return dtype, shape


def _arrays(body: memoryview) -> Iterator[Array]:
    """Read arrays, each in memory of its own."""
    while body:
        start = MAGIC + int.from_bytes(body[MAGIC - 2 : MAGIC], "little")
        dtype, shape = _read_header(bytes(body[:start]))
        end = start + dtype.itemsize * math.prod(shape)
        yield np.frombuffer(body[start:end], dtype).reshape(shape).copy()
        body = body[end:]


# Values: what a function is given, or gives.


class Foreign:
    """Stands in the judge for a value that is no number; the class has the name of its type."""


def encode(values: Sequence[Any]) -> tuple[list[str], list[Array]]:
    """Say in a word what each value is, and give the arrays."""
    kinds = list(map(kind_of_value, values))
    numbers = zip(kinds, values, strict=True)
    return kinds, [np.asarray(v) for k, v in numbers if k in ("array", "scalar", "number")]


def kind_of_value(value: Any) -> str:
    """Say in a word what a value is: "array", "scalar", "number", "none", or "other" and a type."""
    if type(value) in ARRAYS:
        return "array" if value.dtype.kind in NUMBERS else f"other {value.dtype.name} array"
    if isinstance(value, np.generic) and value.dtype.kind in NUMBERS:
        return "scalar"
    if type(value) in (float, complex):
        return "number"
    return "none" if value is None else f"other {type(value).__name__}"


def decode(kinds: Any, arrays: list[Array]) -> list[Any]:
    """Give the values again. Raises WireError where words and arrays do not fit."""
    if not (isinstance(kinds, list) and all(isinstance(kind, str) for kind in kinds)):
        raise WireError("its words do not read")
    if len(kinds) > MOST_VALUES:
        raise WireError(f"it has {len(kinds)} values")
    left = iter(arrays)
    try:
        values = [_value(kind, left) for kind in kinds]
    except (StopIteration, ValueError) as error:
        raise WireError("its words and its arrays do not fit") from error
    if next(left, None) is not None:
        raise WireError("it has an array too many")
    return values


def _value(kind: str, arrays: Iterator[Array]) -> Any:
    match kind.split(" ", 1):
        case ["array"]:
            return next(arrays)
        case ["scalar"]:
            return next(arrays).reshape(())[()]
        case ["number"]:
            return next(arrays).item()
        case ["none"]:
            return None
        case ["other", name] if name:
            return type(one_line(name, MOST_NAME), (Foreign,), {})()
    raise ValueError(kind)
