"""Kinds of operations that are hard to judge, each with several cases, at several seeds.

Right ones must not be accused, wrong ones must be seen, and nothing may be said that is false. What
is given as arrays is drawn once; the seed then changes what the checker draws.
"""

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import numpy_se as se
from numpy_se.checker import GradientReport, Kind

SEEDS = range(2)
RANDOM = np.random.default_rng(3)
X = RANDOM.standard_normal((3, 4))
RELU_MAP = np.maximum(RANDOM.standard_normal((30, 40)), 0)
TIED = np.array([[1.0, 2, 2, 0, 2], [0, 0, 1, 1, 3], [2, 2, 2, 2, 2]])

Op = Callable[..., Any]


def reports(op: Op, *args: Any, **options: Any) -> list[GradientReport]:
    return [se.gradcheck(op, *args, seed=seed, **options) for seed in SEEDS]


def check(cases: Any) -> Any:
    """Parametrise a test by a dict of cases."""
    return pytest.mark.parametrize("case", cases.values(), ids=cases)


def drawn(op: Op, shapes: Any = "N D") -> tuple[Op, tuple[()], Any]:
    return op, (), shapes


def given(op: Op, *args: Any) -> tuple[Op, tuple[Any, ...], None]:
    return op, tuple(np.asarray(a, float) for a in args), None


def pointwise(f: Op, slope: Op) -> Op:
    """An operation for each entry, from a function and its derivative."""
    return lambda x: (np.asarray(f(x)), lambda dy: dy * slope(x))


def picked(choose: Op) -> Op:
    """The entries of each row that ``choose(x)`` tells, whose gradients go back where they were."""

    def op(x: Any) -> Any:
        places = choose(x)

        def backward(dy: Any) -> Any:
            dx = np.zeros_like(x)
            np.put_along_axis(dx, places, dy, axis=1)
            return dx

        return np.take_along_axis(x, places, axis=1), backward

    return op


def in_order(x: Any) -> Any:
    return np.argsort(x, axis=1, kind="stable")


def trimmed_mean(x: Any) -> Any:
    y, backward = picked(lambda x: in_order(x)[:, 1:-1])(x)
    return y.mean(axis=1), lambda dy: backward(np.repeat(dy[:, None], y.shape[1], 1) / y.shape[1])


def value_range(x: Any) -> Any:
    high, back_high = picked(lambda x: x.argmax(axis=1)[:, None])(x)
    low, back_low = picked(lambda x: x.argmin(axis=1)[:, None])(x)
    return high - low, lambda dy: back_high(dy) - back_low(dy)


# 1. Kinks that meet, at arguments of the caller's own.


def block_of_maxima(x: Any, w1: Any, w2: Any) -> Any:
    return se.squeeze_excite(x, w1, w2, squeeze=se.global_max_pool, gate=se.hard_sigmoid)


def pooled_twice(x: Any) -> Any:
    y, back = se.max_pool2d(x)
    z, back_again = se.global_max_pool(y)
    return z, lambda dz: back(back_again(dz))


def smaller_of_maximum_and_one(x: Any) -> Any:
    high, backward = picked(lambda x: x.argmax(axis=1)[:, None])(x)
    return np.minimum(high, 1), lambda dy: backward(dy * (high < 1))


def largest_absolute(x: Any) -> Any:
    place = np.abs(x).argmax(axis=1)[:, None]
    y = np.take_along_axis(x, place, axis=1)

    def backward(dy: Any) -> Any:
        dx = np.zeros_like(x)
        np.put_along_axis(dx, place, dy * np.sign(y), axis=1)
        return dx

    return np.abs(y), backward


LATTICE = np.round(2 * RANDOM.standard_normal((2, 3, 4, 4))) / 8
TIED_WEIGHTS = np.array([[0, 0.125, 0], [0, 0, 0], [0.125, 0, -0.125]])
TIES = {
    "a block of maxima": given(block_of_maxima, LATTICE, TIED_WEIGHTS, TIED_WEIGHTS.T.copy()),
    "a block of maxima of zeros": given(block_of_maxima, 0 * LATTICE, TIED_WEIGHTS, TIED_WEIGHTS),
    "maxima of maxima": given(pooled_twice, LATTICE),
    "a minimum of a maximum": given(smaller_of_maximum_and_one, np.round(X) / 2),
    "the largest absolute value": given(largest_absolute, np.round(X)),
    "the largest absolute value of zeros": given(largest_absolute, np.zeros((2, 3))),
}


def never_accused(case: Any) -> None:
    op, args, shapes = case
    for report in reports(op, *args, shapes=shapes):
        assert report.verdict != "wrong", report


def always_wrong(case: Any) -> None:
    op, args, shapes = case
    for report in reports(op, *args, shapes=shapes):
        assert report.verdict == "wrong", report


@check(TIES)
def test_kinks_that_meet_are_no_mistake(case: Any) -> None:
    never_accused(case)


# 2 and 3. Saturated and ill-conditioned: backward itself loses digits.


def log_softmax(x: Any) -> Any:
    z = x - x.max(axis=1, keepdims=True)
    y = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return y, lambda dy: dy - np.exp(y) * dy.sum(axis=1, keepdims=True)


