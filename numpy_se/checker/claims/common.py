"""What a claim is: an equation between what backward gave and what one mistake would give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from numpy_se.checker.look import Look
from numpy_se.checker.words import listed
from numpy_se.contract import Array

CLOSE = 1e-6
FAR_FROM_1 = 1e-3


class Claim(NamedTuple):
    """A cause, by its id and in words, and the two sides of its equation.

    ``fitted`` is a constant that was chosen to make them equal. The text has "{fitted}" for it, and
    it must be the same at every probe.
    """

    code: str
    text: str
    left: Any
    right: Any
    fitted: float | None = None

    def told(self) -> tuple[str, str]:
        """The id and the text, with the constant in it, in digits enough to tell it from 1."""
        if self.fitted is None:
            return self.code, self.text
        digits = 4 if abs(self.fitted - 1) > FAR_FROM_1 else 9
        return self.code, self.text.replace("{fitted}", f"{float(f'{self.fitted:.8g}'):.{digits}g}")


Claims: TypeAlias = Iterator[Claim]


@dataclass(frozen=True)
class Gradient:
    """The gradient of one float argument at one look, and what is known around it.

    ``axes`` and ``y_axes`` are the letters of the axes of the argument and of the output,
    ``sizes`` those sizes that differ from look to look: others are numbers like any other.
    """

    look: Look
    number: int
    y_axes: tuple[str, ...]
    sizes: Mapping[str, int]

    @property
    def axes(self) -> tuple[str, ...]:
        case = self.look.case
        return case.axes[case.names.index(self.name)]

    @cached_property
    def given(self) -> Array:
        given: Array = self.look.run.grads[self.number]
        return given

    @cached_property
    def right(self) -> Array:
        return self.look.right(self.number)

    @property
    def arg(self) -> Array:
        return self.look.run.arrays[self.number]

    @property
    def name(self) -> str:
        return self.look.names[self.number]

    @property
    def y(self) -> Array:
        return self.look.run.y

    @property
    def dy(self) -> Array:
        return self.look.run.dy

    def right_for(self, dy: Array) -> Array:
        """The right gradient for another ``dy``."""
        return self.look.right(self.number, dy)

    def letters(self, axes: tuple[int, ...]) -> str:
        """Name some axes of the argument, by number where letters are the same."""
        named = [self.axes[k] for k in axes]
        return listed(named if len(set(named)) == len(named) else axes)

    def turned(self, order: tuple[int, ...]) -> str:
        """Say that the axes of the argument stand in another order."""
        moved = tuple(k for k in range(len(order)) if order[k] != k)
        if len(order) == 2:
            return "it is transposed"
        return f"its axes {self.letters(moved)} are {'swapped' if len(moved) == 2 else 'turned'}"


def holds(left: Any, right: Any, slack: float = 0.0) -> bool:
    """Tell whether the two sides of a claim are equal, but for ``slack``, an error of slopes."""
    left, right = np.asarray(left), np.asarray(right)
    if left.shape != right.shape or left.dtype.kind != "f":
        return False
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        return False
    scale = max(np.abs(left).max(initial=0), np.abs(right).max(initial=0))
    return bool((np.abs(left - right) <= CLOSE * scale + slack).all())
