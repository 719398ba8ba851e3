"""The causes that need no knowledge of the operation: each is said, in words that are true.

``WRONG`` has wrong operations for every id that begins with "any." or "state.". The ids are read
from the text of the checker, so an id without a wrong operation fails.
"""

import re
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from strategies import some

import numpy_se as se
from numpy_se.checker import gradcheck

CHECKER = Path(se.__file__).parent / "checker"
PARTS = {"what": ("averaged", "summed"), "size": ("small", "large")}  # of ids that are put together


class At(NamedTuple):
    """What a wrong rule may use: the right gradients and all that backward knows."""

    grads: tuple[Any, ...]
    dy: Any
    y: Any
    args: tuple[Any, ...]
    backward: Callable[..., Any]

    @property
    def dx(self) -> Any:
        return self.grads[0]

    @property
    def x(self) -> Any:
        return self.args[0]

    def rule(self, dy: Any, place: int = 0) -> Any:
        """The right gradient for another dy."""
        return as_tuple(self.backward(np.array(dy)))[place]


def as_tuple(grads: Any) -> tuple[Any, ...]:
    return grads if isinstance(grads, tuple) else (grads,)


def spoiled(op: Callable[..., Any], wrong: Callable[[At], Any], place: int = 0) -> Any:
    """Put ``wrong`` in the place of one gradient of ``op``."""

    def changed(*args: Any) -> Any:
        y, backward = op(*args)
        kept = np.array(y)

        def spoiled_backward(dy: Any) -> Any:
            grads = list(as_tuple(backward(dy)))
            grads[place] = wrong(At(tuple(grads), dy, kept, args, backward))
            return tuple(grads) if grads[1:] else grads[0]

        return y, spoiled_backward

    changed.__name__ = op.__name__
    return named_like(changed, op)


def named_like(changed: Any, op: Any) -> Any:
    """Give a function the parameters of another one, by which arguments are named."""
    changed.__wrapped__ = op
    return changed


# Right operations. None of them is one that the checker knows.


def cube(x):
    """Entry by entry."""
    return x + 0.3 * x * x * x, lambda dy: dy * (1 + 0.9 * x * x)


def offset(x, b):
    """A row is added, or a number for each map."""
    shape = b.shape + (1,) * (x.ndim - 2)
    over = tuple(k for k in range(x.ndim) if k != 1)
    y, backward = cube(x)
    return y + b.reshape(shape), lambda dy: (backward(dy), dy.sum(axis=over))


def weighted(x, w):
    """Each entry has a factor of its own."""
    y, backward = cube(x)
    return y * w, lambda dy: (backward(dy) * w, dy * y)


def project(x, w):
    """A matrix product behind the cube."""
    y, backward = cube(x)
    return y @ w, lambda dy: (backward(dy @ w.T), y.T @ dy)


def dot(x, w):
    """One number for each sample; w has one column."""
    y, backward = project(x, w)
    return y.reshape(len(x)), lambda dy: backward(dy.reshape(-1, 1))


def _signs(a):
    return np.where(np.arange(a.size) % 3, 1, -1).reshape(a.shape)


MIXED = np.random.default_rng(5).standard_normal((4, 4))
TOKENS = np.array([0, 3, 1, 3, 0, 4, 2])


def running_sum(x):
    return np.cumsum(x, 1), lambda dy: np.cumsum(dy[:, ::-1], 1)[:, ::-1].copy()


def projected(x):
    return x @ MIXED, lambda dy: dy @ MIXED.T


def looked_up(write):
    def lookup(table):
        def backward(dy):
            d = np.zeros_like(table)
            write(d, TOKENS, dy)
            return d

        return table[TOKENS], backward

    return lookup


def written_once(d, rows, dy):
    for row in set(rows):
        d[row] = dy[list(rows).index(row)]


def masked(f, fits, slope=lambda x: 3 * x**2):
    """The backward of the function without its mask."""

    def op(x):
        y = x**3 if f is cube else f(x)
        return np.where(fits(x), y, 0), lambda dy: dy * slope(x)

    return op


def where(op: Callable[..., Any], fits: Callable[..., bool]) -> Any:
    """The operation takes some sizes only."""

    def limited(*args):
        if not fits(*(a.shape for a in args)):
            raise ValueError("sizes that it does not take")
        return op(*args)

    return named_like(limited, op)


single = where(cube, lambda shape: shape[0] == 1)
square = where(cube, lambda shape: shape[0] == shape[1])
oblong = where(cube, lambda shape: shape[0] != shape[1])
large = where(cube, lambda shape: shape == (26, 40))


def column_sum(x):
    """A sum over axis 1 of the cube."""
    y, backward = cube(x)
    spread = np.ones_like(x)
    return y.sum(axis=1), lambda dy: backward(np.expand_dims(dy, 1) * spread)


def plain_sum(x):
    """A sum over axis 1."""
    return x.sum(axis=1), lambda dy: np.expand_dims(dy, 1) + np.zeros_like(x)


def row_mean(x):
    """A mean over axis 1."""
    return x.mean(axis=1), lambda dy: np.expand_dims(dy, 1) / x.shape[1] + np.zeros_like(x)


def padded(x):
    """Zeros are put around the maps, and nothing is cut off."""
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    y, backward = cube(wide)
    return y + 0.5 * wide, lambda dy: (backward(dy) + 0.5 * dy)[:, 1:-1, 1:-1]


def map_sum(x):
    """A sum over each map of the cube: its last two axes."""
    y, backward = cube(x)
    return y.sum(axis=(-2, -1)), lambda dy: backward(dy[..., None, None] * np.ones_like(x))


def three(x, w, v):
    """Three arguments of one shape."""
    return x * w + np.sin(v), lambda dy: (dy * w, dy * x, dy * np.cos(v))


def uncropped(a: At) -> Any:
    wide = np.pad(a.x, ((0, 0), (1, 1), (1, 1)))
    return a.dy * (1.5 + 0.9 * wide**2)


def only(a: Any, *at: Any) -> Any:
    """Keep some entries, the others are zero."""
    kept = np.zeros_like(a)
    kept[at] = a[at]
    return kept


