"""From wrong gradients to the mistake behind them, as far as the numbers tell.

Arguments of several sizes are drawn, and what ``claims`` and ``mistakes`` say is held against
what backward gives. A claim that holds at all sizes is what the mistake is consistent with. The
numbers cannot tell more: two mistakes may give the same gradient.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice, permutations

import numpy as np

from numpy_se.contract import Array
from numpy_se.checker.arguments import (
    Arguments,
    at_kinks,
    at_large,
    backward_runs,
    forward_runs,
    other_sizes,
    related,
    takes,
)
from numpy_se.checker.claims import Claims, Gradient, generic, holds, places, simple
from numpy_se.checker.kinks import SMALL_STEP
from numpy_se.checker.mistakes import recognise
from numpy_se.checker.promises import ANOTHER_Y, copies, is_float
from numpy_se.checker.properties import nonlinear
from numpy_se.checker.sample import Sample, check_at
from numpy_se.checker.slopes import Op, measure

FEW = 24  # entries of a large gradient
MOST_SECONDS = 1.5  # to look for smaller arguments

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
        if "it wants" in self.fact or "not finite" in self.fact:
            return f"{self.fact}."
        return f"{self.fact or what}. Cause unknown: none of the mistakes known here fits."


@dataclass(frozen=True)
class Diagnosis:
    """The causes of an error, and the smallest sample at which it shows."""

    causes: tuple[Cause, ...]
    smallest: Sample


def diagnose(op: Op, first: Sample, arguments: Arguments) -> Diagnosis:
    """Look for the causes of what is wrong at the sample ``first``, drawn for ``arguments``."""
    if ANOTHER_Y in first.run.broken:  # then a smaller example may depend on the calls before it
        return Diagnosis((), first)
    arguments = related(arguments, partial(_runs_like(first), op))
    probes = list(_probes(op, arguments, first))
    found = {w.name: w for sample in (*(s for s, _ in probes), first) for w in sample.wrong}
    wrong = tuple(name for name in first.names if f"d{name}" in found)
    facts = {name: found[f"d{name}"].fact for name in wrong if found[f"d{name}"].index is None}
    if rounded := _rounded_to_float32(op, first):
        text = f"the forward pass computes with {' and '.join(rounded)} in float32"
        causes: tuple[Cause, ...] = (Cause(wrong, text),) if wrong else ()
    elif probes and wrong:
        causes = tuple(_Search(op, probes).causes(wrong, facts))
    else:
        causes = tuple(
            Cause((name,), "" if name in facts else _constant(op, first, name), facts.get(name, ""))
            for name in wrong
        )
    if not first.run.grads:
        tail = "; backward runs only where sizes are equal"
        causes = tuple(replace(c, text=c.text and c.text + tail) for c in causes)
    return Diagnosis(causes, _smallest(op, arguments, first))


def _runs_like(first: Sample) -> Callable[[Op, Arguments], bool]:
    return backward_runs if first.well_shaped else forward_runs


def _probes(op: Op, arguments: Arguments, first: Sample) -> Iterator[Probe]:
    """The first sample and others, of other sizes, as far as every entry can be measured.

    A forward pass with ``squeeze()`` drops the axes of size 1. What it gives without them is left
    out, as the axes of its output would not correspond.
    """
    if first.run.grads:
        if _complete(first):
            yield first, arguments
        runs = partial(_runs_like(first), op)
        others = other_sizes(arguments, runs, np.random.default_rng(0))
    else:  # backward raises: it may run where all sizes are equal
        equal = (dict.fromkeys(arguments.sizes, size) for size in (3, 4))
        others = filter(partial(forward_runs, op), map(arguments.resized, equal))
    for number, changed in enumerate(others):
        rng = np.random.default_rng(number)
        args = changed.draw(rng)
        sample = check_at(op, changed.names, at_large(op, args) if number else args, rng)
        if _complete(sample) and sample.run.y.ndim == first.run.y.ndim:
            yield sample, changed


def _complete(sample: Sample) -> bool:
    """Tell whether there is a gradient for each argument, and the right one, entry by entry."""
    grads = sample.run.grads
    arrays = all(isinstance(g, np.ndarray) for g in grads)
    return bool(sample.slopes) and len(grads) == len(sample.names) and arrays


class _Search:
    """The probes, and the mistakes that are known in their operation."""

    def __init__(self, op: Op, probes: list[Probe]) -> None:
        self.op, self.probes = op, probes
        self.first, _ = probes[0]
        self.names = self.first.names
        self.known = recognise(self.first.run.args, self.first.run.y)
        self.y_axes = _output_axes(probes)

    def causes(self, wrong: tuple[str, ...], facts: dict[str, str]) -> Iterator[Cause]:
        """Explain all wrong gradients by one mistake, or else each of them by its own."""
        if order := self.wrong_order():
            yield Cause(wrong, f"the gradients are in the wrong order: backward gives {order}")
            return
        own = {name: self.precision(name) or self.claim(name, simple) for name in wrong}
        float64 = [name for name in wrong if self.is_float64(name)]
        if float64 and (len(wrong) > 1 or not all(own.values())):
            if text := self.mistake():
                yield Cause(wrong, text)
                return
            for name in float64:
                own[name] = own[name] or self.mistake(name) or self.claim(name, generic)
                own[name] = own[name] or self.nonlinearity(name)
        for text in filter(None, dict.fromkeys(own.values())):
            yield Cause(tuple(name for name in wrong if own[name] == text), text)
        for name in wrong:
            if not own[name]:
                yield Cause((name,), "", facts.get(name, "") or self.where(name))

    def is_float64(self, name: str) -> bool:
        """Tell whether a gradient is float64 at every probe. Otherwise its dtype is the mistake."""
        number = self.names.index(name)
        return all(sample.run.grads[number].dtype == np.float64 for sample, _ in self.probes)

    def precision(self, name: str) -> str:
        """Say that a gradient is right, but for its last digits, or nothing."""
        number = self.names.index(name)
        if not self.is_float64(name):
            return ""
        shown = False
        for sample, _ in self.probes:
            given, right = sample.run.grads[number], sample.right(number)
            if not holds(given, right):
                return ""
            both_signs = (given < right).any() and (given > right).any()  # no constant is added
            shown |= bool(both_signs) and any(w.name == f"d{name}" for w in sample.wrong)
        return "only its last digits are wrong, as if it was computed in float32" if shown else ""

    def wrong_order(self) -> str:
        """Name the gradients in the order in which backward gives them, if it is a wrong one."""
        for order in islice(permutations(range(len(self.names))), 1, 200):
            if all(
                holds(sample.run.grads[place], sample.right(number))
                for sample, _ in self.probes
                for place, number in enumerate(order)
            ):
                return ", ".join(f"d{self.names[number]}" for number in order)
        return ""

    def claim(self, name: str, claims: Callable[[Gradient], Claims]) -> str:
        """The first claim about one gradient that holds at every probe."""
        number = self.names.index(name)
        holding: dict[str, None] | None = None
        for sample, arguments in self.probes:
            given = sample.run.grads[number]
            if given.dtype != np.float64 or not np.isfinite(given).all():
                return ""
            axes = arguments.axes[arguments.names.index(name)]
            g = Gradient(sample, arguments.sizes, number, axes, self.y_axes)
            found = dict.fromkeys(text for text, left, right in claims(g) if holds(left, right))
            holding = found if holding is None else {t: None for t in holding if t in found}
        return next(iter(holding or {}), "")

    def where(self, name: str) -> str:
        """Say which entries of a gradient are wrong, if it is the same ones at every probe."""
        number = self.names.index(name)
        found: list[set[str]] = []
        for sample, arguments in self.probes:
            axes = arguments.axes[arguments.names.index(name)]
            g = Gradient(sample, arguments.sizes, number, axes, self.y_axes)
            if g.given.shape == g.right.shape and (shared := places(g)) is not None:
                found.append(shared)
        common = sorted(set.intersection(*found)) if found else []
        return f"d{name} is wrong {' and '.join(common)}" if common else ""

    def mistake(self, only: str = "") -> str:
        """A mistake known in this operation that predicts all gradients, or ``only`` one.

        It must do so at every probe.
        """
        first, *others = zip(self.probes, self.predictions, strict=True)
        for text in first[1]:
            if all(
                any(_fits(probe, wrong, only) for wrong in predicted.get(text, []))
                for probe, predicted in (first, *others)
            ):
                return text
        return ""

    @cached_property
    def predictions(self) -> list[dict[str, list[Mapping[int, Array]]]]:
        """For each probe, the wrong gradients that follow from each mistake."""
        found: list[dict[str, list[Mapping[int, Array]]]] = []
        for sample, arguments in self.probes:
            found.append({})
            if self.known:
                run = sample.run
                for text, wrong in self.known.mistakes(run.args, run.dy, arguments.sizes):
                    found[-1].setdefault(text, []).append(wrong)
        return found

    def nonlinearity(self, name: str) -> str:
        """Say how a gradient is not linear in dy, or nothing."""
        how = nonlinear(self.op, self.first.run)[self.names.index(name)]
        return f"it is {how}" if how else ""


def _rounded_to_float32(op: Op, sample: Sample) -> list[str]:
    """Name the arguments that the forward pass rounds, so that differences mean little.

    A tiny move of such an argument leaves nearly all of y as it is.
    """
    args, rounded = sample.run.args, []
    for place, arg in enumerate(args):
        if not is_float(arg):
            continue
        slightly, clearly = (
            tuple(a * (1 + move) if i == place else a for i, a in enumerate(copies(args)))
            for move in (1e-11, 1e-2)
        )
        if not takes(op, slightly) or not takes(op, clearly):
            continue
        y, near, far = (np.array(op(*copies(moved))[0]) for moved in (args, slightly, clearly))
        if y.shape == near.shape == far.shape and (y != far).any():
            same = (y == near)[y != far].mean()
            coarse = np.abs(far - y).max() > 1e-6 * np.abs(y).max()
            if same > 0.9 and coarse:
                rounded.append(sample.names[sum(map(is_float, args[:place]))])
    return rounded


def _constant(op: Op, first: Sample, name: str) -> str:
    """Say by which constant a large gradient is wrong, from some of its entries, or nothing."""
    number = first.names.index(name)
    place = [i for i, a in enumerate(first.run.args) if is_float(a)][number]
    given = first.run.grads[number]
    entries = np.random.default_rng(0).choice(given.size, min(given.size, FEW))
    directions = [np.zeros_like(given) for _ in entries]
    for direction, entry in zip(directions, entries, strict=True):
        direction.flat[entry] = 1
    slopes = measure(op, first.run.args, place, directions, SMALL_STEP)
    right, some = slopes.central @ np.ravel(first.run.dy), given.flat[entries]
    factor = float(some @ right) / max(float(right @ right), 1e-300)
    if np.abs(some - factor * right).max() > 1e-4 * np.abs(right).max():
        return ""
    if abs(factor - 1) < 1e-4:
        return ""  # the wrong entries are others
    if abs(factor) < 1e-4:
        return "it is zero"
    return (
        "the sign is wrong" if abs(factor + 1) < 1e-4 else f"it is {factor:.4g} times the right one"
    )


def _output_axes(probes: list[Probe]) -> tuple[str, ...]:
    """The letters of the axes of the output: those that have its size at every probe."""
    y = probes[0][0].run.y
    letters: list[str] = []
    for k in range(y.ndim):
        fitting = (
            axis
            for axis in probes[0][1].sizes
            if axis not in letters
            and all(a.sizes.get(axis) == sample.run.y.shape[k] for sample, a in probes)
        )
        letters.append(next(fitting, f"axis {k} of y"))
    if y.ndim == 4 and letters[2:] != ["H", "W"]:
        letters[2:] = ["OH", "OW"]
    return tuple(letters)


def _fits(probe: Probe, wrong: Mapping[int, Array], only: str) -> bool:
    """Tell whether a mistake predicts the gradients at a probe: all of them, or ``only`` one."""
    sample, _ = probe
    return all(
        holds(given, wrong[number] if number in wrong else sample.right(number))
        for number, (name, given) in enumerate(zip(sample.names, sample.run.grads, strict=True))
        if name == (only or name)
    )


def _smallest(op: Op, arguments: Arguments, first: Sample) -> Sample:
    """Make the arguments smaller and rounder, as long as the same thing is wrong."""
    wanted = {w.name for w in first.wrong} or set(first.run.broken)

    def fails(args: tuple[object, ...]) -> Sample | None:
        if first.simple_kinks:
            args = at_kinks(args)
        rng = np.random.default_rng(0)
        try:
            found = check_at(op, arguments.names, args, rng, first.simple_kinks)
        except Exception:  # these arguments, or their neighbours, lie outside of the op's domain
            return None
        return found if wanted & ({w.name for w in found.wrong} | set(found.run.broken)) else None

    best, start = first, time.perf_counter()
    for axis in arguments.sizes:
        for size in range(1, arguments.sizes[axis]):
            if time.perf_counter() - start > MOST_SECONDS:
                return best
            smaller = arguments.resized({axis: size})
            drawn = (smaller.draw(np.random.default_rng(seed)) for seed in range(3))
            if found := next(filter(None, map(fails, drawn)), None):
                best, arguments = found, smaller
                break
    for steps in (1, 2, 4, 8):
        rounded = tuple(
            np.asarray(np.round(a * steps) / steps + 0.0) if is_float(a) else a
            for a in best.run.args
        )
        if found := fails(rounded):
            return found
    return best
