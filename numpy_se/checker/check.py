"""The check itself: at which arguments an operation is looked at, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from numpy_se.contract import check_count, run_op
from numpy_se.checker.arguments import (
    Arguments,
    Shapes,
    at_kinks,
    at_large,
    backward_runs,
    forward_runs,
    from_arrays,
    from_shapes,
    in_domain,
    other_sizes,
    related,
    single_sizes,
    takes,
)
from numpy_se.checker.diagnosis import Probe
from numpy_se.checker.promises import check_output, copies, is_float, repeats
from numpy_se.checker.properties import broken_properties, limits_of, silent_promotions
from numpy_se.checker.report import GradientReport
from numpy_se.checker.sample import all_have_influence, check_at
from numpy_se.checker.slopes import Op, quiet

DRAWS = 10  # until every argument has an influence on the output


def gradcheck(
    op: Callable[..., Any],
    *args: Any,
    shapes: Shapes | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> GradientReport:
    """Compare every gradient of ``y, backward = op(*args)`` with differences, and name mistakes.

        gradcheck(my_op, x, w)                                  at these arguments
        gradcheck(my_op, shapes="N C H W, F C KH KW")           at arguments that are drawn

    ``op`` is any function of the contract, of the package or your own. Float64 arrays are checked;
    labels (integer arrays), None and options are passed on. With ``shapes``, equal letters are
    axes of equal sizes, and several sizes are drawn. ``int N`` stands for labels. Sizes may be
    given as ``{"x": (2, 3, 4, 5), "w": ("F", "C")}``. In both cases, the op is also checked where
    the arguments are moved to a zero and to ties, as there ReLU and maxima have a kink. ``names``
    are those of the arguments, in the report; by default, of the op's parameters.

    With a random upstream gradient ``dy``, L = sum_o y[o] * dy[o] is a number, and the gradients
    are those of L. Small arguments are moved entry by entry, large ones along random directions.

    Raises TypeError for arguments that are not float64 (differences of float32 are right to 3
    digits at best), and for an ``op`` that does not give ``y, backward``; ValueError for an
    empty array, an output that is not finite, a negative seed, and shapes that do not read. What
    the forward pass raises comes through; what backward raises is in the report.
    """
    if (shapes is None) == (not args):
        raise TypeError("gradcheck: it wants either arguments or shapes")
    check_count("gradcheck", "seed", seed, at_least=0)
    rng = np.random.default_rng(seed)
    with quiet():
        if shapes is None:
            arguments = from_arrays(names, op, args)
            _refuse(arguments.names, args)
            return _report(op, _at_given(op, arguments, args, rng), given=True)
        return _report(op, _at_drawn(op, from_shapes(shapes, names, op), rng), given=False)


def assert_gradients(op: Callable[..., Any], *args: Any, **options: Any) -> None:
    """Raise GradientError, an AssertionError, unless ``gradcheck`` finds everything right.

    Takes what ``gradcheck`` takes. The text of the error is the report.
    """
    gradcheck(op, *args, **options).raise_if_failed()


def _refuse(names: tuple[str, ...], args: tuple[Any, ...]) -> None:
    for name, arg in zip(names, args, strict=True):
        if is_float(arg) and arg.dtype != np.float64:
            raise TypeError(f"gradcheck: {name} is {arg.dtype}; it wants float64")
        if isinstance(arg, np.ndarray) and arg.size == 0:
            raise ValueError(f"gradcheck: {name} has shape {arg.shape}, and no entry")
    if not any(map(is_float, args)):
        raise TypeError("gradcheck: no argument is a float64 array")


def _at_given(
    op: Op, arguments: Arguments, args: tuple[Any, ...], rng: np.random.Generator
) -> Iterator[Probe]:
    """Check at the arguments, and where they are moved to kinks."""
    yield check_at(op, arguments.names, args, rng), arguments
    moved = at_kinks(args)
    if takes(op, moved):  # the kinks may lie outside of the domain of the operation
        yield check_at(op, arguments.names, moved, rng, simple_kinks=True), arguments


def _at_drawn(op: Op, arguments: Arguments, rng: np.random.Generator) -> Iterator[Probe]:
    """Check at the sizes asked for, at ties, at other sizes and at axes of length 1."""
    arguments = in_domain(arguments, partial(forward_runs, op))
    args = arguments.draw(rng)
    y, _ = run_op("gradcheck: op", op, *copies(args))  # what it raises comes through
    check_output(y)
    if not repeats(op, copies(args), y):  # before differences, which move what it keeps
        yield check_at(op, arguments.names, args, rng), arguments
        return
    yield from _at_given(op, arguments, _telling_draw(op, arguments, rng), rng)
    runs = partial(backward_runs if arguments.anonymous else forward_runs, op)
    arguments = related(arguments, runs)
    for number, changed in enumerate(other_sizes(arguments, runs, rng)):
        args = _telling_draw(op, changed, rng)
        yield check_at(op, changed.names, at_large(op, args) if number else args, rng), changed
    for changed in single_sizes(arguments, runs):
        yield check_at(op, changed.names, _telling_draw(op, changed, rng), rng), changed


def _telling_draw(op: Op, arguments: Arguments, rng: np.random.Generator) -> tuple[Any, ...]:
    """Draw arguments, again while one of them has no influence on the output.

    A ReLU that is closed for all samples hides what lies behind it.
    """
    for _ in range(DRAWS):
        args = arguments.draw(rng)
        if all_have_influence(op, args, rng):
            break
    return args


def _report(op: Op, probes: Iterable[Probe], given: bool) -> GradientReport:
    """Sum up the samples, up to the first one that fails."""
    checked = at_kinks = 0
    limits: list[str] = []
    resolution: dict[str, float] = {}
    tried: dict[str, set[int]] = {}
    influence = False
    for number, (sample, arguments) in enumerate(probes):
        run, names = sample.run, arguments.names
        broken = run.broken
        for letter, size in arguments.sizes.items():
            tried.setdefault(letter, set()).add(size)
        influence |= len(sample.silent) < len(sample.names)
        checked, at_kinks = checked + sample.checked, at_kinks + sample.at_kinks
        for name, error in sample.resolution.items():
            resolution[name] = max(error, resolution.get(name, 0.0))
        if number == 0:
            limits += [
                f"y does not depend on {name} here, so a d{name} that is too large or too small "
                "does not show"
                for name in sample.silent
            ]
            if sample.checked and not sample.slopes:
                limits.append("the arguments are large: moved along random directions only")
            if given:
                limits += limits_of(names, run.args)
            if sample.ok:
                broken = tuple(broken_properties(op, names, run, smooth=sample.at_kinks == 0))
                limits += silent_promotions(op, names, run)
        if broken or sample.wrong:
            return GradientReport(
                broken,
                sample.wrong,
                tuple(limits),
                checked,
                at_kinks,
                resolution,
                influence,
                (op, sample, arguments),
            )
    fixed = [f"{k} = {min(v)}" for k, v in tried.items() if len(v) == 1 and ".shape[" not in k]
    if fixed and not given:
        limits.append(f"only {', '.join(fixed)} was tried, so what happens at others is not known")
    return GradientReport((), (), tuple(limits), checked, at_kinks, resolution, influence)
