"""What a claim is: an equation between what backward gave and what one mistake would give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement, permutations
from typing import Any, TypeAlias

import numpy as np

from numpy_se.contract import Array
from numpy_se.checker.sample import Sample

CLOSE = 1e-6
Claim: TypeAlias = tuple[str, Any, Any]  # a cause, and the two sides of its equation
Claims: TypeAlias = Iterator[Claim]


@dataclass(frozen=True)
class Gradient:
    """The gradient of one float argument at one sample, and what is known around it.

    ``axes`` and ``y_axes`` are the letters of the axes of the argument and of the output.
    """

    sample: Sample
    sizes: Mapping[str, int]
    number: int
    axes: tuple[str, ...]
    y_axes: tuple[str, ...]

    @cached_property
    def given(self) -> Array:
        given: Array = self.sample.run.grads[self.number]
        return given

    @cached_property
    def right(self) -> Array:
        return self.sample.right(self.number)

    @property
    def arg(self) -> Array:
        return self.sample.arrays()[self.number]

    @property
    def name(self) -> str:
        return self.sample.names[self.number]

    @property
    def y(self) -> Array:
        return self.sample.run.y

    @property
    def dy(self) -> Array:
        return self.sample.run.dy

    def right_for(self, dy: Array) -> Array:
        """The right gradient for another ``dy``."""
        return self.sample.right(self.number, dy)


def holds(left: Any, right: Any) -> bool:
    """Tell whether the two sides of a claim are equal, but for the error of differences."""
    left, right = np.asarray(left), np.asarray(right)
    if left.shape != right.shape or left.dtype.kind != "f" or not np.isfinite(left).all():
        return False
    scale = max(np.abs(left).max(initial=0), np.abs(right).max(initial=0))
    return bool((np.abs(left - right) <= CLOSE * scale + 1e-12).all())


def factors(sizes: Mapping[str, int]) -> Iterator[tuple[str, float]]:
    """Constants that are forgotten or there too often, with their names."""
    yield "2", 2.0
    for letter in sizes:
        yield f"sqrt({letter})", float(np.sqrt(sizes[letter]))
    for count in (1, 2, 3):
        for chosen in combinations_with_replacement(sizes, count):
            if count < 3 or len(set(chosen)) == 3:
                yield "*".join(chosen), float(np.prod([sizes[letter] for letter in chosen]))
    for a, b in permutations(sizes, 2):
        yield f"{a}/{b}", sizes[a] / sizes[b]
    if {"H", "W"} <= set(sizes):
        yield "(H*W)^2", float(sizes["H"] * sizes["W"]) ** 2


def scaled(sizes: Mapping[str, int], a: Array) -> Iterator[tuple[str, Array]]:
    """Say how ``a`` may be wrong by a constant alone."""
    yield "is zero", 0 * a
    yield "has the wrong sign", -a
    for name, factor in factors(sizes):
        yield f"is {name} times too large", a * factor
        if "/" not in name:
            yield f"is {name} times too small", a / factor


def places(g: Gradient) -> set[str] | None:
    """Say what the wrong entries have in common; None where all of them are wrong, or none."""
    scale = max(np.abs(g.given).max(), np.abs(g.right).max())
    wrong = np.abs(g.given - g.right) > CLOSE * scale
    if not wrong.any() or wrong.all():
        return None
    found = set()
    for axis, letter in enumerate(g.axes):
        used = set(np.nonzero(wrong)[axis])
        for index, word in ((0, "first"), (wrong.shape[axis] - 1, "last")):
            if wrong.shape[axis] > 1 and used == {index}:
                found.add(f"only in the {word} of {letter}")
    for word, mask in (("negative", g.arg < 0), ("positive", g.arg > 0)):
        if not wrong[~mask].any():
            found.add(f"only where {g.name} is {word}")
    if wrong.ndim == 4 and not wrong[..., 1:-1, 1:-1].any():
        found.add("only at the border of the maps")
    return found