def like(a: Any, mixed: Any) -> Any:
    return np.broadcast_to(mixed, a.shape).copy()


# Operations that are wrong as a whole.


def adds_up(x):
    """The gradient is never set to zero."""
    y, backward = cube(x)
    total = np.zeros_like(x)

    def wrong(dy):
        nonlocal total
        total = total + backward(dy)
        return total

    return y, wrong


def adds_up_one(x, b):
    """Only the gradient of b is never set to zero."""
    y, backward = offset(x, b)
    total = [np.zeros_like(b)]

    def wrong(dy):
        dx, db = backward(dy)
        total[0] = total[0] + db
        return dx, total[0].copy()

    return y, wrong


def writes_into_a_buffer(x):
    """One array for all gradients."""
    y, backward = cube(x)
    buffer = np.empty_like(x)

    def wrong(dy):
        buffer[...] = backward(dy)
        return buffer

    return y, wrong


def buffer_for_one(x, b):
    """One array for all gradients of b."""
    y, backward = offset(x, b)
    buffer = np.empty_like(b)

    def wrong(dy):
        dx, buffer[...] = backward(dy)
        return dx, buffer

    return y, wrong


def previous_call(x):
    """The gradient is stored behind the return value of the last call."""
    y, backward = cube(x)
    stored: list[Any] = []

    def wrong(dy):
        stored.append(backward(dy))
        return stored[max(0, len(stored) - 2)].copy()

    return y, wrong


def previous_upstream(x, b):
    """The dy of the call before is used."""
    y, backward = offset(x, b)
    stored: list[Any] = []

    def wrong(dy):
        stored.append(dy.copy())
        return backward(stored[max(0, len(stored) - 2)])

    return y, wrong


def decays(x):
    """Each call is smaller than the one before."""
    y, backward = cube(x)
    calls = count()
    return y, lambda dy: backward(dy) * 0.5 ** next(calls)


def first_only(x, b):
    """The second call finds no b."""
    y, backward = offset(x, b)
    calls = count()

    def wrong(dy):
        dx, db = backward(dy)
        return dx, db * (next(calls) == 0)

    return y, wrong


CACHE: dict[str, Any] = {}


def global_cache(x):
    """The last x of all calls is used."""
    CACHE["x"] = x.copy()
    return cube(x)[0], lambda dy: cube(CACHE["x"])[1](dy)


def global_output(x, b):
    """The last x of all calls is used for one gradient."""
    CACHE["x"] = x.copy()
    y, backward = offset(x, b)
    return y + b * x, lambda dy: (
        backward(dy)[0] + dy * b,
        (dy * (1 + CACHE["x"])).sum(axis=0) if CACHE["x"].shape == dy.shape else backward(dy)[1],
    )


def in_float32(x):
    """The forward pass is rounded."""
    y = cube(x.astype(np.float32))[0]
    return y.astype(np.float64), lambda dy: dy * (1 + 0.9 * x**2)


def one_in_float32(x, b):
    """The forward pass rounds b."""
    y, backward = offset(x, b.astype(np.float32).astype(np.float64))
    return y, backward


def naive_ratio(x):
    """The larger exp is infinite."""
    e = np.exp(x)
    s = e / (1 + e)
    return s * x, lambda dy: dy * (s + x * s * (1 - s))


def naive_softmax_sum(x, b):
    """No maximum is taken away."""
    e = np.exp(x)
    p = e / e.sum(axis=1, keepdims=True)
    y = p * b

    def backward(dy):
        dp = dy * b
        return p * (dp - (dp * p).sum(axis=1, keepdims=True)), (dy * p).sum(axis=0)

    return y, backward


def naive_derivative(x):
    """Y is safe, its derivative is inf / inf."""
    e = np.exp(x)
    return np.logaddexp(0, x) + 0.3 * x, lambda dy: dy * (e / (1 + e) + 0.3)


def naive_derivative_of_one(x, b):
    """The same for the second argument."""
    e = np.exp(b)
    y, backward = cube(x)
    return y + np.logaddexp(0, b), lambda dy: (backward(dy), (dy * e / (1 + e)).sum(axis=0))


def square_only(x, w):
    """The matrix is turned: that runs for square ones."""
    y, backward = cube(x)
    return y @ w.T, lambda dy: (backward(dy @ w), dy.T @ y)


def equal_rows_only(x, b):
    """B is added to the columns."""
    y, backward = cube(x)
    return y + b[None, : x.shape[1]] + 0 * x.sum(axis=0) * b, lambda dy: (backward(dy), dy.sum(0))


def swapped(op: Any, *order: int) -> Any:
    def wrong(*args):
        y, backward = op(*args)
        return y, lambda dy: tuple(backward(dy)[k] for k in order)

    return named_like(wrong, op)


MATRIX, MAPS, ROW, PAIR, PRODUCT = "N C", "N C H W", "N C, C", "N C, N C", "N C, C F"
COLUMN = {"x": ("N", "C"), "w": ("C", 1)}
LARGE = {"x": (26, 40)}

