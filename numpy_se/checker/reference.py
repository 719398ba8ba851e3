"""The forward pass beside a right one. Gradients cannot tell: those of a wrong y may be right."""

from __future__ import annotations

from functools import partial

import numpy as np

from numpy_se.contract import Array, run_op
from numpy_se.checker.arguments import (
    Arguments,
    Shapes,
    at_large,
    forward_runs,
    from_shapes,
    in_domain,
    other_sizes,
)
from numpy_se.checker.promises import check_output, copies, in_short
from numpy_se.checker.slopes import Op, quiet


def forward_difference(op: Op, right: Op, shapes: Shapes, seed: int = 0) -> str:
    """Say where the forward pass of ``op`` gives another ``y`` than that of ``right``, or "".

    Several sizes are drawn, and larger values. What ``op`` raises at the first sizes comes through.
    """
    rng = np.random.default_rng(seed)
    runs = partial(forward_runs, right)
    with quiet():
        first = in_domain(from_shapes(shapes, None, op), runs)
        for arguments in (first, *other_sizes(first, runs, rng)):
            drawn = arguments.draw(rng)
            for args in (drawn, at_large(right, drawn)):
                try:
                    y, _ = run_op("gradcheck: op", op, *copies(args))
                except Exception as error:
                    if arguments is first:
                        raise
                    return f"the forward pass raises {in_short(error)} for {_sizes(arguments)}."
                check_output(y)
                wanted, _ = run_op("gradcheck: reference", right, *copies(args))
                if difference := _difference(np.asarray(y), np.asarray(wanted)):
                    return f"y is wrong: {difference}."
    return ""


def _difference(given: Array, wanted: Array) -> str:
    if given.shape != wanted.shape:
        return f"it has shape {given.shape}; it wants {wanted.shape}"
    wrong = ~np.isclose(given, wanted, rtol=1e-5, atol=1e-8, equal_nan=True)
    if not wrong.any():
        return ""
    at = tuple(map(int, np.argwhere(wrong)[0]))
    return f"y{list(at) if at else ''} is {given[at]:.6g}; it wants {wanted[at]:.6g}"


def _sizes(arguments: Arguments) -> str:
    pairs = zip(arguments.names, arguments.shapes, strict=True)
    return ", ".join(f"{name} {shape}" for name, shape in pairs)
