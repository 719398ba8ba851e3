"""Is a gradient wrong along one line? Measured by other means before anybody is accused.

Where the function is smooth, a gradient is wrong if it differs from the slope by more than all of
these: how far two sets of steps disagree, the error that each estimates for itself, the complex
step, and the rounding of backward, which is what it changes by when its inputs move by one unit in
the last place. What is less than that cannot be decided. Nor can it be where far smaller steps give
the claimed slope: then the others were too large for this function.

A ReLU at 0 and a maximum at a tie have no slope, and their gradient there is a convention. So an
operation is asked beside the point, at copies of its arguments that are nudged a little. If it is
right there, it is wrong at most at the point itself: it is, where all gradients around the point
agree, as there is no kink. At kinks that the checker made, one at a time, that is decided, too: the
gradient of one output is legal if it lies between those of the smooth pieces that meet there, or is
one of them. Where pieces may have been overlooked, it is legal. At given arguments many kinks may
meet, and what lies far outside of all pieces cannot be decided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np

from numpy_se.checker.run import PLAIN, gradients, is_float, takes
from numpy_se.checker.slopes import EPS, SMALL_STEP, STEP, Op, at_one_step, measure, spread
from numpy_se.contract import Array

NUDGES = (1e-2, 1e-3, 3e-2, 1e-4)  # relative to the spread of an argument
AGAIN = 1e-6  # the same, to judge a second time
FAR_SMALLER = (1e-9, 1e-11, 1e-13)  # steps, relative to the spread of an argument
CLOSE_BY = 1e-3  # relative to each entry
PIECE_NUDGE = 1e-5
MOST_NUDGES = 12  # to see whether kinks meet in a point
MOST_PIECES = 64  # nudges, to find the smooth pieces that meet in a point
VERY_POINT = 1e-3  # of a slope: an error at one point alone that is less may be rounding
MANY_KINKS = 3.0  # of the distance between pieces
MOST_OUTPUTS = 200  # that are asked one by one
UNDECIDED_SHARE = 1e-2  # of a slope; a coarser measurement decides nothing


class Truth(Enum):
    """What is known about a gradient along a line."""

    RIGHT = "right"
    WRONG = "wrong"
    UNDECIDED = "undecided"
    KINK = "kink"  # no slope here


@dataclass(frozen=True)
class Line:
    """A line through the arguments of an op: argument ``place`` moves along ``direction``."""

    op: Op
    args: tuple[Any, ...]
    place: int
    direction: Array
    dy: Array

    @property
    def number(self) -> int:
        """The place of the gradient among all gradients."""
        return sum(map(is_float, self.args[: self.place]))

    def claimed(self, dy: Array | None = None) -> float:
        """The slope that backward claims; NaN where it gives no gradient that fits."""
        return self._along(self.gradient(dy))

    def gradient(self, dy: Array | None = None) -> Array:
        """The gradient of the argument that moves; NaN where there is none that fits."""
        return self.gradients(dy)[self.number]

    def gradients(self, dy: Array | None = None) -> list[Array]:
        """The gradients of all arguments; NaN where there is none that fits."""
        arrays = [a for a in self.args if is_float(a)]
        try:
            found = gradients(self.op, self.args, self.dy if dy is None else dy)
            return [_fitting(g, a) for g, a in zip(found, arrays, strict=True)]
        except Exception:  # what backward says to these arguments is not the question here
            return [np.full_like(a, np.nan) for a in arrays]

    def _along(self, gradient: Array) -> float:
        moving = self.direction != 0
        return float((gradient[moving] * self.direction[moving]).sum())

    def nudged(self, size: float, rng: np.random.Generator) -> Line:
        """The same line at arguments that are nudged a little."""
        return replace(self, args=nudged(self.args, size, rng))

    def rounding(self, rng: np.random.Generator) -> float:
        """How far rounding alone moves the claimed slope."""
        here, moves = self.claimed(), []
        for _ in range(4):
            args = tuple(_by_an_ulp(a, rng) if is_float(a) else a for a in self.args)
            moved = replace(self, args=args, dy=_by_an_ulp(self.dy, rng))
            moves.append(abs(moved.claimed() - here))
        finite = [move for move in moves if np.isfinite(move)]
        return max(finite, default=np.inf)


@dataclass(frozen=True)
class Judgement:
    """A truth, and the slope that differences give."""

    truth: Truth
    expected: float = float("nan")


def nudged(
    args: tuple[Any, ...],
    size: float,
    rng: np.random.Generator,
    unit: Callable[[Array], float | Array] = spread,
) -> tuple[Any, ...]:
    """Copy arguments, with every number moved by about ``size`` times a ``unit``."""
    return tuple(
        np.asarray(a + size * unit(a) * rng.standard_normal(a.shape)) if is_float(a) else a
        for a in args
    )


def _by_an_ulp(a: Array, rng: np.random.Generator) -> Array:
    return np.asarray(a * (1 + EPS * rng.choice([-2.0, -1.0, 1.0, 2.0], np.shape(a))))


def _fitting(given: Any, arg: Array) -> Array:
    """A gradient as an array; NaN where it does not fit its argument."""
    plain = type(given) in PLAIN or isinstance(given, float)
    fits = plain and np.shape(given) == arg.shape and np.asarray(given).dtype.kind in "fiu"
    return np.asarray(given, dtype=float) if fits else np.full_like(arg, np.nan)


def judge(
    line: Line, finest: float, rng: np.random.Generator, rounds_as: Line | None = None
) -> Judgement:
    """Judge the claimed slope at these arguments. Errors below ``finest`` are not looked for.

    ``rounds_as`` is a line whose rounding is taken for that of this one.
    """
    claimed = line.claimed()
    if not np.isfinite(claimed):
        return Judgement(Truth.UNDECIDED)
    single = np.count_nonzero(line.direction) == 1
    values, errors = [], []
    for step in (STEP, 0.37 * STEP) if single else (SMALL_STEP, 30 * SMALL_STEP):
        slopes = measure(line.op, line.args, line.place, [line.direction], step)
        low, high = slopes.legal(line.dy)
        if high[0] - low[0] > finest + 1e-6 * abs(claimed):
            return Judgement(Truth.KINK)
        values.append(float(slopes.along(line.dy)[0]))
        errors.append(float(slopes.error(line.dy)[0]))
    best = int(np.argmin(errors))
    doubt = (
        errors[best]
        + 3 * abs(values[0] - values[1])
        + 20 * (rounds_as or line).rounding(rng)
        + finest
    )
    expected = values[best]
    if not np.isfinite(doubt):
        return Judgement(Truth.UNDECIDED)
    if abs(claimed - expected) > doubt:
        far_smaller = any(_agrees(line, claimed, expected, step) for step in FAR_SMALLER)
        return Judgement(Truth.UNDECIDED if far_smaller else Truth.WRONG, expected)
    sharp = doubt <= 2 * finest + UNDECIDED_SHARE * max(abs(claimed), abs(expected))
    return Judgement(Truth.RIGHT if sharp else Truth.UNDECIDED, expected)


def _agrees(line: Line, claimed: float, expected: float, step: float) -> bool:
    """Tell whether a far smaller step gives the claimed slope, and not the expected one."""
    slopes = at_one_step(line.op, line.args, line.place, line.direction, step)
    value, error = float(slopes.along(line.dy)[0]), float(slopes.error(line.dy)[0])
    return abs(value - claimed) <= 3 * error < abs(value - expected)


def decide(line: Line, finest: float, simple: bool, rng: np.random.Generator) -> Judgement:
    """Judge the claimed slope, at a kink by what it is beside it.

    ``simple`` says that the checker has put a kink there, and one at a time: then the convention
    itself is judged.
    """
    here = judge(line, finest, rng)
    if here.truth is Truth.RIGHT:
        return here
    beside = []
    for size in NUDGES:
        copy = line.nudged(size, rng)
        if takes(copy.op, copy.args):
            found = judge(copy, finest, rng)
            if found.truth is Truth.WRONG:  # once more, so that no chance decides
                found = judge(copy.nudged(AGAIN, rng), finest, rng)
            beside.append(found)
    truths = [found.truth for found in beside]
    if Truth.WRONG in truths:
        return here if here.truth is Truth.WRONG else beside[truths.index(Truth.WRONG)]
    if Truth.RIGHT not in truths:
        return Judgement(Truth.UNDECIDED)
    if here.truth is Truth.WRONG and _wrong_close_by(line, finest, rng):
        return here
    if here.truth is Truth.UNDECIDED:  # a value for this very number is no rounding
        here = judge(line, finest, rng, rounds_as=line.nudged(PIECE_NUDGE, rng))
    far = abs(line.claimed() - here.expected) > VERY_POINT * abs(here.expected)
    if here.truth is Truth.WRONG and far and _smooth(line, finest, rng):
        return here  # at this very point, though there is no kink
    if legal(line, finest, rng, 0 if simple else MANY_KINKS):
        return Judgement(Truth.KINK, here.expected)
    return Judgement(Truth.WRONG if simple else Truth.UNDECIDED, here.expected)


def _wrong_close_by(line: Line, finest: float, rng: np.random.Generator) -> bool:
    """Judge where each entry is moved by little of itself, as one may be far below the others."""
    for _ in range(2):
        line = replace(line, args=nudged(line.args, CLOSE_BY, rng, _own_sizes))
        if not takes(line.op, line.args) or judge(line, finest, rng).truth is not Truth.WRONG:
            return False
    return True


def _own_sizes(a: Array) -> Array:
    """The magnitude of each entry; for zeros, the smallest of the others."""
    sizes = np.abs(a)
    least = sizes[sizes > 0].min(initial=np.inf)
    return np.where(sizes > 0, sizes, least if np.isfinite(least) else 1.0)


def _smooth(line: Line, finest: float, rng: np.random.Generator) -> bool:
    """Tell whether all gradients around this point agree with each other: no kinks meet here."""
    copies = [line.nudged(PIECE_NUDGE, rng) for _ in range(MOST_NUDGES)]
    near = [np.nan_to_num(np.concatenate([g.ravel() for g in c.gradients()])) for c in copies]
    slack = finest + 1e-3 * np.abs(near[0]).max()
    return all((np.abs(other - near[0]) <= slack).all() for other in near[1:])


def legal(line: Line, finest: float, rng: np.random.Generator, margin: float = 0) -> bool:
    """Tell whether what backward gives at a kink is a convention, output by output.

    Where many kinks may meet, it need not lie between the pieces, but within a ``margin``, which is
    relative to how far they lie apart.
    """
    shape, count = np.shape(line.dy), np.size(line.dy)
    slopes = measure(line.op, line.args, line.place, [line.direction], SMALL_STEP)
    for number in range(min(count, MOST_OUTPUTS)):
        one = (np.arange(count) == number).astype(float).reshape(shape)
        claimed = line.claimed(one)
        (low,), (high,) = slopes.legal(one)
        slack = finest + float(slopes.error(one)[0])
        slack += 1e-6 * max(abs(claimed), min(abs(low), abs(high)))
        if not low - slack <= claimed <= high + slack and not _legal_for(
            line, one, finest, rng, margin
        ):
            return False
    return True


def _legal_for(
    line: Line, one: Array, finest: float, rng: np.random.Generator, margin: float
) -> bool:
    """Hold the gradient of one output against those of the pieces that meet here.

    Legal are one of them, what lies between them along the line, 0, where all kinks are closed, and
    the sum of the extremes, where all are open: a leaky ReLU made of two ReLUs has slope 0 at 0 by
    convention.
    """
    here = line.gradient(one)
    claimed = line._along(here)
    pieces: list[Array] = []
    seen: list[int] = []
    for _ in range(MOST_PIECES):
        piece = line.nudged(PIECE_NUDGE, rng).gradient(one)
        if not np.isfinite(piece).all():
            continue
        slack = finest + 1e-3 * max(float(np.abs(piece).max()), abs(claimed))
        if (np.abs(piece - here) <= slack).all():
            return True  # the limit from one side
        same = (k for k, p in enumerate(pieces) if (np.abs(piece - p) <= slack).all())
        if (k := next(same, None)) is None:
            pieces.append(piece)
            seen.append(1)
        else:
            seen[k] += 1
        along = [line._along(p) for p in pieces]
        low, high = min(along), max(along)
        if high - low > slack:
            low, high = min(low, 0, low + high), max(high, 0, low + high)
            slack += margin * (high - low)
        if low - slack <= claimed <= high + slack and len(pieces) > 1:
            return True
    return len(pieces) < 2 or 1 in seen  # no kink, or pieces that may have been overlooked