Row = tuple[Any, Any, str]  # the wrong operation, its shapes, the words
WRONG: dict[str, list[Row]] = {
    # a wrong shape
    "any.axis-kept": [
        (spoiled(offset, lambda a: a.grads[1][None], 1), ROW, "an axis of size 1 is kept"),
        (spoiled(cube, lambda a: a.dx[:, None, :, None]), MATRIX, "axes of size 1 are kept"),
    ],
    "any.axis-lost": [
        (spoiled(dot, lambda a: a.grads[1].ravel(), 1), COLUMN, "an axis of size 1 is lost"),
        (spoiled(single, lambda a: a.dx[0]), {"x": (1, "N", "C")}, "an axis of size 1 is lost"),
    ],
    "any.transposed": [
        (spoiled(project, lambda a: a.grads[1].T, 1), PRODUCT, "it is transposed"),
        (spoiled(cube, lambda a: a.dx.T), "N N", "it is transposed"),
        (
            spoiled(cube, lambda a: a.dx.transpose(0, 2, 1)),
            "N H W",
            "its axes H and W are swapped",
        ),
        (spoiled(cube, lambda a: a.dx.transpose(1, 0, 2)), "N C T", "its axes N and C are swapped"),
        (
            spoiled(cube, lambda a: a.dx.transpose(1, 2, 0)),
            "N C T",
            "its axes N, C and T are turned",
        ),
        (spoiled(cube, lambda a: a.dx.transpose(0, 2, 1)), "N C C", "its axes 1 and 2 are swapped"),
    ],
    "any.not-cropped": [
        (spoiled(padded, uncropped), "N H W", "the padding is not cropped"),
        (
            spoiled(padded, lambda a: uncropped(a)[:, 1:-1, 1:]),
            "N H W",
            "the padding is not cropped",
        ),
    ],
    "any.not-summed": [
        (spoiled(offset, lambda a: a.dy, 1), ROW, "it is not summed over N"),
        (spoiled(offset, lambda a: a.dy.sum(axis=0), 1), "N C T, C", "it is not summed over T"),
    ],
    "any.not-summed-and-large": [
        (
            spoiled(offset, lambda a: a.dy * len(a.dy), 1),
            ROW,
            "it is not summed over N, and too large by the size of it",
        ),
        (
            spoiled(offset, lambda a: a.dy.sum(axis=2) * len(a.dy), 1),
            "N C T, C",
            "it is not summed over N, and too large by the size of it",
        ),
    ],
    "any.not-spread": [
        (spoiled(plain_sum, lambda a: a.dy), MATRIX, "it is not spread over C"),
        (
            spoiled(row_mean, lambda a: a.dy),
            "N T C",
            "it is not spread over T, nor divided by T",
        ),
    ],
    "any.summed-too-often": [
        (spoiled(cube, lambda a: a.dx.sum(axis=0)), MATRIX, "it is summed over N too often"),
        (
            spoiled(project, lambda a: a.grads[1].sum(axis=1, keepdims=True), 1),
            PRODUCT,
            "it is summed over F too often",
        ),
    ],
    "any.averaged": [
        (spoiled(cube, lambda a: a.dx.mean(axis=0)), MATRIX, "it is averaged over N"),
        (
            spoiled(cube, lambda a: like(a.x, a.dx.mean(axis=1, keepdims=True))),
            MATRIX,
            "it is averaged over C",
        ),
    ],
    "any.wrong-axis": [
        (
            spoiled(offset, lambda a: a.dy.sum(axis=1), 1),
            ROW,
            "it is the sum of dy over C: the wrong axis",
        ),
        (
            spoiled(offset, lambda a: a.dy.sum(axis=(0, 1)), 1),
            "N C T, C",
            "it is the sum of dy over N C: the wrong axis",
        ),
        (
            spoiled(offset, lambda a: a.dy.sum(axis=1), 1),
            "N N, N",
            "it is the sum of dy over axis 1 of y: the wrong axis",
        ),
    ],
    # constants
    "any.zero": [
        (spoiled(cube, lambda a: 0 * a.x), MATRIX, "it is zero"),
        (spoiled(large, lambda a: 0 * a.x), LARGE, "it is zero"),
    ],
    "any.sign": [
        (spoiled(project, lambda a: -a.grads[1], 1), PRODUCT, "the sign is wrong"),
        (spoiled(large, lambda a: -a.dx), LARGE, "the sign is wrong"),
    ],
    "any.factor-too-small": [
        (
            spoiled(offset, lambda a: a.grads[1] / len(a.x), 1),
            ROW,
            "it is N times too small (a mean in place of a sum?)",
        ),
        (spoiled(cube, lambda a: a.dx / a.x.shape[1]), MATRIX, "it is C times too small"),
        (
            spoiled(cube, lambda a: a.dx / np.sqrt(a.x.shape[1])),
            MATRIX,
            "it is sqrt(C) times too small",
        ),
    ],
    "any.factor-too-large": [
        (spoiled(cube, lambda a: 2 * a.dx), MATRIX, "it is 2 times too large"),
        (
            spoiled(map_sum, lambda a: a.dx * a.x.shape[1] * a.x.shape[2]),
            "N H W",
            "it is H*W times too large (a sum in place of a mean?)",
        ),
    ],
    "any.factor": [
        (spoiled(cube, lambda a: 0.75 * a.dx), MATRIX, "it is 0.75 times the right one"),
        (spoiled(large, lambda a: -3 * a.dx), LARGE, "it is -3 times the right one"),
        (
            spoiled(map_sum, lambda a: a.dx * a.x.shape[2] / a.x.shape[1]),
            "N H W",
            "it is W/H times the right one",
        ),
    ],
    # dy
    "any.dy-ignored": [
        (spoiled(cube, lambda a: a.rule(np.ones_like(a.dy))), MATRIX, "dy is ignored"),
        (spoiled(project, lambda a: a.rule(np.ones_like(a.dy), 1), 1), PRODUCT, "dy is ignored"),
    ],
    "any.dy-sign-lost": [
        (spoiled(cube, lambda a: a.rule(np.abs(a.dy))), MATRIX, "the sign of dy is lost"),
        (spoiled(offset, lambda a: a.rule(np.abs(a.dy), 1), 1), ROW, "the sign of dy is lost"),
    ],
    "any.part-of-dy": [
        (
            spoiled(project, lambda a: np.outer(cube(a.x)[0][0], a.dy[0]), 1),
            PRODUCT,
            "only sample 0 counts",
        ),
        (
            spoiled(cube, lambda a: a.x.shape[1] * only(a.dx, slice(None), -1)),
            MATRIX,
            "only the last of C in dy counts",
        ),
    ],
    "any.dy-left-out": [
        (
            spoiled(project, lambda a: cube(a.x)[0][1:].T @ a.dy[1:], 1),
            PRODUCT,
            "sample 0 is left out",
        ),
        (
            spoiled(cube, lambda a: a.dx - only(a.dx, slice(None), -1)),
            MATRIX,
            "the last of C in dy is left out",
        ),
    ],
    "any.dy-mixed": [
        (
            spoiled(cube, lambda a: a.rule(like(a.x, a.dy.mean(axis=1, keepdims=True)))),
            MATRIX,
            "dy is averaged over C",
        ),
        (
            spoiled(cube, lambda a: a.rule(like(a.x, a.dy.sum(axis=0)))),
            MATRIX,
            "dy is summed over N",
        ),
        (
            spoiled(cube, lambda a: a.rule(like(a.x, a.dy.mean(axis=(2, 3), keepdims=True)))),
            MAPS,
            "dy is averaged over the map",
        ),
    ],
    "any.one-pixel": [
        (
            spoiled(cube, lambda a: only(a.dx, ..., -1, -1)),
            MAPS,
            "only one pixel of dy counts",
        ),
        (
            spoiled(cube, lambda a: a.rule(like(a.x, a.dy[..., :1, :1]))),
            MAPS,
            "only one pixel of dy counts, for all",
        ),
        (
            spoiled(map_sum, lambda a: only(a.dx, ..., a.x.shape[2] // 2, a.x.shape[3] // 2)),
            MAPS,
            "only one pixel counts",
        ),
        (
            spoiled(map_sum, lambda a: a.dx[0, 0].size * only(a.dx, ..., 0, 0)),
            MAPS,
            "only one pixel counts",
        ),
    ],
    # order
    "any.flipped": [
        (spoiled(cube, lambda a: a.dx[::-1].copy()), MATRIX, "it is flipped along N"),
        (
            spoiled(cube, lambda a: a.dx[..., ::-1, ::-1].copy()),
            "N H W",
            "it is flipped along H and W",
        ),
    ],
    "any.shifted": [
        (spoiled(cube, lambda a: np.roll(a.dx, 1, 0)), MATRIX, "it is shifted by one along N"),
        (
            spoiled(cube, lambda a: np.pad(a.dx, ((0, 0), (0, 1)))[:, 1:]),
            MATRIX,
            "it is shifted by one along C",
        ),
    ],
    "any.wrong-order": [
        (
            swapped(project, 1, 0),
            PRODUCT,
            "the gradients are in the wrong order: backward gives dw, dx",
        ),
        (
            swapped(three, 1, 2, 0),
            "N C, N C, N C",
            "the gradients are in the wrong order: backward gives dw, dv, dx",
        ),
    ],
    # places
    "any.summed": [
        (
            spoiled(cube, lambda a: like(a.x, a.dx.sum(axis=0))),
            MATRIX,
            "it is summed over N too often",
        ),
        (
            spoiled(cube, lambda a: like(a.x, a.dx.sum(axis=2, keepdims=True))),
            "N H W",
            "it is summed over W too often",
        ),
    ],
    "any.first-for-all": [
        (
            spoiled(cube, lambda a: like(a.x, a.dx[:1])),
            MATRIX,
            "the first of N is used for all",
        ),
        (
            spoiled(project, lambda a: like(a.args[1], a.grads[1][:, :1]), 1),
            PRODUCT,
            "the first of F is used for all",
        ),
    ],
    "any.part": [
        (
            spoiled(column_sum, lambda a: only(a.dx, slice(None), 0)),
            MATRIX,
            "only the first of C counts: it is not spread over C",
        ),
        (
            spoiled(map_sum, lambda a: a.x.shape[2] * only(a.dx, ..., -1)),
            "N H W",
            "only the last of W counts",
        ),
    ],
    "any.left-out": [
        (
            spoiled(column_sum, lambda a: a.dx - only(a.dx, slice(None), 0)),
            MATRIX,
            "the first of C is left out",
        ),
        (
            spoiled(map_sum, lambda a: a.dx - only(a.dx, ..., -1, slice(None))),
            "N H W",
            "the last of H is left out",
        ),
    ],
    # values
    "any.factor-value": [
        (spoiled(cube, lambda a: a.dx * a.x), MATRIX, "a factor x too much"),
        (spoiled(cube, lambda a: a.dx * a.y), MATRIX, "a factor y too much"),
        (spoiled(weighted, lambda a: a.dx * a.args[1]), PAIR, "a factor w too much"),
    ],
    "any.divided": [
        (
            spoiled(weighted, lambda a: a.dx / a.args[1] ** 2),
            PAIR,
            "divided by w where it should be multiplied by it",
        ),
        (
            spoiled(cube, lambda a: a.dx / a.x**2),
            MATRIX,
            "divided by x where it should be multiplied by it",
        ),
    ],
    "any.value-missing": [
        (spoiled(weighted, lambda a: a.dx / a.args[1]), PAIR, "the factor w is missing"),
        (spoiled(weighted, lambda a: a.grads[1] / a.x, 1), PAIR, "the factor x is missing"),
    ],
    "any.value-for-derivative": [
        (spoiled(cube, lambda a: a.y * a.dy), MATRIX, "y in place of the derivative"),
        (spoiled(cube, lambda a: a.x * a.dy), MATRIX, "x in place of the derivative"),
    ],
    "any.value-for-gradient": [
        (spoiled(cube, lambda a: a.y.copy()), MATRIX, "y in place of the gradient: dy is ignored"),
        (spoiled(cube, lambda a: a.x.copy()), MATRIX, "x in place of the gradient: dy is ignored"),
    ],
    "any.derivative-missing": [
        (spoiled(cube, lambda a: a.dy.copy()), MATRIX, "the derivative is missing: it is dy"),
        (
            spoiled(weighted, lambda a: a.dy.copy(), 1),
            PAIR,
            "the derivative is missing: it is dy",
        ),
    ],
    "any.masked-by-dy": [
        (
            spoiled(cube, lambda a: a.dx * (a.dy > 0)),
            MATRIX,
            "it is masked by the sign of dy",
        ),
        (
            spoiled(weighted, lambda a: a.grads[1] * (a.dy > 0), 1),
            PAIR,
            "it is masked by the sign of dy",
        ),
    ],
    "any.masked-by-y": [
        (
            spoiled(cube, lambda a: a.dx * (a.y > 0)),
            MATRIX,
            "it is zero where y is not positive, and right elsewhere",
        ),
        (
            spoiled(weighted, lambda a: a.grads[1] * (a.y > 0), 1),
            PAIR,
            "it is zero where y is not positive, and right elsewhere",
        ),
    ],
    "any.dy-twice": [
        (spoiled(cube, lambda a: a.dx * a.dy), MATRIX, "dy is multiplied to it once more"),
        (
            spoiled(weighted, lambda a: a.grads[1] * a.dy, 1),
            PAIR,
            "dy is multiplied to it once more",
        ),
    ],
    "any.y-minus-dy": [
        (spoiled(cube, lambda a: a.y - a.dy), MATRIX, "y - dy in place of the gradient"),
        (spoiled(weighted, lambda a: a.y - a.dy, 1), PAIR, "y - dy in place of the gradient"),
    ],
    "any.shortcut-missing": [
        (
            spoiled(cube, lambda a: a.dx - a.dy),
            MATRIX,
            "a term dy is missing",
        ),
        (
            spoiled(offset, lambda a: a.dx - a.dy),
            ROW,
            "a term dy is missing",
        ),
    ],
    "any.shortcut-added": [
        (
            spoiled(cube, lambda a: a.dx + a.dy),
            MATRIX,
            "a term dy is too much",
        ),
        (
            spoiled(weighted, lambda a: a.grads[1] + a.dy, 1),
            PAIR,
            "a term dy is too much",
        ),
    ],
    "any.other-gradient": [
        (spoiled(weighted, lambda a: a.grads[1]), PAIR, "it is dw"),
        (spoiled(three, lambda a: a.grads[0].copy(), 2), "N C, N C, N C", "it is dx"),
    ],
    "any.weight-decay": [
        (
            spoiled(project, lambda a: a.grads[1] + 0.01 * a.args[1], 1),
            PRODUCT,
            "a term 0.01 * w too much (weight decay?)",
        ),
        (
            spoiled(cube, lambda a: a.dx - 0.5 * a.x),
            MATRIX,
            "a term -0.5 * x too much (weight decay?)",
        ),
    ],
    "any.constant-added": [
        (spoiled(cube, lambda a: a.dx + 0.25), MATRIX, "a constant 0.25 is added to it"),
        (
            spoiled(project, lambda a: a.grads[1] - 1e-3, 1),
            PRODUCT,
            "a constant -0.001 is added to it",
        ),
    ],
    "any.entries-reordered": [
        (
            spoiled(cube, lambda a: a.dx.T.reshape(a.x.shape).copy()),
            MATRIX,
            "the order of the entries is wrong: the numbers are right",
        ),
        (
            spoiled(project, lambda a: np.sort(a.grads[1], axis=0), 1),
            PRODUCT,
            "the order of the entries is wrong: the numbers are right",
        ),
    ],
    "any.normalised": [
        (
            spoiled(cube, lambda a: a.dx / np.linalg.norm(a.dx)),
            MATRIX,
            "it is normalised to length 1",
        ),
        (
            spoiled(project, lambda a: a.grads[1] / np.linalg.norm(a.grads[1]), 1),
            PRODUCT,
            "it is normalised to length 1",
        ),
    ],
    "any.not-transposed": [
        (
            spoiled(running_sum, lambda a: np.cumsum(a.dy, 1)),
            MATRIX,
            "the Jacobian J is not transposed",
        ),
        (
            spoiled(projected, lambda a: a.dy @ MIXED),
            {"x": ("N", 4)},
            "the Jacobian J is not transposed",
        ),
    ],
    "any.one-use": [
        (looked_up(lambda d, i, dy: d.__setitem__(i, dy)), {"table": (5, "C")}, "only the last"),
        (looked_up(written_once), {"table": (5, "C")}, "only the first"),
    ],
    "any.entries-left-out": [
        (spoiled(cube, lambda a: a.dx * (np.abs(a.x) < 1.5)), MATRIX, "some entries are 0"),
        (spoiled(weighted, lambda a: a.dx * (np.abs(a.x) < 1)), PRODUCT, "some entries are 0"),
    ],
    "any.mask-missing": [
        (masked(cube, lambda x: np.abs(x) < 1), MATRIX, "some entries should be 0"),
        (masked(np.sinh, lambda x: np.abs(x) > 0.7, np.cosh), MATRIX, "some entries should be 0"),
    ],
    "any.signs": [
        (spoiled(cube, lambda a: a.dx * np.sign(np.sin(9 * a.x))), MATRIX, "the signs of some"),
        (spoiled(project, lambda a: a.grads[1] * _signs(a.grads[1]), 1), PRODUCT, "the signs of"),
    ],
    "any.difference-per-axis": [
        (spoiled(cube, lambda a: a.dx - a.dx.mean(1, keepdims=True)), MATRIX, "it is off by one"),
        (
            spoiled(cube, lambda a: a.dx - a.x * (a.dx * a.x).sum(1, keepdims=True)),
            MATRIX,
            "it is off by a multiple of x for each index of N",
        ),
    ],
    "any.factor-per-axis": [
        (
            spoiled(cube, lambda a: a.dx / np.linalg.norm(a.x, axis=1, keepdims=True)),
            MATRIX,
            "it is the right one times a number for each index of N",
        ),
        (
            spoiled(cube, lambda a: a.dx / np.linalg.norm(a.x, axis=0)),
            MATRIX,
            "it is the right one times a number for each index of C",
        ),
    ],
    "any.clipped": [
        (spoiled(cube, lambda a: a.dx.clip(-1, 1)), MATRIX, "it is clipped to -1 ... 1"),
        (
            spoiled(project, lambda a: a.grads[1].clip(-1, 1), 1),
            PRODUCT,
            "it is clipped to -1 ... 1",
        ),
    ],
    # precision, and what is no function of dy
    "any.float32": [
        (
            spoiled(cube, lambda a: a.dx.astype(np.float32).astype(np.float64)),
            MATRIX,
            "only its last digits are wrong",
        ),
        (
            spoiled(
                project,
                lambda a: (
                    (a.x.T.astype("f4") @ a.dy.astype("f4")).astype("f8")
                    + a.grads[1]
                    - a.x.T @ a.dy
                ),
                1,
            ),
            PRODUCT,
            "only its last digits are wrong",
        ),
    ],
    "any.float32-forward": [
        (
            spoiled(in_float32, lambda a: 1.1 * a.dx),
            MATRIX,
            "the forward pass computes with x in float32",
        ),
        (
            spoiled(one_in_float32, lambda a: 1.1 * a.grads[1], 1),
            ROW,
            "the forward pass computes with b in float32",
        ),
    ],
    "any.constant-term": [
        (
            spoiled(cube, lambda a: a.dx + np.sin(a.x)),
            MATRIX,
            "it is not zero for a dy of zeros: a term does not depend on dy",
        ),
        (
            spoiled(cube, lambda a: a.dx + (not a.dy.any())),
            MATRIX,
            "dx is not zero for a dy of zeros: a term does not depend on dy",
        ),
    ],
    "any.not-linear": [
        (spoiled(cube, lambda a: a.rule(np.tanh(a.dy))), MATRIX, "it is not linear in dy"),
        (
            spoiled(project, lambda a: a.grads[1] * np.abs(a.grads[1]), 1),
            PRODUCT,
            "it is not linear in dy",
        ),
    ],
    "any.nan-y": [
        (naive_ratio, MATRIX, "y is nan at x = 800: an overflow"),
        (naive_softmax_sum, ROW, "y is nan at x = 800: an overflow"),
    ],
    "any.nan-gradient": [
        (naive_derivative, MATRIX, "dx is nan at x = 800: an overflow, though y is finite"),
        (
            naive_derivative_of_one,
            ROW,
            "db is nan at b = 800: an overflow, though y is finite",
        ),
    ],
    "any.equal-sizes-only": [
        (square_only, PRODUCT, "the forward pass runs only where C = F; at N = 2, C = 3, F = 4, "),
        (equal_rows_only, "N C, N", "the forward pass runs only where N = C; at N = 2, C = 3, "),
    ],
    # calls that are not independent
    "state.adds-up": [
        (adds_up, MATRIX, "backward adds to the gradients of its first call"),
        (adds_up_one, ROW, "backward adds to the gradients of its first call"),
    ],
    "state.gradients-reused": [
        (
            writes_into_a_buffer,
            MATRIX,
            "backward writes into the gradients that its first call gave",
        ),
        (buffer_for_one, ROW, "backward writes into the gradients that its first call gave"),
    ],
    "state.previous-call": [
        (previous_call, MATRIX, "backward gives the gradients of the call before"),
        (previous_upstream, ROW, "backward gives the gradients of the call before"),
    ],
    "state.called-again": [
        (
            decays,
            MATRIX,
            "backward gives other gradients when it is called again with the same dy",
        ),
        (
            first_only,
            ROW,
            "backward gives other gradients when it is called again with the same dy",
        ),
    ],
    "state.overwritten": [
        (global_cache, MATRIX, "backward uses what a later forward call has overwritten"),
        (global_output, ROW, "backward uses what a later forward call has overwritten"),
    ],
}

ROWS = [
    pytest.param(code, *row, id=f"{code}-{k}")
    for code, rows in WRONG.items()
    for k, row in enumerate(rows)
]


def ids_of_the_checker() -> set[str]:
    """All ids of generic causes in the text of the checker."""
    found: set[str] = set()
    for file in CHECKER.rglob("*.py"):
        for code in re.findall(r"""["']((?:any|state)\.[^"' ]+)["']""", file.read_text("utf-8")):
            part = re.search(r"\{(\w+)\}", code)
            found |= {code.replace(part[0], p) for p in PARTS[part[1]]} if part else {code}
    return found


def test_every_id_has_a_wrong_operation():
    assert ids_of_the_checker() == set(WRONG)


@pytest.mark.parametrize(("code", "op", "shapes", "words"), some(ROWS, 3))
def test_a_cause_is_told(code, op, shapes, words):
    causes = gradcheck(op, shapes=shapes).causes
    assert [c.code for c in causes] == [code]
    assert causes[0].text.startswith(words)


# What must not be said.


def noisy(a: At) -> Any:
    """A wrong gradient without a name."""
    return a.dx + 0.1 * np.cos(3 * a.x) * a.dy


def noisy_where(op: Any, mask: Callable[[At], Any]) -> Any:
    return spoiled(op, lambda a: np.where(mask(a), noisy(a), a.dx))


def place(a: At, axis: int) -> Any:
    """The number of each entry along an axis."""
    return np.indices(a.x.shape)[axis]


def first(a: At, axis: int = 0) -> Any:
    return place(a, axis) == 0


def last(a: At, axis: int = 0) -> Any:
    return place(a, axis) == a.x.shape[axis] - 1


def border(a: At, h: int = 2, w: int = 3) -> Any:
    return first(a, h) | last(a, h) | first(a, w) | last(a, w)


def one_entry(a: At) -> Any:
    return (place(a, 0) == 0) & (place(a, 1) == 0)


with_inside = where(cube, lambda shape: min(shape[2:]) > 2 and shape[:2] == (1, 1))
in_front = where(cube, lambda shape: min(shape[:2]) > 2 and shape[2:] == (1, 1))
two_rows = where(cube, lambda shape: shape[2] == 2)


def with_log(x):
    """It takes positive numbers only."""
    return x * np.log(x) + x**2, lambda dy: dy * (1 + np.log(x) + 2 * x)


@pytest.mark.parametrize(
    ("op", "shapes", "words"),
    [
        (noisy_where(cube, first), MATRIX, " only in the first of N"),
        (noisy_where(cube, lambda a: first(a) & (a.x < 0)), "N C T", " only in the first of N"),
        (noisy_where(cube, lambda a: last(a, 1)), MATRIX, " only in the last of C"),
        (noisy_where(cube, lambda a: last(a, 2)), "N H W", " only in the last of W"),
        (noisy_where(cube, lambda a: a.x < 0), MATRIX, " only where x is negative"),
        (noisy_where(cube, lambda a: a.x > 0), MATRIX, " only where x is positive"),
        (
            noisy_where(with_inside, border),
            {"x": (1, 1, "H", "W")},
            " only at the border of the maps",
        ),
        (
            noisy_where(cube, lambda a: first(a) & last(a, 1)),
            "N C T",
            " only in the first of N and only in the last of C",
        ),
    ],
)
def test_a_place_is_told(op, shapes, words):
    (cause,) = gradcheck(op, shapes=shapes).causes
    assert (cause.code, cause.text) == ("", words)


@pytest.mark.parametrize(
    ("op", "shapes"),
    [
        pytest.param(noisy_where(cube, lambda a: place(a, 0) == len(a.x) % 2), MATRIX, id="parity"),
        pytest.param(
            noisy_where(cube, lambda a: first(a) if a.x.shape[1] > 3 else last(a)),
            MATRIX,
            id="first-or-last",
        ),
        pytest.param(
            noisy_where(cube, lambda a: a.x < 0 if len(a.x) < 4 else a.x > 0), MATRIX, id="signs"
        ),
        pytest.param(
            noisy_where(with_inside, lambda a: border(a) | (a.x > 1)),
            {"x": (1, 1, "H", "W")},
            id="border-and-more",
        ),
        pytest.param(spoiled(cube, noisy), MATRIX, id="all"),
        pytest.param(spoiled(with_log, noisy), MATRIX, id="all-positive"),
        pytest.param(noisy_where(cube, one_entry), MATRIX, id="one-entry"),
        pytest.param(noisy_where(two_rows, lambda a: place(a, 1) == 1), MAPS, id="no-inside"),
        pytest.param(noisy_where(with_inside, border), {"x": (1, 1, "A", "B")}, id="not-H-W"),
        pytest.param(
            noisy_where(in_front, lambda a: border(a, 0, 1)),
            {"x": ("H", "W", 1, 1)},
            id="maps-in-front",
        ),
    ],
)  # fmt: skip
def test_no_place_is_told(op, shapes):
    (cause,) = gradcheck(op, shapes=shapes).causes
    assert (cause.code, cause.text) == ("", "")


def test_a_sign_that_all_entries_have_is_no_place():
    (cause,) = gradcheck(noisy_where(with_log, lambda a: place(a, 1) > 0), shapes=MATRIX).causes
    assert (cause.code, cause.text) == ("", "")


def test_the_border_is_told_though_a_map_has_no_inside():
    (cause,) = gradcheck(noisy_where(cube, border), shapes=MAPS).causes
    assert cause.text == " only at the border of the maps"


def blocks(a: At) -> Any:
    return a.dx * (place(a, 0) < 16)


@pytest.mark.parametrize(
    "wrong",
    [blocks, lambda a: np.where(a.x > 20, 0, a.dx), lambda a: a.dx.squeeze()],
    ids=["long-axis", "large-values", "length-1"],
)
def test_nothing_is_told_that_no_probe_shows(wrong):
    causes = gradcheck(spoiled(cube, wrong), shapes=MATRIX).causes
    assert "any.entries-reordered" not in [c.code for c in causes]


def test_a_hint_does_not_hide_the_factor():
    (cause,) = gradcheck(
        spoiled(project, lambda a: a.grads[1] / len(a.x), 1), shapes=PRODUCT
    ).causes
    assert cause.code == "any.factor-too-small"


def in_order(op: Any, wrong: Callable[..., Any]) -> Any:
    """Change all gradients together."""

    def changed(*args):
        y, backward = op(*args)
        return y, lambda dy: wrong(*backward(dy))

    return named_like(changed, op)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda dx, dw: (dw.copy(), dw),
        lambda dx, dw: (dx, dx.copy()),
        lambda dx, dw: (dw, 2 * dx),
        lambda dx, dw: (-dw, dx),
        lambda dx, dw: (dw.copy() + 0.1, dx.copy() + 0.1),
    ],
)
def test_the_order_is_wrong_only_where_both_gradients_are(wrong):
    causes = gradcheck(in_order(weighted, wrong), shapes=PAIR).causes
    assert causes
    assert "any.wrong-order" not in [c.code for c in causes]


