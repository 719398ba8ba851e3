"""Mistakes that people make in the backward of one particular operation.

An operation is recognised by what its forward pass computes. Each mistake is written down as the
wrong gradients that it leads to. The derivation of the right ones stands with the operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from numpy_se import ops, se
from numpy_se.contract import Array
from numpy_se.gradcheck.mistakes import activations, conv, linear, loss, norm, pooling
from numpy_se.gradcheck.mistakes.block import block
from numpy_se.gradcheck.mistakes.common import Mistakes


@dataclass(frozen=True)
class Known:
    """An operation of the package with its options, and ``mistakes(args, dy, sizes)`` in it."""

    title: str
    op: Callable[..., Any]
    mistakes: Callable[..., Mistakes]


def recognise(args: tuple[Any, ...], y: Array) -> Known | None:
    """Find the operation of the package that gives ``y`` for these arguments."""
    for known in _all_known():
        try:
            output = np.asarray(known.op(*args)[0])
        except (TypeError, ValueError):  # these arguments are not for this operation
            continue
        if output.shape == y.shape and np.allclose(output, y, rtol=1e-9, atol=1e-12):
            return known
    return None


def _all_known() -> Iterator[Known]:
    for op in activations.RULES:
        yield Known(op.__name__, op, partial(activations.activation, op))
    yield Known("linear", ops.linear, linear.linear)
    yield Known("channel_scale", ops.channel_scale, linear.channel_scale)
    yield Known("global_avg_pool", ops.global_avg_pool, pooling.global_avg_pool)
    yield Known("global_max_pool", ops.global_max_pool, pooling.global_max_pool)
    yield Known("softmax_cross_entropy", ops.softmax_cross_entropy, loss.softmax_cross_entropy)
    for size, stride in product((2, 3, 4), (1, 2, 3, 4)):
        yield _with("max_pool2d", ops.max_pool2d, pooling.max_pool2d, size=size, stride=stride)
    for stride, padding in product((1, 2, 3), (0, 1, 2, 3)):
        yield _with("conv2d", ops.conv2d, conv.conv2d, stride=stride, padding=padding)
    for eps in (0.0, 1e-12, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1):
        yield _with("batch_norm", ops.batch_norm, norm.batch_norm, eps=eps)
        inference = ops.batch_norm_inference
        yield _with("batch_norm_inference", inference, norm.batch_norm_inference, eps=eps)
    squeezes = (ops.global_avg_pool, ops.global_max_pool)
    for gate in activations.RULES:
        yield Known(
            "excite",
            partial(se.excite, gate=gate),
            partial(block, "excite", squeeze=None, gate=gate),
        )
        for squeeze in squeezes:
            for part in (se.excitation, se.squeeze_excite):
                mistakes = partial(block, part.__name__)
                yield _with(part.__name__, part, mistakes, squeeze=squeeze, gate=gate)


def _with(title: str, op: Any, mistakes: Any, **options: Any) -> Known:
    return Known(title, partial(op, **options), partial(mistakes, **options))
