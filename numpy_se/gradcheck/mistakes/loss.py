"""Mistakes in softmax and cross-entropy: probabilities minus a one-hot label, over N."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpy_se.contract import Array
from numpy_se.gradcheck.claims import factors
from numpy_se.gradcheck.mistakes.common import Mistakes


def softmax_cross_entropy(args: tuple[Array, Array], dy: Array, sizes: Any) -> Mistakes:
    logits, labels = args
    n, k = logits.shape

    def softmax(a: Array) -> Array:
        e = np.exp(a - a.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def one_hot(labels: Array) -> Array:
        return (np.arange(k) == labels[:, None]).astype(float)

    p, hot, share = softmax(logits), one_hot(labels), dy / n
    yield "the one-hot label is missing", (p * share,)
    yield "the one-hot label alone: the softmax is missing", (-hot * share,)
    yield "the softmax is applied twice", ((softmax(p) - hot) * share,)
    yield "the softmax is missing: logits in place of probabilities", ((logits - hot) * share,)
    yield "+ in place of - at the one-hot label", ((p + hot) * share,)
    yield "the one-hot label is N times too small: 1/N reaches the softmax only twice", ((p - hot / n) * share,)
    for shift in (1, -1):
        yield "the label is shifted by one", ((p - one_hot((labels + shift) % k)) * share,)
        yield "the label is shifted by one", ((p - one_hot(labels + shift)) * share,)
    yield "the softmax runs over the wrong axis", ((softmax(logits.T).T - hot) * share,)
    yield "the derivative of p is multiplied to it: p (1 - p)", ((p - hot) * p * (1 - p) * share,)
    for name, factor in factors(sizes):
        yield f"1/N is there, but the one-hot label is {name} times too large", ((p - factor * hot) * share,)
        yield f"1/N is there, but the softmax is {name} times too large", ((factor * p - hot) * share,)
        yield f"1/N is missing at the softmax or {name}", ((p / factor - hot) * share,)
