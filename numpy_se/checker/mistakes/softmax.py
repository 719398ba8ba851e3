"""Mistakes in softmax, its logarithm, logsumexp, and the cross-entropy of their targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_se.checker.mistakes.registry import Layout, known, mistake
from numpy_se.contract import Array

Result = tuple[Array, Callable[[Array], Any]]
AXES = (-1, 1, 0, -2)


def probabilities(x: Array, axis: int | None = -1) -> Array:
    exp = np.exp(x - x.max(axis=axis, keepdims=True))
    p: Array = exp / exp.sum(axis=axis, keepdims=True)
    return p


def over(a: Array, axis: int | None) -> Array:
    found: Array = a.sum(axis=axis, keepdims=True)
    return found


def softmax(x: Array, *, axis: int = -1) -> Result:
    p = probabilities(x, axis)
    return p, lambda dy: p * (dy - over(p * dy, axis))


def log_softmax(x: Array, *, axis: int = -1) -> Result:
    p = probabilities(x, axis)
    return np.log(p), lambda dy: dy - p * over(dy, axis)


def logsumexp(x: Array, *, axis: int = -1, keepdims: bool = False) -> Result:
    top, p = x.max(axis=axis, keepdims=True), probabilities(x, axis)
    y = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    spread = (lambda dy: dy) if keepdims else (lambda dy: np.expand_dims(dy, axis))
    return y if keepdims else y.squeeze(axis), lambda dy: p * spread(dy)


for op in (softmax, log_softmax, logsumexp):
    op.axes = "..."  # type: ignore[attr-defined]
known(softmax, axis=(*AXES, None))
known(log_softmax, axis=(*AXES, None))
known(logsumexp, axis=(*AXES, None), keepdims=(False, True))


def other(p: Array, axis: int | None) -> int:
    """The axis before the one of the softmax, or behind it."""
    if p.ndim < 2 or axis is None:
        raise ValueError("there is no other axis")
    return axis % p.ndim - 1 if axis % p.ndim else 1


# Rules of x, p, dy and the axis, in place of p * (dy - the sum of p * dy).
Rule = Callable[[Array, Array, Array, Any], Any]
SOFTMAX: list[tuple[str, str, Rule]] = [
    ("missing", "the derivative is missing: it is d{y}", lambda x, p, dy, k: 1 * dy),
    ("diagonal-only", "the diagonal alone, {y} (1 - {y}): the other entries of {x} count too",
     lambda x, p, dy, k: p * (1 - p) * dy),
    ("sum-missing", "the sum of {y} d{y} is missing: {y} d{y} alone", lambda x, p, dy, k: p * dy),
    ("sum-alone", "the sum alone: d{y} is missing in front of it",
     lambda x, p, dy, k: -p * over(p * dy, k)),
    ("sum-without-p", "the sum is that of d{y}, without {y}",
     lambda x, p, dy, k: p * (dy - over(dy, k))),
    ("sum-sign", "the sum has the wrong sign: + in place of -",
     lambda x, p, dy, k: p * (dy + over(p * dy, k))),
    ("sum-mean", "the mean in place of the sum of {y} d{y}",
     lambda x, p, dy, k: p * (dy - (p * dy).mean(axis=k, keepdims=True))),
    ("sum-axis", "the sum runs over the wrong axis",
     lambda x, p, dy, k: p * (dy - over(p * dy, other(p, k)))),
    ("sum-all", "the sum runs over all axes",
     lambda x, p, dy, k: p * (dy - (p * dy).sum()) if p.ndim > 1 and k is not None else None),
    ("p-in-sum-only", "{y} is missing in front", lambda x, p, dy, k: dy - over(p * dy, k)),
    ("p-missing-direct", "{y} is missing in front of d{y}",
     lambda x, p, dy, k: dy - p * over(p * dy, k)),
    ("p-missing", "{y} is missing in front, and in the sum: d{y} without its sum",
     lambda x, p, dy, k: dy - over(dy, k)),
    ("p-twice", "{y} is there twice in front", lambda x, p, dy, k: p * p * (dy - over(p * dy, k))),
    ("p-squared-in-sum", "{y}^2 in place of {y} in the sum",
     lambda x, p, dy, k: p * (dy - over(p * p * dy, k))),
    ("p-missing-in-second", "{y} is missing in front of the sum",
     lambda x, p, dy, k: p * dy - over(p * dy, k)),
    ("log-softmax", "the rule of log-softmax, d{y} - {y} times the sum of d{y}",
     lambda x, p, dy, k: dy - p * over(dy, k)),
    ("wrong-axis", "the softmax of the wrong axis is used",
     lambda x, p, dy, k: (q := probabilities(x, other(p, k))) * (dy - over(q * dy, other(p, k)))),
    ("x-for-p", "{x} in place of {y}", lambda x, p, dy, k: x * (dy - over(x * dy, k))),
    ("exp-for-p", "exp({x}), not normalised, in place of {y}",
     lambda x, p, dy, k: (e := np.exp(x)) * (dy - over(e * dy, k))),
    ("exp-alone", "exp({x}) d{y}: the denominator is taken as a constant 1",
     lambda x, p, dy, k: np.exp(x) * dy),
    ("cross-entropy", "{y} - d{y}: the rule of the cross-entropy", lambda x, p, dy, k: p - dy),
    ("off-diagonal-sign", "{y} (1 - {y}) is right on the diagonal; the rest has the wrong sign",
     lambda x, p, dy, k: p * (1 - p) * dy + p * (over(p * dy, k) - p * dy)),
    ("off-diagonal-alone", "the diagonal is -{y}^2: {y} is missing in {y} (1 - {y})",
     lambda x, p, dy, k: -p * over(p * dy, k) - p * p * dy),
    ("diagonal-one", "1 - {y} on the diagonal in place of {y} (1 - {y})",
     lambda x, p, dy, k: (1 - p) * dy - p * (over(p * dy, k) - p * dy)),
    ("twice", "the softmax is applied twice",
     lambda x, p, dy, k: p * ((g := _again(p, dy, k)) - over(p * g, k))),
    ("derivative-twice", "the derivative is applied twice",
     lambda x, p, dy, k: p * ((g := p * (dy - over(p * dy, k))) - over(p * g, k))),
    ("mean-for-sum", "the mean of d{y} in place of the sum of {y} d{y}",
     lambda x, p, dy, k: p * (dy - dy.mean(axis=k, keepdims=True))),
    ("of-sample-0", "the sum of sample 0 is used for all", lambda x, p, dy, k:
     p * (dy - over(p * dy, k)[:1]) if p.ndim > 1 and k is not None and k % p.ndim else None),
]  # fmt: skip


def _again(p: Array, dy: Array, axis: int | None) -> Array:
    q = probabilities(p, axis)
    return q * (dy - over(q * dy, axis))


LOG_SOFTMAX: list[tuple[str, str, Rule]] = [
    ("missing", "the derivative is missing: it is d{y}", lambda x, p, dy, k: 1 * dy),
    ("dy-for-sum", "d{y} in place of its sum: d{y} (1 - p)", lambda x, p, dy, k: dy * (1 - p)),
    ("mean-for-sum", "the mean of d{y} in place of its sum",
     lambda x, p, dy, k: dy - p * dy.mean(axis=k, keepdims=True)),
    ("one-for-sum", "1 in place of the sum of d{y}: d{y} - p", lambda x, p, dy, k: dy - p),
    ("softmax", "the rule of softmax, p (d{y} - the sum of p d{y})",
     lambda x, p, dy, k: p * (dy - over(p * dy, k))),
    ("softmax-sum", "the sum of p d{y} in place of the sum of d{y}",
     lambda x, p, dy, k: dy - p * over(p * dy, k)),
    ("sum-of-p-dy", "the sum of p d{y} without p in front", lambda x, p, dy, k:
     dy - over(p * dy, k)),
    ("p-missing", "p is missing: d{y} minus its sum", lambda x, p, dy, k: dy - over(dy, k)),
    ("sign", "the sum has the wrong sign: + in place of -",
     lambda x, p, dy, k: dy + p * over(dy, k)),
    ("dy-missing", "-p times the sum alone: d{y} is missing",
     lambda x, p, dy, k: -p * over(dy, k)),
    ("negative", "p in front of d{y} too: p (d{y} - the sum of d{y})",
     lambda x, p, dy, k: p * (dy - over(dy, k))),
    ("y-for-p", "{y} in place of p = exp({y})", lambda x, p, dy, k: dy - np.log(p) * over(dy, k)),
    ("x-for-p", "{x} in place of p", lambda x, p, dy, k: dy - x * over(dy, k)),
    ("exp-for-p", "exp({x}), not normalised, in place of p",
     lambda x, p, dy, k: dy - np.exp(x) * over(dy, k)),
    ("sum-axis", "the sum of d{y} runs over the wrong axis",
     lambda x, p, dy, k: dy - p * over(dy, other(p, k))),
    ("wrong-axis", "the softmax of the wrong axis is used",
     lambda x, p, dy, k: dy - probabilities(x, other(p, k)) * over(dy, k)),
    ("sum-all", "the sum of d{y} runs over all axes", lambda x, p, dy, k:
     dy - p * dy.sum() if p.ndim > 1 and k is not None else None),
    ("log-alone", "d{y}/p: the derivative of the log alone", lambda x, p, dy, k: dy / p),
]  # fmt: skip
LOGSUMEXP: list[tuple[str, str, Rule]] = [
    ("missing", "the softmax is missing: it is d{y}, spread",
     lambda x, p, dy, k: dy + 0 * x),
    ("exp", "exp({x}) in place of the softmax: it is not normalised",
     lambda x, p, dy, k: np.exp(x) * dy),
    ("shifted-exp", "exp({x} - max) in place of the softmax: it is not normalised",
     lambda x, p, dy, k: np.exp(x - x.max(axis=k, keepdims=True)) * dy),
    ("sum-alone", "1/the sum of exp({x}): exp({x}) is missing in front",
     lambda x, p, dy, k: dy / over(np.exp(x), k) + 0 * x),
    ("derivative-of-softmax", "p (1 - p) in place of p",
     lambda x, p, dy, k: p * (1 - p) * dy),
    ("wrong-axis", "the softmax of the wrong axis",
     lambda x, p, dy, k: probabilities(x, other(p, k)) * dy),
    ("all", "the softmax of all axes", lambda x, p, dy, k:
     probabilities(x, None) * dy if p.ndim > 1 and k is not None else None),
    ("max", "the mask of the maximum: the rule of max",
     lambda x, p, dy, k: (x == x.max(axis=k, keepdims=True)) * dy),
    ("log-p", "log p in place of p", lambda x, p, dy, k: np.log(p) * dy),
    ("x", "{x} in place of p", lambda x, p, dy, k: x * dy),
    ("mean", "1/n in place of p", lambda x, p, dy, k:
     dy / (x.size if k is None else x.shape[k]) + 0 * x),
]  # fmt: skip

for op, rules in ((softmax, SOFTMAX), (log_softmax, LOG_SOFTMAX), (logsumexp, LOGSUMEXP)):
    for code, says, rule in rules:

        @mistake(f"{op.__name__.replace('_', '-')}.{code}", of=op, says=says)
        def wrong(
            args: Any, dy: Array, axis: int | None = -1, rule: Any = rule, keepdims: bool = True
        ) -> dict[int, Array] | None:
            x = args[0]
            if dy.ndim < x.ndim:
                dy = dy.reshape([1] * x.ndim) if axis is None else np.expand_dims(dy, axis)
            try:
                found = rule(x, probabilities(x, axis), dy, axis)
            except ValueError:  # there is no other axis
                return None
            return None if found is None or found.shape != x.shape else {0: found}


# Cross-entropy with targets of all classes, or labels.


def _targets(logits: Array, target: Any) -> Array:
    """One-hot targets of integer labels, and others as they are."""
    if np.ndim(target) == logits.ndim - 1 and np.asarray(target).dtype.kind in "iu":
        return np.asarray(np.arange(logits.shape[-1]) == target[..., None], dtype=float)
    if np.shape(target) != logits.shape or np.asarray(target).dtype.kind != "f":
        raise ValueError("neither labels nor targets")
    return np.asarray(target)


def _share(logits: Array, mean: str) -> float:
    rows, k = logits[..., 0].size, logits.shape[-1]
    return float({"mean": 1 / rows, "sum": 1.0, "all": 1 / (rows * k), "rows": 1.0}[mean])


def cross_entropy(
    logits: Array, target: Any, *, mean: str = "mean", smoothing: float = 0.0
) -> Result:
    """The loss of a softmax: a mean over rows, a sum, a mean over all, or one for each row."""
    t = _targets(logits, target)
    goal = (1 - smoothing) * t + smoothing / t.shape[-1]
    p, share = probabilities(logits), _share(logits, mean)
    each = -(goal * np.log(p)).sum(axis=-1)

    def backward(dy: Array) -> tuple[Array, Array]:
        dy = share * (dy[..., None] if mean == "rows" else dy)
        dt = -np.log(p) * dy * (1 - smoothing)
        return (p * over(goal, -1) - goal) * dy, dt if t is target else 0.0 * target

    return each if mean == "rows" else share * each.sum(), backward


def nll(p: Array, target: Any, *, mean: str = "mean", eps: float = 0.0) -> Result:
    """The cross-entropy of probabilities, with eps in the logarithm."""
    t, share = _targets(p, target), _share(p, mean)
    each = -(t * np.log(p + eps)).sum(axis=-1)

    def backward(dy: Array) -> tuple[Array, Array]:
        dy = share * (dy[..., None] if mean == "rows" else dy)
        dt = -np.log(p + eps) * dy
        return -t / (p + eps) * dy, dt if t is target else 0.0 * target

    return each if mean == "rows" else share * each.sum(), backward


MEANS = ("mean", "sum", "all", "rows")
ORDERS = (Layout(), Layout(order=(1, 0)))
cross_entropy.axes, nll.axes = "... K, ...", "... K, ..."  # type: ignore[attr-defined]
known(cross_entropy, *ORDERS, mean=MEANS, smoothing=(0.0, 0.1, 0.05, 0.2, 0.01))
known(nll, *ORDERS, mean=MEANS, eps=(0.0, 1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6))

# In place of p - t: of the logits a, p, the target t and the smoothed one s.
for code, says, difference in [
    ("sum-of-target", "p - t: {target} is taken to have the sum 1 in each row",
     lambda a, p, t, s: p - s if abs(over(s, -1) - 1).max() > 1e-6 else None),
    ("target-missing", "{target} is missing: the softmax alone", lambda a, p, t, s: p),
    ("softmax-missing", "the softmax is missing: -{target} alone", lambda a, p, t, s: -s),
    ("logits-for-p", "{logits} in place of probabilities", lambda a, p, t, s: a - s),
    ("target-sign", "{target} has the wrong sign: p + t", lambda a, p, t, s: p + s),
    ("swapped", "{target} - p: the sign is wrong", lambda a, p, t, s: s - p),
    ("smoothing-missing", "the smoothing of {target} is missing",
     lambda a, p, t, s: p * over(t, -1) - t if s is not t else None),
    ("smoothing-share", "smoothing/K is missing in {target}", lambda a, p, t, s:
     p - t * ((s - s.min()) * t).max() / max(t.max(), 1e-9) if s is not t else None),
    ("derivative-missing", "-t/p: the derivative of the softmax is missing",
     lambda a, p, t, s: -s / p),
    ("diagonal", "-t (1 - p): the diagonal of the derivative of the softmax alone",
     lambda a, p, t, s: -s * (1 - p)),
    ("derivative-twice", "the derivative of the softmax is applied twice",
     lambda a, p, t, s: p * ((g := p * over(s, -1) - s) - over(p * g, -1))),
    ("softmax-twice", "the softmax is applied twice",
     lambda a, p, t, s: probabilities(p) * over(s, -1) - s),
    ("wrong-axis", "the softmax runs over the wrong axis",
     lambda a, p, t, s: probabilities(a, 0) * over(s, -1) - s),
    ("exp-for-p", "exp({logits}), not normalised, in place of probabilities",
     lambda a, p, t, s: np.exp(a) * over(s, -1) - s),
    ("log-p", "log p in place of p", lambda a, p, t, s: np.log(p) - s),
    ("p-minus-one", "1 is subtracted in place of {target}", lambda a, p, t, s: p - 1),
    ("only-target", "only where {target} is large: (p - t) t", lambda a, p, t, s: (p - s) * s),
    ("sigmoid", "the sigmoid in place of the softmax",
     lambda a, p, t, s: 1 / (1 + np.exp(-a)) - s),
]:  # fmt: skip

    @mistake(f"cross-entropy.{code}", of=cross_entropy, says=says)
    def wrong_logits(
        args: Any, dy: Array, mean: str = "mean", smoothing: float = 0.0, rule: Any = difference
    ) -> dict[int, Array] | None:
        a, t = args[0], _targets(*args)
        goal = (1 - smoothing) * t + smoothing / t.shape[-1] if smoothing else t
        found = rule(a, probabilities(a), t, goal)
        dy = dy[..., None] if mean == "rows" else dy
        return None if found is None else {0: found * dy * _share(a, mean)}


TARGETS: list[tuple[int, Any, str, str, Any]] = [
    (1, cross_entropy, "target.log-missing", "the log is missing in d{target}: -p",
     lambda a, p: -p),
    (1, cross_entropy, "target.logits", "-{logits} in place of -log p in d{target}",
     lambda a, p: -a),
    (1, cross_entropy, "target.prediction", "t - p: the gradient of {logits} with its sign changed",
     None),
    (1, nll, "target.log-missing", "the log is missing in d{target}: -{p}", lambda p, t: -p),
    (1, nll, "target.reciprocal", "-1/{p} in d{target}", lambda p, t: -1 / p),
    (0, nll, "target-missing", "{target} is missing: -1/{p}", lambda p, t: -1 / p),
    (0, nll, "p-missing", "1/{p} is missing: -{target}", lambda p, t: -t),
    (0, nll, "logits", "{p} - {target}: the rule of logits", lambda p, t: p - t),
    (0, nll, "log", "the log in place of its derivative: -t log {p}",
     lambda p, t: -t * np.log(p)),
    (0, nll, "square", "1/{p}^2 in place of 1/{p}", lambda p, t: -t / p**2),
    (0, nll, "binary", "(1 - t)/(1 - {p}) is there too: the binary cross-entropy",
     lambda p, t: (1 - t) / (1 - p) - t / p),
    (0, nll, "inverted", "-{p}/{target}: the quotient is inverted", lambda p, t: -p / t),
]  # fmt: skip
for place, of, code, says, of_target in TARGETS:

    @mistake(f"{of.__name__.replace('_', '-')}.{code}", of=of, says=says)
    def wrong_target(
        args: Any, dy: Array, mean: str = "mean", smoothing: float = 0.0, eps: float = 0.0,
        rule: Any = of_target, place: int = place, of: Any = of,
    ) -> dict[int, Array] | None:  # fmt: skip
        a, t = args[0], _targets(*args)
        if place and t is not args[1]:
            return None  # labels have no gradient
        p, dy = probabilities(a), dy[..., None] if mean == "rows" else dy
        found = t - p if rule is None else rule(a, p if of is cross_entropy else t)
        return {place: found * dy * _share(a, mean)}
