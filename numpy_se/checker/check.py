"""The check itself: the plan of a check, from the arguments to the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from numpy_se.checker.adapt import explain
from numpy_se.checker.case import (
    LARGE,
    Case,
    at_kinks,
    equal_by_need,
    first_case,
    forward_runs,
    from_arrays,
    from_shapes,
    other_sizes,
    single_sizes,
    wide_draw,
)
from numpy_se.checker.findings import Finding, Kind, MistakeError
from numpy_se.checker.look import Look, influences, look
from numpy_se.checker.name import name_causes
from numpy_se.checker.properties import (
    broken_properties,
    limits_of,
    of_float32,
    overflow,
    roughness_of_y,
)
from numpy_se.checker.report import GradientReport, State
from numpy_se.checker.run import copies, is_float, takes
from numpy_se.checker.shapes import Shapes
from numpy_se.checker.shrink import smallest
from numpy_se.checker.slopes import SMALL_STEP, STEP, Op, quiet, spread
from numpy_se.checker.words import in_short, listed
from numpy_se.contract import check_count, kind_of

DRAWS = 10  # until every argument has an influence on the output
TINY = 1e-12  # an output whose gradients may be below what is seen
SMALL = 1e-3  # of usual values: below a clip of a norm, an eps, a threshold
EXPLAINED = 100.0  # extrapolation makes an error of rounding larger
BESIDE = 0.03  # of the spread of given arguments: how far they are moved away from their kinks

Step = Look | Finding | str  # what a plan gives: looks, and what there is to say between them


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
    axes of equal sizes; several sizes are drawn, and values of all magnitudes that the forward
    pass takes. ``int N`` stands for labels. Sizes may be given as numbers,
    ``{"x": (2, 3, 4, 5), "w": ("F", "C")}``, and are then part of the operation. In both cases, the
    op is also checked where the arguments are moved to a zero and to ties, as there ReLU and maxima
    have a kink. ``names`` are those of the arguments, in the report; by default, of the op's
    parameters.

    With a random upstream gradient ``dy``, L = sum_o y[o] * dy[o] is a number, and the gradients
    are those of L. Small arguments are moved entry by entry, large ones along random directions.
    A gradient is called wrong only where several measurements agree with each other, and not with
    it; what they cannot decide is told.

    Raises TypeError for arguments that are not float64 (differences of float32 are right to 3
    digits at best), and for an ``op`` that does not give ``y, backward``; ValueError for an
    empty array, an output that is not finite, a negative seed, and shapes that do not read. What
    the forward pass raises comes through; what backward raises is in the report.
    """
    if (shapes is None) == (not args):
        raise TypeError("gradcheck: it wants either arguments or shapes")
    check_count("gradcheck", "seed", seed, at_least=0)
    if reason := explain(op):
        raise TypeError(f"gradcheck: {reason}")
    rng = np.random.default_rng(seed)
    with quiet():
        if shapes is None:
            args = copies(args)  # a report that is read later is the same
            case = from_arrays(names, op, args)
            _refuse(case.names, args)
            return _report(op, _at_given(op, case, args, rng))
        return _report(op, _at_drawn(op, from_shapes(shapes, names, op), rng))


def assert_gradients(op: Callable[..., Any], *args: Any, **options: Any) -> None:
    """Raise GradientError, an AssertionError, unless ``gradcheck`` finds everything right.

    Takes what ``gradcheck`` takes. The text of the error is the report.
    """
    gradcheck(op, *args, **options).raise_if_failed()


def _refuse(names: tuple[str, ...], args: tuple[Any, ...]) -> None:
    for name, arg in zip(names, args, strict=True):
        if is_float(arg) and arg.dtype != np.float64:
            wanted = f"float64: {name}.astype(np.float64)"
            raise TypeError(f"gradcheck: {name} is {arg.dtype}; it wants {wanted}")
        if isinstance(arg, np.ndarray) and arg.size == 0:
            raise ValueError(f"gradcheck: {name} has shape {arg.shape}, and no entry")
    if not any(map(is_float, args)):
        kinds = listed(
            f"an array of {a.dtype}" if isinstance(a, np.ndarray) else kind_of(a) for a in args
        )
        raise TypeError(f"gradcheck: no argument is a float64 array; there is {kinds}")


def _at_given(
    op: Op, case: Case, args: tuple[Any, ...], rng: np.random.Generator
) -> Iterator[Step]:
    """Check at the arguments, beside them, and where they are moved to kinks."""
    first = look(op, case, args, rng)
    yield from _properties(op, first)
    yield from limits_of(case.names, args)
    if not first.slopes and first.checked:
        yield "the arguments are large: moved along random directions only"
    beside = tuple(_moved(a, rng) if is_float(a) else a for a in args)
    if any(first.at_kinks):
        yield from _chosen(op, case, beside, rng, "the arguments are moved a little")
    if first.slopes:
        yield from _at_ties(op, case, args, rng)


