"""Mistakes in batch normalisation: three paths of x, each of which can be lost."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from numpy_se.checker.mistakes.linear import MAPS, Args
from numpy_se.checker.mistakes.registry import Layout, Rule, known, mistake, wrong_forward
from numpy_se.contract import Array
from numpy_se.ops import batch_norm, batch_norm_inference

EPS = (1e-5, 1e-3, 1e-6, 1e-8, 1e-7, 1e-4, 1e-2, 0.1, 0.0)
AXES = (0, 2, 3)

for op in (batch_norm, batch_norm_inference):
    known(op, *MAPS, Layout("NC"), eps=EPS)


def _mean(a: Array, axes: tuple[int, ...] = AXES) -> Array:
    average: Array = a.mean(axis=axes, keepdims=True)
    return average


def _sum(a: Array) -> Array:
    total: Array = a.sum(axis=AXES)
    return total


class Batch:
    """What the gradients are made of: the three paths, and the factors of all of them."""

    def __init__(self, args: Args, dy: Array, eps: float = 1e-5) -> None:
        self.x, self.dy, self.eps = args[0], dy, eps
        self.gamma, self.beta = (a[:, None, None] for a in args[1:])
        self.count = self.x.size // self.x.shape[1]
        self.share = self.count / (self.count - 1)
        self.centred = self.x - _mean(self.x)
        self.variance = _mean(self.centred**2)
        self.inverse = 1 / np.sqrt(self.variance + eps)  # 1/sigma
        self.bare = 1 / np.sqrt(self.variance)
        self.wider = 1 / np.sqrt(self.variance * self.share + eps)
        self.xhat = self.centred * self.inverse
        self.m, self.v = -_mean(dy), -self.xhat * _mean(dy * self.xhat)  # the paths of dxhat/gamma

    @cached_property
    def bracket(self) -> Array:
        total: Array = self.dy + self.m + self.v
        return total

    def dx(self, m: Any = None, v: Any = None, direct: Any = None) -> Array:
        """The right one, but for the parts that are given."""
        parts = zip((direct, m, v), (self.dy, self.m, self.v), strict=True)
        total: Array = self.gamma * self.inverse * sum(b if a is None else a for a, b in parts)
        return total

    def y(self, xhat: Array) -> Array:
        y: Array = self.gamma * xhat + self.beta
        return y

    def anew(self, axes: tuple[int, ...]) -> Array | None:
        """Normalise by the statistics over these axes."""
        if self.x.shape[2:] == (1, 1) and axes != (1, 2, 3):  # rows have no pixels
            return None
        centred = self.x - _mean(self.x, axes)
        return self.y(centred / np.sqrt(_mean(centred**2, axes) + self.eps))

    def over(self, axes: tuple[int, ...]) -> Array | None:
        """Take the two means over these axes only."""
        if self.x.shape[2:] == (1, 1):  # rows have no pixels
            return None
        return self.dx(-_mean(self.dy, axes), -self.xhat * _mean(self.dy * self.xhat, axes))

    def normalised(self, inverse: Array, ratio: float = 1) -> Array:
        """Compute xhat again with another 1/sigma, for the variance path and for the factor."""
        xhat = self.centred * inverse
        total: Array = (
            self.gamma * inverse * (self.dy + self.m - ratio * xhat * _mean(self.dy * xhat))
        )
        return total


def _dx(code: str, says: str, scaled: bool = False) -> Callable[[Rule], Rule]:
    """Register ``rule(batch)``, or ``rule(batch, factor)``, for dx."""

    def enter(rule: Rule) -> Rule:
        @mistake(f"batch-norm.{code}", of=batch_norm, says=says, scaled=scaled)
        def wrong(args: Args, dy: Array, eps: float = 1e-5, **more: Any) -> dict[int, Array] | None:
            found = rule(Batch(args, dy, eps), *more.values())
            return None if found is None else {0: found}

        return rule

    return enter


for code, says, rule in [
    (
        "statistics-as-constants",
        "the mean path and the variance path are missing: statistics as constants",
        lambda b: b.dx(0, 0),
    ),
    ("direct-path", "the direct path is missing", lambda b: b.dx(direct=0)),
    (
        "sums-for-means",
        "the sum in place of the mean in both paths",
        lambda b: b.dx(b.count * b.m, b.count * b.v),
    ),
    ("over-n", "the statistics are taken over N only", lambda b: b.over((0,))),
    ("over-pixels", "the statistics are taken over the pixels only", lambda b: b.over((2, 3))),
    ("gamma-missing", "{gamma} is missing", lambda b: b.inverse * b.bracket),
    ("gamma-twice", "{gamma} is there twice", lambda b: b.gamma * b.dx()),
    ("sigma-missing", "1/sigma is missing", lambda b: b.gamma * b.bracket),
    ("sigma-twice", "1/sigma is there twice", lambda b: b.inverse * b.dx()),
    ("sigma-cubed", "1/sigma^3 in place of 1/sigma", lambda b: b.inverse**2 * b.dx()),
    ("sigma-inverted", "sigma in place of 1/sigma", lambda b: b.dx() / b.inverse**2),
    (
        "eps-missing",
        "eps is missing in 1/sigma",
        lambda b: b.gamma * b.bare * b.bracket if b.eps else None,
    ),
    ("eps-missing", "eps is missing", lambda b: b.normalised(b.bare) if b.eps else None),
    (
        "centred-for-xhat",
        "{x} - m in place of xhat, so 1/sigma is missing in the variance path",
        lambda b: b.dx(v=-b.centred * _mean(b.dy * b.centred)),
    ),
    (
        "centred-for-xhat",
        "{x} - m in place of xhat, so 1/sigma is missing in the variance path",
        lambda b: b.dx(v=-b.centred * _mean(b.dy * b.xhat)),
    ),
    (
        "x-for-xhat",
        "{x} in place of xhat in the variance path",
        lambda b: b.dx(v=-b.x * _mean(b.dy * b.xhat)),
    ),
    (
        "x-for-xhat",
        "{x} in place of xhat in the variance path",
        lambda b: b.dx(v=-b.x * _mean(b.dy * b.x)),
    ),
]:
    _dx(code, says)(rule)

for where, rule in [
    ("", lambda b: b.dx(b.share * b.m, b.share * b.v)),
    (" in the mean path", lambda b: b.dx(m=b.share * b.m)),
    (" in the variance path", lambda b: b.dx(v=b.share * b.v)),
    (" in sigma", lambda b: b.dx() * b.wider / b.inverse),
    (" in sigma", lambda b: b.dx() * (b.wider / b.inverse) ** 2),
    (" in sigma", lambda b: b.normalised(b.wider)),
    (" in sigma and in the variance path", lambda b: b.normalised(b.wider, b.share)),
]:
    _dx("n-1", f"n - 1 in place of n{where}")(rule)

for code, says, scaled_rule in [
    ("mean-path", "the mean path {factor}", lambda b, factor: b.dx(m=factor * b.m)),
    ("variance-path", "the variance path {factor}", lambda b, factor: b.dx(v=factor * b.v)),
    (
        "both-paths",
        "the sum of the mean path and the variance path {factor}",
        lambda b, factor: b.dx(factor * b.m, factor * b.v) if factor not in (0, b.count) else None,
    ),
]:
    _dx(f"{code}.factor", says, scaled=True)(scaled_rule)

for code, says, rule in [
    ("x-for-xhat", "{x} in place of xhat", lambda b: b.x),
    ("centred-for-xhat", "{x} - m in place of xhat, so 1/sigma is missing", lambda b: b.centred),
    ("y-for-xhat", "{y} in place of xhat", lambda b: b.gamma * b.xhat + b.beta),
    ("xhat-missing", "xhat is missing: it is the sum of d{y}", lambda b: 1),
    ("gamma", "{gamma} is there too often: dxhat in place of d{y}", lambda b: b.gamma * b.xhat),
]:

    @mistake(f"batch-norm.dgamma.{code}", of=batch_norm, says=says)
    def dgamma(args: Args, dy: Array, eps: float = 1e-5, rule: Any = rule) -> dict[int, Array]:
        return {1: _sum(dy * rule(Batch(args, dy, eps)))}


# With given statistics: rules of dy, x, gamma, beta, mean, 1/sigma and 1/sigma without eps.
for place, code, says, given in [
    (0, "gamma-missing", "{gamma} is missing", lambda dy, x, g, b, m, i, bare: dy * i),
    (0, "sigma-missing", "1/sigma is missing", lambda dy, x, g, b, m, i, bare: dy * g),
    (0, "eps-missing", "eps is missing", lambda dy, x, g, b, m, i, bare: dy * g * bare),
    (
        0,
        "training",
        "the rule of training: the statistics do not depend on {x} here",
        lambda dy, x, g, b, m, i, bare: (
            g * i * (dy - _mean(dy) - (x - m) * i * _mean(dy * (x - m) * i))
        ),
    ),
    (1, "x-for-xhat", "{x} in place of xhat", lambda dy, x, g, b, m, i, bare: _sum(dy * x)),
    (
        1,
        "centred-for-xhat",
        "{x} - {mean} in place of xhat, so 1/sigma is missing",
        lambda dy, x, g, b, m, i, bare: _sum(dy * (x - m)),
    ),
    (1, "xhat-missing", "xhat is missing: it is the sum of d{y}", lambda dy, *_: _sum(dy)),
]:

    @mistake(f"batch-norm-inference.{code}", of=batch_norm_inference, says=says)
    def inference(
        args: Args, dy: Array, eps: float = 1e-5, rule: Any = given, place: int = place
    ) -> dict[int, Array]:
        x, gamma, beta, mean, variance = args[0], *(a[:, None, None] for a in args[1:])
        inverse, bare = 1 / np.sqrt(variance + eps), 1 / np.sqrt(variance)
        return {place: rule(dy, x, gamma, beta, mean, inverse, bare)}


# Wrong forward passes: functions of a batch, whose dy does not matter.
for code, says, wrong_y in [
    ("gamma-missing", "{gamma} is missing", lambda b: b.xhat + b.beta),
    ("beta-missing", "{beta} is missing", lambda b: b.gamma * b.xhat),
    ("mean-missing", "the mean is not subtracted", lambda b: b.y(b.x * b.inverse)),
    ("sigma-missing", "1/sigma is missing", lambda b: b.y(b.centred)),
    ("root-missing", "the root is missing: 1/sigma^2", lambda b: b.y(b.centred * b.inverse**2)),
    ("n-1", "the unbiased variance: n - 1 in place of n", lambda b: b.y(b.centred * b.wider)),
    ("eps-missing", "eps is missing", lambda b: b.y(b.centred * b.bare) if b.eps else None),
    (
        "eps-outside",
        "eps is added outside of the root",
        lambda b: b.y(b.centred / (1 / b.bare + b.eps)) if b.eps else None,
    ),
    ("over-n", "the statistics are taken over N only", lambda b: b.anew((0,))),
    ("over-pixels", "the statistics are taken over the pixels only", lambda b: b.anew((2, 3))),
    ("layer-norm", "the statistics are those of each sample", lambda b: b.anew((1, 2, 3))),
]:

    @wrong_forward(f"batch-norm.forward.{code}", of=batch_norm, says=says)
    def wrong_batch(args: Args, eps: float = 1e-5, rule: Any = wrong_y) -> Array | None:
        found: Array | None = rule(Batch(args, args[0], eps))
        return found


for code, says, change in [
    ("gamma-missing", "{gamma} is missing", lambda x, g, b, m, v: (x, g**0, b, m, v)),
    ("beta-missing", "{beta} is missing", lambda x, g, b, m, v: (x, g, 0 * b, m, v)),
    ("mean-missing", "{mean} is not subtracted", lambda x, g, b, m, v: (x, g, b, 0 * m, v)),
    ("root-missing", "the root of {variance} is missing", lambda x, g, b, m, v: (x, g, b, m, v**2)),
    ("sigma-missing", "1/sigma is missing", lambda x, g, b, m, v: (x, g, b, m, v**0)),
    ("eps-missing", "eps is missing", lambda *args: args),
]:

    @wrong_forward(f"batch-norm-inference.forward.{code}", of=batch_norm_inference, says=says)
    def wrong_inference(args: Args, eps: float = 1e-5, change: Any = change) -> Array:
        return batch_norm_inference(*change(*args), eps=0)[0]
