"""Mistakes in softmax and cross-entropy: probabilities minus a one-hot label, over N."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from numpy_se.contract import Array
from numpy_se.checker.mistakes.common import Mistakes


def softmax_cross_entropy(
    args: tuple[Array, Array], dy: Array, sizes: Mapping[str, int]
) -> Mistakes:
    """Give wrong gradients of the mean cross-entropy of softmax."""
    logits, labels = args
    for cause, dlogits in _times_n(logits, labels):
        yield cause, {0: dlogits * dy / len(logits)}


def _times_n(logits: Array, labels: Array) -> list[tuple[str, Array]]:
    """What stands in place of p - one_hot."""
    n, k = logits.shape

    def softmax(a: Array, axis: int = 1) -> Array:
        exp = np.exp(a - a.max(axis=axis, keepdims=True))
        p: Array = exp / exp.sum(axis=axis, keepdims=True)
        return p

    def one_hot(labels: Array) -> Array:
        hot: Array = (np.arange(k) == labels[:, None]).astype(float)
        return hot

    p, hot = softmax(logits), one_hot(labels)
    twice = "the derivative of the softmax is applied twice"
    unnormalised = "the softmax is not normalised: exp in place of probabilities"
    found = [
        ("the one-hot is missing", p),
        ("1 is subtracted from all classes, and not at the label only", p - 1),
        ("log p in place of p", np.log(p) - hot),
        ("the one-hot alone: the softmax is missing", -hot),
        ("the one-hot has the wrong sign: + in place of -", p + hot),
        ("the one-hot is N times too large", p - n * hot),
        ("the one-hot is N times too small", p - hot / n),
        ("the softmax is N times too large", n * p - hot),
        ("the softmax is N times too small", p / n - hot),
        ("only the label gets a gradient: the other classes are left out", (p - hot) * hot),
        ("the one-hot is subtracted in all rows: whole columns", p - (hot.sum(axis=0) > 0)),
        ("the softmax is applied twice", softmax(p) - hot),
        ("the softmax is missing: logits in place of probabilities", logits - hot),
        ("the softmax runs over the wrong axis", softmax(logits, axis=0) - hot),
        ("the derivative of the softmax is missing: -1/p at the label", -hot / p),
        (unnormalised, np.exp(logits) - hot),
        (unnormalised, np.exp(logits - logits.max(axis=1, keepdims=True)) - hot),
        (twice, (p - hot) * p * (1 - p)),
        (twice, p * (p - hot - (p * (p - hot)).sum(axis=1, keepdims=True))),
    ]
    for shifted in (labels + 1, labels - 1, (labels + 1) % k, (labels - 1) % k):
        found.append(("the label is shifted by one", p - one_hot(shifted)))
    if n == k:
        found.append(("the one-hot is transposed", p - hot.T))
    return found