def _at_drawn(op: Op, case: Case, rng: np.random.Generator) -> Iterator[Step]:
    """Check at the sizes asked for, at ties, at other sizes and magnitudes."""
    case, failed = first_case(op, case)
    if failed:
        yield _only_where_it_runs(op, case, failed)
    args = _telling_draw(op, case, rng)
    first = look(op, case, args, rng)
    yield from _properties(op, first)
    yield from _at_ties(op, case, args, rng)
    small = tuple(np.asarray(SMALL * a) if is_float(a) else a for a in args)
    for step in _chosen(op, case, small, rng, "all values are small", may_raise=False, coarse=True):
        if not (isinstance(step, Look) and step.flat):  # 1e8 + x does not move, by rounding
            yield step
    runs, short = partial(forward_runs, op), {"may_raise": False, "coarse": True}
    for changed in other_sizes(case, runs, rng):
        if takes(op, args := _telling_draw(op, changed, rng)):
            yield look(op, changed, args, rng)
    for changed in single_sizes(case, runs):
        args = _telling_draw(op, changed, rng)
        yield from _chosen(op, changed, args, rng, "an axis has length 1", **short)
    told = False
    for changed in (case, *single_sizes(case, runs, LARGE)):
        if (wide := wide_draw(op, changed, rng)) is not None:
            coarse = changed != case
            found = _chosen(op, changed, wide, rng, "values are large", coarse=coarse, like=first)
            for step in found:
                if not (told and isinstance(step, str)):
                    yield step
                told |= isinstance(step, str)
        if changed != case:
            args = _telling_draw(op, changed, rng)
            yield from _chosen(op, changed, args, rng, "an axis is long", **short)
    yield from overflow(op, case.names, first.run.args)


def _properties(op: Op, first: Look) -> Iterator[Step]:
    """A first look, and what needs no differences to be seen."""
    yield first
    names = first.case.names
    if first.checked:
        yield from broken_properties(op, names, first.run, smooth=not any(first.at_kinks))
        if not any(first.at_kinks):
            yield from of_float32(op, names, first.run)
    if np.abs(first.run.y).max() < TINY:
        yield f"y is below {TINY:g}: multiply it by a constant, to see its gradients"
    for name in first.silent:
        yield (
            f"y does not depend on {name} here, so a d{name} that is too large or too small does "
            "not show"
        )


def _at_ties(op: Op, case: Case, args: tuple[Any, ...], rng: np.random.Generator) -> Iterator[Step]:
    moved = at_kinks(args, rng)
    yield from _chosen(op, case, moved, rng, "some entries are equal or zero", simple=True)


def _chosen(
    op: Op,
    case: Case,
    args: tuple[Any, ...],
    rng: np.random.Generator,
    where: str,
    may_raise: bool = True,
    **options: Any,
) -> Iterator[Step]:
    """Look at arguments that the checker chose: what backward does not take is not counted."""
    if not takes(op, args):  # they may lie outside of the domain of the operation
        return
    found = look(op, case, args, rng, **options)
    for finding in found.findings:
        if finding.kind is Kind.NOT_FINITE or (finding.kind is Kind.RAISES and may_raise):
            yield f"where {where}, {finding.text}: not counted"
            return
    yield found


def _moved(a: Any, rng: np.random.Generator) -> Any:
    return np.asarray(a + BESIDE * spread(a) * rng.standard_normal(a.shape))


def _only_where_it_runs(op: Op, case: Case, failed: list[Case]) -> Step:
    """Say at which sizes the forward pass does not run, though they were asked for."""
    try:
        op(*copies(failed[0].draw(np.random.default_rng(0))))
        error = "y is not finite"
    except Exception as raised:
        error = f"it raises {in_short(raised)}"
    sizes = ", ".join(f"{x} = {failed[0].sizes[x]}" for x in case.letters)
    if pair := equal_by_need(op, case, failed):
        text = f"the forward pass runs only where {pair[0]} = {pair[1]}; at {sizes}, {error}"
        return Finding(Kind.RAISES, "y", text, code="any.equal-sizes-only")
    return f"at {sizes}, {error}: tried at other sizes only"


def _telling_draw(op: Op, case: Case, rng: np.random.Generator) -> tuple[Any, ...]:
    """Draw arguments, again while one of them has no influence on the output.

    A ReLU that is closed for all samples hides what lies behind it.
    """
    for _ in range(DRAWS):
        args = case.draw(rng)
        if takes(op, args) and all(influences(op, copies(args), rng)):
            break
    return args


