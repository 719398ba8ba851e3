"""The forward pass beside a right one. Gradients cannot tell: those of a wrong y may be right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from numpy_se.checker.adapt import explain
from numpy_se.checker.case import (
    Case,
    at_kinks,
    first_case,
    forward_runs,
    from_shapes,
    other_sizes,
    wide_draw,
)
from numpy_se.checker.findings import Finding, Kind
from numpy_se.checker.run import check_output, copies, is_float, takes
from numpy_se.checker.shapes import Shapes, argument_names
from numpy_se.checker.slopes import Op, quiet
from numpy_se.checker.words import in_short
from numpy_se.contract import Array, run_op

MOST_TOLD = 1000  # numbers
FAR = 1000.0  # exp of it is no float

Pair = tuple[Case, tuple[Any, ...], Array, Array]  # arguments, the y given, the y wanted


@dataclass(frozen=True)
class OtherForward:
    """A forward pass that gives another ``y``, and arguments that show it, as lists of numbers."""

    finding: Finding
    arguments: dict[str, Any]


def forward_difference(op: Op, right: Op, shapes: Shapes, seed: int = 0) -> OtherForward | None:
    """Say where the forward pass of ``op`` gives another ``y`` than that of ``right``.

    Several sizes are drawn, and values of all magnitudes. The code of the finding is that of a
    wrong forward pass that is known and gives ``y`` at all of them, or "". What ``op`` raises at
    the first sizes comes through.
    """
    if isinstance(shapes, Mapping):
        right = _by_name(right, argument_names(op))
    with quiet():
        pairs: list[Pair] = []
        overflows: list[tuple[Case, tuple[Any, ...]]] = []
        for case, args, extreme in _arguments(op, right, shapes, seed):
            try:
                result = op(*copies(args))
            except Exception as error:
                if not pairs:
                    raise
                if extreme:
                    continue  # nobody has asked for such values; a wrong y there is wrong
                return _no_output(case, args, error)
            try:
                if reason := explain(op, result, case.names):
                    raise TypeError(f"gradcheck: {reason}")
                if extreme and _overflows(result[0]):
                    overflows.append((case, args))
                    continue
                check_output(y := result[0])
            except Exception as error:
                if not pairs:
                    raise
                return _no_output(case, args, error)
            try:
                wanted, _ = run_op("it", right, *copies(args))
            except Exception as error:
                raise ValueError(f"the reference cannot be used: {in_short(error)}") from error
            pairs.append((case, args, np.array(y), np.array(wanted)))
        wrong = (pair for pair in pairs if _difference(*pair[2:]))
        if (first := next(wrong, None)) is None:
            return _overflow(*overflows[0]) if overflows else None
        case, args, y, right_y = first
        text = f"y is wrong: {_difference(y, right_y)}"
        code, cause = _cause(pairs)
        text = f"{text}. Consistent with: {cause}" if code else text
        return OtherForward(Finding(Kind.VALUE, "y", text, code=code), _plain(case, args))


def _no_output(case: Case, args: tuple[Any, ...], error: Exception) -> OtherForward:
    text = f"the forward pass raises {in_short(error)} for {_sizes(case)}"
    return OtherForward(Finding(Kind.RAISES, "y", text), _plain(case, args))


def _overflows(y: Any) -> bool:
    a = np.asarray(y)
    return a.dtype.kind == "f" and not np.isfinite(a).all()


def _overflow(case: Case, args: tuple[Any, ...]) -> OtherForward:
    text = "y is not finite for values that are large or far apart, where it should be"
    return OtherForward(Finding(Kind.VALUE, "y", text, code="any.nan-y"), _plain(case, args))


def _by_name(right: Op, names: Sequence[str]) -> Op:
    """The right function with its arguments in another order, where it has the same names."""
    own = argument_names(right)
    if sorted(own) != sorted(names):
        return right
    order = [names.index(name) for name in own]
    return lambda *args: right(*(args[place] for place in order))


def _arguments(
    op: Op, right: Op, shapes: Shapes, seed: int
) -> Iterator[tuple[Case, tuple[Any, ...], bool]]:
    """Draw arguments that the right function takes, and say which of them are extreme."""
    rng = np.random.default_rng(seed)
    wanted = from_shapes(shapes, None, op)
    try:
        first, _ = first_case(right, wanted)
    except Exception as error:
        raise ValueError(f"the reference cannot be used: {in_short(error)}") from error
    for case in (first, *other_sizes(first, partial(forward_runs, right), rng)):
        yield case, case.draw(rng), False
        if (wide := wide_draw(right, case, rng)) is not None:
            yield case, wide, True
        if case is first:
            args = case.draw(rng)
            for other in (at_kinks(args, rng), _one_sided(args)):
                if takes(right, other):
                    yield case, other, False
            for far in (_rows_apart(args, rng), *(_times(args, k * FAR) for k in (10, -10))):
                if takes(right, far):
                    yield case, far, True


def _one_sided(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Negative numbers alone: a maximum that begins with 0 shows there."""
    return tuple(-np.abs(a) if is_float(a) else a for a in args)


