"""Mistakes that people make in the backward of one particular operation.

An operation is recognised by what its forward pass computes. Each mistake is written down as the
wrong gradients that it leads to. The derivation of the right ones stands with the operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from numpy_se import ops, se
from numpy_se.contract import Array
from numpy_se.checker.mistakes import activations, conv, linear, loss, norm, pooling
from numpy_se.checker.mistakes.block import block
from numpy_se.checker.mistakes.common import Mistakes


@dataclass(frozen=True)
class Known:
    """An operation of the package with its options, and ``mistakes(args, dy, sizes)`` in it."""

    op: Callable[..., Any]
    mistakes: Callable[..., Mistakes]


def recognise(args: tuple[Any, ...], y: Array) -> Known | None:
    """Find the operation of the package that gives ``y`` for these arguments."""
    for known in _all_known():
        try:
            output = np.asarray(known.op(*args)[0])
        except (
            TypeError,
            ValueError,
            IndexError,
            AttributeError,
        ):  # these arguments are not for this operation
            continue
        if output.shape == y.shape and np.allclose(output, y, rtol=1e-9, atol=1e-12):
            return known
    return None


def _all_known() -> Iterator[Known]:
    yield from _elementary()
    for known in _blocks():
        # x @ w in place of x @ w.T, and each bias behind its weight
        yield known
        yield _rearranged(known, (0, 1, 2, 3, 4), {1, 2})
        yield _rearranged(known, (0, 1, 3, 2, 4), set())
        yield _rearranged(known, (0, 1, 3, 2, 4), {1, 2})


def _elementary() -> Iterator[Known]:
    for op in activations.RULES:
        yield Known(op, partial(activations.activation, op))
    linear_layer = Known(ops.linear, linear.linear)
    yield linear_layer
    yield _rearranged(linear_layer, (0, 1, 2), {1})
    yield Known(ops.channel_scale, linear.channel_scale)
    yield Known(ops.global_avg_pool, pooling.global_avg_pool)
    yield Known(ops.global_max_pool, pooling.global_max_pool)
    yield Known(ops.softmax_cross_entropy, loss.softmax_cross_entropy)
    for size, stride in product((2, 3, 4), (1, 2, 3, 4)):
        yield _with(ops.max_pool2d, pooling.max_pool2d, size=size, stride=stride)
    for stride, padding in product((1, 2, 3), (0, 1, 2, 3)):
        yield _with(ops.conv2d, conv.conv2d, stride=stride, padding=padding)
    for eps in (0.0, 1e-12, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1):
        over_maps = _with(ops.batch_norm, norm.batch_norm, eps=eps)
        yield over_maps
        yield _over_rows(over_maps)
        inference = ops.batch_norm_inference
        yield _with(inference, norm.batch_norm_inference, eps=eps)


def _blocks() -> Iterator[Known]:
    for gate in activations.RULES:
        yield Known(
            partial(se.excite, gate=gate),
            partial(block, "excite", squeeze=None, gate=gate),
        )
        for squeeze in (ops.global_avg_pool, ops.global_max_pool):
            for part in (se.excitation, se.squeeze_excite):
                mistakes = partial(block, part.__name__)
                yield _with(part, mistakes, squeeze=squeeze, gate=gate)


def _with(op: Any, mistakes: Any, **options: Any) -> Known:
    return Known(partial(op, **options), partial(mistakes, **options))


def _rearranged(known: Known, order: tuple[int, ...], transposed: set[int]) -> Known:
    """The same operation where argument k stands at place order[k], some of them transposed."""

    def ours(args: tuple[Any, ...]) -> tuple[Any, ...]:
        taken = [args[place] for place in order if place < len(args)]
        return tuple(a.T if k in transposed else a for k, a in enumerate(taken))

    def mistakes(args: tuple[Any, ...], dy: Array, sizes: Mapping[str, int]) -> Mistakes:
        for cause, wrong in known.mistakes(ours(args), dy, sizes):
            yield cause, {order[k]: a.T if k in transposed else a for k, a in wrong.items()}

    return Known(lambda *args: known.op(*ours(args)), mistakes)


def _over_rows(known: Known) -> Known:
    """The same operation on rows (N, D), which are maps of one pixel."""

    def ours(args: tuple[Any, ...]) -> tuple[Any, ...]:
        if args[0].ndim != 2:
            raise ValueError("rows have two axes")
        return args[0][:, :, None, None], *args[1:]

    def op(*args: Any) -> Any:
        y, backward = known.op(*ours(args))
        return y[:, :, 0, 0], backward

    def mistakes(args: tuple[Any, ...], dy: Array, sizes: Mapping[str, int]) -> Mistakes:
        for cause, wrong in known.mistakes(ours(args), dy[:, :, None, None], sizes):
            yield cause, {k: a[:, :, 0, 0] if k == 0 else a for k, a in wrong.items()}

    return Known(op, mistakes)
