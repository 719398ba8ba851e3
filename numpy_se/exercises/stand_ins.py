"""Operations that stand in for an answer, so that one mistake does not hide the rest."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache, wraps
from typing import Any

import numpy as np

from numpy_se.checker.adapt import Op
from numpy_se.checker.run import as_tuple, copies, is_float
from numpy_se.checker.slopes import STEP, measure, unit_directions
from numpy_se.contract import Array


def protected(op: Op) -> Op:
    """The operation with copies of all that goes in and comes out, and no state between calls."""

    @wraps(op)
    def safe(*args: Any) -> Any:
        kept = copies(args)

        def backward(dy: Any) -> Any:
            _, own_backward = op(*copies(kept))
            grads = as_tuple(own_backward(*copies((dy,))))
            return tuple(np.array(g) if isinstance(g, np.ndarray) else g for g in grads)

        return np.array(op(*copies(args))[0]), backward

    safe.shares = lambda a, b: False  # type: ignore[attr-defined]
    return safe


def measured(op: Op) -> Op:
    """The operation with differences as its gradients, for a y that is not that of the solution.

    The slopes at the last arguments are kept: they hold for any dy.
    """

    @lru_cache(1)
    def slopes(*keys: tuple[bytes, tuple[int, ...], str]) -> list[Array]:
        args = tuple(np.frombuffer(data, kind).reshape(shape) for data, shape, kind in keys)
        return [
            measure(op, args, place, unit_directions(arg), STEP).central[:-1]
            for place, arg in enumerate(args)
            if is_float(arg)
        ]

    def by_differences(*args: Any) -> Any:
        keys = [(a.tobytes(), a.shape, a.dtype.str) for a in args]
        floats = [a for a in args if is_float(a)]

        def backward(dy: Any) -> tuple[Any, ...]:
            pairs = zip(slopes(*keys), floats, strict=True)
            return tuple((along @ np.ravel(dy)).reshape(a.shape) for along, a in pairs)

        return None, backward

    return by_differences


def mended(op: Op, other: Op, places: Collection[int]) -> Op:
    """The operation with the gradients of another one at some places."""

    @wraps(op)
    def joined(*args: Any) -> Any:
        y, own_backward = op(*args)

        def backward(dy: Any) -> tuple[Any, ...]:
            grads = list(as_tuple(own_backward(dy)))
            theirs = as_tuple(other(*copies(args))[1](dy))
            for place in places:
                grads[place] = theirs[place]
            return tuple(grads)

        return y, backward

    joined.shares = getattr(op, "shares", np.shares_memory)  # type: ignore[attr-defined]
    return joined
