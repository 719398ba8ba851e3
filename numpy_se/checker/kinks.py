"""Where a function has a kink: what differences at one point cannot decide.

A ReLU at 0 and a maximum at a tie have no slope, and their gradient there is a convention. For one
kink, any value between the slopes on its two sides is legal. Where several kinks meet in one point
(two hidden units at 0), conventions that are legal one by one can add up to a value that no side
shows. So an operation is asked beside the point.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from numpy_se.contract import Array
from numpy_se.checker.promises import is_float, run_backward
from numpy_se.checker.slopes import Op, measure, spread

NUDGE = 1e-2  # relative to the spread of an argument
NUDGES = 4
SMALL_NUDGE, SMALL_STEP = 1e-5, 1e-7
MOST_NUDGES = 60


def right_beside(
    op: Op,
    args: tuple[Any, ...],
    number: int,
    direction: Array,
    dy: Array,
    step: float,
    rng: np.random.Generator,
) -> bool:
    """Tell whether backward is right at copies of the arguments that are nudged a little.

    Then what is wrong at the arguments themselves is wrong there alone: it comes from kinks.
    """
    for _ in range(NUDGES):
        nudged = _nudged(args, NUDGE, rng)
        grads = run_backward(op, nudged, dy)
        place = sum(map(is_float, args[:number]))
        along = float((grads[place] * direction).sum())
        slopes = measure(op, nudged, number, [direction], step)
        low, high = slopes.legal(dy)
        tolerance = slopes.tolerance(dy, abs(along))
        if not low[0] - tolerance <= along <= high[0] + tolerance:
            return False
    return True


def between_pieces(
    op: Op,
    args: tuple[Any, ...],
    number: int,
    direction: Array,
    dy: Array,
    along: float,
    tolerance: float,
    rng: np.random.Generator,
) -> bool:
    """Tell whether ``along`` lies between the slopes of the smooth pieces that meet at a kink.

    Small nudges of all arguments lead to one piece or another. Their slopes, output by output,
    span what is legal. So do 0, where all kinks are closed, and the sum of the extremes, where
    all are open: a leaky ReLU made of two ReLUs has slope 0 at 0 by convention. Where the
    pieces agree there is no kink, and nothing to choose.
    """
    low = high = measure(op, args, number, [direction], SMALL_STEP).central[0]
    for nudge in range(MOST_NUDGES):
        moved = measure(op, _nudged(args, SMALL_NUDGE, rng), number, [direction], SMALL_STEP)
        low, high = np.fmin(low, moved.central[0]), np.fmax(high, moved.central[0])
        sides = np.stack([low, high]) * np.ravel(dy)
        slack = tolerance + 1e-3 * float(np.abs(sides.sum(axis=1)).max())  # the pieces are curved
        kink = np.abs(sides[1] - sides[0]) > slack
        choices = np.stack(
            [*sides, np.where(kink, sides.sum(axis=0), sides[0]), np.where(kink, 0, sides[0])]
        )
        if kink.any():
            least, most = choices.min(axis=0).sum(), choices.max(axis=0).sum()
            if least - slack <= along <= most + slack:
                return True
        elif nudge == 5:
            return False
    return False


def _nudged(args: tuple[Any, ...], size: float, rng: np.random.Generator) -> tuple[Any, ...]:
    return tuple(
        np.asarray(a + size * spread(a) * rng.standard_normal(a.shape)) if is_float(a) else a
        for a in args
    )
