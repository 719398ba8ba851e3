"""Constants that are forgotten, or there too often, with the names of the sizes that make them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, permutations
from typing import Literal, NamedTuple

import numpy as np


def factors(sizes: Mapping[str, int]) -> Iterator[tuple[str, float, bool]]:
    """Name products, roots and squares of sizes, and tell which are products: counts of entries.

    The plainest come first.
    """
    yield "2", 2.0, False
    for count in (1, 2, 3):
        for chosen in combinations(sizes, count):
            yield "*".join(chosen), float(np.prod([sizes[letter] for letter in chosen])), True
    for letter, size in sizes.items():
        yield f"sqrt({letter})", float(np.sqrt(size)), False
        yield f"{letter}*{letter}", float(size) ** 2, True
    for a, b in combinations(sizes, 2):
        yield f"({a}*{b})^2", float(sizes[a] * sizes[b]) ** 2, True


class Factor(NamedTuple):
    """A constant, in words such as "is H*W times too large". ``kind`` is "missing" or the like.

    ``by_count`` tells that it is a number of entries: a product of sizes.
    """

    words: str
    value: float
    kind: Literal["missing", "sign", "large", "small", "ratio"]
    by_count: bool = False


def scaled_by(sizes: Mapping[str, int]) -> Iterator[Factor]:
    """Say how something may be wrong by a constant alone, and give the constant."""
    yield Factor("is missing", 0.0, "missing")
    yield Factor("has the wrong sign", -1.0, "sign")
    for name, value, by_count in factors(sizes):
        yield Factor(f"is {name} times too large", value, "large", by_count)
        yield Factor(f"is {name} times too small", 1 / value, "small", by_count)
    for a, b in permutations(sizes, 2):
        yield Factor(f"is {a}/{b} times the right one", sizes[a] / sizes[b], "ratio")
