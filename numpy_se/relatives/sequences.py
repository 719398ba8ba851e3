"""SE for sequences (N, C, L), maps, and volumes (N, C, D, H, W), with a mask for what is padding.

    z[n,c] = 1/length[n] * sum over valid places of x        s = excite(z)        y = s * x

Sequences of several lengths in one batch are filled up to the longest. What fills them must not
count in the mean. Source: the SE block, arXiv 1709.01507; eq. 2 over the valid places.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from numpy_se.contract import Array, op, typed
from numpy_se.ops import gated, relu, sigmoid, weighted_pool
from numpy_se.se import UnaryOp, excite

Backward = Callable[[Array], tuple[Array, ...]]


@op("..., R C, C R, R, C -> ...")
def squeeze_excite_nd(
    x: Array,
    w1: Array,
    w2: Array,
    b1: Array | None = None,
    b2: Array | None = None,
    *,
    mask: npt.NDArray[np.bool_] | None = None,
    activation: UnaryOp = relu,
    gate: UnaryOp = sigmoid,
) -> tuple[Array, Backward]:
    """Scale every channel of ``x`` by a gate that depends on all channels, at valid places.

        z[n,c] = sum_p m[n,p] x[n,c,p] / sum_p m[n,p]        y[n,c,p] = s[n,c] x[n,c,p]
        dx[n,c,p] = s dy + m[n,p] dz[n,c] / sum_p m[n,p]

    Places that are not valid have no share in z, so the gate path gives them nothing. They are
    scaled, as all are. What fills them must be finite, such as 0: 0 * nan is nan.
    What is forgotten most: dividing by the length of each, not by that of all.

    x (N, C, ...) with one or more axes of places, ``mask`` (N, ...) of bool or None, weights as in
    ``squeeze_excite``, give y in the shape of x. Raises TypeError for a mask that is not bool, and
    ValueError for one of another shape, or where a sample has no valid place.
    """
    if x.ndim < 3:
        raise ValueError(f"squeeze_excite_nd: x has shape {x.shape}; it wants (N, C, ...)")
    shape, flat = x.shape, x.reshape(*x.shape[:2], 1, -1)  # (N, C, 1, P)
    weights = _weights(x, mask).astype(x.dtype)
    z, _ = weighted_pool(flat, weights)  # (N, C)
    s, back_excite = excite(z, w1, w2, b1, b2, activation=activation, gate=gate)

    def back_gates(ds: Array) -> tuple[Array, ...]:
        dz, *dweights = back_excite(ds)
        return weights * dz[:, :, None, None], *dweights  # the mask has no gradient

    y, back = gated(flat, s, back_gates)

    def backward(dy: Array) -> tuple[Array, ...]:
        dx, *dweights = back(dy.reshape(flat.shape))
        return dx.reshape(shape), *dweights

    return y.reshape(shape), backward


def _weights(x: Array, mask: npt.NDArray[np.bool_] | None) -> Array:
    """The share of each place in the mean of its sample: (N, 1, 1, P)."""
    places = (len(x), *x.shape[2:])
    valid = np.ones(places, bool) if mask is None else mask
    if not isinstance(valid, np.ndarray) or valid.dtype != bool:
        got = valid.dtype if isinstance(valid, np.ndarray) else typed(valid)
        raise TypeError(f"squeeze_excite_nd: mask is {got}; it wants an array of bool")
    if valid.shape != places:
        raise ValueError(f"squeeze_excite_nd: mask has shape {valid.shape}; it wants {places}")
    flat = valid.reshape(len(x), 1, 1, -1)
    length = flat.sum(axis=3, keepdims=True)
    if not length.all():
        sample = int(np.argmin(length))
        raise ValueError(f"squeeze_excite_nd: mask has no valid place in sample {sample}")
    weights: Array = flat / length
    return weights
