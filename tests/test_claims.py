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

import numpy_se as se
from numpy_se.checker import GradientReport, gradcheck

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
    return x + 0.3 * x**3, lambda dy: dy * (1 + 0.9 * x**2)


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
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y, backward = cube(wide)
    return y + 0.5 * wide, lambda dy: (backward(dy) + 0.5 * dy)[..., 1:-1, 1:-1]


def map_sum(x):
    """A sum over each map of the cube."""
    y, backward = cube(x)
    return y.sum(axis=(2, 3)), lambda dy: backward(dy[:, :, None, None] * np.ones_like(x))


def three(x, w, v):
    """Three arguments of one shape."""
    return x * w + np.sin(v), lambda dy: (dy * w, dy * x, dy * np.cos(v))


def uncropped(a: At) -> Any:
    wide = np.pad(a.x, ((0, 0), (0, 0), (1, 1), (1, 1)))
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
    y, backward = cube(x.astype(np.float32))
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
LARGE = {"x": (40, 50)}

Row = tuple[Any, Any, str]  # the wrong operation, its shapes, the words
WRONG: dict[str, list[Row]] = {
    # a wrong shape
    "any.axis-kept": [
        (spoiled(offset, lambda a: a.grads[1][None], 1), ROW, "axes of size 1 are kept"),
        (spoiled(cube, lambda a: a.dx[..., None]), MATRIX, "axes of size 1 are kept"),
    ],
    "any.axis-lost": [
        (
            spoiled(project, lambda a: a.grads[1][:, 0], 1),
            {"x": ("N", "C"), "w": ("C", 1)},
            "an axis of size 1 is lost",
        ),
        (spoiled(cube, lambda a: a.dx[0]), {"x": (1, "N", "C")}, "an axis of size 1 is lost"),
    ],
    "any.transposed": [
        (spoiled(project, lambda a: a.grads[1].T, 1), PRODUCT, "it is transposed"),
        (spoiled(cube, lambda a: a.dx.T), "N N", "it is transposed"),
        (
            spoiled(cube, lambda a: a.dx.transpose(0, 1, 3, 2)),
            MAPS,
            "its axes H and W are swapped",
        ),
        (spoiled(cube, lambda a: a.dx.transpose(1, 0, 2)), "N C T", "its axes N and C are swapped"),
        (spoiled(cube, lambda a: a.dx.transpose(0, 2, 1)), "N C C", "its axes 1 and 2 are swapped"),
    ],
    "any.not-cropped": [
        (spoiled(padded, uncropped), MAPS, "the padding is not cropped"),
        (
            spoiled(padded, lambda a: uncropped(a)[..., 1:-1, 1:]),
            MAPS,
            "the padding is not cropped",
        ),
    ],
    "any.not-summed": [
        (spoiled(offset, lambda a: a.dy, 1), ROW, "it is not summed over N"),
        (spoiled(offset, lambda a: a.dy.sum(axis=0), 1), "N C H W, C", "it is not summed over H W"),
    ],
    "any.not-summed-and-large": [
        (
            spoiled(offset, lambda a: a.dy * len(a.dy), 1),
            ROW,
            "it is not summed over N, and too large by the size of it",
        ),
        (
            spoiled(offset, lambda a: a.dy.sum(axis=(2, 3)) * len(a.dy), 1),
            "N C H W, C",
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
            spoiled(offset, lambda a: a.dy.sum(axis=(0, 1, 2)), 1),
            "N C H W, C",
            "it is the sum of dy over N C H: the wrong axis",
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
        (spoiled(cube, lambda a: 0 * a.x), LARGE, "it is zero"),
    ],
    "any.sign": [
        (spoiled(project, lambda a: -a.grads[1], 1), PRODUCT, "the sign is wrong"),
        (spoiled(cube, lambda a: -a.dx), LARGE, "the sign is wrong"),
    ],
    "any.factor-too-small": [
        (
            spoiled(project, lambda a: a.grads[1] / len(a.x), 1),
            PRODUCT,
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
            spoiled(map_sum, lambda a: a.dx * a.x.shape[2] * a.x.shape[3]),
            MAPS,
            "it is H*W times too large (a sum in place of a mean?)",
        ),
    ],
    "any.factor": [
        (spoiled(cube, lambda a: 0.75 * a.dx), MATRIX, "it is 0.75 times the right one"),
        (spoiled(cube, lambda a: -3 * a.dx), LARGE, "it is -3 times the right one"),
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
    ],
    # order
    "any.flipped": [
        (spoiled(cube, lambda a: a.dx[::-1].copy()), MATRIX, "it is flipped along N"),
        (
            spoiled(cube, lambda a: a.dx[..., ::-1, ::-1].copy()),
            MAPS,
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
            spoiled(cube, lambda a: like(a.x, a.dx.sum(axis=3, keepdims=True))),
            MAPS,
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
            spoiled(map_sum, lambda a: a.x.shape[3] * only(a.dx, ..., -1)),
            MAPS,
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
            MAPS,
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
            "it is masked by the sign of y: a mask too much",
        ),
        (
            spoiled(weighted, lambda a: a.grads[1] * (a.y > 0), 1),
            PAIR,
            "it is masked by the sign of y: a mask too much",
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
            "dy is missing: the path of a shortcut",
        ),
        (
            spoiled(offset, lambda a: a.dx - a.dy),
            ROW,
            "dy is missing: the path of a shortcut",
        ),
    ],
    "any.shortcut-added": [
        (
            spoiled(cube, lambda a: a.dx + a.dy),
            MATRIX,
            "dy is added: as for the shortcut of a residual block",
        ),
        (
            spoiled(weighted, lambda a: a.grads[1] + a.dy, 1),
            PAIR,
            "dy is added: as for the shortcut of a residual block",
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
            "only its last digits are wrong, as if it was computed in float32",
        ),
        (
            spoiled(
                project,
                lambda a: (a.x.T.astype("f4") @ a.dy.astype("f4")).astype("f8")
                + a.grads[1]
                - a.x.T @ a.dy,
                1,
            ),
            PRODUCT,
            "only its last digits are wrong, as if it was computed in float32",
        ),
    ],
    "any.float32-forward": [
        (in_float32, MATRIX, "the forward pass computes with x in float32"),
        (one_in_float32, ROW, "the forward pass computes with b in float32"),
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


@pytest.mark.parametrize(("code", "op", "shapes", "words"), ROWS)
def test_a_cause_is_told(code, op, shapes, words):
    causes = gradcheck(op, shapes=shapes).causes
    assert [c.code for c in causes] == [code]
    if code == "any.equal-sizes-only":
        assert causes[0].text.startswith(words)
    else:
        assert causes[0].text == words
