"""Slopes of an operation by differences: what its gradients are held against.

An argument a is moved along a direction v, which is a single entry, or many at once:

    D(h) = (y(a + h v) - y(a - h v)) / 2h  =  y'(a) v + c h^2 + O(h^4)

Two steps cancel the h^2 term (Richardson): (4 D(h/2) - D(h)) / 3. Three steps give two such
values. How far they disagree is an estimate of the error, so nobody has to choose a tolerance.

The one-sided slopes R(h) = (y(a + h v) - y(a)) / h and the same to the left differ by h y''; their
gap over h is the curvature, at each step. Where the slopes or the curvatures of the three steps
disagree, there is a kink. Its slopes on the two sides follow from R(h) by extrapolation. For each
output, any slope between the two is legal: which one, is a convention. Where the output jumps,
there is no slope, and any value is legal.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from numpy_se.contract import Array

EPS = float(np.finfo(np.float64).eps)
SMOOTH = 1e-7  # how far steps disagree at most on a smooth function, relative to the largest slope
FINEST = 1e-8  # no gradient is held to less than this, relative to its largest entry
COMPLEX_STEP = 1e-30

Op = Callable[..., Any]


@dataclass(frozen=True)
class Slopes:
    """Slopes of all O outputs along D directions in one argument, as arrays (D, O).

    ``central`` is the best value; legal is what lies between ``low`` and ``high``. The three are
    equal away from kinks. ``noise`` is an estimate of the error, ``rounding`` a bound of its
    unavoidable part.
    """

    central: Array
    low: Array
    high: Array
    kink: Array
    noise: Array
    rounding: float

    def legal(self, dy: Array) -> tuple[Array, Array]:
        """Bounds (D,), (D,) of the slope of L = sum_o y[o] * dy[o] along each direction."""
        a, b = self.low * np.ravel(dy), self.high * np.ravel(dy)
        return np.minimum(a, b).sum(axis=1), np.maximum(a, b).sum(axis=1)

    def tolerance(self, dy: Array, scale: float) -> float:
        """How far from a right gradient, of largest entry ``scale``, these slopes may lie."""
        noise = np.where(self.kink, 0, self.noise) * np.abs(np.ravel(dy))
        rounding = self.rounding * float(np.abs(dy).max())
        return max(FINEST * scale, 10 * float(noise.sum(axis=1).max())) + rounding


@contextmanager
def quiet() -> Iterator[None]:
    """Keep NumPy's warnings back: other arguments are tried than the user chose."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def unit_directions(a: Array) -> Iterable[Array]:
    """Every entry of ``a`` alone, then all of them together.

    The last one sees what single entries cannot: at a tie of two maxima each may have the
    gradient, but when both rise the maximum rises only once.
    """
    for index in np.ndindex(a.shape):
        unit = np.zeros_like(a)
        unit[index] = 1
        yield unit
    yield np.ones_like(a)


def random_directions(a: Array, rng: np.random.Generator, parts: int) -> Iterable[Array]:
    """Split the entries of ``a`` at random into parts; each moves by a random +1 or -1.

    Every entry moves in one direction, with size 1. So a single wrong entry shows, however many
    entries there are.
    """
    signs = rng.choice([-1.0, 1.0], a.shape)
    part = rng.permuted(np.arange(a.size) % parts).reshape(a.shape)
    for number in range(min(parts, a.size)):
        yield signs * (part == number)


def measure(
    op: Op, args: tuple[Any, ...], number: int, directions: Iterable[Array], step: float
) -> Slopes:
    """Measure the slopes of every output along each direction in argument ``number``.

    ``step`` is relative to the spread of the argument's entries. ``op`` runs six times for each
    direction, and a seventh time where it takes complex numbers: with a purely imaginary step
    there is no difference of nearly equal numbers, and the slope is right to the last digits.
    """
    arg = args[number]
    h = step * spread(arg)
    y0 = np.ravel(op(*args)[0])

    def slope(v: Array, h: float) -> Array:
        moved = arg + h * v
        exact = float(((moved - arg) * v).sum() / (v * v).sum())  # what is left of h after rounding
        change: Array = np.ravel(_forward(op, args, number, moved)) - y0
        return change / exact

    steps = [sign * h for h in (h, h / 2, h / 4) for sign in (1, -1)]
    directions = list(directions)
    slopes = np.array([[slope(v, h) for h in steps] for v in directions])  # (D, 6, O)
    right, left = np.moveaxis(slopes[:, 0::2], 1, 0), np.moveaxis(slopes[:, 1::2], 1, 0)
    first, central = _richardson((right + left) / 2)
    bend, second_bend = _richardson((right - left) * np.array([1, 2, 4])[:, None, None])
    noise = np.maximum(np.abs(central - first), np.abs(second_bend - bend) / 4)

    rounding = 100 * EPS * float(np.abs(y0).max()) / h
    finite = np.isfinite(noise)
    largest = float(np.abs(central[finite]).max(initial=0))
    kink = ~(noise <= SMOOTH * largest + rounding)
    low, high = (_richardson(2 * side[1:] - side[:-1])[0] for side in (left, right))
    low, high = np.minimum(low, high), np.maximum(low, high)
    steeper = [np.abs(slopes[:, i : i + 2]).max(axis=1) for i in (0, 2, 4)]  # at h, h/2, h/4
    doubles = (steeper[1] > 1.5 * steeper[0]) & (steeper[2] > 1.5 * steeper[1])
    jump = ~finite | (kink & doubles)
    low, high = np.where(jump, -np.inf, low), np.where(jump, np.inf, high)

    if not kink.any():
        exact = _complex_slopes(op, args, number, directions)
        if exact is not None and np.abs(exact - central).max() <= SMOOTH * largest + rounding:
            # Backward itself may lose digits, as in 1 - s for s near 1.
            rounding = 100 * EPS * max(largest, float(np.abs(y0).max()))
            return Slopes(exact, exact, exact, kink, np.zeros_like(noise), rounding)
    low, high = np.where(kink, low, central), np.where(kink, high, central)
    return Slopes(central, low, high, kink, noise, rounding)


def spread(a: Array) -> float:
    """How far the entries of ``a`` lie apart: the unit of steps. It is 1 where they are equal."""
    deviation = float(np.std(a))
    return max(deviation if deviation > 0 else 1.0, 1e-6 * float(np.abs(a).max()))


def _forward(op: Op, args: tuple[Any, ...], number: int, moved: Any) -> Any:
    return op(*args[:number], moved, *args[number + 1 :])[0]


def _complex_slopes(
    op: Op, args: tuple[Any, ...], number: int, directions: list[Array]
) -> Array | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as an imaginary part that is thrown away
            rows = [
                np.ravel(_forward(op, args, number, args[number] + 1j * COMPLEX_STEP * v))
                for v in directions
            ]
    except Exception:  # whatever a function says to complex numbers, it does not take them
        return None
    slopes = np.array(rows)
    if slopes.dtype.kind != "c" or not np.isfinite(slopes).all():
        return None
    exact: Array = slopes.imag / COMPLEX_STEP
    return exact


def _richardson(a: Array) -> Array:
    """Cancel the h^2 term between each two neighbours of a list at steps h, h/2, h/4, ..."""
    extrapolated: Array = (4 * a[1:] - a[:-1]) / 3
    return extrapolated