def _times(args: tuple[Any, ...], factor: float) -> tuple[Any, ...]:
    """Entries that lie far from each other: the exponential of a difference is 0, or no float."""
    return tuple(np.asarray(factor * a) if is_float(a) else a for a in args)


def _rows_apart(args: tuple[Any, ...], rng: np.random.Generator) -> tuple[Any, ...]:
    """Rows that lie far from each other: what is taken off all rows together shows there."""

    def moved(a: Array) -> Array:
        rows = rng.permutation(np.linspace(-FAR, FAR, len(a)))
        return np.asarray(a + rows.reshape(-1, *[1] * (a.ndim - 1)))

    return tuple(moved(a) if is_float(a) and a.ndim else a for a in args)


def _cause(pairs: Sequence[Pair]) -> tuple[str, str]:
    """Find a wrong forward pass of the right operation that gives each y."""
    from numpy_se.checker.mistakes import recognise

    # What is known of mistakes are plain formulas, which overflow where entries lie far apart.
    pairs = [
        pair for pair in pairs if all(np.abs(a).max() < 5 * FAR for a in pair[1] if is_float(a))
    ]
    known = recognise([(args, wanted) for _, args, _, wanted in pairs])
    left: dict[tuple[str, str], None] | None = None
    for case, args, y, _ in pairs:
        found: dict[tuple[str, str], None] = {}
        suspects = (s for operation in known for s in operation.outputs(args, case.names))
        for suspect in suspects:
            predicted = suspect.predict()
            if predicted is not None and not _difference(y, np.asarray(predicted)):
                found[suspect.code, suspect.text] = None
        left = found if left is None else {key: None for key in left if key in found}
    return next(iter(left or {}), ("", ""))


def _difference(given: Array, wanted: Array) -> str:
    if given.shape != wanted.shape:
        return f"it has shape {given.shape}; it wants {wanted.shape}"
    wrong = ~np.isclose(given, wanted, rtol=1e-5, atol=1e-8, equal_nan=True)
    if not wrong.any():
        return ""
    at = tuple(map(int, np.argwhere(wrong)[0]))
    return f"y{list(at) if at else ''} is {given[at]:.6g}; it wants {wanted[at]:.6g}"


def _sizes(case: Case) -> str:
    pairs = zip(case.names, case.shapes, strict=True)
    return ", ".join(f"{name} {shape}" for name, shape in pairs)


def _plain(case: Case, args: tuple[Any, ...]) -> dict[str, Any]:
    """The arguments by name, or none where they are too large to be read."""
    if sum(map(np.size, args)) > MOST_TOLD:
        return {}
    return {name: np.asarray(a).tolist() for name, a in zip(case.names, args, strict=True)}