def soft_argmax(x: Any) -> Any:
    """The mean place, weighted by a softmax."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p, k = e / e.sum(axis=1, keepdims=True), np.arange(x.shape[1])
    y = p @ k
    return y, lambda dy: p * (k - y[:, None]) * dy[:, None]


def standardised(x: Any, axis: Any, eps: float) -> Any:
    scale = 1 / np.sqrt(x.var(axis, keepdims=True) + eps)
    y = (x - x.mean(axis, keepdims=True)) * scale

    def backward(dy: Any) -> Any:
        along = (dy * y).mean(axis, keepdims=True)
        return scale * (dy - dy.mean(axis, keepdims=True) - y * along)

    return y, backward


def of_unit_length(x: Any, eps: float = 0.0) -> Any:
    length = np.sqrt((x * x).sum(axis=1, keepdims=True) + eps)
    y = x / length
    return y, lambda dy: (dy - y * (dy * y).sum(axis=1, keepdims=True)) / length


def root_mean_square(x: Any, eps: float) -> Any:
    r = np.sqrt((x * x).mean(axis=1, keepdims=True) + eps)
    return x / r, lambda dy: (dy - x * (dy * x).mean(axis=1, keepdims=True) / r**2) / r


sigmoid_of = pointwise(
    lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))) ** 2
)

SATURATED = {
    "log-softmax, a gap of 40": given(log_softmax, [[0.0, 40.0, 1.0], [3.0, -37.0, 2.0]]),
    "soft argmax, a gap of 30": given(soft_argmax, [[0.0, 30.0, 1.0], [3.0, -27.0, 2.0]]),
    "sigmoid at 40": given(se.sigmoid, 40 * X),
    "another sigmoid": drawn(sigmoid_of),
    "tanh at 20": given(se.tanh, 20 * X),
    "tanh at 700": given(se.tanh, 700 * X),
    "rows of almost one value": given(partial(standardised, axis=1, eps=1e-10), 1 + 1e-4 * X),
    "columns, eps 1e-10": drawn(partial(standardised, axis=0, eps=1e-10)),
    "all entries, eps 1e-14": drawn(partial(standardised, axis=None, eps=1e-14)),
    "rows, no eps": drawn(partial(standardised, axis=1, eps=1e-300), {"x": ("N", 3)}),
    "unit length": drawn(of_unit_length),
    "unit length of values about 1e-7": given(of_unit_length, 1e-7 * X),
    "unit length, eps 1e-8": drawn(partial(of_unit_length, eps=1e-8)),
    "root mean square, eps 1e-8": drawn(partial(root_mean_square, eps=1e-8)),
}


@check(SATURATED)
def test_lost_digits_are_no_mistake(case: Any) -> None:
    never_accused(case)


# 4. Order statistics, where a tie goes to the first.

ORDER = {
    "median": picked(lambda x: in_order(x)[:, x.shape[1] // 2][:, None]),
    "second largest": picked(lambda x: in_order(x)[:, -2:][:, :1]),
    "the two largest": picked(lambda x: np.argsort(-x, axis=1, kind="stable")[:, :2]),
    "sorted": picked(in_order),
    "trimmed mean": trimmed_mean,
    "range": value_range,
}


@pytest.mark.parametrize("op", ORDER.values(), ids=ORDER)
def test_order_statistics_may_have_ties(op: Op) -> None:
    never_accused(given(op, TIED))
    never_accused(drawn(op, {"x": ("N", 5)}))


# 5 and 6. Steep functions, and those that do not take all numbers.


def determinant(x: Any) -> Any:
    y = np.asarray(np.linalg.det(x))
    return y, lambda dy: dy * y * np.linalg.inv(x).T


def inverse(x: Any) -> Any:
    y = np.linalg.inv(x)
    return y, lambda dy: -y.T @ dy @ y.T


def solved(a: Any, b: Any) -> Any:
    y = np.linalg.solve(a, b)

    def backward(dy: Any) -> Any:
        db = np.linalg.solve(a.T, dy)
        return -db @ y.T, db

    return y, backward


def log_determinant_of_gram(x: Any) -> Any:
    gram = x @ x.T + 1e-3 * np.eye(len(x))
    return np.asarray(np.linalg.slogdet(gram)[1]), lambda dy: 2 * dy * np.linalg.solve(gram, x)


def entropy(p: Any) -> Any:
    if (p <= 0).any():
        raise ValueError("p is no probability")
    return -(p * np.log(p)).sum(axis=1), lambda dy: -dy[:, None] * (np.log(p) + 1)


STEEP = {
    "exp(100 x)": given(
        pointwise(lambda x: np.exp(100 * x), lambda x: 100 * np.exp(100 * x)), [1.0, -1.0, 2.0]
    ),
    "a narrow bell": given(
        pointwise(lambda x: np.exp(-200 * x * x), lambda x: -400 * x * np.exp(-200 * x * x)),
        0.2 * X,
    ),
    "a fast wave": given(pointwise(lambda x: np.sin(500 * x), lambda x: 500 * np.cos(500 * x)), X),
    "x^20": drawn(pointwise(lambda x: x**20, lambda x: 20 * x**19)),
    "sinh": drawn(pointwise(np.sinh, np.cosh)),
    "1 / x": drawn(pointwise(lambda x: 1 / x, lambda x: -1 / x**2)),
    "1 / x near 0": given(
        pointwise(lambda x: 1 / x, lambda x: -1 / x**2), [1e-6, -3e-5, 1e-3, 2.0]
    ),
    "softplus, sharpened": drawn(
        pointwise(
            lambda x: np.logaddexp(0, 60 * x) / 60, lambda x: np.exp(-np.logaddexp(0, -60 * x))
        )
    ),
    "determinant": drawn(determinant, "D D"),
    "inverse": drawn(inverse, "D D"),
    "solve": drawn(solved, "D D, D K"),
    "log-determinant": drawn(log_determinant_of_gram, "N D"),
}

DOMAINS = {
    "sqrt": drawn(pointwise(np.sqrt, lambda x: 0.5 / np.sqrt(x))),
    "log(log(x))": drawn(pointwise(lambda x: np.log(np.log(x)), lambda x: 1 / (x * np.log(x)))),
    "arccos": drawn(pointwise(np.arccos, lambda x: -1 / np.sqrt(1 - x * x))),
    "arctanh": drawn(pointwise(np.arctanh, lambda x: 1 / (1 - x * x))),
    "logit": drawn(pointwise(lambda p: np.log(p / (1 - p)), lambda p: 1 / (p * (1 - p)))),
    "x^x": drawn(pointwise(lambda x: x**x, lambda x: x**x * (np.log(x) + 1))),
    "entropy": drawn(entropy),
    "a power": drawn(
        lambda x, p: (
            x**p,
            lambda dy: (dy * p * x ** (p - 1), dy * x**p * np.log(x)),
        ),
        "N D, N D",
    ),
    "log of a ratio": drawn(lambda a, b: (np.log(a / b), lambda dy: (dy / a, -dy / b)), "N D, N D"),
}


@check(STEEP)
def test_steep_functions_are_no_mistake(case: Any) -> None:
    never_accused(case)


@check(DOMAINS)
def test_a_domain_is_found(case: Any) -> None:
    op, args, shapes = case
    for report in reports(op, *args, shapes=shapes):
        assert report.verdict == "ok", report

    def doubled(*args: Any) -> Any:
        y, backward = op(*args)

        def twice(dy: Any) -> Any:
            grads = backward(dy)
            return (2 * grads[0], *grads[1:]) if isinstance(grads, tuple) else 2 * grads

        return y, twice

    always_wrong((doubled, args, shapes))


# 7. A forward pass with more rounding than one sum has.


def by_newton(x: Any) -> Any:
    """The root of t + t^5 = x, as far as 1e-10."""
    t = x / (1 + np.abs(x))
    for _ in range(60):
        step = (t + t**5 - x) / (1 + 5 * t**4)
        t = t - step
        if np.abs(step).max() < 1e-10:
            break
    return t, lambda dy: dy / (1 + 5 * t**4)


def by_a_series(x: Any) -> Any:
    """Compute exp(-|x|) by terms that cancel."""
    z, term, y = -np.abs(x), np.ones_like(x), np.ones_like(x)
    for k in range(1, 120):
        term = term * z / k
        y = y + term
    return y, lambda dy: -dy * np.sign(x) * np.exp(z)


def one_by_one(x: Any) -> Any:
    """Variance as the mean of squares minus the square of the mean, far from 0."""
    y = ((x + 1e3) ** 2).mean(axis=1) - (x + 1e3).mean(axis=1) ** 2
    return y, lambda dy: 2 * dy[:, None] * (x - x.mean(axis=1, keepdims=True)) / x.shape[1]


def rounded(x: Any) -> Any:
    return np.round(x * x, 11), lambda dy: 2 * x * dy


def far_from_zero(x: Any) -> Any:
    return (1e7 + np.tanh(x)) - 1e7, lambda dy: dy * (1 - np.tanh(x) ** 2)


def farther_from_zero(x: Any) -> Any:
    return (1e8 + x * x) - 1e8, lambda dy: dy * 2 * x


ROUNDED = {
    "Newton": drawn(by_newton),
    "a series that cancels": given(by_a_series, 4 * X),
    "variance far from 0": drawn(one_by_one),
    "11 decimals": given(rounded, X),
    "a sum far from 0": given(far_from_zero, X),
    "a sum farther from 0": drawn(farther_from_zero),
}


@check(ROUNDED)
def test_rounding_of_the_forward_pass_is_no_mistake(case: Any) -> None:
    never_accused(case)


# 8. Outputs in memory that the operation uses again.


def with_buffers(count: int) -> Op:
    buffers = [np.empty((3, 4)) for _ in range(count)]
    calls = [0]

    def tripled(x: Any) -> Any:
        calls[0] += 1
        y = buffers[calls[0] % count]
        np.multiply(x, 3, out=y)
        return y, lambda dy: 3 * dy

    return tripled


def with_a_workspace(x: Any, kept: Any = np.empty(1000)) -> Any:  # noqa: B008
    y = kept[: x.size].reshape(x.shape)
    np.square(x, out=y)
    return y, lambda dy: 2 * x * dy


BUFFERS = {
    "one": (with_buffers(1), {"x": (3, 4)}),
    "two in turn": (with_buffers(2), {"x": (3, 4)}),
    "a workspace of all sizes": (with_a_workspace, "N D"),
}


@pytest.mark.parametrize(("op", "shapes"), BUFFERS.values(), ids=BUFFERS)
def test_a_buffer_is_no_mistake(op: Op, shapes: Any) -> None:
    for report in reports(op, shapes=shapes):
        assert report.ok, report


# 9. Maps of zeros, as a ReLU leaves them.

ON_ZEROS = {
    "ReLU": se.relu,
    "leaky ReLU": pointwise(lambda x: np.maximum(x, 0.1 * x), lambda x: np.where(x > 0, 1, 0.1)),
    "absolute value": pointwise(np.abs, np.sign),
    "squared hinge": pointwise(lambda x: np.maximum(x, 0) ** 2, lambda x: 2 * np.maximum(x, 0)),
}
WITHOUT_MASK = {
    "ReLU": pointwise(lambda x: np.maximum(x, 0), lambda x: 1),
    "leaky ReLU": pointwise(lambda x: np.maximum(x, 0.1 * x), lambda x: 0.1),
    "absolute value": pointwise(np.abs, lambda x: 1),
    "squared hinge": pointwise(lambda x: np.maximum(x, 0) ** 2, lambda x: np.maximum(x, 0)),
}


@pytest.mark.parametrize("title", ON_ZEROS)
def test_a_map_with_zeros_is_judged(title: str) -> None:
    for x in (RELU_MAP, RELU_MAP[:6, :5]):
        for report in reports(ON_ZEROS[title], x):
            assert report.verdict == "ok", report
        always_wrong(given(WITHOUT_MASK[title], x))


# 10. Sizes that are given as numbers are part of the operation.


def mean_of_eight(x: Any) -> Any:
    return x.mean(axis=1), lambda dy: np.repeat(dy[:, None], x.shape[1], axis=1) / 8


def two_samples(x: Any) -> Any:
    return x.mean(axis=0), lambda dy: 0.5 * dy + np.zeros_like(x)


def of_three_channels(x: Any) -> Any:
    grey = np.array([0.3, 0.6, 0.1])
    back = lambda dy: dy[:, None] * grey[None, : x.shape[1], None, None]  # noqa: E731
    return np.einsum("nchw,c->nhw", x, grey[: x.shape[1]]), back


def of_four_by_four(x: Any) -> Any:
    return x.sum(axis=(2, 3)) / (
        x.shape[2] * x.shape[3]
    ), lambda dy: dy[:, :, None, None] / 16 + 0 * x


NUMBERS = {
    "eight columns": (mean_of_eight, {"x": ("N", 8)}, "N D"),
    "two samples": (two_samples, {"x": (2, "D")}, "N D"),
    "all sizes": (mean_of_eight, {"x": (3, 8)}, "N D"),
    "three channels": (of_three_channels, {"x": ("N", 3, "H", "W")}, None),
    "maps of 4 x 4": (of_four_by_four, {"x": ("N", "C", 4, 4)}, "N C H W"),
}


@pytest.mark.parametrize(("op", "shapes", "free"), NUMBERS.values(), ids=NUMBERS)
def test_a_size_that_is_stated_is_not_changed(op: Op, shapes: Any, free: Any) -> None:
    for report in reports(op, shapes=shapes):
        assert report.ok, report
    if free:
        always_wrong(drawn(op, free))


def test_no_cause_is_told_that_only_another_size_shows() -> None:
    """A factor 2 is wrong for eight columns, and would be 8/N, or 1/4, elsewhere."""
    op = lambda x: (x.mean(axis=1), lambda dy: np.repeat(dy[:, None], x.shape[1], axis=1) / 4)  # noqa: E731
    for report in reports(op, shapes={"x": ("N", 8)}):
        assert [c.code for c in report.causes] == ["any.factor-too-large"]
        assert "it is 2 times too large" in report.headline


# 11. Shapes that are asked for, at which the forward pass does not run.


def input_by_output(x: Any, w: Any) -> Any:
    """Weights (I, O)."""
    return x @ w, lambda dy: (dy @ w.T, x.T @ dy)


def two_layers(x: Any, w1: Any, w2: Any) -> Any:
    """Weights (I, R) and (R, O)."""
    h = np.tanh(x @ w1)

    def backward(dy: Any) -> Any:
        dh = (dy @ w2.T) * (1 - h * h)
        return dh @ w1.T, x.T @ dh, h.T @ dy

    return h @ w2, backward


def attended(q: Any, k: Any) -> Any:
    """Scores of queries and keys of one width."""
    return q @ k.T, lambda dy: (dy @ k, dy.T @ q)


TRANSPOSED = {
    "a layer": (input_by_output, "N I, O I", "N I, I O", "I", "O"),
    "two layers": (two_layers, "N C, R C, C R", "N C, C R, R C", "C", "R"),
    "scores": (attended, "N D, D M", "N D, M D", "D", "M"),
}


@pytest.mark.parametrize(("op", "shapes", "right", "a", "b"), TRANSPOSED.values(), ids=TRANSPOSED)
def test_weights_that_run_only_when_square_are_told(
    op: Op, shapes: str, right: str, a: str, b: str
) -> None:
    assert se.gradcheck(op, shapes=right).ok
    for report in reports(op, shapes=shapes):
        assert not report.ok
        assert re.search(rf"runs only where ({a} = {b}|{b} = {a}); at ", report.headline), report
        assert [(f.kind, f.subject) for f in report.findings] == [(Kind.RAISES, "y")]


# 12 and 13. What only large values, or long axes, show.


def clip(low: float, high: float, mask: Op) -> Op:
    return pointwise(lambda x: np.clip(x, low, high), mask)


def shrunk(x: Any) -> Any:
    """Soft shrinkage by 0.5, without its mask."""
    return np.sign(x) * np.maximum(np.abs(x) - 0.5, 0), lambda dy: dy.copy()


def hard_swish(x: Any) -> Any:
    gate = np.clip(x / 6 + 0.5, 0, 1)
    return x * gate, lambda dy: dy * np.where(x < -3, 0, x / 3 + 0.5)  # also above 3


def huber_without_its_tails(x: Any) -> Any:
    tails = np.abs(x) > 4
    return np.where(tails, 4 * np.abs(x) - 8, x * x / 2), lambda dy: dy * x


def elu_that_forgets(x: Any) -> Any:
    """The slope of the left branch is 1 as long as x is above -0.02."""
    return np.where(x > 0, x, np.expm1(x)), lambda dy: dy * np.where(x > -0.02, 1, np.exp(x))


UNMASKED = {
    "clip at 10": clip(0, 10, lambda x: x > 0),
    "clip at -7": clip(-7, np.inf, lambda x: 1),
    "hard tanh": clip(-1, 1, lambda x: x > -1),
    "a mask at 5, not 6": clip(0, 6, lambda x: (x > 0) & (x < 5)),
    "a mask at 0.05": clip(0, np.inf, lambda x: x > 0.05),
    "soft shrinkage": shrunk,
    "hard swish": hard_swish,
    "huber": huber_without_its_tails,
}


@pytest.mark.parametrize("op", UNMASKED.values(), ids=UNMASKED)
def test_masks_are_seen_at_all_magnitudes(op: Op) -> None:
    always_wrong(drawn(op))


def in_blocks(x: Any, block: int, axis: int) -> Any:
    """Five times x. Only whole blocks of rows or columns get a gradient, if there is one."""

    def backward(dy: Any) -> Any:
        dx = 5 * dy
        rows = np.moveaxis(dx, axis, 0)
        if len(rows) > block:
            rows[len(rows) - len(rows) % block :] = 0
        return dx

    return 5 * x, backward


def every_tenth(x: Any) -> Any:
    def backward(dy: Any) -> Any:
        dx = -dy
        dx[:, 9::10] = 0
        return dx

    return -x, backward


def window_of_eight(x: Any) -> Any:
    """A running sum of which backward keeps the last eight terms."""

    def backward(dy: Any) -> Any:
        back = np.cumsum(dy[:, ::-1], axis=1)
        back[:, 8:] -= back[:, :-8].copy()
        return back[:, ::-1].copy()

    return np.cumsum(x, axis=1), backward


LONG = {
    "blocks of 8 rows": partial(in_blocks, block=8, axis=0),
    "blocks of 7 columns": partial(in_blocks, block=7, axis=1),
    "every tenth column": every_tenth,
    "a window of eight": window_of_eight,
}


@pytest.mark.parametrize("op", LONG.values(), ids=LONG)
def test_long_axes_are_tried(op: Op) -> None:
    always_wrong(drawn(op))


def naive_log_sum(x: Any) -> Any:
    e = np.exp(x)
    return np.log(e.sum(axis=1)), lambda dy: dy[:, None] * e / e.sum(axis=1, keepdims=True)


OVERFLOWS = {
    "softmax": lambda x: _softmax(np.exp(x)),
    "tanh by exponentials": pointwise(
        lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)),
        lambda x: 4 / (np.exp(x) + np.exp(-x)) ** 2,
    ),
    "swish": pointwise(
        lambda x: x * np.exp(x) / (1 + np.exp(x)),
        lambda x: np.exp(x) * (1 + x + np.exp(x)) / (1 + np.exp(x)) ** 2,
    ),
    "the slope of softplus": pointwise(
        lambda x: np.logaddexp(0, x), lambda x: np.exp(x) / (np.exp(x) + 1)
    ),
}


def _softmax(e: Any) -> Any:
    y = e / e.sum(axis=1, keepdims=True)
    return y, lambda dy: y * (dy - (dy * y).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("op", OVERFLOWS.values(), ids=OVERFLOWS)
def test_nan_at_large_values_is_seen(op: Op) -> None:
    for report in reports(op, shapes="N D"):
        assert [f.kind for f in report.findings] == [Kind.NOT_FINITE], report
        assert re.search(r"is nan at x = -?800: an overflow", report.headline)


# 14. Gradients that are no arrays of float64.

TYPES = {
    "complex": (lambda g: g + 0j, Kind.DTYPE, "dx is complex128; it wants float64"),
    "integer": (lambda g: g.astype(int), Kind.DTYPE, "dx is int64; it wants float64"),
    "boolean": (lambda g: g > 0, Kind.DTYPE, "dx is bool; it wants float64"),
    "half": (lambda g: g.astype(np.float16), Kind.DTYPE, "dx is float16; it wants float64"),
    "objects": (lambda g: g.astype(object), Kind.DTYPE, "dx is object; it wants float64"),
    "a string": (lambda g: "dx", Kind.TYPE, "dx is a str; it wants a NumPy array"),
    "a number": (lambda g: float(g.sum()), Kind.SHAPE, "dx has shape (); it wants ("),
    "a dict": (lambda g: {"dx": g}, Kind.TYPE, "dx is a dict; it wants a NumPy array"),
}


@check(TYPES)
def test_a_gradient_of_another_type_is_told(case: Any) -> None:
    make, kind, words = case
    for report in reports(lambda x: (x * x, lambda dy: make(2 * x * dy)), shapes="N D"):
        assert [(f.kind, f.subject) for f in report.findings] == [(kind, "dx")], report
        assert words in str(report)


# 15 to 17. What is said must be true.


def gated(x: Any, w: Any) -> Any:
    """Channels times a softplus gate of their means. The path through the means is missing."""
    z = x.mean(axis=(2, 3))
    u = z @ w.T
    s = np.logaddexp(0, u)

    def backward(dy: Any) -> Any:
        du = (dy * x).sum(axis=(2, 3)) / (1 + np.exp(-u))
        return dy * s[:, :, None, None], du.T @ z

    return x * s[:, :, None, None], backward


def weighted_by_place(x: Any) -> Any:
    """Everywhere wrong, and by little where H and W are 0."""
    off = 1 + 1e-3 * (1 + np.arange(x[0, 0].size).reshape(x.shape[2:]) ** 2)
    return np.sin(x), lambda dy: dy * np.cos(x) * off


EVERYWHERE = {"a gate": (gated, "N C H W, C C"), "by place": (weighted_by_place, "N C H W")}


@pytest.mark.parametrize(("op", "shapes"), EVERYWHERE.values(), ids=EVERYWHERE)
def test_no_place_is_told_where_all_is_wrong(op: Op, shapes: str) -> None:
    for report in reports(op, shapes=shapes):
        assert report.verdict == "wrong"
        assert not re.search("border|first of|last of|only where", str(report)), report


def square_weights(x: Any, w: Any) -> Any:
    """Their transpose is forgotten."""
    return np.tanh(x) @ w, lambda dy: ((dy @ w) * (1 - np.tanh(x) ** 2), np.tanh(x).T @ dy)


def of_the_call_before() -> Op:
    kept: list[Any] = []

    def op(x: Any) -> Any:
        def backward(dy: Any) -> Any:
            kept.append(np.cos(x) * dy)
            before = kept[-2] if len(kept) > 1 else kept[-1]
            return before if before.shape == x.shape else kept[-1]

        return np.sin(x), backward

    return op


def row_bias(x: Any, b: Any) -> Any:
    """A bias (N, 1) whose gradient is summed over D, and has lost an axis."""
    return 2 * x + b, lambda dy: (2 * dy, dy.sum(axis=1))


def channel_bias(x: Any, b: Any) -> Any:
    """A bias (1, C, 1, 1) that has lost two axes."""
    return x + b, lambda dy: (dy.copy(), dy.sum(axis=(0, 2, 3)))


FALSE_WORDS = {
    "square weights": (square_weights, "N D, D D", "reshaped"),
    "the call before": (of_the_call_before(), "N D", "later forward"),
    "a row bias": (row_bias, "N D, N 1", "too often|not summed"),
    "a channel bias": (channel_bias, {"x": "N C H W", "b": (1, "C", 1, 1)}, "too often|not summed"),
}


@pytest.mark.parametrize(("op", "shapes", "never"), FALSE_WORDS.values(), ids=FALSE_WORDS)
def test_nothing_false_is_said(op: Op, shapes: Any, never: str) -> None:
    for report in reports(op, shapes=shapes):
        assert report.verdict == "wrong"
        assert not re.search(never, str(report)), report


def in_single(x: Any, w: Any) -> Any:
    """A right backward behind a forward pass that rounds to float32."""
    y, backward = se.linear(x, w)
    return y.astype(np.float32).astype(float), backward


def half_single(x: Any, w: Any) -> Any:
    """One factor is rounded, and one gradient is wrong."""
    y, _ = se.linear(x, w.astype(np.float32).astype(float))
    return y, lambda dy: (dy @ w, 2 * dy.T @ x)


@pytest.mark.parametrize("op", [in_single, half_single])
def test_no_gradient_is_both_right_and_wrong(op: Op) -> None:
    for report in reports(op, shapes="N I, O I"):
        words = str(report)
        for name, state in report.gradients.items():
            assert ({f.subject for f in report.findings} >= {name}) == (state == "wrong")
            assert not (f"{name} is wrong" in words and re.search(rf"right: .*{name}\b", words))
            listed_as_right = bool(re.search(rf"^  right: .*\b{name}\b", words, re.MULTILINE))
            assert not listed_as_right or state == "right"


def test_a_wrong_number_at_one_very_point_is_seen() -> None:
    """There is no kink at 0, so there is no convention either."""
    hole = lambda x: (3 * x, lambda dy: dy * np.where(x == 0, 0.0, 3.0))  # noqa: E731
    for found in (*reports(hole, np.array([0.0, 1.0])), *reports(hole, shapes="N D")):
        assert found.verdict == "wrong"
        assert [entry.expected != 0 for entry in (f.entry for f in found.findings) if entry]


def test_far_smaller_steps_are_asked_before_an_accusation() -> None:
    """One column is a million times finer than the others, which decide about the steps."""
    units = np.array([1e-6, 1.0, 1e6])
    arctan = lambda x: (np.arctan(x / units), lambda dy: dy / (1 + (x / units) ** 2) / units)  # noqa: E731
    for seed in range(4):
        x = np.random.default_rng(seed).standard_normal((6, 3)) * units
        assert se.gradcheck(arctan, x, seed=seed).verdict != "wrong"


# Wrong at some numbers only, and not passed.


def at_one_number(x: Any) -> Any:
    return x * x + x, lambda dy: dy * np.where(x == 1, 7.0, 2 * x + 1)


def reads_a_table(x: Any, v: Any) -> Any:
    """Interpolation; at whole numbers, floor and ceil are the same, and dx is 0."""
    low, high = np.floor(x).astype(int), np.ceil(x).astype(int)
    after = np.minimum(low + 1, len(v) - 1)
    t = x - low

    def backward(dy: Any) -> Any:
        dv = np.zeros_like(v)
        np.add.at(dv, low, dy * (1 - t))
        np.add.at(dv, after, dy * t)
        return dy * (v[high] - v[low]), dv

    return (1 - t) * v[low] + t * v[after], backward


def steep_at_0(x: Any) -> Any:
    y = np.tanh(1e3 * x)
    return y, lambda dy: 1e3 * dy * (1 - y * y) * np.where(np.abs(x) < 1e-2, 1.5, 1.0)


def of_length_1(x: Any) -> Any:
    """Backward forgets the least length, which only small rows have."""
    length = np.maximum(np.sqrt((x * x).sum(axis=1, keepdims=True)), 1e-2)
    y = x / length
    return y, lambda dy: (dy - y * (dy * y).sum(axis=1, keepdims=True)) / length


def loses_the_sign(x: Any) -> Any:
    return 1.5 * x, lambda dy: 1.5 * np.abs(dy)


PASSED_ELSEWHERE = {
    "at one number": (at_one_number, (np.array([1.0]),)),
    "at one of many": (at_one_number, (np.array([0.5, 1.0, -3.0]),)),
    "at whole numbers": (reads_a_table, (np.array([1.0, 2.0]), np.array([1.0, 3.0, 5.0, 7.0]))),
    "an entry far below the others": (steep_at_0, (np.array([5e-4, 1.0, 1e3]),)),
    "one entry": (loses_the_sign, (np.array([[2.0]]),)),
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("op", "args"), PASSED_ELSEWHERE.values(), ids=PASSED_ELSEWHERE)
def test_what_is_wrong_at_given_numbers_is_not_passed(op: Any, args: Any, seed: int) -> None:
    report = se.gradcheck(op, *args, seed=seed)
    assert report.verdict == "wrong", report
    assert report.gradients["dx"] == "wrong"


@pytest.mark.parametrize("seed", range(4))
def test_all_values_are_small_once(seed: int) -> None:
    assert se.gradcheck(of_length_1, shapes="N D", seed=seed).verdict == "wrong"


@pytest.mark.parametrize("seed", range(4))
def test_a_value_far_from_both_slopes_of_a_kink_is_not_passed(seed: int) -> None:
    hinge = lambda x: (np.maximum(x - 1, 0), lambda dy: dy * np.where(x == 1, 50.0, x > 1))  # noqa: E731
    assert not se.gradcheck(hinge, np.array([1.0, 2.0]), seed=seed).ok


@pytest.mark.parametrize("seed", range(4))
def test_an_entry_that_cannot_be_measured_is_not_right(seed: int) -> None:
    """The slope at 1e-8 is 1e8, and no difference tells half of it from all."""
    log = lambda x: (np.log(x), lambda dy: dy / (x + 1e-8))  # noqa: E731
    assert not se.gradcheck(log, np.array([1e-8, 1e-3, 1.0, 1e3, 1e8]), seed=seed).ok


# What an operation may do, and a report must bear.


def differences_squared(x: Any) -> Any:
    """A sum over nothing is the int 0 where L is 1."""
    y = sum((x[i + 1] - x[i]) ** 2 for i in range(len(x) - 1))

    def backward(dy: Any) -> Any:
        dx, change = np.zeros_like(x), 2 * np.diff(x) * dy
        dx[1:] += change
        dx[:-1] -= change
        return dx

    return y, backward


def refuses_zeros(x: Any) -> Any:
    def backward(dy: Any) -> Any:
        if not dy.any():
            raise RuntimeError("nothing to do")
        return 3 * x * dy + x**3

    return x * x, backward


def gives_none_for_float32(x: Any) -> Any:
    return x * x, lambda dy: 2 * x * dy if x.dtype == np.float64 else None


def test_a_size_at_which_y_is_no_array_is_left_out() -> None:
    assert se.gradcheck(differences_squared, shapes="L").ok


def test_what_float32_gives_is_no_matter() -> None:
    assert se.gradcheck(gives_none_for_float32, shapes="N D").ok


@pytest.mark.parametrize(
    "op",
    [
        refuses_zeros,
        lambda x: (x * x, lambda dy: [[1], [1, 2]]),
        lambda x: (x * x, lambda dy: (2 * x * dy,) if dy.any() else (dy, dy)),
    ],
    ids=["refuses zeros", "ragged list", "two for zeros"],
)
def test_a_report_is_printed_whatever_backward_does(op: Any) -> None:
    report = se.gradcheck(op, shapes="N D")
    assert report.verdict == "wrong"
    assert "wants" in str(report) or "unknown" in str(report) or "another dy" in str(report)
    assert json.dumps(report.to_dict())


@pytest.mark.parametrize("divisor", [7, 32, 64, 128])
def test_a_constant_is_told_however_it_is_rounded(divisor: int) -> None:
    op = lambda x, w: (x @ w.T, lambda dy: (dy @ w / divisor, dy.T @ x / divisor))  # noqa: E731
    report = se.gradcheck(op, shapes="N C, M C")
    assert [cause.code for cause in report.causes] == ["any.factor"]
    assert report.causes[0].subjects == ("dx", "dw")


def test_a_constant_that_changes_with_the_size_is_none() -> None:
    op = lambda x: (x * x, lambda dy: 2 * x * dy + 0.01 * x * (1 + 5e-4 * len(x)))  # noqa: E731
    assert "any.weight-decay" not in {c.code for c in se.gradcheck(op, shapes="N C").causes}


def test_a_factor_close_to_1_is_written_in_full() -> None:
    op = lambda x: (x * x, lambda dy: 2 * x * dy * (1 + 1e-5))  # noqa: E731
    assert "it is 1.00001 times the right one" in str(se.gradcheck(op, shapes="N C"))


def test_an_operation_that_always_raises_is_not_called_for_ever() -> None:
    calls = []

    def op(*args: Any) -> Any:
        calls.append(1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        se.gradcheck(op, shapes=", ".join(["N C"] * 8))
    assert len(calls) < 500


def test_arguments_without_a_name_get_one_that_is_free() -> None:
    op = lambda arg1, *rest: (  # noqa: E731
        arg1 * rest[0].sum(),
        lambda dy: (dy * rest[0].sum(), np.vdot(dy, arg1) * np.ones_like(rest[0])),
    )
    assert set(se.gradcheck(op, shapes="N C, K").gradients) == {"darg1", "darg2"}
    with pytest.raises(ValueError, match="it wants each name once"):
        se.gradcheck(op, np.ones(2), np.ones(2), names=["x", "x"])


def test_a_line_that_is_no_python_is_not_printed() -> None:
    op = lambda x, f: (f(x), lambda dy: 3 * x * dy)  # noqa: E731
    report = se.gradcheck(op, np.array([0.5, 1.0]), np.square)
    assert (report.verdict, report.reproduce) == ("wrong", "")


def no_array(dy: Any) -> Any:
    return None


def wrong_shape(dy: Any) -> Any:
    return np.ones((2, 2, 2))


@pytest.mark.parametrize("other", [no_array, wrong_shape])
@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_a_gradient_is_judged_beside_one_that_cannot_be(other: Any, factor: float) -> None:
    """It is right, or wrong and named, whatever another gradient is."""
    op = lambda x, w: (x * w, lambda dy: (factor * w * dy, other(dy)))  # noqa: E731
    for report in reports(op, shapes="N C, N C"):
        assert report.gradients == {"dx": "right" if factor == 1 else "wrong", "dw": "wrong"}
        named = [cause.code for cause in report.causes if cause.subjects == ("dx",)]
        assert named == ([] if factor == 1 else ["any.factor-too-large"])


SMOOTH_BUT_ROUGH: dict[str, tuple[Any, Any]] = {
    "far down a softplus": (
        lambda x: np.log(1 + np.exp(x - 18)),
        lambda x: 1 / (1 + np.exp(18 - x)),
    ),
    "with a large number": (lambda x: (x + 1e6) - 1e6, np.ones_like),
    "a small exponent": (lambda x: (np.exp(1e-6 * x) - 1) / 1e-6, lambda x: np.exp(1e-6 * x)),
    "a root beside a large one": (lambda x: np.sqrt(1e8 + x) - 1e4, lambda x: 5e-5 + 0 * x),
    "eight digits": (lambda x: np.round(x, 8), np.ones_like),
    "fine ripples": (
        lambda x: x + 1e-7 * np.sin(1e6 * x),
        lambda x: 1 + 0.1 * np.cos(1e6 * x),
    ),
    "a gate in float32": (
        lambda x: np.float32(1 / (1 + np.exp(-x))) * x,
        lambda x: (1 + np.exp(-x) * (1 + x)) / (1 + np.exp(-x)) ** 2,
    ),
}


@pytest.mark.parametrize("name", SMOOTH_BUT_ROUGH)
def test_rounding_excuses_no_more_than_it_explains(name: str) -> None:
    """A gradient that is twice too large is wrong, also where y is rounded on the way."""
    forward, derivative = SMOOTH_BUT_ROUGH[name]

    def op(x: Any, factor: float) -> Any:
        return forward(x), lambda dy: factor * derivative(x) * dy

    double = se.gradcheck(lambda x: op(x, 2.0), shapes="N D")
    assert double.gradients == {"dx": "wrong"}
    right = se.gradcheck(lambda x: op(x, 1.0), shapes="N D")
    assert right.gradients["dx"] != "wrong"


def two_weights(x: Any, w: Any) -> Any:
    """What is in other columns of dw is chance: w has two."""

    def backward(dy: Any) -> Any:
        dw = np.random.default_rng(0).standard_normal(w.shape)
        dw[:, 0] = dw[:, 1] = (dy * x).sum(axis=0)
        return dy * (w[:, 0] + w[:, 1]) + np.sin(7 * x), dw

    return x * (w[:, 0] + w[:, 1]), backward


def test_at_sizes_that_nobody_asked_for_no_gradient_is_accused() -> None:
    report = se.gradcheck(two_weights, shapes={"x": ("N", "C"), "w": ("C", 2)})
    assert report.gradients["dx"] == "wrong"
    assert {title for cause in report.causes for title in cause.subjects} == {"dx"}
    assert "dw is wrong" not in str(report)
