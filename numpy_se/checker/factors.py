"""Constants that are forgotten, or there too often, with the names of the sizes that make them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, combinations_with_replacement, permutations

import numpy as np


def factors(sizes: Mapping[str, int]) -> Iterator[tuple[str, float]]:
    """Name products, roots and quotients of sizes. The plainest come first."""
    yield "2", 2.0
    for letter, size in sizes.items():
        yield letter, float(size)
    for count in (2, 3):
        for chosen in combinations(sizes, count):
            yield "*".join(chosen), float(np.prod([sizes[letter] for letter in chosen]))
    for letter, size in sizes.items():
        yield f"sqrt({letter})", float(np.sqrt(size))
        yield f"{letter}*{letter}", float(size) ** 2
    for a, b in permutations(sizes, 2):
        yield f"{a}/{b}", sizes[a] / sizes[b]
    for a, b in combinations_with_replacement(sizes, 2):
        if a != b:
            yield f"({a}*{b})^2", float(sizes[a] * sizes[b]) ** 2


def scaled_by(sizes: Mapping[str, int]) -> Iterator[tuple[str, float]]:
    """Say how something may be wrong by a constant alone, and give the constant."""
    yield "is missing", 0.0
    yield "has the wrong sign", -1.0
    for name, factor in factors(sizes):
        yield f"is {name} times too large", factor
        if "/" not in name:
            yield f"is {name} times too small", 1 / factor
