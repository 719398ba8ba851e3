"""Mistakes in batch normalisation: three paths of x, each of which can be lost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from numpy_se.contract import Array
from numpy_se.checker.claims import scaled
from numpy_se.checker.mistakes.common import Mistakes

AXES = (0, 2, 3)


def batch_norm(
    args: tuple[Array, Array, Array], dy: Array, sizes: Mapping[str, int], *, eps: float
) -> Mistakes:
    """Give wrong gradients of batch normalisation with the statistics of the batch."""
    x, gamma, beta = args[0], args[1][:, None, None], args[2][:, None, None]

    def mean(a: Array, axes: tuple[int, ...] = AXES) -> Array:
        average: Array = a.mean(axis=axes, keepdims=True)
        return average

    count = x.size // x.shape[1]
    centred = x - mean(x)
    variance = mean(centred**2)
    inverse = 1 / np.sqrt(variance + eps)  # 1/sigma
    xhat = centred * inverse
    through_m, through_v = -mean(dy), -xhat * mean(dy * xhat)

    def dx(through_m: Array, through_v: Array, direct: Array = dy) -> dict[int, Array]:
        return {0: gamma * inverse * (direct + through_m + through_v)}

    zero, one = np.zeros(()), np.ones(())
    yield "the mean path and the variance path are missing: statistics as constants", dx(zero, zero)
    for cause, factor in scaled(sizes, one):
        words = "is missing" if cause == "is zero" else cause
        yield f"the mean path {words}", dx(factor * through_m, through_v)
        yield f"the variance path {words}", dx(through_m, factor * through_v)
        both = "are" + words.removeprefix("is")
        yield (
            f"the mean path and the variance path {both}",
            dx(factor * through_m, factor * through_v),
        )
    yield "the direct path is missing", dx(through_m, through_v, direct=zero)
    yield (
        "the sum in place of the mean in both paths: N*H*W times too large",
        dx(count * through_m, count * through_v),
    )
    for axes, kept in (((0,), "N"), ((2, 3), "H W")):
        parts = -mean(dy, axes), -xhat * mean(dy * xhat, axes)
        yield f"the statistics are taken over {kept} only", dx(*parts)

    unbiased = "N*H*W - 1 in place of N*H*W"
    share = count / (count - 1)
    wider = 1 / np.sqrt(variance * share + eps)
    whole = centred * wider
    yield unbiased, dx(share * through_m, share * through_v)
    yield f"{unbiased} in the mean path", dx(share * through_m, through_v)
    yield f"{unbiased} in the variance path", dx(through_m, share * through_v)
    for power in (1, 2):
        yield unbiased, {0: dx(through_m, through_v)[0] * (wider / inverse) ** power}
    for ratio in (1, share):
        through_whole = -ratio * whole * mean(dy * whole)
        yield unbiased, {0: gamma * wider * (dy + through_m + through_whole)}

    bracket = dy + through_m + through_v
    bare = 1 / np.sqrt(variance)
    raw = centred * bare
    wrong_factors = {
        "gamma is missing": inverse,
        "1/sigma is missing": gamma,
        "1/sigma is there twice": gamma * inverse**2,
        "1/sigma^3 in place of 1/sigma": gamma * inverse**3,
        "sigma in place of 1/sigma": gamma / inverse,
        "eps is missing in 1/sigma": gamma * bare,
        "gamma is there twice": gamma**2 * inverse,
    }
    for cause, outer in wrong_factors.items():
        yield cause, {0: outer * bracket}
    yield "eps is missing", {0: gamma * bare * (dy + through_m - raw * mean(dy * raw))}
    without_sigma = "x - m in place of xhat, so 1/sigma is missing"
    yield f"{without_sigma} in the variance path", dx(through_m, -centred * mean(dy * centred))
    yield f"{without_sigma} in the variance path", dx(through_m, -centred * mean(dy * xhat))
    yield "x in place of xhat in the variance path", dx(through_m, -x * mean(dy * xhat))
    yield "x in place of xhat in the variance path", dx(through_m, -x * mean(dy * x))

    dgamma = {
        "x in place of xhat": x,
        without_sigma: centred,
        "y in place of xhat": gamma * xhat + beta,
        "xhat is missing: it is the sum of dy": one,
        "gamma is there too often: dxhat in place of dy": gamma * xhat,
    }
    for cause, value in dgamma.items():
        yield cause, {1: (dy * value).sum(axis=AXES)}


def batch_norm_inference(
    args: tuple[Array, ...], dy: Array, sizes: Mapping[str, int], *, eps: float
) -> Mistakes:
    """Give wrong gradients of normalisation with given statistics."""
    x, gamma, _, mean, variance = (a if a.ndim == 4 else a[:, None, None] for a in args)
    inverse = 1 / np.sqrt(variance + eps)
    dx, xhat = gamma * inverse * dy, (x - mean) * inverse
    yield "gamma is missing", {0: dy * inverse}
    yield "1/sigma is missing", {0: dy * gamma}
    yield "eps is missing", {0: dy * gamma / np.sqrt(variance)}
    through_m = dx.mean(axis=AXES, keepdims=True)
    through_v = xhat * (dx * xhat).mean(axis=AXES, keepdims=True)
    cause = "the rule of training: the statistics do not depend on x here"
    yield cause, {0: dx - through_m - through_v}
    yield "x in place of xhat", {1: (dy * x).sum(axis=AXES)}
