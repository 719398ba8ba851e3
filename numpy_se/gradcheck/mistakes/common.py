"""What the files of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from numpy_se.contract import Array

Grads: TypeAlias = tuple[Array | None, ...]  # None: this gradient is as it should be
Mistakes: TypeAlias = Iterator[tuple[str, Grads]]

# Learning rates, to recognise a weight that was updated before its old value had done its work.
RATES = (1.0, 0.5, 0.1, 0.05, 0.01, 0.005, 0.001)
