"""Mistakes in softmax and cross-entropy: probabilities minus a one-hot label, over N."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpy_se.contract import Array
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
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    rows = np.arange(n)
    yield "the one-hot is missing", (p * share,)
    yield "the one-hot alone: the softmax is missing", (-hot * share,)
    yield "the one-hot has the wrong sign: + in place of -", ((p + hot) * share,)
    for factor, where in ((n, "large"), (1 / n, "small")):
        yield f"the one-hot is N times too {where}", ((p - factor * hot) * share,)
        yield f"the softmax is N times too {where}", ((factor * p - hot) * share,)
    for shift in (1, -1):
        for shifted in ((labels + shift) % k, labels + shift):
            yield "the label is shifted by one", ((p - one_hot(shifted)) * share,)
    yield (
        "only the label gets a gradient: the other classes are left out",
        ((p - hot) * hot * share,),
    )
    yield "the one-hot is subtracted in all rows: in whole columns", (
        (p - (hot.sum(axis=0) > 0)) * share,)  # fmt: skip
    if n == k:
        yield "the one-hot is transposed", ((p - hot.T) * share,)
    yield "the softmax is applied twice", ((softmax(p) - hot) * share,)
    yield "the softmax is missing: logits in place of probabilities", ((logits - hot) * share,)
    yield "the softmax is not normalised: exp in place of probabilities", (
        (np.exp(logits) - hot) * share,)  # fmt: skip
    yield "the softmax is not normalised: exp in place of probabilities", ((exp - hot) * share,)
    yield "the softmax runs over the wrong axis", ((softmax(logits.T).T - hot) * share,)
    yield "the derivative of the softmax is applied twice", ((p - hot) * p * (1 - p) * share,)
    back = p * ((p - hot) - (p * (p - hot)).sum(axis=1, keepdims=True))
    yield "the derivative of the softmax is applied twice", (back * share,)
    yield "the derivative of the softmax is missing: -1/p at the label", (
        -hot / p[rows, labels][:, None] * share,)  # fmt: skip