def four_columns(x):
    """It takes four columns only."""
    y, backward = cube(x)
    row = np.array([[1.0, 2.0, 3.0, 4.0]])
    return np.multiply(y, row) + 0 * x.reshape(-1, 4), lambda dy: backward(dy * row)


FOUR = where(four_columns, lambda shape: shape[1] == 4)
TWO_BY_FOUR = where(cube, lambda shape: shape == (2, 4))


@pytest.mark.parametrize(
    ("op", "shape", "factor"),
    [(FOUR, ("N", 4), 4), (FOUR, ("N", 4), 0.25), (TWO_BY_FOUR, (2, 4), 8), (cube, ("N", 4), 4),
     (cube, ("N", "C"), 3)],
)  # fmt: skip
def test_a_size_that_never_changes_is_no_factor(op, shape, factor):
    wrong = spoiled(op, lambda a: factor * a.dx)
    (cause,) = gradcheck(wrong, shapes={"x": shape}).causes
    assert (cause.code, cause.text) == ("any.factor", f"it is {factor} times the right one")
    if "N" not in shape:
        x = np.random.default_rng(0).standard_normal(shape)
        assert gradcheck(wrong, x).causes == (cause,)


@pytest.mark.parametrize(
    ("op", "shapes", "number"),
    [(project, PRODUCT, 1), (cube, MATRIX, 0), (oblong, MATRIX, 0), (cube, "N C T", 0)],
)
def test_reshaped_is_not_transposed(op, shapes, number):
    def reshaped(a):
        grad = a.grads[number]
        return grad.reshape(*grad.shape[:-2], *grad.shape[:-3:-1])

    (cause,) = gradcheck(spoiled(op, reshaped, number), shapes=shapes).causes
    assert cause.code != "any.transposed"


