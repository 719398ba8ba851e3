"""From wrong gradients to the mistake behind them, as far as the numbers tell.

Arguments of several sizes are drawn, and the claims of ``causes`` and ``mistakes`` are held against
what backward gives. A claim that holds at all sizes is what the mistake is consistent with. The
numbers cannot tell more: two mistakes may give the same gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, permutations

import numpy as np

from numpy_se.contract import Array
from numpy_se.gradcheck.arguments import (
    Arguments,
    at_kinks,
    at_large,
    backward_runs,
    forward_runs,
    other_sizes,
    related,
    takes,
)
from numpy_se.gradcheck.claims import Claims, Gradient, generic, holds, simple
from numpy_se.gradcheck.mistakes import Known, recognise
from numpy_se.gradcheck.mistakes.common import Mistakes
from numpy_se.gradcheck.promises import is_float
from numpy_se.gradcheck.properties import nonlinear
from numpy_se.gradcheck.sample import Sample, check_at
from numpy_se.gradcheck.slopes import Op

OTHER_SIZES = 2  # how many further sizes a claim has to hold at

Probe = tuple[Sample, Arguments]


@dataclass(frozen=True)
class Cause:
    """What the wrong gradients of ``names`` are consistent with. An empty text is unknown."""

    names: tuple[str, ...]
    text: str
    fact: str = ""

    def __str__(self) -> str:
        titles = [f"d{name}" for name in self.names]
        listed = " and ".join([", ".join(titles[:-1]), titles[-1]] if titles[1:] else titles)
        what = f"{listed} {'are' if titles[1:] else 'is'} wrong"
        if self.text:
            return f"{what}. Consistent with: {self.text}."
        return f"{self.fact or what}. Cause unknown: none of the mistakes known here fits."


@dataclass(frozen=True)
class Diagnosis:
    """The causes of an error, and the smallest sample at which it shows."""

    causes: tuple[Cause, ...]
    smallest: Sample


def diagnose(op: Op, first: Sample, arguments: Arguments) -> Diagnosis:
    """Look for the causes of what is wrong at the sample ``first``, drawn for ``arguments``."""
    arguments = related(arguments, partial(_runs_like(first), op))
    probes = list(_probes(op, arguments, first))
    found = {w.name: w for sample in (first, *(s for s, _ in probes)) for w in sample.wrong}
    wrong = tuple(name for name in first.names if f"d{name}" in found)
    facts = {name: found[f"d{name}"].fact for name in wrong if found[f"d{name}"].index is None}
    if probes:
        causes = tuple(_causes(op, probes, wrong, facts))
    else:
        causes = tuple(Cause((name,), "", facts.get(name, "")) for name in wrong)
    if not first.run.grads:
        tail = "; backward runs only where sizes are equal"
        causes = tuple(replace(c, text=c.text and c.text + tail) for c in causes)
    return Diagnosis(causes, _smallest(op, arguments, first))


def _runs_like(first: Sample) -> Callable[[Op, Arguments], bool]:
    return backward_runs if first.well_shaped else forward_runs


def _probes(op: Op, arguments: Arguments, first: Sample) -> Iterator[Probe]:
    """The first sample and others, of other sizes, as far as every entry can be measured."""
    if first.run.grads:
        if _complete(first):
            yield first, arguments
        runs = partial(_runs_like(first), op)
        others = other_sizes(arguments, runs, np.random.default_rng(0), OTHER_SIZES)
    else:  # backward raises: it may run where all sizes are equal
        equal = (dict.fromkeys(arguments.sizes, size) for size in (3, 4))
        others = filter(partial(forward_runs, op), map(arguments.resized, equal))
    for number, changed in enumerate(others):
        rng = np.random.default_rng(number)
        args = changed.draw(rng)
        sample = check_at(op, changed.names, at_large(args) if number else args, rng)
        if _complete(sample):
            yield sample, changed


def _complete(sample: Sample) -> bool:
    """Tell whether there is a gradient for each argument, and the right one, entry by entry."""
    grads = sample.run.grads
    arrays = all(isinstance(g, np.ndarray) for g in grads)
    return bool(sample.slopes) and len(grads) == len(sample.names) and arrays


def _causes(
    op: Op, probes: list[Probe], wrong: tuple[str, ...], facts: dict[str, str]
) -> Iterator[Cause]:
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
        first = probes[0][0]
        nonlinearity = dict(zip(first.names, nonlinear(op, first.run), strict=True))
        for name in wrong:
            own[name] = (
                own[name]
                or _one_mistake(probes, known, only=name)
                or _claim_that_holds(probes, name, generic)
                or (nonlinearity[name] and f"it is {nonlinearity[name]}")
            )
    for text in filter(None, dict.fromkeys(own.values())):
        yield Cause(tuple(name for name in wrong if own[name] == text), text)
    for name in wrong:
        if not own[name]:
            yield Cause((name,), "", facts.get(name, ""))


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
    unknown = (
        ("N", "F", "OH", "OW") if y.ndim == 4 else tuple(f"axis {k} of y" for k in range(y.ndim))
    )
    letters = []
    for k in range(y.ndim):
        fitting = [
            axis
            for axis in probes[0][1].sizes
            if all(a.sizes.get(axis) == sample.run.y.shape[k] for sample, a in probes)
        ]
        letters.append(next((x for x in fitting if x not in letters), unknown[k]))
    return tuple(letters)


def _claim_that_holds(probes: list[Probe], name: str, claims: Callable[[Gradient], Claims]) -> str:
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


def _fits(probe: Probe, wrong: Mapping[int, Array], only: str = "") -> bool:
    """Tell whether a mistake predicts the gradients at a probe: all of them, or ``only`` one."""
    sample, _ = probe
    return all(
        holds(given, wrong[number] if number in wrong else sample.right(number))
        for number, (name, given) in enumerate(zip(sample.names, sample.run.grads, strict=True))
        if name == (only or name)
    )


def _one_mistake(probes: list[Probe], known: Known | None, only: str = "") -> str:
    """A mistake in a known operation that predicts the gradients at every probe."""
    if known is None:
        return ""

    def predictions(probe: Probe) -> Mistakes:
        sample, arguments = probe
        return known.mistakes(sample.run.args, sample.run.dy, arguments.sizes)

    first, *others = probes
    for text, wrong in predictions(first):
        if _fits(first, wrong, only) and all(
            any(text == t and _fits(probe, w, only) for t, w in predictions(probe))
            for probe in others
        ):
            return text
    return ""


def _smallest(op: Op, arguments: Arguments, first: Sample) -> Sample:
    """Make the arguments smaller and rounder, as long as the same thing is wrong."""
    wanted = {w.name for w in first.wrong} or set(first.run.broken)

    def fails(args: tuple[object, ...]) -> Sample | None:
        if first.simple_kinks:
            args = at_kinks(args)
        if not takes(op, args):
            return None
        rng = np.random.default_rng(0)
        found = check_at(op, arguments.names, args, rng, first.simple_kinks)
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
        rounded = tuple(
            np.round(a * steps) / steps + 0.0 if is_float(a) else a for a in best.run.args
        )
        if found := fails(rounded):
            return found
    return best
