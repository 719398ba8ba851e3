"""The verdict on an operation at one set of arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from numpy_se.contract import Array
from numpy_se.gradcheck.promises import Run, copies, is_float, run
from numpy_se.gradcheck.slopes import (
    Op,
    Slopes,
    legal_nearby,
    measure,
    random_directions,
    unit_directions,
)

MOST_ENTRIES = 1500  # of all arguments together, to move every entry alone
MOST_SLOPES = 2_000_000
PARTS = 8  # random directions for each argument where entries are too many
STEP, SMALL_STEP = 1e-4, 1e-7  # the small one, as many moving entries meet many kinks


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
    op: Op, names: tuple[str, ...], args: tuple[Any, ...], rng: np.random.Generator
) -> Sample:
    """Run the operation at ``args`` and hold every gradient against differences."""
    ran = run(op, names, args, rng)
    places = [i for i, a in enumerate(args) if is_float(a)]
    if any("changes" in promise for promise in ran.broken):  # then differences mean nothing
        return Sample(ran, tuple(names[i] for i in places), (), (), 0, 0, (), {})
    entries = sum(args[i].size for i in places)
    each = entries <= MOST_ENTRIES and entries * ran.y.size <= MOST_SLOPES
    grads = ran.grads if len(ran.grads) == len(places) else (None,) * len(places)
    all_slopes, wrong, silent, resolution = [], [], [], {}
    at_kinks = checked = 0
    for place, grad in zip(places, grads, strict=True):
        arg, name = args[place], f"d{names[place]}"
        directions = list(unit_directions(arg) if each else random_directions(arg, rng, PARTS))
        slopes = measure(op, args, place, directions, STEP if each else SMALL_STEP)
        all_slopes.append(slopes)
        single = slice(len(directions) - each)  # without the direction of all entries
        checked += arg.size if each else len(directions)
        at_kinks += int(slopes.kink[single].any(axis=1).sum())
        if not slopes.low.any() and not slopes.high.any():
            silent.append(names[place])
        if grad is None:
            continue
        if fact := _unusable(name, grad, arg):
            wrong.append(Wrong(name, fact))
            continue
        along = np.array([float((grad * v).sum()) for v in directions])
        low, high = slopes.legal(ran.dy)
        middle = np.nan_to_num(slopes.central @ np.ravel(ran.dy))
        scale = float(max(np.abs(along[single]).max(), np.abs(middle[single]).max()))
        resolution[name] = tolerance = slopes.tolerance(ran.dy, scale)
        error = np.maximum(low - along, along - high)
        error[len(directions) - each :] /= np.sqrt(arg.size)
        order = np.argsort(-error[single])  # what single entries show comes first
        for worst in [*order, *range(len(order), len(error))]:
            if error[worst] <= tolerance:
                continue
            v = directions[worst]
            if not legal_nearby(op, args, place, v, ran.dy, along[worst], tolerance, rng):
                expected = float(np.clip(along[worst], low[worst], high[worst]))
                problem = _locate(op, args, place, ran, name, grad, v, expected)
                wrong.append(problem)
                break
    return Sample(
        ran,
        tuple(names[i] for i in places),
        tuple(all_slopes) if each else (),
        tuple(wrong),
        checked,
        at_kinks,
        tuple(silent),
        resolution,
    )


def _unusable(name: str, grad: Any, arg: Array) -> str:
    """Say why a gradient cannot be compared at all, or nothing."""
    if not isinstance(grad, np.ndarray):
        return f"{name} is a {type(grad).__name__}; it wants a NumPy array"
    if grad.shape != arg.shape:
        return f"{name} has shape {grad.shape}; it wants {arg.shape}"
    if grad.dtype != arg.dtype:
        return f"{name} is {grad.dtype}; it wants {arg.dtype}"
    if not np.isfinite(grad).all():
        at = ", ".join(str(i) for i in np.argwhere(~np.isfinite(grad))[0])
        return f"{name} is not finite, first at [{at}]"
    return ""


def _locate(
    op: Op,
    args: tuple[Any, ...],
    place: int,
    ran: Run,
    name: str,
    grad: Array,
    direction: Array,
    expected: float,
) -> Wrong:
    """Find a wrong entry along a direction that shows an error, by halving it."""
    entries = np.flatnonzero(direction)
    if len(entries) == direction.size > 1:
        return Wrong(
            name,
            f"the entries of {name} are legal one by one, but not together: they sum to "
            f"{float(grad.sum()):.9g}, differences along all of {name[1:]} give {expected:.9g}",
        )
    while len(entries) > 1:
        halves = [entries[: len(entries) // 2], entries[len(entries) // 2 :]]
        parts = [np.where(np.isin(np.arange(grad.size), half).reshape(grad.shape), direction, 0)
                 for half in halves]  # fmt: skip
        central = measure(op, args, place, parts, SMALL_STEP).central @ np.ravel(ran.dy)
        errors = [abs(float((grad * v).sum()) - c) for v, c in zip(parts, central, strict=True)]
        larger = int(errors[1] > errors[0])
        entries, direction, expected = halves[larger], parts[larger], float(central[larger])
    index = tuple(int(i) for i in np.unravel_index(entries[0], grad.shape))
    sign = float(direction[index])
    return Wrong(name, f"{name} is wrong", index, float(grad[index]), sign * expected)