def test_of_square_matrices_only_the_transposed_one_is_wrong():
    reshaped = spoiled(square, lambda a: a.dx.reshape(a.x.shape[::-1]))
    assert gradcheck(reshaped, shapes="N N").ok
    transposed = spoiled(square, lambda a: a.dx.T.copy())
    assert [c.code for c in gradcheck(transposed, shapes="N N").causes] == ["any.transposed"]


@pytest.mark.parametrize(
    ("op", "shapes", "number"),
    [(dot, COLUMN, 1), (single, {"x": (1, "N", "C")}, 0), (project, COLUMN, 1)],
)
def test_an_axis_of_size_1_that_is_lost_is_not_summed_too_often(op, shapes, number):
    for wrong in (np.sum, np.squeeze):
        lost = spoiled(op, lambda a, w=wrong: w(a.grads[number], axis=number), number)
        causes = gradcheck(lost, shapes=shapes).causes
        assert {c.code for c in causes} <= {"any.axis-lost", ""}


def test_an_axis_that_is_only_moved_is_not_lost():
    turned = spoiled(dot, lambda a: a.grads[1].T, 1)
    assert [c.code for c in gradcheck(turned, shapes=COLUMN).causes] == ["any.transposed"]


# Gradients that are one number: every number is some multiple of any other.


