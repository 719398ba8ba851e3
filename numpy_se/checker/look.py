"""One look at an operation: at one set of arguments, every gradient beside slopes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from numpy_se.checker.case import Case
from numpy_se.checker.findings import NUMBERS, Entry, Finding, Kind
from numpy_se.checker.run import PLAIN, Run, float_names, is_float, run, unusable
from numpy_se.checker.slopes import (
    EPS,
    FINEST,
    SMALL_STEP,
    STEP,
    Op,
    Slopes,
    measure,
    random_directions,
    spread,
    unit_directions,
)
from numpy_se.checker.truth import Line, Truth, decide
from numpy_se.contract import Array

MOST_ENTRIES = 1000  # of all arguments together, to move every entry alone
MOST_SLOPES = 400_000
PARTS = 8  # random directions for each argument where entries are too many
MOST_DECISIONS = 24  # for each gradient
SATURATED = 1e-9  # of a usual gradient
COARSE = 0.1  # of the largest slope: a coarser measurement decides nothing


@dataclass(frozen=True)
class Look:
    """What was found at one set of arguments.

    ``names`` are those of the float arguments. ``slopes`` belong to them, entry by entry; they are
    empty where only random directions were measured. ``checked``, ``at_kinks`` and ``undecided``
    count slopes for each gradient; ``doubted`` those that look wrong, and may be right.
    ``sharp`` tells whether each entry could be judged. ``resolution`` is, for each gradient, the
    smallest error that would be seen in a single entry. ``simple`` says that the checker has put
    simple kinks here.
    """

    run: Run
    case: Case
    names: tuple[str, ...]
    simple: bool
    findings: tuple[Finding, ...]
    slopes: tuple[Slopes, ...] = ()
    checked: tuple[int, ...] = ()
    at_kinks: tuple[int, ...] = ()
    undecided: tuple[int, ...] = ()
    doubted: tuple[int, ...] = ()
    sharp: tuple[bool, ...] = ()
    silent: tuple[str, ...] = ()
    largest: tuple[float, ...] = ()
    resolution: tuple[tuple[str, float], ...] = ()

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """The findings about the numbers of gradients."""
        return tuple(f for f in self.findings if f.kind in NUMBERS)

    @property
    def flat(self) -> bool:
        """True when y does not move at all where a gradient is wrong."""
        return any(f.entry is not None and f.entry.expected == 0 for f in self.wrong)

    @property
    def well_shaped(self) -> bool:
        """True when there is a gradient of the right shape for every float argument."""
        shapes = [g.shape if isinstance(g, np.ndarray) else None for g in self.run.grads]
        return shapes == [a.shape for a in self.run.arrays]

    @property
    def comparable(self) -> Look | None:
        """The same with an array for each gradient, NaN for what is none.

        None where the gradients cannot be compared entry by entry.
        """
        if not self.slopes or len(self.run.grads) != len(self.names):
            return None
        grads = tuple(
            g if type(g) in PLAIN else np.full(a.shape, np.nan, np.float32)
            for g, a in zip(self.run.grads, self.run.arrays, strict=True)
        )
        return replace(self, run=replace(self.run, grads=grads))

    def right(self, number: int, dy: Array | None = None) -> Array:
        """The gradient of the float argument ``number``, by differences, for any ``dy``."""
        central = self.slopes[number].central[:-1]  # the last direction moves all entries
        upstream = np.ravel(self.run.dy if dy is None else dy)
        gradient: Array = (central @ upstream).reshape(self.run.arrays[number].shape)
        return gradient


def look(
    op: Op,
    case: Case,
    args: tuple[object, ...],
    rng: np.random.Generator,
    simple: bool = False,
    coarse: bool = False,
    like: Look | None = None,
) -> Look:
    """Run the operation at ``args`` and compare every gradient with differences.

    ``simple`` says that no two kinks meet at these arguments. Then a value that is not between the
    slopes on the two sides of a kink is wrong; otherwise it may be right. ``coarse`` asks for
    random directions only. ``like`` is a look at usual values: next to its gradients, those of
    saturated functions are too small to be judged.
    """
    ran = run(op, case.names, args, rng)
    names = float_names(case.names, args)
    found = Look(ran, case, names, simple, ran.findings)
    if any(f.kind in (Kind.CHANGES, Kind.ANOTHER_Y) for f in ran.findings):
        return found  # then differences mean nothing
    entries = sum(a.size for a in ran.arrays)
    each = not coarse and entries <= MOST_ENTRIES and entries * ran.y.size <= MOST_SLOPES
    places = [i for i, a in enumerate(args) if is_float(a)]
    if len(ran.grads) != len(places):
        return found
    results = [
        _Gradient(op, ran, place, f"d{name}", grad, each, *_slopes(op, args, place, each, rng))
        for place, name, grad in zip(places, names, ran.grads, strict=True)
    ]
    usual = dict(zip(like.names, like.largest, strict=False)) if like else {}
    for name, result in zip(names, results, strict=True):
        result.compare(simple, usual.get(name, 0.0), rng)
    own = [r.finding for r in results if r.finding]
    return replace(
        found,
        findings=(*ran.findings, *own),
        slopes=tuple(r.slopes for r in results) if each else (),
        checked=tuple(r.single for r in results),
        at_kinks=tuple(r.at_kinks for r in results),
        undecided=tuple(r.undecided for r in results),
        doubted=tuple(r.doubted for r in results),
        sharp=tuple(r.sharp for r in results),
        silent=tuple(n for n, r in zip(names, results, strict=True) if r.silent),
        largest=tuple(r.largest for r in results),
        resolution=tuple((r.name, r.tolerance) for r in results if r.tolerance is not None),
    )


def _slopes(
    op: Op, args: tuple[object, ...], place: int, each: bool, rng: np.random.Generator
) -> tuple[list[Array], Slopes]:
    arg = args[place]
    assert isinstance(arg, np.ndarray)
    directions = list(unit_directions(arg) if each else random_directions(arg, rng, PARTS))
    return directions, measure(op, args, place, directions, STEP if each else SMALL_STEP)


class _Gradient:
    """One gradient beside the slopes of its argument."""

    def __init__(
        self, op: Op, ran: Run, place: int, name: str, grad: Array, each: bool,
        directions: list[Array], slopes: Slopes,
    ) -> None:  # fmt: skip
        self.op, self.ran, self.place, self.name, self.grad = op, ran, place, name, grad
        self.directions, self.slopes = directions, slopes
        self.single = len(directions) - each  # without the direction of all entries
        self.finding = unusable(name, grad, ran.args[place])
        self.at_kinks = 0
        self.silent = not slopes.low.any() and not slopes.high.any()
        self.undecided = self.doubted = 0
        self.sharp = True
        self.tolerance: float | None = None
        self.largest = 0.0

    def compare(self, simple: bool, usual: float, rng: np.random.Generator) -> None:
        """Look for the worst error that is not a convention at a kink."""
        if self.finding:
            return
        dy, single = self.ran.dy, self.single
        along = np.array([float((self.grad * v).sum()) for v in self.directions])
        low, high = self.slopes.legal(dy)
        middle = np.nan_to_num(self.slopes.along(dy))
        largest = self.largest = float(np.abs(middle[:single]).max())
        finest = FINEST * max(float(np.abs(along[:single]).max()), largest)
        rounding = 20 * EPS * float(np.abs(dy).max()) / spread(self.ran.args[self.place])
        finest = max(finest, SATURATED * usual, rounding)
        tolerance = finest + self.slopes.error(dy)
        self.tolerance = float(tolerance[:single].max())
        self.at_kinks = int((~(high - low <= tolerance))[:single].sum())
        self.sharp = not largest or self.tolerance <= COARSE * max(largest, usual)
        if largest:
            self.undecided = int((tolerance[:single] > COARSE * max(largest, usual)).sum())
        error = np.maximum(low - along, along - high)
        size = np.sqrt(self.grad.size) if len(error) > single else 1
        order = np.argsort(-error[:single])  # what single entries show comes first
        suspects = [
            *(i for i in order if error[i] > tolerance[i]),
            *(i for i in range(single, len(error)) if error[i] / size > tolerance[i]),
        ]
        for i in suspects[:MOST_DECISIONS]:
            line = Line(self.op, self.ran.args, self.place, self.directions[i], dy)
            judgement = decide(line, finest, simple, rng)
            self.doubted += judgement.truth is Truth.UNDECIDED
            if judgement.truth is Truth.WRONG:
                between = float(np.clip(along[i], low[i], high[i]))
                expected = between if np.isfinite(between) else judgement.expected
                if between == along[i]:
                    expected = judgement.expected
                if i >= single and not self.slopes.kink.any() and error[order[0]] > 0:
                    i = order[0]  # an error in many entries
                    expected = float(np.clip(along[i], low[i], high[i]))
                self.finding = self._located(self.directions[i], expected)
                return
        self.doubted += max(0, len(suspects) - MOST_DECISIONS)
        self.undecided += self.doubted

    def _located(self, direction: Array, expected: float) -> Finding:
        """Find a wrong entry along a direction that shows an error, by halving it."""
        grad, entries = self.grad, np.flatnonzero(direction)
        if len(entries) == direction.size > 1:
            text = (
                f"the entries of {self.name} are legal one by one, but not together: they sum to "
                f"{float(grad.sum()):.9g}, differences along all of {self.name[1:]} give "
                f"{expected:.9g}"
            )
            return Finding(Kind.VALUE, self.name, text)
        while len(entries) > 1:
            halves = entries[: len(entries) // 2], entries[len(entries) // 2 :]
            parts = [np.zeros_like(direction) for _ in halves]
            for part, half in zip(parts, halves, strict=True):
                part.flat[half] = direction.flat[half]
            slopes = measure(self.op, self.ran.args, self.place, parts, SMALL_STEP)
            central = slopes.along(self.ran.dy)
            errors = [abs(float((grad * v).sum()) - c) for v, c in zip(parts, central, strict=True)]
            larger = int(errors[1] > errors[0])
            entries, direction, expected = halves[larger], parts[larger], float(central[larger])
        index = tuple(int(i) for i in np.unravel_index(entries[0], grad.shape))
        sign = float(direction[index])
        entry = Entry(index, float(grad[index]), sign * expected)
        return Finding(Kind.VALUE, self.name, f"{self.name} is wrong", entry)


def influences(op: Op, args: tuple[object, ...], rng: np.random.Generator) -> Iterator[bool]:
    """Tell for each float argument whether the output depends on it, at these arguments."""
    for place, arg in enumerate(args):
        if is_float(arg):
            assert isinstance(arg, np.ndarray)
            direction = random_directions(arg, rng, 1)
            yield bool(measure(op, args, place, direction, SMALL_STEP).central.any())
