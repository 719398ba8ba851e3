"""What the files of this folder share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from numpy_se.contract import Array

# A mistake is a cause and the wrong gradients that follow, by the number of their argument. The
# gradients that are not named are right.
Mistakes: TypeAlias = Iterator[tuple[str, Mapping[int, Array]]]

# Learning rates, to recognise a weight that was updated before its old value had done its work.
RATES = (1.0, 0.5, 0.1, 0.05, 0.01, 0.005, 0.001)
