"""The SE block in few passes over memory: the function of ``se.squeeze_excite``, faster.

Five moves cannot be avoided: read x and write y, then read dy and x and write dx. Composed from
operations, the block makes eleven, as each of them sends whole arrays through memory. Here a step
is the routine of NumPy that was measured to be the fastest for the length of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from numpy_se.contract import Array, op
from numpy_se.layout import layout_of
from numpy_se.ops import (
    global_avg_pool,
    global_max_pool,
    hard_sigmoid,
    relu,
    sigmoid,
    silu,
    tanh,
)
from numpy_se.parallel import add_up, by_size, in_order
from numpy_se.se import UnaryOp, excite
from numpy_se.se import squeeze_excite as reference

CHUNK = 2**23  # bytes of x in a chunk: it stays in the cache that the cores share
SMALL = 2**22  # bytes of x: to wake a thread for less takes longer than it saves
LONG = 1500  # entries of a row that is worth a loop of its own

# A chunk may go its own way only where samples do not mix. Nothing is known of other operations.
SAMPLE_WISE = (global_avg_pool, global_max_pool, sigmoid, tanh, relu, silu, hard_sigmoid)


@op("N C H W, R C, C R, R, C -> N C H W")
def squeeze_excite(
    x: Array,
    w1: Array,
    w2: Array,
    b1: Array | None = None,
    b2: Array | None = None,
    *,
    squeeze: UnaryOp = global_avg_pool,
    activation: UnaryOp = relu,
    gate: UnaryOp = sigmoid,
) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
    """Scale every channel of ``x`` by a gate that depends on all channels: the SE block.

    Arguments, results, gradients and errors are those of ``se.squeeze_excite``, where the formulas
    stand. The results agree with it up to rounding.

    ``y`` and ``dx`` have the layout of ``x`` in memory, channels first or channels last. Where
    ``x`` or ``dy`` lies in memory in another way, each chunk of it is copied. So no array as large
    as the batch is made apart from ``y`` and ``dx``. Keeps ``x``, the weights, and arrays of size
    (N, C) and below.
    This holds for the mean and the maximum as squeeze, and the activations and gates of the
    package. With other operations, it is ``se.squeeze_excite``.
    """
    if not all(operation in SAMPLE_WISE for operation in (squeeze, activation, gate)):
        return reference(x, w1, w2, b1, b2, squeeze=squeeze, activation=activation, gate=gate)
    layout = layout_of(x)
    y = layout.empty(len(x), x.dtype)
    # A chunk brings the weights into the cache anew, so it is much larger than they are.
    size = max(CHUNK, 8 * (w1.nbytes + w2.nbytes))
    parts = by_size(len(x), x.nbytes, size, SMALL)
    pixels = x.shape[2] * x.shape[3]

    def forward(part: slice) -> tuple[Array, Callable[..., Any], Callable[..., Any] | None]:
        maps = layout.rows(x[part])
        if squeeze is global_avg_pool:
            z, back_squeeze = layout.total(maps) / pixels, None  # (N, C)
        else:
            z, back_squeeze = squeeze(x[part])
        s, back_excite = excite(z, w1, w2, b1, b2, activation=activation, gate=gate)  # (N, C)
        out = layout.rows(y[part])
        with _whole_rows(out):
            _multiply(maps, layout.spread(s), out)
        return s, back_excite, back_squeeze

    kept = in_order(forward, parts)

    def backward(dy: Array) -> tuple[Array, ...]:
        dx = layout.empty(len(dy), dy.dtype)

        def backward_of(job: Any) -> list[Array]:
            part, (s, back_excite, back_squeeze) = job
            dmaps, maps, out = (layout.rows(a[part]) for a in (dy, x, dx))
            dweights: list[Array]
            dz, *dweights = back_excite(layout.dot(dmaps, maps))  # (N, C)
            if back_squeeze is None:
                shift = layout.spread(dz / pixels)
            else:
                shift = layout.rows(back_squeeze(dz))
            with _whole_rows(out):
                _multiply(dmaps, layout.spread(s), out)
                out += shift  # x is used twice: add both
            return dweights

        return dx, *add_up(in_order(backward_of, list(zip(parts, kept, strict=True))))

    return y, backward


def _multiply(rows: Array, scale: Array, out: Array) -> None:
    """Multiply every row by its number, into ``out``.

    NumPy starts a loop for every row, which costs as much as some hundred products. Where rows are
    short, it is faster to fill ``out`` with the factors, row by row, and to multiply it in place:
    both arrays then have the same shape, and one loop runs over all of it.
    """
    if rows.shape[2] >= LONG:
        np.multiply(rows, scale, out=out)
    else:
        out[...] = scale
        out *= rows


@contextmanager
def _whole_rows(rows: Array) -> Iterator[None]:
    """Let NumPy broadcast one number along each row without a copy.

    Since version 2.3, NumPy first copies a broadcast operand into a buffer, several rows at a time,
    where a row is shorter than the buffer. A smaller buffer forbids it. Copying pays for rows below
    some 500 entries, and halves the speed above.
    """
    with np.errstate():  # it also restores the size of the buffer
        if rows.shape[2] >= 512:
            np.setbufsize(256)
        yield
