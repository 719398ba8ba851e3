"""Mistakes in softmax and cross-entropy: probabilities minus a one-hot label, over N."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_se.checker.mistakes.registry import known, mistake, wrong_forward
from numpy_se.contract import Array
from numpy_se.ops import softmax_cross_entropy

known(softmax_cross_entropy)


def _softmax(a: Array, axis: int = 1) -> Array:
    exp = np.exp(a - a.max(axis=axis, keepdims=True))
    p: Array = exp / exp.sum(axis=axis, keepdims=True)
    return p


def _one_hot(logits: Array, labels: Array) -> Array:
    hot: Array = (np.arange(logits.shape[1]) == labels[:, None]).astype(float)
    return hot


# In place of p - hot, the softmax minus the one-hot labels; a are the logits.
Difference = Callable[[Array, Array, Array], Any]
DIFFERENCES: list[tuple[str, str, Difference]] = [
    ("one-hot-missing", "the one-hot is missing", lambda p, h, a: p),
    (
        "one-subtracted",
        "1 is subtracted from all classes, and not at the label only",
        lambda p, h, a: p - 1,
    ),
    ("log-p", "log p in place of p", lambda p, h, a: np.log(p) - h),
    ("p-missing", "the one-hot alone: the softmax is missing", lambda p, h, a: -h),
    ("one-hot-sign", "the one-hot has the wrong sign: + in place of -", lambda p, h, a: p + h),
    ("one-hot-n", "the one-hot is N times too large", lambda p, h, a: p - len(p) * h),
    ("one-hot-1-n", "the one-hot is N times too small", lambda p, h, a: p - h / len(p)),
    ("p-n", "the softmax is N times too large", lambda p, h, a: len(p) * p - h),
    ("p-1-n", "the softmax is N times too small", lambda p, h, a: p / len(p) - h),
    (
        "label-alone",
        "only the label gets a gradient: the other classes are left out",
        lambda p, h, a: (p - h) * h,
    ),
    (
        "whole-columns",
        "the one-hot is subtracted in all rows: whole columns",
        lambda p, h, a: p - (h.sum(axis=0) > 0),
    ),
    ("softmax-twice", "the softmax is applied twice", lambda p, h, a: _softmax(p) - h),
    (
        "logits-for-p",
        "the softmax is missing: {logits} in place of probabilities",
        lambda p, h, a: a - h,
    ),
    ("wrong-axis", "the softmax runs over the wrong axis", lambda p, h, a: _softmax(a, axis=0) - h),
    (
        "derivative-missing",
        "the derivative of the softmax is missing: -1/p at the label",
        lambda p, h, a: -h / p,
    ),
    (
        "not-normalised",
        "the softmax is not normalised: exp in place of probabilities",
        lambda p, h, a: np.exp(a) - h,
    ),
    (
        "not-normalised",
        "the softmax is not normalised: exp in place of probabilities",
        lambda p, h, a: np.exp(a - a.max(axis=1, keepdims=True)) - h,
    ),
    (
        "derivative-twice",
        "the derivative of the softmax is applied twice",
        lambda p, h, a: (p - h) * p * (1 - p),
    ),
    (
        "derivative-twice",
        "the derivative of the softmax is applied twice",
        lambda p, h, a: p * (p - h - (p * (p - h)).sum(axis=1, keepdims=True)),
    ),
    (
        "one-hot-transposed",
        "the one-hot is transposed",
        lambda p, h, a: p - h.T if len(p) == p.shape[1] else None,
    ),
]

for code, says, difference in DIFFERENCES:

    @mistake(f"softmax-cross-entropy.{code}", of=softmax_cross_entropy, says=says)
    def wrong(
        args: tuple[Array, Array], dy: Array, difference: Difference = difference
    ) -> dict[int, Array] | None:
        found = difference(_softmax(args[0]), _one_hot(*args), args[0])
        return None if found is None else {0: found * dy / len(found)}


for shift, around in [(1, False), (-1, False), (1, True), (-1, True)]:

    @mistake(
        "softmax-cross-entropy.label-shifted",
        of=softmax_cross_entropy,
        says="the label is shifted by one",
    )
    def shifted(
        args: tuple[Array, Array], dy: Array, shift: int = shift, around: bool = around
    ) -> dict[int, Array]:
        logits, labels = args
        labels = (labels + shift) % logits.shape[1] if around else labels + shift
        return {0: (_softmax(logits) - _one_hot(logits, labels)) * dy / len(logits)}


# Wrong losses: functions of the probabilities p at the labels, and of the logits a there.
for code, says, loss in [
    ("sum", "the sum over N in place of the mean", lambda p, a: -np.log(p).sum()),
    ("softmax-missing", "the softmax is missing: the mean of -{logits}", lambda p, a: -a.mean()),
    (
        "softmax-missing",
        "the softmax is missing: the log of {logits}",
        lambda p, a: -np.log(a).mean(),
    ),
    ("log-missing", "the log is missing", lambda p, a: -p.mean()),
    ("sign", "the sign is wrong", lambda p, a: np.log(p).mean()),
    ("log2", "the logarithm has the base 2", lambda p, a: -np.log2(p).mean()),
    (
        "log-of-mean",
        "the log of the mean in place of the mean of logs",
        lambda p, a: -np.log(p.mean()),
    ),
]:
    wrong_forward(f"softmax-cross-entropy.forward.{code}", of=softmax_cross_entropy, says=says)(
        lambda args, loss=loss: loss(
            *(a[np.arange(len(a)), args[1]] for a in (_softmax(args[0]), args[0]))
        )
    )

for code, says, change in [
    ("wrong-axis", "the softmax runs over the wrong axis", lambda a: _softmax(a, axis=0)),
    ("twice", "the softmax is applied twice", lambda a: _softmax(_softmax(a))),
    ("n-k", "divided by N*K in place of N", lambda a: _softmax(a) ** (1 / a.shape[1])),
]:
    wrong_forward(f"softmax-cross-entropy.forward.{code}", of=softmax_cross_entropy, says=says)(
        lambda args, change=change: (
            -np.log(change(args[0])[np.arange(len(args[1])), args[1]]).mean()
        )
    )
