"""Mistakes in the linear layer and in the channel scale: sums of products."""

from __future__ import annotations

from typing import Any

from numpy_se.checker.mistakes.registry import Layout, known, mistake, wrong_forward
from numpy_se.contract import Array
from numpy_se.ops import channel_scale, linear, sigmoid

Args = tuple[Any, ...]
# Learning rates, to recognise a weight that was updated before its old value had done its work.
RATES = (1.0, 0.5, 0.1, 0.05, 0.01, 0.005, 0.001)
MAPS = tuple(map(Layout, ("NCHW", "NHWC", "NCL", "NLC")))

known(linear, Layout(), Layout(transposed=(1,)))
known(channel_scale, *MAPS)

for rate in RATES:

    @mistake(
        "linear.w-updated",
        of=linear,
        says=f"{{w}} was updated before d{{x}} was computed from it (learning rate {rate:g})",
    )
    def w_updated(args: Args, dy: Array, rate: float = rate) -> dict[int, Array]:
        return {0: dy @ (args[1] - rate * dy.T @ args[0])}


for code, turn in [
    ("linear.w-reshaped", lambda w: w.reshape(w.shape[::-1]).T),
    ("linear.w-reshaped-back", lambda w: w.T.copy().reshape(w.shape)),
]:

    @mistake(code, of=linear, says="{w} is reshaped where it should be transposed")
    def w_reshaped(args: Args, dy: Array, turn: Any = turn) -> dict[int, Array] | None:
        return None if _is_square(args[1]) else {0: dy @ turn(args[1])}


@mistake("linear.w-transposed", of=linear, says="{w} and its transpose are mixed up in d{x}")
def w_transposed(args: Args, dy: Array) -> dict[int, Array] | None:
    return {0: dy @ args[1].T} if _is_square(args[1]) else None


@mistake("linear.y-for-x", of=linear, says="{y} in place of {x}")
def y_for_x(args: Args, dy: Array) -> dict[int, Array] | None:
    return {1: dy.T @ linear(*args)[0]} if _is_square(args[1]) else None


@mistake("linear.dw-for-w", of=linear, says="d{w} in place of {w}")
def dw_for_w(args: Args, dy: Array) -> dict[int, Array]:
    return {0: dy @ (dy.T @ args[0])}


@mistake("linear.dx-for-x", of=linear, says="d{x} in place of {x}")
def dx_for_x(args: Args, dy: Array) -> dict[int, Array]:
    return {1: dy.T @ (dy @ args[1])}


def _is_square(w: Array) -> bool:
    return w.shape == w.T.shape


@wrong_forward("linear.forward.w-transposed", of=linear, says="{w} is transposed")
def y_by_w_transposed(args: Args) -> Array | None:
    x, w, *b = args
    return linear(x, w.T, *b)[0] if _is_square(w) else None


for code, says, sign in [
    ("b-missing", "{b} is missing", 0),
    ("b-subtracted", "{b} is subtracted", -1),
]:

    @wrong_forward(f"linear.forward.{code}", of=linear, says=says)
    def y_by_another_b(args: Args, sign: int = sign) -> Array | None:
        x, w, *b = args
        return x @ w.T + sign * b[0] if b else None


# The channel scale.


def _spread(s: Array) -> Array:
    return s[:, :, None, None]


def _swapped(x: Array, s: Array, by: Array) -> Array | None:
    """Multiply pixel (h, w) by s[h, w], which broadcasting does where the sizes are equal."""
    return by * s if x.shape[2:] == s.shape else None


for code, says, dx in [
    ("s-missing", "{s} is missing", lambda x, s, dy: dy),
    (
        "s-averaged-n",
        "{s} is averaged over N: samples are mixed",
        lambda x, s, dy: dy * _spread(s.mean(axis=0, keepdims=True)),
    ),
    (
        "s-averaged-c",
        "{s} is averaged over C: channels are mixed",
        lambda x, s, dy: dy * _spread(s.mean(axis=1, keepdims=True)),
    ),
    ("s-of-sample-0", "{s} of sample 0 is used for all", lambda x, s, dy: dy * _spread(s[:1])),
    (
        "divided",
        "divided by {s} where it should be multiplied by it",
        lambda x, s, dy: dy / _spread(s),
    ),
    ("x-for-s", "{x} in place of {s}", lambda x, s, dy: dy * x),
    (
        "axes-swapped",
        "the axes of {s} are swapped: pixel (h, w) gets gate {s}[h, w]",
        lambda x, s, dy: _swapped(x, s, dy),
    ),
]:

    @mistake(f"channel-scale.{code}", of=channel_scale, says=says)
    def scale_path(args: Args, dy: Array, dx: Any = dx) -> dict[int, Array] | None:
        wrong = dx(*args, dy)
        return None if wrong is None else {0: wrong}


# Before the sum over the pixels.
for code, says, ds in [
    ("x-missing", "{x} is missing in d{s}: it is the sum of d{y}", lambda x, s, dy: dy),
    (
        "mean",
        "{x} is missing in d{s}: it is the mean of d{y}",
        lambda x, s, dy: dy / x[0, 0].size,
    ),
    (
        "sums-multiplied",
        "the sums of d{y} and {x} are multiplied, not their products summed",
        lambda x, s, dy: dy * x.sum(axis=(2, 3), keepdims=True),
    ),
    ("y-for-x", "{y} in place of {x}", lambda x, s, dy: dy * x * _spread(s)),
    ("dy-for-x", "d{y} in place of {x}", lambda x, s, dy: dy * dy),
    ("dy-ignored", "d{y} is ignored in d{s}", lambda x, s, dy: x),
    (
        "sigmoid",
        "a factor {s} (1 - {s}) too much: the derivative of the sigmoid",
        lambda x, s, dy: dy * x * _spread(s * (1 - s)),
    ),
]:
    mistake(f"channel-scale.{code}", of=channel_scale, says=says)(
        lambda args, dy, ds=ds: {1: ds(*args, dy).sum(axis=(2, 3))}
    )

for code, says, y in [
    ("missing", "{s} is missing", lambda x, s: 1 * x),
    ("added", "{s} is added where it should be multiplied", lambda x, s: x + _spread(s)),
    ("residual", "1 + {s} in place of {s}: a residual", lambda x, s: x * _spread(1 + s)),
    ("divided", "divided by {s} where it should be multiplied by it", lambda x, s: x / _spread(s)),
    ("squared", "{s} is there twice", lambda x, s: x * _spread(s * s)),
    ("sigmoid", "the sigmoid of {s} in place of {s}", lambda x, s: x * _spread(sigmoid(s)[0])),
    ("s-of-sample-0", "{s} of sample 0 is used for all", lambda x, s: x * _spread(s[:1])),
    ("axes-swapped", "the axes of {s} are swapped", lambda x, s: _swapped(x, s, x)),
]:
    wrong_forward(f"channel-scale.forward.{code}", of=channel_scale, says=says)(
        lambda args, y=y: y(*args)
    )