def power(x, p):
    """One exponent for all entries."""
    y = x**p
    return y, lambda dy: (dy * p * x ** (p - 1), (dy * y * np.log(x)).sum())


def leaky(x, a):
    """One slope for all negative entries."""
    return np.where(x > 0, x, a * x), lambda dy: (
        np.where(x > 0, dy, a * dy),
        (dy * np.where(x > 0, 0, x)).sum(),
    )


def heated(x, t):
    """A softmax with one temperature."""
    e = np.exp(x / t - (x / t).max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)

    def backward(dy):
        du = p * (dy - (dy * p).sum(axis=1, keepdims=True))
        return du / t, -(du * x).sum() / t**2

    return p, backward


def du(a: At, sign: int = -1, axis: int = 1) -> Any:
    """The gradient of x / t."""
    return a.y * (a.dy + sign * (a.dy * a.y).sum(axis=axis, keepdims=True))


SCALARS: list[tuple[Any, Callable[[At], Any], str]] = [
    (power, lambda a: (a.dy * a.y).sum(), ""),
    (power, lambda a: (a.dy * a.args[1] * a.x ** (a.args[1] - 1)).sum(), ""),
    (power, lambda a: (a.dy * a.y).sum() * np.log(np.abs(a.args[1])), ""),
    (power, lambda a: (a.dy * a.y * np.log1p(a.x)).sum(), ""),
    (power, lambda a: (a.dy * a.y * np.abs(np.log(a.x))).sum(), ""),
    (power, lambda a: a.dy * a.y * np.log(a.x), "it is not summed over N C"),
    (power, lambda a: (a.dy * a.y * np.log(a.x)).sum(axis=1), "it is not summed over N"),
    (power, lambda a: (a.dy * a.y * np.log10(a.x)).sum(), "it is 0.4343 times the right one"),
    (power, lambda a: (a.dy * a.y * np.log(a.y)).sum(), "a factor p too much"),
    (power, lambda a: (a.y * np.log(a.x)).sum(), "dy is ignored"),
    (leaky, lambda a: (a.dy * a.x).sum(), ""),
    (leaky, lambda a: (a.dy * a.x * (a.x > 0)).sum(), ""),
    (leaky, lambda a: (a.dy * (a.x <= 0)).sum(), ""),
    (leaky, lambda a: (a.dy * np.abs(a.x) * (a.x <= 0)).sum(), "the sign is wrong"),
    (leaky, lambda a: (a.dy * a.y * (a.x <= 0)).sum(), "a factor a too much"),
    (leaky, lambda a: (a.dy * np.where(a.x > 0, 0, a.x))[0].sum(), "only sample 0 counts"),
    (leaky, lambda a: (a.dy * a.x * (a.dy <= 0)).sum(), "it is not linear in dy"),
    (heated, lambda a: -(a.y * a.dy * a.x).sum() / a.args[1] ** 2, ""),
    (heated, lambda a: -(a.y * (1 - a.y) * a.dy * a.x).sum() / a.args[1] ** 2, ""),
    (heated, lambda a: -(du(a, axis=0) * a.x).sum() / a.args[1] ** 2, ""),
    (heated, lambda a: -(du(a, sign=1) * a.x).sum() / a.args[1] ** 2, ""),
    (heated, lambda a: -(du(a) * a.x).sum(), ""),
    (heated, lambda a: -(du(a) * a.x).sum() / a.args[1], "a factor t too much"),
    (heated, lambda a: -(du(a) * a.x).sum() / a.args[1] ** 3, "the factor t is missing"),
    (heated, lambda a: -(du(a) * a.x).sum(axis=1) / a.args[1] ** 2, "it is not summed over N"),
    (heated, lambda a: (du(a) * a.x).sum() / a.args[1] ** 2, "the sign is wrong"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "wrong", "words"), SCALARS)
