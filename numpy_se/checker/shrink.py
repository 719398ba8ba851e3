"""The smallest and roundest arguments at which the same thing is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from numpy_se.checker.case import Case, at_kinks
from numpy_se.checker.findings import Kind
from numpy_se.checker.look import Look, look
from numpy_se.checker.run import is_float
from numpy_se.checker.slopes import Op

MOST_LOOKS = 60


def smallest(op: Op, first: Look) -> dict[str, Any]:
    """Make the arguments smaller and rounder, as long as the same findings are made."""
    found = _smallest(op, first)
    return dict(zip(found.case.names, found.run.args, strict=True))


def _smallest(op: Op, first: Look) -> Look:
    wanted = {(f.kind, f.subject) for f in first.findings}
    if any(kind is Kind.ANOTHER_Y for kind, _ in wanted):
        return first  # a smaller example may depend on the calls before it

    def fails(case: Case, args: tuple[Any, ...]) -> Look | None:
        rng = np.random.default_rng(0)
        try:
            if first.simple:
                args = at_kinks(args, rng)
            found = look(op, case, args, rng, first.simple)
        except Exception:  # these arguments, or their neighbours, lie outside of the domain
            return None
        return found if wanted & {(f.kind, f.subject) for f in found.findings} else None

    best, looks = first, 0
    for axis in first.case.sizes:
        for size in range(1, best.case.sizes[axis]):
            smaller = best.case.resized({axis: size})
            if looks >= MOST_LOOKS:
                break
            looks += 3
            drawn = (smaller.draw(np.random.default_rng(seed)) for seed in range(3))
            if found := next(filter(None, (fails(smaller, args) for args in drawn)), None):
                best = found
                break
    if first.simple:
        return best
    for args in _rounded(best.run.args):
        if found := fails(best.case, args):
            return found
    return best


def _rounded(args: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    for steps in (1, 2, 4, 8):
        yield tuple(
            np.asarray(np.round(a * steps) / steps + 0.0) if is_float(a) else a for a in args
        )
