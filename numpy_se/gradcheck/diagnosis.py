"""From wrong gradients to the mistake behind them, as far as the numbers tell.

Arguments of several sizes are drawn, and the claims of ``causes`` and ``mistakes`` are held against
what backward gives. A claim that holds at all sizes is what the mistake is consistent with. The
numbers cannot tell more: two mistakes may give the same gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice, permutations

import numpy as np

from numpy_se.gradcheck.arguments import (
    Arguments,
    at_large,
    backward_runs,
    forward_runs,
    other_sizes,
    related,
)
from numpy_se.gradcheck.claims import Claims, Gradient, generic, holds, simple
from numpy_se.gradcheck.mistakes import Known, recognise
from numpy_se.gradcheck.promises import is_float
from numpy_se.gradcheck.sample import Sample, check_at
from numpy_se.gradcheck.slopes import Op

OTHER_SIZES = 2  # how many further sizes a claim has to hold at

Probe = tuple[Sample, Arguments]


@dataclass(frozen=True)
class Cause:
    """What the wrong gradients of ``names`` are consistent with. An empty text is unknown."""

    names: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        titles = [f"d{name}" for name in self.names]
        listed = " and ".join([", ".join(titles[:-1]), titles[-1]] if titles[1:] else titles)
        verb = "are" if titles[1:] else "is"
        if not self.text:
            return f"{listed} {verb} wrong. Cause unknown: none of the mistakes known here fits."
        return f"{listed} {verb} wrong. Consistent with: {self.text}."


@dataclass(frozen=True)
class Diagnosis:
    """The causes of an error, and the smallest sample at which it shows."""

    causes: tuple[Cause, ...]
    smallest: Sample


def diagnose(op: Op, arguments: Arguments, first: Sample) -> Diagnosis:
    """Look for the causes of what is wrong at the sample ``first``, drawn for ``arguments``."""
    runs = partial(backward_runs if first.well_shaped else forward_runs, op)
    arguments = related(arguments, runs)
    wrong = tuple(w.name[1:] for w in first.wrong)
    condition = ""
    if first.run.grads:
        probes = [(first, arguments)] if first.slopes else []
        others = other_sizes(arguments, runs, np.random.default_rng(0), OTHER_SIZES)
    else:  # backward raises: it may run where all sizes are equal
        probes = []
        others = (arguments.resized(dict.fromkeys(arguments.sizes, size)) for size in (3, 4))
        condition = "; backward runs only where sizes are equal"
    for number, changed in enumerate(others):
        rng = np.random.default_rng(number)
        with suppress(Exception):  # the operation may not take these sizes
            args = changed.draw(rng)
            sample = check_at(op, changed.names, at_large(args) if number else args, rng)
            if sample.slopes and sample.run.grads:
                probes.append((sample, changed))
    if not first.run.grads:
        wrong = tuple(dict.fromkeys(w.name[1:] for sample, _ in probes for w in sample.wrong))
    causes = list(_causes(probes, wrong)) if probes else [Cause(wrong, "")] if wrong else []
    causes = [Cause(c.names, c.text + condition if c.text else "") for c in causes]
    return Diagnosis(tuple(causes), _smallest(op, arguments, first))


def _causes(probes: list[Probe], wrong: tuple[str, ...]) -> Iterator[Cause]:
    """Explain all wrong gradients by one mistake, or else each of them by its own."""
    if order := _wrong_order(probes):
        yield Cause(wrong, f"the gradients are in the wrong order: backward gives {order}")
        return
    known = recognise(probes[0][0].run.args, probes[0][0].run.y)
    own = {name: _claim_that_holds(probes, name, simple) for name in wrong}
    if len(wrong) > 1 or not all(own.values()):
        if text := _one_mistake(probes, known):
            yield Cause(wrong, text)
            return
        for name in wrong:
            own[name] = (
                own[name]
                or _one_mistake(probes, known, only=name)
                or _claim_that_holds(probes, name, generic)
            )
    for text in dict.fromkeys(own.values()):
        yield Cause(tuple(name for name in wrong if own[name] == text), text)


def _wrong_order(probes: list[Probe]) -> str:
    """Name the gradients in the order in which backward gives them, if it is not the right one."""
    names = probes[0][0].names
    for order in islice(permutations(range(len(names))), 1, 200):
        if all(
            holds(sample.run.grads[place], sample.right(number))
            for sample, _ in probes
            for place, number in enumerate(order)
        ):
            return ", ".join(f"d{names[number]}" for number in order)
    return ""


def _output_axes(probes: list[Probe]) -> tuple[str, ...]:
    """The letters of the axes of the output: those that have its size at every probe."""
    y = probes[0][0].run.y
    unknown = ("N", "F", "OH", "OW") if y.ndim == 4 else tuple(f"axis {k} of y" for k in range(y.ndim))
    letters = []
    for k in range(y.ndim):
        fitting = [
            axis
            for axis in probes[0][1].sizes
            if all(a.sizes.get(axis) == sample.run.y.shape[k] for sample, a in probes)
        ]
        letters.append(next((x for x in fitting if x not in letters), unknown[k]))
    return tuple(letters)


def _claim_that_holds(
    probes: list[Probe], name: str, claims: Callable[[Gradient], Claims]
) -> str:
    """The first claim about one gradient that holds at every probe."""
    holding: dict[str, None] | None = None
    y_axes = _output_axes(probes)
    for sample, arguments in probes:
        number = sample.names.index(name)
        axes = arguments.axes[arguments.names.index(name)]
        if not isinstance(sample.run.grads[number], np.ndarray):
            return ""
        g = Gradient(sample, arguments.sizes, number, axes, y_axes)
        found = dict.fromkeys(text for text, left, right in claims(g) if holds(left, right))
        holding = found if holding is None else {t: None for t in holding if t in found}
    return next(iter(holding or {}), "")


def _fits(probe: Probe, grads: tuple[object, ...], only: str = "") -> bool:
    """Tell whether a mistake predicts the gradients at a probe: all of them, or ``only`` one."""
    sample, _ = probe
    return all(
        holds(given, sample.right(number) if predicted is None else predicted)
        for number, (name, given, predicted) in enumerate(
            zip(sample.names, sample.run.grads, grads, strict=True)
        )
        if name == (only or name)
    )


def _one_mistake(probes: list[Probe], known: Known | None, only: str = "") -> str:
    """A mistake in a known operation that predicts the gradients at every probe."""
    if known is None:
        return ""

    def predictions(probe: Probe) -> Iterator[tuple[str, tuple[object, ...]]]:
        sample, arguments = probe
        return known.mistakes(sample.run.args, sample.run.dy, arguments.sizes)

    first, *others = probes
    for text, grads in predictions(first):
        if _fits(first, grads, only) and all(
            any(text == t and _fits(probe, g, only) for t, g in predictions(probe))
            for probe in others
        ):
            return text
    return ""


def _smallest(op: Op, arguments: Arguments, first: Sample) -> Sample:
    """Make the arguments smaller and rounder, as long as the same thing is wrong."""
    wanted = {w.name for w in first.wrong} or set(first.run.broken)

    def fails(args: tuple[object, ...]) -> Sample | None:
        try:
            found = check_at(op, arguments.names, args, np.random.default_rng(0))
        except Exception:  # the operation does not take these arguments
            return None
        return found if wanted & ({w.name for w in found.wrong} | set(found.run.broken)) else None

    best = first
    for axis in arguments.sizes:
        for size in range(1, arguments.sizes[axis]):
            smaller = arguments.resized({axis: size})
            drawn = (smaller.draw(np.random.default_rng(seed)) for seed in range(3))
            if found := next(filter(None, map(fails, drawn)), None):
                best, arguments = found, smaller
                break
    for steps in (1, 2, 4, 8):
        rounded = tuple(np.round(a * steps) / steps if is_float(a) else a for a in best.run.args)
        if found := fails(rounded):
            return found
    return best
