"""The verdict on an operation at one set of arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from numpy_se.contract import Array, kind_of
from numpy_se.checker.kinks import SMALL_STEP, between_pieces, right_beside
from numpy_se.checker.promises import ANOTHER_Y, Run, copies, is_float, run
from numpy_se.checker.slopes import Op, Slopes, measure, random_directions, unit_directions

MOST_ENTRIES = 1500  # of all arguments together, to move every entry alone
MOST_SLOPES = 2_000_000
MOST_SECONDS = 2.0
PARTS = 8  # random directions for each argument where entries are too many
STEP = 1e-4  # a single entry; many that move together meet many kinks, and want SMALL_STEP


@dataclass(frozen=True)
class Wrong:
    """A gradient that is wrong. ``given`` and ``expected`` are its worst entry, at ``index``."""

    name: str
    fact: str
    index: tuple[int, ...] | None = None
    given: float = float("nan")
    expected: float = float("nan")

    def __str__(self) -> str:
        if self.index is None:
            return self.fact
        at = ", ".join(map(str, self.index))
        return (
            f"worst entry {self.name}[{at}]: backward gives {self.given:.9g}, "
            f"differences give {self.expected:.9g}"
        )


@dataclass(frozen=True)
class Sample:
    """What was found at one set of arguments.

    ``names`` are those of the float arguments. ``slopes`` belong to them, entry by entry; they
    are empty where only random directions were measured. ``resolution`` is the smallest error
    that would be seen in a single entry.
    """

    run: Run
    names: tuple[str, ...]
    slopes: tuple[Slopes, ...]
    wrong: tuple[Wrong, ...]
    checked: int
    at_kinks: int
    silent: tuple[str, ...]
    resolution: dict[str, float]
    simple_kinks: bool

    @property
    def well_shaped(self) -> bool:
        """True when there is a gradient of the right shape for every float argument."""
        return [np.shape(g) for g in self.run.grads] == [a.shape for a in self.arrays()]

    @property
    def ok(self) -> bool:
        return not self.run.broken and not self.wrong

    def arrays(self) -> tuple[Array, ...]:
        return tuple(a for a in self.run.args if is_float(a))

    def right(self, number: int, dy: Array | None = None) -> Array:
        """The gradient of the float argument ``number``, by differences, for any ``dy``."""
        central = self.slopes[number].central[:-1]  # the last direction moves all entries
        upstream = np.ravel(self.run.dy if dy is None else dy)
        gradient: Array = (central @ upstream).reshape(self.arrays()[number].shape)
        return gradient


def all_have_influence(op: Op, args: tuple[Any, ...], rng: np.random.Generator) -> bool:
    """Tell whether the output depends on every float argument, at these arguments."""
    for place, arg in enumerate(args):
        if is_float(arg):
            direction = random_directions(arg, rng, 1)
            if not measure(op, copies(args), place, direction, SMALL_STEP).central.any():
                return False
    return True


def check_at(
    op: Op,
    names: tuple[str, ...],
    args: tuple[Any, ...],
    rng: np.random.Generator,
    simple_kinks: bool = False,
) -> Sample:
    """Run the operation at ``args`` and compare every gradient with differences.

    ``simple_kinks`` says that no two kinks meet at these arguments. Then a value that is not
    between the slopes on the two sides of a kink is wrong; otherwise it may be right.
    """
    ran = run(op, names, args, rng)
    places = [i for i, a in enumerate(args) if is_float(a)]
    floats = tuple(names[i] for i in places)
    nonsense = ("changes", ANOTHER_Y)  # then differences mean nothing
    if any(reason in promise for promise in ran.broken for reason in nonsense):
        return Sample(ran, floats, (), (), 0, 0, (), {}, simple_kinks)
    entries = sum(args[i].size for i in places)
    each = (
        entries <= MOST_ENTRIES
        and entries * ran.y.size <= MOST_SLOPES
        and 6 * entries * ran.seconds < MOST_SECONDS
    )
    complete = len(ran.grads) == len(places)
    grads = ran.grads if complete else (None,) * len(places)
    all_slopes, wrong, silent, resolution = [], [], [], {}
    at_kinks = checked = 0
    for place, name, grad in zip(places, floats, grads, strict=True):
        arg = args[place]
        directions = list(unit_directions(arg) if each else random_directions(arg, rng, PARTS))
        slopes = measure(op, args, place, directions, STEP if each else SMALL_STEP)
        all_slopes.append(slopes)
        single = len(directions) - each  # without the direction of all entries
        checked += single
        at_kinks += int(slopes.kink[:single].any(axis=1).sum())
        if not slopes.low.any() and not slopes.high.any():
            silent.append(name)
        if not complete:
            continue
        if fact := _unusable(f"d{name}", grad, arg):
            wrong.append(Wrong(f"d{name}", fact))
            continue
        look = _Look(op, ran, place, f"d{name}", grad, directions, slopes, single)
        resolution[f"d{name}"] = look.tolerance
        if found := look.for_an_error(simple_kinks, rng):
            wrong.append(found)
    all_slopes = all_slopes if each else []
    return Sample(
        ran,
        floats,
        tuple(all_slopes),
        tuple(wrong),
        checked,
        at_kinks,
        tuple(silent),
        resolution,
        simple_kinks,
    )


class _Look:
    """One gradient beside the slopes of its argument."""

    def __init__(
        self,
        op: Op,
        ran: Run,
        place: int,
        name: str,
        grad: Array,
        directions: list[Array],
        slopes: Slopes,
        single: int,
    ) -> None:
        self.op, self.ran, self.place, self.name, self.grad = op, ran, place, name, grad
        self.directions, self.single = directions, single
        self.step = STEP if single < len(directions) else SMALL_STEP
        self.along = np.array([float((grad * v).sum()) for v in directions])
        self.low, self.high = slopes.legal(ran.dy)
        middle = np.nan_to_num(slopes.central @ np.ravel(ran.dy))
        scale = max(np.abs(self.along[:single]).max(), np.abs(middle[:single]).max())
        self.tolerance = slopes.tolerance(ran.dy, float(scale))
        self.kinks = bool(slopes.kink.any())

    def for_an_error(self, simple_kinks: bool, rng: np.random.Generator) -> Wrong | None:
        """Return the worst error that is not a convention at a kink."""
        op, args, dy = self.op, self.ran.args, self.ran.dy
        error = np.maximum(self.low - self.along, self.along - self.high)
        error[self.single :] /= np.sqrt(self.grad.size)
        order = np.argsort(-error[: self.single])  # what single entries show comes first
        for worst in [*order, *range(self.single, len(error))]:
            v, along = self.directions[worst], float(self.along[worst])
            if error[worst] <= self.tolerance:
                continue
            if simple_kinks:
                legal = between_pieces(op, args, self.place, v, dy, along, self.tolerance, rng)
            else:
                legal = right_beside(op, args, self.place, v, dy, self.step, rng)
            if not legal:
                if worst == self.single and not self.kinks:  # an error in many entries
                    worst = order[0]
                low, high = self.low[worst], self.high[worst]
                expected = float(np.clip(self.along[worst], low, high))
                return self._located(self.directions[worst], expected)
        return None

    def _located(self, direction: Array, expected: float) -> Wrong:
        """Find a wrong entry along a direction that shows an error, by halving it."""
        grad, entries = self.grad, np.flatnonzero(direction)
        if len(entries) == direction.size > 1:
            return Wrong(
                self.name,
                f"the entries of {self.name} are legal one by one, but not together: they sum to "
                f"{float(grad.sum()):.9g}, differences along all of {self.name[1:]} give "
                f"{expected:.9g}",
            )
        while len(entries) > 1:
            halves = entries[: len(entries) // 2], entries[len(entries) // 2 :]
            parts = [np.zeros_like(direction) for _ in halves]
            for part, half in zip(parts, halves, strict=True):
                part.flat[half] = direction.flat[half]
            slopes = measure(self.op, self.ran.args, self.place, parts, SMALL_STEP)
            central = slopes.central @ np.ravel(self.ran.dy)
            errors = [abs(float((grad * v).sum()) - c) for v, c in zip(parts, central, strict=True)]
            larger = int(errors[1] > errors[0])
            entries, direction, expected = halves[larger], parts[larger], float(central[larger])
        index = tuple(int(i) for i in np.unravel_index(entries[0], grad.shape))
        sign = float(direction[index])
        return Wrong(self.name, f"{self.name} is wrong", index, float(grad[index]), sign * expected)


def _unusable(name: str, grad: Any, arg: Array) -> str:
    """Say why a gradient cannot be compared at all, or nothing."""
    if not isinstance(grad, np.ndarray):
        return f"{name} is {kind_of(grad)}; it wants a NumPy array"
    if grad.shape != arg.shape:
        return f"{name} has shape {grad.shape}; it wants {arg.shape}"
    if grad.dtype != arg.dtype:
        return f"{name} is {grad.dtype}; it wants {arg.dtype}"
    if not np.isfinite(grad).all():
        at = ", ".join(str(i) for i in np.argwhere(~np.isfinite(grad))[0])
        return f"{name} is not finite, first at [{at}]"
    return ""
