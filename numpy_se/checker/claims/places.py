"""Where a gradient is wrong: what its wrong entries have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from numpy_se.checker.claims.common import CLOSE, Gradient
from numpy_se.contract import Array

MAPS, BORDER = ("H", "W"), "only at the border of the maps"
MOST = 0.5  # of the entries of one sign


def places(probes: Sequence[Gradient]) -> str:
    """Say where the wrong entries are, or "".

    A place is told if at least two probes show several wrong entries there, with right ones
    elsewhere, and none shows a wrong entry at another place.
    """
    shared: set[str] | None = None
    telling = inside = 0
    for g in probes:
        if g.given.shape != g.right.shape:
            return ""
        wrong = _wrong(g)
        if not wrong.any():
            continue
        found = set() if wrong.all() else _places(g, wrong)
        if _has_inside(g):
            inside += wrong.sum() > 1
        else:
            found.add(BORDER)  # such a map says nothing about it
        telling += wrong.sum() > 1
        shared = found if shared is None else shared & found
    if inside < 2 or (shared and len(shared) > 1):  # the last of W lies at the border
        shared = (shared or set()) - {BORDER}
    if not shared or telling < 2:
        return ""
    return f" {' and '.join(sorted(shared))}"


def _wrong(g: Gradient) -> Array:
    scale = max(np.abs(g.given).max(), np.abs(g.right).max())
    wrong: Array = ~(np.abs(g.given - g.right) <= CLOSE * scale)
    return wrong


def _places(g: Gradient, wrong: Array) -> set[str]:
    found = set()
    for axis, letter in enumerate(g.axes):
        used = set(np.nonzero(wrong)[axis])
        for index, word in ((0, "first"), (wrong.shape[axis] - 1, "last")):
            if wrong.shape[axis] > 1 and used == {index}:
                found.add(f"only in the {word} of {letter}")
    for word, mask in (("negative", g.arg < 0), ("positive", g.arg > 0)):
        if wrong[mask].mean() > MOST and (~mask).any() and not wrong[~mask].any():
            found.add(f"only where {g.name} is {word}")  # not at some maxima, which are positive
    if _has_inside(g) and not wrong[..., 1:-1, 1:-1].any():
        found.add(BORDER)
    return found


def _has_inside(g: Gradient) -> bool:
    return g.axes[-2:] == MAPS and min(g.right.shape[-2:]) > 2
