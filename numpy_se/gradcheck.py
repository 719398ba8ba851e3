"""Check a hand-written backward against central differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from numpy_se.contract import Array

STEP = 1e-4


@dataclass(frozen=True)
class GradientReport:
    """What a gradient check found.

    ``failures`` holds one sentence for each argument with a wrong gradient. ``checked`` counts the
    entries compared, and ``at_kinks`` those of them where the function has no derivative.
    """

    failures: tuple[str, ...]
    checked: int
    at_kinks: int

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
    the gradients of the arguments are dL/da. Each entry a of each argument is moved by h:

        D(h) = (y(a + h) - y(a - h)) / 2h  =  dy/da + c h^2 + O(h^4)

    Two steps cancel the h^2 term (Richardson): (4 D(h/2) - D(h)) / 3. The one-sided slopes
    R(h) = (y(a + h) - y(a)) / h and the same to the left differ by h y'' on a smooth function, so
    their gap halves with h. Where it does not, or where D(h) and D(h/2) disagree, there is a kink.
    It has the slopes 2 R(h/2) - R(h) on its right and the same on its left, and for each output any
    slope between the two is legal: which one, is a convention. Where the kinks of several steps
    meet in one point, differences do not see all legal slopes; check such a function elsewhere.

    args: float64 arrays, small ones (the op runs four times for each entry). ``op`` may be any
    function of the contract, the project's or your own. ``tolerance`` is relative to the largest
    gradient entry of the argument.
    Raises TypeError for other dtypes: float32 differences are right to 3 digits at best.
    """
    for number, arg in enumerate(args):
        if not isinstance(arg, np.ndarray) or arg.dtype != np.float64:
            kind = getattr(arg, "dtype", type(arg).__name__)
            raise TypeError(f"gradcheck: argument {number} is {kind}; it wants a float64 array")
    y, backward = op(*args)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    grads = backward(dy)
    grads = grads if isinstance(grads, tuple) else (grads,)
    if len(grads) != len(args):
        return GradientReport((f"{len(grads)} gradients for {len(args)} arguments",), 0, 0)

    failures, checked, at_kinks = [], 0, 0
    for number, (arg, grad) in enumerate(zip(args, grads, strict=True)):
        if grad.shape != arg.shape:
            failures.append(
                f"argument {number}: gradient has shape {grad.shape}, the argument {arg.shape}"
            )
            continue
        central, left, right, disagreement = _slopes(op, args, number) * dy.ravel()
        slope = central.sum(axis=1).reshape(arg.shape)
        scale = 1e-3 + np.abs(slope).max(initial=0)
        kink = np.abs(disagreement) > tolerance / 10 * scale
        low = np.where(kink, np.minimum(left, right), central).sum(axis=1).reshape(arg.shape)
        high = np.where(kink, np.maximum(left, right), central).sum(axis=1).reshape(arg.shape)
        error = np.maximum(low - grad, grad - high) / scale  # negative between the slopes
        checked, at_kinks = checked + arg.size, at_kinks + int(kink.any(axis=1).sum())
        if not (error <= tolerance).all():  # not <=: catches NaN too
            worst = np.unravel_index(np.argmax(np.nan_to_num(error, nan=np.inf)), arg.shape)
            at = tuple(int(i) for i in worst)
            failures.append(
                f"argument {number}: gradient at {at} is {grad[at]:.9g}, "
                f"central differences give {slope[at]:.9g}"
            )
    return GradientReport(tuple(failures), checked, at_kinks)


def assert_gradients(
    op: Callable[..., Any], *args: Array, seed: int = 0, tolerance: float = 1e-6
) -> None:
    """Raise AssertionError with the report unless ``gradcheck`` finds every gradient right."""
    report = gradcheck(op, *args, seed=seed, tolerance=tolerance)
    if not report.ok:
        raise AssertionError(str(report))


def _slopes(op: Callable[..., Any], args: tuple[Array, ...], number: int) -> Array:
    """Slopes of every output along every entry of one argument: (4, entries, outputs).

    The central slope, the left one, the right one, and by how much two step sizes disagree.
    """
    moved = [np.array(arg) for arg in args]
    target = moved[number]
    y0 = op(*moved)[0]

    def slope(index: tuple[int, ...], h: float) -> Array:
        here = target[index]
        target[index] = here + h
        y = op(*moved)[0]
        target[index] = here
        return np.ravel(y - y0) / h

    slopes = np.array(
        [
            [slope(index, h) for h in (STEP, -STEP, STEP / 2, -STEP / 2)]
            for index in np.ndindex(target.shape)
        ]
    )
    right, left, right_half, left_half = np.moveaxis(slopes, 1, 0)  # (entries, outputs) each
    wide, narrow = (right + left) / 2, (right_half + left_half) / 2
    gap_excess = right_half - left_half - (right - left) / 2
    disagreement = np.maximum(np.abs(gap_excess), np.abs(wide - narrow))
    central = (4 * narrow - wide) / 3
    return np.stack([central, 2 * left_half - left, 2 * right_half - right, disagreement])
