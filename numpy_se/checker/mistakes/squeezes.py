"""Mistakes in the squeezes of SE's relatives, and in other stages that their chains need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from numpy_se.checker.mistakes.pieces import Result
from numpy_se.checker.mistakes.registry import Suspect, backward_suspects, known, mistake
from numpy_se.contract import Array
from numpy_se.ops import (
    avg_pool2d,
    channel_mean_max,
    channel_shift,
    conv2d,
    depthwise_conv2d,
    global_avg_pool,
    global_l2_pool,
    resize_nearest,
)

EPS = (1e-5, 0.0, 1e-8, 1e-6, 1e-3, 1e-12, 1e-4)


# Stages that are no operations of the package.


def flat_pixels(k: Array) -> Result:
    return k.reshape(len(k), -1), lambda da: da.reshape(k.shape)


def pool_by(x: Array, a: Array) -> Result:
    """Sum the pixels by weights (N, H*W)."""
    rows = x.reshape(*x.shape[:2], -1)

    def backward(dz: Array) -> tuple[Array, Array]:
        dx = np.einsum("nc,np->ncp", dz, a)
        return dx.reshape(x.shape), np.einsum("nc,ncp->np", dz, rows)

    return np.einsum("ncp,np->nc", rows, a), backward


def deviation(x: Array, *, eps: float, ddof: int = 0) -> Result:
    """The standard deviation of each channel."""
    centred = _centred(x)
    count = _pixels(x) - ddof
    d = np.sqrt((centred**2).sum(axis=(2, 3)) / count + eps)
    return d, lambda dd: centred * _to_pixels(dd / (count * d))


def max_mean(x: Array) -> Result:
    """``channel_mean_max``, with the maximum first."""
    m, back = channel_mean_max(x)
    return m[:, ::-1], lambda dm: back(dm[:, ::-1])


def style(m: Array, d: Array, w: Array, b: Any = None) -> Result:
    """Mix mean and deviation of each channel, with w (C, 2), to (N, C, 1, 1)."""
    if w.shape[1:] != (2,):
        raise ValueError("two weights for each channel")
    u = w[:, 0] * m + w[:, 1] * d + (0.0 if b is None else b)

    def backward(du: Array) -> tuple[Array, ...]:
        du = du[:, :, 0, 0]
        dw = np.stack([(du * m).sum(axis=0), (du * d).sum(axis=0)], axis=1)
        grads = du * w[:, 0], du * w[:, 1], dw
        return grads if b is None else (*grads, du.sum(axis=0))

    return u[:, :, None, None], backward


def around(x: Array, *, extent: int) -> Result:
    """The mean of what lies around each value: gather, and spread again."""
    z, back_pool = avg_pool2d(x, size=2 * extent - 1, stride=extent, padding=extent - 1)
    y, back_resize = resize_nearest(z, height=x.shape[2], width=x.shape[3])
    return y, lambda dy: back_pool(back_resize(dy))


def window_mean(x: Array, *, extent: int) -> Result:
    """The mean of each window, which do not overlap; those at the border are smaller."""
    counts = _window_sums(np.ones(x.shape), extent)

    def backward(dz: Array) -> Array:
        return repeat(dz / counts, extent=extent)[0][:, :, : x.shape[2], : x.shape[3]]

    return _window_sums(x, extent) / counts, backward


def repeat(u: Array, *, extent: int) -> Result:
    """Copy each value to its window."""
    copies = u.repeat(extent, axis=2).repeat(extent, axis=3)
    return copies, lambda ds: _window_sums(ds, extent)


def scale_cropped(x: Array, s: Array) -> Result:
    """Scale by what lies within the map."""
    inside = (..., slice(x.shape[2]), slice(x.shape[3]))

    def backward(dy: Array) -> tuple[Array, Array]:
        ds = np.zeros(s.shape)
        ds[inside] = dy * x
        return dy * s[inside], ds

    return x * s[inside], backward


def gather(x: Array, w: Array) -> Result:
    """One depthwise convolution with stride 2, spread again; w is (C, 3, 3), or one of these."""
    z, back_conv = depthwise_conv2d(x, w.reshape(w.shape[-3:]), stride=2, padding=1)
    y, back_resize = resize_nearest(z, height=x.shape[2], width=x.shape[3])

    def backward(dy: Array) -> tuple[Array, Array]:
        dx, dw = back_conv(back_resize(dy))
        return dx, dw.reshape(w.shape)

    return y, backward


def one_pixel(k: Array) -> Result:
    """See (N, C) as maps of one pixel."""
    return k[:, :, None, None], lambda dr: dr[:, :, 0, 0]


def one_more(t: Array) -> Result:
    return 1 + t, lambda ds: 1 * ds


def root_of_c(e: Array) -> Result:
    """Multiply by the root of the number of channels."""
    root = np.sqrt(e.shape[1])
    return root * e, lambda dn: root * dn


def larger(a: Array, b: Array) -> Result:
    """The larger one of two maps; a where they are equal."""
    return np.maximum(a, b), lambda dy: (dy * (a >= b), dy * (a < b))


class OneFilter:
    """A convolution with one filter, whose kernel has any of the usual shapes."""

    axes = "N 2 H W, ..., ..."

    def __init__(self, padding: int) -> None:
        self.op, self.__name__ = partial(conv2d, padding=padding), "one_filter"

    def __call__(self, m: Array, w: Array, b: Any = None) -> Result:
        y, back = self.op(m, _as_filter(w), *(() if b is None else (np.reshape(b, 1),)))

        def backward(dy: Array) -> tuple[Array, ...]:
            grads: tuple[Any, ...] = back(dy)
            db = () if b is None else (grads[2].reshape(np.shape(b)),)
            return grads[0], _like(grads[1], w), *db

        return y, backward

    def suspects(
        self, args: tuple[Any, ...], names: Mapping[str, str], sizes: Mapping[str, int]
    ) -> Iterator[Suspect]:
        """Those of the convolution."""
        m, w, *b = args  # b is left out, or there
        ours = (m, _as_filter(w), *(np.reshape(a, 1) for a in b))

        def theirs(predict: Any, dy: Array) -> dict[int, Array] | None:
            wrong = predict(dy)
            fits = {1: lambda a: _like(a, w), 2: lambda a: a.reshape(np.shape(b[0]))}
            return wrong and {k: fits.get(k, np.asarray)(a) for k, a in wrong.items()}

        for code, text, predict in backward_suspects(self.op, ours, names, sizes):
            yield Suspect(code, text, partial(theirs, predict))


def _as_filter(w: Array) -> Array:
    """See (2, K, K), (K, K, 2) or (1, 2, K, K) as (1, 2, K, K)."""
    if w.ndim == 3:
        return np.asarray((w if w.shape[0] == 2 else w.transpose(2, 0, 1))[None])
    return w


def _like(dw: Array, w: Array) -> Array:
    if w.ndim == 3:
        return np.asarray(dw[0] if w.shape[0] == 2 else dw[0].transpose(1, 2, 0))
    return dw


SHAPES: list[tuple[Any, str]] = [
    (flat_pixels, "N H W"), (pool_by, "N C H W, N P"), (style, "N C, N C, C 2, C"),
    (around, "N C H W"), (window_mean, "N C H W"), (gather, "N C H W, ..."), (one_more, "..."),
    (one_pixel, "N C"), (root_of_c, "N C"), (larger, "..., ..."), (max_mean, "N C H W"),
    (repeat, "N C H W"), (scale_cropped, "N C H W, N C H W"), (deviation, "N C H W"),
]  # fmt: skip
for op, shapes in SHAPES:
    op.axes = shapes
KEEP_NOTHING: list[Any] = [
    global_avg_pool, flat_pixels, around, window_mean, repeat, one_more, one_pixel, root_of_c,
    channel_shift,
]  # fmt: skip
for op in KEEP_NOTHING:
    op.keeps_nothing = True

known(channel_mean_max)
known(deviation, eps=EPS, ddof=(0, 1))
known(global_l2_pool, eps=EPS)
known(pool_by)


# Rules of the arguments, dy and the output, and the number of the gradient.
def _to_pixels(d: Array) -> Array:
    return d[:, :, None, None]


def _winner(x: Array) -> Array:
    wins = x == x.max(axis=1, keepdims=True)
    return np.asarray(wins & (np.cumsum(wins, axis=1) == 1), float)


def _pixels(x: Array) -> int:
    return int(x[0, 0].size)


def _centred(x: Array) -> Array:
    centred: Array = x - x.mean(axis=(2, 3), keepdims=True)
    return centred


def _turned(rule: Callable[..., Any], a: Any, d: Array, y: Array) -> Any:
    """A rule for the mean and the maximum, where the maximum comes first."""
    return rule(a, d[:, ::-1], y)


SUMMARY: list[tuple[str, Any, str, Callable[..., Any]]] = [
    ("mean-path", 0, "the path of the mean is missing",
     lambda a, d, y: d[:, 1:] * _winner(a[0])),
    ("max-path", 0, "the path of the maximum is missing",
     lambda a, d, y: d[:, :1] / a[0].shape[1] + 0 * a[0]),
    ("mean-undivided", 0, "the share 1/C of the mean is missing",
     lambda a, d, y: d[:, :1] + d[:, 1:] * _winner(a[0])),
    ("max-shared", 0, "the gradient of the maximum goes to all channels",
     lambda a, d, y: d[:, :1] / a[0].shape[1] + d[:, 1:] + 0 * a[0]),
    ("max-divided", 0, "the gradient of the maximum is divided by C",
     lambda a, d, y: (d[:, :1] + d[:, 1:] * _winner(a[0])) / a[0].shape[1]),
    ("max-divided-shared", 0, "both are averaged over the channels",
     lambda a, d, y: (d[:, :1] + d[:, 1:]) / a[0].shape[1] + 0 * a[0]),
    ("exchanged", 0, "mean and maximum are exchanged in d{y}",
     lambda a, d, y: d[:, 1:] / a[0].shape[1] + d[:, :1] * _winner(a[0])),
]  # fmt: skip
RULES: dict[Any, list[tuple[str, Any, str, Callable[..., Any]]]] = {
    channel_mean_max: SUMMARY,
    max_mean: [(code, place, says, partial(_turned, rule)) for code, place, says, rule in SUMMARY],
    deviation: [
        ("mean-missing", 0, "{x} in place of {x} - mean",
         lambda a, d, y: a[0] * _to_pixels(d / (_pixels(a[0]) * y))),
        ("half", 0, "the 2 of the square is missing",
         lambda a, d, y: _centred(a[0]) * _to_pixels(d / (2 * _pixels(a[0]) * y))),
        ("root-missing", 0, "1/{y} is missing: the root",
         lambda a, d, y: _centred(a[0]) * _to_pixels(d / _pixels(a[0]))),
        ("variance", 0, "the rule of the variance: 2 in place of 1/{y}",
         lambda a, d, y: _centred(a[0]) * _to_pixels(2 * d / _pixels(a[0]))),
        ("root-twice", 0, "1/{y} is there twice",
         lambda a, d, y: _centred(a[0]) * _to_pixels(d / (_pixels(a[0]) * y**2))),
        ("undivided", 0, "1/(H*W) is missing", lambda a, d, y: _centred(a[0]) * _to_pixels(d / y)),
        ("sign-only", 0, "only the sign of {x} - mean counts",
         lambda a, d, y: np.sign(_centred(a[0])) * _to_pixels(d / _pixels(a[0]))),
    ],
    global_l2_pool: [
        ("half", 0, "the 2 of the square is missing",
         lambda a, d, y: a[0] * _to_pixels(d / (2 * y))),
        ("root-missing", 0, "1/{y} is missing: the root", lambda a, d, y: a[0] * _to_pixels(d)),
        ("square", 0, "the rule of the sum of squares: 2 in place of 1/{y}",
         lambda a, d, y: 2 * a[0] * _to_pixels(d)),
        ("root-twice", 0, "1/{y} is there twice", lambda a, d, y: a[0] * _to_pixels(d / y**2)),
        ("averaged", 0, "1/(H*W) is there: the rule of a mean",
         lambda a, d, y: a[0] * _to_pixels(d / y) / _pixels(a[0])),
        ("sign-only", 0, "only the sign of {x} counts",
         lambda a, d, y: np.sign(a[0]) * _to_pixels(d)),
    ],
    pool_by: [
        ("mean", 0, "the rule of the mean: 1/(H*W) in place of {a}",
         lambda a, d, y: _to_pixels(d) / a[1].shape[1] + 0 * a[0]),
        ("a-missing", 0, "{a} is missing in d{x}", lambda a, d, y: _to_pixels(d) + 0 * a[0]),
        ("x-missing", 1, "{x} is missing in d{a}",
         lambda a, d, y: d.sum(axis=1, keepdims=True) + 0 * a[1]),
        ("averaged", 1, "d{a} is the mean over the channels, not the sum",
         lambda a, d, y: pool_by(*a)[1](d)[1] / a[0].shape[1]),
        ("z-for-x", 1, "{y} in place of {x} in d{a}",
         lambda a, d, y: (d * y).sum(axis=1, keepdims=True) + 0 * a[1]),
    ],
    style: [
        ("exchanged", 2, "mean and deviation are exchanged in d{w}",
         lambda a, d, y: style(*a)[1](d)[2][:, ::-1]),
        ("w-exchanged", 0, "the weight of the deviation in d{m}",
         lambda a, d, y: d[:, :, 0, 0] * a[2][:, 1]),
        ("w-exchanged", 1, "the weight of the mean in d{d}",
         lambda a, d, y: d[:, :, 0, 0] * a[2][:, 0]),
        ("averaged", 2, "d{w} is the mean over the batch, not the sum",
         lambda a, d, y: style(*a)[1](d)[2] / len(a[0])),
        ("first", 2, "only sample 0 counts in d{w}",
         lambda a, d, y: style(a[0][:1], a[1][:1], a[2])[1](d[:1])[2]),
    ],
    around: [
        ("cells", 0, "each pixel has a share in the gate of its own cell alone: windows overlap",
         lambda a, d, y, extent: _own_cells(a[0], d, extent)),
        ("one-copy", 0, "only one copy of each gate counts, not the sum over all of them",
         lambda a, d, y, extent: avg_pool2d(
             a[0], size=2 * extent - 1, stride=extent, padding=extent - 1
         )[1](d[:, :, ::extent, ::extent].copy())),
        ("overwritten", 0, "written with = where += is needed: windows overlap",
         lambda a, d, y, extent: _overwritten(a[0], d, extent)),
        ("border", 0, "windows at the border are divided by their whole size, not by their pixels",
         lambda a, d, y, extent: _whole_windows(a[0], d, extent)),
        ("undivided", 0, "the share of a pixel in its windows is missing",
         lambda a, d, y, extent: _whole_windows(a[0], d, extent) * (2 * extent - 1) ** 2),
        ("not-spread", 0, "the gradient of a gate reaches its own pixel alone, divided by the "
         "window: it is not gathered over the copies",
         lambda a, d, y, extent: d / (2 * extent - 1) ** 2),
        ("as-it-is", 0, "the gradient is handed on as it is", lambda a, d, y, extent: 1 * d),
    ],
    window_mean: [
        ("border", 0, "windows at the border are divided by their whole size, not by their pixels",
         lambda a, d, y, extent: _copied(d / extent**2, a[0], extent)),
        ("undivided", 0, "the share of a pixel in its window is missing",
         lambda a, d, y, extent: _copied(d, a[0], extent)),
    ],
    repeat: [
        ("mean", 0, "the mean of the copies counts, not their sum",
         lambda a, d, y, extent: _window_sums(d, extent)
         / np.maximum(_window_sums(np.asarray(d != 0, float), extent), 1)),
        ("one-copy", 0, "only one copy of each gate counts, not the sum over all of them",
         lambda a, d, y, extent: 1 * d[:, :, ::extent, ::extent]),
        ("tiled", 0, "the copies are summed as if the map had been tiled, not repeated",
         lambda a, d, y, extent: _summed_tiles(d, a[0].shape)),
    ],
    gather: [
        ("flipped", 0, "the kernels are not turned in d{x}",
         lambda a, d, y: gather(a[0], a[1][..., ::-1, ::-1])[1](d)[0]),
        ("dw-flipped", 1, "d{w} is turned: the rule of a convolution",
         lambda a, d, y: gather(*a)[1](d)[1][..., ::-1, ::-1]),
        ("averaged", 1, "d{w} is the mean over the batch, not the sum",
         lambda a, d, y: gather(*a)[1](d)[1] / len(a[0])),
        ("dw-shifted", 1, "d{w} reads the padded map one pixel off",
         lambda a, d, y: _shifted(a[0], a[1], d)),
    ],
    larger: [
        ("both", (0, 1), "the smaller one has a gradient, too",
         lambda a, d, y: (1 * d, 1 * d)),
        ("shared", (0, 1), "both have half of the gradient", lambda a, d, y: (d / 2, d / 2)),
        ("mask-of-a", 1, "the mask of d{a} in d{b}", lambda a, d, y: d * (a[0] >= a[1])),
        ("mask-of-b", 0, "the mask of d{b} in d{a}", lambda a, d, y: d * (a[0] < a[1])),
        ("exchanged", (0, 1), "the masks are exchanged",
         lambda a, d, y: (d * (a[0] < a[1]), d * (a[0] >= a[1]))),
    ],
}  # fmt: skip


def _cells(d: Array, extent: int) -> tuple[Array, Array]:
    """Sum d over the copies of each gathered value; give it with the number of its pixels."""
    of_one = np.zeros((*d.shape[:2], -(-d.shape[2] // extent), -(-d.shape[3] // extent)))
    _, back = resize_nearest(of_one, height=d.shape[2], width=d.shape[3])
    return back(d), back(np.ones_like(d))


def _own_cells(x: Array, d: Array, extent: int) -> Array:
    sums, counts = _cells(d, extent)
    spread_again: Array = resize_nearest(sums / counts, height=x.shape[2], width=x.shape[3])[0]
    return spread_again


def _window_sums(a: Array, extent: int) -> Array:
    """Sum over windows that do not overlap."""
    rows, columns = (-(-side // extent) for side in a.shape[2:])
    more = ((0, rows * extent - a.shape[2]), (0, columns * extent - a.shape[3]))
    padded = np.pad(a, ((0, 0), (0, 0), *more))
    sums: Array = padded.reshape(*a.shape[:2], rows, extent, columns, extent).sum(axis=(3, 5))
    return sums


def _copied(d: Array, x: Array, extent: int) -> Array:
    return repeat(d, extent=extent)[0][:, :, : x.shape[2], : x.shape[3]]


def _summed_tiles(d: Array, shape: tuple[int, ...]) -> Array:
    """Sum the copies of a map of this ``shape`` that stand side by side."""
    sums = np.zeros(shape)
    for i, j in np.ndindex(*d.shape[2:]):
        sums[:, :, i % shape[2], j % shape[3]] += d[:, :, i, j]
    return sums


def _whole_windows(x: Array, d: Array, extent: int) -> Array:
    """Divide by all places of a window, also by those beside the map."""
    size = {"size": 2 * extent - 1, "stride": extent, "padding": extent - 1}
    z, back_pool = avg_pool2d(x, **size)
    inside = avg_pool2d(np.pad(np.ones_like(x), _sides(extent)), size=2 * extent - 1, stride=extent)
    sums, _ = _cells(d, extent)
    return back_pool(sums * inside[0][:, :, : z.shape[2], : z.shape[3]])


def _sides(extent: int) -> Any:
    return (0, 0), (0, 0), (extent - 1, extent - 1), (extent - 1, extent - 1)


def _overwritten(x: Array, d: Array, extent: int) -> Array:
    """Let each window write over those before it."""
    sums, _ = _cells(d, extent)
    dx = np.zeros_like(x)
    for p, q in np.ndindex(sums.shape[2:]):
        rows, columns = (
            slice(max(0, k * extent - extent + 1), k * extent + extent) for k in (p, q)
        )
        there = dx[:, :, rows, columns]
        there[...] = sums[:, :, p : p + 1, q : q + 1] / there[0, 0].size
    return dx


def _shifted(x: Array, w: Array, d: Array) -> Array:
    """Take dw from a map that lies one pixel off."""
    oh, ow = ((side + 1) // 2 for side in x.shape[2:])
    dz = resize_nearest(np.zeros((*x.shape[:2], oh, ow)), height=x.shape[2], width=x.shape[3])[1](d)
    canvas = np.pad(x, ((0, 0), (0, 0), (0, 3), (0, 3)))  # without the first row and column
    dw = np.empty((x.shape[1], 3, 3))
    for i, j in np.ndindex(3, 3):
        dw[:, i, j] = (dz * canvas[:, :, i : i + 2 * oh : 2, j : j + 2 * ow : 2]).sum(
            axis=(0, 2, 3)
        )
    return dw.reshape(w.shape)


for op, rules in RULES.items():
    for code, place, says, rule in rules:

        @mistake(f"{op.__name__.replace('_', '-')}.{code}", of=op, says=says)
        def wrong(
            args: Any, dy: Array, op: Any = op, place: Any = place, rule: Any = rule, **options: Any
        ) -> dict[int, Array]:
            more = options if op in (around, window_mean, repeat) else {}
            found = rule(args, dy, op(*args, **options)[0], **more)
            if isinstance(place, int):
                return {place: np.asarray(found)}
            return dict(zip(place, found, strict=True))


@mistake("deviation.biased", of=deviation, says="divided by H*W, where H*W - 1 stands below")
def biased(args: Any, dy: Array, eps: float, ddof: int = 0) -> dict[int, Array] | None:
    x = args[0]
    right = deviation(x, eps=eps, ddof=ddof)[1](dy)
    return {0: right * (_pixels(x) - ddof) / _pixels(x)} if ddof else None
