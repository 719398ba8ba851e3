"""From wrong gradients to the mistake behind them, as far as the numbers tell.

Arguments of several sizes are drawn, and what ``claims`` and ``mistakes`` say is held against
what backward gives. A claim that holds at all sizes is what the mistake is consistent with. The
numbers cannot tell more: two mistakes may give the same gradient. The first that fits is told, in
this order:

1. the gradients are right, and in the wrong order;
2. a gradient is right but for its last digits;
3. where several gradients are wrong, a mistake that is known in this operation and explains all;
4. a plain claim about one gradient: a factor, a sum, an axis, a part of ``dy``; else, a mistake
   that is known and explains it;
5. any other claim about one gradient;
6. the gradient is not linear in ``dy``;
7. where nothing else is found, a claim about the structure of the gradient, which describes more
   than it explains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice, permutations
from typing import Any

import numpy as np

from numpy_se.checker.case import Case, at_kinks, forward_runs, other_sizes, related
from numpy_se.checker.claims import (
    Claim,
    Claims,
    Gradient,
    generic,
    holds,
    places,
    simple,
    structural,
)
from numpy_se.checker.findings import Cause, Finding, Kind
from numpy_se.checker.look import MOST_ENTRIES, Look, look
from numpy_se.checker.properties import nonlinear
from numpy_se.checker.run import gradients, is_float, takes
from numpy_se.checker.slopes import SMALL_STEP, Op, measure
from numpy_se.contract import Array

FEW = 24  # entries of a large gradient
WIDE = 6.0  # magnitude of the values of one probe: past a clip, and not far into saturation
SOME = 6  # entries that a claim about their structure wants
FEWEST = 4  # entries of a gradient that one probe can tell something about
LARGE, MANY = 0.3, 0.3  # the large entries, of which many are wrong in their last digits
LIKELY = 400  # orders of the gradients that are tried


def name_causes(op: Op, first: Look) -> tuple[Cause, ...]:
    """Look for the causes of what is wrong at a look.

    Sizes that were given are changed first, as far as the operation runs. They may be a part of
    it, and backward right at no others; so they are kept then, where they have enough entries to
    tell something, and the cause says so.
    """
    runs = partial(_backward_runs if first.well_shaped else forward_runs, op)
    free = related(first.case, runs)
    given = first.case.held_labels
    telling = max((a.size for a in _wrong_arrays(first)), default=0) >= SOME
    changed = free.fixed != given.fixed or first.case.kinds != given.kinds
    cases = [free, given] if telling and changed else [free]
    searches: dict[int, _Search] = {}
    best: tuple[Cause, ...] = ()
    for describe in (False, True):
        for number, case in enumerate(cases):
            if number not in searches:
                probes = list(_probes(op, case, first, runs))
                # At sizes that nobody asked for, other gradients may be wrong: that is no mistake.
                asked_for = probes if case is given or not changed else []
                searches[number] = _Search(op, probes, _wrong(first, asked_for))
            found = searches[number].causes(describe)
            if number == 1:
                what = "sizes" if given.kinds == first.case.kinds else "sizes and labels"
                found = tuple(_with_given(what, cause) for cause in found)
            if not best or _count(found) > _count(best):
                best = found
            if best and all(cause.code for cause in best):
                return best
    asked = {f.subject for f in first.wrong}
    best = tuple(cause for cause in best if cause.code or asked.issuperset(cause.subjects))
    return best or tuple(
        _constant(op, first, name, finding) for name, finding in _wrong(first, ()).items()
    )


def _wrong_arrays(first: Look) -> list[Array]:
    """The arguments whose gradients are wrong."""
    wrong = _wrong(first, ())
    return [a for name, a in zip(first.names, first.run.arrays, strict=True) if name in wrong]


def _with_given(what: str, cause: Cause) -> Cause:
    return replace(cause, text=f"{cause.text}, with the {what} given") if cause.code else cause


def _wrong(first: Look, probes: Sequence[Look]) -> dict[str, Finding]:
    """The finding about each wrong gradient, by the name of its argument."""
    found = {f.subject: f for look in (*probes, first) for f in look.wrong}
    return {name: found[f"d{name}"] for name in first.names if f"d{name}" in found}


def _count(causes: Sequence[Cause]) -> int:
    return sum(bool(cause.code) for cause in causes)


def _backward_runs(op: Op, case: Case) -> bool:
    """Tell whether backward gives gradients of the right shapes at these sizes."""
    args = case.draw(np.random.default_rng(0))
    try:
        y = op(*args)[0]
        grads = gradients(op, args, np.ones(np.shape(y)))
    except Exception:  # these sizes are not for this operation
        return False
    return [np.shape(g) for g in grads] == [a.shape for a in args if is_float(a)]


def _probes(op: Op, case: Case, first: Look, runs: Callable[[Case], bool]) -> Iterator[Look]:
    """The first look and others, of other sizes, as far as every entry can be measured.

    A forward pass with ``squeeze()`` drops the axes of size 1. What it gives without them is left
    out, as the axes of its output would not correspond.
    """
    if first.run.grads:
        if probe := first.comparable:
            yield replace(probe, case=case)
        others: list[Case] = list(other_sizes(case, runs, np.random.default_rng(0), 3))
        others += [case] * (3 - len(others))
    else:  # backward raises: it may run where all sizes are equal
        others = [case.resized(dict.fromkeys(case.letters, size)) for size in (3, 4)]
    for number, changed in enumerate(others):
        found = _redraw(op, changed, number, wide=number == 1, simple=first.simple)
        if (probe := found and found.comparable) and probe.run.y.ndim == first.run.y.ndim:
            yield probe


def _redraw(op: Op, case: Case, seed: int, wide: bool = False, simple: bool = False) -> Look | None:
    """Look at arguments that are drawn again, where they are taken."""
    rng = np.random.default_rng(seed)
    args = case.draw(rng)
    if wide and takes(op, larger := case.draw(rng, wide=WIDE)):
        args = larger
    if simple:
        args = at_kinks(args, rng)
    if sum(a.size for a in args if is_float(a)) > MOST_ENTRIES:
        return None  # not every entry is measured
    try:
        return look(op, case, args, rng, simple)
    except Exception:  # they lie outside of the domain
        return None


class _Search:
    """The probes, and the mistakes that are known in their operation."""

    def __init__(self, op: Op, probes: Sequence[Look], wrong: dict[str, Finding]) -> None:
        self.op, self.probes, self.wrong = op, probes, wrong
        self._suspects: dict[int, list[Any]] = {}
        self._fits: dict[tuple[int, int], dict[str, bool]] = {}
        self._right: dict[int, set[str]] = {}
        if not probes:
            return
        self.first = probes[0]
        self.names = self.first.names
        self.y_axes = _output_axes(probes)
        sizes = [{**p.case.sizes, **dict(zip(self.y_axes, p.run.y.shape, strict=True))}
                 for p in probes]  # fmt: skip
        varying = [x for x in sizes[0] if len({own.get(x) for own in sizes}) > 1]
        self.sizes = [{x: own[x] for x in varying} for own in sizes]

    def causes(self, describe: bool) -> tuple[Cause, ...]:
        """Explain all wrong gradients by one mistake, or else each of them by its own.

        ``describe`` asks for claims that describe more than they explain, too.
        """
        return tuple(self._causes(describe)) if self.probes else ()

    def _causes(self, describe: bool) -> Iterator[Cause]:
        titles = tuple(f"d{name}" for name in self.wrong)
        if order := self.wrong_order():
            words = f"the gradients are in the wrong order: backward gives {order}"
            yield Cause("any.wrong-order", titles, words)
            return
        own = {name: self.precision(name) or self.claim(name, simple) for name in self.wrong}
        float64 = [name for name in self.wrong if self.is_float64(name)]
        if float64 and (len(own) > 1 or not all(own.values())):
            if cause := self.mistake():
                yield Cause(cause[0], titles, cause[1])
                return
            for name in float64:
                own[name] = (
                    own[name]
                    or self.mistake(only=name)
                    or self.claim(name, generic)
                    or self.nonlinearity(name)
                    or (self.claim(name, structural, least=SOME) if describe else None)
                )
        for cause in dict.fromkeys(filter(None, own.values())):
            yield Cause(cause[0], tuple(f"d{n}" for n in own if own[n] == cause), cause[1])
        for name, cause in own.items():
            if not cause:
                where = places([self.gradient(k, name) for k in range(len(self.probes))])
                yield Cause("", (f"d{name}",), where)

    def gradient(self, k: int, name: str) -> Gradient:
        """The gradient of an argument at a probe."""
        return Gradient(self.probes[k], self.names.index(name), self.y_axes, self.sizes[k])

    def is_float64(self, name: str) -> bool:
        """Tell whether a gradient is float64 at every probe. Otherwise its dtype is the mistake."""
        number = self.names.index(name)
        return all(probe.run.grads[number].dtype == np.float64 for probe in self.probes)

    def precision(self, name: str) -> tuple[str, str] | None:
        """Say that a gradient is right, but for the last digits of many entries, or nothing."""
        number = self.names.index(name)
        if not self.is_float64(name):
            return None
        shown = False
        for probe in self.probes:
            given, right = probe.run.grads[number], probe.right(number)
            if not _same(probe, number, given, right):
                return None
            off = (given - right)[np.abs(right) > LARGE * np.abs(right).max()]
            many = (np.abs(off) > _slack(probe, number)).mean() > MANY
            both_signs = (off < 0).any() and (off > 0).any()  # no constant is added
            shown |= bool(many and both_signs) and any(f.subject == f"d{name}" for f in probe.wrong)
        words = "only its last digits are wrong (float32, or an iteration that ends early?)"
        return ("any.float32", words) if shown else None

    def wrong_order(self) -> str:
        """Name the gradients in the order in which backward gives them, if it is a wrong one."""
        for order in islice(permutations(range(len(self.names))), 1, LIKELY):
            if all(
                _same(probe, number, probe.run.grads[place], probe.right(number))
                for probe in self.probes
                for place, number in enumerate(order)
            ):
                return ", ".join(f"d{self.names[number]}" for number in order)
        return ""

    def claim(
        self, name: str, claims: Callable[[Gradient], Claims], least: int = 0
    ) -> tuple[str, str] | None:
        """The first claim about one gradient that holds at every probe, wrong at one or more.

        Probes with fewer than ``least`` entries are left out, and two of the others must be wrong.
        """
        if self.first.simple:
            return None  # at a kink there is no right number to compare with
        holding: dict[tuple[str, str], Claim] | None = None
        telling = entries = 0
        for k, probe in enumerate(self.probes):
            g = self.gradient(k, name)
            if g.right.size < least:
                continue
            if g.given.dtype != np.float64 or not np.isfinite(g.given).all():
                return None
            slack = _slack(probe, g.number)
            if not holds(g.given, g.right, slack):
                telling, entries = telling + 1, entries + g.right.size
            found: dict[tuple[str, str], Claim] = {}
            for c in claims(g):
                if holds(c.left, c.right, slack):
                    found.setdefault((c.code, c.text), c)
            if holding is not None:
                found = {
                    key: c
                    for key, c in holding.items()
                    if key in found and _same_constant(c, found[key])
                }
            holding = found
        if telling <= (least > 0) or (telling == 1 and entries < FEWEST):
            return None  # any number is some multiple of another
        return next((c.told() for c in (holding or {}).values()), None)

    def mistake(self, only: str = "") -> tuple[str, str] | None:
        """A mistake known in this operation that predicts all gradients, or ``only`` one.

        It must do so at every probe, and something must be wrong at one of them. Others may be
        wrong in another way, but where they are right, the mistake must leave them right.
        """
        if not any(self._is_wrong(probe, only) for probe in self.probes):
            return None
        left: dict[tuple[str, str], None] | None = None
        for k in range(len(self.probes)):
            fitting: dict[tuple[str, str], None] = {}
            for i, suspect in enumerate(self.suspects(k)):
                key = suspect.code, suspect.text
                if (left is None or key in left) and key not in fitting:
                    found = self.fits(k, i)
                    if found and all(
                        fit or (name != (only or name) and name not in self.right(k))
                        for name, fit in found.items()
                    ):
                        fitting[key] = None
            left = fitting if left is None else {key: None for key in left if key in fitting}
            if not left:
                return None
        return next(iter(left or {}), None)

    def _is_wrong(self, probe: Look, only: str) -> bool:
        return any(
            not _same(probe, number, given, probe.right(number))
            for number, (name, given) in enumerate(zip(probe.names, probe.run.grads, strict=True))
            if name == (only or name)
        )

    @cached_property
    def known(self) -> list[Any]:
        """The known operations that the operation computes."""
        from numpy_se.checker.mistakes import recognise

        return recognise([(probe.run.args, probe.run.y) for probe in self.probes])

    def suspects(self, k: int) -> list[Any]:
        """The mistakes that are known in the operation, at a probe."""
        if k not in self._suspects:
            run, names = self.probes[k].run, self.probes[k].case.names
            self._suspects[k] = [
                suspect
                for operation in self.known
                for suspect in operation.suspects(run.args, names, self.sizes[k])
            ]
        return self._suspects[k]

    def fits(self, k: int, i: int) -> dict[str, bool]:
        """Tell which gradients a mistake predicts at a probe; none where nobody can make it.

        It is remembered, as it is asked again for each gradient alone.
        """
        if (k, i) not in self._fits:
            probe = self.probes[k]
            predicted = self.suspects(k)[i].predict(probe.run.dy)
            places = [i for i, a in enumerate(probe.run.args) if is_float(a)]
            given = zip(places, probe.names, probe.run.grads, strict=True)
            self._fits[k, i] = (
                {}
                if predicted is None
                else {
                    name: _same(probe, n, grad, predicted[p] if p in predicted else probe.right(n))
                    for n, (p, name, grad) in enumerate(given)
                }
            )
        return self._fits[k, i]

    def right(self, k: int) -> set[str]:
        """Name the gradients that are right at a probe."""
        if k not in self._right:
            probe = self.probes[k]
            self._right[k] = {
                name
                for number, (name, given) in enumerate(
                    zip(probe.names, probe.run.grads, strict=True)
                )
                if _same(probe, number, given, probe.right(number))
            }
        return self._right[k]

    def nonlinearity(self, name: str) -> tuple[str, str] | None:
        """Say how a gradient is not linear in dy, or nothing."""
        try:
            code, how = nonlinear(self.op, self.first.run)[self.names.index(name)]
        except Exception:  # backward does not take another dy
            return None
        return (code, f"it is {how}") if how else None


def _same_constant(a: Claim, b: Claim) -> bool:
    """Tell whether two claims were fitted by the same constant."""
    return a.fitted is None or b.fitted is None or bool(np.isclose(a.fitted, b.fitted, rtol=1e-4))


def _slack(probe: Look, number: int) -> float:
    """The error that slopes of an argument may have, weighed with dy."""
    return dict(probe.resolution).get(f"d{probe.names[number]}", 1e-12)


def _same(probe: Look, number: int, a: Array, b: Array) -> bool:
    """Tell whether two gradients of an argument are equal, but for the error of slopes."""
    return holds(a, b, _slack(probe, number))


def _constant(op: Op, first: Look, name: str, finding: Finding) -> Cause:
    """Say by which constant a large gradient is wrong, from some of its entries, or nothing."""
    title, number = (f"d{name}",), first.names.index(name)
    if finding.kind is not Kind.VALUE:
        return Cause("", title, "")
    place = [i for i, a in enumerate(first.run.args) if is_float(a)][number]
    given = first.run.grads[number]
    entries = np.random.default_rng(0).choice(given.size, min(given.size, FEW), replace=False)
    directions = [np.zeros_like(given) for _ in entries]
    for direction, entry in zip(directions, entries, strict=True):
        direction.flat[entry] = 1
    slopes = measure(op, first.run.args, place, directions, SMALL_STEP)
    right, some = slopes.along(first.run.dy), given.flat[entries]
    factor = float(some @ right) / max(float(right @ right), 1e-300)
    far = np.abs(some - factor * right).max() > 1e-4 * np.abs(right).max()
    if far or abs(factor - 1) < 1e-4 or len(entries) < 4:
        return Cause("", title, "")  # the wrong entries are others
    if abs(factor) < 1e-4:
        return Cause("any.zero", title, "it is zero")
    if abs(factor + 1) < 1e-4:
        return Cause("any.sign", title, "the sign is wrong")
    return Cause("any.factor", title, f"it is {factor:.4g} times the right one")


def _output_axes(probes: Sequence[Look]) -> tuple[str, ...]:
    """The letters of the axes of the output: those that have its size at every probe."""
    y = probes[0].run.y
    letters: list[str] = []
    for k in range(y.ndim):
        fitting = (
            axis
            for axis in probes[0].case.sizes
            if axis not in letters
            and axis not in probes[0].case.fixed
            and all(probe.case.sizes.get(axis) == probe.run.y.shape[k] for probe in probes)
        )
        letters.append(next(fitting, f"axis {k} of y"))
    maps = (axes for axes in probes[0].case.axes if len(axes) == 4)
    if y.ndim == 4 and tuple(letters[2:]) != next(maps, ())[2:]:
        letters[2:] = ["OH", "OW"]
    return tuple(letters)
