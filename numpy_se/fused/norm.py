"""Batch norm in few passes over memory: ``ops.batch_norm``, faster, with its statistics.

Every entry of y depends on the whole batch, so the chunks go over it three times: for the mean, for
the variance, and for y. On the way back they go twice: for the sums of the channels, and for dx.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpy_se.contract import Array, check_eps, op
from numpy_se.layout import layout_of
from numpy_se.ops.norm import values_per_channel
from numpy_se.parallel import add_up, by_size, in_order
from numpy_se.sums import pixel_dot, pixel_sum

CHUNK = 2**20  # bytes of x in a chunk: it stays in the cache


@op("N C H W, C, C -> N C H W")
def batch_norm(
    x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5
) -> tuple[Array, Callable[[Array], tuple[Array, Array, Array]], Array, Array]:
    """Normalise every channel by the statistics of this batch; give these, too.

    Gives ``y, backward, mean, variance``: what ``ops.batch_norm`` gives, where the formulas stand,
    then m (C,) and v (C,), which a layer needs to follow the statistics of the batches. Arguments
    and errors are the same, and the results agree up to rounding. ``y`` and ``dx`` have the layout
    of ``x`` in memory, channels first or channels last. Keeps x - m, 1/sigma and gamma/sigma.
    """
    check_eps("batch_norm", eps)
    count = values_per_channel(x)
    layout = layout_of(x)
    y, centred = layout.empty(len(x), x.dtype), layout.empty(len(x), x.dtype)
    parts = by_size(len(x), x.nbytes, CHUNK)

    def rows(a: Array, part: slice) -> Array:
        return layout.rows(a[part])

    def per_channel(a: Array) -> Array:
        return layout.spread(a[None])  # (C,), to broadcast against rows

    def sum_up(part: slice) -> list[Array]:
        return [pixel_sum(x[part]).sum(axis=0)]

    (total,) = add_up(in_order(sum_up, parts))
    mean = total / count  # (C,)
    means = per_channel(mean)

    def centre(part: slice) -> list[Array]:
        np.subtract(rows(x, part), means, out=rows(centred, part))
        return [pixel_dot(centred[part], centred[part]).sum(axis=0)]

    (squares,) = add_up(in_order(centre, parts))
    variance = squares / count  # (C,)
    scale = 1 / np.sqrt(variance + x.dtype.type(eps))  # (C,), 1/sigma
    factors, shifts = per_channel(gamma * scale), per_channel(beta)

    def normalise(part: slice) -> None:
        out = rows(y, part)
        np.multiply(rows(centred, part), factors, out=out)
        out += shifts

    in_order(normalise, parts)

    def backward(dy: Array) -> tuple[Array, Array, Array]:
        dx = layout.empty(len(dy), dy.dtype)

        def sum_up_gradients(part: slice) -> list[Array]:
            sums = pixel_sum(dy[part]), pixel_dot(dy[part], centred[part])
            return [each.sum(axis=0) for each in sums]

        dbeta, dot = add_up(in_order(sum_up_gradients, parts))  # (C,)
        dgamma = dot * scale  # (C,)
        through_v, through_m = per_channel(-dgamma * scale / count), per_channel(-dbeta / count)

        def combine(part: slice) -> None:
            out = rows(dx, part)
            np.multiply(rows(centred, part), through_v, out=out)
            out += through_m
            out += rows(dy, part)
            out *= factors

        in_order(combine, parts)
        return dx, dgamma, dbeta

    return y, backward, mean, variance
