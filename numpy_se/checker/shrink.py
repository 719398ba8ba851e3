"""The smallest and roundest arguments at which the same thing is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from numpy_se.checker.case import Case, at_kinks, forward_runs, related
from numpy_se.checker.findings import Kind
from numpy_se.checker.look import Look, look
from numpy_se.checker.run import is_float
from numpy_se.checker.slopes import Op

MOST_LOOKS = 90
DRAWS = (0.0, 0.0, 12.0, 300.0)  # magnitudes of the values; 0 is normal


def smallest(op: Op, first: Look) -> dict[str, Any]:
    """Make the arguments smaller and rounder, as long as findings are made, and no others."""
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
        same = {(f.kind, f.subject) for f in found.findings}
        return found if same and same <= wanted else None

    case = related(first.case, partial(forward_runs, op)) if first.case.given else first.case
    best, looks = replace(first, case=case), 0
    ones = dict.fromkeys(case.letters, 1)
    steps = ({axis: size} for axis in case.letters for size in range(1, case.sizes[axis]))
    for sizes in chain([ones], steps):
        if looks >= MOST_LOOKS or all(best.case.sizes[axis] <= sizes[axis] for axis in sizes):
            continue
        looks += len(DRAWS)
        smaller = best.case.resized(sizes)
        draws = (smaller.draw(np.random.default_rng(seed), wide) for seed, wide in enumerate(DRAWS))
        best = next(filter(None, (fails(smaller, args) for args in draws)), best)
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
