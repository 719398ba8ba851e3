"""Mistakes in batch normalisation: three paths of x, each of which can be lost."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpy_se.contract import Array
from numpy_se.gradcheck.claims import factors
from numpy_se.gradcheck.mistakes.common import Mistakes


def batch_norm(args: tuple[Array, Array, Array], dy: Array, sizes: Any, *, eps: float) -> Mistakes:
    x, gamma, _ = args
    axes, count = (0, 2, 3), x.size // x.shape[1]

    def mean(a: Array) -> Array:
        return a.mean(axis=axes, keepdims=True)

    gamma = gamma[:, None, None]
    centred = x - mean(x)
    variance = mean(centred**2)
    scale = 1 / np.sqrt(variance + eps)
    xhat = centred * scale
    through_m, through_v = -mean(dy), -xhat * mean(dy * xhat)
    right = gamma * scale * (dy + through_m + through_v)
    bare, unbiased = 1 / np.sqrt(variance), count / (count - 1)
    biased = 1 / np.sqrt(variance * unbiased + eps)
    dx = {
        "the mean path and the variance path are missing: statistics as constants": scale * dy,
        "the mean path is missing": scale * (dy + through_v),
        "the variance path is missing": scale * (dy + through_m),
        "the direct path is missing": scale * (through_m + through_v),
        "the mean path has the wrong sign": scale * (dy - through_m + through_v),
        "the variance path has the wrong sign": scale * (dy + through_m - through_v),
        "N*H*W - 1 in place of N*H*W": scale * (dy + unbiased * (through_m + through_v)),
        "N*H*W - 1 in place of N*H*W in the mean path": scale * (dy + unbiased * through_m + through_v),
        "N*H*W - 1 in place of N*H*W in the variance path": scale * (dy + through_m + unbiased * through_v),
        "1/sigma is missing": dy + through_m + through_v,
        "1/sigma is there twice": scale**2 * (dy + through_m + through_v),
        "1/sigma^3 in place of 1/sigma": scale**3 * (dy + through_m + through_v),
        "sigma in place of 1/sigma": (dy + through_m + through_v) / scale,
        "eps is missing": bare * (dy - mean(dy) - centred * bare * mean(dy * centred * bare)),
        "eps is missing in 1/sigma": bare * (dy + through_m + through_v),
        "x - m in place of xhat": scale * (dy + through_m - centred * mean(dy * centred)),
        "x - m in place of xhat: 1/sigma is missing in the variance path": scale * (dy + through_m - centred * mean(dy * xhat)),
    }  # fmt: skip
    yield "gamma is missing", (scale * (dy + through_m + through_v), None, None)
    for power in (1, 2):
        yield "N*H*W - 1 in place of N*H*W", (
            right * (biased / scale) ** power, None, None)  # fmt: skip
    whole = centred * biased
    yield "N*H*W - 1 in place of N*H*W", (
        gamma * biased * (dy - mean(dy) - whole * mean(dy * whole)), None, None)  # fmt: skip
    yield "N*H*W - 1 in place of N*H*W", (
        gamma * biased * (dy - mean(dy) - whole * unbiased * mean(dy * whole)), None, None)  # fmt: skip
    for cause, value in dx.items():
        yield cause, (gamma * value, None, None)
    for over, kept in ((0, "N"), ((2, 3), "H W")):
        means = [a.mean(axis=over, keepdims=True) for a in (dy, dy * xhat)]
        yield f"the statistics are taken over {kept} only", (
            gamma * scale * (dy - means[0] - xhat * means[1]), None, None)  # fmt: skip
    yield "the sum in place of the mean in both paths: N*H*W times too large", (
        gamma * scale * (dy + count * (through_m + through_v)), None, None)  # fmt: skip
    yield "x in place of xhat in the variance path", (
        gamma * scale * (dy + through_m - x * mean(dy * xhat)), None, None)  # fmt: skip
    yield "x in place of xhat in the variance path", (
        gamma * scale * (dy + through_m - x * mean(dy * x)), None, None)  # fmt: skip
    for name, factor in factors(sizes):
        for sign, how in ((factor, "large"), (1 / factor, "small")):
            yield f"the mean path is {name} times too {how}", (
                gamma * scale * (dy + sign * through_m + through_v), None, None)  # fmt: skip
            yield f"the variance path is {name} times too {how}", (
                gamma * scale * (dy + through_m + sign * through_v), None, None)  # fmt: skip
    yield "x in place of xhat", (None, (dy * x).sum(axis=axes), None)
    yield "x - m in place of xhat: 1/sigma is missing", (None, (dy * centred).sum(axis=axes), None)
    yield (
        "y in place of xhat",
        (None, (dy * (gamma * xhat + args[2][:, None, None])).sum(axis=axes), None),
    )
    yield "xhat is missing: it is the sum of dy", (None, dy.sum(axis=axes), None)
    yield (
        "gamma is there too often: dxhat in place of dy",
        (None, (dy * xhat * gamma).sum(axis=axes), None),
    )


def batch_norm_inference(args: tuple[Array, ...], dy: Array, sizes: Any, *, eps: float) -> Mistakes:
    x, gamma, _, mean, variance = (a if a.ndim == 4 else a[:, None, None] for a in args)
    scale = 1 / np.sqrt(variance + eps)
    others = (None,) * 4
    yield "gamma is missing", (dy * scale, *others)
    yield "1/sigma is missing", (dy * gamma, *others)
    yield "eps is missing", (dy * gamma / np.sqrt(variance), *others)
    dx = gamma * scale * dy
    through_m, xhat = dx.mean(axis=(0, 2, 3), keepdims=True), (x - mean) * scale
    yield "the rule of training: the statistics do not depend on x here", (
        dx - through_m - xhat * (dx * xhat).mean(axis=(0, 2, 3), keepdims=True), *others)  # fmt: skip
    yield "x in place of xhat", (None, (dy * x).sum(axis=(0, 2, 3)), *others[1:])
