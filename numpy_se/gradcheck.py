"""Check a hand-written backward against central differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from numpy_se.contract import Array, run_op

STEP = 1e-4


@dataclass(frozen=True)
class GradientReport:
    """What a gradient check found.

    ``failures`` holds one sentence for each mistake. ``checked`` counts the entries compared, and
    ``at_kinks`` those of them where the step sizes disagree: as a rule, at a kink.
    """

    failures: tuple[str, ...]
    checked: int = 0
    at_kinks: int = 0

    @property
    def ok(self) -> bool:
        """True when no gradient is wrong and some entries lie away from kinks."""
        return not self.failures and self.at_kinks < self.checked

    def __str__(self) -> str:
        counts = f"{self.checked} entries checked, {self.at_kinks} of them at kinks"
        if self.ok:
            return f"gradients agree with central differences: {counts}"
        reasons = self.failures or ("every entry lies at a kink; choose other inputs",)
        return "\n".join([*reasons, counts])


def gradcheck(
    op: Callable[..., Any], *args: Array, seed: int = 0, tolerance: float = 1e-6
) -> GradientReport:
    """Compare every gradient of ``y, backward = op(*args)`` with central differences.

    With a random upstream gradient ``dy`` of both signs, L = sum_o y[o] * dy[o] is a number, and
    the gradients of the arguments are those of L. Each entry a of each argument is moved by h:

        D(h) = (y(a + h) - y(a - h)) / 2h  =  y'(a) + c h^2 + O(h^4)

    Two steps cancel the h^2 term (Richardson): (4 D(h/2) - D(h)) / 3. Three steps give two such
    values, which agree on a smooth function. The one-sided slopes R(h) = (y(a + h) - y(a)) / h and
    the same to the left differ by h y'', so their gap over h is the curvature, at each step. Where
    the values or the curvatures disagree, there is a kink. Its slopes on the two sides follow from
    R(h) by extrapolation, and for each output any slope between the two is legal: which one, is a
    convention. Where kinks of several operations meet in one point (a ReLU at 0 behind a tie), the
    differences do not see all legal slopes; check such a function elsewhere.

    args: float64 arrays, small ones (the op runs six times for each entry). ``op`` may be any
    function of the contract, the project's or your own; give options and labels to it with a
    lambda. ``tolerance`` is relative to the largest gradient entry of the argument; what rounding
    can do is added.
    Raises ValueError for an empty array; TypeError for arguments of other dtypes (float32
    differences are right to 3 digits at best) and for an ``op`` that does not give ``y, backward``.
    """
    for number, arg in enumerate(args):
        if not isinstance(arg, np.ndarray) or arg.dtype != np.float64:
            kind = getattr(arg, "dtype", type(arg).__name__)
            raise TypeError(f"gradcheck: argument {number} is {kind}; it wants a float64 array")
        if arg.size == 0:
            raise ValueError(f"gradcheck: argument {number} has shape {arg.shape}, and no entry")
    own = [arg.copy() for arg in args]
    y, backward = run_op("gradcheck: op", op, *own)
    y = np.array(y)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    own_dy = np.array(dy)
    result = backward(own_dy)
    results = result if isinstance(result, tuple) else (result,)
    grads = tuple(np.asarray(g) if isinstance(g, np.generic) else g for g in results)
    if broken := _broken_promises(op, args, own, y, dy, own_dy, grads):
        return GradientReport((broken,))

    failures, checked, at_kinks = [], 0, 0
    for number, (arg, grad) in enumerate(zip(args, grads, strict=True)):
        central, left, right, disagreement = _slopes(op, args, number) * np.ravel(dy)
        slope = central.sum(axis=1).reshape(arg.shape)
        scale = max(np.abs(slope).max(), np.nan_to_num(np.abs(grad)).max())
        rounding = 100 * np.finfo(float).eps * np.abs(y * dy).max() / STEP
        kink = np.abs(disagreement) > tolerance / 10 * scale + rounding
        low = np.where(kink, np.minimum(left, right), central).sum(axis=1).reshape(arg.shape)
        high = np.where(kink, np.maximum(left, right), central).sum(axis=1).reshape(arg.shape)
        error = np.maximum(low - grad, grad - high)  # negative between the slopes
        checked, at_kinks = checked + arg.size, at_kinks + int(kink.any(axis=1).sum())
        if not (error <= tolerance * scale + rounding).all():  # not <=: catches NaN too
            worst = np.unravel_index(np.argmax(np.nan_to_num(error, nan=np.inf)), arg.shape)
            at = tuple(int(i) for i in worst)
            failures.append(
                f"argument {number}: gradient at {at} is {grad[at]:.9g}, "
                f"central differences give {slope[at]:.9g} (off by {grad[at] - slope[at]:.2g})"
            )
    return GradientReport(tuple(failures), checked, at_kinks)


def assert_gradients(
    op: Callable[..., Any], *args: Array, seed: int = 0, tolerance: float = 1e-6
) -> None:
    """Raise AssertionError with the report unless ``gradcheck`` finds every gradient right."""
    report = gradcheck(op, *args, seed=seed, tolerance=tolerance)
    if not report.ok:
        raise AssertionError(str(report))


def _broken_promises(
    op: Callable[..., Any],
    args: tuple[Array, ...],
    own: list[Array],
    y: Array,
    dy: Array,
    own_dy: Array,
    grads: tuple[Any, ...],
) -> str:
    """Say which promise of the contract the op breaks before any number is compared, or nothing."""
    for number, (arg, after) in enumerate(zip(args, own, strict=True)):
        if not np.array_equal(arg, after, equal_nan=True):
            return f"argument {number} was changed by the op"
    if not np.array_equal(dy, own_dy):
        return "dy was changed by backward"
    if not np.array_equal(y, op(*own)[0], equal_nan=True):
        return "two calls with the same arguments give different outputs"
    if len(grads) != len(args):
        return f"{len(grads)} gradients for {len(args)} arguments"
    for number, (arg, grad) in enumerate(zip(args, grads, strict=True)):
        if not isinstance(grad, np.ndarray):
            return f"argument {number}: gradient is a {type(grad).__name__}, and no NumPy array"
        if grad.shape != arg.shape:
            return f"argument {number}: gradient has shape {grad.shape}, the argument {arg.shape}"
        if grad.dtype != arg.dtype:
            return f"argument {number}: gradient is {grad.dtype}, the argument {arg.dtype}"
    return ""


def _slopes(op: Callable[..., Any], args: tuple[Array, ...], number: int) -> Array:
    """Slopes of every output along every entry of one argument: (4, entries, outputs).

    The central slope, the left one, the right one, and by how much step sizes disagree.
    """
    moved = [arg.copy() for arg in args]
    target = moved[number]
    y0 = np.array(op(*moved)[0])

    def slope(index: tuple[int, ...], h: float) -> Array:
        here = target[index]
        target[index] = here + h
        change = np.ravel(op(*moved)[0] - y0)
        target[index] = here
        return change / h

    steps = [sign * h for h in (STEP, STEP / 2, STEP / 4) for sign in (1, -1)]
    slopes = np.array(
        [[slope(index, h) for h in steps] for index in np.ndindex(target.shape)]
    )  # (entries, steps, outputs)
    right, left = np.moveaxis(slopes[:, 0::2], 1, 0), np.moveaxis(slopes[:, 1::2], 1, 0)
    curvature = (right - left) * np.array([1, 2, 4])[:, None, None]  # (3, entries, outputs)
    first, second = _richardson((right + left) / 2)
    bend, second_bend = _richardson(curvature)
    disagreement = np.maximum(np.abs(second - first), np.abs(second_bend - bend) / 4)
    left_limit, right_limit = (_richardson(2 * side[1:] - side[:-1])[0] for side in (left, right))
    return np.stack([second, left_limit, right_limit, disagreement])


def _richardson(a: Array) -> Array:
    """Cancel the h^2 term between each two neighbours of a list at steps h, h/2, h/4, ..."""
    extrapolated: Array = (4 * a[1:] - a[:-1]) / 3
    return extrapolated
