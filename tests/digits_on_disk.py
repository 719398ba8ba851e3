"""A small data set in the format of MNIST, written and registered by the tests."""

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numpy_se import data

TRAIN, TEST = 50, 20


def idx(array: Any) -> bytes:
    """The IDX form of an array of bytes."""
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return head + array.astype(np.uint8).tobytes()


def contents(train: int = TRAIN, test: int = TEST) -> list[bytes]:
    """The four payloads: bright squares whose place tells the class, in noise."""
    rng = np.random.default_rng(0)
    payloads = []
    for count in (train, test):
        labels = np.arange(count) % 10
        images = rng.integers(0, 60, (count, 28, 28))
        for image, label in zip(images, labels, strict=True):
            row, column = 14 * (label // 5), 5 * (label % 5)
            image[row : row + 10, column : column + 6] += 180
        payloads += [idx(images), idx(labels)]
    return payloads


def register(monkeypatch: pytest.MonkeyPatch, payloads: list[bytes]) -> None:
    """Make ``payloads`` what the name "mnist" stands for."""
    files = []
    for file, payload in zip(data.DATASETS["mnist"].files, payloads, strict=True):
        shape = tuple(int(n) for n in np.frombuffer(payload[4 : 4 + 4 * payload[3]], ">u4"))
        digest = hashlib.sha256(payload).hexdigest()
        zipped = gzip.compress(payload, mtime=0)
        gzip_sha256 = hashlib.sha256(zipped).hexdigest()
        files.append(data.IdxFile(file.name, shape, digest, gzip_sha256, len(zipped)))
    spec = replace(data.DATASETS["mnist"], files=tuple(files), mirrors=())
    monkeypatch.setitem(data.DATASETS, "mnist", spec)


def write(folder: Path, payloads: list[bytes]) -> None:
    """Write the payloads, gzipped, under the names of MNIST."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, payload in zip(data.DATASETS["mnist"].files, payloads, strict=True):
        (folder / f"{file.name}.gz").write_bytes(gzip.compress(payload, mtime=0))
