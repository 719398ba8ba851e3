"""Small operations of which others are made: products, sums, means, scores; and their mistakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_se.checker.mistakes.registry import known, mistake
from numpy_se.contract import Array
from numpy_se.ops import channel_correlate

Result = tuple[Array, Callable[[Array], Any]]


def turned(a: Array) -> Array:
    """Transpose the last two axes."""
    return np.swapaxes(a, -1, -2) if np.ndim(a) > 1 else a


def fit(a: Array, like: Array) -> Array:
    """Sum over the axes along which ``like`` was spread."""
    shape = np.shape(like)
    a = a.sum(axis=tuple(range(a.ndim - len(shape))))
    axes = tuple(k for k, n in enumerate(shape) if n == 1 and a.shape[k] > 1)
    return np.asarray(a.sum(axis=axes, keepdims=True))


def dense(x: Array, w: Array, b: Any = None) -> Result:
    """Compute x @ w + b along the last axis of x."""
    y = x @ w if b is None else x @ w + b

    def backward(dy: Array) -> tuple[Array, ...]:
        rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, w.shape[-1])
        grads = (dy @ w.T, rows.T @ drows)
        return grads if b is None else (*grads, fit(dy, b))

    return y, backward


def matmul(a: Array, b: Array) -> Result:
    y = a @ b
    return y, lambda dy: (dy @ turned(b), turned(a) @ dy)


def scores(q: Array, k: Array, *, root: float = 0.5) -> Result:
    """Compute q @ k.T, divided by a power of the length of the rows."""
    scale = q.shape[-1] ** -root
    y = scale * q @ turned(k)
    return y, lambda dy: (scale * dy @ k, scale * turned(dy) @ q)


def causal(s: Array) -> Result:
    """Keep what lies behind out of a softmax."""
    seen = np.tri(*s.shape[-2:]) > 0
    return np.where(seen, s, -np.inf), lambda dy: np.where(seen, dy, 0.0)


def multiply(a: Array, b: Array) -> Result:
    y = a * b
    return y, lambda dy: (fit(dy * b, a), fit(dy * a, b))


def divide(a: Array, b: Array) -> Result:
    y = a / b
    return y, lambda dy: (fit(dy / b, a), fit(-dy * y / b, b))


def plus(a: Array, b: Array) -> Result:
    y = a + b
    return y, lambda dy: (fit(1 * dy, a), fit(1 * dy, b))


def plus_all(*terms: Array) -> Result:
    y = np.asarray(sum(terms))
    return y, lambda dy: tuple(fit(1 * dy, a) for a in terms)


def minus(a: Array, b: Array) -> Result:
    y = a - b
    return y, lambda dy: (fit(1 * dy, a), fit(-dy, b))


def complement(z: Array) -> Result:
    return 1 - z, lambda dy: -dy


def mean(x: Array, *, axis: Any = -1, keepdims: bool = True) -> Result:
    y = np.asarray(x.mean(axis=axis, keepdims=True))
    share, shape = y.size / x.size, y.shape
    back = lambda dy: share * dy.reshape(shape) + 0 * x  # noqa: E731
    return (y if keepdims else np.asarray(x.mean(axis=axis))), back


def total(x: Array, *, axis: Any = -1, keepdims: bool = True) -> Result:
    y = np.asarray(x.sum(axis=axis, keepdims=True))
    shape = y.shape
    return (y if keepdims else y.reshape(np.shape(x.sum(axis=axis)))), (
        lambda dy: dy.reshape(shape) + 0 * x
    )


def concat(a: Array, b: Array) -> Result:
    return np.concatenate([a, b], axis=-1), lambda dy: tuple(np.split(dy, [a.shape[-1]], axis=-1))


def part(z: Array, *, number: int, of: int) -> Result:
    """One of ``of`` parts of the last axis."""
    size = z.shape[-1] // of
    if z.shape[-1] % of:
        raise ValueError("no equal parts")
    at = slice(number * size, (number + 1) * size)

    def backward(dy: Array) -> Array:
        dz = np.zeros_like(z)
        dz[..., at] = dy
        return dz

    return z[..., at], backward


def correlate(z: Array, w: Array) -> Result:
    """Correlate rows with a kernel, zeros around: ECA."""
    return channel_correlate(z, w)


def correlate_in_a_ring(z: Array, w: Array) -> Result:
    """The same, with the other end of the row in place of zeros."""
    return channel_correlate(z, w, circular=True)


def one_map(x: Array, w: Array, b: Any = None) -> Result:
    """A 1x1 convolution to one map (N, H, W), with w of any shape of size C."""
    if np.size(w) != x.shape[1] or (b is not None and np.size(b) != 1):
        raise ValueError("one weight for each channel")
    y = np.tensordot(x, w.ravel(), axes=(1, 0)) + (0.0 if b is None else np.ravel(b)[0])

    def backward(dy: Array) -> tuple[Array, ...]:
        dw = (x * dy[:, None]).sum(axis=(0, 2, 3)).reshape(w.shape)
        dx = dy[:, None] * w.reshape(1, -1, 1, 1)
        return (dx, dw) if b is None else (dx, dw, np.full(np.shape(b), dy.sum()))

    return y, backward


def scale_pixels(x: Array, s: Array) -> Result:
    """Scale every pixel (N, H, W) of all channels."""
    return x * s[:, None], lambda dy: (dy * s[:, None], (dy * x).sum(axis=1))


SHAPES: list[tuple[Any, str]] = [
    (dense, "... I, I O, O"), (matmul, "... I K, ... K O"), (scores, "... T D, ... S D"),
    (multiply, "..., ..."), (divide, "..., ..."), (plus, "..., ..."), (plus_all, "..., ..., ..."),
    (minus, "..., ..."), (mean, "..."), (total, "..."), (concat, "... A, ... B"),
    (correlate, "N C, K"), (correlate_in_a_ring, "N C, K"),
    (one_map, "N C H W, ..., ..."), (scale_pixels, "N C H W, N H W"), (causal, "..."),
    (complement, "..."), (part, "..."),
]  # fmt: skip
for op, shapes in SHAPES:
    op.axes = shapes
KEEP_NOTHING: list[Any] = [plus, plus_all, minus, complement, mean, total, concat, part, causal]
for op in KEEP_NOTHING:
    op.keeps_nothing = True
for op in (dense, matmul, multiply, divide, plus, minus, correlate, one_map, scale_pixels):
    known(op)
known(correlate_in_a_ring)
known(scores, root=(0.5, 0.0))
for op in (mean, total):
    known(op, axis=(-1, 0, 1, (2, 3), (1, 2), None), keepdims=(False, True))

# Rules of the arguments and dy, and the number of the gradient. What does not fit is left out.
RULES: dict[Any, list[tuple[str, int, str, Callable[[Any, Array], Any]]]] = {
    dense: [
        ("w-transposed", 0, "{w} and its transpose are mixed up in d{x}", lambda a, dy: dy @ a[1]),
        ("y-for-x", 1, "{y} in place of {x} in d{w}",
         lambda a, dy: _rows(dense(*a)[0]).T @ _rows(dy)),
        ("dy-for-x", 1, "d{y} in place of {x} in d{w}", lambda a, dy: _rows(dy).T @ _rows(dy)),
        ("dx-for-x", 1, "d{x} in place of {x} in d{w}",
         lambda a, dy: _rows(dy @ a[1].T).T @ _rows(dy)),
        ("dw-mean", 1, "d{w} is the mean over the first axis, not the sum",
         lambda a, dy: _rows(a[0]).T @ _rows(dy) / len(dy)),
        ("dw-first", 1, "only the first sample counts in d{w}",
         lambda a, dy: _rows(a[0][0]).T @ _rows(dy[0]) if dy.ndim > 2 else None),
        ("dw-transposed", 1, "d{w} is transposed",
         lambda a, dy: _rows(dy).T @ _rows(a[0])),
    ],
    matmul: [
        ("b-transposed", 0, "{b} is not transposed in d{a}", lambda a, dy: dy @ a[1]),
        ("a-transposed", 1, "{a} is not transposed in d{b}", lambda a, dy: a[0] @ dy),
        ("da-for-a", 1, "d{a} in place of {a} in d{b}",
         lambda a, dy: turned(dy @ turned(a[1])) @ dy),
        ("db-transposed", 1, "d{b} is transposed", lambda a, dy: turned(turned(a[0]) @ dy)),
    ],
    scores: [
        ("q-for-k", 0, "{q} in place of {k} in d{q}", lambda a, dy: _scale(a) * dy @ a[0]),
        ("k-for-q", 1, "{k} in place of {q} in d{k}",
         lambda a, dy: _scale(a) * turned(dy) @ a[1]),
        ("dy-not-transposed", 1, "d{y} is not transposed in d{k}",
         lambda a, dy: _scale(a) * dy @ a[0]),
        ("dy-transposed", 0, "d{y} is transposed in d{q}",
         lambda a, dy: _scale(a) * turned(dy) @ a[1]),
    ],
    multiply: [
        ("y-for-a", 1, "{y} in place of {a} in d{b}", lambda a, dy: fit(dy * a[0] * a[1], a[1])),
        ("own-a", 0, "{a} in place of {b} in d{a}", lambda a, dy: dy * a[0]),
        ("own-b", 1, "{b} in place of {a} in d{b}", lambda a, dy: dy * a[1]),
        ("a-missing", 1, "{a} is missing in d{b}", lambda a, dy: fit(dy + 0 * a[0], a[1])),
        ("b-missing", 0, "{b} is missing in d{a}", lambda a, dy: fit(dy + 0 * a[1], a[0])),
    ],
    divide: [
        ("b-missing", 0, "1/{b} is missing in d{a}", lambda a, dy: fit(1 * dy, a[0])),
        ("multiplied", 0, "multiplied by {b} in d{a}", lambda a, dy: fit(dy * a[1], a[0])),
        ("b-square", 1, "1/{b} in place of 1/{b}^2 in d{b}",
         lambda a, dy: fit(-dy * a[0] / a[1], a[1])),
        ("a-missing", 1, "{a} is missing in d{b}", lambda a, dy: fit(-dy / a[1] ** 2, a[1])),
        ("sign", 1, "the sign of d{b} is wrong", lambda a, dy: fit(dy * a[0] / a[1] ** 2, a[1])),
    ],
    minus: [("sign", 1, "d{b} has the wrong sign", lambda a, dy: fit(1 * dy, a[1]))],
    complement: [("sign", 0, "the sign of 1 - {z} is missing", lambda a, dy: 1 * dy)],
    correlate: [
        ("flip", 0, "the kernel is not flipped in d{z}", lambda a, dy: correlate(dy, a[1])[0]),
        ("dw-flipped", 1, "d{w} is flipped: the rule of a convolution",
         lambda a, dy: correlate(*a)[1](dy)[1][::-1]),
        ("dz-centre", 0, "only the centre of the kernel counts in d{z}",
         lambda a, dy: dy * a[1][len(a[1]) // 2] if len(a[1]) > 1 else None),
        ("cropped-at-0", 0, "what reached the border is not cut off on both sides: d{z} is shifted",
         lambda a, dy: _uncropped(dy, a[1])[:, : dy.shape[1]] if len(a[1]) > 1 else None),
        ("dz-circular", 0, "the border is circular in d{z}, where zeros lie around",
         lambda a, dy: np.asarray(sum(
             w * np.roll(dy, k - len(a[1]) // 2, axis=1) for k, w in enumerate(a[1])))),
        ("dw-circular", 1, "the border is circular in d{w}, where zeros lie around",
         lambda a, dy: np.array([(dy * np.roll(a[0], len(a[1]) // 2 - k, axis=1)).sum()
                                 for k in range(len(a[1]))])),
        ("dw-first", 1, "only sample 0 counts in d{w}",
         lambda a, dy: correlate(a[0][:1], a[1])[1](dy[:1])[1]),
    ],
    correlate_in_a_ring: [
        ("flip", 0, "the kernel is not flipped in d{z}",
         lambda a, dy: correlate_in_a_ring(dy, a[1])[0]),
        ("dw-flipped", 1, "d{w} is flipped: the rule of a convolution",
         lambda a, dy: correlate_in_a_ring(*a)[1](dy)[1][::-1]),
        ("dz-centre", 0, "only the centre of the kernel counts in d{z}",
         lambda a, dy: dy * a[1][len(a[1]) // 2] if len(a[1]) > 1 else None),
        ("dz-zeros", 0, "zeros lie around in d{z}, where the border is circular",
         lambda a, dy: correlate(*a)[1](dy)[0]),
        ("overwritten", 0, "written with = where += is needed: in d{z}[:, i] += with an index that "
         "occurs several times, one of them counts", lambda a, dy: _last_writes(dy, a[1])),
        ("dw-zeros", 1, "zeros lie around in d{w}, where the border is circular",
         lambda a, dy: correlate(*a)[1](dy)[1]),
    ],
    one_map: [
        ("w-missing", 0, "{w} is missing in d{x}", lambda a, dy: dy[:, None] + 0 * a[0]),
        ("x-missing", 1, "{x} is missing in d{w}", lambda a, dy: dy.sum() + 0 * a[1]),
    ],
    scale_pixels: [
        ("s-missing", 0, "{s} is missing in d{x}", lambda a, dy: 1 * dy),
        ("x-missing", 1, "{x} is missing in d{s}", lambda a, dy: dy.sum(axis=1)),
        ("mean", 1, "d{s} is the mean over the channels, not the sum",
         lambda a, dy: (dy * a[0]).mean(axis=1)),
        ("over-pixels", 0, "{s} is averaged over the pixels",
         lambda a, dy: dy * a[1].mean(axis=(1, 2))[:, None, None, None]),
        ("y-for-x", 1, "{y} in place of {x} in d{s}",
         lambda a, dy: (dy * a[0] * a[1][:, None]).sum(axis=1)),
        ("sigmoid", 1, "a factor {s} (1 - {s}) too much: the derivative of the sigmoid",
         lambda a, dy: (dy * a[0]).sum(axis=1) * a[1] * (1 - a[1])),
    ],
}  # fmt: skip
for op, rules in RULES.items():
    for code, place, says, rule in rules:

        @mistake(f"{op.__name__.replace('_', '-')}.{code}", of=op, says=says)
        def wrong(
            args: Any, dy: Array, place: int = place, rule: Any = rule, **options: float
        ) -> dict[int, Array] | None:
            if options.get("root") == 0.0:
                dy = dy * np.sqrt(args[0].shape[-1])
            try:
                found = rule(args, dy)
            except ValueError:
                return None
            fits = found is not None and np.shape(found) == np.shape(args[place])
            return {place: found} if fits else None


for places, where in (((0, 1), ""), ((0,), " in d{q}"), ((1,), " in d{k}")):
    for code, says, power in [
        ("scale-missing", "the scale 1/sqrt(d) is missing", 0.5),
        ("scale-twice", "the scale is 1/d in place of 1/sqrt(d)", -0.5),
        ("scale-inverted", "multiplied by sqrt(d) where it should be divided", 1.0),
    ]:

        @mistake(f"scores.{code}", of=scores, says=says + where)
        def wrong_scale(
            args: Any, dy: Array, root: float = 0.5, places: Any = places, power: float = power
        ) -> dict[int, Array] | None:
            grads = scores(*args, root=root)[1](dy * args[0].shape[-1] ** power)
            return {k: grads[k] for k in places} if root else None


def _uncropped(dy: Array, w: Array) -> Array:
    """The gradient of the row with zeros around it."""
    size = dy.shape[1]
    dz = np.zeros((len(dy), size + len(w) - 1))
    for k, weight in enumerate(w):
        dz[:, k : k + size] += weight * dy
    return dz


def _last_writes(dy: Array, w: Array) -> Array:
    """Send a gradient back through an index, where the last one counts."""
    dz = np.zeros_like(dy)
    size = dy.shape[1]
    dz[:, (np.arange(size)[:, None] + np.arange(len(w)) - len(w) // 2) % size] = dy[:, :, None] * w
    return dz


def _rows(a: Array) -> Array:
    return a.reshape(-1, a.shape[-1])


def _scale(args: Any) -> float:
    return float(args[0].shape[-1] ** -0.5)
