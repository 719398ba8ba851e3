"""Slopes of an operation by differences: what its gradients are held against.

An argument a is moved along a direction v, which is a single entry, or many at once:

    D(h) = (y(a + h v) - y(a - h v)) / 2h  =  y'(a) v + c h^2 + O(h^4)

Two steps cancel the h^2 term (Richardson): (4 D(h/2) - D(h)) / 3. Three steps give two such
values. How far they disagree is an estimate of the error, so nobody has to choose a tolerance.

The one-sided slopes R(h) = (y(a + h v) - y(a)) / h and the same to the left differ by h y''; their
gap over h is the curvature, at each step. Where slopes or curvatures disagree, other steps are
tried, as the function may only be steep, or rough. Where they disagree at all steps there is a
kink. Its
slopes on the two sides follow from R(h) by extrapolation. For each output, any slope between the
two is legal: which one, is a convention. Where the output jumps, any value is legal.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from numpy_se.contract import Array

EPS = float(np.finfo(np.float64).eps)
SMOOTH = 1e-7  # how far steps disagree at most on a smooth function, relative to the largest slope
FINEST = 1e-8  # no gradient is held to less than this, relative to its largest entry
COMPLEX_STEP = 1e-30
STEP = 1e-4  # of a single entry, relative to the spread of the entries
SMALL_STEP = 1e-7  # of many entries that move together: they meet many kinks
TINY_STEPS, PARTS_OF_IT = (1e-8, 1e-6), (0.73, 0.41, 0.29, 0.17)  # to see the rounding of y
LADDER = (STEP, 3e-6, SMALL_STEP, 3e-9, 3e-3)  # of steps, where one does not do

Op = Callable[..., Any]


@dataclass(frozen=True)
class Slopes:
    """Slopes of all O outputs along D directions in one argument, as arrays (D, O).

    ``central`` is the best value; legal is what lies between ``low`` and ``high``. The three are
    equal away from kinks. ``noise`` is an estimate of the error, ``rounding`` of the part of it
    that no step avoids.
    """

    central: Array
    low: Array
    high: Array
    kink: npt.NDArray[np.bool_]
    noise: Array
    rounding: Array

    def legal(self, dy: Array) -> tuple[Array, Array]:
        """Bounds (D,), (D,) of the slope of L = sum_o y[o] * dy[o] along each direction."""
        a, b = _times(self.low, dy), _times(self.high, dy)
        return np.minimum(a, b).sum(axis=1), np.maximum(a, b).sum(axis=1)

    def along(self, dy: Array) -> Array:
        """The slope (D,) of L along each direction."""
        slope: Array = _times(self.central, dy).sum(axis=1)
        return slope

    def error(self, dy: Array) -> Array:
        """How far from the true slope of L each of these (D,) may lie, away from kinks."""
        noise = np.abs(_times(np.where(self.kink, 0, self.noise), dy)).sum(axis=1)
        rounding = np.sqrt((_times(self.rounding, dy) ** 2).sum(axis=1))
        error: Array = 10 * noise + rounding
        return error


def _times(a: Array, dy: Array) -> Array:
    """Weigh outputs; one with dy = 0 does not count, even where its slope is not finite."""
    weights = np.ravel(dy)
    product: Array = np.where(weights == 0, 0.0, a * weights)
    return product


@contextlib.contextmanager
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


def output(op: Op, args: tuple[Any, ...]) -> Array:
    """The output as a vector of its own, also where the operation uses its buffer again."""
    y: Array = np.array(op(*args)[0]).ravel()
    return y


def outputs(
    op: Op, args: tuple[Any, ...], number: int, moves: Iterable[Array]
) -> Iterator[Array | None]:
    """The outputs where an argument takes other values, None where ``op`` raises.

    An ``op`` whose function lives elsewhere may have a method of this name, for many at once.
    """
    if hasattr(op, "outputs"):
        yield from op.outputs(args, number, moves)
        return
    for moved in moves:
        try:
            y = output(op, (*args[:number], moved, *args[number + 1 :]))
        except Exception:  # the neighbour lies outside of the domain
            yield None
        else:
            yield y


def spread(a: Array) -> float:
    """How far the entries of ``a`` lie apart: the unit of steps. It is 1 where they are equal."""
    deviation = float(np.std(a))
    largest = float(np.abs(a).max())
    if deviation <= 1e-12 * largest:
        deviation = largest if 0 < largest < 1 else 1.0
    return max(deviation, 1e-6 * largest)


def roughness(op: Op, args: tuple[Any, ...], number: int, y0: Array) -> Array:
    """How far each output is off a straight line where an argument moves by next to nothing.

    That is the rounding of the forward pass itself, which may be far more than that of one sum. An
    output that does not move at all may be as rough as the others.
    """
    rough = np.zeros_like(y0)
    for step in TINY_STEPS:
        flat = np.ones(y0.shape, bool)
        for part, first, change in _tiny_changes(op, args, number, y0, step):
            off = np.abs(change - part * first)
            rough = np.fmax(rough, np.where(np.isfinite(off), off, 0))
            flat &= first == 0
        if not flat.all():
            return np.where(flat, rough.max(), rough)
    return rough


def _tiny_changes(
    op: Op, args: tuple[Any, ...], number: int, y0: Array, step: float
) -> Iterator[tuple[float, Array, Array]]:
    """Move an argument to both sides: give a part, the change by the whole, and by the part."""
    arg, rng = args[number], np.random.default_rng(0)
    move = step * spread(arg) * rng.choice([-1.0, 1.0], arg.shape)
    for side in (move, -move):
        moves = (arg + part * side for part in (1, *PARTS_OF_IT))
        ys = list(outputs(op, args, number, moves))
        if all(y is not None and y.shape == y0.shape for y in ys):
            first, *changes = (y - y0 for y in ys if y is not None)
            for part, change in zip(PARTS_OF_IT, changes, strict=True):
                yield part, first, change


def measure(
    op: Op, args: tuple[Any, ...], number: int, directions: Iterable[Array], step: float
) -> Slopes:
    """Measure the slopes of every output along each direction in argument ``number``.

    ``step`` is relative to the spread of the argument's entries, or to a single entry that is
    smaller. ``op`` runs six times for each direction, more often where these steps disagree, and
    once more where it takes complex numbers: with a purely imaginary step there is no difference
    of nearly equal numbers, and the slope is right to the last digits. Where ``op`` raises, there
    is no slope.
    """
    directions = list(directions)
    y0 = output(op, args)
    rough = roughness(op, args, number, y0)
    units = np.array([_unit(args[number], v) for v in directions])
    found = _at_steps(op, args, number, directions, step * units, y0, rough)
    largest = _largest(found)
    for rung in LADDER:
        if rung == step:
            continue
        again = np.flatnonzero((found.noise > SMOOTH * largest + found.rounding).any(axis=1))
        if not len(again):
            break
        chosen = [directions[i] for i in again]
        found = _better(
            found, again, _at_steps(op, args, number, chosen, rung * units[again], y0, rough)
        )
    largest = _largest(found)
    noisy = ~(found.noise <= SMOOTH * largest + found.rounding)
    kink = noisy & ~(
        found.high - found.low <= found.noise / 2
    )  # else it is rough, and has no sides
    if not noisy.any():
        exact = _complex_slopes(op, args, number, directions)
        beside = (
            found
            if step >= STEP or exact is None
            else (_at_steps(op, args, number, directions, STEP * units, y0, rough))
        )
        bound = 10 * beside.noise + beside.rounding
        telling = (bound <= 1e-4 * largest).all()
        if exact is not None and telling and (np.abs(exact - beside.central) <= bound).all():
            # Backward itself may lose digits, as in 1 - s for s near 1.
            rounding = 100 * EPS * np.maximum(largest, np.abs(y0)) + 0 * exact
            return Slopes(exact, exact, exact, kink, 0 * exact, rounding)
    low = np.where(kink, found.low, found.central)
    high = np.where(kink, found.high, found.central)
    return replace(found, low=low, high=high, kink=kink)


def at_one_step(
    op: Op, args: tuple[Any, ...], number: int, direction: Array, step: float
) -> Slopes:
    """Measure along one direction with this step, and no other."""
    y0 = output(op, args)
    steps = step * np.array([_unit(args[number], direction)])
    return _at_steps(op, args, number, [direction], steps, y0, np.zeros_like(y0))


def _unit(a: Array, v: Array) -> float:
    whole = spread(a)
    if np.count_nonzero(v) > 1:
        return whole
    return min(whole, max(float(np.abs(a[v != 0]).max()), 0.03 * whole))


def _largest(slopes: Slopes) -> float:
    finite = np.isfinite(slopes.noise)
    return float(np.abs(slopes.central[finite]).max(initial=0))


def _at_steps(
    op: Op,
    args: tuple[Any, ...],
    number: int,
    directions: Sequence[Array],
    steps: Array,
    y0: Array,
    rough: Array,
) -> Slopes:
    """Measure with the steps h, h/2 and h/4 to both sides, one h for each direction."""
    arg = args[number]
    moves = [
        (v, arg + sign * h / k * v)
        for v, h in zip(directions, steps, strict=True)
        for k in (1, 2, 4)
        for sign in (1, -1)
    ]
    ys = outputs(op, args, number, (moved for _, moved in moves))
    lost = np.full_like(y0, np.nan)
    found = np.array([lost if y is None or y.shape != y0.shape else y for y in ys])
    # What is left of h after rounding.
    exact = np.array([np.vdot(moved - arg, v) / np.vdot(v, v) for v, moved in moves])
    slopes = ((found - y0) / exact[:, None]).reshape(len(directions), 6, -1)  # (D, 6, O)
    right, left = np.moveaxis(slopes[:, 0::2], 1, 0), np.moveaxis(slopes[:, 1::2], 1, 0)
    first, central = _richardson((right + left) / 2)
    bend, second_bend = _richardson((right - left) * np.array([1, 2, 4])[:, None, None])
    noise = np.maximum(np.abs(central - first), np.abs(second_bend - bend) / 4)
    noise = np.where(np.isfinite(noise), noise, np.inf)
    low, high = (_richardson(2 * side[1:] - side[:-1])[0] for side in (left, right))
    low, high = np.minimum(low, high), np.maximum(low, high)
    steeper = [np.abs(slopes[:, i : i + 2]).max(axis=1) for i in (0, 2, 4)]  # at h, h/2, h/4
    doubles = (steeper[1] > 1.5 * steeper[0]) & (steeper[2] > 1.5 * steeper[1])
    scale = np.maximum(np.abs(y0), 1e-2 * np.abs(y0).max())
    rounding = (30 * EPS * scale + 3 * rough) / steps[:, None]
    largest = np.abs(np.where(np.isfinite(noise), central, 0)).max()
    jump = ~np.isfinite(noise) | ((noise > SMOOTH * largest + rounding) & doubles)
    low, high = np.where(jump, -np.inf, low), np.where(jump, np.inf, high)
    return Slopes(central, low, high, jump, noise, rounding)


def _better(slopes: Slopes, rows: npt.NDArray[np.intp], others: Slopes) -> Slopes:
    """Take from ``others``, measured for some rows, what is known better there."""
    better = others.noise + others.rounding < (slopes.noise + slopes.rounding)[rows]
    better &= (others.central != 0) | (slopes.central[rows] == 0)  # a step that moves nothing
    merged = {}
    for f in fields(Slopes):
        merged[f.name] = getattr(slopes, f.name).copy()
        old = merged[f.name][rows]
        merged[f.name][rows] = np.where(better, getattr(others, f.name), old)
    return Slopes(**merged)


def _complex_slopes(
    op: Op, args: tuple[Any, ...], number: int, directions: list[Array]
) -> Array | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as an imaginary part that is thrown away
            moves = (args[number] + 1j * COMPLEX_STEP * v for v in directions)
            rows = []
            for y in outputs(op, args, number, moves):
                if y is None or y.dtype.kind != "c" or not np.isfinite(y).all():
                    return None
                rows.append(y.imag / COMPLEX_STEP)
    except Exception:  # whatever a function says to complex numbers, it does not take them
        return None
    return np.array(rows)


def _richardson(a: Array) -> Array:
    """Cancel the h^2 term between each two neighbours of a list at steps h, h/2, h/4, ..."""
    extrapolated: Array = (4 * a[1:] - a[:-1]) / 3
    return extrapolated
