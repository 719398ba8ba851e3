"""Read one file of the format IDX, and verify it.

An IDX file has four bytes that name the type and the number of axes, the size of each axis as a
big-endian 32-bit number, then the entries. Source: LeCun, Cortes, Burges, the MNIST database.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from numpy_se.data.catalogue import DATASETS, IdxFile
from numpy_se.data.errors import DataError


def read_idx(path: Path, expected: IdxFile, remedy: str = "") -> npt.NDArray[np.uint8]:
    """Read one IDX file of bytes, gzipped or not, and verify that it is the expected one.

    Judges the header before it reads on, and allocates the expected size, whatever the header
    claims. Raises DataError, which ends in ``remedy``.
    """

    def bad(what: str) -> DataError:
        original = f"give another folder, or replace it by the original {expected.name}.gz"
        return DataError(f"{path} {what}; {remedy or original}")

    try:
        with path.open("rb") as raw:
            start = raw.read(64)
            raw.seek(0)
            if not start:
                raise bad("is empty")
            if start.lstrip()[:1] == b"<":
                raise bad("is a web page, not data")
            stream: Any = gzip.GzipFile(fileobj=raw) if start[:2] == b"\x1f\x8b" else raw
            head = stream.read(4 + 4 * len(expected.shape))
            if len(head) < 4 or head[:3] != b"\0\0\x08":
                raise bad("is no IDX file of bytes")
            if head[3] != len(expected.shape):
                raise bad(f"has {head[3]} axes and not {len(expected.shape)}")
            if len(head) < 4 + 4 * head[3]:
                raise bad("is truncated")
            shape = tuple(int.from_bytes(head[i : i + 4], "big") for i in range(4, len(head), 4))
            if shape != expected.shape:
                raise bad(f"claims {_times(shape)} entries and not {_times(expected.shape)}")
            entries = np.empty(expected.shape, np.uint8)
            filled = _fill(stream, entries.data.cast("B"))
            if filled < entries.size or stream.read(1):
                raise bad("is truncated" if filled < entries.size else "is longer than it claims")
    except EOFError as error:
        raise bad("is truncated") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise bad("is corrupted") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error

    checksum = hashlib.sha256(head)
    checksum.update(entries.data)
    digest = checksum.hexdigest()
    if digest != expected.sha256:
        known = {
            file.sha256: f"{dataset.name}'s {file.name}"
            for dataset in DATASETS.values()
            for file in dataset.files
        }
        if digest in known:
            raise bad(f"is {known[digest]}, and not {known.get(expected.sha256, expected.name)}")
        raise bad(f"is altered: its SHA-256 is {digest}")
    return entries


def _fill(stream: Any, buffer: memoryview) -> int:
    """Read into ``buffer`` until it is full or the stream ends; return how many bytes came."""
    filled = 0
    while count := stream.readinto(buffer[filled:]):
        filled += count
    return filled


def _times(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))
