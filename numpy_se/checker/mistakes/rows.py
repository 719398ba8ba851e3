"""Mistakes in normalisers: each subtracts a mean, or none, and divides by a size of its own.

    c = x - mean(x)        r = sqrt(sum(c^2)/k + eps)
    xhat = c/(r + outside)        y = gamma xhat + beta

With g = dy gamma and sigma = r + outside,

    dx = (g - xhat sum(g xhat) sigma/(k r) - mean(g)) / sigma

which has the mean path, where a mean is subtracted, and the path of the size: variance or norm.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from numpy_se.checker.mistakes.norm import EPS
from numpy_se.checker.mistakes.registry import known, mistake
from numpy_se.contract import Array

Axes = tuple[int, ...]


class Normaliser:
    """A normaliser, with the options of its family."""

    def __init__(self, code: str, centred: bool, affine: bool, size: str) -> None:
        self.__name__ = code.replace("-", "_")
        self.axes = "..., ..., ..."
        self.centred, self.affine, self.size = centred, affine, size

    def __call__(self, x: Array, gamma: Any = None, beta: Any = None, **options: Any) -> Any:
        if gamma is not None and not self.affine:
            raise ValueError("it has no gamma")
        n = _Parts(self, (x, gamma, beta), np.zeros_like(x), **options)

        def backward(dy: Array) -> tuple[Array, ...]:
            parts = _Parts(self, (x, gamma, beta), dy, **options)
            found = [parts.dx()]
            if gamma is not None:
                found.append(parts.reduced(dy * parts.xhat, gamma))
            if beta is not None:
                found.append(parts.reduced(dy, beta))
            return tuple(found)

        return n.gamma * n.xhat + n.beta, backward


class _Parts:
    """What the gradients are made of."""

    def __init__(
        self, op: Normaliser, args: Any, dy: Array, axes: Any = (-1,), eps: float = 0.0,
        outside: float = 0.0, ddof: int = 0, groups: int = 0,
    ) -> None:  # fmt: skip
        x, gamma, beta = (*args, None, None)[:3]
        self.op, self.shape, self.groups = op, x.shape, groups
        self.per_channel = groups or axes[0] == 2
        if axes[0] == 1:  # all but the first
            axes = tuple(range(1, x.ndim))
        elif axes[0] == 2:
            axes = tuple(range(2, x.ndim))
        if groups:
            if x.ndim < 3 or x.shape[1] % groups:
                raise ValueError("no groups of channels")
            axes = tuple(range(2, x.ndim + 1))
        if not axes or max(axes) >= x.ndim + bool(groups):
            raise ValueError("it has no such axes")
        self.over, self.eps, self.outside = axes, eps, outside
        self.gamma, self.beta = (
            default if a is None else self.spread(a) for a, default in ((gamma, 1.0), (beta, 0.0))
        )
        self.x, self.dy = self.grouped(x), self.grouped(dy)
        self.g = self.grouped(dy * self.gamma)
        self.n = int(np.prod([self.x.shape[k] for k in axes]))
        self.k = {"mean": self.n - ddof, "sum": 1}[op.size]
        self.c = self.x - self.mean(self.x) if op.centred else self.x
        self.r = np.sqrt(self.sum(self.c**2) / self.k + eps)
        self.sigma = self.r + outside
        self.hat = self.c / self.sigma
        self.m = -self.mean(self.g) if op.centred else 0.0
        self.v = -self.hat * self.sum(self.g * self.hat) * self.sigma / (self.k * self.r)

    @property
    def xhat(self) -> Array:
        return self.hat.reshape(self.shape)

    def spread(self, a: Array) -> Array:
        if self.per_channel:
            if np.shape(a) == (self.shape[1],):
                return a.reshape(-1, *[1] * (len(self.shape) - 2))
        elif np.ndim(a) <= len(self.over) or np.size(a) == 1:
            return a
        if np.broadcast_shapes(np.shape(a), self.shape) != self.shape:
            raise ValueError("gamma and beta do not fit")
        return a

    def reduced(self, a: Array, like: Array) -> Array:
        """Sum over the axes along which gamma or beta is spread."""
        spread = np.shape(self.spread(like))
        padded = (1,) * (a.ndim - len(spread)) + spread
        axes = tuple(k for k, n in enumerate(padded) if n == 1 and a.shape[k] > 1)
        return np.asarray(a.sum(axis=axes)).reshape(like.shape)

    def grouped(self, a: Array) -> Array:
        g = self.groups
        return a.reshape(len(a), g, a.shape[1] // g, *a.shape[2:]) if g else a

    def mean(self, a: Array, axes: Axes | None = None) -> Array:
        found: Array = a.mean(axis=axes or self.over, keepdims=True)
        return found

    def sum(self, a: Array) -> Array:
        found: Array = a.sum(axis=self.over, keepdims=True)
        return found

    def dx(self, m: Any = None, v: Any = None, direct: Any = None, sigma: Any = None) -> Array:
        """The right one, but for the parts that are given."""
        given = ((direct, self.g), (m, self.m), (v, self.v))
        total = sum(right if a is None else a for a, right in given)
        found: Array = total / (self.sigma if sigma is None else sigma) + 0 * self.x
        return found.reshape(self.shape)

    def others(self) -> Axes:
        """Axes that are the wrong ones."""
        if self.x.ndim < 2:
            raise ValueError("there are no others")
        return (0,) if 0 not in self.over else (self.x.ndim - 1,)

    def path(self, hat: Array, g: Any = None, factor: Any = 1.0) -> Array:
        """The path of the size, with something in place of xhat or of dy gamma."""
        g = self.g if g is None else g
        total: Array = -factor * hat * self.sum(g * hat) / self.k
        return total


layer_norm = Normaliser("layer-norm", True, True, "mean")
rms_norm = Normaliser("rms-norm", False, True, "mean")
standardise = Normaliser("standardise", True, False, "mean")
l2_normalise = Normaliser("l2-normalise", False, False, "sum")
group_norm = Normaliser("group-norm", True, True, "mean")

# (1,) stands for all axes but the first, (2,) for the pixels: an instance norm.
known(layer_norm, axes=((-1,), (1,), (2,)), eps=EPS)
known(layer_norm, axes=((-1,), (1,), (2,)), eps=(0.0,), outside=EPS[:-1])
known(layer_norm, axes=((-1,),), eps=(0.0,), outside=(0.0, *EPS[:-1]), ddof=(1,))
known(rms_norm, axes=((-1,), (1,)), eps=(*EPS, 1e-12))
known(rms_norm, axes=((-1,),), eps=(0.0,), outside=(*EPS[:-1], 1e-12))
known(standardise, axes=((0,), (0, 1), (0, 2, 3), (0, 2)), eps=EPS, ddof=(0, 1))
known(standardise, axes=((0,), (0, 1)), eps=(0.0,), outside=(*EPS[:-1], 1e-12), ddof=(0, 1))
known(standardise, axes=((-1,),), eps=EPS, ddof=(1,))
known(l2_normalise, axes=((-1,), (0,), (1,), (0, 1)), eps=(0.0, *EPS[:-1], 1e-12, 1e-10))
known(l2_normalise, axes=((-1,), (0,), (1,)), outside=(1e-12, 1e-8, 1e-10, 1e-6, 1e-5))
known(group_norm, axes=((-1,),), eps=EPS, groups=(2, 3, 4, 1))


def _rules(op: Normaliser) -> list[tuple[str, str, Any]]:
    """The mistakes in dx of a family."""
    path = "variance path" if op.centred else "path of the norm"
    found: list[tuple[str, str, Any]] = [
        ("sigma-constant",
         f"{'the mean path and ' if op.centred else ''}the {path} {'are' if op.centred else 'is'} "
         f"missing: {'the statistics' if op.centred else 'the norm'} taken as a constant",
         lambda b: b.dx(0, 0)),
        ("direct-path", "the direct path is missing", lambda b: b.dx(direct=0)),
        ("path-sign", f"the {path} has the wrong sign", lambda b: b.dx(v=-b.v)),
        ("path-twice", f"the {path} is 2 times too large", lambda b: b.dx(v=2 * b.v)),
        ("path-half", f"the {path} is 2 times too small", lambda b: b.dx(v=b.v / 2)),
        ("sigma-missing", "1/sigma is missing" if op.centred else "1/norm is missing",
         lambda b: b.dx(sigma=1.0)),
        ("sigma-twice", "1/sigma is there twice" if op.centred else "1/norm is there twice",
         lambda b: b.dx(sigma=b.sigma**2)),
        ("sigma-cubed", "1/sigma^3 in place of 1/sigma" if op.centred
         else "1/norm^3 in place of 1/norm", lambda b: b.dx(sigma=b.sigma**3)),
        ("sigma-inverted", "multiplied by sigma" if op.centred else "multiplied by the norm",
         lambda b: b.dx(sigma=1 / b.sigma)),
        ("eps-missing", "eps is missing",
         lambda b: b.dx(sigma=np.sqrt(b.r**2 - b.eps)) if b.eps > 1e-9 or b.outside > 1e-9
         else None),
        ("x-for-xhat", f"{{x}} in place of xhat in the {path}",
         lambda b: b.dx(v=b.path(b.x))),
        ("x-for-xhat-once",
         f"{{x}} in place of xhat{' in front of' if op.centred else ', once, in'} the {path}",
         lambda b: b.dx(v=-b.x * b.sum(b.g * b.hat) / b.k)),
        ("xhat-missing", f"xhat is missing in front of the {path}",
         lambda b: b.dx(v=-b.sum(b.g * b.hat) / b.k)),
        ("xhat-missing-inside", f"xhat is missing inside of the {path}",
         lambda b: b.dx(v=-b.hat * b.sum(b.g) / b.k)),
        ("dy-missing", f"d{{y}} is missing in the {path}",
         lambda b: b.dx(v=-b.hat * b.sum(b.hat) / b.k if not op.centred else
                        -b.hat * b.sum(b.hat * b.hat) / b.k)),
        ("path-axis", f"the {path} has its {'mean' if op.size == 'mean' else 'sum'} over the "
         "wrong axis", lambda b: b.dx(v=-b.hat * b.mean(b.g * b.hat, b.others())
                                      * (1 if op.size == "mean" else b.x.shape[b.others()[0]]))),
    ]  # fmt: skip
    if op.size == "mean":
        found += [
            ("path-sum", f"the {path} has the sum in place of the mean",
             lambda b: b.dx(v=b.k * b.v)),
        ]  # fmt: skip
    else:
        found += [
            ("path-mean", f"the {path} has the mean in place of the sum",
             lambda b: b.dx(v=b.v / b.n)),
            ("path-divided", f"1/norm is there too often in the {path}",
             lambda b: b.dx(v=b.v / b.sigma)),
        ]  # fmt: skip
    if op.centred:
        found += [
            ("x-for-xhat-inside", f"{{x}} in place of xhat inside of the {path}",
             lambda b: b.dx(v=-b.hat * b.sum(b.g * b.x) / b.k)),
            ("mean-path", "the mean path is missing", lambda b: b.dx(m=0)),
            ("variance-path", "the variance path is missing", lambda b: b.dx(v=0)),
            ("mean-sign", "the mean path has the wrong sign", lambda b: b.dx(m=-b.m)),
            ("mean-sum", "the mean path has the sum in place of the mean",
             lambda b: b.dx(m=b.n * b.m)),
            ("sums-for-means", "the sum in place of the mean in both paths",
             lambda b: b.dx(b.n * b.m, b.n * b.v)),
            ("mean-undivided", "1/sigma is missing in the mean path",
             lambda b: b.dx(m=b.m * b.sigma)),
            ("mean-axis", "the mean path has its mean over the wrong axis",
             lambda b: b.dx(m=-b.mean(b.g, b.others()))),
            ("both-axes", "both paths have their means over the wrong axis",
             lambda b: b.dx(-b.mean(b.g, b.others()), -b.hat * b.mean(b.g * b.hat, b.others()))),
            ("centred-for-xhat",
             "{x} - mean in place of xhat in the variance path: 1/sigma is missing",
             lambda b: b.dx(v=b.path(b.c))),
            ("centred-for-xhat-once",
             "{x} - mean in place of xhat in the variance path, once: 1/sigma is missing",
             lambda b: b.dx(v=b.path(b.hat) * b.sigma)),
            ("variance-cubed", "1/sigma is there too often in the variance path",
             lambda b: b.dx(v=b.v / b.sigma)),
            ("n-1", "n - 1 in place of n", lambda b: _share(b, -1)),
            ("n-1-both", "n - 1 in place of n in both paths",
             lambda b: b.dx(b.m * b.n / (b.n - 1), b.v * b.k / (b.n - 1)) if b.k == b.n else None),
        ]  # fmt: skip
    if op in (layer_norm, standardise):
        found += [
            ("n", "n in place of n - 1 in the variance path", lambda b: _share(b, 1)),
        ]
    if op.affine:
        found += [
            ("gamma-missing", "{gamma} is missing", lambda b: _without_gamma(b, True, True)),
            ("gamma-in-paths",
             "{gamma} is missing inside of the means",
             lambda b: _without_gamma(b, False, True)),
            ("gamma-outside",
             "{gamma} is multiplied behind the means, not inside of them",
             lambda b: _without_gamma(b, True, True, after=True)),
            ("gamma-twice", "{gamma} is there twice",
             lambda b: b.dx() * b.gamma if np.ndim(b.gamma) else None),
        ]  # fmt: skip
    return found


def _share(b: _Parts, step: int) -> Array | None:
    """Exchange n and n - 1 in the variance path."""
    if (b.k == b.n) == (step > 0):
        return None
    return b.dx(v=b.v * b.k / (b.k + step))


def _without_gamma(b: _Parts, direct: bool, paths: bool, after: bool = False) -> Array | None:
    """Leave gamma out in some of the parts, or multiply it to all of them at last."""
    if np.ndim(b.gamma) == 0:
        return None
    g = b.dy
    m = -b.mean(g) if b.op.centred else 0.0
    found = b.dx(m, b.path(b.hat, g, b.sigma / b.r), g if direct else None)
    return found * b.gamma if after else found


for op in (layer_norm, rms_norm, standardise, l2_normalise, group_norm):
    code = op.__name__.replace("_", "-")
    for suffix, says, rule in _rules(op):

        @mistake(f"{code}.{suffix}", of=op, says=says)
        def wrong_dx(
            args: Any, dy: Array, op: Any = op, rule: Any = rule, **options: Any
        ) -> dict[int, Array] | None:
            try:
                found = rule(_Parts(op, args, dy, **options))
            except ValueError:  # there are no other axes
                return None
            return None if found is None else {0: found}

    for suffix, says, rule in [
        ("x-for-xhat", "{x} in place of xhat", lambda b: b.x),
        ("xhat-missing", "xhat is missing: it is the sum of d{y}", lambda b: 0 * b.x + 1),
        ("y-for-xhat", "{y} in place of xhat", lambda b: b.grouped(b.gamma * b.xhat + b.beta)),
        ("gamma", "{gamma} is there too often: dxhat in place of d{y}",
         lambda b: b.grouped(b.gamma * b.xhat)),
        ("centred-for-xhat", "{x} - mean in place of xhat, so 1/sigma is missing",
         lambda b: b.c),
    ][: 4 + op.centred if op.affine else 0]:  # fmt: skip

        @mistake(f"{code}.dgamma.{suffix}", of=op, says=says)
        def wrong_gamma(
            args: Any, dy: Array, op: Any = op, rule: Any = rule, **options: Any
        ) -> dict[int, Array] | None:
            parts = _Parts(op, args, dy, **options)
            found = rule(parts)
            if len(args) < 2 or found is None:
                return None
            return {1: parts.reduced(dy * found.reshape(parts.shape), args[1])}