def _report(op: Op, steps: Iterable[Step]) -> GradientReport:
    """Follow the steps of a plan, up to the first one that fails."""
    looks: list[Look] = []
    limits: list[str] = [op.note] if hasattr(op, "note") else []
    for step in steps:
        if isinstance(step, str):
            limits.append(step)
        elif isinstance(step, Finding):
            return _sum_up(op, looks, (step,), limits)
        else:
            looks.append(step)
            limits += [note for note in step.run.notes if note not in limits]
            if step.findings:
                wrong = {f.subject for f in step.wrong}
                silent = [name for name in step.silent if f"d{name}" in wrong]
                limits += [f"y does not depend on {name} here: is it read?" for name in silent]
                return _sum_up(op, looks, _beyond_rounding(op, step), limits)
    report = _sum_up(op, looks, (), [*limits, *_untried(looks)])
    if report.verdict == "ok":
        return report
    unclear = roughness_of_y(op, looks[0].run.args, looks[0].case.names)
    return replace(report, limits=(unclear.text, *report.limits)) if unclear else report


def _beyond_rounding(op: Op, look: Look) -> tuple[Finding, ...]:
    """The findings of a look; the roughness of y in place of wrong numbers that it explains.

    Steps of a height s in y are an error of s / h in a slope that is measured with the step h.
    """
    unclear = roughness_of_y(op, look.run.args, look.case.names) if look.wrong else None
    if not unclear:
        return look.findings
    height = unclear.height * float(np.abs(look.run.y).max()) * float(np.linalg.norm(look.run.dy))
    step = STEP if look.slopes else SMALL_STEP
    for name, arg in zip(look.names, look.run.arrays, strict=True):
        most = EXPLAINED * height / (step * spread(arg))
        for entry in (f.entry for f in look.findings if f.subject == f"d{name}" and f.entry):
            if abs(entry.given - entry.expected) > most:
                return look.findings
    return (*(f for f in look.findings if f.kind is not Kind.VALUE), unclear.finding)


def _sum_up(
    op: Op, looks: list[Look], findings: tuple[Finding, ...], limits: list[str]
) -> GradientReport:
    """Write the report; the last look is where the findings were made."""
    resolution: dict[str, float] = {}
    decided: dict[str, int] = {}
    sharp: dict[str, bool] = {}
    for one in looks:
        for name, is_sharp in zip(one.names, one.sharp, strict=False):
            sharp[f"d{name}"] = is_sharp or sharp.get(f"d{name}", False)
        for title, error in one.resolution:
            resolution[title] = min(error, resolution.get(title, np.inf))
        counts = zip(one.names, one.checked, one.at_kinks, one.undecided, strict=False)
        for name, checked, kinks, undecided in counts:
            decided[f"d{name}"] = decided.get(f"d{name}", 0) + max(0, checked - kinks - undecided)
    wrong = {f.subject for f in findings}
    first = looks[:1]
    doubted = {f"d{n}" for one in first for n, d in zip(one.names, one.doubted, strict=False) if d}
    is_rough = any(f.kind is Kind.ROUGH for f in findings)
    states: dict[str, State] = {}
    for title in (f"d{name}" for name in looks[-1].names) if looks else ():
        right = decided.get(title) and sharp[title] and title not in doubted and not is_rough
        states[title] = "wrong" if title in wrong else "right" if right else "undecided"
    report = GradientReport(
        _title(op),
        findings,
        states,
        tuple(limits),
        sum(sum(one.checked) for one in looks),
        sum(sum(one.at_kinks) for one in looks),
        resolution,
        any(len(one.silent) < len(one.names) for one in looks),
    )
    if looks and looks[-1].findings:
        named = name_causes if report.wrong else (lambda op, look: ())
        return replace(
            report,
            find_causes=lambda: _quietly(named, op, looks[-1], ()),
            find_smallest=lambda: _quietly(smallest, op, looks[-1], {}),
        )
    return report


def _quietly(find: Callable[[Op, Look], Any], op: Op, look: Look, otherwise: Any) -> Any:
    """Search with somebody else's code, which may raise where a report is only printed."""
    with quiet():
        try:
            return find(op, look)
        except MistakeError:  # the teacher's own
            raise
        except Exception:
            return otherwise


def _title(op: Op) -> str:
    """How the operation is written, as far as that is known."""
    if hasattr(op, "written"):  # by an adapter
        return str(op.written) or "op"
    name = str(getattr(op, "__name__", ""))
    return name if name.isidentifier() else "op"


def _untried(looks: list[Look]) -> Iterator[str]:
    """Say which sizes were not tried."""
    letters = looks[0].case.letters
    tried = {x: [look.case.sizes[x] for look in looks] for x in letters}
    if fixed := [f"{x} = {sizes[0]}" for x, sizes in tried.items() if len(set(sizes)) == 1]:
        yield f"only {', '.join(fixed)} was tried, so what happens at others is not known"
    for a, b in combinations(letters, 2):
        if tried[a] == tried[b] and len(set(tried[a])) > 1:
            yield f"{a} and {b} had the same size each time: one for the other is not seen"
