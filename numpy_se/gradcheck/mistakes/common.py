"""What the files of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from numpy_se.contract import Array

Grads: TypeAlias = tuple[Array | None, ...]  # None: this gradient is as it should be
Mistakes: TypeAlias = Iterator[tuple[str, Grads]]
