"""Mistakes in losses of a prediction and a target, entry by entry, and in cosine similarity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from numpy_se.checker.mistakes.registry import Layout, known, mistake
from numpy_se.checker.mistakes.softmax import over
from numpy_se.checker.mistakes.unary import Atoms, logistic, slips, total
from numpy_se.contract import Array

ORDERS = (Layout(), Layout(order=(1, 0)))
Extra = tuple[str, str, Any, Any]  # in place of dp and of dt, functions of p, t and a
Result = tuple[Any, Callable[[Array], Any]]

# What a sum of losses is multiplied with.
SHARES: dict[str, Callable[[Array], float]] = {
    "mean": lambda p: 1 / p.size,
    "sum": lambda p: 1.0,
    "rows": lambda p: 1 / len(p),
    "half-mean": lambda p: 0.5 / p.size,
    "half-sum": lambda p: 0.5,
    "half-rows": lambda p: 0.5 / len(p),
}


class Loss:
    """The sum of f(p, t), times a share. Its derivatives by p and by t are sums of products."""

    def __init__(self, code: str, f: Any, rules: tuple[str, str], atoms: Any) -> None:
        self.__name__, self.axes = code.replace("-", "_"), "..., ..."
        self.f, self.rules, self.own = f, rules, atoms

    def __call__(self, prediction: Array, target: Array, *, mean: str = "mean", a: Any = None) -> (
        Result
    ):  # fmt: skip
        if np.shape(prediction) != np.shape(target) or not np.ndim(prediction):
            raise ValueError("two arrays of one shape")
        each = mean == "each"
        share = 1.0 if each else SHARES[mean](prediction)
        y = self.f(prediction, target, a)

        def backward(dy: Array) -> tuple[Any, ...]:
            atoms = self.atoms(prediction, target, a)
            return tuple(share * dy * total(rule, atoms) for rule in self.rules)

        return y if each else share * y.sum(), backward

    def atoms(self, p: Array, t: Array, a: Any) -> Atoms:
        common = {"{prediction}": p, "{target}": t, "d": p - t, "1": p**0, "-1": -1.0, "2": 2.0}
        return {**common, **self.own(p, t, a)}


SAMPLE = np.random.default_rng(1).uniform(0.02, 0.98, (2, 40))
SAMPLE = np.hstack([SAMPLE, 6 * SAMPLE - 3])


def loss(
    code: str,
    f: Any,
    rules: tuple[str, str],
    atoms: Any,
    extras: Sequence[Extra] = (),
    a: Sequence[Any] = (None,),
    shares: Sequence[str] = (*SHARES, "each"),
) -> None:
    """Enter a loss. A slip in both gradients at once comes before those in one of them."""
    op = Loss(code, f, rules, atoms)
    known(op, *ORDERS, mean=shares, a=a)
    found: list[tuple[str, str, dict[int, Any]]] = []
    for suffix, says, *both in extras:
        given = {k: rule for k, rule in enumerate(both) if rule}
        found.append((suffix, says, {k: partial(_plain, r) for k, r in given.items()}))
    in_p, in_t = (list(slips(rule)) for rule in rules)
    for k, (own, others) in enumerate(((in_p, in_t), (in_t, in_p))):
        name = "{target}" if k else "{prediction}"
        for n, (suffix, says, rule) in enumerate(own):
            wrong = partial(_read, op, rule)
            twin = others[n] if n < len(others) else ("", "", None)
            if not k and twin[:2] == (suffix, says):
                found.append((suffix, says, {0: wrong, 1: partial(_read, op, twin[2])}))
            found.append((f"{suffix}.{'dt' if k else 'dp'}", f"{says} in d{name}", {k: wrong}))
    seen: list[Any] = []
    for suffix, says, each in found:
        with np.errstate(all="ignore"):
            p, t = SAMPLE
            atoms_ = [op.atoms(p, t, v) for v in a[:2]]
            new = np.array([
                [each[k](p, t, v) + 0 * p if k in each else total(rules[k], own) + 0 * p
                 for k in (0, 1)] for v, own in zip(a[:2], atoms_, strict=True)
            ])  # fmt: skip
            right = np.array([[total(r, own) + 0 * p for r in rules] for own in atoms_])
        if not any(np.allclose(new, old, equal_nan=True) for old in (right, *seen)):
            seen.append(new)
            mistake(f"{code}.{suffix}", of=op, says=says)(partial(_wrong, each))


def _plain(rule: Any, p: Array, t: Array, a: Any) -> Any:
    return rule(p, t, a)


def _read(op: Loss, rule: Any, p: Array, t: Array, a: Any) -> Any:
    return rule(op.atoms(p, t, a))


def _wrong(
    each: dict[int, Any], args: Any, dy: Array, mean: str = "mean", a: Any = None
) -> dict[int, Array]:
    share = 1.0 if mean == "each" else SHARES[mean](args[0])
    return {k: share * dy * rule(*args, a) + 0 * args[0] for k, rule in each.items()}


def _both(code: str, says: str, rule: Any) -> Extra:
    """A slip in d{prediction}, and its negative in d{target}."""
    return code, says, rule, lambda p, t, a: -rule(p, t, a)


NONE: Any = None
MSE = [
    _both("factor", "the factor 2 of the square is missing", lambda p, t, a: p - t),
    _both("halved", "half of the difference: 1/2 in place of the factor 2",
          lambda p, t, a: (p - t) / 2),
    _both("swapped", "{prediction} and {target} are swapped in the difference",
          lambda p, t, a: 2 * (t - p)),
    _both("abs", "the sign of the difference: the rule of the absolute error",
          lambda p, t, a: np.sign(p - t)),
    _both("abs-2", "abs of the difference: its sign is lost", lambda p, t, a: 2 * abs(p - t)),
    _both("squared", "the difference is still squared", lambda p, t, a: 2 * (p - t) ** 2),
    _both("target-missing", "2 {prediction}: {target} is missing", lambda p, t, a: 2 * p),
    _both("sum", "{prediction} + {target} in place of the difference",
          lambda p, t, a: 2 * (p + t)),
]  # fmt: skip
loss("mse", lambda p, t, a: (p - t) ** 2, ("2 * d", "-1 * 2 * d"), lambda p, t, a: {},
     [("same-sign", "d{target} has the sign of d{prediction}", NONE, lambda p, t, a: 2 * (p - t)),
      *MSE])  # fmt: skip
loss("mae", lambda p, t, a: abs(p - t), ("sign(d)", "-1 * sign(d)"),
     lambda p, t, a: {"sign(d)": np.sign(p - t)},
     [_both("difference", "the difference in place of its sign: the rule of the square",
            lambda p, t, a: p - t),
      _both("difference-2", "2 times the difference: the rule of the square",
            lambda p, t, a: 2 * (p - t)),
      _both("one", "the sign is missing: 1", lambda p, t, a: p**0),
      _both("mask", "the mask {prediction} > {target} in place of the sign",
            lambda p, t, a: (p > t) * 1.0),
      _both("swapped", "{prediction} and {target} are swapped in the sign",
            lambda p, t, a: np.sign(t - p)),
      _both("abs", "abs in place of the sign", lambda p, t, a: abs(p - t))])  # fmt: skip


def _huber(p: Array, t: Array, a: float) -> Any:
    d = abs(p - t)
    return np.where(d <= a, d * d / 2, a * (d - a / 2))


HUBER = [
    _both("quadratic", "the quadratic rule beyond delta too: it is not clipped",
          lambda p, t, a: p - t),
    _both("linear", "the linear rule inside delta too", lambda p, t, a: a * np.sign(p - t)),
    _both("delta-missing", "delta is missing beyond it: the sign alone",
          lambda p, t, a: np.where(abs(p - t) <= a, p - t, np.sign(p - t))),
    _both("sign-missing", "the sign is missing beyond delta",
          lambda p, t, a: np.where(abs(p - t) <= a, p - t, a)),
    _both("zero-beyond", "it is 0 beyond delta", lambda p, t, a: (p - t) * (abs(p - t) <= a)),
    _both("zero-inside", "it is 0 inside delta",
          lambda p, t, a: a * np.sign(p - t) * (abs(p - t) > a)),
    _both("sides", "the two rules are swapped",
          lambda p, t, a: np.where(abs(p - t) > a, p - t, a * np.sign(p - t))),
    _both("half", "half of the difference inside delta",
          lambda p, t, a: np.where(abs(p - t) <= a, (p - t) / 2, a * np.sign(p - t))),
    _both("double", "2 times the difference inside delta: 1/2 is missing",
          lambda p, t, a: np.where(abs(p - t) <= a, 2 * (p - t), a * np.sign(p - t))),
    _both("one-sided", "the clip is missing below -delta",
          lambda p, t, a: np.minimum(p - t, a)),
    _both("one-sided-above", "the clip is missing above delta",
          lambda p, t, a: np.maximum(p - t, -a)),
    _both("abs-missing", "abs is missing in the mask: {prediction} - {target} <= delta",
          lambda p, t, a: np.where(p - t <= a, p - t, a * np.sign(p - t))),
    _both("difference-beyond", "delta times the difference, and not its sign, beyond delta",
          lambda p, t, a: np.where(abs(p - t) <= a, p - t, a * (p - t))),
]  # fmt: skip
DELTAS = (1.0, 0.5, 2.0, 0.1, 1.5, 0.25, 0.3, 0.75, 1.345, 0.7)
loss("huber", _huber, ("clip(d)", "-1 * clip(d)"),
     lambda p, t, a: {"clip(d)": np.clip(p - t, -a, a)}, HUBER, DELTAS)  # fmt: skip
loss("smooth-l1", lambda p, t, a: _huber(p, t, a) / a, ("clip(d)/beta", "-1 * clip(d)/beta"),
     lambda p, t, a: {"clip(d)/beta": np.clip(p - t, -a, a) / a},
     [_both("beta-missing", "1/beta is missing inside: the difference itself",
            lambda p, t, a: np.where(abs(p - t) <= a, p - t, np.sign(p - t))),
      _both("huber", "1/beta is missing: the rule of Huber",
            lambda p, t, a: np.clip(p - t, -a, a)),
      _both("quadratic", "the quadratic rule beyond beta too: it is not clipped",
            lambda p, t, a: (p - t) / a),
      _both("linear", "the linear rule inside beta too", lambda p, t, a: np.sign(p - t))],
     DELTAS[1:])  # fmt: skip
loss("log-cosh", lambda p, t, a: np.logaddexp(p - t, t - p) - np.log(2),
     ("tanh(d)", "-1 * tanh(d)"), lambda p, t, a: {"tanh(d)": np.tanh(p - t)},
     [_both("sinh", "sinh in place of tanh: 1/cosh is missing", lambda p, t, a: np.sinh(p - t)),
      _both("reciprocal", "1/cosh alone: sinh is missing", lambda p, t, a: 1 / np.cosh(p - t)),
      _both("square", "1 - tanh^2: the rule of tanh", lambda p, t, a: 1 - np.tanh(p - t) ** 2),
      _both("difference", "the difference in place of its tanh", lambda p, t, a: p - t),
     ])  # fmt: skip

BCE = [
    ("denominator-missing", "the denominator {prediction} (1 - {prediction}) is missing: p - t",
     lambda p, t, a: p - t, NONE),
    ("sign", "the sign is wrong: t/p - (1 - t)/(1 - p)",
     lambda p, t, a: t / p - (1 - t) / (1 - p), NONE),
    ("positive-alone", "-t/p alone: the term (1 - t)/(1 - p) is missing",
     lambda p, t, a: -t / p, NONE),
    ("negative-alone", "(1 - t)/(1 - p) alone: the term -t/p is missing",
     lambda p, t, a: (1 - t) / (1 - p), NONE),
    ("inner-sign", "the inner sign of 1 - p is missing: -t/p - (1 - t)/(1 - p)",
     lambda p, t, a: -t / p - (1 - t) / (1 - p), NONE),
    ("p-missing", "1/p is missing: (p - t)/(1 - p)", lambda p, t, a: (p - t) / (1 - p), NONE),
    ("1-p-missing", "1/(1 - p) is missing: (p - t)/p", lambda p, t, a: (p - t) / p, NONE),
    ("multiplied", "multiplied by p (1 - p) where it should be divided",
     lambda p, t, a: (p - t) * p * (1 - p), NONE),
    ("logs", "the logs in place of their derivatives",
     lambda p, t, a: -t * np.log(p) - (1 - t) * np.log(1 - p), NONE),
    ("swapped", "{prediction} and {target} are swapped",
     lambda p, t, a: (t - p) / (t * (1 - t)), NONE),
    ("p-squared", "p^2 in place of p (1 - p)", lambda p, t, a: (p - t) / p**2, NONE),
    ("1-p-sum", "1 + p in place of 1 - p", lambda p, t, a: (p - t) / (p * (1 + p)), NONE),
    ("dt-log", "-log p alone in d{target}: log(1 - p) is missing", NONE,
     lambda p, t, a: -np.log(p)),
    ("dt-sum", "log p + log(1 - p) in d{target}: a sign is wrong", NONE,
     lambda p, t, a: -np.log(p) - np.log(1 - p)),
    ("dt-difference", "-d{prediction} in d{target}", NONE,
     lambda p, t, a: -(p - t) / (p * (1 - p))),
    ("dt-plain", "t - p in d{target}", NONE, lambda p, t, a: t - p),
]  # fmt: skip
BCE_RULES = ("-1 * t/p + (1-t)/(1-p)", "-1 * log(p) + log(1-p)")


def _bce(p: Array, t: Array, a: float) -> Any:
    return -(t * np.log(p + a) + (1 - t) * np.log(1 - p + a))


loss("bce", _bce, BCE_RULES,
     lambda p, t, a: {"t/p": t / (p + a), "(1-t)/(1-p)": (1 - t) / (1 - p + a),
                      "log(p)": np.log(p + a), "log(1-p)": np.log(1 - p + a)},
     BCE, (0.0, 1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6))  # fmt: skip
loss("bce-logits", lambda p, t, a: np.logaddexp(0, p) - t * p,
     ("s + -1 * {target}", "-1 * {prediction}"),
     lambda p, t, a: {"s": logistic(p)},
     [("sigmoid-missing", "the sigmoid is missing: {prediction} - {target}",
       lambda p, t, a: p - t, NONE),
      ("derivative-too", "the derivative of the sigmoid is there too: (s - t) s (1 - s)",
       lambda p, t, a: (s := logistic(p)) * (1 - s) * (s - t), NONE),
      ("derivative-missing", "the derivative of the sigmoid is missing: (s - t)/(s (1 - s))",
       lambda p, t, a: ((s := logistic(p)) - t) / (s * (1 - s)), NONE),
      ("sign", "the sign is wrong: {target} - s", lambda p, t, a: t - logistic(p), NONE),
      ("derivative", "s (1 - s) in place of s - t", lambda p, t, a:
       (s := logistic(p)) * (1 - s), NONE),
      ("twice", "the sigmoid is applied twice", lambda p, t, a: logistic(logistic(p)) - t, NONE),
      ("sign-in-exp", "the sign of {prediction} is wrong in exp", lambda p, t, a:
       logistic(-p) - t, NONE),
      ("positive-alone", "-t (1 - s) alone: (1 - t) s is missing",
       lambda p, t, a: -t * logistic(-p), NONE),
      ("negative-alone", "(1 - t) s alone: -t (1 - s) is missing",
       lambda p, t, a: (1 - t) * logistic(p), NONE),
      ("dt-log", "-log s in d{target}: log(1 - s) is missing", NONE,
       lambda p, t, a: -np.log(logistic(p))),
      ("dt-s", "-s in d{target}: the sigmoid is too much", NONE, lambda p, t, a: -logistic(p)),
      ("dt-difference", "t - s in d{target}", NONE, lambda p, t, a: t - logistic(p))])  # fmt: skip

HINGE = [
    ("mask-missing", "the mask of the margin is missing", lambda p, t, a: -t,
     lambda p, t, a: -p),
    ("mask-inverted", "the mask of the margin is inverted", lambda p, t, a: -t * (p * t >= 1),
     lambda p, t, a: -p * (p * t >= 1)),
    ("mask-at-zero", "the mask is {prediction} {target} < 0: the margin 1 is missing",
     lambda p, t, a: -t * (p * t < 0), lambda p, t, a: -p * (p * t < 0)),
    ("target-missing", "{target} is missing: -1 inside of the margin",
     lambda p, t, a: -1.0 * (p * t < 1), NONE),
    ("swapped", "{prediction} in place of {target}", lambda p, t, a: -p * (p * t < 1),
     lambda p, t, a: -t * (p * t < 1)),
    ("sign", "the sign is wrong: + {target}", lambda p, t, a: t * (p * t < 1),
     lambda p, t, a: p * (p * t < 1)),
    ("mask-of-p", "the mask is {prediction} < 1: {target} is missing in it",
     lambda p, t, a: -t * (p < 1), lambda p, t, a: -p * (p < 1)),
]  # fmt: skip
loss("hinge", lambda p, t, a: np.maximum(0, 1 - p * t),
     ("-1 * {target} * m", "-1 * {prediction} * m"),
     lambda p, t, a: {"m": (p * t < 1) * 1.0}, HINGE)  # fmt: skip
loss("squared-hinge", lambda p, t, a: np.maximum(0, 1 - p * t) ** 2,
     ("-1 * 2 * {target} * m", "-1 * 2 * {prediction} * m"),
     lambda p, t, a: {"m": np.maximum(0, 1 - p * t)},
     [*HINGE[:1], ("hinge", "the margin is missing: the rule of the plain hinge",
                   lambda p, t, a: -t * (p * t < 1), lambda p, t, a: -p * (p * t < 1)),
      ("mask-missing-2", "the mask is missing: -2 t (1 - t p) everywhere",
       lambda p, t, a: -2 * t * (1 - p * t), lambda p, t, a: -2 * p * (1 - p * t))])  # fmt: skip
loss("kl", lambda p, t, a: t * (np.log(t) - np.log(p)), ("-1 * t/p", "log(t/p) + 1"),
     lambda p, t, a: {"t/p": t / p, "log(t/p)": np.log(t / p)},
     [("inverted", "the quotient is inverted: -p/t", lambda p, t, a: -p / t, NONE),
      ("t-missing", "-1/p: {target} is missing", lambda p, t, a: -1 / p, NONE),
      ("difference", "p - t: the rule of logits", lambda p, t, a: p - t, NONE),
      ("log", "the log of the quotient in place of the quotient",
       lambda p, t, a: np.log(p / t), NONE),
      ("p-missing", "-t: 1/p is missing", lambda p, t, a: -t, NONE),
      ("constant", "d{target} is taken as log t - log p: + 1 is missing", NONE,
       lambda p, t, a: np.log(t / p)),
      ("log-t", "d{target} is taken as log t + 1: log p is missing", NONE,
       lambda p, t, a: np.log(t) + 1),
      ("minus-one", "d{target} has - 1 in place of + 1", NONE,
       lambda p, t, a: np.log(t / p) - 1)])  # fmt: skip
loss("kl-log", lambda p, t, a: t * (np.log(t) - p),
     ("-1 * {target}", "log(t) + -1 * {prediction} + 1"),
     lambda p, t, a: {"log(t)": np.log(t)},
     [("exp", "exp({prediction}) - {target}: as if {prediction} were not normalised",
       lambda p, t, a: np.exp(p) - t, NONE),
      ("quotient", "-t/p: {prediction} is a logarithm already", lambda p, t, a: -t / p, NONE),
      ("constant", "+ 1 is missing in d{target}", NONE, lambda p, t, a: np.log(t) - p),
      ])  # fmt: skip
loss("poisson", lambda p, t, a: p - t * np.log(p), ("1 + -1 * t/p", "-1 * log(p)"),
     lambda p, t, a: {"t/p": t / p, "log(p)": np.log(p)})  # fmt: skip


# Cosine similarity of rows: y = sum(a b) / (|a| |b|), or 1 - y; their mean, sum, or each.


def _norm(a: Array) -> Array:
    return np.sqrt(over(a * a, -1))


def _spread(dy: Array, a: Array, mean: str, distance: bool) -> Array:
    """The gradient of each row, with a last axis of size 1."""
    share = {"each": 1.0, "sum": 1.0, "mean": 1 / a[..., 0].size}[mean] * (1 - 2 * distance)
    return share * (dy[..., None] if mean == "each" else dy * np.ones_like(a[..., :1]))


def cosine_similarity(
    a: Array, b: Array, *, mean: str = "each", distance: bool = False, eps: float = 0.0
) -> Result:
    if np.shape(a) != np.shape(b) or not np.ndim(a):
        raise ValueError("two arrays of one shape")
    na, nb = _norm(a), _norm(b)
    den = na * nb + eps
    y = over(a * b, -1) / den

    def backward(dy: Array) -> tuple[Array, Array]:
        d = _spread(dy, a, mean, distance) / den
        return d * (b - y * nb * a / na), d * (a - y * na * b / nb)

    rows = y[..., 0] * (1 - 2 * distance) + distance
    return {"each": rows, "sum": rows.sum(), "mean": rows.mean()}[mean], backward


cosine_similarity.axes = "... D, ... D"  # type: ignore[attr-defined]
known(cosine_similarity, mean=("each", "mean", "sum"), distance=(False, True),
      eps=(0.0, 1e-8, 1e-6, 1e-12))  # fmt: skip
# One gradient, of the own array a, the other one b, and the cosine.
for code, says, of_own in [
    ("norms-constant", "the norms are taken as constants: the second term is missing",
     lambda a, b, y: b / _norm(a) / _norm(b)),
    ("numerator-constant", "the second term alone: the numerator is taken as a constant",
     lambda a, b, y: -y * a / _norm(a) ** 2),
    ("second-sign", "the second term has the wrong sign",
     lambda a, b, y: b / _norm(a) / _norm(b) + y * a / _norm(a) ** 2),
    ("not-squared", "the norm is not squared in the second term",
     lambda a, b, y: b / _norm(a) / _norm(b) - y * a / _norm(a)),
    ("other-norm", "the norm of the other array in the second term",
     lambda a, b, y: b / _norm(a) / _norm(b) - y * a / _norm(b) ** 2),
    ("both-norms", "both norms in place of the own norm squared in the second term",
     lambda a, b, y: b / _norm(a) / _norm(b) - y * a / _norm(a) / _norm(b)),
    ("y-missing", "the cosine is missing in the second term",
     lambda a, b, y: b / _norm(a) / _norm(b) - a / _norm(a) ** 2),
    ("dot-for-y", "the dot product in place of the cosine in the second term",
     lambda a, b, y: b / _norm(a) / _norm(b) - over(a * b, -1) * a / _norm(a) ** 2),
    ("other-for-own", "the other array in the second term",
     lambda a, b, y: b / _norm(a) / _norm(b) - y * b / _norm(b) ** 2),
    ("denominator-missing", "1/(|a| |b|) is missing in the first term",
     lambda a, b, y: b - y * a / _norm(a) ** 2),
    ("undivided", "both terms are not divided by |a| |b|", lambda a, b, y: b - y * a),
    ("dot", "the rule of the dot product: the norms are missing", lambda a, b, y: b + 0 * y),
    ("normalised", "only the own norm is missing", lambda a, b, y:
     b / _norm(b) - y * a / _norm(a)),
]:  # fmt: skip
    for places, where in (((0, 1), ""), ((0,), " in d{a}"), ((1,), " in d{b}")):

        @mistake(f"cosine-similarity.{code}", of=cosine_similarity, says=says + where)
        def wrong_cosine(
            args: Any, dy: Array, mean: str = "each", distance: bool = False, eps: float = 0.0,
            rule: Any = of_own, places: Any = places,
        ) -> dict[int, Array]:  # fmt: skip
            y = over(args[0] * args[1], -1) / (_norm(args[0]) * _norm(args[1]) + eps)
            d = _spread(dy, args[0], mean, distance)
            return {k: d * rule(args[k], args[1 - k], y) for k in places}