def test_a_cause_of_one_number_is_true_or_unknown(op, wrong, words):
    scalar = list(op.__code__.co_varnames)[1]
    report = gradcheck(spoiled(op, wrong, 1), shapes={"x": ("N", "C"), scalar: ()})
    (cause,) = report.causes
    assert cause.subjects == (f"d{scalar}",)
    if cause.code.startswith(("any.", "state.")):  # others are those of a known operation
        assert cause.text == words
    elif not cause.code:
        assert words == ""


def mixture(a: At, seed: int) -> Any:
    """Some sum of products, which is nothing that has a name."""
    weights = np.random.default_rng(seed).uniform(0.5, 2, 4)
    parts = [np.cos(a.x), a.y * a.x, np.abs(a.x), a.y**2]
    return (a.dy * sum(w * part for w, part in zip(weights, parts, strict=True))).sum()


@pytest.mark.parametrize("op", [power, leaky, heated])
@pytest.mark.parametrize("seed", range(3))
def test_some_number_has_no_cause(op, seed):
    x = np.abs(np.random.default_rng(seed).standard_normal((3, 2))) - 0.5 * (op is leaky) + 0.1
    wrong = spoiled(op, lambda a: mixture(a, seed), 1)
    (cause,) = gradcheck(wrong, x, np.array(1.7)).causes
    assert cause.code == ""


def of_sorted(x, p):
    """It takes sorted numbers only, so no others can be drawn."""
    if (x != np.sort(x)).any():
        raise ValueError("not sorted")
    return power(x, p)


@pytest.mark.parametrize("seed", range(3))
def test_some_number_has_no_cause_at_one_probe(seed):
    x = np.sort(np.abs(np.random.default_rng(seed).standard_normal(7)) + 0.1)
    wrong = spoiled(of_sorted, lambda a: mixture(a, seed), 1)
    (cause,) = gradcheck(wrong, x, np.array(1.7)).causes
    assert cause.code == ""
