"""The loss of a classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_se.contract import Array, IntArray, op


@op("N K, int N -> ")
def softmax_cross_entropy(
    logits: Array, labels: IntArray
) -> tuple[np.floating[Any], Callable[[float | np.floating[Any]], Array]]:
    """Mean over the batch of -log of the probability that softmax gives to the right class.

        p[n,k] = exp(a[n,k]) / sum_j exp(a[n,j])                 a: the logits
        loss   = -1/N * sum_n log p[n, label[n]]
               =  1/N * sum_n (log sum_j exp(a[n,j]) - a[n, label[n]])

    The derivative of log-sum-exp is the softmax, and that of the second term is 1 at the label:

        da[n,k] = 1/N * (p[n,k] - 1[k == label[n]]) * dloss

    Softmax does not change when a constant is added to a row. Taking the row's maximum off keeps
    exp from overflowing.

    logits (N, K) float, labels (N,) of any integer dtype, 0 <= label < K, give a scalar.
    ``backward(1.0)`` gives dlogits (N, K); the labels have no gradient.
    Raises ValueError for a label outside the range. Keeps p and ``labels``.
    """
    n, k = logits.shape
    if labels.min() < 0 or labels.max() >= k:
        raise ValueError(
            f"softmax_cross_entropy: labels run from {labels.min()} to {labels.max()}; "
            f"they want 0 to {k - 1}, as logits has {k} columns"
        )
    rows = np.arange(n)
    p = logits - logits.max(axis=1, keepdims=True)  # (N, K), not p yet
    at_label = p[rows, labels]  # (N,)
    np.exp(p, out=p)
    total = p.sum(axis=1, keepdims=True)  # (N, 1)
    loss: np.floating[Any] = (np.log(total[:, 0]) - at_label).mean()
    p /= total

    def backward(dloss: float | np.floating[Any]) -> Array:
        dlogits: Array = p.copy()  # (N, K)
        dlogits[rows, labels] -= 1
        dlogits *= dloss / n
        return dlogits

    return loss, backward
