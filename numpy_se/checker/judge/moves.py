"""Whether a function works with finite differences: a derivative does not move single entries.

While it runs, each Python function that is called is looked at, those of NumPy too. An array in it
that is an argument of the forward pass but for one entry, and this entry moved by little, is what a
difference quotient needs. Where entries also move by much, it is something else: the product of all
other entries, for example.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

import numpy as np

from numpy_se.contract import Array

LITTLE = 1e-2  # of the largest entry
FEWEST = 3  # different entries


class Moves:
    """What is seen of the arguments of a forward pass that move."""

    def __init__(self, args: Sequence[Any]) -> None:
        floats = (a for a in args if isinstance(a, np.ndarray) and a.dtype.kind == "f")
        self.args = [a.copy() for a in floats]
        self.shapes = {a.shape for a in self.args}
        self.places: set[tuple[int, int]] = set()
        self.by_much = False

    @property
    def are_differences(self) -> bool:
        return len(self.places) >= FEWEST and not self.by_much

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        before = sys.getprofile()
        sys.setprofile(self._look)
        try:
            yield
        finally:
            sys.setprofile(before)

    def _look(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "call":
            for value in list(frame.f_locals.values()):
                if type(value) is np.ndarray and value.shape in self.shapes:
                    self._compare(value)

    def _compare(self, value: Array) -> None:
        for number, own in enumerate(self.args):
            if own.shape == value.shape:
                (moved,) = np.nonzero(np.ravel(own != value))
                if len(moved) == 1:
                    step = abs(value.flat[moved[0]] - own.flat[moved[0]])
                    if step <= LITTLE * np.abs(own).max():
                        self.places.add((number, int(moved[0])))
                    else:
                        self.by_much = True
