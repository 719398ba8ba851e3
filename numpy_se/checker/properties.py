"""What must hold for every backward, and needs no differences to be seen.

A backward is linear in ``dy``. Where the operation treats samples separately, so does its
backward: the gradients of two halves of a batch make up those of the batch. And neither memory
layout nor precision may change more than rounding does.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

from numpy_se.contract import Array
from numpy_se.checker.promises import Run, in_short, is_float
from numpy_se.checker.slopes import Op

CLOSE = 1e-9
CLOSE_SINGLE = 1e-2  # float32 against float64: coarse, as deep functions lose digits


def broken_properties(op: Op, names: tuple[str, ...], ran: Run, smooth: bool) -> list[str]:
    """Name the properties that do not hold at this run.

    ``smooth`` says that there are no kinks near. At a kink, rounding alone may change the gradient.
    """
    titles = _titles(names, ran.args)
    found = [f"{t} is {text}" for t, text in zip(titles, nonlinear(op, ran), strict=True) if text]
    if smooth and not found:
        found += [
            *_separation(op, names, ran),
            *_layout(op, names, ran),
            *_precision(op, names, ran),
        ]
    return found


def silent_promotions(op: Op, names: tuple[str, ...], ran: Run) -> list[str]:
    """Say what is float64 for float32 arguments: right, but slow and large."""
    titles = ["y", *_titles(names, ran.args)]
    results = zip(titles, _in_single(op, ran), strict=False)
    wide = [title for title, a in results if a.dtype == np.float64]
    return [f"float32 arguments give a float64 {', '.join(wide)}"] if wide else []


def limits_of(names: tuple[str, ...], args: tuple[Any, ...]) -> list[str]:
    """Say which mistakes these arguments cannot show."""
    found = []
    for name, a in zip(names, args, strict=True):
        if not is_float(a):
            continue
        if a.ndim == 4 and a.shape[2] == a.shape[3] and a.shape[2] > 1:
            found.append(f"{name} has H = W = {a.shape[2]}, so H in place of W does not show")
        if ones := [k for k in range(a.ndim) if a.shape[k] == 1]:
            axes = ", ".join(map(str, ones))
            found.append(
                f"{name} has size 1 along axis {axes}, so a wrong sum over it does not show"
            )
        if a.size > 1 and ((a > 0).all() or (a < 0).all()):
            found.append(f"{name} has one sign, so the other side of a mask at 0 does not show")
    return found


def nonlinear(op: Op, ran: Run) -> list[str]:
    """Say of each gradient how it is not linear in ``dy``; "" where it is, or not finite."""
    _, backward = op(*ran.args)
    other = np.roll(ran.dy, 1) + 0.5
    found = []
    for g0, g1, g2, g in zip(
        *(_gradients(backward, dy) for dy in (0 * ran.dy, ran.dy, other, other - 2 * ran.dy)),
        strict=True,
    ):
        scale = np.abs(g1).max(initial=0) + np.abs(g2).max(initial=0)
        if not np.isfinite(scale):
            found.append("")
        elif np.abs(g0).max(initial=0) > CLOSE * scale:
            found.append("not zero for a dy of zeros: a term does not depend on dy")
        else:
            linear = np.abs(g - (g2 - 2 * g1)).max(initial=0) <= 10 * CLOSE * scale
            found.append("" if linear else "not linear in dy")
    return found


def _separation(op: Op, names: tuple[str, ...], ran: Run) -> Iterator[str]:
    """Hold the gradients of a batch against those of its halves, where the forward allows it."""
    batched = _batched(op, ran)
    if not batched:
        return
    half = len(ran.y) // 2
    halves = []
    for part in (slice(None, half), slice(half, None)):
        args = tuple(a[part] if i in batched else a for i, a in enumerate(ran.args))
        try:
            halves.append(_gradients(op(*args)[1], ran.dy[part]))
        except Exception as error:
            yield f"backward of {len(args[batched[0]])} sample(s) raises {in_short(error)}"
            return
    floats = [i for i, a in enumerate(ran.args) if is_float(a)]
    for i, title, g, a, b in zip(
        floats, _titles(names, ran.args), ran.grads, *halves, strict=False
    ):
        if not _agree(g, np.concatenate([a, b]) if i in batched else a + b, _largest(ran)):
            way = "put together" if i in batched else "added"
            yield f"{title} of a batch differs from those of its two halves, {way}"


def _batched(op: Op, ran: Run) -> tuple[int, ...]:
    """The arguments whose first axis is the batch, if the forward treats samples separately."""
    if ran.y.ndim == 0 or len(ran.y) < 2:
        return ()
    count, half, largest = len(ran.y), len(ran.y) // 2, float(np.abs(ran.y).max())
    able = [
        i
        for i, a in enumerate(ran.args)
        if isinstance(a, np.ndarray) and a.ndim and len(a) == count
    ]
    for size in range(1, len(able) + 1):
        for batched in combinations(able, size):
            args = tuple(a[:half] if i in batched else a for i, a in enumerate(ran.args))
            turned = tuple(a[::-1] if i in batched else a for i, a in enumerate(ran.args))
            try:
                outputs = op(*args)[0], op(*turned)[0]
                if all(map(_agree, (ran.y[:half], ran.y[::-1]), outputs, (largest, largest))):
                    return batched
            except Exception:  # this is not the way to split this operation
                continue
    return ()


def _layout(op: Op, names: tuple[str, ...], ran: Run) -> Iterator[str]:
    """Strided arguments and ``dy`` must give what contiguous ones give."""
    try:
        y, backward = op(*(_strided(a) if is_float(a) else a for a in ran.args))
        grads = _gradients(backward, _strided(ran.dy))
    except Exception as error:
        yield f"where the arrays are not contiguous in memory, it raises {in_short(error)}"
        return
    if not _agree(ran.y, y, _largest(ran)):
        yield "y differs where the arguments are not contiguous in memory"
        return
    for title, g, wanted in zip(_titles(names, ran.args), grads, ran.grads, strict=False):
        if not _agree(wanted, g, _largest(ran)):
            yield f"{title} differs where the arrays are not contiguous in memory"


def _precision(op: Op, names: tuple[str, ...], ran: Run) -> Iterator[str]:
    titles = ["y", *_titles(names, ran.args)]
    for title, a, wanted in zip(titles, _in_single(op, ran), [ran.y, *ran.grads], strict=False):
        if not _agree(wanted, a, _largest(ran), CLOSE_SINGLE):
            yield f"{title} of float32 arguments is far from that of float64 ones"


def _in_single(op: Op, ran: Run) -> list[Array]:
    """Run in float32: y and the gradients, or nothing where the operation does not take float32."""
    try:
        y, backward = op(*(a.astype(np.float32) if is_float(a) else a for a in ran.args))
        return [np.asarray(y), *_gradients(backward, ran.dy.astype(np.asarray(y).dtype))]
    except Exception:  # float32 is not asked of an operation; only to be right where it is taken
        return []


def _gradients(backward: Any, dy: Array) -> list[Array]:
    given = backward(dy if np.ndim(dy) else dy[()])
    return list(map(np.asarray, given if isinstance(given, tuple | list) else (given,)))


def _titles(names: tuple[str, ...], args: tuple[Any, ...]) -> list[str]:
    return [f"d{name}" for name, a in zip(names, args, strict=True) if is_float(a)]


def _agree(wanted: Any, got: Any, largest: float, close: float = CLOSE) -> bool:
    """Equal but for rounding. A gradient far below the ``largest`` number may be rounding alone."""
    wanted, got = np.asarray(wanted), np.asarray(got)
    if wanted.shape != got.shape:
        return False
    scale = max(float(np.abs(wanted).max(initial=0)), 1e-2 * largest)
    return bool((np.abs(wanted - got) <= close * scale).all())


def _largest(ran: Run) -> float:
    return max(float(np.abs(a).max(initial=0)) for a in (ran.y, ran.dy, *ran.grads))


def _strided(a: Any) -> Array:
    """The same values, each two entries away from its neighbour, in the reverse order of axes."""
    values: Array = np.asarray(a)
    if values.ndim == 0:
        return values
    spaced = np.zeros((*values.shape[:0:-1], 2 * len(values)), values.dtype)[..., ::2].T
    spaced[...] = values
    return spaced
