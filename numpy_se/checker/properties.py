"""What must hold for every backward, and needs no differences to be seen.

A backward is linear in ``dy``. Neither memory layout nor precision may change more than rounding
does, and how much that is, is measured: by moving what goes in by one unit in the last place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from numpy_se.checker.findings import Finding, Kind
from numpy_se.checker.run import Run, as_tuple, copies, float_names, is_float
from numpy_se.checker.slopes import EPS, Op, outputs, spread
from numpy_se.checker.words import in_short, listed
from numpy_se.contract import Array

CLOSE = 1e-9
CLOSE_LINEAR = 1e-6  # where gradients cancel, rounding is far larger than they are
CLOSE_SINGLE = 1e-2  # float32 against float64: coarse, as deep functions lose digits
EPS_SINGLE = float(np.finfo(np.float32).eps)
OVERFLOW = 800.0  # exp of it is too large for float64
MOVES, COPIES, NEAR = (1e-6, 1e-5, 1e-4), 4, 1e-3  # to see whether y is rounded
LEAST_STEP, LARGEST_STEP, SAME = 1e-11, 1e-5, 10.0  # their height, and how much it may vary
SHARE = 0.9  # of the outputs may stand still, or be steps that cancel
LIKE_SINGLE = 1e-9  # steps of float32, some of which average out


@dataclass(frozen=True)
class Rough:
    """A forward pass that rounds: ``text`` says how, ``height`` is that of its steps beside y."""

    text: str
    height: float

    @property
    def finding(self) -> Finding:
        return Finding(Kind.ROUGH, "y", self.text, code="any.float32-forward")


def broken_properties(op: Op, names: tuple[str, ...], ran: Run, smooth: bool) -> list[Finding]:
    """Name the properties that do not hold at this run.

    ``smooth`` says that there are no kinks near. At a kink, rounding alone may change the gradient.
    """
    titles = [f"d{name}" for name in float_names(names, ran.args)]
    try:
        ways = nonlinear(op, ran)
    except Exception as error:
        text = f"backward raises {in_short(error)} for another dy, such as zeros"
        return [Finding(Kind.RAISES, "backward", text)]
    found = [
        Finding(Kind.NONLINEAR, title, f"{title} is {how}", code=code)
        for title, (code, how) in zip(titles, ways, strict=True)
        if how
    ]
    if smooth and not found:
        found += _layout(op, titles, ran)
    return found


def nonlinear(op: Op, ran: Run) -> list[tuple[str, str]]:
    """Say of each gradient how it is not linear in ``dy``; "" where it is, or not finite."""
    _, backward = op(*copies(ran.args))
    rng = np.random.default_rng(0)
    other = np.asarray(-1.5 * np.roll(ran.dy, 1))
    g0s, g1s, g2s, gs = (
        _gradients(backward, dy) for dy in (0 * ran.dy, 1 * ran.dy, other, other - 2 * ran.dy)
    )
    if not len(g0s) == len(g1s) == len(g2s) == len(gs):
        raise ValueError("it gives another number of gradients")
    moved = [_gradients(backward, _by_eps(ran.dy, 4 * EPS, rng)) for _ in range(4)]
    least = 50 * EPS * float(np.abs(ran.dy).max())
    found = []
    for g0, g1, g2, g, *near in zip(g0s, g1s, g2s, gs, *moved, strict=True):
        scale = np.abs(g1).max(initial=0) + np.abs(g2).max(initial=0)
        rounding = least + 1000 * max(np.abs(a - g1).max(initial=0) for a in near)
        if not np.isfinite(scale + rounding):
            found.append(("", ""))
        elif np.abs(g0).max(initial=0) > CLOSE * scale + rounding:
            words = "not zero for a dy of zeros: a term does not depend on dy"
            found.append(("any.constant-term", words))
        else:
            off = np.abs(g - (g2 - 2 * g1)).max(initial=0)
            linear = off <= CLOSE_LINEAR * scale + rounding
            found.append(("", "") if linear else ("any.not-linear", "not linear in dy"))
    return found


def _layout(op: Op, titles: list[str], ran: Run) -> Iterator[Finding]:
    """Strided arguments and ``dy`` must give what contiguous ones give."""
    where = "where the arrays are not contiguous in memory"
    try:
        y, backward = op(*(_strided(a) if is_float(a) else a for a in ran.args))
        grads = _gradients(backward, _strided(ran.dy))
    except Exception as error:
        yield Finding(Kind.LAYOUT, "backward", f"{where}, it raises {in_short(error)}")
        return
    moved = _moved(op, ran, EPS)
    arrays = zip(["y", *titles], [ran.y, *ran.grads], [y, *grads], moved, strict=False)
    for title, wanted, got, doubt in arrays:
        if not _agree(wanted, got, CLOSE, doubt):
            yield Finding(Kind.LAYOUT, title, f"{title} differs {where}")
            return


def of_float32(op: Op, names: tuple[str, ...], ran: Run) -> Iterator[str]:
    """Say what is float64 for float32 arguments, and what is far from the numbers of float64.

    The first is slow and large; the second may be a mistake, or rounding: nobody can tell.
    """
    titles = ["y", *(f"d{name}" for name in float_names(names, ran.args))]
    single = _in_single(op, ran)
    wide = [title for title, a in zip(titles, single, strict=False) if a.dtype == np.float64]
    if wide:
        yield f"float32 arguments give a float64 {', '.join(wide)}"
    moved = _moved(op, ran, EPS_SINGLE)
    for title, wanted, got, doubt in zip(titles, [ran.y, *ran.grads], single, moved, strict=False):
        if np.isfinite(got).all() and not _agree(wanted, got, CLOSE_SINGLE, doubt):
            yield f"{title} of float32 arguments is far from that of float64 ones"


def limits_of(names: tuple[str, ...], args: tuple[Any, ...]) -> list[str]:
    """Say which mistakes these arguments cannot show."""
    found = []
    for name, a in zip(names, args, strict=True):
        if not is_float(a):
            continue
        if a.ndim == 4 and a.shape[2] == a.shape[3] and a.shape[2] > 1:
            found.append(f"{name} has H = W = {a.shape[2]}, so H in place of W does not show")
        if ones := [k for k in range(a.ndim) if a.shape[k] == 1]:
            axes = ", ".join(map(str, ones))
            found.append(
                f"{name} has size 1 along axis {axes}, so a wrong sum over it does not show"
            )
        if a.size > 1 and ((a > 0).all() or (a < 0).all()):
            found.append(f"{name} has one sign, so the other side of a mask at 0 does not show")
    return found


def overflow(op: Op, names: tuple[str, ...], args: tuple[Any, ...]) -> list[Finding]:
    """Look for NaN at large arguments: an overflow whose infinities meet, as inf / inf.

    Each argument in turn is made large, all of its entries alike. A NaN without an overflow, as
    from the logarithm of a negative number, says that the argument lies outside of the domain, and
    is no mistake. So it is where entries that are alike give NaN without being large, as those of a
    channel without deviation.
    """
    floats = float_names(names, args)
    for place, sign in (
        (i, sign) for i, a in enumerate(args) if is_float(a) for sign in (1, -1)
        if (sign * a > 0).any()
    ):  # fmt: skip
        large = OVERFLOW * sign
        subject, overflowed = _first_nan(op, floats, args, place, large)
        if not (subject and overflowed) or _first_nan(op, floats, args, place, sign)[0]:
            continue
        where = f"at {names[place]} = {large:g}: an overflow"
        if subject == "y":
            return [Finding(Kind.NOT_FINITE, "y", f"y is nan {where}", code="any.nan-y")]
        text = f"{subject} is nan {where}, though y is finite"
        return [Finding(Kind.NOT_FINITE, subject, text, code="any.nan-gradient")]
    return []


def _first_nan(
    op: Op, floats: Sequence[str], args: tuple[Any, ...], place: int, value: float
) -> tuple[str, bool]:
    """Name the first of y and the gradients that is NaN where all entries of an argument are equal.

    Gives "" where none is, and whether anything overflowed on the way.
    """
    flags: list[str] = []
    made = (value + 0 * a if i == place else a for i, a in enumerate(copies(args)))
    with np.errstate(over="call", call=lambda kind, _: flags.append(kind)):
        try:
            y, backward = op(*made)
            if np.isnan(y).any():
                return "y", bool(flags)
            if not np.isfinite(y).all():
                return "", bool(flags)
            grads = _gradients(backward, np.ones(np.shape(y)))
        except Exception:  # it may not take such numbers
            return "", False
    wrong = (
        n for n, g in zip(floats, grads, strict=False) if g.dtype.kind == "f" and np.isnan(g).any()
    )
    return next((f"d{name}" for name in wrong), ""), bool(flags)


def rounded_to_float32(op: Op, args: tuple[Any, ...], names: tuple[str, ...]) -> list[str]:
    """Name the arguments that the forward pass rounds to float32.

    Rounding them changes nothing, and going on to the next float32 numbers changes all.
    """
    rounded = []
    for place, name in enumerate(names):
        if is_float(args[place]):
            coarse = args[place].astype(np.float32).astype(np.float64)
            moved = (coarse if i == place else a for i, a in enumerate(copies(args)))
            next_ = np.nextafter(args[place].astype(np.float32), np.float32(np.inf))
            after = np.nextafter(next_, np.float32(np.inf)).astype(np.float64)
            further = (after if i == place else a for i, a in enumerate(copies(args)))
            with contextlib.suppress(Exception):  # it may lie outside of the domain
                y, same, far = (np.array(op(*given)[0]) for given in (copies(args), moved, further))
                moved_on = (y != far).mean() > 0.5
                if (coarse != args[place]).any() and (y == same).all() and moved_on:
                    rounded.append(name)
    return rounded


def roughness_of_y(op: Op, args: tuple[Any, ...], names: tuple[str, ...]) -> Rough | None:
    """Say how the forward pass rounds more than float64 does, if it does."""
    if rounded := rounded_to_float32(op, args, names):
        text = f"the forward pass computes with {listed(rounded)} in float32"
        return Rough(text, EPS_SINGLE)
    y = np.asarray(op(*copies(args))[0])
    if _in_float32(y) and not all(_in_float32(a) for a in args if is_float(a)):
        text = "all entries of y are numbers of float32: it is rounded"
        return Rough(text, EPS_SINGLE)
    floats = (place for place, a in enumerate(args) if is_float(a))
    height = max((_height_of_steps(op, args, place) for place in floats), default=0.0)
    if height > LIKE_SINGLE:
        text = "the forward pass rounds numbers on the way to y, as float32 does"
        return Rough(text, height)
    return None


def _height_of_steps(op: Op, args: tuple[Any, ...], place: int) -> float:
    """Measure the steps in which y goes up where an argument moves, relative to y; 0 for none.

    A second difference is h^2 y'' where y is smooth, and proportional to h at a kink. Where numbers
    are rounded, it is the height of a step at any h.
    """
    rng = np.random.default_rng(0)
    heights = []
    for h in MOVES:
        bends = []
        for _ in range(COPIES):
            a = args[place] * (1 + NEAR * rng.standard_normal(args[place].shape))
            line = h * spread(a) * rng.choice([-1.0, 1.0], a.shape)
            ys = [y for y in outputs(op, args, place, (a, a + line, a + 2 * line)) if y is not None]
            if len(ys) < 3 or len({y.shape for y in ys}) > 1:
                return 0.0
            y, once, twice = ys
            bends.append(np.abs(y - 2 * once + twice) / np.abs(y).max())
        heights.append(float(np.quantile(np.concatenate(bends), SHARE)))
    low, high = min(heights), max(heights)
    return high if LEAST_STEP < low <= high < min(LARGEST_STEP, SAME * low) else 0.0


def _in_float32(a: Array) -> bool:
    """Tell whether all numbers have 24 bits, and some have more than 16: no small whole numbers."""
    with np.errstate(over="ignore"):
        return bool((a == a.astype(np.float32)).all() and (a != a.astype(np.float16)).any())


def _in_single(op: Op, ran: Run) -> list[Array]:
    """Run in float32: y and the gradients, or nothing where the operation does not take float32."""
    try:
        y, backward = op(*(a.astype(np.float32) if is_float(a) else a for a in ran.args))
        arrays = [np.asarray(y), *_gradients(backward, ran.dy.astype(np.asarray(y).dtype))]
        return arrays if all(a.dtype.kind == "f" for a in arrays) else []
    except Exception:  # float32 is not asked of an operation; only to be right where it is taken
        return []


def _moved(op: Op, ran: Run, eps: float) -> list[float]:
    """How far y and the gradients move where the arguments and dy do so by ``eps``."""
    rng = np.random.default_rng(0)
    found = np.zeros(1 + len(ran.grads))
    for _ in range(3):
        try:
            y, backward = op(*(_by_eps(a, eps, rng) if is_float(a) else a for a in ran.args))
            arrays = [np.asarray(y), *_gradients(backward, _by_eps(ran.dy, eps, rng))]
            moves = [
                np.abs(a - b).max(initial=0)
                for a, b in zip(arrays, [ran.y, *ran.grads], strict=True)
            ]
        except Exception:  # these neighbours lie outside of the domain
            return [np.inf] * len(found)
        found = np.maximum(found, moves)
    return [float(move) for move in found]


def _by_eps(a: Array, eps: float, rng: np.random.Generator) -> Array:
    return np.asarray(a * (1 + eps * rng.choice([-1.0, 1.0], np.shape(a))))


def _gradients(backward: Any, dy: Array) -> list[Array]:
    given = backward(np.asarray(dy)[()] if np.ndim(dy) == 0 else dy)
    return list(map(np.array, as_tuple(given)))


def _agree(wanted: Any, got: Any, close: float, doubt: float) -> bool:
    """Equal but for rounding, of which ``doubt`` is what one unit in the last place leads to."""
    wanted, got = np.asarray(wanted), np.asarray(got)
    if wanted.shape != got.shape:
        return False
    scale = float(np.abs(wanted).max(initial=0))
    return bool((np.abs(wanted - got) <= close * scale + 100 * doubt).all() or not doubt < np.inf)


def _strided(a: Any) -> Array:
    """The same values, each two entries away from its neighbour, in the reverse order of axes."""
    values: Array = np.asarray(a)
    if values.ndim == 0:
        return values
    spaced = np.zeros((*values.shape[:0:-1], 2 * len(values)), values.dtype)[..., ::2].T
    spaced[...] = values
    return spaced
